"""One POST to an address that a user named: only to the public network, unless private ones are allowed.

A name is resolved once, and the connection goes to an address that was checked: a name server that gives another answer
the next time gains nothing. Redirects are not followed, proxies not used, and no more than the head of an answer is
read, all within one time-out. Errors tell neither the path of an address, which may hold a token, nor the answer.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from satcommon.errors import InputError, RetryableError

TIMEOUT_SECONDS = 15.0  # of connecting, sending, and the head of the answer together; resolvers have their own
_PRIVATE = "set SATFIELDS_WEBHOOK_PRIVATE=true if that is wanted"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address is in the last 32 bits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NoAnswerError(RetryableError):
    """A receiver could not be reached, may not be, or did not answer in time."""


def checked_url(url: str, *, private: bool) -> str:
    """The address, if one may post to it as far as can be told without resolving its name.

    Args:
        url: of the receiver.
        private: allow http, and private networks.

    Raises:
        InputError: it is none, or refused.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"URL {shown(url)!r}: {error}; expected one as https://example.org/hook") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or not url.isascii():
        raise InputError(f"URL {shown(url)!r}: expected one as https://example.org/hook, in ASCII")
    if any(letter <= " " or letter == "\x7f" for letter in url):
        raise InputError(f"URL {shown(url)!r}: has blanks or control characters; encode them as %XX")
    if parts.username is not None or parts.fragment:
        raise InputError(f"URL {shown(url)!r}: may have neither a user nor a fragment; the signature tells who sends")
    if parts.scheme == "http" and not private:
        raise InputError(f"URL {shown(url)!r}: expected https; {_PRIVATE}")
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return url
    if not private and not is_public(literal):
        raise InputError(f"URL {shown(url)!r}: {literal} is no address of the public network; {_PRIVATE}")
    return url


def shown(url: str) -> str:
    """An address for people and logs: its scheme and host. Path, query and user may hold secrets."""
    scheme, separator, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    more = "/..." if rest.rstrip("/") != authority else ""
    return scheme + separator + authority.rpartition("@")[2] + more


def is_public(address: Address) -> bool:
    """Whether an address is one of the public network; of IPv6 that carries an IPv4 address, both must be."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def post(url: str, headers: Mapping[str, str], body: bytes, *, private: bool) -> int:
    """Post a message; gives the status of the answer, whose body is not read.

    Args:
        url: of the receiver.
        headers: of the message.
        body: of the message.
        private: allow http, and private networks.

    Raises:
        NoAnswerError: the address is refused, can't be reached, or gives no answer in time.
    """
    parts = urlsplit(url)
    connection = _Connection(parts, private=private)
    expiry = threading.Timer(TIMEOUT_SECONDS, connection.cut)
    expiry.daemon = True
    expiry.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {**headers, "User-Agent": "Satfields"})
        status = connection.getresponse().status
        if connection.was_cut:  # what was read of the head may look whole
            raise TimeoutError
        return status
    except NoAnswerError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: TLS that was cut
        raise NoAnswerError(f"{shown(url)}: {_reason(error, connection)}") from None
    finally:
        expiry.cancel()
        connection.close()


def _reason(error: Exception, connection: _Connection) -> str:
    if connection.was_cut or isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no answer by HTTP ({type(error).__name__})"


class _Connection(http.client.HTTPConnection):
    """A connection to a checked address, which can be cut at any time."""

    def __init__(self, parts: SplitResult, *, private: bool) -> None:
        is_tls = parts.scheme == "https"
        assert parts.hostname is not None
        super().__init__(parts.hostname, parts.port or (443 if is_tls else 80), timeout=TIMEOUT_SECONDS)
        self._tls = ssl.create_default_context() if is_tls else None
        self.default_port = 443 if is_tls else 80  # of the header Host, which leaves it out
        self._private = private
        self.was_cut = False

    def connect(self) -> None:
        """Connect to the first address of the name that lets us, each of them checked."""
        end = time.monotonic() + TIMEOUT_SECONDS
        trouble: OSError | None = None
        for family, _, _, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            if not self._private and not is_public(ipaddress.ip_address(address[0])):
                raise NoAnswerError(
                    f"{self.host} is {address[0]}, no address of the public network; nothing was sent; {_PRIVATE}"
                )
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            self.sock.settimeout(max(0.1, end - time.monotonic()))
            try:
                self.sock.connect(address)
            except OSError as error:
                trouble = error
                self.sock.close()
                continue
            if self._tls is not None:
                tls = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
                self.sock = tls
                tls.do_handshake()
            return
        raise trouble or OSError(f"{self.host} has no address")

    def cut(self) -> None:
        """End it, whatever it waits for."""
        self.was_cut = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.sock.close()  # not connected yet, or no longer
