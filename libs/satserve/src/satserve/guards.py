"""What stands before every request: limits of size and time, headers of security, HEAD, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from satcommon.telemetry.logs import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from satserve.metrics import count_request
from satserve.problem import Problem

CONNECTIONS = 512  # that a process has open
ADDRESS_CONNECTIONS = CONNECTIONS // 2  # of one client's address: a proxy has enough, and probes and others keep room
HEAD_BYTES = 32 << 10  # of a request's line and headers
HEAD_SECONDS = 10.0  # for a client to send them
TARGET_BYTES = 8 << 10  # of path and query
BODY_BYTES = 16 << 10  # of a request, which needs none
WRITE_SECONDS = 30.0  # for a client to take the next piece of an answer

_ABORT = "satserve.abort"
_UNANSWERED = 499  # counts as its status
_METHODS = ("GET", "HEAD", "OPTIONS")
_SECURITY = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"permissions-policy", b"interest-cohort=()"),
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits of size and of time for a request's line and headers, and of open connections.

    uvicorn ends connections that wait between two requests, but not those within one: a few clients that send a byte
    a second would hold every connection there may be. Nor does it count by client: within the time for headers, one
    alone could open all of them.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The first request is awaited."""
        super().connection_made(transport)
        if self._is_one_too_many():
            self._refuse(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\nconnection: close\r\n\r\n")
        else:
            self._await_head()

    def _is_one_too_many(self) -> bool:
        if self.client is None:
            return False
        peers = [each.client for each in self.connections if isinstance(each, BoundedProtocol) and each.client]
        return sum(address == self.client[0] for address, _port in peers) > ADDRESS_CONNECTIONS

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Another request begins on the connection."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The line and the headers are there."""
        self._stop_waiting()
        self.scope["extensions"] = {_ABORT: {"abort": self.transport.abort}}  # an extension of ours
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(
            HEAD_SECONDS, self._refuse, b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"
        )

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, answer: bytes) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


class _SlowClientError(Exception):
    """A client did not take the next piece of an answer in time."""


class Guard:
    """The outermost layer of the application, also where something fails that nobody expected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method = time.perf_counter(), scope["method"]
        outlet = _Outlet(send, without_body=method == "HEAD")
        try:
            refused = _refused(scope)
            if refused is not None:
                await refused.response()(scope, receive, outlet)
            else:
                inner: MutableMapping[str, Any] = scope
                if method == "HEAD":
                    inner["method"] = "GET"
                await self._app(inner, receive, outlet)
        except _SlowClientError:
            logger(__name__).info("client took nothing", seconds=WRITE_SECONDS, path=scope["path"])
            # To close the connection would wait for what is not taken.
            scope["extensions"][_ABORT]["abort"]()
        except Exception as error:
            if outlet.status != _UNANSWERED:
                raise  # the server tells of it, and ends the connection: what was sent is no whole answer
            logger(__name__).error("request failed", path=scope["path"], error=type(error).__name__, exc_info=error)
            detail = "this was not expected, and is in the service's log; tell its operator"
            await Problem(500, "Failed", detail).response()(scope, receive, outlet)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            known = method if method in _METHODS else "other"
            count_request(route, known, outlet.status, time.perf_counter() - started)


def _refused(scope: Scope) -> Problem | None:
    """The problem of a request whose size or method is out of bounds."""
    if scope["method"] not in _METHODS:
        return Problem(405, "Read-only", "this service only answers GET and HEAD", {"allow": "GET, HEAD"})
    if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_BYTES:
        return Problem(414, "Address too long", f"path and query may have {TARGET_BYTES} bytes; ask for less at a time")
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not length.isdigit() or int(length) > BODY_BYTES:
        return Problem(413, "Body too large", "requests need no body here; send none", {"connection": "close"})
    return None


class _Outlet:
    """Sends an answer: adds the headers of security, drops the body of HEAD, gives a slow client up."""

    def __init__(self, send: Send, *, without_body: bool) -> None:
        self._send = send
        self._without_body = without_body
        self.status = _UNANSWERED

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name for name, _ in message["headers"]}  # the page has a policy of its own
            added = (header for header in _SECURITY if header[0] not in own)
            message["headers"] = [*filter(_is_told, message["headers"]), *added]
        elif message["type"] == "http.response.body" and self._without_body:
            message = {**message, "body": b""}
            if message.get("more_body"):
                return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise _SlowClientError from None


def _is_told(header: tuple[bytes, bytes]) -> bool:
    """Whether a header is for the client: `identity` only kept an answer from being compressed."""
    return header != (b"content-encoding", b"identity")
