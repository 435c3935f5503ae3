"""What is sent to do harm is refused in words, in bounded time and memory."""

from __future__ import annotations

import base64
import json
import socket
import time
import zlib
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from satserve import guards

from tests.unit.satserve.serving import LAST, Served

DEEP = "(" * 400 + "area_ha = 1" + ")" * 400


def crafted(content: Any) -> str:
    """A cursor with a right checksum."""
    packed = zlib.compress(json.dumps(content).encode())
    return "c1." + base64.urlsafe_b64encode(packed + zlib.crc32(packed).to_bytes(4)).decode().rstrip("=")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/collections/fields/items", {"limit": 0}, "limit"),
    ("/collections/fields/items", {"limit": 10**30}, "limit"),
    ("/collections/fields/items", {"limit": "many"}, "limit"),
    ("/collections/fields/items", {"bbox": "1,2,3"}, "bbox"),
    ("/collections/fields/items", {"bbox": "nan,0,1,1"}, "bbox"),
    ("/collections/fields/items", {"bbox": "0,10,1,5"}, "bbox"),
    ("/collections/fields/items", {"cursor": "%%%"}, "cursor"),
    ("/collections/fields/items", {"cursor": base64.urlsafe_b64encode(b"[" * 1500).decode()}, "cursor"),
    ("/collections/fields/items", {"datetime": "yesterday"}, "datetime"),
    ("/collections/fields/items", {"datetime": "2025-01-02/2025-01-01"}, "datetime"),
    ("/collections/fields/items", {"filter": DEEP}, "filter"),
    ("/collections/fields/items", {"filter": "a IN (" + "(" * 100}, "filter"),
    ("/collections/fields/items", {"filter": "name = 'x' OR " * 100 + "1=1"}, "filter"),
    ("/collections/fields/items", {"filter": "((((((((1 = 1))))))))"}, "filter"),
    ("/collections/fields/items", {"filter": "name = '\\'' AND " + "(" * 30 + "'"}, "filter"),
    ("/collections/fields/items", {"filter": 'name = "\'" AND ' + "(" * 30 + '"'}, "filter"),
    ("/collections/fields/items", {"filter": "geometry_digest = 'x'"}, "filter"),
    ("/collections/fields/items", {"filter": "name = 'x'; DROP TABLE fields"}, "filter"),
    ("/collections/fields/items", {"filter": "area_ha = 'x'"}, "filter"),
    ("/collections/fields/items", {"filter": "planting_date > 'soon'"}, "filter"),
    ("/collections/fields/items", {"filter": "name"}, "filter"),
    ("/collections/fields/items", {"filter": "1 = 1"}, "filter"),
    ("/collections/fields/items", {"filter": "name = \x00"}, "filter"),
    ("/columns", {"region": "S\x00"}, "region"),
    ("/collections/fields/items", {"f": "exe"}, "f"),
    ("/collections/regions/items", {"filter": "name = 'S'"}, "filter"),
    ("/changes", {"cursor": "c1.AAAA"}, "cursor"),
    ("/changes", {"cursor": crafted([1])}, "cursor"),
    ("/changes", {"cursor": crafted(5)}, "cursor"),
    ("/changes", {"cursor": crafted(["x", [[[1], 2, 3]]])}, "cursor"),
    ("/changes", {"cursor": crafted(["x" * 1_000_000, []])}, "cursor"),
    ("/changes", {"skip": -1}, "skip"),
    ("/changes", {"since": "2026-01-01"}, "since"),
    ("/regions/S/misses", {"cursor": "1;2"}, "cursor"),
    ("/regions/S/misses", {"cursor": "9" * 400}, "cursor"),
    (f"/regions/S/days/{LAST}", {"parameter_name": "ndvi_mean,password"}, "parameter-name"),
    (f"/regions/S/days/{LAST}", {"as_of": "9999-12-31T23:59:59Z"}, "as-of"),
    (f"/regions/S/days/{LAST}", {"as_of": "0001-01-01T00:00:00+14:00"}, "as-of"),
    ("/regions/S/days/2025-02-30", {}, "day"),
    ("/collections/field_metrics/locations/north", {"datetime": "0001-01-01/9999-12-31"}, "datetime"),
    ("/fields/north/history", {}, "day"),
]


@pytest.mark.parametrize(("path", "parameters", "named"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_parameter_is_named_with_its_value_and_what_is_expected(
    on_sqlite: Served, path: str, parameters: dict[str, Any], named: str
) -> None:
    began = time.monotonic()

    response = on_sqlite.get(path, **parameters)

    assert response.status_code == 400, response.text
    told = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert told["parameter"] == named
    assert told["expected"]
    assert told["status"] == 400
    assert len(response.content) < 3000
    assert not any(word in response.text for word in ("Traceback", "SELECT ", "sqlite", 'File "'))
    assert time.monotonic() - began < 20  # the parser of filters alone would take years


PATHS = [
    "/collections/fields/items/..%2f..%2fetc%2fpasswd",
    "/collections/fields/items/%2e%2e/%2e%2e",
    "/regions/..%2fS",
    "/regions/S%00",
    "/regions/S/days/..",
    "/page/../../settings.py",
    "/collections/fields/items/%ff%fe",
    "//evil.example/%2e%2e",
    "/collections/field_metrics/locations/" + quote("'; DROP TABLE fields; --", safe=""),
    "/" + "a/" * 2000,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_tricks_with_paths_find_nothing(on_sqlite: Served, path: str) -> None:
    raw = exchange(on_sqlite, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())

    assert raw.split()[1] in (b"404", b"400")
    assert b"root:" not in raw


def test_an_encoded_slash_belongs_to_the_name(on_sqlite: Served) -> None:
    name = quote("a/b ü", safe="")

    assert on_sqlite.json(f"/collections/fields/items/{name}")["id"] == "a/b ü"
    assert on_sqlite.json(f"/fields/{name}/history", day=str(LAST))["field"] == "a/b ü"


def exchange(service: Served, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send bytes as they are; gives what comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        except OSError:  # closed meanwhile, which is what we want to see
            pass
        told = b""
        try:
            while data := connection.recv(65536):
                told += data
        except ConnectionResetError:
            pass
        return told


def test_headers_without_end_are_cut_off(on_sqlite: Served) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (n, b"a" * 1000) for n in range(100))

    told = exchange(on_sqlite, b"GET / HTTP/1.1\r\nhost: localhost\r\n", many)

    assert told.startswith(b"HTTP/1.1 431")


def test_a_client_that_sends_its_request_slowly_is_let_go(on_sqlite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "HEAD_SECONDS", 0.3)

    silent = exchange(on_sqlite)
    slow = exchange(on_sqlite, *[b"GET / HTTP/1.1\r\n", b"h", b"o", b"s", b"t", b":"], pause=0.1)

    assert silent.startswith(b"HTTP/1.1 408")
    assert slow.startswith(b"HTTP/1.1 408")
    assert on_sqlite.get("/").status_code == 200


def test_a_hundred_slow_clients_keep_nobody_out(on_sqlite: Served) -> None:
    address = ("127.0.0.1", urlsplit(on_sqlite.url).port or 0)
    with ExitStack() as slow:
        for _ in range(100):
            slow.enter_context(socket.create_connection(address, timeout=20)).sendall(b"GET / HTTP/1.1\r\nhost: ")

        began = time.monotonic()
        assert on_sqlite.json("/collections/field_metrics/locations/north", f="json")["field"] == "north"
        assert time.monotonic() - began < guards.HEAD_SECONDS / 2  # nobody waits until they are let go


def test_one_address_holds_a_part_of_the_connections_and_others_are_answered(
    on_sqlite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "ADDRESS_CONNECTIONS", 20)
    address = ("127.0.0.1", urlsplit(on_sqlite.url).port or 0)
    probe = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with ExitStack() as slow:
        for _ in range(20):
            slow.enter_context(socket.create_connection(address, timeout=20)).sendall(b"GET / HTTP/1.1\r\nhost: ")

        with socket.create_connection(address, timeout=20) as one_more:
            assert one_more.recv(1000).startswith(b"HTTP/1.1 429 ")
            assert one_more.recv(1000) == b""  # it is closed
        with socket.create_connection(address, timeout=20, source_address=("127.0.0.2", 0)) as other:
            other.sendall(probe)
            assert other.recv(1000).startswith(b"HTTP/1.1 200 ")

    deadline = time.monotonic() + guards.HEAD_SECONDS / 2  # as soon as it has let go of them
    while not exchange(on_sqlite, probe).startswith(b"HTTP/1.1 200 "):
        assert time.monotonic() < deadline


def flood(connection: socket.socket, request: bytes) -> None:
    """Ask without end; answers that nobody reads fill the buffers."""
    while True:
        connection.sendall(request)
        time.sleep(0.01)


def test_a_client_that_does_not_read_is_let_go(on_sqlite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "WRITE_SECONDS", 0.3)
    request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", urlsplit(on_sqlite.url).port or 0))
        connection.settimeout(20)

        with pytest.raises(ConnectionError):  # no time-out of ours: the server has ended it
            flood(connection, request)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}", b"405"),
        (b"DELETE /regions/S HTTP/1.1\r\nhost: localhost\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"413"),
        (b"GET /?a=" + b"b" * 9000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\r\n bad\x00header: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_for_reading_is_refused(on_sqlite: Served, head: bytes, code: bytes) -> None:
    told = exchange(on_sqlite, head.replace(b"host: localhost\r\n", b"host: localhost\r\nconnection: close\r\n"))

    assert told.split()[1] == code


def test_no_value_of_a_request_becomes_a_header(on_sqlite: Served) -> None:
    injected = "x\r\nset-cookie: a=b"

    for path, given in (
        ("/collections/fields/items", {"filter": injected}),
        ("/collections/fields/items", {"limit": 1, "bbox": "-95,40,-93,41", "extra": injected}),
        ("/changes", {"field": injected}),
        ("/regions/" + quote(injected, safe=""), {}),
    ):
        response = on_sqlite.get(path, **given)
        assert "set-cookie" not in response.headers
        assert "\n" not in "".join(response.headers.values())


def test_answers_carry_the_headers_of_security(on_sqlite: Served) -> None:
    for path in ("/", "/nowhere", "/health/live", f"/regions/S/days/{LAST}?f=parquet"):
        headers = on_sqlite.get(path).headers
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers.get("content-encoding") in (None, "gzip")
        assert "server" not in headers
