"""A region's past is filled by one run, which loops over its days."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from satcommon.contract import (
    BACKFILL_JOB,
    FIELD_METRICS,
    FIRST_PARTITION,
    LANE_TAG,
    SCENES,
    backfill_config,
    partition,
)
from satfields_realtime.jobs import backfill

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

DAYS = 40


@pytest.mark.slow
def test_one_run_fills_forty_days_that_nobody_asked_for(world: World) -> None:
    world.add_region("A", days=DAYS)
    (run,) = world.tick("unfinished_days").runs
    assert run.job_name == BACKFILL_JOB

    assert run.tags[LANE_TAG] == "backfill:A"
    until = world.day(3)  # the deadline of those after it has not passed
    assert run.run_config == backfill_config("A", until)

    world.execute(run)

    assert world.watermark("A") == until
    days = {partition("A", world.day(ago)) for ago in range(3, DAYS + 1)}
    assert set(world.materializations(FIELD_METRICS)) == days
    assert set(world.materializations(SCENES)) == days
    progress = [line for line in world.log(run) if line.endswith(f"until {until})")]
    assert len(progress) == 3  # of the first day, the 31st and the last
    assert world.missed("A") == []


@pytest.mark.slow
def test_days_before_dagster_s_window_are_closed_without_partitions(world: World) -> None:
    start = FIRST_PARTITION
    world.add_region("old", days=(world.now.date() - start).days + 3)

    backfill.execute_in_process(run_config=backfill_config("old", start + timedelta(days=1)), instance=world.instance)

    assert world.watermark("old") == start + timedelta(days=1)
    assert set(world.materializations(FIELD_METRICS)) == {
        partition("old", start),
        partition("old", start + timedelta(days=1)),
    }
