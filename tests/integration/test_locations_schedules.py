"""Each schedule, at a frozen time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from satcommon.contract import FIELD_METRICS, partition

pytestmark = pytest.mark.slow  # runs of Dagster, a second each and more

if TYPE_CHECKING:
    from tests.integration.dagster_world import World


def test_at_one_yesterday_is_asked_for_of_each_active_region_that_is_monitored(world: World) -> None:
    for name in ("A", "B", "paused"):
        world.add_region(name, days=3)
    world.add_region("unknown to Dagster", days=3, partitioned=False)
    world.add_region("begins today", days=0)
    world.pause_region("paused")

    tick = world.tick_schedule("daily_scenes", _midnight(world) + timedelta(hours=1))

    assert tick.asked == [partition("A", world.yesterday), partition("B", world.yesterday)]
    world.execute(*tick.runs)
    assert world.tick("due_scenes").asked == [
        partition(name, day) for name in ("A", "B") for day in (world.day(3), world.day(2))
    ]


def test_a_passed_deadline_closes_the_days_that_wait(world: World) -> None:
    world.add_region("A", days=3)
    for ago in (3, 2, 1):
        world.wait_for("A", world.day(ago))

    early = world.tick_schedule("passed_deadlines", _midnight(world) + timedelta(minutes=15))
    world.execute(*early.runs)
    late = world.tick_schedule("passed_deadlines", _midnight(world) + timedelta(days=1, minutes=15))

    assert early.asked == [partition("A", world.day(3))]
    assert late.asked == [partition("A", world.day(2))]
    assert world.missed("A") == [world.day(3)] * 2
    assert world.materializations(FIELD_METRICS)[partition("A", world.day(3))].metadata["missed"].value == 2


def test_every_six_hours_the_backlogs_that_can_be_worked_on_are_drained(world: World) -> None:
    for name in ("A", "B"):
        world.add_region(name, days=1)
        world.deliver(name, world.yesterday)
    world.execute(*world.tick("scene_materialized").runs)
    world.add_fields("B", ["late"])

    tick = world.tick_schedule("open_backlogs", _midnight(world) + timedelta(hours=6))

    assert tick.asked == ["B"]
    world.execute(*tick.runs)
    assert world.tick_schedule("open_backlogs", _midnight(world) + timedelta(hours=12)).runs == []


def _midnight(world: World) -> datetime:
    return datetime.combine(world.now.date(), time(), UTC)
