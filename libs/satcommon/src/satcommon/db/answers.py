"""What the source has answered for a region's day, and what stands for the day's scene in its rows.

A day was never asked for, or it was answered: with a scene, or with none, which is due, not due, or unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Row, func, select, update

from satcommon.db.ledger import Day
from satcommon.db.models import Region, RegionDay
from satcommon.deadlines import Deadlines
from satcommon.grid import Bounds
from satcommon.observation import NO_OVERPASS, NO_SCENE, NOT_ASKED
from satcommon.scenes.source import Due


def stands_for(day: Day | None) -> str:
    """What a row of a day rests on: the digest of its scene, or what stands for that."""
    if day is not None and day.scene_digest is not None:
        digest: str = day.scene_digest
        return digest
    if day is None or day.answered_at is None:
        return NOT_ASKED
    return NO_SCENE if day.due is Due.DUE else NO_OVERPASS


def waits(stands: str, day: date, bounds: Bounds, deadlines: Deadlines, now: datetime) -> bool:
    """Whether a day has no rows yet: a due scene until the allowed lateness, an answer for ever."""
    if stands == NO_SCENE:
        return not deadlines.given_up(day, bounds, now)
    return stands == NOT_ASKED


_CLOSED_UNASKED = (
    RegionDay.answered_at.is_(None),
    RegionDay.closed_at.is_not(None),
    RegionDay.day >= Region.monitored_from,
    (Region.monitored_until.is_(None)) | (RegionDay.day <= Region.monitored_until),
)


class NeverAsked(NamedTuple):
    """Monitored days of a region that are closed, and for which its source was never asked."""

    region: str
    bbox_id: int
    days: int
    first: date
    last: date


def never_asked(connection: Connection) -> list[NeverAsked]:
    """The active regions with closed monitored days that were never asked for, however old; the oldest day first.

    One query over an index of such days: it costs what there is of them, not what the ledger holds.
    """
    first = func.min(RegionDay.day)
    statement = (
        select(Region.name, Region.bbox_id, func.count(), first, func.max(RegionDay.day))
        .join(RegionDay, RegionDay.bbox_id == Region.bbox_id)
        .where(*_CLOSED_UNASKED, Region.active)
        .group_by(Region.name, Region.bbox_id)
        .order_by(first, Region.name)
    )
    return [NeverAsked(*row) for row in connection.execute(statement)]


def days_never_asked(connection: Connection, region: Row[tuple[Region]], first: date, last: date) -> list[date]:
    """The closed monitored days of a span for which a region's source was never asked, oldest first."""
    statement = (
        select(RegionDay.day)
        .join(Region, Region.bbox_id == RegionDay.bbox_id)
        .where(*_CLOSED_UNASKED, RegionDay.bbox_id == region.bbox_id, RegionDay.day.between(first, last))
        .order_by(RegionDay.day)
    )
    return list(connection.execute(statement).scalars())


def rescans_due(connection: Connection, since: datetime, last: date) -> Sequence[Row[tuple[Region]]]:
    """The active regions with monitored days up to `last` that were not all asked for anew since then, oldest first."""
    looked_at = func.coalesce(Region.rescanned_at, Region.created_at)
    statement = (
        select(*Region.__table__.columns)
        .where(Region.active, Region.monitored_from <= last, looked_at < since)
        .order_by(looked_at, Region.name)
    )
    return connection.execute(statement).all()


def note_rescan(connection: Connection, bbox_id: int, at: datetime) -> None:
    """Note that a region's source was asked anew for all days before the allowed lateness."""
    connection.execute(update(Region).where(Region.bbox_id == bbox_id).values(rescanned_at=at))
