"""What there is for realtime to do, read from the ledger. Only ticks import this module."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from satcommon.contract import BACKFILL_JOB, CLOSE_JOB, FIRST_PARTITION, backfill_config, in_window, lane, partition
from satcommon.db import ledger
from satcommon.db.engine import read_transaction
from satcommon.db.registry import regions
from satcommon.pipeline.ready_days import ready_days_of_all
from satcommon.run_requests import WantedRun

if TYPE_CHECKING:
    from satcommon.environment import Environment
    from satcommon.pipeline.ready_days import ReadyDay

FEW_DAYS = 31  # a region further behind is caught up by one backfill run instead of a run a day
_ONE_DAY = timedelta(days=1)


def days_to_close(
    env: Environment, known_regions: Collection[str], now: datetime, quiet_for: timedelta = timedelta(0)
) -> Iterator[WantedRun]:
    """The regions' days that can be closed: one work for each that is ready by itself, region after region, those
    with the oldest day first.

    Only regions that have their Dagster partition are looked at, and only those with no answer of ingest's since
    `quiet_for`: what was just answered is about to be materialized, and wakes another sensor.

    Args:
        env: with the ledger.
        known_regions: names of the regions that have their partition.
        now: the present.
        quiet_for: so long ago the last answer must be, at least.
    """

    known = set(known_regions)
    # Ingest asks for no day before this one: where such a day has no answer, closing it would publish it unseen.
    asked_from = max(now.date() - _ONE_DAY * (1 + env.settings.lateness_days), FIRST_PARTITION)

    def works_of(name: str, days: list[ReadyDay]) -> list[WantedRun]:
        if len(days) > FEW_DAYS or any(day.day < asked_from and not day.answered for day in days):
            until = days[-1].day
            config = backfill_config(name, until)
            return [WantedRun(f"backfill:{name}:{until}", lane("backfill", name), job=BACKFILL_JOB, config=config)]
        return [
            WantedRun(
                f"close:{name}:{day.day}:{(day.scene_digest or 'no scene')[:12]}",
                lane("realtime", name),
                partition(name, day.day),
                job=CLOSE_JOB,
            )
            for day in days
            if day.alone and in_window(day.day, now)
        ]

    with read_transaction(env.engine) as connection:
        answered = ledger.answered_since(connection, now - quiet_for)
        active = [r for r in regions(connection, active=True) if r.name in known and r.bbox_id not in answered]
        ready = ready_days_of_all(connection, active, env.deadlines, now)
        todo = sorted((days[0].day, name, works_of(name, days)) for name, days in ready if days)
    for _, _, works in todo:
        yield from works
