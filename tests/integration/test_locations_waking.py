"""What one location does wakes the next; what there is to do is read from the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterRunStatus, MetadataValue
from dagster._core.scheduler.instigation import TickStatus
from satcommon.contract import (
    BACKFILL_JOB,
    FIELD_METRICS,
    FIELD_REGISTRY,
    LANE_TAG,
    REALTIME_BATCH,
    REGION,
    REPROCESSED_FIELD_METRICS,
    SCENES,
    backfill_config,
    partition,
)
from satcommon.db import publications
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.region_source import set_source

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from tests.integration.dagster_world import World


def test_a_fetched_scene_closes_its_day_and_a_backlog_is_drained(world: World) -> None:
    world.add_region("A", days=2)
    world.add_region("B", days=1)
    days = {partition("A", world.day(2)), partition("A", world.day(1)), partition("B", world.day(1))}

    fetches = world.tick("due_scenes")
    assert set(fetches.asked) == days
    assert world.tick("scene_materialized").asked == []
    world.execute(*fetches.runs)
    assert set(world.materializations(SCENES)) == days

    closes = world.tick("scene_materialized")
    assert set(closes.asked) == days
    world.execute(*closes.runs)
    closed = world.materializations(FIELD_METRICS)
    assert set(closed) == days
    assert [world.watermark(name) for name in "AB"] == [world.yesterday] * 2

    metadata = closed[partition("A", world.yesterday)].metadata
    assert metadata["rows"].value == 2
    assert metadata["missed"].value == 0
    assert metadata["due"].value == "due"
    with read_transaction(world.env.engine) as connection:
        versions = publications.versions(connection, world.region_id("A"), world.yesterday, world.yesterday)
    assert metadata["version"].value == versions[world.yesterday]
    assert metadata["map"].value.startswith("![NDVI](data:image/png;base64,")  # type: ignore[union-attr]
    assert 0 <= float(metadata["mean clear fraction"].value) <= 1  # type: ignore[arg-type]

    for sensor in ("scenes_materialized", "field_registry_materialized", "field_metrics_materialized"):
        assert world.tick(sensor).runs == []

    world.add_fields("A", ["late"])
    assert world.missed("A") == [world.day(2), world.day(1)]
    world.materialize(FIELD_REGISTRY)
    replays = world.tick("field_registry_materialized")
    assert replays.asked == ["A"]
    world.execute(*replays.runs)
    assert world.missed("A") == []
    assert world.materializations(REPROCESSED_FIELD_METRICS)["A"].metadata["field-days done"] == MetadataValue.int(2)
    corrected = world.materializations(FIELD_METRICS)
    assert {key for key, one in corrected.items() if "corrected by run" in one.metadata} == {
        partition("A", world.day(2)),
        partition("A", world.day(1)),
    }
    assert world.tick("unfinished_backlogs").runs == []


def test_each_of_the_assets_wakes_reprocessing_when_there_is_a_backlog(world: World) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday)
    world.execute(*world.tick("scene_materialized").runs)

    for key, sensor in (
        (SCENES, "scenes_materialized"),
        (FIELD_METRICS, "field_metrics_materialized"),
        (FIELD_REGISTRY, "field_registry_materialized"),
    ):
        world.add_fields("A", [f"late, before {key.to_user_string()}"])
        world.materialize(key, None if key == FIELD_REGISTRY else partition("A", world.yesterday))
        asked = world.tick(sensor).runs
        assert [run.tags["dagster/partition"] for run in asked] == ["A"]
        world.instance.delete_run(asked[0].run_id)  # as if it had been asked for by nobody


def test_of_a_hundred_scenes_between_two_ticks_none_is_lost_nor_asked_for_twice(world: World) -> None:
    recent = {"A": 10, "B": 10, "C": 10}
    for name, days in {**recent, "behind": 70}.items():
        world.add_region(name, days)
        world.deliver(name, *(world.day(ago) for ago in range(1, days + 1)))

    first, second = world.tick("scene_materialized"), world.tick("scene_materialized")
    third = world.tick("unfinished_days")

    run, batch = sorted(first.runs, key=lambda run: run.job_name)
    assert (run.job_name, batch.job_name) == (BACKFILL_JOB, REALTIME_BATCH)
    asked = set(first.asked) - {run.tags[LANE_TAG]}
    assert asked == {partition(n, world.day(ago)) for n, d in recent.items() for ago in range(1, d + 1)}
    assert run.run_config == backfill_config("behind", world.yesterday)
    assert (second.runs, third.runs) == ([], [])


def test_what_was_just_answered_is_left_to_the_sensor_that_its_event_wakes(world: World) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday, ago=timedelta(0))

    assert world.tick("unfinished_days").runs == []
    assert world.tick("scene_materialized").asked == [partition("A", world.yesterday)]


def test_one_run_of_the_last_day_closes_the_days_before_and_reports_their_partitions(world: World) -> None:
    world.add_region("A", days=3)
    world.deliver("A", *(world.day(ago) for ago in (3, 2, 1)))
    runs = {run.tags["dagster/partition"]: run for run in world.tick("scene_materialized").runs}

    world.execute(runs[partition("A", world.yesterday)])

    assert set(world.materializations(FIELD_METRICS)) == {partition("A", world.day(ago)) for ago in (3, 2, 1)}
    world.execute(runs[partition("A", world.day(2))])  # finds its day closed
    assert world.watermark("A") == world.yesterday


def test_a_later_scene_closes_an_earlier_day_that_waits_and_its_own_scene_is_replayed(world: World) -> None:
    late = world.day(2)
    world.add_region("A", days=2)
    world.wait_for("A", late)
    world.deliver("A", world.yesterday)

    closes = world.tick("scene_materialized")
    assert closes.asked == [partition("A", world.yesterday)]
    world.execute(*closes.runs)
    assert world.missed("A") == [late, late]
    assert world.tick("scenes_materialized").runs == []  # its scene is waited for

    world.deliver("A", late)
    replays = world.tick("scenes_materialized")
    assert replays.asked == ["A"]
    world.execute(*replays.runs)
    assert world.missed("A") == []


def test_a_new_region_gets_its_partition_and_the_registry_is_published_once(world: World) -> None:
    assert world.tick("registry_changed").status is TickStatus.SKIPPED
    world.add_region("A", days=1, partitioned=False)
    assert world.tick("due_scenes").runs == []  # Dagster does not know the region yet

    published = world.tick("registry_changed")

    assert world.instance.get_dynamic_partitions(REGION) == ["A"]
    world.execute(*published.runs)
    assert world.materializations(FIELD_REGISTRY)[""].metadata["regions"].value == 1
    again = world.tick("registry_changed")
    assert (again.status, again.runs) == (TickStatus.SKIPPED, [])
    assert world.tick("due_scenes").asked == [partition("A", world.yesterday)]


def test_fetches_that_wait_for_days_that_a_backfill_has_fetched_are_taken_off_the_queue(world: World) -> None:
    world.add_region("A", days=2)
    asked = {run.tags["dagster/partition"]: run for run in world.tick("due_scenes").runs}
    world.deliver("A", world.day(2))

    world.tick("due_scenes")

    assert world.status(asked[partition("A", world.day(2))]) is DagsterRunStatus.CANCELED
    assert world.status(asked[partition("A", world.yesterday)]) is DagsterRunStatus.QUEUED


def test_a_region_that_is_paused_is_asked_for_by_nobody(world: World) -> None:
    world.add_region("A", days=2)
    world.deliver("A", world.day(2))
    world.pause_region("A")

    assert world.tick("due_scenes").runs == []
    assert world.tick("scene_materialized").runs == []
    assert world.tick("unfinished_days").runs == []


def test_an_event_of_a_region_that_nobody_registered_stops_no_sensor(world: World) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday)
    world.instance.add_dynamic_partitions(REGION, ["nobody's"])
    world.materialize(SCENES, partition("nobody's", world.yesterday))
    world.materialize(FIELD_METRICS, partition("unheard of", world.yesterday))

    assert world.tick("scene_materialized").asked == [partition("A", world.yesterday)]
    assert world.tick("scenes_materialized").status is TickStatus.SKIPPED
    assert world.tick("field_metrics_materialized").status is TickStatus.SKIPPED


def test_a_region_of_another_source_is_not_asked_for_and_the_others_are(world: World) -> None:
    world.add_region("A", days=1)
    world.add_region("B", days=1)
    with write_transaction(world.env.engine) as connection:
        set_source(connection, "A", "folder /moved")

    asked = world.tick("due_scenes").asked

    assert asked == [partition("B", world.yesterday)]
