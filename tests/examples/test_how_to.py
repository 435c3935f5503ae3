"""What the how-to pages say is enough: their changes are made in a copy of the tree, and tried."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from satcommon.publication import objects
from satcommon.stats import result_rows

from tests.alerts.rules import needs_promtool, promtool
from tests.examples.recipes import ROOT, apply, blocks

SATCOMMON = "libs/satcommon/src/satcommon"
CHANGES = {
    "add-a-column.md": {f"{SATCOMMON}/stats"},
    "add-a-pixel-check.md": {f"{SATCOMMON}/raster"},
    "add-a-boundary-format.md": {f"{SATCOMMON}/vector"},
    "add-a-source.md": {f"{SATCOMMON}/sources", SATCOMMON},  # a setting names it
}
FIELDS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"external_id": "north-40", "name": "North 40", "planting_date": "2026-04-20"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[-94.2, 40.4], [-94.1, 40.4], [-94.1, 40.5], [-94.2, 40.4]]],
            },
        }
    ],
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process saw in which all pages' changes are made."""
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(ROOT / SATCOMMON, folder / SATCOMMON, ignore=shutil.ignore_patterns("__pycache__"))
    for page, folders in CHANGES.items():
        assert {name.rpartition("/")[0] for name in apply(page, folder)} == folders, page
    (folder / "old.parquet").write_bytes(
        objects.encode(pa.Table.from_pylist([{"field": "north-40"}], result_rows.SCHEMA))
    )
    (folder / "fields.geojson").write_text(json.dumps(FIELDS))
    (folder / "algorithms.toml").write_text(blocks("add-an-index.md", "toml")[0])
    path = os.pathsep.join([str((folder / SATCOMMON).parent), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("changed_tree.py"), folder],
        env=os.environ | {"PYTHONPATH": path, "SATFIELDS_ALGORITHMS": str(folder / "algorithms.toml")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.slow
def test_an_index_is_chosen_in_a_version(seen: dict[str, Any]) -> None:
    assert seen["evi is spyndex's"]
    assert seen["evi"] == {"2": None, "edge": pytest.approx(seen["expected evi"])}


@pytest.mark.slow
def test_a_column_is_added_in_the_folder_of_statistics(seen: dict[str, Any]) -> None:
    assert seen["snow"] == pytest.approx(0.55)


@pytest.mark.slow
def test_objects_from_before_an_added_column_are_read_with_nulls(seen: dict[str, Any]) -> None:
    assert seen["old"] == [1, 1]


@pytest.mark.slow
def test_a_boundary_format_is_one_module_and_one_entry(seen: dict[str, Any]) -> None:
    geojson, flatgeobuf = seen["fields"]

    assert flatgeobuf == geojson
    assert [field[0] for field in geojson] == ["north-40"]


@pytest.mark.slow
def test_a_pixel_check_is_added_in_one_file(seen: dict[str, Any]) -> None:
    assert seen["refused"].startswith("grey.tif: red is 0.0500 in every clear cell; expected land")


@pytest.mark.slow
def test_a_source_is_a_module_and_a_name_and_closes_a_day(seen: dict[str, Any]) -> None:
    ndvi = pytest.approx(0.6)
    assert seen["arrays"] == {"due": "unknown", "day": "2026-06-02", "status": "clear", "ndvi": ndvi}


@needs_promtool
def test_an_alert_is_a_rule_in_one_file_and_fires_in_time(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "k8s/alerts", tmp_path / "k8s/alerts")
    assert apply("add-an-alert.md", tmp_path) == ["k8s/alerts/work.yaml"]
    waiting = 'satfields_webhook_waiting_publications{job="satfields", namespace="farm", webhook="%s"}'
    fires = 'ALERTS{alertname="SatfieldsWebhookBehind", alertstate="firing"}'
    labels = '{alertname="SatfieldsWebhookBehind", alertstate="firing", job="satfields", namespace="farm", '
    expected = {"labels": f'ALERTS{labels}severity="ticket", webhook="far"}}', "value": 1}
    test = {
        "input_series": [
            {"series": waiting % "far", "values": "2000x60"},
            {"series": waiting % "near", "values": "9x60"},
        ],
        "promql_expr_test": [
            {"expr": fires, "eval_time": "29m", "exp_samples": []},
            {"expr": fires, "eval_time": "31m", "exp_samples": [expected]},
        ],
    }
    rules = str(tmp_path / "k8s/alerts/work.yaml")
    (tmp_path / "tests.json").write_text(json.dumps({"rule_files": [rules], "tests": [{"interval": "1m"} | test]}))

    promtool("check", "rules", rules)
    promtool("test", "rules", str(tmp_path / "tests.json"))
