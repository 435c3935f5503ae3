"""Expected field-days by the registry, and what a change of them causes on closed days.

An event that changes which days are expected, or with which polygon, compares the days before and after. Newly expected
days and days with another polygon are missed. Days no longer expected lose their misses, and their rows are withdrawn.
The first expected day after each changed span gets a `carry` miss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.orm import aliased

from satcommon.db import ledger, missed_days
from satcommon.db.expected import ONE_DAY, Revision, SeasonDays, Span, Timeline, spans
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, Field, FieldRevision, Membership, Region, Season
from satcommon.db.statement_batches import rows_in
from satcommon.memory import without_collector


@without_collector()
def timelines(connection: Connection, bbox_id: int, field_ids: Collection[int] | None = None) -> dict[int, Timeline]:
    """The expected days of a region's fields (or of some), by field id. No geometry is decoded."""
    region = ledger.region(connection, bbox_id)
    # Binding thousands of ids costs more than reading all fields of the region and dropping the others here.
    asked = field_ids if field_ids is None or len(field_ids) <= _FEW else None
    rows = rows_in(connection, _of_region(bbox_id, one_by_one=asked is not None), Field.field_id, asked)
    lines = _timelines((region.monitored_from, region.monitored_until), rows)
    if asked is field_ids:
        return lines
    wanted = set(field_ids or ())
    return {f: line for f, line in lines.items() if f in wanted}


@without_collector()
def timelines_of_all(connection: Connection) -> dict[int, dict[int, Timeline]]:
    """The `timelines` of all regions, by region id, in two queries."""
    pairs = (
        select(Membership.bbox_id, FieldRevision.field_id)
        .join(FieldRevision, FieldRevision.revision_id == Membership.revision_id)
        .distinct()
        .subquery()
    )
    of_pair = (Membership.revision_id == FieldRevision.revision_id) & (Membership.bbox_id == pairs.c.bbox_id)
    statement = (
        select(*_COLUMNS, pairs.c.bbox_id.label("region"))
        .select_from(pairs)
        .join(Field, Field.field_id == pairs.c.field_id)
        .join(Season, Season.field_id == Field.field_id)
        .join(FieldRevision, FieldRevision.field_id == Field.field_id)
        .outerjoin(Membership, of_pair)
    )
    rows: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(statement):
        rows[row.region].append(row[:-1])
    monitored = select(Region.bbox_id, Region.monitored_from, Region.monitored_until)
    return {b: _timelines((first, last), rows.pop(b, [])) for b, first, last in connection.execute(monitored)}


_Rows = Sequence[Row[Any]]  # of a field: its revisions times its seasons; nearly always one row


def _timelines(monitored: tuple[date, date | None], rows: _Rows) -> dict[int, Timeline]:
    of_field: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        of_field[row[0]].append(row)
    return {f: Timeline(f, own[0][1], spans(monitored, *_revisions_and_seasons(own))) for f, own in of_field.items()}


def _revisions_and_seasons(rows: _Rows) -> tuple[list[Revision], list[SeasonDays]]:
    """The revisions, in the order in which they became known, and seasons of one field from its rows of `_of_region`.

    Every field has a season, so the join with seasons loses none.
    """
    known = [
        (revision_id, Revision(kind, valid_from, digest, None if overlap is None else min(1.0, overlap / area)))
        for _, _, revision_id, kind, valid_from, digest, area, overlap, _, _ in rows
    ]
    seasons = [SeasonDays(*row[-2:]) for row in rows]
    if len(rows) == 1:  # nearly always
        return [known[0][1]], seasons
    return [revision for _, revision in sorted(dict(known).items())], list(dict.fromkeys(seasons))


_FEW = 1000
_COLUMNS = (
    Field.field_id,
    Field.external_id,
    FieldRevision.revision_id,
    FieldRevision.kind,
    FieldRevision.valid_from,
    FieldRevision.geometry_digest,
    Membership.area_ha,
    Membership.overlap_ha,
    Season.planting_date,
    Season.end_date,
)


@lru_cache(maxsize=1024)
def _of_region(bbox_id: int, *, one_by_one: bool) -> Select[Any]:
    """The statement that selects a region's fields; cached, since building it takes longer than running it.

    Args:
        bbox_id: the region.
        one_by_one: look up each field's membership, for a few; else the region's members are listed first.
    """
    revision = aliased(FieldRevision)
    members = (
        select(revision.field_id)
        .join(Membership, Membership.revision_id == revision.revision_id)
        .where(Membership.bbox_id == bbox_id)
    )
    is_member = (
        members.where(revision.field_id == Field.field_id).exists() if one_by_one else Field.field_id.in_(members)
    )
    in_region = (Membership.revision_id == FieldRevision.revision_id) & (Membership.bbox_id == bbox_id)
    return (
        select(*_COLUMNS)
        .join(Season, Season.field_id == Field.field_id)
        .join(FieldRevision, FieldRevision.field_id == Field.field_id)
        .outerjoin(Membership, in_region)
        .where(is_member)
    )


def geometries(connection: Connection, digests: Collection[str]) -> dict[str, bytes]:
    """The WKB of polygons by their digest."""
    statement = select(FieldRevision.geometry_digest, FieldRevision.geometry)
    rows = rows_in(connection, statement, FieldRevision.geometry_digest, digests)
    return {row.geometry_digest: row.geometry for row in rows}


@contextmanager
def expectations_change(
    connection: Connection, bbox_ids: Collection[int], field_ids: Collection[int] | None, cause: Cause, now: datetime
) -> Iterator[None]:
    """Lock the regions, and after the change inside the block open what it causes on their closed days.

    Args:
        connection: of a write transaction that holds the registry's lock.
        bbox_ids: every region that the fields are, or will be, in.
        field_ids: the fields concerned; None for all.
        cause: of the misses on days that are newly expected.
        now: when it became known.
    """
    for bbox_id in sorted(bbox_ids):
        ledger.lock_region(connection, bbox_id)
    # The lock keeps days from being closed; a region without a closed day can miss nothing.
    closed = [bbox_id for bbox_id in sorted(bbox_ids) if ledger.watermark(connection, bbox_id) is not None]
    members = _members(connection, closed, field_ids)
    before = {bbox_id: timelines(connection, bbox_id, members[bbox_id]) for bbox_id in closed}
    yield
    members = _members(connection, closed, field_ids)
    for bbox_id in closed:
        after = timelines(connection, bbox_id, members[bbox_id])
        _reconcile(connection, bbox_id, before[bbox_id], after, cause, now)


def _members(
    connection: Connection, bbox_ids: Collection[int], field_ids: Collection[int] | None
) -> Mapping[int, set[int] | None]:
    """By region, those of the fields that are or were in it; None for all fields."""
    if field_ids is None or not bbox_ids:
        return dict.fromkeys(bbox_ids)
    members: dict[int, set[int] | None] = {bbox_id: set() for bbox_id in bbox_ids}
    statement = select(Membership.bbox_id, FieldRevision.field_id).distinct()
    joined = statement.join(FieldRevision, FieldRevision.revision_id == Membership.revision_id)
    for row in rows_in(connection, joined, FieldRevision.field_id, field_ids):
        own = members.get(row.bbox_id)
        if own is not None:
            own.add(row.field_id)
    return members


def _reconcile(
    connection: Connection,
    bbox_id: int,
    before: Mapping[int, Timeline],
    after: Mapping[int, Timeline],
    cause: Cause,
    now: datetime,
) -> None:
    last = ledger.watermark(connection, bbox_id)
    if last is None:
        return
    listed = ledger.withdrawals(connection, bbox_id, date.min, last)
    missed: list[OpenMiss] = []
    carried: list[OpenMiss] = []
    left: list[tuple[int, date]] = []
    back: list[tuple[int, date]] = []
    for field_id in before.keys() | after.keys():
        old = _days(before.get(field_id), last)
        new = _days(after.get(field_id), last)
        for day, span in new.items():
            was = old.get(day)
            if was is None:
                missed.append(OpenMiss(field_id, day, cause, _name(span)))
                if (field_id, day) in listed:
                    back.append((field_id, day))
            elif was.geometry_digest != span.geometry_digest:
                missed.append(OpenMiss(field_id, day, Cause.REVISED_FIELD, _name(span)))
            elif _carried(old, day) != _carried(new, day) or (was.planting != span.planting and not _carried(new, day)):
                # The day itself has not changed, but the state it starts from has.
                carried.append(OpenMiss(field_id, day, Cause.CARRY, Cause.CARRY.value))
        left += [(field_id, day) for day in old if day not in new]
    missed_days.resolve_misses(connection, bbox_id, left, now)
    ledger.cross_off(connection, bbox_id, back)
    missed_days.open_misses(connection, bbox_id, [*missed, *carried], now)
    ledger.withdraw(connection, bbox_id, left, now)


def miss_closed_days(connection: Connection, bbox_id: int, cause: Cause, digest: str, now: datetime) -> None:
    """Open every expected field-day of a region's closed days as missed.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        cause: of the misses.
        digest: names the event that opens them.
        now: when it became known.
    """
    last = ledger.watermark(connection, bbox_id)
    if last is not None:
        lines = timelines(connection, bbox_id)
        missed = (OpenMiss(f, day, cause, digest) for f, line in lines.items() for day in _days(line, last))
        missed_days.open_misses(connection, bbox_id, missed, now)


def _days(timeline: Timeline | None, last: date) -> dict[date, Span]:
    """The expected days up to `last`, each with its span."""
    expected: dict[date, Span] = {}
    for span in timeline.spans if timeline else ():
        day = span.first
        while day <= min(span.last, last):
            expected[day] = span
            day += ONE_DAY
    return expected


def _carried(days: Mapping[date, Span], day: date) -> bool:
    """Whether the state of the day before is carried into a day: expected on both, in one season."""
    before = days.get(day - ONE_DAY)
    return before is not None and before.planting == days[day].planting


def _name(span: Span) -> str:
    return f"{span.geometry_digest[:32]} {span.planting}"
