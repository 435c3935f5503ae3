"""A bucket: opened from the usual AWS variables, with bounded time-outs and retries; what its errors mean.

Only obstore talks to buckets, for every kind of object: so endpoint, credentials and retries are configured once.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from satcommon.errors import SettingError

TIMEOUT_SECONDS = 60.0
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_ADVICE = (  # by what the endpoint, the folder or obstore says; the first that fits
    (r"NoSuchBucket", "make the bucket, or name another in {setting}"),
    (r"RequestTimeTooSkewed", "set this machine's clock right, and let it follow an NTP server"),
    (
        r"ExpiredToken|TokenRefreshRequired",
        "renew AWS_SESSION_TOKEN and its keys, or let a role of the machine do that",
    ),
    (r"169\.254\.|Credential", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"),
    (r"AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocation|redirect", "set AWS_REGION to the bucket's"),
    (
        r"AccessKey|Signature|AccessDenied|Token|\b40[13]\b",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they allow",
    ),
    (r"No space left|Disk quota", "make room, run `satctl gc`, or name another folder in {setting}"),
    (r"HTTP error", "is AWS_ENDPOINT_URL{endpoint} right, and reachable from here?"),
)


def open_bucket(url: str, setting: str, timeout_seconds: float = TIMEOUT_SECONDS) -> S3Store:
    """A prefix of a bucket; nothing is asked of it yet.

    Connection errors, time-outs and errors of the server are tried again until the time is over, which bridges the
    restart of an endpoint.

    Args:
        url: ``s3://bucket/prefix``.
        setting: the variable that names it, for messages.
        timeout_seconds: how long one request may take, and after which none is tried again.

    Raises:
        SettingError: the URL, or an AWS variable, can't be right.
    """
    name, endpoint = _endpoint()
    found = urlsplit(endpoint)
    if endpoint and (found.scheme not in ("http", "https") or not found.hostname or found.username):
        raise SettingError(f"{name}: expected http://HOST:PORT or https://HOST, without keys in it")
    patience = timedelta(seconds=timeout_seconds)
    try:
        return S3Store.from_url(
            url,
            client_options={
                "allow_http": found.scheme == "http",
                "connect_timeout": min(patience, timedelta(seconds=10)),
                "timeout": patience,
            },
            retry_config={
                "retry_timeout": patience,
                "max_retries": 1000,  # the time is the limit
                "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
            },
        )
    except (BaseError, ValueError) as error:
        raise SettingError(f"{setting}={url!r}: {said(error)}; expected s3://bucket/prefix") from None


def said(error: Exception) -> str:
    """What a store's error says, in a line; without the request, which may bear a session's token."""
    text = (str(error).strip() or type(error).__name__).split("\n\nDebug source")[0]
    code, message = (re.search(rf"<{tag}>([^<]*)</{tag}>", text) for tag in ("Code", "Message"))
    line = re.sub(r"(: )?<\?xml.*", "", text.splitlines()[0]).removeprefix("Generic S3 error: ")
    return f"{line} ({code[1]}{f': {message[1]}' if message else ''})" if code else line


def advice(error: Exception, setting: str) -> str:
    """What to do about a bucket's error, as the end of a message; nothing where that is not known."""
    endpoint = _endpoint()[1]
    for pattern, text in _ADVICE:
        if re.search(pattern, said(error)):
            return "; " + text.format(setting=setting, endpoint=f" ({endpoint})" if endpoint else "")
    return ""


def bucket_is_missing(error: Exception) -> bool:
    """Whether not an object is missing, but its bucket: obstore has one type for both."""
    return "NoSuchBucket" in said(error)


def _endpoint() -> tuple[str, str]:
    return next(((name, os.environ[name]) for name in _ENDPOINTS if os.environ.get(name)), ("", ""))
