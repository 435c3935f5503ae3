"""The runnable part of a region's backlog, and what draining it will cost."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from satcommon.db import answers, ledger, missed_days, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.expectations import timelines
from satcommon.db.models import Cause, Miss, Region
from satcommon.db.registry import aoi_of

TRIES = 3  # of a field-day; after so many failures it waits for a new field, scene or version
FIRST_PAUSE = timedelta(minutes=10)  # before the first retry of a failed field-day; doubles each time
# Causes of misses on days that closed without a row for the field.
_WITHOUT_ROW = (Cause.LATE_FIELD, Cause.LATE_REGION, Cause.LATE_SCENE, Cause.PROCESSING_ERROR)


@dataclass(frozen=True)
class RegionBacklog:
    """A region's open misses and withdrawals, as (field id, day).

    Args:
        misses: that are runnable, with their causes.
        waiting: misses whose day was never asked for, whose due scene is neither there nor past the allowed lateness,
            or that failed and pause, perhaps for ever.
        withdrawals: rows to be withdrawn.
    """

    misses: dict[tuple[int, date], Cause]
    waiting: dict[tuple[int, date], Cause]
    withdrawals: frozenset[tuple[int, date]]

    @property
    def first_day(self) -> date | None:
        """The earliest day with runnable work."""
        return min((day for _, day in [*self.misses, *self.withdrawals]), default=None)


def region_backlog(connection: Connection, bbox_id: int, deadlines: Deadlines, now: datetime) -> RegionBacklog:
    """A region's backlog: what is runnable now, and what waits.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        deadlines: the waiting times.
        now: the present.
    """
    misses = missed_days.misses(connection, bbox_id, date.min, date.max)
    region = ledger.region(connection, bbox_id)
    bounds = aoi_of(region).bounds
    waits: dict[date, bool] = {}
    if misses:
        days = ledger.region_days(connection, bbox_id, misses[0].date_missed, misses[-1].date_missed)
        for day, row in days.items():
            waits[day] = answers.waits(answers.stands_for(row), day, bounds, deadlines, now)
    work: dict[tuple[int, date], Cause] = {}
    waiting: dict[tuple[int, date], Cause] = {}
    for miss in misses:
        chosen = waiting if _pauses(miss, now) or waits.get(miss.date_missed, False) else work
        chosen[miss.field_id, miss.date_missed] = miss.cause
    return RegionBacklog(work, waiting, frozenset(ledger.withdrawals(connection, bbox_id, date.min, date.max)))


def _pauses(miss: Miss | missed_days.SimilarMisses, now: datetime) -> bool:
    """Whether an open miss failed and pauses, perhaps for ever."""
    if miss.attempts == 0 or miss.tried_at is None:
        return False
    return miss.attempts >= TRIES or now < miss.tried_at + FIRST_PAUSE * 2 ** (miss.attempts - 1)


def workable_backlogs(connection: Connection, deadlines: Deadlines, now: datetime) -> dict[str, str]:
    """The regions whose backlog has a runnable part, each with a name of that part; another part has another name.

    Three queries, however many regions there are: the database counts what is alike. `region_backlog` gives the same
    for one region, in full.
    """
    regions = {region.bbox_id: region for region in registry.regions(connection)}
    work: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for alike in missed_days.misses_of_all(connection):
        day, bounds = alike.due_day, aoi_of(regions[alike.bbox_id]).bounds
        if not _pauses(alike, now) and (day is None or deadlines.given_up(day, bounds, now)):
            work[alike.bbox_id].append((alike.cause.value, int(alike.field_days), int(alike.ids)))
    for withdrawn in ledger.withdrawals_of_all(connection):
        work[withdrawn.bbox_id].append(("withdrawn", *map(str, withdrawn)))
    return {
        regions[bbox_id].name: hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()[:12]
        for bbox_id, parts in work.items()
    }


@dataclass(frozen=True)
class Plan:
    """What draining a region's backlog costs.

    Args:
        region: its name.
        missed: runnable field-days by cause.
        waiting: field-days that are not runnable yet, by cause.
        withdrawals: rows to be withdrawn.
        fields: with a runnable miss.
        first_day: that may be rewritten.
        last_day: that may be rewritten.
        steps_at_most: steps of state: each field from its first miss to the watermark or its last expected day. A field
            stops early once its state is the published one again.
        scenes_at_most: scenes of which windows are read.
        days_at_most: objects rewritten.
        steps_of_all: what reprocessing the whole region over the same days would take.
    """

    region: str
    missed: dict[str, int]
    waiting: dict[str, int]
    withdrawals: int
    fields: int
    first_day: date | None
    last_day: date | None
    steps_at_most: int
    scenes_at_most: int
    days_at_most: int
    steps_of_all: int


def plan(connection: Connection, bbox_id: int, deadlines: Deadlines, now: datetime) -> Plan:
    """The plan of a region's backlog; nothing is changed.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        deadlines: the waiting times.
        now: the present.
    """
    name = connection.execute(select(Region.name).where(Region.bbox_id == bbox_id)).scalar_one()
    todo = region_backlog(connection, bbox_id, deadlines, now)
    first_miss: dict[int, date] = {}
    for field_id, day in todo.misses:
        first_miss[field_id] = min(day, first_miss.get(field_id, day))
    last = ledger.watermark(connection, bbox_id)
    steps, touched_ordinals = 0, {day.toordinal() for _, day in todo.withdrawals}
    if first_miss and last is not None:
        for field_id, line in timelines(connection, bbox_id, first_miss).items():
            for span in line.spans:
                first, end = max(span.first, first_miss[field_id]), min(span.last, last)
                steps += max(0, (end - first).days + 1)
                touched_ordinals.update(range(first.toordinal(), end.toordinal() + 1))
    touched = {date.fromordinal(ordinal) for ordinal in touched_ordinals}
    scene_days = {day for (_, day), cause in todo.misses.items() if cause is not Cause.CARRY}
    scenes = 0
    if scene_days:
        days = ledger.region_days(connection, bbox_id, min(scene_days), max(scene_days))
        scenes = sum(row.scene_digest is not None for day, row in days.items() if day in scene_days)
    without_row = sum(cause in _WITHOUT_ROW for cause in todo.misses.values())
    counted: tuple[dict[str, int], dict[str, int]] = (defaultdict(int), defaultdict(int))
    for counts, causes in zip(counted, (todo.misses, todo.waiting), strict=True):
        for cause in causes.values():
            counts[cause.value] += 1
    return Plan(
        name,
        dict(counted[0]),
        dict(counted[1]),
        len(todo.withdrawals),
        len(first_miss),
        min(touched, default=None),
        max(touched, default=None),
        steps,
        scenes,
        len(touched),
        (ledger.published_rows(connection, bbox_id, min(touched), max(touched)) + without_row) if touched else 0,
    )
