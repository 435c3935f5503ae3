"""Checking a backup without restoring it: every byte of it, and every object that its ledger names."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from satcommon.audit.garbage import stored_objects
from satcommon.errors import DamagedObjectError, ObjectMissingError
from satcommon.storage.object_store import ObjectStore

from satctl.backup.create import OBJECTS
from satctl.backup.folder import Backups
from satctl.backup.manifest import Manifest
from satctl.backup.snapshot import FILE

_SHOWN = 20  # objects that are named; all are counted


@dataclass
class Verified:
    """What is wrong with a backup, and with the objects that it needs."""

    problems: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # objects that are gone, or of another size or digest
    checked: int = 0  # objects

    @property
    def sound(self) -> bool:
        """Whether it can be restored, and every object that it names is there."""
        return not self.problems and not self.lost


@dataclass(frozen=True)
class NamedObject:
    """An object that the backup's ledger names; its size is None where it was lost before the backup."""

    key: str
    size: int | None
    digest: str | None


def verify(
    backups: Backups, manifest: Manifest, store: ObjectStore, progress: Callable[[], None], *, deep: bool
) -> Verified:
    """Read a backup back, and look for the objects that its ledger names.

    Args:
        backups: where it lies.
        manifest: of the backup.
        store: of results and scenes.
        progress: called for each part, and for each object that is read.
        deep: also read every result, and compare its digest. The ledger has none of scenes: their size is compared.
    """
    found = Verified()
    try:
        check_ledger(backups, manifest, progress)
    except DamagedObjectError as error:
        found.problems.append(str(error))
    try:
        objects = named(backups, manifest)
    except DamagedObjectError as error:
        found.problems.append(str(error))
        return found
    stored = stored_objects(store)
    for wanted in objects:
        found.checked += 1
        listed = stored.get(wanted.key)
        if listed is None or wanted.size not in (None, listed.size):
            found.lost.append(wanted.key)
        elif deep and wanted.digest is not None:
            if not _is_whole(store, wanted):
                found.lost.append(wanted.key)
            progress()
    return found


def check_ledger(backups: Backups, manifest: Manifest, progress: Callable[[], None]) -> None:
    """Read every part of the ledger, and count the rows of each table.

    Raises:
        DamagedObjectError: a part is gone or differs, or the rows are not as many as the manifest says.
    """
    if manifest.database == "sqlite":
        with TemporaryDirectory(prefix="satctl-backup-") as folder:
            file = Path(folder) / FILE
            unpack(backups, manifest, file, progress)
            check_file(manifest, file)
        return
    for name, table in manifest.tables.items():
        rows = 0
        for content in backups.read_stream(manifest, name):
            rows += content.count(b"\n")  # COPY writes a line a row, and escapes those in texts
            progress()
        if rows != table.rows:
            raise DamagedObjectError(
                f"backup {manifest.name}: table {name} has {rows:,} rows, the manifest says {table.rows:,}"
            )


def unpack(backups: Backups, manifest: Manifest, file: Path, progress: Callable[[], None]) -> None:
    """Write SQLite's file.

    Args:
        backups: the folder of backups.
        manifest: of the backup.
        file: that is written.
        progress: called after each part.
    """
    with file.open("wb") as opened:
        for content in backups.read_stream(manifest, FILE):
            opened.write(content)
            progress()


def check_file(manifest: Manifest, file: Path) -> None:
    """Let SQLite check a file, and count its rows.

    Raises:
        DamagedObjectError: it is damaged, or the rows are not as many as the manifest says.
    """
    with closing(sqlite3.connect(file)) as connection:
        try:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            rows = {
                name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # the manifest's
                for name in manifest.tables
            }
        except sqlite3.DatabaseError as error:
            raise DamagedObjectError(f"backup {manifest.name}: SQLite can't read its file: {error}") from error
    if said != ["ok"]:
        raise DamagedObjectError(f"backup {manifest.name}: SQLite's check of its file says: {said[0]}")
    for name, table in manifest.tables.items():
        if rows[name] != table.rows:
            raise DamagedObjectError(
                f"backup {manifest.name}: table {name} has {rows[name]:,} rows, the manifest says {table.rows:,}"
            )


def named(backups: Backups, manifest: Manifest) -> list[NamedObject]:
    """The objects that the backup's ledger names.

    Raises:
        DamagedObjectError: the list is not the one that was put.
    """
    text = b"".join(backups.read_stream(manifest, OBJECTS))
    objects = list(_parsed(text.decode()))
    if hashlib.sha256(text).hexdigest() != manifest.objects.digest or len(objects) != manifest.objects.count:
        raise DamagedObjectError(f"backup {manifest.name}: its list of objects is not the one that was put")
    return objects


def shown(keys: list[str]) -> str:
    """The first keys, and how many more there are, a line each."""
    rest = len(keys) - _SHOWN
    return "\n".join([f"  {key}" for key in keys[:_SHOWN]] + ([f"  ... and {rest:,} more"] if rest > 0 else []))


def _parsed(text: str) -> Iterator[NamedObject]:
    for line in text.splitlines():
        key, size, digest = line.split("\t")
        yield NamedObject(key, int(size) if size else None, digest or None)


def _is_whole(store: ObjectStore, wanted: NamedObject) -> bool:
    try:
        return hashlib.sha256(store.get(wanted.key)).hexdigest() == wanted.digest
    except ObjectMissingError:
        return False
