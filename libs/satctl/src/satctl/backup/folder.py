"""The folder or prefix of backups: each is some parts, and a manifest that is put last."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pydantic import ValidationError
from satcommon.errors import DamagedObjectError, InputError, ObjectMissingError
from satcommon.storage.object_store import ObjectStore

from satctl.backup.manifest import FORMAT, Manifest, Part

INCOMPLETE_FOR = timedelta(days=1)  # after that a backup without a manifest is no longer being written
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_MANIFEST = "manifest.json"
_PIECE = 64 << 20  # bytes of a part before compression: held in memory once, and once compressed
_CODEC = "zstd"


@dataclass(frozen=True)
class Listed:
    """A backup as it lies there: complete, incomplete (without a manifest), or unreadable (with one that is no use)."""

    name: str
    manifest: Manifest | None
    state: str

    @property
    def begun_at(self) -> datetime:
        """When it was begun, by its name."""
        return datetime.strptime(self.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


class Backups:
    """The backups at a place.

    Args:
        place: a store of its own, never that of results and scenes.
    """

    def __init__(self, place: ObjectStore) -> None:
        self.place = place

    @staticmethod
    def new_name(now: datetime) -> str:
        """A name that no backup has had; names sort by time."""
        return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"

    def put_stream(self, name: str, stream: str, chunks: Iterable[bytes | memoryview]) -> Iterator[Part]:
        """Store a stream in parts; yields each when it is stored.

        Args:
            name: of the backup.
            stream: its name.
            chunks: its bytes.
        """
        for number, piece in enumerate(_pieces(chunks)):
            data = pa.compress(piece, codec=_CODEC, asbytes=True)
            key = f"{name}/{stream}/{number:05}.zst"
            self.place.put(key, data)
            digest = hashlib.sha256(data).hexdigest()
            yield Part(stream=stream, key=key, size=len(data), digest=digest, content_size=len(piece))

    def read_stream(self, manifest: Manifest, stream: str) -> Iterator[bytes]:
        """The bytes of a stream, a part at a time, each compared with its digest.

        Raises:
            DamagedObjectError: a part is gone, or is not the one that was put.
            StoreError: the place can't be reached.
        """
        for part in manifest.parts:
            if part.stream == stream:
                yield self._content(part)

    def complete(self, manifest: Manifest) -> None:
        """Make a backup of the parts that were put."""
        data = manifest.model_dump_json(indent=2).encode()
        self.place.put(f"{manifest.name}/{_MANIFEST}", data)

    def listed(self) -> list[Listed]:
        """All backups, the newest first."""
        keys = self.place.list("")
        names = {key.partition("/")[0] for key in keys}
        complete = {key.partition("/")[0] for key in keys if key.endswith(f"/{_MANIFEST}")}
        return [self._listed(name, name in complete) for name in sorted(filter(_NAME.fullmatch, names), reverse=True)]

    def manifest(self, name: str) -> Manifest:
        """The manifest of a complete backup.

        Args:
            name: of the backup; ``latest`` for the newest complete one.

        Raises:
            InputError: there is no such backup, or it is incomplete.
            DamagedObjectError: its manifest can't be read.
        """
        if name == "latest":
            complete = [backup for backup in self.listed() if backup.manifest]
            if not complete:
                raise InputError(f"there is no complete backup in {self.place.url}; `satctl backup create` makes one")
            name = complete[0].name
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a backup; `satctl backup list` shows them")
        try:
            return self._manifest(name)
        except ObjectMissingError:
            state = "is incomplete, so it can't be used" if self.place.list(f"{name}/") else "is not there"
            raise InputError(f"backup {name} {state} in {self.place.url}; `satctl backup list` shows them") from None

    def expired(self, now: datetime, keep: int | None, keep_days: int | None) -> list[str]:
        """The backups to remove: all but some, and incomplete ones a day after they were begun.

        The newest complete one is always kept, and so are unreadable ones: a newer satctl may have taken them.

        Args:
            now: the present.
            keep: how many complete ones are kept; None for all.
            keep_days: for how many days complete ones are kept; None for ever.
        """
        listed = self.listed()
        complete = [backup for backup in listed if backup.manifest]
        gone = [b for b in listed if b.state == "incomplete" and now - b.begun_at > INCOMPLETE_FOR]
        if keep is not None:
            gone += complete[max(keep, 1) :]
        if keep_days is not None:
            gone += [b for b in complete[1:] if now - b.begun_at > timedelta(days=keep_days)]
        return sorted({backup.name for backup in gone})

    def remove(self, name: str) -> None:
        """Remove a backup: its manifest first, so that half of it is none."""
        self.place.delete(f"{name}/{_MANIFEST}")
        for key in self.place.list(f"{name}/"):
            self.place.delete(key)

    def _listed(self, name: str, complete: bool) -> Listed:
        if not complete:
            return Listed(name, None, "incomplete")
        try:
            return Listed(name, self._manifest(name), "complete")
        except (DamagedObjectError, InputError):
            return Listed(name, None, "unreadable")

    def _manifest(self, name: str) -> Manifest:
        data = self.place.get(f"{name}/{_MANIFEST}")
        where = f"backup {name} in {self.place.url}"
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            raise DamagedObjectError(f"{where}: its manifest is damaged; use another backup") from error
        if manifest.format != FORMAT:
            raise InputError(f"{where}: its format is {manifest.format}, this code's is {FORMAT}; use a newer satctl")
        return manifest

    def _content(self, part: Part) -> bytes:
        try:
            data = self.place.get(part.key)
        except ObjectMissingError:
            raise DamagedObjectError(f"{part.key} is gone from {self.place.url}; use another backup") from None
        if hashlib.sha256(data).hexdigest() != part.digest:
            raise DamagedObjectError(f"{part.key} in {self.place.url} is not what was put; use another backup")
        content: bytes = pa.decompress(data, part.content_size, codec=_CODEC, asbytes=True)
        return content


def _pieces(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same bytes in pieces of a part's size; the last is shorter."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece = bytearray()
    if piece:
        yield bytes(piece)
