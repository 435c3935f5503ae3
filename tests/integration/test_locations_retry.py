"""Work whose run ended without settling it is asked for again: after a pause, and in each location."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from satcommon.contract import ATTEMPT_TAG
from satcommon.run_requests import WantedRun, run_requests

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

PAUSE_SECONDS = 1.0  # SATFIELDS_RETRY_PAUSE_SECONDS of the code servers


@pytest.mark.parametrize("sensor", ["due_scenes", "unfinished_days", "unfinished_backlogs", "registry_changed"])
def test_a_killed_run_is_failed_and_asked_for_again_after_the_pause(world: World, sensor: str) -> None:
    _work_for(world, sensor)
    (killed,) = world.tick(sensor).runs
    world.kill(killed)

    again = world.tick_until_asked(sensor)

    assert world.status(killed) is DagsterRunStatus.FAILURE
    (run,) = again.runs
    assert run.job_name == killed.job_name
    assert run.tags.get("dagster/partition") == killed.tags.get("dagster/partition")
    assert (killed.tags[ATTEMPT_TAG], run.tags[ATTEMPT_TAG]) == ("1", "2")
    assert world.pause_before(run, killed) >= PAUSE_SECONDS
    world.execute(run)
    assert world.tick(sensor).runs == []


@pytest.mark.parametrize("sensor", ["due_scenes", "unfinished_days", "unfinished_backlogs"])
def test_a_run_that_still_beats_is_left_alone(world: World, sensor: str) -> None:
    _work_for(world, sensor)
    (alive,) = world.tick(sensor).runs
    world.kill(alive, age=timedelta(seconds=30))

    assert world.tick(sensor).runs == []
    assert world.status(alive) is DagsterRunStatus.STARTED


def test_a_run_whose_process_died_while_it_was_cancelled_gives_its_lane_back(world: World) -> None:
    _work_for(world, "due_scenes")
    (dead,) = world.tick("due_scenes").runs
    world.kill(dead)
    world.instance.report_run_canceling(dead)

    (again,) = world.tick_until_asked("due_scenes").runs

    assert world.status(dead) is DagsterRunStatus.CANCELED
    assert again.tags["dagster/partition"] == dead.tags["dagster/partition"]


def test_a_location_leaves_the_dead_runs_of_the_others_to_them(world: World) -> None:
    _work_for(world, "due_scenes")
    (killed,) = world.tick("due_scenes").runs
    world.kill(killed)

    world.tick("unfinished_days")
    world.tick("unfinished_backlogs")

    assert world.status(killed) is DagsterRunStatus.STARTED
    world.tick("due_scenes")
    assert world.status(killed) is DagsterRunStatus.FAILURE


def test_the_pause_doubles_with_each_attempt_up_to_an_hour_or_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_RETRY_PAUSE_SECONDS", "30")
    work = WantedRun("close:A:day", {})
    with DagsterInstance.ephemeral() as instance:
        pauses = [_pause_of_next(instance, work) for _ in range(10)]

    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]


def _pause_of_next(instance: DagsterInstance, work: WantedRun) -> int:
    """Ask, let the run fail, and give the seconds after which work is asked for again."""
    from dagster._core.test_utils import create_run_for_test

    far = datetime(2100, 1, 1, tzinfo=UTC)
    (asked,) = run_requests(instance, [work], far)
    run = create_run_for_test(instance, tags=dict(asked.tags))
    instance.report_run_failed(run)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert record.end_time is not None
    ended = datetime.fromtimestamp(record.end_time, UTC)
    tried: Iterator[int] = (30 * 2**n for n in range(20))
    return next(s for s in tried if list(run_requests(instance, [work], ended + timedelta(seconds=s + 0.5))))


def _work_for(world: World, sensor: str) -> None:
    """Leave just one piece of work for a sensor."""
    world.add_region("A", days=1)
    if sensor in ("unfinished_days", "unfinished_backlogs"):
        world.deliver("A", world.yesterday)
    if sensor == "unfinished_backlogs":
        world.execute(*world.tick("scene_materialized").runs)
        world.add_fields("A", ["late"])
