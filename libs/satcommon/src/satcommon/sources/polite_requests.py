"""Requests to a catalogue: the one place that waits, tries again and gives up.

A request is tried again after whatever may pass: no connection, a time-out, a body that was cut, JSON that is none, and
the statuses of `_PASSING`. The pauses grow, and `Retry-After` counts; urllib3's `Retry` keeps that account. The HTTP
client itself retries nothing, or tries would multiply.

A catalogue that is down is told from one that has nothing: every failure is an exception. After a few requests that
failed for good, its circuit opens: for a while, this process fails immediately, so that two hundred regions do not each
wait for the same time-outs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from satcommon.errors import CatalogueError
from satcommon.messages import counted

if TYPE_CHECKING:
    from satcommon.sources.stac_config import Requests as Limits

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REMEDIES = dict.fromkeys((401, 403), "check the environment variables that its headers name")
_CONNECT_SECONDS = 10.0


@dataclass
class Circuit:
    """Whether a host is worth asking; shared by all sources of a process that ask it."""

    failures: int = 0
    open_until: float = 0.0
    last: str = ""
    next_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


_circuits: dict[str, Circuit] = {}
_circuits_lock = threading.Lock()


class PoliteRequests:
    """Asks for JSON until it has some, or gives up.

    Args:
        limits: time-outs, tries, pauses and rate.
        headers: that a request to an address carries.
        clock: seconds that only grow.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        limits: Limits,
        headers: Callable[[str], Mapping[str, str]] = lambda _: {},
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits, self._headers, self._clock, self._sleep = limits, headers, clock, sleep
        self._session = _Session(headers)

    def json(
        self, url: str, method: str = "GET", params: Mapping[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """The JSON object at an address.

        Args:
            url: the address.
            method: of HTTP.
            params: of the query string.
            body: sent as JSON.

        Raises:
            CatalogueError: every try failed, the catalogue refuses the request, or its circuit is open.
        """
        circuit = _circuit_of(url)
        self._check(circuit, url)
        pauses = Retry(
            total=None,
            backoff_factor=self._limits.pause_seconds,
            backoff_max=self._limits.longest_pause_seconds,
            backoff_jitter=self._limits.pause_seconds / 2,  # many processes must not come back together
        )
        tries = 0
        while True:
            self._take_turn(circuit)
            tries += 1
            try:
                content = self._once(url, method, params, body)
            except _TryAgainError as failure:
                if tries == self._limits.tries or failure.asked_for > self._limits.longest_pause_seconds:
                    raise self._gave_up(circuit, url, failure, tries) from None
                pauses = pauses.increment(method, url, error=failure)
                self._sleep(max(failure.asked_for, pauses.get_backoff_time(), self._limits.pause_seconds))
            else:
                with circuit.lock:
                    circuit.failures = 0
                return content

    def _once(self, url: str, method: str, params: Mapping[str, Any] | None, body: Any) -> dict[str, Any]:
        """One try.

        Raises:
            _TryAgainError: it may pass.
            CatalogueError: the request is refused.
        """
        longest = self._limits.timeout_seconds
        try:
            response = self._session.request(
                method,
                url,
                params=params,
                json=body,
                headers=dict(self._headers(url)),
                timeout=(min(_CONNECT_SECONDS, longest), longest),
            )
        except requests.RequestException as error:
            raise _TryAgainError(_reason(error)) from error
        status = response.status_code
        if status in _PASSING:
            asked_for = _retry_after(response.headers.get("Retry-After"))
            wanted = f", Retry-After {asked_for:g} s" if asked_for else ""
            raise _TryAgainError(f"HTTP {status}{wanted}", asked_for)
        if not 200 <= status < 300:
            remedy = _REMEDIES.get(status, "check the address, collections and filters that it is asked with")
            raise CatalogueError(f"{shown(url)}: refused the request (HTTP {status}); {remedy}")
        try:
            content = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise _TryAgainError("the answer is no JSON") from error
        if not isinstance(content, dict):
            raise _TryAgainError("the answer is no JSON object")
        return content

    def _check(self, circuit: Circuit, url: str) -> None:
        left = circuit.open_until - self._clock()
        if left > 0:
            raise CatalogueError(
                f"{shown(url)}: is not asked for another {left:.0f} s, since it was down ({circuit.last}); "
                "see the provider's status page"
            )

    def _take_turn(self, circuit: Circuit) -> None:
        """Wait until the rate allows a request."""
        if self._limits.a_second is None:
            return
        with circuit.lock:
            now = self._clock()
            turn = max(now, circuit.next_at)
            circuit.next_at = turn + 1 / self._limits.a_second
        if turn > now:
            self._sleep(turn - now)

    def _gave_up(self, circuit: Circuit, url: str, failure: _TryAgainError, tries: int) -> CatalogueError:
        with circuit.lock:
            circuit.failures += 1
            circuit.last = str(failure)
            now = self._clock()
            if circuit.failures >= self._limits.open_after:
                circuit.open_until = now + self._limits.open_seconds
            circuit.open_until = max(circuit.open_until, now + failure.asked_for)
        return CatalogueError(f"{shown(url)}: could not be asked ({failure}; {counted(tries, 'try', 'tries')})")


def forget_circuits() -> None:
    """Close all circuits of this process."""
    with _circuits_lock:
        _circuits.clear()


class _Session(requests.Session):
    """Sends an address' own headers to a redirect's target, and to no other host those of the first."""

    def __init__(self, headers: Callable[[str], Mapping[str, str]]) -> None:
        super().__init__()
        self._of = headers

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Called by requests before it follows a redirect."""
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]  # its stub has no types
        for name in self._of(response.request.url or ""):
            prepared_request.headers.pop(name, None)
        prepared_request.headers.update(self._of(prepared_request.url or ""))


class _TryAgainError(Exception):
    """A try that failed in a way that may pass; `asked_for`: seconds that the catalogue wants to be left alone."""

    def __init__(self, reason: str, asked_for: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_for = asked_for


def _circuit_of(url: str) -> Circuit:
    with _circuits_lock:
        return _circuits.setdefault(urlsplit(url).netloc, Circuit())


def _retry_after(stated: str | None) -> float:
    try:
        return Retry().parse_retry_after(stated) if stated else 0.0
    except HTTPError:  # neither seconds nor a date
        return 0.0


def _reason(error: requests.RequestException) -> str:
    for kind, reason in (
        (requests.Timeout, "time-out"),
        (
            requests.exceptions.SSLError,
            "its certificate is not trusted here; set REQUESTS_CA_BUNDLE to its authority's",
        ),
        (requests.TooManyRedirects, "its redirects have no end"),
        (requests.exceptions.ChunkedEncodingError, "the answer was cut"),
        (requests.exceptions.ContentDecodingError, "the answer was cut"),
        (requests.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind):
            return reason
    return type(error).__name__


def shown(url: str) -> str:
    """An address for messages: without its query, which may hold a key."""
    return url.split("?", 1)[0]
