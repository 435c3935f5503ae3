"""Posting to an address that a user named reaches the public network alone, and never waits for ever."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from satcommon.errors import InputError
from satcommon.webhooks import post as posting
from satcommon.webhooks.post import NoAnswerError, checked_url, is_public, post

from tests.unit.webhooks.receiver import receiving

Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves one connection on loopback as it is told; gives the port."""
    threads, sockets = [], []

    def start(act: Callable[[socket.socket], None]) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def run() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    act(connection)
            except OSError:
                pass  # the other side hung up

        threads.append(Thread(target=run))
        threads[-1].start()
        return int(listening.getsockname()[1])

    yield start
    for one in sockets:
        one.close()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://127.0.0.1/hook",
        "https://10.0.0.8/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hook",
        "https://[::ffff:192.168.0.1]/hook",
        "https://[64:ff9b::7f00:1]/hook",
        "https://user:secret@example.org/",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://example.org/a\r\nX-More: 1",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https:///hook",
        "https://",
    ],
)
def test_an_address_that_may_not_be_posted_to_is_refused_when_it_is_added(url: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_url(url, private=False)

    assert "secret" not in str(refused.value)


def test_private_addresses_are_taken_where_they_are_allowed() -> None:
    for url in ("http://127.0.0.1:8000/hook", "https://10.0.0.8/hook", "https://example.org/hook?token=x"):
        assert checked_url(url, private=True) == url


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_public_is_what_is_of_the_public_network_also_within(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with receiving() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(posting.socket, "getaddrinfo", lambda *_, **__: found)

        with pytest.raises(NoAnswerError, match=r"rebinds\.example is 127\.0\.0\.1, no address of the public network"):
            post(f"http://rebinds.example:{port}/hook", {}, b"{}", private=False)

        assert receiver.came == []


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with receiving() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])

        def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(posting.socket, "getaddrinfo", resolve)

        assert post("http://moves.example/hook", {}, b"{}", private=True) == 204
        assert asked == ["moves.example"]
        assert receiver.came[0][0]["Host"] == "moves.example"


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)

        post(receiver.url, {}, b"{}", private=True)

        assert (len(receiver.came), len(proxy.came)) == (1, 0)


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiving(lambda _: 302) as receiver:
        assert post(receiver.url, {}, b"{}", private=True) == 302
        assert len(receiver.came) == 1


def test_an_answer_without_end_is_not_read(serve: Serve) -> None:
    done = Event()

    def endless(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while not done.is_set():
            connection.sendall(b"x" * 65536)

    assert post(f"http://127.0.0.1:{serve(endless)}/", {}, b"{}", private=True) == 200
    done.set()


@pytest.mark.parametrize(("begin", "drip"), [(b"", b""), (b"", b"H"), (b"HTTP/1.1 200 OK\r\nX: ", b"x")])
def test_a_receiver_that_is_silent_or_drips_is_given_up(
    begin: bytes, drip: bytes, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 0.15)
    done = Event()

    def slow(connection: socket.socket) -> None:
        connection.sendall(begin)
        while not done.wait(0.01):
            connection.sendall(drip)

    with pytest.raises(NoAnswerError, match=r"no answer within 0\.15 s"):
        post(f"http://127.0.0.1:{serve(slow)}/hook?token=hidden", {}, b"{}", private=True)
    done.set()


def test_what_fails_is_told_without_what_may_be_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    with pytest.raises(NoAnswerError) as failed:
        post(f"http://127.0.0.1:{port}/hidden?token=hidden", {}, b"{}", private=True)

    assert str(failed.value) == f"http://127.0.0.1:{port}/...: connection refused"


def test_tls_is_held_to_its_certificate(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def secure(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")

    with pytest.raises(NoAnswerError, match="its certificate is not valid"):
        post(f"https://localhost:{serve(secure)}/", {}, b"{}", private=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(NoAnswerError, match="its certificate is not valid"):
        post(f"https://127.0.0.1:{serve(secure)}/", {}, b"{}", private=True)
    assert post(f"https://localhost:{serve(secure)}/", {}, b"", private=True) == 202


def _certificate(folder: Path, name: str) -> Path:
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(plain + made.public_bytes(pem))
    return file
