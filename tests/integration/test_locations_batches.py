"""Many regions by one run: each with its own events, one that fails stops none, and a killed batch loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterRunStatus
from satcommon.contract import (
    ATTEMPT_TAG,
    CLOSE_JOB,
    FIELD_METRICS,
    INGEST_BATCH,
    PROGRESS_TAG,
    REALTIME_BATCH,
    REGION,
    REPROCESSED_FIELD_METRICS,
    REPROCESSING_BATCH,
    SCENES,
    partition,
)
from satcommon.db.engine import write_transaction
from satcommon.db.models import Region
from satcommon.pipeline.close_region import Closer
from sqlalchemy import update

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

NAMES = [f"R{n}" for n in range(7)]
WAKING = ("due_scenes", "older_days", "scene_materialized", "unfinished_days", "unfinished_backlogs")


@pytest.mark.slow
def test_seven_regions_are_fetched_closed_and_replayed_by_three_runs(world: World) -> None:
    days = [partition(name, world.yesterday) for name in NAMES]
    for name in NAMES:
        world.add_region(name, days=1, fields=1)

    for sensor, job, asset in (
        ("due_scenes", INGEST_BATCH, SCENES),
        ("scene_materialized", REALTIME_BATCH, FIELD_METRICS),
    ):
        tick = world.tick(sensor)
        assert ([run.job_name for run in tick.runs], tick.asked) == ([job], days)
        assert world.tick(sensor).runs == []  # it is under way
        world.execute(*tick.runs)
        assert set(world.materializations(asset)) == set(days)
    assert {world.watermark(name) for name in NAMES} == {world.yesterday}
    assert world.tick("unreported_days").runs == []
    assert len(world.materializations(FIELD_METRICS)) == len(days)

    for name in NAMES:
        world.add_fields(name, [f"late in {name}"])
    (replay,) = world.tick("unfinished_backlogs").runs
    world.execute(replay)
    assert replay.job_name == REPROCESSING_BATCH
    assert set(world.materializations(REPROCESSED_FIELD_METRICS)) == set(NAMES)
    assert [world.missed(name) for name in NAMES] == [[]] * len(NAMES)
    assert [world.tick(sensor).runs for sensor in WAKING] == [[]] * len(WAKING)


@pytest.mark.slow
def test_a_region_that_fails_stops_none_and_is_asked_for_again_by_itself(world: World) -> None:
    _deliver_to_all(world)
    with write_transaction(world.env.engine) as connection:
        connection.execute(update(Region).where(Region.name == "R3").values(algorithm_version="of tomorrow"))
    (batch,) = world.tick("scene_materialized").runs

    world.launch(batch)

    assert world.status(batch) is DagsterRunStatus.FAILURE
    assert [name for name in NAMES if world.watermark(name) is None] == ["R3"]
    (failed,) = world.instance.fetch_observations(FIELD_METRICS, limit=10).records
    assert failed.partition_key == partition("R3", world.yesterday)
    assert "1 of 7 regions failed; R3: " in world.failure(batch)
    (again,) = world.tick_until_asked("unfinished_days").runs
    assert (again.job_name, again.tags[ATTEMPT_TAG]) == (CLOSE_JOB, "2")


@pytest.mark.slow
def test_of_a_killed_batch_what_was_done_stays_and_only_what_it_was_at_pauses(world: World) -> None:
    _deliver_to_all(world)
    (batch,) = world.tick("scene_materialized").runs
    env = world.env
    for name in NAMES[:3]:  # and it was killed in the fourth
        closer = Closer(env.engine, env.store(), world.region_id(name), env.deadlines, batch.run_id, datetime.now(UTC))
        assert len(list(closer.through(world.yesterday))) == 1
    world.instance.add_run_tags(batch.run_id, {PROGRESS_TAG: "4/7"})
    world.kill(batch)

    rest = world.tick("unfinished_days")
    suspect = world.tick_until_asked("unfinished_days")

    assert world.status(batch) is DagsterRunStatus.FAILURE
    assert rest.asked == [partition(name, world.yesterday) for name in NAMES[4:]]
    assert {run.tags[ATTEMPT_TAG] for run in rest.runs} == {"1"}
    assert suspect.asked == [partition("R3", world.yesterday)]
    assert world.pause_before(suspect.runs[0], batch) >= 1
    world.execute(*rest.runs, *suspect.runs)
    assert {world.watermark(name) for name in NAMES} == {world.yesterday}
    world.tick("unreported_days")  # what the batch had done, and could not say any more
    assert set(world.materializations(FIELD_METRICS)) == {partition(name, world.yesterday) for name in NAMES}


@pytest.mark.slow
def test_all_that_dagster_remembers_can_go_and_what_the_ledger_lacks_is_asked_for(world: World) -> None:
    for name in ("done", "missed", "unclosed", "unfetched"):
        world.add_region(name, days=1, fields=1)
    for name in ("done", "missed"):
        world.deliver(name, world.yesterday)
    world.execute(*world.tick("scene_materialized").runs)
    world.add_fields("missed", ["late"])
    world.deliver("unclosed", world.yesterday)
    world.tick("unreported_days")
    before = {key: world.materializations(key) for key in (SCENES, FIELD_METRICS)}

    _forget_everything(world)

    assert world.tick("due_scenes").asked == [partition("unfetched", world.yesterday)]
    assert world.tick("unfinished_days").asked == [partition("unclosed", world.yesterday)]
    assert world.tick("unfinished_backlogs").asked == ["missed"]
    for _ in range(2):
        world.tick("unreported_days")
    for key in (SCENES, FIELD_METRICS):
        assert _contents(world, key) == {name: one.tags["dagster/data_version"] for name, one in before[key].items()}  # type: ignore[index]
        assert len(world.instance.fetch_materializations(key, limit=100).records) == len(before[key])


def _deliver_to_all(world: World) -> None:
    for name in NAMES:
        world.add_region(name, days=1, fields=1)
        world.deliver(name, world.yesterday)


def _forget_everything(world: World) -> None:
    """Remove every run with its events, every other event, and every tick."""
    instance, names = world.instance, world.instance.get_dynamic_partitions(REGION)
    for run in instance.get_runs():
        instance.delete_run(run.run_id)
    instance.wipe_assets([SCENES, FIELD_METRICS])
    for state in instance.all_instigator_state():
        instance.purge_ticks(
            state.instigator_origin_id, state.selector_id, (datetime.now(UTC) + timedelta(1)).timestamp()
        )
    assert instance.get_runs() == []
    instance.add_dynamic_partitions(REGION, names)


def _contents(world: World, key: AssetKey) -> dict[str, str]:
    return {name: (one.tags or {})["dagster/data_version"] for name, one in world.materializations(key).items()}
