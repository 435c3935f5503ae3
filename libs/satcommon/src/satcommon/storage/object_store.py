"""The object store, a folder or S3: an object is put once, whole, under a new key, and read.

After a put returns, every reader sees the object; a put that failed or was killed leaves nothing, or an unreferenced
object.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

from satcommon.errors import ObjectMissingError, SettingError, StoreError
from satcommon.storage import s3
from satcommon.storage.ranges import Ranges

# A folder raises Python's own errors where a bucket raises obstore's.
_MISSING = (NotFoundError, FileNotFoundError)
_EXISTS = (AlreadyExistsError, FileExistsError)
_PART = 8 << 20  # bytes: a large object goes to a bucket in such parts, each with its own time-out and retries


class Listed(NamedTuple):
    """An object as the store lists it: when it was put, and its bytes."""

    put_at: datetime
    size: int


class ObjectStore:
    """Immutable objects by key.

    Args:
        url: a folder, or ``s3://bucket/prefix`` (credentials and endpoint from the usual AWS variables).
        timeout_seconds: the time-out of a request to a bucket.
        setting: what names the URL, for messages.

    Raises:
        SettingError: the URL is of another kind, or an AWS variable can't be right.
        StoreError: the folder can't be created.
    """

    def __init__(self, url: str, timeout_seconds: float = s3.TIMEOUT_SECONDS, setting: str = "SATFIELDS_STORE") -> None:
        self.url = url
        self._setting = setting
        self._folder: Path | None = None
        self._store: LocalStore | S3Store
        if url.startswith("s3://"):
            self._store = s3.open_bucket(url, setting, timeout_seconds)
        elif "://" in url:
            raise SettingError(f"{setting}={url!r}: expected a folder or s3://bucket/prefix")
        else:
            self._folder = Path(url).absolute()
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{setting}={url!r} can't be made: {error.strerror}; name a folder") from error
            self._store = LocalStore(self._folder)

    def put(self, key: str, data: bytes) -> bool:
        """Store an object under a new key.

        Returns:
            False where the key exists already: nothing was changed, which is right for keys made of content.

        Raises:
            StoreError: it could not be stored; nothing is under the key.

        Warning:
            An object larger than two parts is uploaded to a bucket in parts, which has no "create" mode: of two
            simultaneous puts of one key the later one stays. No caller puts different bytes under one key. Parts of a
            process that was killed are invisible; the bucket's rule for incomplete uploads removes them.
        """
        if self._folder is None and len(data) > 2 * _PART:
            if self.exists(key):
                return False
            with self._translated_errors(key):
                obstore.put(self._store, key, data, use_multipart=True, chunk_size=_PART, max_concurrency=4)
            return True
        with self._translated_errors(key):
            try:
                obstore.put(self._store, key, data, mode="create")
            except _EXISTS:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Store an object under a key, in place of one that may be there; readers see one of the two, whole.

        Results are never replaced: this is for what is published elsewhere under fixed names.

        Raises:
            StoreError: it could not be stored; what was there is unchanged.
        """
        with self._translated_errors(key):
            obstore.put(self._store, key, data, mode="overwrite")

    def get(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            ObjectMissingError: nothing is under the key.
            StoreError: the store could not be reached.
        """
        with self._translated_errors(key):
            if self._folder is not None:  # a third of the time that obstore takes, which for small objects counts
                return (self._folder / key).read_bytes()
            return bytes(obstore.get(self._store, key).bytes())

    def exists(self, key: str) -> bool:
        """Whether an object is under the key.

        Raises:
            StoreError: the store could not be reached.
        """
        try:
            with self._translated_errors(key):
                obstore.head(self._store, key)
        except ObjectMissingError:
            self.list(key)  # raises where the bucket is missing: the answer to a HEAD does not say so
            return False
        return True

    def folders(self) -> list[str]:
        """The first parts of all keys that have several, sorted.

        Raises:
            StoreError: the store could not be reached.
        """
        with self._translated_errors(""):
            return sorted(obstore.list_with_delimiter(self._store)["common_prefixes"])

    def list(self, prefix: str) -> list[str]:
        """The keys under a prefix, sorted. A prefix ends at a ``/``.

        Raises:
            StoreError: the store could not be reached.
        """
        with self._translated_errors(prefix):
            return sorted(entry["path"] for batch in obstore.list(self._store, prefix) for entry in batch)

    def put_times(self, prefix: str) -> dict[str, datetime]:
        """When each object under a prefix was put.

        Raises:
            StoreError: the store could not be reached.
        """
        return {key: listed.put_at for key, listed in self.listing(prefix).items()}

    def listing(self, prefix: str) -> dict[str, Listed]:
        """The objects under a prefix, by key.

        Raises:
            StoreError: the store could not be reached.
        """
        with self._translated_errors(prefix):
            entries = (entry for batch in obstore.list(self._store, prefix) for entry in batch)
            return {entry["path"]: Listed(entry["last_modified"], entry["size"]) for entry in entries}

    def delete(self, key: str) -> None:
        """Remove an object; as with S3, a missing object is no error.

        Raises:
            StoreError: the store could not be reached.
        """
        with suppress(ObjectMissingError), self._translated_errors(key):
            obstore.delete(self._store, key)

    def file_of(self, key: str) -> str | Ranges:
        """The object as a file whose parts can be read one by one: a path, or ranges of a bucket's object."""
        if self._folder is not None:
            return str(self._folder / key)
        return Ranges(self._store, key, self._translated_errors, f"{self.url.rstrip('/')}/{key}")

    @contextmanager
    def _translated_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            if isinstance(error, _MISSING) and not s3.bucket_is_missing(error):
                raise ObjectMissingError(f"there is no object {key!r} in {self.url}") from None
            raise StoreError(
                f"the store {self.url} ({self._setting}) could not be used for {key!r}: "
                f"{s3.message_of(error)}{s3.advice(error, self._setting)}"
            ) from None  # a request's details may hold a session token
