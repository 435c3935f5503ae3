"""Buckets: opened from the usual AWS variables, with bounded time-outs and retries; and what their errors mean.

Only obstore talks to buckets, for every kind of object, so endpoint, credentials and retries are configured once.
"""

from __future__ import annotations

import errno
import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store

from satcommon.errors import SettingError

TIMEOUT_SECONDS = 60.0
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they allow"
_REGION = "set AWS_REGION to the bucket's"
_SESSION = "renew AWS_SESSION_TOKEN and its keys, or let a role of the machine do that"
_ROOM = "make room, run `satctl gc`, or name another folder in {setting}"
_WRITABLE = "let this process write there, or name another folder in {setting}"
_OF_CODE = {  # S3's error codes
    "NoSuchBucket": "make the bucket, or name another in {setting}",
    "RequestTimeTooSkewed": "set this machine's clock right, and let it follow an NTP server",
    "ExpiredToken": _SESSION,
    "TokenRefreshRequired": _SESSION,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessDenied": _KEYS,
    "InvalidAccessKeyId": _KEYS,
    "InvalidToken": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
}
_OF_STATUS = {401: _KEYS, 403: _KEYS}  # of responses without a code, as those to HEAD
_OF_ERRNO = {  # of a folder
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: _WRITABLE,
}
_STATUS = re.compile(r" - Server returned non-2xx status code: (\d{3}) ")
_ERRNO = re.compile(r" \(os error (\d+)\)$")
# obstore has one type for all of these; the fields of its source are on lines of their own, as no address or body is.
_TRANSPORT = re.compile(
    r"^\s+(?:kind: (Timeout|Interrupted)|source: (TooManyRedirects)|error: (InvalidCertificate)\(\s+(\w+))",
    re.MULTILINE,
)
_METADATA_SERVICE = re.compile(r"Error performing [A-Z]+ https?://169\.254\.")  # asked where no key is set


def open_bucket(url: str, setting: str, timeout_seconds: float = TIMEOUT_SECONDS) -> S3Store:
    """A prefix of a bucket; no request is made yet.

    Connection errors, time-outs and server errors are retried until the time is over, which bridges the restart of an
    endpoint.

    Args:
        url: ``s3://bucket/prefix``.
        setting: the variable that names it, for messages.
        timeout_seconds: how long one request may take, and for how long it is retried.

    Raises:
        SettingError: the URL, or an AWS variable, can't be right.
    """
    name, endpoint = _endpoint()
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
        raise SettingError(f"{name}: expected http://HOST:PORT or https://HOST, without keys in it")
    timeout = timedelta(seconds=timeout_seconds)
    try:
        return S3Store.from_url(
            url,
            client_options={
                "allow_http": parts.scheme == "http",
                "connect_timeout": min(timeout, timedelta(seconds=10)),
                "timeout": timeout,
            },
            retry_config={
                "retry_timeout": timeout,
                "max_retries": 1000,  # the time is the limit
                "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
            },
        )
    except (BaseError, ValueError) as error:
        raise SettingError(f"{setting}={url!r}: {message_of(error)}; expected s3://bucket/prefix") from None


def message_of(error: Exception) -> str:
    """A store's error message in one line, without the request, which may hold a session token."""
    text = (str(error).strip() or type(error).__name__).split("\n\nDebug source")[0]
    code, message = (re.search(rf"<{tag}>([^<]*)</{tag}>", text) for tag in ("Code", "Message"))
    line = re.sub(r"(: )?<\?xml.*", "", text.splitlines()[0]).removeprefix("Generic S3 error: ")
    return f"{line} ({code[1]}{f': {message[1]}' if message else ''})" if code else line


def advice(error: Exception, setting: str) -> str:
    """What to do about a store's error, as the end of a message; empty where that is not known.

    The error's code (S3's, HTTP's, the system's) decides, never its words, which may be part of a key.
    """
    code, status, number = error_code(error), http_status(error), _errno(error)
    text, _, debug = str(error).partition("\n\nDebug source:")
    known = _OF_CODE.get(code or "") or _OF_STATUS.get(status or 0) or _OF_ERRNO.get(number or 0)
    if known is None and isinstance(error, GenericError) and status is None and number is None:
        endpoint = _endpoint()[1]
        reach = f"is AWS_ENDPOINT_URL{f' ({endpoint})' if endpoint else ''} right, and reachable from here?"
        if "BareRedirect" in debug:  # object_store's name of an answer that sends elsewhere
            known = _REGION
        elif _METADATA_SERVICE.search(text):
            known = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        elif 'store: "S3"' in debug:
            known = reach.replace("{", "{{").replace("}", "}}")
    return "; " + known.format(setting=setting) if known else ""


def error_code(error: Exception) -> str | None:
    """S3's code of an error, as ``NoSuchBucket``; None where the response had none."""
    body = _STATUS.split(str(error).partition("\n\nDebug source:")[0])[-1]
    found = re.search(r"<Code>([^<]*)</Code>", body) if http_status(error) else None
    return found[1] if found else None


def http_status(error: Exception) -> int | None:
    """The status of the answer that a request failed with; None where there was none."""
    found = _STATUS.findall(str(error).partition("\n\nDebug source:")[0])
    return int(found[-1]) if found else None  # the last one: a key before it may look like a status


def _errno(error: Exception) -> int | None:
    """The operating system's error number: Python's own, or the one in obstore's text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(str(error).partition("\n\nDebug source:")[0])
    return int(found[1]) if found else None


def transport_fault(error: Exception) -> tuple[str, str]:
    """The name that the HTTP client has for what stopped a request, and for its detail; empty where it has none.

    ``Timeout``, ``Interrupted`` (the body was cut), ``TooManyRedirects``, or ``InvalidCertificate`` with the reason, as
    ``UnknownIssuer``.
    """
    found = _TRANSPORT.findall(str(error).partition("\n\nDebug source:")[2])
    if not found:
        return "", ""
    *names, detail = found[-1]
    return "".join(names), detail


def bucket_is_missing(error: Exception) -> bool:
    """Whether the bucket is missing, and not only an object: obstore has one error type for both."""
    return error_code(error) == "NoSuchBucket"


def _endpoint() -> tuple[str, str]:
    return next(((name, os.environ[name]) for name in _ENDPOINTS if os.environ.get(name)), ("", ""))
