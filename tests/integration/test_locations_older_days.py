"""Days that no partition run asks for any more are asked for by one run of their region, and replayed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from satcommon.contract import LANE_TAG, RESCAN_JOB, rescan_config
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.pipeline.close_region import Closer

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

DAYS = 60


@pytest.mark.slow
def test_days_that_closed_unasked_are_asked_for_however_old_and_replayed(world: World) -> None:
    world.add_region("A", days=DAYS)
    until = world.day(DAYS - 9)
    env = world.env
    closed = Closer(env.engine, env.store(), world.region_id("A"), env.deadlines, "run", datetime.now(UTC))
    assert len(list(closed.through(until))) == 10
    assert len(world.missed("A")) == 2 * 10

    (run,) = world.tick("older_days").runs

    assert (run.job_name, run.tags[LANE_TAG]) == (RESCAN_JOB, "rescan:A")
    assert run.run_config == rescan_config("A", world.day(DAYS), until, only_never_asked=True)
    assert world.tick("older_days").runs == []  # one is under way
    world.execute(run)
    assert world.tick("older_days").runs == []
    world.execute(*world.tick("unfinished_backlogs").runs)
    assert world.missed("A") == []


@pytest.mark.slow
def test_a_region_that_is_monitored_from_an_earlier_day_gets_its_scenes(world: World) -> None:
    world.add_region("A", days=1)
    world.deliver("A", world.yesterday)
    world.execute(*world.tick("scene_materialized").runs)
    assert world.tick("older_days").runs == []
    with write_transaction(world.env.engine) as connection:
        registry.monitor_region(connection, "A", world.day(35), None, world.now)
    assert set(world.missed("A")) == {world.day(ago) for ago in range(1, 36)}  # of yesterday, the state is carried on

    world.execute(*world.tick("older_days").runs)
    for tick in ("due_scenes", "unfinished_backlogs"):
        world.execute(*world.tick(tick).runs)

    assert world.missed("A") == []
    with read_transaction(world.env.engine) as connection:
        scenes = ledger.current_scenes(connection, world.region_id("A"), date.min, date.max)
    assert len(scenes) == 35


@pytest.mark.slow
def test_older_days_are_looked_at_anew_once_a_week(world: World) -> None:
    world.add_region("A", days=DAYS, registered_days_ago=8)

    (run,) = world.tick("older_days").runs

    assert run.run_config == rescan_config("A", world.day(DAYS), world.now.date() - timedelta(days=32))
    world.execute(run)
    assert world.tick("older_days").runs == []
