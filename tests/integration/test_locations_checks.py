"""Asset checks: reported by the runs that publish a day, at its partition, and anew when it is corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    AssetSelection,
    Definitions,
    define_asset_job,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from satcommon.asset_checks import day_check_specs
from satcommon.contract import FIELD_METRICS, REPROCESSED_FIELD_METRICS, partition
from satcommon.resources import resources
from satfields_realtime.assets import field_metrics
from satfields_realtime.checks import check_day

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

PASSED = {"complete": None, "fresh": None, "plausible": None}


def evaluations(world: World, asset: AssetKey, key: str) -> dict[str, AssetCheckEvaluation]:
    """The last evaluation of each check of an asset at a partition."""
    found = {}
    for check in sorted(world.asset_graph.asset_check_keys):
        if check.asset_key != asset:
            continue
        history = world.instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(asset, check.name), limit=1000
        )
        records = [one.evaluation for one in history if one.evaluation and one.evaluation.partition == key]
        if records:
            found[check.name] = records[0]
    return found


def outcomes(world: World, asset: AssetKey, key: str) -> dict[str, AssetCheckSeverity | None]:
    return {name: None if one.passed else one.severity for name, one in evaluations(world, asset, key).items()}


def test_a_days_checks_are_shown_at_its_partition_whichever_run_closed_it(world: World) -> None:
    world.add_region("A", days=2)
    world.deliver("A", world.day(2), world.day(1))
    (run,) = [
        one for one in world.tick("scene_materialized").runs if one.tags["dagster/partition"][:10] == str(world.day(1))
    ]

    world.execute(run)  # the earlier days, too

    for ago in (2, 1):  # the deadline of earlier days may be hours ago
        key = partition("A", world.day(ago))
        assert outcomes(world, FIELD_METRICS, key) == PASSED, ago
        found = evaluations(world, FIELD_METRICS, key)
        assert found["complete"].metadata["expected"].value == 2
        target = found["complete"].target_materialization_data
        assert target is not None
        assert target.run_id == run.run_id
    assert outcomes(world, FIELD_METRICS, partition("A", world.now.date())) == {}


def test_a_day_without_its_scene_is_known_to_lack_rows_until_a_replay_brings_them(world: World) -> None:
    world.add_region("A", days=3)
    world.wait_for("A", world.day(3))
    world.execute(*world.tick("unfinished_days").runs)
    key = partition("A", world.day(3))

    before = evaluations(world, FIELD_METRICS, key)["complete"]
    world.deliver("A", world.day(3))
    world.execute(*world.tick("scenes_materialized").runs)

    assert (before.passed, before.severity) == (False, AssetCheckSeverity.WARN)
    assert before.metadata["missed: late_scene"].value == before.metadata["expected"].value == 2
    assert outcomes(world, FIELD_METRICS, key)["complete"] is None
    assert outcomes(world, REPROCESSED_FIELD_METRICS, "A") == {"audit": None}
    assert evaluations(world, REPROCESSED_FIELD_METRICS, "A")["audit"].metadata["expected"].value == 2


def test_dagster_tells_the_days_apart_by_their_checks(world: World) -> None:
    world.add_region("A", days=3)
    world.wait_for("A", world.day(3))
    world.execute(*world.tick("unfinished_days").runs)

    graph_key = next(spec.key for spec in day_check_specs if spec.name == "complete")
    info = world.instance.event_log_storage.get_asset_check_partition_info([graph_key])

    statuses = {one.partition_key: one.latest_execution_status for one in info}
    assert statuses == {partition("A", world.day(3)): AssetCheckExecutionRecordStatus.FAILED}


def test_a_partition_that_is_materialized_by_hand_has_its_checks_evaluated(world: World) -> None:
    world.add_region("A", days=2)
    world.deliver("A", world.day(2))
    world.execute(*world.tick("scene_materialized").runs)
    by_hand = define_asset_job("by_hand", AssetSelection.assets(FIELD_METRICS))
    defs = Definitions([field_metrics], jobs=[by_hand], asset_checks=[check_day], resources=resources())
    job = defs.resolve_job_def("by_hand")

    done = job.execute_in_process(partition_key=partition("A", world.day(2)), instance=world.instance)
    not_closed = job.execute_in_process(partition_key=partition("A", world.yesterday), instance=world.instance)

    evaluated = done.get_asset_check_evaluations()
    assert {one.check_name: one.passed for one in evaluated} == dict.fromkeys(PASSED, True)
    assert {one.partition for one in evaluated} == {partition("A", world.day(2))}
    assert not_closed.success
    assert not_closed.get_asset_check_evaluations() == []
