"""Webhooks in the ledger: who is told of changes, how far each was told of each region, and who is telling.

A region's changes are told to a webhook by one process at a time, which claims them. A claim expires, so that a process
that was killed holds up nothing; what it told without a note of it is told again, under the same id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, true, update

from satcommon.db.models import Delivery, Publication, Region, Webhook
from satcommon.db.records import all_of, first, select_all
from satcommon.errors import InputError

CLAIM = timedelta(minutes=2)  # far longer than a receiver may take to answer
LONGEST_PAUSE = timedelta(hours=6)
LEAST_ATTEMPTS = 10  # before a webhook is dead: after a long standstill of ours, one failure is no proof

Position = tuple[int, int]
"""A place in a region's log, as a cursor has it: the sequence of a publication, and its mark."""


@dataclass(frozen=True)
class NewWebhook:
    """What a webhook is told, and where.

    Args:
        name: of the webhook.
        url: of the receiver.
        secret: that signs.
        regions: ids of regions; None for all, also those that are registered later.
        columns: changes of these alone; empty for all columns.
        threshold: the least difference of a number that is told; None for any.
        first_publications: also days that are published for the first time.
    """

    name: str
    url: str
    secret: str
    regions: Collection[int] | None
    columns: Sequence[str]
    threshold: float | None
    first_publications: bool


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Args:
        error: for people, without secrets.
        pause: before the second attempt; doubles each time.
        days: for which a failing webhook is tried.
        gone: the receiver says that it is gone for good.
    """

    error: str
    pause: timedelta
    days: float
    gone: bool = False


def add(connection: Connection, new: NewWebhook, positions: Mapping[int, Position], now: datetime) -> None:
    """Add a webhook, which is told of what is published after some positions.

    Args:
        connection: of a write transaction.
        new: the webhook.
        positions: of regions, by id; a region that is not named begins before its first publication.
        now: the present.

    Raises:
        InputError: there is one of that name.
    """
    if first(connection, select_all(Webhook).where(Webhook.name == new.name)) is not None:
        raise InputError(f"webhook {new.name!r} exists already; remove it, or choose another name")
    values = {"name": new.name, "url": new.url, "secret": new.secret, "threshold": new.threshold}
    [webhook_id] = connection.execute(
        insert(Webhook)
        .values(
            **values,
            every_region=new.regions is None,
            columns=json.dumps(list(new.columns)),
            first_publications=new.first_publications,
            created_at=now,
        )
        .returning(Webhook.webhook_id)
    ).scalars()
    regions = connection.execute(select(Region.bbox_id)).scalars() if new.regions is None else new.regions
    for bbox_id in sorted(set(regions)):
        _enlist(connection, webhook_id, bbox_id, positions.get(bbox_id, (0, 0)))


def webhook(connection: Connection, name: str) -> Webhook:
    """The webhook of a name.

    Raises:
        InputError: there is none.
    """
    found = first(connection, select_all(Webhook).where(Webhook.name == name))
    if found is None:
        known = ", ".join(each.name for each in webhooks(connection)) or "none"
        raise InputError(f"there is no webhook {name!r}; there are: {known}")
    return found


def webhooks(connection: Connection) -> Sequence[Webhook]:
    """All webhooks, by name."""
    return all_of(connection, select_all(Webhook).order_by(Webhook.name))


def deliveries(connection: Connection, webhook_id: int) -> Sequence[Delivery]:
    """How far a webhook was told of each region."""
    statement = select_all(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.bbox_id)
    return all_of(connection, statement)


def remove(connection: Connection, name: str) -> None:
    """Remove a webhook.

    Raises:
        InputError: there is none.
    """
    webhook_id = webhook(connection, name).webhook_id
    connection.execute(delete(Delivery).where(Delivery.webhook_id == webhook_id))
    connection.execute(delete(Webhook).where(Webhook.webhook_id == webhook_id))


def resume(connection: Connection, name: str) -> int:
    """Try a webhook again immediately, also where it is dead; gives for how many regions it was failing.

    Raises:
        InputError: there is none.
    """
    failing = (Delivery.webhook_id == webhook(connection, name).webhook_id, Delivery.attempts > 0)
    return connection.execute(update(Delivery).where(*failing).values(_WELL)).rowcount


def enlist_regions(connection: Connection) -> None:
    """Let webhooks of all regions be told of those that were registered since they were added."""
    for webhook_id, bbox_id in connection.execute(_NOT_ENLISTED).all():
        _enlist(connection, webhook_id, bbox_id, (0, 0))


def due(connection: Connection, now: datetime) -> dict[int, list[int]]:
    """The ids of regions of which each webhook is to be told something now, the longest failing last."""
    found: dict[int, list[int]] = defaultdict(list)
    newest = select(func.max(Publication.sequence)).where(Publication.bbox_id == Delivery.bbox_id).scalar_subquery()
    statement = (
        select(Delivery.webhook_id, Delivery.bbox_id)
        .where(
            Delivery.dead_at.is_(None),
            or_(Delivery.next_try_at.is_(None), Delivery.next_try_at <= now),
            or_(Delivery.claimed_until.is_(None), Delivery.claimed_until <= now),
            or_(Delivery.resync.is_not(None), Delivery.position < newest),
        )
        .order_by(Delivery.attempts, Delivery.bbox_id)
    )
    for webhook_id, bbox_id in connection.execute(statement):
        found[webhook_id].append(bbox_id)
    return found


def is_work(connection: Connection, now: datetime) -> bool:
    """Whether any webhook is to be told something now."""
    return bool(due(connection, now)) or connection.execute(_NOT_ENLISTED).first() is not None


def claim(connection: Connection, webhook_id: int, bbox_id: int, token: str, now: datetime) -> Delivery | None:
    """Claim a webhook's region, or renew the claim; None where another process has it, or it was removed.

    Args:
        connection: of a write transaction.
        webhook_id: the webhook.
        bbox_id: the region.
        token: of this claim alone.
        now: the present.
    """
    key = (Delivery.webhook_id == webhook_id, Delivery.bbox_id == bbox_id)
    free = or_(Delivery.claimed_until.is_(None), Delivery.claimed_until <= now, Delivery.claimed_by == token)
    claimed = update(Delivery).where(*key, free).values(claimed_by=token, claimed_until=now + CLAIM)
    if connection.execute(claimed).rowcount == 0:
        return None
    return first(connection, select_all(Delivery).where(*key))


def move(connection: Connection, delivery: Delivery, position: Position, part: int = 0, **more: Any) -> bool:
    """Note how far a webhook was told; whether the claim still held.

    Args:
        connection: of a write transaction.
        delivery: as it was claimed.
        position: of the last publication that was told whole.
        part: changes of the next one that were told.
        more: further columns.
    """
    values = {"position": position[0], "mark": position[1], "part": part, **more}
    return connection.execute(update(Delivery).where(*_claimed(delivery)).values(values)).rowcount > 0


def note_delivered(connection: Connection, delivery: Delivery, position: Position, part: int, now: datetime) -> bool:
    """Note what a receiver took; arguments are those of `move`, and the present."""
    return move(connection, delivery, position, part, resync=None, delivered_at=now, **_WELL)


def release(connection: Connection, delivery: Delivery) -> None:
    """End a claim."""
    connection.execute(update(Delivery).where(*_claimed(delivery)).values(claimed_by=None, claimed_until=None))


def fail(connection: Connection, delivery: Delivery, failure: Failure, others: Collection[int], now: datetime) -> None:
    """Note a failed attempt, and end the claim.

    Args:
        connection: of a write transaction.
        delivery: as it was claimed.
        failure: why.
        others: ids of regions that were to be told next, and for which this failure counts, too.
        now: the present.
    """
    key = (Delivery.webhook_id == delivery.webhook_id, Delivery.bbox_id.in_([delivery.bbox_id, *others]))
    ours = or_(Delivery.claimed_until.is_(None), Delivery.claimed_until <= now, *_claimed(delivery)[2:])
    for one in all_of(connection, select_all(Delivery).where(*key, ours)):
        attempts, since = one.attempts + 1, one.failing_since or now
        pause = min(failure.pause * 2 ** min(one.attempts, 20), LONGEST_PAUSE)
        is_dead = attempts >= LEAST_ATTEMPTS and now - since >= timedelta(days=failure.days)
        connection.execute(
            update(Delivery)
            .where(Delivery.webhook_id == one.webhook_id, Delivery.bbox_id == one.bbox_id)
            .values(
                attempts=attempts,
                failing_since=since,
                next_try_at=now + pause,
                error=failure.error[:300],
                dead_at=now if is_dead or failure.gone else None,
                claimed_by=None,
                claimed_until=None,
            )
        )


def request_resync(connection: Connection, why: str) -> None:
    """Let every receiver be told to read all anew: what they were told no longer is the log's."""
    connection.execute(update(Delivery).values(resync=why, part=0, claimed_by=None, claimed_until=None, **_WELL))


_WELL = {"attempts": 0, "failing_since": None, "next_try_at": None, "error": None, "dead_at": None}
_NOT_ENLISTED = (
    select(Webhook.webhook_id, Region.bbox_id)
    .join(Region, true())
    .where(
        Webhook.every_region,
        ~select(1).where(Delivery.webhook_id == Webhook.webhook_id, Delivery.bbox_id == Region.bbox_id).exists(),
    )
)


def _enlist(connection: Connection, webhook_id: int, bbox_id: int, position: Position) -> None:
    at = {"position": position[0], "mark": position[1], "part": 0, "attempts": 0}
    connection.execute(insert(Delivery).values(webhook_id=webhook_id, bbox_id=bbox_id, **at))


def _claimed(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    return (
        Delivery.webhook_id == delivery.webhook_id,
        Delivery.bbox_id == delivery.bbox_id,
        Delivery.claimed_by == delivery.claimed_by,
    )
