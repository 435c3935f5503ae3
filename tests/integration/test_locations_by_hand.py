"""What a person asks for in the UI: any run or backfill does what can be done, and says what was left and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterRunStatus, ExecuteInProcessResult, materialize
from dagster._core.execution.backfill import BulkActionStatus
from satcommon.contract import FIELD_METRICS, REGION, SCENES, WORK_TAG, partition
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Region
from satcommon.environment import environment
from satcommon.errors import SettingError
from satcommon.resources import resources
from satcommon.settings import settings
from satfields_ingest.assets import scenes
from satfields_realtime.assets import field_metrics
from sqlalchemy import update

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from datetime import date

    from tests.integration.dagster_world import World


def test_days_that_nobody_monitors_say_so_with_the_remedy_and_store_no_scene(world: World) -> None:
    world.add_region("A b", days=2)
    earlier = world.day(5)

    for asset in (scenes, field_metrics):
        found = _by_hand(world, asset, "A b", earlier)
        assert found == (
            f"region A b is monitored from {world.day(2)}, {earlier} is before that; "
            f"to add earlier days: `satctl regions monitor 'A b' --from {earlier}`"
        )

    with read_transaction(world.env.engine) as connection:
        assert ledger.region_days(connection, world.region_id("A b"), earlier, earlier) == {}


def test_a_day_that_waits_says_for_what_and_until_when(world: World) -> None:
    world.add_region("A", days=2)
    world.deliver("A", world.day(2))

    left = _by_hand(world, field_metrics, "A", world.yesterday)

    assert left is not None
    assert left.startswith(
        f"region A {world.yesterday} is open: the source was not asked for {world.yesterday} yet (is ingest running?); "
        f"{world.yesterday} closes at "
    )
    assert world.watermark("A") == world.day(2)
    assert "version" in world.materializations(FIELD_METRICS)[partition("A", world.day(2))].metadata


def test_a_day_that_is_not_over_there_is_not_asked_for(world: World) -> None:
    world.add_region("A", days=1)
    today = world.day(0)

    left = _by_hand(world, scenes, "A", today)

    assert left == f"region A: {today} is not over there"
    with read_transaction(world.env.engine) as connection:
        assert today not in ledger.region_days(connection, world.region_id("A"), today, today)


def test_a_region_that_is_paused_says_how_it_is_resumed(world: World) -> None:
    world.add_region("A", days=2)
    world.pause_region("A")

    left = _by_hand(world, field_metrics, "A", world.yesterday)

    assert left == f"region A {world.yesterday}: the region is paused; `satctl regions activate A` resumes it"


@pytest.mark.parametrize(("asset", "key"), [(scenes, SCENES), (field_metrics, FIELD_METRICS)])
def test_a_partition_of_a_region_that_nobody_registered_says_so(world: World, asset: object, key: AssetKey) -> None:
    world.add_region("A", days=1)
    world.instance.add_dynamic_partitions(REGION, ["Aa"])

    left = _by_hand(world, asset, "Aa", world.yesterday)

    assert left == "there is no region 'Aa' (known: 'A'); add it with `satctl regions add`"
    assert set(world.materializations(key)) == {partition("Aa", world.yesterday)}


def test_days_in_any_order_are_all_done_that_can_be(world: World) -> None:
    world.add_region("A", days=3)

    for ago in (2, 4, 3, 1, 5):
        _by_hand(world, scenes, "A", world.day(ago))
    for ago in (1, 5, 3, 4, 2):
        _by_hand(world, field_metrics, "A", world.day(ago))

    assert world.watermark("A") == world.yesterday
    done = world.materializations(FIELD_METRICS)
    assert {key for key, one in done.items() if "left" in one.metadata} == {
        partition("A", world.day(a)) for a in (5, 4)
    }
    assert set(done) == {partition("A", world.day(ago)) for ago in range(1, 6)}


def test_a_backfill_over_any_days_ends_well_with_what_can_be_done_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_region("A", days=3)
    monkeypatch.setenv("SATFIELDS_SIMULATED_DELAYS", json.dumps({f"A/{world.yesterday}": 500}))
    settings.cache_clear()
    environment.cache_clear()
    partitions = [partition("A", world.day(ago)) for ago in (2, 5, 1, 4, 3)]

    ended = world.backfill([SCENES, FIELD_METRICS], partitions)

    assert ended is BulkActionStatus.COMPLETED_SUCCESS
    assert world.watermark("A") == world.day(2)
    scenes_of, metrics_of = (world.materializations(key) for key in (SCENES, FIELD_METRICS))
    assert set(scenes_of) == set(metrics_of) == set(partitions)
    for ago in (5, 4):
        for told in (scenes_of, metrics_of):
            why = f"region A is monitored from {world.day(3)}, {world.day(ago)} is before that; "
            assert _left(told[partition("A", world.day(ago))]).startswith(why)
    late = f"region A {world.yesterday}"
    assert _left(scenes_of[partitions[2]]).startswith(f"{late}: the scene is due and not there yet; it is looked for ")
    assert _left(metrics_of[partitions[2]]).startswith(f"{late} is open: the scene of {world.yesterday} is due and not")
    for ago in (3, 2):
        assert scenes_of[partition("A", world.day(ago))].metadata["answer"].value == "scene"
        assert "version" in metrics_of[partition("A", world.day(ago))].metadata


def test_a_region_of_another_source_says_so_with_both_and_the_remedy(world: World) -> None:
    world.add_region("A b", days=1)
    with write_transaction(world.env.engine) as connection:
        connection.execute(update(Region).values(scene_source="folder /elsewhere"))
    why = (
        "region A b: belongs to the source 'folder /elsewhere', and the settings name 'simulated'; set "
        "SATFIELDS_SCENE_SOURCE and SATFIELDS_SCENE_FOLDER to the region's own, or register a region with another name "
        "for the other source"
    )

    assert _by_hand(world, scenes, "A b", world.yesterday) == why

    by_sensor = partition("A b", world.yesterday)
    with pytest.raises(SettingError, match="folder /elsewhere") as refused:
        materialize(
            [scenes], resources=resources(), partition_key=by_sensor, instance=world.instance, tags={WORK_TAG: "fetch"}
        )
    assert str(refused.value) == why
    with read_transaction(world.env.engine) as connection:
        assert ledger.region_days(connection, world.region_id("A b"), world.yesterday, world.yesterday) == {}


def test_days_that_were_left_are_reported_as_soon_as_they_close(world: World) -> None:
    world.add_region("A", days=2)
    assert _by_hand(world, field_metrics, "A", world.day(2))
    world.deliver("A", world.day(2), world.yesterday)

    world.execute(world.tick("scene_materialized").runs[-1])

    told = world.materializations(FIELD_METRICS)
    assert all("version" in told[partition("A", world.day(ago))].metadata for ago in (2, 1))


def _by_hand(world: World, asset: object, region: str, day: date) -> str | None:
    """Materialize a partition as the UI does; gives what its materialization says was left."""
    result: ExecuteInProcessResult = materialize(
        [asset],  # type: ignore[list-item]
        resources=resources(),
        partition_key=partition(region, day),
        instance=world.instance,
    )
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS
    key = asset.key  # type: ignore[attr-defined]
    told = world.materializations(key)[partition(region, day)]
    return _left(told) if "left" in told.metadata else None


def _left(told: AssetMaterialization) -> str:
    return str(told.metadata["left"].value)
