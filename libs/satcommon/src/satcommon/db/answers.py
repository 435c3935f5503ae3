"""What the source answered for a region's day, and what its rows name as their scene.

A day was never asked for, or the source answered: with a scene, or with none that is due, not due or unknown. Besides,
a day may have acquisitions that were refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from satcommon.db.deadlines import Deadlines
from satcommon.db.ledger import Day
from satcommon.db.models import Refusal, Region, RegionDay
from satcommon.db.quarantine import Doubt
from satcommon.db.records import all_of, select_all
from satcommon.db.statement_batches import insert_rows
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_noon
from satcommon.sources.source import Due
from satcommon.stats.observation import NO_OVERPASS, NO_SCENE, NOT_ASKED, NOT_TAKEN

_HALF_A_DAY = timedelta(hours=12)


def stands_for(day: Day | None) -> str:
    """What a day's rows are computed from: the digest of its scene, or a word in its place."""
    if day is not None and day.scene_digest is not None:
        digest: str = day.scene_digest
        return digest
    if day is None or day.answered_at is None:
        return NOT_ASKED
    if day.refused:
        return NOT_TAKEN
    return NO_SCENE if day.due is Due.DUE else NO_OVERPASS


class Absence(StrEnum):
    """Why a day that a satellite passes over has no imagery."""

    LATE = "late"
    """It is due, and awaited within the allowed lateness."""
    NOT_PLANNED = "not_planned"
    """The acquisition plan has no datatake over the region, although the satellite passes over."""
    LOST_UPSTREAM = "lost_upstream"
    """It was due, and did not come within the allowed lateness."""

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


def absence(row: Day | None, day: date, bounds: Bounds, deadlines: Deadlines, now: datetime) -> Absence | None:
    """Why a day has no imagery; None where it has some, where none is due, or where the answer is not known.

    Args:
        row: what the ledger has of the day.
        day: the day.
        bounds: of the region.
        deadlines: the waiting times.
        now: the present.
    """
    if row is None or row.answered_at is None or row.scene_digest is not None or row.refused:
        return None
    if row.due is Due.NOT_PLANNED:
        return Absence.NOT_PLANNED
    if row.due is not Due.DUE or now < solar_noon(day, bounds) + _HALF_A_DAY:
        return None
    return Absence.LOST_UPSTREAM if deadlines.given_up(day, bounds, now) else Absence.LATE


def waits(stands: str, day: date, bounds: Bounds, deadlines: Deadlines, now: datetime) -> bool:
    """Whether a day has no rows yet: a due scene waits for the allowed lateness, an unasked or refused one for ever.

    Args:
        stands: what the day's rows rest on, as `stands_for` gives it.
        day: the day.
        bounds: of the region.
        deadlines: the waiting times.
        now: the present.
    """
    if stands == NO_SCENE:
        return not deadlines.given_up(day, bounds, now)
    return stands in (NOT_ASKED, NOT_TAKEN)


def refusals(
    connection: Connection, bbox_id: int, first: date, last: date, as_of: datetime | None = None
) -> dict[date, dict[str, str]]:
    """The refused acquisitions of a span of a region's days: by day, the reason by item.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
        as_of: the instant; None for now.
    """
    given = {"region": bbox_id, "first": first, "last": last} | ({} if as_of is None else {"as_of": as_of})
    reasons: dict[date, dict[str, str]] = {}
    for row in connection.execute(_REFUSALS if as_of is None else _REFUSALS_AS_OF, given):
        reasons.setdefault(row.day, {})[row.item_id] = row.reason
    return reasons


def refusals_of(
    connection: Connection, bbox_ids: Collection[int], first: date, last: date
) -> dict[int, dict[date, dict[str, str]]]:
    """The `refusals` of some regions, by region, in one query.

    Args:
        connection: of a read transaction.
        bbox_ids: the regions.
        first: first day of the span.
        last: last day of the span.
    """
    statement = (
        select(Refusal.bbox_id, Refusal.day, Refusal.item_id, Refusal.reason)
        .where(Refusal.bbox_id.in_(bbox_ids), Refusal.day.between(first, last), Refusal.resolved_at.is_(None))
        .order_by(Refusal.day, Refusal.item_id)
    )
    reasons: dict[int, dict[date, dict[str, str]]] = {}
    for row in connection.execute(statement):
        reasons.setdefault(row.bbox_id, {}).setdefault(row.day, {})[row.item_id] = row.reason
    return reasons


_OF_DAYS = (
    select(Refusal.day, Refusal.item_id, Refusal.reason)
    .where(Refusal.bbox_id == bindparam("region"), Refusal.day.between(bindparam("first"), bindparam("last")))
    .order_by(Refusal.day, Refusal.item_id)
)
_REFUSALS = _OF_DAYS.where(Refusal.resolved_at.is_(None))
_REFUSALS_AS_OF = _OF_DAYS.where(
    Refusal.seen_at <= bindparam("as_of"),
    Refusal.resolved_at.is_(None) | (Refusal.resolved_at > bindparam("as_of")),
)


def refuse(
    connection: Connection,
    bbox_id: int,
    day: date,
    refused: Mapping[str, str],
    now: datetime,
    doubts: Mapping[str, Doubt] = MappingProxyType({}),
) -> bool:
    """Replace a day's refused acquisitions.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        day: the day.
        refused: what was not taken and why, by item.
        now: when it was refused.
        doubts: what is known of some of them besides.

    Returns:
        False if they are the same as before.
    """
    of_day = (Refusal.bbox_id == bbox_id, Refusal.day == day, Refusal.resolved_at.is_(None))
    stored = select(Refusal.item_id, Refusal.reason, Refusal.check_name, Refusal.digest).where(*of_day)
    before = {row.item_id: (row.reason, Doubt(row.check_name, row.digest)) for row in connection.execute(stored)}
    after = {item: (why, doubts.get(item, Doubt())) for item, why in refused.items()}
    if before == after:
        return False
    gone = [item for item in before if before[item] != after.get(item)]
    connection.execute(update(Refusal).where(*of_day, Refusal.item_id.in_(gone)).values(resolved_at=now))
    new = [
        {"item_id": item, "reason": why, "resolved_at": None, "check_name": doubt.check, "digest": doubt.digest}
        for item, (why, doubt) in after.items()
        if before.get(item) != (why, doubt)
    ]
    key = ["bbox_id", "day", "item_id", "seen_at"]
    rest = ("reason", "resolved_at", "check_name", "digest")

    def again(statement: Any) -> Any:
        """Refused, taken and refused in one instant: it stands."""
        return statement.on_conflict_do_update(
            index_elements=key,
            set_={name: statement.excluded[name] for name in rest},
        )

    insert_rows(connection, Refusal, new, {"bbox_id": bbox_id, "day": day, "seen_at": now}, again)
    return True


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

    One query over an index of such days: its cost grows with their number, not with the ledger.
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


def days_never_asked(connection: Connection, region: Region, first: date, last: date) -> list[date]:
    """The closed monitored days of a span for which a region's source was never asked, oldest first.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the span.
        last: last day of the span.
    """
    statement = (
        select(RegionDay.day)
        .join(Region, Region.bbox_id == RegionDay.bbox_id)
        .where(*_CLOSED_UNASKED, RegionDay.bbox_id == region.bbox_id, RegionDay.day.between(first, last))
        .order_by(RegionDay.day)
    )
    return list(connection.execute(statement).scalars())


def rescans_due(connection: Connection, since: datetime, last: date) -> Sequence[Region]:
    """The active regions with monitored days up to `last` and no complete rescan since then, longest ago first."""
    looked_at = func.coalesce(Region.rescanned_at, Region.created_at)
    statement = (
        select_all(Region)
        .where(Region.active, Region.monitored_from <= last, looked_at < since)
        .order_by(looked_at, Region.name)
    )
    return all_of(connection, statement)


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def want_rescan(connection: Connection, bbox_id: int) -> None:
    """Let a region's source be asked anew for all days before the allowed lateness, as soon as a sensor looks."""
    connection.execute(update(Region).where(Region.bbox_id == bbox_id).values(rescanned_at=_LONG_AGO))


def note_rescan(connection: Connection, bbox_id: int, at: datetime) -> None:
    """Note that a region's source was asked anew for all days before the allowed lateness."""
    connection.execute(update(Region).where(Region.bbox_id == bbox_id).values(rescanned_at=at))
