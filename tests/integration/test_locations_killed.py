"""A run's process that is killed for real, in the middle of its work."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterRun, DagsterRunStatus
from satcommon.contract import ATTEMPT_TAG, BACKFILL_JOB, partition
from satcommon.db.engine import read_transaction
from satcommon.db.models import Publication
from sqlalchemy import select

from tests.integration.dagster_world import World, world

SETTINGS = {
    "HEARTBEAT_SECONDS": "0.2",
    "STALE_SECONDS": "3",
    "RETRY_PAUSE_SECONDS": "1",
    "SENSOR_SECONDS": "1",  # four of them after its last answer, a region is looked at again
    "DEADLINE_HOURS": "60",
}
DAYS = 100

pytestmark = pytest.mark.slow


@pytest.fixture
def launching_world(tmp_path: Path, clean_environment: None) -> Iterator[World]:
    """Code servers that start a process for each run."""
    with world(tmp_path / "home", SETTINGS, in_this_process=False) as found:
        yield found


def test_a_backfill_whose_process_is_killed_goes_on_where_it_was(launching_world: World) -> None:
    launching_world.add_region("A", DAYS)
    (first,) = launching_world.tick("unfinished_days").runs
    launching_world.launch(first)
    _wait(lambda: launching_world.watermark("A") is not None)

    os.kill(_process_of(launching_world, first), signal.SIGKILL)
    (second,) = launching_world.tick_until_asked("unfinished_days").runs
    reached = launching_world.watermark("A")

    assert launching_world.status(first) is DagsterRunStatus.FAILURE
    assert (second.job_name, second.tags[ATTEMPT_TAG]) == (BACKFILL_JOB, "2")
    assert reached is not None
    assert reached < launching_world.day(3)
    launching_world.launch(second)
    _wait(lambda: launching_world.status(second) is DagsterRunStatus.SUCCESS)
    assert launching_world.watermark("A") == launching_world.day(3)
    assert launching_world.missed("A") == []


def test_a_batch_whose_process_is_killed_loses_nothing_and_does_nothing_twice(launching_world: World) -> None:
    names = [f"R{n:02}" for n in range(30)]
    for name in names:
        launching_world.add_region(name, 1, fields=1)
        launching_world.deliver(name, launching_world.yesterday)
    (first,) = launching_world.tick("scene_materialized").runs
    launching_world.launch(first)
    _wait(lambda: launching_world.watermark(names[4]) is not None)

    os.kill(_process_of(launching_world, first), signal.SIGKILL)
    done = [name for name in names if launching_world.watermark(name) is not None]
    rest = launching_world.tick_until_asked("unfinished_days")

    assert launching_world.status(first) is DagsterRunStatus.FAILURE
    assert len(names) - 1 <= len(done) + len(rest.asked) <= len(names)  # but for the region that it was at
    assert not {partition(name, launching_world.yesterday) for name in done} & set(rest.asked)
    for run in rest.runs:
        launching_world.launch(run)
        _wait(lambda run=run: launching_world.status(run) is DagsterRunStatus.SUCCESS)
    for run in launching_world.tick("unfinished_days").runs:
        launching_world.launch(run)
    _wait(lambda: all(launching_world.watermark(name) == launching_world.yesterday for name in names))
    with read_transaction(launching_world.env.engine) as connection:
        published = connection.execute(select(Publication.bbox_id)).scalars().all()
    assert len(published) == len(set(published)) == len(names)


def _process_of(world: World, run: DagsterRun) -> int:
    (found,) = {match[1] for line in world.log(run) if (match := re.search(r"steps in process \(pid: (\d+)\)", line))}
    return int(found)


def _wait(until: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)
