"""The three locations make one lineage, and load fast."""

from __future__ import annotations

import subprocess
import sys

import pytest
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, LOCATIONS, REPROCESSED_FIELD_METRICS, SCENES, partition

from tests.integration.dagster_world import World

pytestmark = pytest.mark.slow

HEAVY = {"structlog", "rich", "numpy", "pandas", "pyarrow", "rasterio", "geopandas", "shapely", "exactextract", "numba"}


def test_the_workspace_loads_the_three_locations(world: World) -> None:
    assert world.load_errors() == dict.fromkeys(LOCATIONS)


def test_each_asset_is_one_node_and_the_edges_cross_the_locations(world: World) -> None:
    graph = world.asset_graph

    parents = {key: set(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}

    assert parents == {
        SCENES: set(),
        FIELD_REGISTRY: set(),
        FIELD_METRICS: {SCENES, FIELD_METRICS},
        REPROCESSED_FIELD_METRICS: {SCENES, FIELD_REGISTRY, FIELD_METRICS},
    }


def test_a_day_of_metrics_rests_on_its_region_s_day_before(world: World) -> None:
    world.add_region("A", days=5)
    world.add_region("B", days=5)

    needed = world.rests_on(FIELD_METRICS, partition("A", world.yesterday))

    assert needed == {(SCENES, partition("A", world.yesterday)), (FIELD_METRICS, partition("A", world.day(2)))}


@pytest.mark.parametrize("location", LOCATIONS)
def test_loading_a_location_imports_nothing_heavy(location: str) -> None:
    code = f"import sys, dagster, satfields_{location}.definitions; print(*sorted({HEAVY} & sys.modules.keys()))"

    loaded = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.split() == []
