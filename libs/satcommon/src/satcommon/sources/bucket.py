"""The files of a source of scenes under a prefix of a bucket.

Only obstore talks to the bucket, as it does for the object store; GDAL reads through it, or from memory. A listing
fetches the headers of files by ranges; a digest streams the bytes once; for its pixels a file is held in memory whole,
one at a time, so that they are those of the version that was listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from rasterio.io import MemoryFile

from satcommon.errors import SceneError, StoreError
from satcommon.raster.geotiff import open_geotiff
from satcommon.sources.files import MOST_TEXT_BYTES, File, Scan, changed, check_name, check_size, is_ours
from satcommon.storage import s3
from satcommon.storage.ranges import Ranges

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore
    from rasterio.io import DatasetReader

_SETTING = "SATFIELDS_SCENE_FOLDER"


class BucketFiles:
    """Files under a prefix.

    Args:
        url: ``s3://bucket/prefix``; credentials and endpoint come from the usual AWS variables.
        store: an opened bucket, to be read in place of that of the URL.
    """

    def __init__(self, url: str, store: ObjectStore | None = None) -> None:
        self.where = url.rstrip("/")
        if store is None:
            store = s3.open_bucket(url, _SETTING)
        self._store = store

    def scan(self) -> Scan:
        """See `Files`; a prefix without objects is an empty folder."""
        scan: Scan = {}
        with self._translated_errors(""):
            for batch in obstore.list(self._store):
                for meta in batch:
                    name = meta["path"]
                    if is_ours(name) and not f"/{name}".count("/."):
                        try:
                            check_name(name)
                            scan[name] = _file(meta)
                        except SceneError as error:
                            scan[ascii(name)[1:-1]] = str(error)
        return scan

    def find(self, name: str) -> File | None:
        """See `Files`."""
        try:
            with self._translated_errors(name):
                return _file(obstore.head(self._store, name))
        except FileNotFoundError:
            return None

    def within(self, folder: str, ending: str) -> Scan:
        """See `Files`; a prefix without objects is an empty folder."""
        scan: Scan = {}
        with self._translated_errors(folder):
            for meta in obstore.list_with_delimiter(self._store, folder or None)["objects"]:
                name = meta["path"]
                if name.lower().endswith(ending) and not f"/{name}".count("/."):
                    scan[name] = _file(meta)
        return scan

    def read(self, name: str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
        """See `Files`."""
        with self._translated_errors(name), self._there(name):
            result = obstore.get(self._store, name)
            check_size(name, result.meta["size"], most_bytes)
            return bytes(result.bytes())

    def digest(self, name: str, file: File) -> str:
        """See `Files`."""
        digest = hashlib.sha256()
        with self._translated_errors(name), self._there(name):
            result = obstore.get(self._store, name)
            if _file(result.meta) != file:
                raise changed(name)
            for chunk in result.stream():
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def header(self, name: str, file: File) -> Iterator[DatasetReader]:
        """See `Files`."""
        ranges = Ranges(self._store, name, self._translated_errors, name, file.size)
        with self._translated_errors(name), self._there(name):
            try:
                with open_geotiff("header.tif", opener=ranges.opener) as dataset:
                    yield dataset
            finally:
                if ranges.failed is not None:
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
        with self._translated_errors(name), self._there(name):
            result = obstore.get(self._store, name)
            if _file(result.meta) != file:
                raise changed(name)
            content = bytes(result.bytes())
        with MemoryFile(content) as memory, open_geotiff(memory.name) as dataset:
            yield dataset

    @contextmanager
    def _translated_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if isinstance(error, NotFoundError | FileNotFoundError) and not s3.bucket_is_missing(error):
                raise FileNotFoundError(name) from None
            raise StoreError(
                f"{self.where}{name and '/' + name} ({_SETTING}) could not be read: "
                f"{s3.message_of(error)}{s3.advice(error, _SETTING)}"
            ) from None

    @contextmanager
    def _there(self, name: str) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise SceneError(f"{name}: can't be read: it is gone; list it again") from error


def _file(meta: ObjectMeta) -> File:
    return File((meta["e_tag"], meta["last_modified"], meta["size"]), meta["size"], meta["last_modified"])
