"""What a code server loads, and what it works with."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from dagster import materialize
from satcommon.contract import FIELD_REGISTRY
from satcommon.environment import Environment
from satcommon.resources import SatfieldsResource
from satcommon.settings import settings
from satfields_ingest.assets import field_registry

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROOT = Path(__file__).parents[2]
_HEAVY = ["numpy", "rasterio", "shapely", "pyarrow", "pyproj", "PIL", "pystac_client", "sqlalchemy"]
_LOAD = """
import json, sys, warnings
warnings.simplefilter("ignore")
import satfields_ingest.definitions, satfields_realtime.definitions, satfields_reprocessing.definitions
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_code_locations_load_neither_arrays_nor_gdal_geos_arrow_nor_a_database() -> None:
    loaded = subprocess.run([sys.executable, "-c", _LOAD], check=True, capture_output=True, text=True).stdout

    assert {"dagster", "satfields_ingest"} <= set(json.loads(loaded))
    assert not set(_HEAVY) & set(json.loads(loaded))


def test_an_asset_works_with_the_environment_of_the_resource_that_it_is_given(sqlite_engine: Engine) -> None:
    class Elsewhere(SatfieldsResource):
        def environment(self) -> Environment:
            return Environment(settings(), sqlite_engine)

    result = materialize([field_registry], resources={"satfields": Elsewhere()})

    (published,) = result.asset_materializations_for_node(FIELD_REGISTRY.to_user_string())
    assert published.metadata["regions"].value == 0


def test_dg_and_the_workspace_name_the_same_definitions() -> None:
    workspace = yaml.safe_load((_ROOT / "workspace.yaml").read_text())
    served = {
        location["python_module"]["location_name"]: location["python_module"]["module_name"]
        for location in workspace["load_from"]
    }

    projects = [tomllib.loads((_ROOT / "locations" / name / "pyproject.toml").read_text()) for name in served]

    described = [project["tool"]["dg"]["project"] for project in projects]
    assert {project["code_location_name"]: project["code_location_target_module"] for project in described} == served
