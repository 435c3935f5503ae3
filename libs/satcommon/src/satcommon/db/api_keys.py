"""Keys of the HTTP API: made, listed, revoked and checked. A key is shown once, when it is made.

A key is `sf_ID_SECRET`: the id finds it, the secret is 256 random bits, so that a plain SHA-256 of the whole can't be
guessed back, and the ledger keeps nothing else of it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from satcommon.db import registry
from satcommon.db.models import ApiKey, ApiKeyRegion, Region
from satcommon.db.records import all_of, first, select_all
from satcommon.errors import InputError, PermanentError

_KEY = re.compile(r"sf_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[\w][\w .@/-]{0,99}")
_NOBODY = "0" * 64  # compared where no key has the id: an unknown id takes as long as a wrong secret


class KeyRefusedError(PermanentError):
    """A key that is unknown, expired or revoked."""


@dataclass(frozen=True)
class ListedKey:
    """A key without its secret.

    Args:
        key_id: the public part.
        name: what it is for.
        regions: that it may read; None for all.
        created_at: when it was made.
        expires_at: from when on it is refused; None for never.
        revoked_at: when it was revoked; None where it was not.
    """

    key_id: str
    name: str
    regions: Sequence[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Grant:
    """What a valid key allows: the ids of its regions; None for all."""

    key_id: str
    regions: frozenset[int] | None


def add_key(
    connection: Connection, name: str, regions: Sequence[str] | None, expires_at: datetime | None, now: datetime
) -> tuple[str, str]:
    """Make a key; gives its id, and the whole, which is kept nowhere.

    Args:
        connection: of a write transaction.
        name: what it is for.
        regions: names of those that it may read; None for all, those of the future too.
        expires_at: from when on it is refused; None for never.
        now: the present.

    Raises:
        InputError: the name can't be one, there is no such region, or no region is named.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"key name {name!r}: expected 1 to 100 letters, digits, blanks or . @ / - _")
    if regions is not None and not regions:
        raise InputError(f"key {name!r} would read nothing; name its regions with --region, or give --all-regions")
    chosen = {registry.region(connection, region).bbox_id for region in regions or ()}
    key_id = secrets.token_hex(8)
    key = f"sf_{key_id}_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(ApiKey).values(
            key_id=key_id,
            name=name,
            digest=_digest(key),
            all_regions=regions is None,
            created_at=now,
            expires_at=expires_at,
        )
    )
    if chosen:
        connection.execute(insert(ApiKeyRegion), [{"key_id": key_id, "bbox_id": bbox_id} for bbox_id in sorted(chosen)])
    return key_id, key


def keys(connection: Connection) -> list[ListedKey]:
    """All keys, oldest first."""
    regions: dict[str, list[str]] = {}
    named = select(ApiKeyRegion.key_id, Region.name).join(Region, Region.bbox_id == ApiKeyRegion.bbox_id)
    for row in connection.execute(named.order_by(Region.name)):
        regions.setdefault(row.key_id, []).append(row.name)
    return [
        ListedKey(
            key.key_id,
            key.name,
            None if key.all_regions else regions.get(key.key_id, []),
            key.created_at,
            key.expires_at,
            key.revoked_at,
        )
        for key in all_of(connection, select_all(ApiKey).order_by(ApiKey.created_at, ApiKey.key_id))
    ]


def revoke_key(connection: Connection, key_id: str, now: datetime) -> bool:
    """Refuse a key from now on; False where it was revoked before.

    Args:
        connection: of a write transaction.
        key_id: the public part, or the whole key.
        now: the present.

    Raises:
        InputError: there is no such key.
    """
    whole = _KEY.fullmatch(key_id)
    key_id = whole[1] if whole else key_id
    if first(connection, select_all(ApiKey).where(ApiKey.key_id == key_id)) is None:
        raise InputError(f"there is no key {key_id!r}; `satctl keys list` shows the ids")
    statement = update(ApiKey).where(ApiKey.key_id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(statement).rowcount > 0


def grant_of(connection: Connection, key: str, now: datetime) -> Grant:
    """What a key allows.

    Args:
        connection: of a read transaction.
        key: the whole key.
        now: the present.

    Raises:
        KeyRefusedError: it is unknown, expired or revoked. Only who has the whole key learns which.
    """
    found = _KEY.fullmatch(key)
    record = first(connection, select_all(ApiKey).where(ApiKey.key_id == (found[1] if found else "")))
    is_it = hmac.compare_digest(_digest(key), record.digest if record else _NOBODY)
    if record is None or not is_it:
        raise KeyRefusedError("the key is not one of this installation; ask its operator for another")
    if record.revoked_at is not None:
        raise KeyRefusedError(f"the key {record.key_id} was revoked; ask the operator for another")
    if record.expires_at is not None and record.expires_at <= now:
        raise KeyRefusedError(
            f"the key {record.key_id} expired at {record.expires_at:%Y-%m-%dT%H:%M:%SZ}; ask the operator for another"
        )
    if record.all_regions:
        return Grant(record.key_id, None)
    regions = connection.execute(select(ApiKeyRegion.bbox_id).where(ApiKeyRegion.key_id == record.key_id)).scalars()
    return Grant(record.key_id, frozenset(regions))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
