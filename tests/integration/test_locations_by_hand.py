"""What a person asks for in the UI: any run or backfill does what can be done, and says what was left and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import AssetKey, DagsterRunStatus, ExecuteInProcessResult, materialize
from satcommon.contract import FIELD_METRICS, REGION, SCENES, partition
from satcommon.db import ledger
from satcommon.db.engine import reading
from satfields_ingest.assets import scenes
from satfields_realtime.assets import field_metrics

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

    with reading(world.env.engine) as connection:
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
    assert "object key" in world.materializations(FIELD_METRICS)[partition("A", world.day(2))].metadata


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


def test_days_that_were_left_are_reported_as_soon_as_they_close(world: World) -> None:
    world.add_region("A", days=2)
    assert _by_hand(world, field_metrics, "A", world.day(2))
    world.deliver("A", world.day(2), world.yesterday)

    world.execute(world.tick("scene_materialized").runs[-1])

    told = world.materializations(FIELD_METRICS)
    assert all("object key" in told[partition("A", world.day(ago))].metadata for ago in (2, 1))


def _by_hand(world: World, asset: object, region: str, day: date) -> str | None:
    """Materialize a partition as the UI does; gives what its materialization says was left."""
    result: ExecuteInProcessResult = materialize(
        [asset],  # type: ignore[list-item]
        partition_key=partition(region, day),
        instance=world.instance,
    )
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.SUCCESS
    key = asset.key  # type: ignore[attr-defined]
    left = world.materializations(key)[partition(region, day)].metadata.get("left")
    return None if left is None else str(left.value)
