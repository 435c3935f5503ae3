"""What a receiver gets: CloudEvents 1.0 in structured JSON, each with an id to tell by whether it came before.

An id is made of what is told, and never of a sequence alone: after the restore of a backup, sequences are given again
to other publications.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
from sqlalchemy import Connection

from satcommon.db.models import Publication, Region, Webhook
from satcommon.publication.changes import value_of
from satcommon.publication.cursor import encode, installation
from satcommon.stats import result_rows

CHANGES, RESYNC, TEST = "satfields.changes.v1", "satfields.resync.v1", "satfields.test.v1"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
MOST_CHANGES, MOST_BYTES = 1000, 256_000  # of an event

Change = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A message.

    Args:
        id: the same for each attempt, and of no other message.
        body: as it is sent.
        changes: how many it tells.
    """

    id: str
    body: bytes
    changes: int = 0


@dataclass(frozen=True)
class Part:
    """Some changes of a publication, one after another.

    Args:
        first: how many of it came before.
        changes: as `satctl changes --json` lists them.
        more: whether others of it follow.
    """

    first: int
    changes: list[Change]
    more: bool


def parts(tables: Iterator[pa.Table], webhook: Webhook, told: int) -> Iterator[Part]:
    """A publication's changes in parts that fit an event, without those that are not to be told, or were.

    Args:
        tables: of `changes`.
        webhook: whose threshold counts.
        told: changes that were told before.
    """
    chosen = (change for table in tables for change in _changes(table) if _is_told(change, webhook.threshold))
    waiting: list[Change] = []
    first = size = 0
    for number, change in enumerate(chosen):
        if number < told:
            first = number + 1
            continue
        bytes_more = len(_encoded(change))
        if waiting and (len(waiting) == MOST_CHANGES or size + bytes_more > MOST_BYTES):
            yield Part(first, waiting, more=True)
            first, waiting, size = number, [], 0
        waiting.append(change)
        size += bytes_more
    if waiting:
        yield Part(first, waiting, more=False)


def changes_event(
    connection: Connection, webhook: Webhook, region: Region, publication: Publication, part: Part
) -> Event:
    """The event of some changes.

    Args:
        connection: of a read transaction.
        webhook: that is told.
        region: whose changes they are.
        publication: that made them.
        part: the changes.
    """
    end = part.first + len(part.changes)
    content = [publication.object_key, publication.run_id, publication.committed_at.isoformat(), part.first, end]
    data = {
        "region": region.name,
        "publication": publication.sequence,
        "first": part.first,
        "more": part.more,
        "cursor": None if part.more else encode(connection, {region.bbox_id: publication.sequence}),
        "changes": part.changes,
    }
    message_id = _id(connection, webhook, region, CHANGES, content)
    return _event(connection, message_id, CHANGES, region, publication.committed_at, data, len(part.changes))


def resync_event(connection: Connection, webhook: Webhook, region: Region, position: int, why: str) -> Event:
    """The event that tells to read a region's rows anew, since changes up to a position can't be told.

    Args:
        connection: of a read transaction.
        webhook: that is told.
        region: to be read anew.
        position: after which changes are told again.
        why: changes can't be told.
    """
    cursor = encode(connection, {region.bbox_id: position})
    data = {
        "region": region.name,
        "reason": why,
        "action": f"read all rows of region {region.name} anew, as by `satctl export`; later changes follow",
        "cursor": cursor,
    }
    message_id = _id(connection, webhook, region, RESYNC, [cursor, why])
    return _event(connection, message_id, RESYNC, region, None, data)


def trial_event(connection: Connection, webhook: Webhook, now: datetime) -> Event:
    """An event that tells nothing, to try a receiver with."""
    return _event(connection, f"tst_{uuid4().hex}", TEST, None, now, {"webhook": webhook.name})


def _changes(table: pa.Table) -> Iterator[Change]:
    for row in table.to_pylist():
        row |= {name: value_of(row["column"], row[name]) for name in ("before", "after")}
        row["day"] = row["day"].isoformat()
        row["committed_at"] = _instant(row["committed_at"])
        yield row


def _is_told(change: Change, threshold: float | None) -> bool:
    """Whether a change is large enough; one of something else than a number always is."""
    before, after = change["before"], change["after"]
    if threshold is None or not isinstance(before, int | float) or not isinstance(after, int | float):
        return True
    return abs(after - before) >= threshold


def is_number(column: str) -> bool:
    """Whether a column's values are numbers, to which a threshold applies."""
    known = result_rows.column(column)
    return known is not None and (pa.types.is_floating(known.type) or pa.types.is_integer(known.type))


def _id(connection: Connection, webhook: Webhook, region: Region, kind: str, content: list[Any]) -> str:
    of = [installation(connection), webhook.webhook_id, webhook.created_at.isoformat(), region.bbox_id, kind, content]
    return f"evt_{hashlib.sha256(_encoded(of)).hexdigest()[:40]}"


def _event(
    connection: Connection,
    message_id: str,
    kind: str,
    region: Region | None,
    at: datetime | None,
    data: Mapping[str, Any],
    changes: int = 0,
) -> Event:
    source = f"/satfields/{installation(connection)}"
    if region is not None:
        source += f"/regions/{quote(region.name, safe='')}"
    head = {"specversion": "1.0", "id": message_id, "source": source, "type": kind}
    if at is not None:
        head["time"] = _instant(at)
    body = _encoded({**head, "datacontenttype": "application/json", "data": data})
    return Event(message_id, body, changes)


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
