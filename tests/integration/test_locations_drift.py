"""Dagster and the ledger are brought together again, whatever parted them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster._core.scheduler.instigation import TickStatus
from satcommon.contract import FIELD_METRICS, REGION, SCENES, partition

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from tests.integration.dagster_world import World


def test_wiped_materializations_come_back_and_each_once(world: World) -> None:
    world.add_region("A", days=3)
    days = [world.day(ago) for ago in (3, 2, 1)]
    world.deliver("A", *days)
    world.tick("unreported_days")  # the scenes were told without their content
    world.execute(world.tick("scene_materialized").runs[-1])
    assert world.tick("unreported_days").status is TickStatus.SKIPPED
    before = world.materializations(FIELD_METRICS)

    world.instance.wipe_assets([FIELD_METRICS, SCENES])
    assert world.materializations(FIELD_METRICS) == {}
    world.tick("unreported_days")

    after = world.materializations(FIELD_METRICS)
    assert set(after) == set(world.materializations(SCENES)) == {partition("A", day) for day in days}
    for key, one in after.items():
        assert one.tags == {
            **(one.tags or {}),
            "dagster/data_version": (before[key].tags or {})["dagster/data_version"],
        }
        assert one.metadata["version"].value == before[key].metadata["version"].value
        assert one.metadata["rows"].value == 2
    assert world.tick("unreported_days").status is TickStatus.SKIPPED
    for sensor in ("scene_materialized", "scenes_materialized", "field_metrics_materialized"):
        assert world.tick(sensor).runs == []


def test_days_of_a_run_that_is_under_way_are_its_own_to_report(world: World) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday)
    world.tick("unreported_days")
    (run,) = world.tick("scene_materialized").runs
    world.execute(run)
    world.instance.wipe_assets([FIELD_METRICS])
    world.add_fields("A", ["late"])
    (replay,) = world.tick("unfinished_backlogs").runs
    world.start(replay)

    assert world.tick("unreported_days").status is TickStatus.SKIPPED
    world.instance.report_run_failed(replay)
    world.tick("unreported_days")
    assert set(world.materializations(FIELD_METRICS)) == {partition("A", world.yesterday)}


def test_partitions_of_regions_that_the_ledger_does_not_know_are_removed(world: World) -> None:
    world.add_region("A", days=1)
    world.instance.add_dynamic_partitions(REGION, ["a", "Aa"])

    world.tick("unreported_days")

    assert world.instance.get_dynamic_partitions(REGION) == ["A"]
