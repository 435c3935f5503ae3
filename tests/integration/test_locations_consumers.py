"""Corrections reach what depends on `field_metrics`: each corrected day is an update, and equal content is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import shapely
from dagster import AssetKey
from satcommon.contract import CONTENT_TAG, FIELD_METRICS, FIELD_REGISTRY, partition
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import revise_geometry

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

DAYS = 15
SENSORS = ("eager", "updated")
VARIABLES = {"DEADLINE_HOURS": "60"}


@pytest.fixture(scope="module")
def served_consumers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The three locations, and a fourth that consumes their days: started once, since each takes seconds."""
    from tests.integration.dagster_world import world

    folder = tmp_path_factory.mktemp("consumed")
    workspace = folder / "workspace.yaml"
    location = Path(__file__).with_name("consuming_location.py")
    workspace.write_text(f"load_from:\n  - python_file: {{relative_path: {location}, location_name: consuming}}\n")
    with world(folder / "home", VARIABLES, further=workspace) as found:
        yield found


@pytest.fixture
def consumed_world(served_consumers: World, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> World:
    """The four locations, with nothing in them."""
    from tests.integration.dagster_world import set_environment

    set_environment(monkeypatch, served_consumers.env.settings.home, VARIABLES)
    served_consumers.reset()
    return served_consumers


@pytest.mark.slow
def test_fifteen_corrected_days_are_fifteen_updates_and_wake_nobody_for_nothing(consumed_world: World) -> None:
    world = consumed_world
    world.add_region("A", days=DAYS)
    days = [world.day(ago) for ago in range(DAYS, 0, -1)]
    partitions = [partition("A", day) for day in days]
    for sensor in SENSORS:
        world.tick(sensor)  # the first evaluation only takes note of what is there
    world.deliver("A", *days)
    *others, last = world.tick("scene_materialized").runs
    world.execute(last)
    for run in others:
        world.instance.delete_run(run.run_id)  # a queued run of a day holds back what is eager
    for sensor in SENSORS:
        assert world.automated(sensor) == partitions
        for key in partitions:
            world.materialize(AssetKey(f"{sensor}_report"), key)
        assert world.automated(sensor) == []
    before = world.materializations(FIELD_METRICS)

    with read_transaction(world.env.engine) as connection:
        west, south, *_ = registry.aoi_of(registry.region(connection, "A")).bounds
    with write_transaction(world.env.engine) as connection:
        parcel = shapely.box(west + 0.005, south + 0.005, west + 0.02, south + 0.015)
        revise_geometry(connection, "A0", parcel, days[0], world.now)
    world.materialize(FIELD_REGISTRY)
    (replay,) = world.tick("field_registry_materialized").runs
    world.execute(replay)

    for sensor in SENSORS:
        assert world.automated(sensor) == partitions
        assert world.automated(sensor) == []
    for sensor in ("field_metrics_materialized", "unfinished_backlogs", "scene_materialized", "unfinished_days"):
        assert world.tick(sensor).runs == []
    after = world.materializations(FIELD_METRICS)
    with read_transaction(world.env.engine) as connection:
        closed = ledger.region_days(connection, world.region_id("A"), days[0], days[-1])
    for day, key in zip(days, partitions, strict=True):
        tags = after[key].tags or {}
        assert tags[CONTENT_TAG] == closed[day].content
        assert tags[CONTENT_TAG] != (before[key].tags or {})[CONTENT_TAG]
        assert after[key].metadata["version"].value == closed[day].version
        assert after[key].metadata["missed"].value == 0
        assert after[key].metadata["corrected by run"].value == replay.run_id
        assert str(after[key].metadata["map"].value).startswith("![NDVI]")


@pytest.mark.slow
def test_days_that_a_replay_finds_as_they_were_are_no_updates(consumed_world: World) -> None:
    world = consumed_world
    world.add_region("A", days=4)
    world.deliver("A", *(world.day(ago) for ago in (4, 3, 2, 1)))
    world.execute(world.tick("scene_materialized").runs[-1])
    for sensor in SENSORS:
        world.automated(sensor)
    with write_transaction(world.env.engine) as connection:  # as a correction that is taken back
        west, south, *_ = registry.aoi_of(registry.region(connection, "A")).bounds
        wrong = shapely.box(west + 0.005, south + 0.005, west + 0.02, south + 0.015)
        right = shapely.box(west + 0.005, south + 0.005, west + 0.015, south + 0.015)
        revise_geometry(connection, "A0", wrong, world.day(4), world.now)
        revise_geometry(connection, "A0", right, world.day(4), world.now)
    assert world.missed("A")
    world.materialize(FIELD_REGISTRY)
    world.execute(*world.tick("field_registry_materialized").runs)
    assert world.missed("A") == []

    for sensor in SENSORS:
        assert world.automated(sensor) == []
