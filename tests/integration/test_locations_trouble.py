"""A location that lacks something says so in the tick, stays up, and goes on as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dagster._core.scheduler.instigation import TickStatus
from satcommon.contract import LOCATIONS, REGION
from satctl.local import migrations

if TYPE_CHECKING:
    from tests.integration.dagster_world import World

SENSORS = ("registry_changed", "due_scenes", "unfinished_days", "unfinished_backlogs")


@pytest.fixture
def bare_world(tmp_path: Path, clean_environment: None) -> Iterator[World]:
    """Code servers with neither a migrated database nor the folder that scenes are to come from."""
    from tests.integration.dagster_world import world

    (tmp_path / "home").mkdir()
    variables = {"SCENE_SOURCE": "folder", "SCENE_FOLDER": str(tmp_path / "scenes")}
    with world(tmp_path / "home", variables, migrated=False) as found:
        yield found


@pytest.mark.slow
def test_each_tick_tells_what_is_missing_until_it_is_there(bare_world: World, tmp_path: Path) -> None:
    assert bare_world.load_errors() == dict.fromkeys(LOCATIONS)
    for sensor in SENSORS:
        tick = bare_world.tick(sensor)
        assert (tick.status, tick.runs) == (TickStatus.FAILURE, [])
        assert "is not migrated. Run `satctl db upgrade`." in tick.said

    migrations.upgrade(bare_world.env.engine)
    for sensor in SENSORS:
        assert bare_world.tick(sensor).status is TickStatus.SKIPPED

    bare_world.add_region("A", days=1)
    looking = bare_world.tick("due_scenes")
    assert looking.status is TickStatus.FAILURE
    assert f"SATFIELDS_SCENE_FOLDER={tmp_path / 'scenes'}: is no folder; create it" in looking.said
    assert bare_world.tick("unfinished_days").status is TickStatus.SKIPPED

    (tmp_path / "scenes").mkdir()
    assert bare_world.instance.get_dynamic_partitions(REGION) == ["A"]
    assert len(bare_world.tick("due_scenes").runs) == 1
