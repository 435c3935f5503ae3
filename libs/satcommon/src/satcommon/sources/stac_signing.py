"""Signatures of links: fetched from a service when a link is read, and kept until shortly before they expire."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from satcommon.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from satcommon.sources.polite_requests import PoliteRequests
    from satcommon.sources.stac_config import Signing

_MARGIN = timedelta(minutes=2)  # before its end, so that a read that has begun does not outlive it
_UNSTATED = timedelta(minutes=10)  # for which a signature without an end is kept


@dataclass(frozen=True)
class _Token:
    query: str
    until: datetime


class Signer:
    """Signs links to hosts that want it, as Planetary Computer's do.

    Args:
        signing: of the source's configuration; None: no link is signed.
        asking: makes the requests.
        now: the clock.
    """

    def __init__(
        self, signing: Signing | None, asking: PoliteRequests, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._signing, self._asking, self._now = signing, asking, now
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def signs(self, href: str) -> bool:
        """Whether links to this host are signed."""
        return self._signing is not None and matches(href, self._signing.hosts)

    def query(self, href: str, *, renew: bool = False) -> str:
        """The query of a signed link.

        Args:
            href: the link.
            renew: whether the last signature was refused.

        Raises:
            CatalogueError: the service gave none.
        """
        assert self._signing is not None
        parts = urlsplit(href)
        account = (parts.hostname or "").split(".")[0]
        container = parts.path.lstrip("/").split("/")[0]
        url = self._signing.token_url.replace("{account}", account).replace("{container}", container)
        with self._lock:  # bands are read together: one of them asks, the others wait
            token = self._tokens.get(url)
            if token is None or renew or token.until <= self._now():
                token = self._tokens[url] = self._fetched(url)
            return token.query

    def _fetched(self, url: str) -> _Token:
        answer = self._asking.json(url)
        query = answer.get("token")
        if not isinstance(query, str) or not query:
            raise CatalogueError(f"{url}: gave no token; expected an object with `token` and `msft:expiry`")
        try:
            until = datetime.fromisoformat(str(answer.get("msft:expiry"))).astimezone(UTC) - _MARGIN
        except ValueError:
            until = self._now() + _UNSTATED
        return _Token(query.lstrip("?"), until)


def matches(href: str, hosts: Iterable[str]) -> bool:
    """Whether a link leads to one of some hosts, which may begin with ``*.``; the port does not count."""
    host = (urlsplit(href).hostname or "").lower()
    return any(fnmatchcase(host, pattern.lower()) for pattern in hosts)
