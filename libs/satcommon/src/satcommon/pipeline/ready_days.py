"""Which of a region's days can close: in order, without gaps, and never after an endless wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection

from satcommon.db import ledger
from satcommon.db.deadlines import Deadlines
from satcommon.db.expected import ONE_DAY
from satcommon.db.models import Region
from satcommon.db.registry import aoi_of
from satcommon.geo.solar import last_day_over
from satcommon.sources.source import Due


class ReadyDay(NamedTuple):
    """An open day that can be closed now.

    Args:
        day: the day.
        alone: by itself: its scene is there, it is not due, or its deadline has passed. Otherwise it can close because
            a later day's scene is there; the run of that day closes it.
        scene_digest: of its scene.
        answered: whether the source was asked for it.
    """

    day: date
    alone: bool
    scene_digest: str | None
    answered: bool = True


def ready_days_of(connection: Connection, region: Region, deadlines: Deadlines, now: datetime) -> list[ReadyDay]:
    """The open days that can be closed now, in order, up to the first that can't.

    A day for which the source was never asked may have a scene: it waits until its deadline and until it is over, or as
    long after the region's registration, so that the past of a new region does not close empty.

    Args:
        connection: of a read transaction.
        region: the region.
        deadlines: the waiting times.
        now: the present.
    """
    days = dict(ledger.open_days(connection, region.bbox_id))
    return _ready_days(region, ledger.next_day(connection, region), days.get(region.bbox_id, {}), deadlines, now)


def ready_days_of_all(
    connection: Connection, regions: Iterable[Region], deadlines: Deadlines, now: datetime
) -> Iterator[tuple[str, list[ReadyDay]]]:
    """The `ready_days_of` of each region, by its name, in no order: two queries, however many regions there are.

    It yields one region at a time: a thousand regions may have more open days than it should hold together.

    Args:
        connection: of a read transaction.
        regions: those to look at.
        deadlines: the waiting times.
        now: the present.
    """
    watermarks = ledger.watermarks(connection)
    chosen = {region.bbox_id: region for region in regions}
    without = (
        (bbox_id, dict[date, ledger.OpenDay]()) for bbox_id in list(chosen)
    )  # an open day; those left at the end
    for bbox_id, days in chain(ledger.open_days(connection), without):
        if region := chosen.pop(bbox_id, None):
            last = watermarks.get(bbox_id)
            first = region.monitored_from if last is None else last + ONE_DAY
            yield region.name, _ready_days(region, first, days, deadlines, now)


def _ready_days(
    region: Region, first: date, days: Mapping[date, ledger.OpenDay], deadlines: Deadlines, now: datetime
) -> list[ReadyDay]:
    bounds = aoi_of(region).bounds
    passed, over = deadlines.last_passed(bounds, now), last_day_over(now, bounds)
    grace_is_over = now >= region.created_at + timedelta(hours=deadlines.deadline_hours)
    newest = max((day for day, row in days.items() if row.scene_digest is not None), default=date.min)
    last = min(max(passed, *days, date.min), region.monitored_until or date.max)
    ready_days: list[ReadyDay] = []
    day = first
    while day <= last:
        row = days.get(day)
        scene = row.scene_digest if row else None
        answered = row is not None and row.answered
        if row is None or not answered:
            alone = is_ready = day <= min(passed, over) and grace_is_over
        else:
            alone = scene is not None or row.due.owes_nothing or day <= passed
            is_ready = alone or (row.due is Due.DUE and day < newest)
        if not is_ready:
            break
        ready_days.append(ReadyDay(day, alone, scene, answered))
        day += ONE_DAY
    return ready_days
