"""What a day waits for that can't be closed yet."""

from __future__ import annotations

import shlex
from datetime import date, datetime
from typing import TYPE_CHECKING

from satcommon.db import ledger
from satcommon.db.expected import ONE_DAY
from satcommon.db.registry import aoi_of
from satcommon.pipeline.ready_days import ready_days_of

if TYPE_CHECKING:
    from satcommon.db.deadlines import Deadlines
    from satcommon.db.models import Region
    from sqlalchemy import Connection


def what_waits(
    connection: Connection, region: Region, day: date, following: date, deadlines: Deadlines, now: datetime
) -> str:
    """Why a monitored day is open, and what is to be done, or when it closes.

    Args:
        connection: to the ledger.
        region: of the day.
        day: that was asked for.
        following: the day that the region closes next; days close in order.
        deadlines: the waiting times.
        now: the present.
    """

    if not region.active:
        name = shlex.quote(region.name)
        return f"region {region.name} {day}: the region is paused; `satctl regions activate {name}` resumes it"
    ready = ready_days_of(connection, region, deadlines, now)
    waiting = ready[-1].day + ONE_DAY if ready else following
    row = ledger.region_day(connection, region.bbox_id, waiting)
    closes = deadlines.closes_at(waiting, aoi_of(region).bounds)
    if row is None or row.answered_at is None:
        why = f"the source was not asked for {waiting} yet (is ingest running?)"
    else:
        why = f"the scene of {waiting} is {row.due.value} and not there yet"
    return f"region {region.name} {day} is open: {why}; {waiting} closes at {closes:%Y-%m-%d %H:%M} UTC at the latest"
