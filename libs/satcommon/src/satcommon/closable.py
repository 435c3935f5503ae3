"""Which of a region's days can be closed: in order, without gaps, never waiting for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Row

from satcommon.db import ledger
from satcommon.db.models import Region
from satcommon.db.registry import place
from satcommon.deadlines import Deadlines
from satcommon.expected import ONE_DAY
from satcommon.scenes.source import Due


@dataclass(frozen=True)
class ClosableDay:
    """An open day that can be closed now.

    Args:
        day: the day.
        ready: by itself: its scene is there, it is not due, or its deadline has passed. Else it closes because a later
            day's scene is there, and the run of that day closes it.
        scene_digest: of its scene.
        answered: whether the source was asked for it.
    """

    day: date
    ready: bool
    scene_digest: str | None
    answered: bool = True


def closable_days(
    connection: Connection, region: Row[tuple[Region]], deadlines: Deadlines, now: datetime
) -> list[ClosableDay]:
    """The open days that can be closed now, in order, up to the first that can't.

    A day for which the source was never asked is waited for, since nobody knows whether it has a scene: until its
    deadline, or as long after the region's registration, so that a region registered with a past is not closed empty.
    """
    first = ledger.next_day(connection, region)
    bounds = place(region).bounds
    passed = deadlines.last_passed(bounds, now)
    grace_is_over = now >= region.created_at + timedelta(hours=deadlines.deadline_hours)
    days = ledger.region_days(connection, region.bbox_id, first, date.max)
    newest = max((day for day, row in days.items() if row.scene_digest is not None), default=date.min)
    last = min(max(passed, *days, date.min), region.monitored_until or date.max)
    found: list[ClosableDay] = []
    day = first
    while day <= last:
        row = days.get(day)
        scene = row.scene_digest if row else None
        answered = row is not None and row.answered_at is not None
        if row is None or not answered:
            ready = closable = day <= passed and grace_is_over
        else:
            ready = scene is not None or row.due is Due.NOT_DUE or day <= passed
            closable = ready or (row.due is Due.DUE and day < newest)
        if not closable:
            break
        found.append(ClosableDay(day, ready, scene, answered))
        day += ONE_DAY
    return found
