"""`satctl columns`: the data dictionary, of a region's version or of the newest."""

import json
from pathlib import Path

import pytest
from satcommon.environment import Environment
from satcommon.settings import settings
from satcommon.stats.result_rows import SCHEMA

from tests.integration.satctl_world import Satctl

ADDED = ["final", "state_as_of", "field_name", "crop_code", "area_ha"]


def test_every_column_is_told_with_unit_range_and_meaning(satctl: Satctl) -> None:
    columns = json.loads(satctl("columns", "--json").stdout)

    assert [column["name"] for column in columns] == [*SCHEMA.names, *ADDED]
    told = {column["name"]: column for column in columns}
    assert told["ndvi_mean"] == {
        "name": "ndvi_mean",
        "type": "double",
        "meaning": "mean of NDVI, (nir - red) / (nir + red)",
        "unit": "1",
        "units": "1",
        "range": [-1.0, 1.0],
        "since": "1",
    }
    assert told["state_days"]["unit"] is None
    assert "list<" in told["state_days"]["type"]


def test_a_regions_columns_are_those_of_its_version(
    closed: Environment, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = tmp_path / "algorithms.toml"
    versions.write_text("[edge]\nbased_on = '2'\nindices = ['ndrei']\n")
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(versions))
    settings.cache_clear()
    satctl("regions", "pin", "S", "edge")

    names = [column["name"] for column in json.loads(satctl("columns", "S", "--json").stdout)]

    assert {"ndrei_mean", "ndrei_quantiles", "rededge071_mean"} < set(names)
    assert "ndrei_mean" not in satctl("columns").stdout
    assert "there is no region 'Z'" in satctl("columns", "Z", code=2).stderr


def test_the_table_fits_a_narrow_terminal(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    lines = satctl("columns").stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["ndvi_integral_e4"] for line in lines)
