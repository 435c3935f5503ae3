"""Signatures by the Standard Webhooks scheme, version 1 (standardwebhooks.com): symmetric, HMAC with SHA-256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime

_PREFIX = "whsec_"
_BYTES = 32  # of a secret; the scheme wants 24 to 64


def new_secret() -> str:
    """A random secret, as the scheme writes it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def signed_headers(secret: str, message_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """The headers that let a receiver check who sent a message, and when.

    Args:
        secret: as `new_secret` gives it.
        message_id: the same for each attempt.
        at: of this attempt.
        body: as it is sent, to the byte.
    """
    timestamp = str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.new(key, b".".join([message_id.encode(), timestamp.encode(), body]), hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
