"""The files of a source of scenes under a prefix of a bucket.

Only obstore talks to the bucket, as it does for the object store, and GDAL reads from it or from memory: so there is
one way to configure endpoint and credentials. A listing asks for the headers of files by ranges; a digest streams the
bytes once; pixels are read of one file at a time, held in memory whole, so that they are of the very version that was
listed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from rasterio.io import MemoryFile

from satcommon.errors import SceneError, StoreError
from satcommon.scenes.files import ITEM, RASTERS, File, changed, check_name, check_size
from satcommon.scenes.geotiff import open_geotiff

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore
    from rasterio.io import DatasetReader

_CHUNK = 1 << 18  # bytes of a request for a header: more than most headers have


class BucketFiles:
    """Files under a prefix.

    Args:
        url: ``s3://bucket/prefix``; credentials and endpoint come from the usual AWS variables.
        store: what to read instead.
    """

    def __init__(self, url: str, store: ObjectStore | None = None) -> None:
        self.where = url.rstrip("/")
        if store is None:
            from obstore.store import S3Store

            store = S3Store.from_url(url)
        self._store = store

    def scan(self) -> dict[str, File | str]:
        """See `Files`; a prefix without objects is an empty folder."""
        found: dict[str, File | str] = {}
        with self._explained(""):
            for batch in obstore.list(self._store):
                for meta in batch:
                    name = meta["path"]
                    if name.lower().endswith((*RASTERS, ITEM)) and not f"/{name}".count("/."):
                        try:
                            check_name(name)
                            found[name] = _file(meta)
                        except SceneError as error:
                            found[ascii(name)[1:-1]] = str(error)
        return found

    def find(self, name: str) -> File | None:
        """See `Files`."""
        try:
            with self._explained(name):
                return _file(obstore.head(self._store, name))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """See `Files`."""
        with self._explained(name), self._there(name):
            result = obstore.get(self._store, name)
            check_size(name, result.meta["size"])
            return bytes(result.bytes())

    def digest(self, name: str, file: File) -> str:
        """See `Files`."""
        digest = hashlib.sha256()
        with self._explained(name), self._there(name):
            result = obstore.get(self._store, name)
            if _file(result.meta) != file:
                raise changed(name)
            for chunk in result.stream():
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def header(self, name: str, file: File) -> Iterator[DatasetReader]:
        """See `Files`."""
        ranges = _Ranges(self._store, name, file.size)
        with self._explained(name), self._there(name):
            try:
                with open_geotiff("header.tif", opener=lambda *_, **__: _Cursor(ranges)) as dataset:
                    yield dataset
            finally:
                if ranges.failed is not None:  # GDAL would tell of a damaged file
                    raise ranges.failed
        if self.find(name) != file:
            raise changed(name)

    @contextmanager
    def pixels(self, name: str, file: File, most_bytes: int) -> Iterator[DatasetReader]:
        """See `Files`."""
        if file.size > most_bytes:
            raise SceneError(
                f"{name}: has {file.size:,} bytes; at most {most_bytes:,} are taken from a bucket; "
                "compress or cut it, or raise most_megabytes in satfields.toml"
            )
        with self._explained(name), self._there(name):
            result = obstore.get(self._store, name)
            if _file(result.meta) != file:
                raise changed(name)
            content = bytes(result.bytes())
        with MemoryFile(content) as memory, open_geotiff(memory.name) as dataset:
            yield dataset

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except NotFoundError as error:
            raise FileNotFoundError(name) from error
        except BaseError as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise StoreError(
                f"{self.where}{name and '/' + name} (SATFIELDS_SCENE_FOLDER) could not be read: {said}"
            ) from error

    @contextmanager
    def _there(self, name: str) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise SceneError(f"{name}: can't be read: it is gone; list it again") from error


def _file(meta: ObjectMeta) -> File:
    return File((meta["e_tag"], meta["last_modified"], meta["size"]), meta["size"], meta["last_modified"])


class _Ranges:
    """An object, fetched as far as it was asked for; an error is kept, since GDAL would swallow it."""

    def __init__(self, store: ObjectStore, name: str, size: int) -> None:
        self.size = size
        self.failed: BaseError | FileNotFoundError | None = None
        self._store, self._name = store, name
        self._chunks: dict[int, bytes] = {}

    def read(self, start: int, end: int) -> bytes:
        """The bytes from start to end; none from where fetching failed."""
        first, last = start // _CHUNK, max(start, end - 1) // _CHUNK
        skipped = first * _CHUNK
        return b"".join(map(self._chunk, range(first, last + 1)))[start - skipped : end - skipped]

    def _chunk(self, number: int) -> bytes:
        if number not in self._chunks and self.failed is None:
            start, end = number * _CHUNK, min(self.size, (number + 1) * _CHUNK)
            try:
                self._chunks[number] = bytes(obstore.get_range(self._store, self._name, start=start, end=end))
            except (BaseError, FileNotFoundError) as error:
                self.failed = error
        return self._chunks.get(number, b"")


class _Cursor(io.RawIOBase):
    """One of the files that GDAL opens on an object."""

    def __init__(self, ranges: _Ranges) -> None:
        self._ranges, self._at = ranges, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ranges.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._ranges.size if size < 0 else min(self._ranges.size, self._at + size)
        content = self._ranges.read(self._at, end) if self._at < end else b""
        self._at += len(content)
        return content
