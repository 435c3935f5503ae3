"""Assets: files of one band behind links, read in place by ranges, always of one version.

obstore fetches them over HTTP(S), from S3, or from a folder, and retries what may pass. Every response says which
version it is of (ETag, else time of modification, and size); where that changes, the file was replaced in between.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, LocalStore, S3Store

from satcommon.errors import ArchiveError, SceneError
from satcommon.raster.geotiff import ADVICE, failing, open_geotiff
from satcommon.raster.threads import at_once
from satcommon.secret_files import secret
from satcommon.sources.stac_signing import matches
from satcommon.storage.ranges import CHUNK, UNSATISFIABLE, Ranges
from satcommon.storage.s3 import http_status, message_of, transport_fault

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore
    from rasterio.io import DatasetReader

    from satcommon.sources.stac_config import StacConfig
    from satcommon.sources.stac_signing import Signer

_NAME = "asset"  # that GDAL gives a file while it is read
_SHA_256 = "1220"  # before its digits in a multihash
_MOST_STORES = 64  # each keeps connections
_MOST_REQUESTS = 8  # together, whatever the number of files: what hides their time without a burst on the provider
_GAP = 4 * CHUNK  # bytes between two spans that are fetched along, since another request takes longer
_QUERY = re.compile(r"\?[^\s\"')>]*")
_DENIED = (PermissionDeniedError, UnauthenticatedError)
_TRANSPORT = {
    "Timeout": "time-out; ask again later, or raise `timeout_seconds` of [requests]",
    "Interrupted": "the answer was cut; ask again later",
    "TooManyRedirects": "its redirects have no end; check the link, and the credentials that SATFIELDS_STAC names",
    "InvalidCertificate": "its certificate is not trusted here ({detail}); set SSL_CERT_FILE to its authority's",
}


@dataclass(frozen=True)
class Version:
    """Which version of a file a response is of."""

    etag: str
    modified: str
    size: int

    @staticmethod
    def of(meta: ObjectMeta) -> Version:
        """The version that a response's headers tell; a weak ETag says nothing of bytes."""
        etag = meta["e_tag"] or ""
        return Version("" if etag.startswith("W/") else etag, meta["last_modified"].isoformat(), meta["size"])

    @property
    def pin(self) -> str:
        """What a digest covers of it."""
        return f"{self.etag or self.modified} {self.size}"


@dataclass(frozen=True)
class Link:
    """Where an asset is, what it is called in messages, and GDAL's driver of its format."""

    href: str
    name: str
    driver: str = "GTiff"


class Assets:
    """Opens assets, and tells their versions.

    Args:
        config: of the source.
        signer: of links.
        local: whether links may lead into this machine's folders: those of a catalogue that lies there itself.
    """

    def __init__(self, config: StacConfig, signer: Signer, *, local: bool) -> None:
        self._config, self._signer, self._local = config, signer, local
        self._stores: dict[tuple[str, ...], ObjectStore] = {}
        self._lock = threading.Lock()
        self._requests = threading.BoundedSemaphore(_MOST_REQUESTS)

    def version(self, link: Link) -> Version:
        """The version of an asset that is there now.

        Raises:
            SceneError: it is gone, or its link can't be followed.
            ArchiveError: it can't be reached.
        """
        with translated_errors(link):
            return Version.of(self.signed(link, obstore.head))

    def begin(self, link: Link) -> PinnedRanges:
        """What fetches an asset; its first bytes are there, and with them its version.

        Raises:
            SceneError: it is gone, or its link can't be followed.
            ArchiveError: it can't be reached.
        """
        ranges = PinnedRanges(self, link)
        ranges.begin()
        return ranges

    def verify(self, link: Link, checksum: str) -> None:
        """Fetch an asset whole, and hold it against the checksum that its item states.

        Args:
            link: of the asset.
            checksum: a multihash in hexadecimal digits; of SHA-256, or nothing can be said.

        Raises:
            SceneError: it is another file.
            ArchiveError: it can't be reached.
        """
        digest = hashlib.sha256()
        with translated_errors(link):
            for piece in self.signed(link, lambda store, key: obstore.get(store, key)):
                digest.update(piece)
        if checksum.lower() != _SHA_256 + digest.hexdigest():
            raise changed(link)

    def signed(self, link: Link, ask: Any) -> Any:
        """A request to where an asset is; where its signature is refused, once more with a new one."""
        with self._requests:
            try:
                return ask(*self._located(link, renew=False))
            except _DENIED:
                if not self._signer.signs(link.href):
                    raise
            return ask(*self._located(link, renew=True))

    def _located(self, link: Link, *, renew: bool) -> tuple[ObjectStore, str]:
        parts = urlsplit(link.href)
        if parts.scheme in ("http", "https") and parts.hostname:
            query = self._signer.query(link.href, renew=renew) if self._signer.signs(link.href) else parts.query
            return self._store(parts.scheme, parts.netloc, query), unquote(parts.path.lstrip("/"))
        if parts.scheme == "s3" and parts.netloc:
            return self._store("s3", parts.netloc, ""), parts.path.lstrip("/")
        if parts.scheme in ("", "file") and parts.path.startswith("/") and self._local:
            return self._store("file", "/", ""), (unquote(parts.path) if parts.scheme else link.href).lstrip("/")
        raise SceneError(
            f"{link.name}: its link {_safe(link.href)[:200]!r} can't be followed; expected https:// or s3://, or "
            "choose another with `alternate`"
        )

    def _store(self, scheme: str, where: str, query: str) -> ObjectStore:
        key = (scheme, where, query)
        with self._lock:
            store = self._stores.pop(key, None) or self._opened(scheme, where, query)
            self._stores[key] = store  # the latest last
            while len(self._stores) > _MOST_STORES:
                self._stores.pop(next(iter(self._stores)))
            return store

    def _opened(self, scheme: str, where: str, query: str) -> ObjectStore:
        limits = self._config.requests
        timeout = timedelta(seconds=limits.timeout_seconds)
        retries: Any = {
            "max_retries": limits.tries - 1,
            "retry_timeout": timeout * limits.tries,
            "backoff": {
                "init_backoff": timedelta(seconds=limits.pause_seconds),
                "max_backoff": timedelta(seconds=limits.longest_pause_seconds),
                "base": 2,
            },
        }
        client: Any = {"connect_timeout": min(timeout, timedelta(seconds=10)), "timeout": timeout}
        if scheme == "file":
            return LocalStore("/")
        if scheme == "s3":
            return self._bucket(where, client, retries)
        url = f"{scheme}://{where}/"
        client |= {"allow_http": scheme == "http", "default_headers": headers_for(url, self._config)}
        return HTTPStore.from_url(f"{url}?{query}" if query else url, client_options=client, retry_config=retries)

    def _bucket(self, name: str, client: Any, retries: Any) -> S3Store:
        storage = self._config.storage
        region = storage.region or "us-west-2"
        endpoint = storage.endpoint or f"https://s3.{region}.amazonaws.com"
        keys: Any = {}
        if not storage.anonymous and (key := secret(storage.key_variable)):
            keys = {"access_key_id": key, "secret_access_key": secret(storage.secret_variable)}
        return S3Store(
            name,
            region=region,
            endpoint=endpoint,  # stated, or the variable of your own object store's endpoint would count
            request_payer=storage.requester_pays,
            skip_signature=storage.anonymous,
            client_options=client | {"allow_http": endpoint.startswith("http:")},
            retry_config=retries,
            **keys,
        )


class GoneError(SceneError):
    """An asset is not at its link."""


class DeniedError(ArchiveError):
    """An asset may not be read."""


class PinnedRanges(Ranges):
    """The ranges of one version of an asset.

    Args:
        assets: makes the requests.
        link: of the asset.

    Attributes:
        version: of the bytes that were fetched so far; None before the first.
    """

    def __init__(self, assets: Assets, link: Link) -> None:
        super().__init__(LocalStore("/"), link.href, lambda _: translated_errors(link), link.name)
        self.version: Version | None = None
        self._assets, self._link = assets, link

    @contextmanager
    def opened(self) -> Iterator[DatasetReader]:
        """The asset as a dataset. It must be closed by the thread that opened it.

        Raises:
            SceneError: it is gone, was changed, or can't be read in its format.
            ArchiveError: it can't be reached.
        """
        try:
            with failing(self._link.name, ADVICE), open_geotiff(_NAME, self.opener, self._link.driver) as dataset:
                yield dataset
        finally:
            if self.failed is not None:  # GDAL reports a damaged file instead
                raise self.failed

    def begin(self) -> None:
        """Fetch the first chunk, and with it size and version."""
        with translated_errors(self._link):
            self._chunks = {0: self._get(0, CHUNK)}
        assert self.version is not None
        self.size = self.version.size

    def _request(self, starts: list[int], ends: list[int]) -> list[bytes]:
        runs: list[list[tuple[int, int]]] = []
        for span in zip(starts, ends, strict=True):
            if runs and span[0] - runs[-1][-1][1] <= _GAP:
                runs[-1].append(span)
            else:
                runs.append([span])
        pieces = at_once(lambda run: self._get(run[0][0], run[-1][1]), runs)
        return [
            content[start - run[0][0] : end - run[0][0]]
            for run, content in zip(runs, pieces, strict=True)
            for start, end in run
        ]

    def _get(self, start: int, end: int) -> bytes:
        options: Any = {"range": (start, end)}
        if self.version is not None and self.version.etag:
            options["if_match"] = self.version.etag

        def whole(store: ObjectStore, key: str) -> tuple[Version, bytes]:
            result = obstore.get(store, key, options=options)
            return Version.of(result.meta), bytes(result.bytes())

        content: bytes
        try:
            version, content = self._assets.signed(self._link, whole)
        except BaseError as error:
            if http_status(error) == UNSATISFIABLE:
                self._require_longer_than(start)
            raise
        if self.version is None:
            self.version = version
        elif version != self.version:
            raise changed(self._link)
        expected = min(end, version.size) - start
        if len(content) != expected:
            raise ArchiveError(
                f"{self._link.name}: {len(content):,} bytes came of {expected:,} ({_safe(self._link.href)})"
            )
        return content

    def _require_longer_than(self, start: int) -> None:
        """Ask how long the file is now, where a range of it was refused.

        Raises:
            SceneError: it is empty, or ends before the range.
        """
        size = self._assets.version(self._link).size
        if size == 0:
            raise SceneError(f"{self._link.name}: is empty ({_safe(self._link.href)}); list it again once it is mended")
        if size <= start:
            raise changed(self._link)


def changed(link: Link) -> SceneError:
    """The error for an asset that was replaced while it was read."""
    return SceneError(f"{link.name}: was changed while it was read ({_safe(link.href)}); list it again")


@contextmanager
def translated_errors(link: Link) -> Iterator[None]:
    """Turn the errors of requests for an asset into ours, which name it, and never a signature.

    Raises:
        SceneError: it is gone or was changed.
        ArchiveError: it can't be reached, or may not be read.
    """
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise GoneError(f"{link.name}: is gone ({_safe(link.href)}); list it again") from None
    except PreconditionError:
        raise changed(link) from None
    except _DENIED:
        raise DeniedError(
            f"{link.name}: may not be read ({_safe(link.href)}); check the credentials that SATFIELDS_STAC names"
        ) from None
    except BaseError as error:
        fault, detail = transport_fault(error)
        why = _TRANSPORT[fault].format(detail=detail) if fault else _safe(message_of(error))[:300]
        raise ArchiveError(f"{link.name}: could not be read ({_safe(link.href)}): {why}") from None


def headers_for(url: str, config: StacConfig) -> Mapping[str, str]:
    """The headers of requests to an address, with the values that the environment variables have now."""
    return {
        header.name: header.prefix + value
        for header in config.headers
        if matches(url, header.hosts) and (value := secret(header.variable))
    }


def _safe(text: str) -> str:
    return _QUERY.sub("?...", text)
