"""The ledger: closed and published days, withdrawals and attempts; misses are in `missed_days`.

Functions run inside the caller's transaction and take `now` instead of reading a clock. Those that write what is
published or missed expect the caller to hold the lock of the region's row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Row,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from satcommon.db.models import (
    Attempt,
    Field,
    ProcessingType,
    Publication,
    Refusal,
    Region,
    RegionDay,
    Scene,
    Withdrawal,
)
from satcommon.db.records import all_of, one, select_all, typed
from satcommon.db.statement_batches import for_each, insert_rows, rows_in
from satcommon.sources.source import Due, days_between


class Day(RegionDay):
    """A region's day as the ledger has it."""

    __abstract__ = True  # a record's shape, no table of its own
    refused: bool  # a source has something for the day that was not taken
    content: str | None  # digest of the object that changed it last: moves with every change of the published rows


class OpenDay(NamedTuple):
    """A day that is not closed, with what decides whether it can be."""

    bbox_id: int
    day: date
    due: Due
    scene_digest: str | None
    answered: bool


# Statements of every step, built once: building one takes longer than SQLite takes to run it.
_REGION = select_all(Region).where(Region.bbox_id == bindparam("region"))
_LOCKED_REGION = _REGION.with_for_update(key_share=True)
_IS_CLOSED = (RegionDay.bbox_id == bindparam("region"), RegionDay.closed_at.is_not(None))
_WATERMARK = select(func.max(RegionDay.day)).where(*_IS_CLOSED)
_IN_SPAN = (
    RegionDay.bbox_id == bindparam("region"),
    RegionDay.day >= bindparam("first"),
    RegionDay.day <= bindparam("last"),
)
REFUSED = exists().where(
    Refusal.bbox_id == RegionDay.bbox_id, Refusal.day == RegionDay.day, Refusal.resolved_at.is_(None)
)
_CONTENT = (
    select(func.coalesce(Publication.object_digest, "no rows"))
    .where(Publication.bbox_id == RegionDay.bbox_id, Publication.sequence == RegionDay.version)
    .scalar_subquery()
    .label("content")
)
_DAYS = select_all(Day, REFUSED.label("refused"), _CONTENT).where(*_IN_SPAN)
_OPEN_DAYS = (
    select(
        RegionDay.bbox_id,
        RegionDay.day,
        RegionDay.due,
        RegionDay.scene_digest,
        RegionDay.answered_at.is_not(None).label("answered"),  # converting an instant takes longer than all the rest
    )
    .where(RegionDay.closed_at.is_(None))
    .order_by(RegionDay.bbox_id)
)
_SCENES = (
    select_all(Scene)
    .join(
        RegionDay,
        (RegionDay.bbox_id == Scene.bbox_id) & (RegionDay.day == Scene.day) & (RegionDay.scene_digest == Scene.digest),
    )
    .where(*_IN_SPAN)
)
_WITHDRAWALS = select(Withdrawal.field_id, Withdrawal.day).where(
    Withdrawal.bbox_id == bindparam("region"),
    Withdrawal.day >= bindparam("first"),
    Withdrawal.day <= bindparam("last"),
)


def region(connection: Connection, bbox_id: int) -> Region:
    """A region's row."""
    return one(connection, _REGION, {"region": bbox_id})


def lock_region(connection: Connection, bbox_id: int) -> Region:
    """Lock what is published and missed for a region, and read its row under the lock.

    FOR NO KEY UPDATE: inserts with foreign keys to the region take KEY SHARE and would deadlock with a stronger lock.
    """
    return one(connection, _LOCKED_REGION, {"region": bbox_id})


# --- days ----------------------------------------------------------------------------------------------------------


def watermark(connection: Connection, bbox_id: int) -> date | None:
    """The region's last closed day; None before the first."""
    return connection.execute(_WATERMARK, {"region": bbox_id}).scalar()


def first_closed_day(connection: Connection, bbox_id: int) -> date | None:
    """The region's first closed day; None before it."""
    statement = select(func.min(RegionDay.day)).where(RegionDay.bbox_id == bbox_id, RegionDay.closed_at.is_not(None))
    return connection.execute(statement).scalar()


def next_day(connection: Connection, region: Region) -> date:
    """The day that the region closes next."""
    last = watermark(connection, region.bbox_id)
    return region.monitored_from if last is None else last + timedelta(days=1)


def region_day(connection: Connection, bbox_id: int, day: date) -> Day | None:
    """A region's day as the ledger has it; None if it was neither answered nor closed."""
    return region_days(connection, bbox_id, day, day).get(day)


def watermarks(connection: Connection) -> dict[int, date]:
    """The last closed day of each region that has one, by its id."""
    statement = select(RegionDay.bbox_id, func.max(RegionDay.day)).where(RegionDay.closed_at.is_not(None))
    return {row[0]: row[1] for row in connection.execute(statement.group_by(RegionDay.bbox_id))}


def open_days(connection: Connection, bbox_id: int | None = None) -> Iterator[tuple[int, dict[date, OpenDay]]]:
    """The known days that are not closed, of one region or of all; gives a region's id and its days at a time."""
    statement = _OPEN_DAYS if bbox_id is None else _OPEN_DAYS.where(RegionDay.bbox_id == bbox_id)
    days = typed(connection.execute(statement), OpenDay)
    for known, of_region in groupby(days, key=lambda day: day.bbox_id):
        yield known, {day.day: day for day in of_region}


def answered_since(connection: Connection, since: datetime) -> set[int]:
    """The ids of regions for which an answer of the source was entered or changed after an instant."""
    return set(connection.execute(select(RegionDay.bbox_id).where(RegionDay.answered_at > since)).scalars())


def answered_days(connection: Connection, first: date, last: date) -> dict[int, set[date]]:
    """The days of a span for which the source has answered, by region id, of all regions.

    Of regions that have all of them, which are nearly all, the database counts the days and sends none.
    """
    every_day = set(days_between(first, last))
    answered = (RegionDay.day.between(first, last), RegionDay.answered_at.is_not(None))
    # Region by region, by the key of days: the years before are not gone through.
    count = select(func.count()).where(RegionDay.bbox_id == Region.bbox_id, *answered).scalar_subquery()
    counts = connection.execute(select(Region.bbox_id, count)).tuples().all()
    days = {bbox_id: every_day for bbox_id, number in counts if number == len(every_day)}
    some = [bbox_id for bbox_id, number in counts if 0 < number < len(every_day)]
    for row in rows_in(connection, select(RegionDay.bbox_id, RegionDay.day).where(*answered), RegionDay.bbox_id, some):
        days.setdefault(row.bbox_id, set()).add(row.day)
    return days


def days_of_all(
    connection: Connection, first: date, last: date, bbox_ids: Collection[int] | None = None
) -> Sequence[Day]:
    """The days of a span that the ledger knows, of all regions or of some, oldest first.

    Args:
        connection: of a read transaction.
        first: first day of the span.
        last: last day of the span.
        bbox_ids: the regions; None for all.
    """
    statement = select_all(Day, REFUSED.label("refused"), _CONTENT).where(RegionDay.day.between(first, last))
    if bbox_ids is not None:
        statement = statement.where(RegionDay.bbox_id.in_(bbox_ids))
    return all_of(connection, statement.order_by(RegionDay.day, RegionDay.bbox_id))


def days_without_scene(connection: Connection, bbox_id: int) -> dict[date, Day]:
    """A region's days that lack a scene although one is due, or a satellite passes over; oldest first."""
    statement = (
        select_all(Day, REFUSED.label("refused"), _CONTENT)
        .where(
            RegionDay.bbox_id == bbox_id,
            RegionDay.due.in_((Due.DUE, Due.NOT_PLANNED)),
            RegionDay.scene_digest.is_(None),
        )
        .order_by(RegionDay.day)
    )
    return {row.day: row for row in all_of(connection, statement)}


def region_days(connection: Connection, bbox_id: int, first: date, last: date) -> dict[date, Day]:
    """The days of a span that the ledger knows for a region.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    return {row.day: row for row in all_of(connection, _DAYS, {"region": bbox_id, "first": first, "last": last})}


def published_rows(connection: Connection, bbox_id: int, first: date, last: date) -> int:
    """How many rows the published objects of a span of days hold.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    statement = select(func.sum(RegionDay.row_count)).where(
        RegionDay.bbox_id == bbox_id, RegionDay.day >= first, RegionDay.day <= last
    )
    return connection.execute(statement).scalar() or 0


def current_scene(connection: Connection, bbox_id: int, day: date) -> Scene | None:
    """The scene that a region's day has now."""
    return current_scenes(connection, bbox_id, day, day).get(day)


def current_scenes(connection: Connection, bbox_id: int, first: date, last: date) -> dict[date, Scene]:
    """The scenes that a region's days of a span have now.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    return {row.day: row for row in all_of(connection, _SCENES, {"region": bbox_id, "first": first, "last": last})}


def set_day(connection: Connection, bbox_id: int, day: date, **values: Any) -> None:
    """Write columns of a region's day, which may be new; the region's lock keeps others from inserting it."""
    existing = update(RegionDay).where(RegionDay.bbox_id == bbox_id, RegionDay.day == day)
    if connection.execute(existing.values(values)).rowcount == 0:
        connection.execute(insert(RegionDay).values(bbox_id=bbox_id, day=day, **values))


def record_failure(connection: Connection, bbox_id: int, day: date, error: str) -> int:
    """Count a failed try of a day; returns the number of tries so far.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        day: the day.
        error: why it failed.
    """
    known = region_day(connection, bbox_id, day)
    tries = (known.tries if known else 0) + 1
    set_day(connection, bbox_id, day, tries=tries, error=error)
    return tries


# --- withdrawals ---------------------------------------------------------------------------------------------------


def withdraw(connection: Connection, bbox_id: int, rows: Iterable[tuple[int, date]], now: datetime) -> None:
    """List rows (field id, day) to be taken out of the published objects.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        rows: (field id, day) of each.
        now: the time of listing.
    """
    listed = [{"field_id": f, "day": d} for f, d in rows]
    same = {"bbox_id": bbox_id, "listed_at": now}
    insert_rows(connection, Withdrawal, listed, same, lambda statement: statement.on_conflict_do_nothing())


def withdrawals(connection: Connection, bbox_id: int, first: date, last: date) -> set[tuple[int, date]]:
    """The rows (field id, day) to be withdrawn, of a span of days.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    rows = connection.execute(_WITHDRAWALS, {"region": bbox_id, "first": first, "last": last})
    return {(row.field_id, row.day) for row in rows}


def withdrawals_of_all(connection: Connection) -> Iterable[Row[Any]]:
    """The number of rows to be withdrawn from each region (`field_days`), and figures that change with the rows."""
    figures = (
        func.count().label("field_days"),
        func.sum(Withdrawal.field_id),
        func.min(Withdrawal.day),
        func.max(Withdrawal.day),
    )
    return connection.execute(select(Withdrawal.bbox_id, *figures).group_by(Withdrawal.bbox_id))


def cross_off(connection: Connection, bbox_id: int, rows: Collection[tuple[int, date]]) -> None:
    """Take rows off the list of withdrawals: the published object lacks them, or they are expected again."""
    listed = [{"f": f, "d": d} for f, d in rows]

    def statement(given: Mapping[str, ColumnElement[Any]]) -> Delete:
        same = (Withdrawal.field_id == given["f"], Withdrawal.day == given["d"])
        return delete(Withdrawal).where(Withdrawal.bbox_id == bbox_id, *same)

    for_each(connection, Withdrawal, {"f": "field_id", "d": "day"}, listed, statement)


def external_ids(connection: Connection, field_ids: Collection[int]) -> dict[int, str]:
    """The external ids of fields."""
    statement = select(Field.field_id, Field.external_id)
    return {row.field_id: row.external_id for row in rows_in(connection, statement, Field.field_id, field_ids)}


# --- attempts ------------------------------------------------------------------------------------------------------


class ProcessingRun(NamedTuple):
    """The run that made an attempt."""

    kind: ProcessingType
    run_id: str
    started: datetime


def record_attempts(
    connection: Connection,
    bbox_id: int,
    day: date,
    errors: Mapping[int, str | None],
    run: ProcessingRun,
    now: datetime,
) -> None:
    """Write the audit trail of one day's processing.

    Args:
        connection: of a write transaction.
        bbox_id: the region.
        day: that was processed.
        errors: by field id; None for a field that succeeded.
        run: that processed it.
        now: the end of the processing.
    """
    rows = [
        {"field_id": field_id, "error_code": None if error is None else error[:300]}
        for field_id, error in errors.items()
    ]
    same = {
        "bbox_id": bbox_id,
        "processing_time": run.started,
        "processing_type": run.kind,
        "created_at": now,
        "day": day,
        "run_id": run.run_id,
        "duration_seconds": (now - run.started).total_seconds(),
    }
    insert_rows(connection, Attempt, rows, same)
