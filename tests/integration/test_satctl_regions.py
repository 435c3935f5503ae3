"""`satctl regions` from end to end."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from affine import Affine
from satcommon.db import missed_days
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.errors import AlgorithmError, SettingError
from satcommon.geo.grid import Bounds
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.publication import objects
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from satcommon.stats import result_rows
from satcommon.stats.algorithm import resolved
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl, close, triangle
from tests.unit import geotiffs


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of algorithm versions, yet to be written."""
    file = tmp_path / "algorithms.toml"
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(file))
    settings.cache_clear()
    return file


def test_the_samples_are_registered_once(system: Engine, satctl: Satctl) -> None:
    first = satctl("regions", "seed", "--monitored-from", "2025-05-01")
    again = satctl("regions", "seed")
    later = satctl("regions", "seed", "--monitored-from", "2025-06-01")

    assert first.stdout == "added 2 regions and 15 fields\n"
    assert again.stdout == "nothing to do: all 2 regions and 15 fields of the samples are registered already\n"
    assert again.stderr == ""
    assert "region 'A' is monitored from 2025-05-01 on; --monitored-from was not applied" in later.stderr
    assert {r["name"]: r["fields"] for r in json.loads(satctl("regions", "list", "--json").stdout)} == {"A": 10, "B": 5}


def test_a_region_takes_the_rasters_own_grid_or_is_told_why_not(
    system: Engine, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", str(tmp_path / "scenes"))
    settings.cache_clear()
    path = geotiffs.write(tmp_path / "scenes" / geotiffs.NAME)
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = (
            geotiffs.GRID.transform @ Affine.translation(0, geotiffs.ROWS) @ Affine.scale(1, -1)
        )  # south-up, as of xarray
    (tmp_path / "scenes" / "2016-01-08T101243.tif").write_text("no raster")
    bounds = [str(edge) for edge in geotiffs.AOI.bounds]

    own = satctl("regions", "add", "own", "--bounds", *bounds)
    path.unlink()
    made = satctl("regions", "add", "made", "--bounds", *bounds)

    assert f"of {geotiffs.GRID.xres:g} (EPSG:32633)" in own.stdout
    assert own.stderr == ""
    assert "of 100 (EPSG:32633)" in made.stdout
    assert "1 file of " in made.stderr
    assert "can't be taken: 2016-01-08T101243.tif: can't be read" in made.stderr
    assert "cells of 100 m are made, and a region's grid is fixed" in made.stderr


def test_a_region_has_the_grid_and_days_that_were_asked_for(system: Engine, satctl: Satctl) -> None:
    days = ["--monitored-from", "2025-05-01", "--monitored-until", "2025-09-30"]
    satctl("regions", "add", "S", "--bounds", *BOUNDS, *days, "--resolution", "500")

    found = json.loads(satctl("regions", "show", "S", "--json").stdout)

    assert found["bounds"] == {"west": -94.3, "south": 40.3, "east": -94.0, "north": 40.6}
    assert (found["monitored_from"], found["monitored_until"]) == ("2025-05-01", "2025-09-30")
    assert (found["grid"]["crs"], found["grid"]["xres"]) == ("EPSG:32615", 500.0)
    assert "52 x 68 of 500 (EPSG:32615)" in satctl("regions", "show", "S").stdout
    assert "52 x 68 of 500 (EPSG:32615)" in satctl("regions", "list").stdout


def test_a_region_is_monitored_from_today_unless_said_otherwise(system: Engine, satctl: Satctl) -> None:
    before = datetime.now(UTC).date()
    satctl("regions", "add", "S", "--bounds", *BOUNDS)

    found = json.loads(satctl("regions", "show", "S", "--json").stdout)

    assert before <= date.fromisoformat(found["monitored_from"]) <= datetime.now(UTC).date()


def test_regions_come_from_a_file_all_or_one(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    ring = triangle(-94.3, 40.3)
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for name in ("P", "Q")
    ]
    file = tmp_path / "regions.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

    one = satctl("regions", "add", "Q", "--file", str(file))
    all_of_them = satctl("regions", "add", "--file", str(file))
    unknown = satctl("regions", "add", "R", "--file", str(file), code=2)

    assert one.stdout.startswith("added region Q")
    assert 'feature 2 ("Q"): the polygon is no rectangle' in one.stderr
    assert "added region P" in all_of_them.stdout
    assert "region Q is registered already; nothing was changed" in all_of_them.stdout
    assert "there is no region 'R'; the file has P, Q" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["R", "--bounds", "-94", "40", "-95", "41"], "west -94 is not left of east -95"),
        (["R", "--bounds", "40", "-95", "41", "-94"], "latitude and longitude look swapped"),
        (["a|b", "--bounds", *BOUNDS], "holds '|', which Dagster can't use"),
        (["R", "--bounds", "0", "80", "1", "89"], "reach beyond those of UTM"),
        (["R", "--bounds", "-10", "-10", "10", "10", "--resolution", "10"], "are more than 1,000,000,000"),
        (
            ["R", "--bounds", *BOUNDS, "--monitored-from", "2025-02-30"],
            "'2025-02-30' is not a day; expected YYYY-MM-DD",
        ),
        (["R", "--bounds", *BOUNDS, "--monitored-from", "1066-10-14"], "is outside 1972-07-23.."),
        (["R", "--bounds", *BOUNDS, "--monitored-until", "2020-01-01"], "is before monitored from"),
        (["R", "--bounds", *BOUNDS, "--resolution", "0"], "0.0 is not in the range x>0"),
        (["--bounds", *BOUNDS], "a region with --bounds needs a NAME"),
        (["R", "--bounds", *BOUNDS, "--file", "x"], "give either --bounds W S E N or --file FILE"),
        (["S", "--bounds", "-94.3", "40.3", "-94.0", "40.7"], "exists with another rectangle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_region_that_can_not_be_is_refused(
    arguments: list[str], message: str, system: Engine, satctl: Satctl
) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)

    assert message in satctl("regions", "add", *arguments, code=2).stderr

    assert [r["name"] for r in json.loads(satctl("regions", "list", "--json").stdout)] == ["S"]


def test_a_region_is_paused_and_resumed(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)

    assert satctl("regions", "activate", "S").stdout == "region S is active already; nothing was changed\n"
    assert satctl("regions", "deactivate", "S").stdout == "region S is paused\n"
    assert json.loads(satctl("status", "--json").stdout)["regions"][0]["active"] is False
    assert satctl("regions", "activate", "S").stdout == "region S is active\n"
    assert "there is no region 'T' (known: 'S')" in satctl("regions", "deactivate", "T", code=2).stderr


def drain(env: Environment) -> None:
    """Replay the backlog of region S."""
    with read_transaction(env.engine) as connection:
        bbox_id = region(connection, "S").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "run", datetime.now(UTC)))


def missed(system: Engine) -> list[tuple[date, str]]:
    with read_transaction(system) as connection:
        found = missed_days.misses(connection, region(connection, "S").bbox_id, date.min, date.max)
    return [(miss.date_missed, miss.cause.value) for miss in found]


def test_a_region_s_monitored_days_are_moved(closed: Environment, satctl: Satctl) -> None:
    earlier = satctl("regions", "monitor", "S", "--from", "2025-05-31", "--until", str(LAST))
    again = satctl("regions", "monitor", "S", "--from", "2025-05-31")
    opened = satctl("regions", "monitor", "S", "--open")

    assert earlier.stdout == f"region S is monitored from 2025-05-31 until {LAST}\n"
    assert again.stdout == f"region S is monitored from 2025-05-31 until {LAST} already; nothing was changed\n"
    assert opened.stdout == "region S is monitored from 2025-05-31 on\n"
    assert missed(closed.engine) == [(date(2025, 5, 31), "late_region"), (FIRST, "carry")]


@pytest.mark.parametrize("options", [[], ["--until", "2025-06-30", "--open"]], ids=" ".join)
def test_how_days_are_moved_is_to_be_said(options: list[str], system: Engine, satctl: Satctl) -> None:
    assert "give" in satctl("regions", "monitor", "S", *options, code=2).stderr


def test_a_region_is_recomputed_by_the_version_that_it_is_pinned_to(
    closed: Environment, satctl: Satctl, tmp_path: Path, versions: Path
) -> None:
    versions.write_text("[edge]\nbased_on = '1'\ninward_buffer_m = 300\ndilate_cells = 1\nwhole_cells = 0.5\n")
    version = resolved("edge")
    exported = ["export", "S", "--from", str(FIRST), "--to", str(LAST), "--format", "csv", "--output"]
    satctl(*exported, str(tmp_path / "before.csv"))

    told = satctl("regions", "pin", "S", "edge", "--dry-run").stdout
    assert told == f"would pin region S to {version}: 4 field-days would be recomputed\n"
    assert missed(closed.engine) == []
    said = satctl("regions", "pin", "S", "edge").stdout
    assert said == f"region S is pinned to {version}: 4 field-days to be recomputed, see `satctl plan`\n"
    assert missed(closed.engine) == [(FIRST + timedelta(days=n), "revised_algorithm") for n in range(4)]
    drain(closed)
    satctl(*exported, str(tmp_path / "after.csv"))

    assert missed(closed.engine) == []
    before, after = (
        list(csv.DictReader((tmp_path / f"{when}.csv").read_text().splitlines())) for when in ("before", "after")
    )
    assert [row["algorithm_version"] for row in before] == ["2"] * 4
    assert [row["algorithm_version"] for row in after] == [version] * 4
    assert all(int(a["cell_count"]) < int(b["cell_count"]) for a, b in zip(after, before, strict=True))
    satctl("audit", "--deep")
    assert "nothing was changed" in satctl("regions", "pin", "S", version).stdout
    satctl("regions", "pin", "S", "2")
    drain(closed)
    satctl(*exported, str(tmp_path / "back.csv"))
    assert (tmp_path / "back.csv").read_bytes() == (tmp_path / "before.csv").read_bytes()


def canonical(env: Environment) -> dict[date, bytes]:
    """The canonical bytes of the published days of region S."""
    with read_transaction(env.engine) as connection:
        days = published_days(connection, region(connection, "S").bbox_id, date.min, date.max)
    stored = objects.ResultObjects(env.store())
    return {day: objects.encode(days.rows(stored, day)) for day in days.layers}


def test_quantiles_come_and_go_with_the_version_and_change_nothing_else(
    closed: Environment, satctl: Satctl, versions: Path
) -> None:
    versions.write_text("[spread]\nbased_on = '1'\nquantiles = [0, 0.5, 1]\n")
    before = canonical(closed)
    assert not set(result_rows.QUANTILES) & {name for data in before.values() for name in columns(data)}

    satctl("regions", "pin", "S", "spread")
    close(closed, LAST + timedelta(days=1))
    satctl("audit", "--deep")  # objects with the columns and without
    drain(closed)
    satctl("audit", "--deep")
    after = {day: objects.decode(data).to_pylist() for day, data in canonical(closed).items()}

    seen = 0
    for day, data in before.items():
        for old, new in zip(objects.decode(data).to_pylist(), after[day], strict=True):
            changed = {name for name in new if new[name] != old[name]}
            assert changed <= {*result_rows.QUANTILES, "algorithm_version"}
            for layer in result_rows.LAYERS:
                assert (new[f"{layer}_quantiles"] is None) == (new[f"{layer}_mean"] is None)
                if found := new[f"{layer}_quantiles"]:
                    seen += 1
                    assert (found[0], found[-1]) == (new[f"{layer}_min"], new[f"{layer}_max"])
                    assert found == sorted(found)
    assert seen > 1
    shown = next(row for rows in after.values() for row in rows if row["ndvi_quantiles"])
    told = satctl("history", "=1+1", str(shown["day"])).stdout
    assert str(shown["ndvi_quantiles"]) in told
    satctl("regions", "pin", "S", "2")
    drain(closed)
    back = canonical(closed)
    assert {day: back[day] for day in before} == before


def columns(data: bytes) -> list[str]:
    """Those that an object holds."""
    names: list[str] = pq.read_schema(pa.BufferReader(data)).names
    return names


def test_a_version_whose_rules_were_edited_is_refused_until_the_region_is_pinned_anew(
    closed: Environment, satctl: Satctl, tmp_path: Path, versions: Path
) -> None:
    versions.write_text("[edge]\nbased_on = '1'\ndilate_cells = 1\n")
    satctl("regions", "pin", "S", "edge")

    versions.write_text("[edge]\nbased_on = '1'\ndilate_cells = 2\n")

    with pytest.raises(AlgorithmError, match=f"put the former ones back, or .* regions pin REGION {resolved('edge')}"):
        drain(closed)
    assert len(missed(closed.engine)) == 4, "a refusal is no failed attempt"
    satctl("regions", "pin", "S", "edge")
    drain(closed)
    assert missed(closed.engine) == []


def test_versions_are_listed_with_their_rules_and_regions(system: Engine, satctl: Satctl, versions: Path) -> None:
    versions.write_text("[edge]\nbased_on = '1'\ndilate_cells = 2\nquantiles = [0, 0.25, 0.5]\n")
    version = resolved("edge")
    for name in ("A", "B"):
        satctl("regions", "add", name, "--bounds", *BOUNDS)
    satctl("regions", "pin", "B", "edge")

    table = [line.split() for line in satctl("regions", "algorithms").stdout.splitlines()]
    listed = json.loads(satctl("regions", "algorithms", "--json").stdout)
    versions.write_text("")
    lost = satctl("regions", "algorithms")
    listed_lost = json.loads(satctl("regions", "algorithms", "--json").stdout)

    assert ["1", "2", version] in table
    assert ["dilate_cells", "0", "0", "2"] in table
    assert ["quantiles", "none", "none", "0,", "0.25,", "0.5"] in table
    assert ["regions", "-", "A", "B"] in table
    assert [(one["version"], one["regions"]) for one in listed] == [("1", []), ("2", ["A"]), (version, ["B"])]
    assert listed[2]["rules"] == listed[0]["rules"] | {"dilate_cells": 2, "quantiles": [0, 0.25, 0.5]}
    assert f"version '{version}' is not known here; B can't be computed" in lost.stderr
    assert listed_lost[2] == {"version": version, "rules": None, "regions": ["B"]}


def test_a_version_that_nobody_knows_is_wrong_input(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)

    assert "'egde' is not supported here (known: 1, 2)" in satctl("regions", "pin", "S", "egde", code=2).stderr


# --- the source that a region belongs to -----------------------------------------------------------------------------


def no_source(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    monkeypatch.delenv("SATFIELDS_SCENE_SOURCE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"SATFIELDS_{name}", value)
    settings.cache_clear()


def test_without_a_source_a_region_is_not_registered_and_what_needs_no_imagery_works(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)
    no_source(monkeypatch)

    refused = satctl("regions", "add", "T", "--bounds", *BOUNDS, code=2)

    assert "SATFIELDS_SCENE_SOURCE is not set, and this needs imagery" in refused.stderr
    assert [r["name"] for r in json.loads(satctl("regions", "list", "--json").stdout)] == ["S"]
    satctl("fields", "add", "f", "--planted", "2025-05-01", "--wkt", INSIDE)
    satctl("status")
    satctl("audit")
    assert satctl("regions", "source", "S").stdout == "region S belongs to the source simulated\n"


def test_the_samples_are_simulated_where_no_source_is_named(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_source(monkeypatch)

    satctl("regions", "seed")

    assert {r["source"] for r in json.loads(satctl("regions", "list", "--json").stdout)} == {"simulated"}


def test_a_region_is_told_that_its_files_have_moved(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scenes").mkdir()
    no_source(monkeypatch, SCENE_SOURCE="folder", SCENE_FOLDER=str(tmp_path / "scenes"))
    added = satctl("regions", "add", "S", "--bounds", *BOUNDS)

    assert f"folder {tmp_path / 'scenes'} has no raster there yet" in added.stderr
    assert satctl("regions", "source", "S", "--set", "s3://imagery/2026/").stdout == (
        "region S belongs to the source folder s3://imagery/2026\n"
    )
    assert "nothing was changed" in satctl("regions", "source", "S", "--set", "s3://imagery/2026").stdout
    assert satctl("regions", "source", "S", "--set", "current").stdout.endswith(f"folder {tmp_path / 'scenes'}\n")
    assert "expected a folder or s3://" in satctl("regions", "source", "S", "--set", "gs://x/y", code=2).stderr


def test_a_history_of_another_source_stores_nothing(
    closed: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scenes").mkdir()
    before = satctl("export", "S", "--output", "-").stdout
    no_source(monkeypatch, SCENE_SOURCE="folder", SCENE_FOLDER=str(tmp_path / "scenes"))

    with pytest.raises(SettingError, match="belongs to the source 'simulated', and the settings name 'folder "):
        close(Environment(settings(), closed.engine), LAST + timedelta(days=1))

    assert satctl("export", "S", "--output", "-").stdout == before


# --- where a region lies ---------------------------------------------------------------------------------------------


@pytest.fixture
def scenes(system: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with one raster, at 14.55 east and 45.87 north."""
    folder = tmp_path / "scenes"
    geotiffs.write(folder / geotiffs.NAME)
    no_source(monkeypatch, SCENE_SOURCE="folder", SCENE_FOLDER=str(folder))
    return folder


def around(bounds: Bounds, *, swapped: bool = False) -> list[str]:
    west, south, east, north = bounds
    return [str(edge) for edge in ((south, west, north, east) if swapped else (west, south, east, north))]


def test_a_rectangle_without_any_imagery_of_the_source_is_refused_unless_forced(scenes: Path, satctl: Satctl) -> None:
    swapped = satctl("regions", "add", "S", "--bounds", *around(geotiffs.AOI.bounds, swapped=True), code=2)
    elsewhere = satctl("regions", "add", "S", "--bounds", *BOUNDS, code=2)

    assert "shares nothing with any of 1 raster of folder" in swapped.stderr
    assert "longitude and latitude look swapped: expected --bounds 14.5" in swapped.stderr
    assert "or say --force where its imagery is still to come" in elsewhere.stderr
    assert json.loads(satctl("regions", "list", "--json").stdout) == []
    forced = satctl("regions", "add", "S", "--bounds", *BOUNDS, "--force")
    assert "has no raster there yet" in forced.stderr
    right = satctl("regions", "add", "N", "--bounds", *around(geotiffs.AOI.bounds))
    assert right.stdout.startswith("added region N: ")
    assert right.stderr == ""


def test_a_file_that_can_not_be_taken_is_named_where_the_grid_is_made_without_it(scenes: Path, satctl: Satctl) -> None:
    (scenes / geotiffs.NAME).write_bytes(b"no GeoTIFF")

    added = satctl("regions", "add", "N", "--bounds", *around(geotiffs.AOI.bounds))

    assert "1 file of folder" in added.stderr
    assert geotiffs.NAME in added.stderr


def test_a_rectangle_that_fields_are_in_only_when_swapped_is_refused(system: Engine, satctl: Satctl) -> None:
    satctl("fields", "add", "f", "--planted", "2025-05-01", "--wkt", INSIDE.replace("-94", "14"))

    refused = satctl("regions", "add", "S", "--bounds", "40.3", "13.9", "40.6", "14.3", code=2)

    assert "swapped some would; expected --bounds 13.9 40.3 14.3 40.6, or give --force" in refused.stderr
    satctl("regions", "add", "S", "--bounds", "40.3", "13.9", "40.6", "14.3", "--force")
    satctl("regions", "add", "T", "--bounds", "13.9", "40.3", "14.3", "40.6")


def test_many_regions_of_a_file_are_asked_about(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    features = [
        {
            "type": "Feature",
            "properties": {"name": f"P{n}"},
            "geometry": {"type": "Polygon", "coordinates": [triangle(-94.3 + n / 100, 40.3)]},
        }
        for n in range(21)
    ]
    file = tmp_path / "fields.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

    refused = satctl("regions", "add", "--file", str(file), code=2)

    assert "has 21 regions" in refused.stderr
    assert "give --yes" in refused.stderr
    assert json.loads(satctl("regions", "list", "--json").stdout) == []
    satctl("regions", "add", "P3", "--file", str(file))
    satctl("regions", "add", "--file", str(file), "--yes")
    assert len(json.loads(satctl("regions", "list", "--json").stdout)) == 21


def test_a_dry_run_registers_nothing(system: Engine, satctl: Satctl) -> None:
    said = satctl("regions", "add", "S", "--bounds", *BOUNDS, "--dry-run").stdout

    assert said.startswith("would add region S: ")
    assert said.endswith("dry run: nothing was changed\n")
    assert json.loads(satctl("regions", "list", "--json").stdout) == []


# --- another name, or none -------------------------------------------------------------------------------------------


def test_a_region_without_published_rows_is_removed_and_its_name_is_free(system: Engine, satctl: Satctl) -> None:
    satctl("fields", "add", "f", "--planted", "2025-05-01", "--wkt", INSIDE)
    for name in ("S", "T"):
        satctl("regions", "add", name, "--bounds", *BOUNDS, "--monitored-from", str(FIRST))
    assert json.loads(satctl("fields", "list", "--json").stdout)[0]["home"] == "S"

    assert satctl("regions", "remove", "S", "--dry-run").stdout.startswith("would remove region S: ")
    assert len(json.loads(satctl("regions", "list", "--json").stdout)) == 2
    assert satctl("regions", "remove", "S").stdout == "removed region S: 0 days, 0 scenes; its fields stay\n"

    assert json.loads(satctl("fields", "list", "--json").stdout)[0]["home"] == "T"
    satctl("audit")
    satctl("regions", "add", "S", "--bounds", "-95", "40", "-94", "41")


def test_what_a_removed_region_had_goes_with_it(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
    assert close(Environment(settings(), system), LAST) == 4  # without a field there are no rows

    assert satctl("regions", "remove", "S").stdout == "removed region S: 4 days, 4 scenes; its fields stay\n"

    satctl("audit")
    assert "there is no region 'S' (known: none yet)" in satctl("regions", "remove", "S", code=2).stderr


def test_a_region_with_published_rows_stays(closed: Environment, satctl: Satctl) -> None:
    refused = satctl("regions", "remove", "S", code=2)

    assert "region 'S' has published rows of 4 days" in refused.stderr
    assert "satctl regions deactivate" in refused.stderr
    assert json.loads(satctl("regions", "show", "S", "--json").stdout)["watermark"] == str(LAST)


def test_a_renamed_region_keeps_its_days(closed: Environment, satctl: Satctl) -> None:
    before = satctl("export", "S", "--output", "-").stdout

    assert satctl("regions", "rename", "S", "Taylor County").stdout == "region S is now Taylor County\n"

    assert satctl("export", "Taylor County", "--output", "-").stdout == before.replace(",S,", ",Taylor County,")
    assert "nothing was changed" in satctl("regions", "rename", "Taylor County", "Taylor County").stdout
    assert "there is no region 'S'" in satctl("regions", "rename", "S", "T", code=2).stderr
    satctl("regions", "add", "S", "--bounds", *BOUNDS)
    assert "there is a region 'S' already" in satctl("regions", "rename", "Taylor County", "S", code=2).stderr
    assert "can't use in a partition key" in satctl("regions", "rename", "S", "a|b", code=2).stderr
    assert "choose another name" in satctl("regions", "rename", "S", ".", code=2).stderr
