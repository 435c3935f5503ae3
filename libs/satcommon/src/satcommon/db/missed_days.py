"""Misses: the field-days that are owed, opened by an event and closed by a computed row.

Functions run inside the caller's transaction and take `now` instead of reading a clock. Those that write expect the
caller to hold the lock of the region's row. What opens which is decided where the event is entered: a late scene in
`pipeline/ingest_day.py`, a day that closes without one in `pipeline/close_day.py`, changes of fields and regions in
`db/expectations.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Update, bindparam, case, func, select, update

from satcommon.db.ledger import REFUSED
from satcommon.db.models import Cause, Miss, RegionDay, open_misses_only
from satcommon.db.records import all_of, select_all, typed
from satcommon.db.statement_batches import for_each, insert_rows
from satcommon.sources.source import Due


class OpenMiss(NamedTuple):
    """A field-day to be opened as missed; `digest` identifies the event, to tell it from a later one."""

    field_id: int
    day: date
    cause: Cause
    digest: str


class SimilarMisses(NamedTuple):
    """Open misses of a region that are alike, counted."""

    bbox_id: int
    cause: Cause
    attempts: int
    tried_at: datetime | None
    due_day: date | None  # theirs, if it lacks its due scene; None elsewhere, where no miss waits for its day
    field_days: int
    ids: int  # the sum of theirs


_OPEN = (
    select_all(Miss)
    .where(
        Miss.bbox_id == bindparam("region"),
        ~Miss.processed,
        Miss.date_missed >= bindparam("first"),
        Miss.date_missed <= bindparam("last"),
    )
    .order_by(Miss.date_missed, Miss.field_id)
)


def open_misses(connection: Connection, bbox_id: int, misses: Iterable[OpenMiss], now: datetime) -> None:
    """Open misses. An open one takes the new cause and digest and keeps its age; a carry leaves it as it is.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        misses: the field-days; of two of one field-day, the later one holds.
        now: the time of opening.
    """
    where = {
        "index_elements": ["bbox_id", "field_id", "date_missed"],
        "index_where": open_misses_only(connection.dialect.name),
    }

    def replace(statement: Any) -> Any:
        latest = {c: statement.excluded[c] for c in ("cause", "digest")} | {"attempts": 0}
        return statement.on_conflict_do_update(**where, set_=latest)

    carried: dict[tuple[int, date], OpenMiss] = {}
    others: dict[tuple[int, date], OpenMiss] = {}  # of two of a field-day, the later one holds
    for miss in misses:
        (carried if miss.cause is Cause.CARRY else others)[miss.field_id, miss.day] = miss
    same = {"bbox_id": bbox_id, "processing_time": now, "processed": False}
    for chosen, on_conflict in (
        (others, replace),
        (carried, lambda statement: statement.on_conflict_do_nothing(**where)),
    ):
        rows = [
            {"field_id": m.field_id, "date_missed": m.day, "cause": m.cause, "digest": m.digest}
            for m in chosen.values()
        ]
        insert_rows(connection, Miss, rows, same, on_conflict)


def resolve_misses(connection: Connection, bbox_id: int, missed: Sequence[tuple[int, date]], now: datetime) -> None:
    """Close the open misses of field-days that are no longer expected, whatever opened them.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        missed: (field id, day) of each.
        now: the time of closing.
    """
    rows = [{"f": f, "d": d} for f, d in missed]
    _update_open(connection, bbox_id, rows, {"processed": True, "resolved_time": now})


def resolve_opened(
    connection: Connection, bbox_id: int, missed: Sequence[tuple[int, date, str]], now: datetime
) -> None:
    """Close the open misses of field-days that were computed, where the event that opened them is still the same.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        missed: (field id, day, digest of the event) of each.
        now: the time of closing.
    """
    rows = [{"f": f, "d": d, "o": o} for f, d, o in missed]
    _update_open(connection, bbox_id, rows, {"processed": True, "resolved_time": now})


def count_failures(
    connection: Connection,
    bbox_id: int,
    failed: Sequence[tuple[int, date]],
    now: datetime,
    most: int | None = None,
) -> None:
    """Count a failed attempt of open misses, which lengthens their pause.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        failed: (field id, day) of each.
        now: the time of the attempt.
        most: the count goes no higher, so that they are tried again however often they fail.
    """
    rows = [{"f": f, "d": d} for f, d in failed]
    counted: Any = Miss.attempts + 1
    if most is not None:
        counted = case((Miss.attempts >= most, Miss.attempts), else_=counted)
    _update_open(connection, bbox_id, rows, {"attempts": counted, "tried_at": now})


def _update_open(connection: Connection, bbox_id: int, rows: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """Update open misses by `f`, `d` and, if given, `o`: field id, day, and the digest that opened them."""
    keys = {"f": "field_id", "d": "date_missed", "o": "digest"}
    keys = {key: column for key, column in keys.items() if rows and key in rows[0]}

    def statement(given: Mapping[str, ColumnElement[Any]]) -> Update:
        same = [Miss.__table__.c[column] == given[key] for key, column in keys.items()]
        return update(Miss).where(Miss.bbox_id == bbox_id, ~Miss.processed, *same).values(values)

    for_each(connection, Miss, keys, rows, statement)


def forget_failures(
    connection: Connection, bbox_id: int, field_ids: Collection[int] | None, first: date, last: date
) -> int:
    """Let failed field-days of a span be tried again without a pause; returns their number.

    Args:
        connection: of a write transaction.
        bbox_id: the region.
        field_ids: the fields; None for all of the region.
        first: first day of the span.
        last: last day of the span.
    """
    chosen = [Miss.bbox_id == bbox_id, ~Miss.processed, Miss.attempts > 0]
    chosen += [Miss.date_missed >= first, Miss.date_missed <= last]
    if field_ids is not None:
        chosen.append(Miss.field_id.in_(field_ids))
    return connection.execute(update(Miss).where(*chosen).values(attempts=0)).rowcount


def misses(connection: Connection, bbox_id: int, first: date, last: date) -> Sequence[Miss]:
    """The open misses of a span of days, by day and field.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    return all_of(connection, _OPEN, {"region": bbox_id, "first": first, "last": last})


def misses_of_all(connection: Connection) -> Iterable[SimilarMisses]:
    """The open misses of all regions, without days that wait indefinitely; similar ones of a region are one item."""
    has_scene = RegionDay.scene_digest.is_not(None)
    due_day = case((~has_scene & (RegionDay.due == Due.DUE), RegionDay.day)).label("due_day")
    alike = (Miss.bbox_id, Miss.cause, Miss.attempts, Miss.tried_at, due_day)
    statement = (
        select(*alike, func.count().label("field_days"), func.sum(Miss.id).label("ids"))
        .outerjoin(RegionDay, (RegionDay.bbox_id == Miss.bbox_id) & (RegionDay.day == Miss.date_missed))
        .where(~Miss.processed, RegionDay.day.is_(None) | has_scene | (RegionDay.answered_at.is_not(None) & ~REFUSED))
        .group_by(*alike)
    )
    return typed(connection.execute(statement), SimilarMisses)


class CauseBacklog(NamedTuple):
    """The open misses of a region of one cause."""

    cause: Cause
    field_days: int
    first_day: date
    last_day: date
    opened_at: datetime


def backlog_by_cause(connection: Connection, bbox_id: int) -> list[CauseBacklog]:
    """The open misses of a region by cause: their number, their days, and when the oldest was opened."""
    statement = (
        select(
            Miss.cause,
            func.count().label("field_days"),
            func.min(Miss.date_missed).label("first_day"),
            func.max(Miss.date_missed).label("last_day"),
            func.min(Miss.processing_time).label("opened_at"),
        )
        .where(Miss.bbox_id == bbox_id, ~Miss.processed)
        .group_by(Miss.cause)
        .order_by(Miss.cause)
    )
    return [CauseBacklog(*row) for row in connection.execute(statement)]
