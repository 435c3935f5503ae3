"""`satctl` from end to end, on a SQLite file and a folder of objects, as on a laptop."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from satcommon.algorithm import resolved
from satcommon.closing import Closer
from satcommon.db import ledger
from satcommon.db.engine import reading, writing
from satcommon.db.models import Region
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.errors import AlgorithmError
from satcommon.processing import Processor
from satcommon.replay import replay
from satcommon.settings import settings
from satctl.main import COMMANDS, main
from sqlalchemy import Engine, text, update

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl


def write_fields(folder: Path, *features: tuple[str, str, list[list[float]]], **properties: Any) -> str:
    """A GeoJSON of fields: (external id, planting day, ring) each."""
    content = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"external_id": external_id, "planting_date": planted, **properties},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for external_id, planted, ring in features
        ],
    }
    file = folder / "fields.geojson"
    file.write_text(json.dumps(content))
    return str(file)


def triangle(west: float, south: float, size: float = 0.05) -> list[list[float]]:
    return [[west, south], [west + size, south], [west + size, south + size], [west, south]]


# --- the command line itself ---------------------------------------------------------------------------------------


def all_commands() -> list[list[str]]:
    found = []
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        found += [[name, sub] for sub in command.commands] if isinstance(command, click.Group) else [[name]]
    return found


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str], satctl: Satctl) -> None:
    said = satctl(*command, "--help").stdout

    assert f"satctl {' '.join(command)}" in said.split("Examples:")[1]


def test_the_help_needs_none_of_the_heavy_libraries() -> None:
    code = "import sys; from satctl.main import main; main(['--help'], standalone_mode=False); "
    code += "print(*sys.modules, file=sys.stderr)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    assert not {"sqlalchemy", "shapely", "numpy", "pyarrow", "geopandas", "rasterio", "dagster"} & set(loaded)


@pytest.mark.parametrize(
    "arguments",
    [["regiones"], ["regions", "ad"], ["regions", "add"], ["status", "--regions", "A"], ["export", "A"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: list[str], satctl: Satctl) -> None:
    assert "Usage: " in satctl(*arguments, code=2).stderr


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_demand(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "A", "--bounds", *BOUNDS)
    with writing(system) as connection:
        connection.execute(update(Region).values(grid="{"))

    said = satctl("regions", "list", code=1)
    shown = satctl("--debug", "regions", "list", code=1)

    assert said.stderr.startswith("error: JSONDecodeError: Expecting property name")
    assert "`satctl --debug ...` shows where it comes from" in said.stderr
    assert isinstance(shown.exception, json.JSONDecodeError)


# --- the database, the store, the settings -------------------------------------------------------------------------


def test_a_database_is_made_once_and_then_left_alone(tmp_path: Path, satctl: Satctl) -> None:
    assert "none: not migrated" in satctl("db", "current", code=1).stdout
    assert not (tmp_path / "home").exists()

    made = satctl("db", "upgrade").stdout
    again = satctl("db", "upgrade").stdout

    assert "went from nothing to revision" in made
    assert "already; nothing was changed" in again
    assert json.loads(satctl("db", "current", "--json").stdout)["fits"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        ["regions", "list"],
        ["fields", "list"],
        ["status"],
        ["audit"],
        ["regions", "seed"],
        ["export", "A", "--output", "-"],
    ],
    ids=" ".join,
)
def test_without_a_database_every_command_says_how_to_make_it(
    arguments: list[str], tmp_path: Path, satctl: Satctl
) -> None:
    said = satctl(*arguments, code=1).stderr

    assert "There is no database sqlite:///" in said
    assert "Run `satctl db upgrade`" in said
    assert not (tmp_path / "home").exists()


def test_a_database_that_was_not_migrated_is_told_so(tmp_path: Path, satctl: Satctl) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "satfields.db").touch()

    assert "is not migrated. Run `satctl db upgrade`" in satctl("regions", "list", code=1).stderr


def test_a_database_newer_than_the_code_is_left_alone(system: Engine, satctl: Satctl) -> None:
    with writing(system) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for command in (["regions", "list"], ["db", "upgrade"], ["regions", "seed"]):
        assert "is at revision 9999, newer than this code's" in satctl(*command, code=1).stderr
    assert json.loads(satctl("db", "current", "--json", code=1).stdout)["revision"] == "9999"


def test_a_locked_database_is_waited_for_and_then_told(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_TIMEOUT_SECONDS", "0.05")

    with writing(system):
        said = satctl("regions", "add", "A", "--bounds", *BOUNDS, code=1).stderr

    assert "could not be used: database is locked. Check SATFIELDS_DATABASE_URL" in said


def test_an_unreachable_database_is_named_without_its_password(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/satfields")

    said = satctl("status", code=1).stderr

    assert "The database postgresql+psycopg://me:***@127.0.0.1:1/satfields (SATFIELDS_DATABASE_URL) could" in said
    assert "secret" not in said


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path, satctl: Satctl) -> None:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "satfields.db"
    file.write_text("a shopping list")

    for command in (["status"], ["db", "current"], ["db", "upgrade"]):
        assert "is no SQLite database" in satctl(*command, code=2).stderr
    assert file.read_text() == "a shopping list"


@pytest.mark.parametrize("command", [["audit"], ["export", "A", "--output", "-"]], ids=" ".join)
def test_a_store_that_can_not_be_written_to_is_named(
    command: list[str], system: Engine, tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SATFIELDS_STORE", str(tmp_path / "file" / "store"))

    said = satctl(*command, code=1).stderr

    assert f"SATFIELDS_STORE='{tmp_path}/file/store' can't be made: Not a directory" in said


def test_a_wrong_setting_is_named(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "a month")

    assert "SATFIELDS_LATENESS_DAYS='a month'" in satctl("status", code=2).stderr


# --- regions -------------------------------------------------------------------------------------------------------


def test_the_samples_are_registered_once(system: Engine, satctl: Satctl) -> None:
    first = satctl("regions", "seed", "--monitored-from", "2025-05-01")
    again = satctl("regions", "seed")
    later = satctl("regions", "seed", "--monitored-from", "2025-06-01")

    assert first.stdout == "added 2 regions and 15 fields\n"
    assert again.stdout == "nothing to do: all 2 regions and 15 fields of the samples are there already\n"
    assert again.stderr == ""
    assert "region 'A' is monitored from 2025-05-01 on; --monitored-from was not applied" in later.stderr
    assert {r["name"]: r["fields"] for r in json.loads(satctl("regions", "list", "--json").stdout)} == {"A": 10, "B": 5}


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
    assert "region Q is there already; nothing was changed" in all_of_them.stdout
    assert "there is no region 'R'; the file has P, Q" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["R", "--bounds", "-94", "40", "-95", "41"], "west -94 is not left of east -95"),
        (["R", "--bounds", "40", "-95", "41", "-94"], "latitude and longitude look swapped"),
        (["a|b", "--bounds", *BOUNDS], "holds '|', which Dagster can't use"),
        (["R", "--bounds", "0", "80", "1", "89"], "reach beyond those of UTM"),
        (["R", "--bounds", "-10", "-10", "10", "10", "--resolution", "10"], "are more than 1,000,000,000"),
        (["R", "--bounds", *BOUNDS, "--monitored-from", "2025-02-30"], "'2025-02-30' is no day; expected YYYY-MM-DD"),
        (["R", "--bounds", *BOUNDS, "--monitored-from", "1066-10-14"], "is outside of 1972-07-23.."),
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
    with reading(env.engine) as connection:
        bbox_id = region(connection, "S").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "run", datetime.now(UTC)))


def missed(system: Engine) -> list[tuple[date, str]]:
    with reading(system) as connection:
        found = ledger.misses(connection, region(connection, "S").bbox_id, date.min, date.max)
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
    closed: Environment, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "algorithms.toml"
    file.write_text("[edge]\nbased_on = '1'\ninward_buffer_m = 300\ndilate_cells = 1\nwhole_cells = 0.5\n")
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(file))
    settings.cache_clear()
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
    assert [row["algorithm_version"] for row in before] == ["1"] * 4
    assert [row["algorithm_version"] for row in after] == [version] * 4
    assert all(int(a["cell_count"]) < int(b["cell_count"]) for a, b in zip(after, before, strict=True))
    satctl("audit", "--deep")
    assert "nothing was changed" in satctl("regions", "pin", "S", version).stdout
    satctl("regions", "pin", "S", "1")
    drain(closed)
    satctl(*exported, str(tmp_path / "back.csv"))
    assert (tmp_path / "back.csv").read_bytes() == (tmp_path / "before.csv").read_bytes()


def test_a_version_whose_rules_were_edited_is_refused_until_the_region_is_pinned_anew(
    closed: Environment, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "algorithms.toml"
    file.write_text("[edge]\nbased_on = '1'\ndilate_cells = 1\n")
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(file))
    settings.cache_clear()
    satctl("regions", "pin", "S", "edge")

    file.write_text("[edge]\nbased_on = '1'\ndilate_cells = 2\n")

    with pytest.raises(AlgorithmError, match=f"put the former ones back, or .* regions pin REGION {resolved('edge')}"):
        drain(closed)
    assert len(missed(closed.engine)) == 4, "a refusal is no failed attempt"
    satctl("regions", "pin", "S", "edge")
    drain(closed)
    assert missed(closed.engine) == []


def test_versions_are_listed_with_their_rules_and_regions(
    system: Engine, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "algorithms.toml"
    file.write_text("[edge]\nbased_on = '1'\ndilate_cells = 2\n")
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(file))
    settings.cache_clear()
    version = resolved("edge")
    for name in ("A", "B"):
        satctl("regions", "add", name, "--bounds", *BOUNDS)
    satctl("regions", "pin", "B", "edge")

    table = [line.split() for line in satctl("regions", "algorithms").stdout.splitlines()]
    listed = json.loads(satctl("regions", "algorithms", "--json").stdout)
    file.write_text("")
    lost = satctl("regions", "algorithms")
    listed_lost = json.loads(satctl("regions", "algorithms", "--json").stdout)

    assert ["1", version] in table
    assert ["dilate_cells", "0", "2"] in table
    assert ["regions", "A", "B"] in table
    assert [(one["version"], one["regions"]) for one in listed] == [("1", ["A"]), (version, ["B"])]
    assert listed[1]["rules"] == listed[0]["rules"] | {"dilate_cells": 2}
    assert f"version '{version}' is not known here; B can't be computed" in lost.stderr
    assert listed_lost[1] == {"version": version, "rules": None, "regions": ["B"]}


def test_a_version_that_nobody_knows_is_wrong_input(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)

    assert "'egde' is not supported here (known: 1)" in satctl("regions", "pin", "S", "egde", code=2).stderr


# --- fields --------------------------------------------------------------------------------------------------------


def test_an_import_tells_what_was_created_what_was_there_and_what_is_nowhere(
    system: Engine, tmp_path: Path, satctl: Satctl
) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)
    one, two = ("a", "2025-05-01", triangle(-94.2, 40.4)), ("b", "2025-05-01", triangle(10, 50))

    tried = satctl("fields", "import", write_fields(tmp_path, one, two), "--dry-run")
    nothing = satctl("fields", "list", "--json")
    created = satctl("fields", "import", write_fields(tmp_path, one))
    mixed = json.loads(satctl("fields", "import", write_fields(tmp_path, one, two), "--json").stdout)

    assert tried.stdout == "would create 2 fields: a, b\ndry run: nothing was changed\n"
    assert "warning: 1 field in no region: b" in tried.stderr
    assert json.loads(nothing.stdout) == []
    assert created.stdout == "created 1 field: a\n"
    assert (mixed["created"], mixed["unchanged"], mixed["in_no_region"]) == (["b"], ["a"], ["b"])


def test_without_updates_a_changed_field_is_refused_and_nothing_of_the_file_is_taken(
    system: Engine, tmp_path: Path, satctl: Satctl
) -> None:
    old = [("a", "2025-05-01", triangle(-94.2, 40.4)), ("b", "2025-05-01", triangle(-94.2, 40.5))]
    satctl("fields", "import", write_fields(tmp_path, *old, season_end="2025-09-30"))

    new = [("c", *old[0][1:]), ("a", "2025-05-02", triangle(-94.2, 40.41)), ("b", *old[1][1:])]
    said = satctl(
        "fields", "import", write_fields(tmp_path, *new, season_end="2025-10-01"), "--no-update", code=2
    ).stderr

    assert "error: 2 problems; nothing was taken:" in said
    assert "field 'a' exists with another planting_date and season_end and geometry" in said
    assert (
        "field 'b' exists with another season_end; a change of a field is a revision: `satctl fields revise b" in said
    )
    assert [f["external_id"] for f in json.loads(satctl("fields", "list", "--json").stdout)] == ["a", "b"]


def test_an_import_tells_in_one_go_what_it_created_revised_and_opened(
    closed: Environment, tmp_path: Path, satctl: Satctl
) -> None:
    one, two = ("a", "2025-05-01", triangle(-94.2, 40.4)), ("b", "2025-05-01", triangle(-94.2, 40.5))
    satctl("fields", "import", write_fields(tmp_path, one, two))
    moved = [("a", "2025-06-03", triangle(-94.21, 40.4)), two, ("c", "2025-06-04", triangle(-94.15, 40.45))]
    file = write_fields(tmp_path, *moved, name="Called so")

    tried = satctl("fields", "import", file, "--dry-run").stdout
    done = json.loads(satctl("fields", "import", file, "--json").stdout)
    again = json.loads(satctl("fields", "import", file, "--json").stdout)

    assert tried == (
        "would create 1 field: c\ncorrected 1 field: a\nrevised the season of 1 field: a\nrenamed 2 fields: a, b\n"
        "field-days: 1 opened as missed, 2 no longer missed, 2 to be withdrawn\ndry run: nothing was changed\n"
    )
    assert (done["created"], done["corrected"], done["season_revised"]) == (["c"], ["a"], ["a"])
    assert (done["renamed"], done["changed"], done["unchanged"]) == (["a", "b"], [], [])
    assert (done["opened_field_days"], done["resolved_field_days"], done["withdrawn_field_days"]) == (1, 2, 2)
    assert (again["unchanged"], again["opened_field_days"]) == (["a", "b", "c"], 0)
    assert json.loads(satctl("audit", "--json").stdout)["clean"] is True


def test_a_polygon_may_change_from_a_day_on(closed: Environment, tmp_path: Path, satctl: Satctl) -> None:
    satctl("fields", "import", write_fields(tmp_path, ("a", "2025-05-01", triangle(-94.2, 40.4))))
    file = write_fields(tmp_path, ("a", "2025-05-01", triangle(-94.21, 40.4)))

    said = satctl("fields", "import", file, "--changed-from", "2025-06-03", "--json").stdout
    refused = satctl("fields", "import", file, "--changed-from", "2025-06-03", "--no-update", code=2).stderr

    assert json.loads(said)["changed"] == ["a"]
    assert "are of updates: leave out --no-update" in refused


def test_what_is_invalid_is_left_and_listed(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    flat = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
    file = write_fields(tmp_path, ("a", "2025-05-01", triangle(0, 0)), ("b", "2025-05-01", flat))

    refused = satctl("fields", "import", file, code=2).stderr
    left = satctl("fields", "import", file, "--skip-invalid", "--json")

    reason = f'{file}: feature 2 ("b"): the polygon has no area: its points lie on a line'
    assert reason in refused
    assert json.loads(left.stdout)["left"] == [{"feature": 2, "reason": reason}]
    assert f"warning: 1 problem of features that were left:\n{reason}" in left.stderr
    assert json.loads(left.stdout)["created"] == ["a"]


def test_a_mended_polygon_is_told(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    spike = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0], [0.5, 1.5], [0.5, 1.0], [0.0, 1.0], [0.0, 0.0]]
    file = write_fields(tmp_path, ("a", "2025-05-01", spike))

    satctl("fields", "import", file, code=2)
    said = satctl("fields", "import", file, "--repair").stdout

    assert f'{file}: feature 1 ("a"): repaired: ' in said
    assert "that changed its area by 0.00%" in said


def test_columns_and_days_are_mapped_by_options(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    file = write_fields(tmp_path, ("whatever", "", triangle(0, 0)), nr=17, label="Seventeen")
    mapped = ["--id-column", "nr", "--name-column", "label", "--planted", "2025-05-01", "--crop", "oats"]

    satctl("fields", "import", file, *mapped)
    unknown = satctl("fields", "import", file, "--crop-column", "fruit", code=2).stderr

    (found,) = json.loads(satctl("fields", "list", "--json").stdout)
    assert (found["external_id"], found["name"], found["planting_date"]) == ("17", "Seventeen", "2025-05-01")
    assert found["crop_code"] == "oats"
    assert "there is no column 'fruit'; the file has 'external_id', 'planting_date', 'nr', 'label'" in unknown


def test_a_yearly_file_without_days_moves_polygons_and_no_season(
    closed: Environment, tmp_path: Path, satctl: Satctl
) -> None:
    satctl("fields", "import", write_fields(tmp_path, ("a", "2025-05-01", triangle(-94.2, 40.4)), crop="oats"))
    file = write_fields(tmp_path, ("a", "", triangle(-94.21, 40.4)), ("b", "", triangle(-94.2, 40.5)))

    refused = satctl("fields", "import", file, code=2).stderr
    said = satctl("fields", "import", file, "--planted", "2025-06-01", "--crop", "rye").stdout

    assert f'{file}: feature 2 ("b"): has no planting_date' in refused
    assert said.startswith("created 1 field: b\ncorrected 1 field: a\nfield-days: ")
    found = json.loads(satctl("fields", "list", "--json").stdout)
    assert [(f["planting_date"], f["crop_code"]) for f in found if f["external_id"] in "ab"] == [
        ("2025-05-01", "oats"),
        ("2025-06-01", "rye"),
    ]


def test_a_field_is_planted_again(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", "=1+1", "--season-end", "2025-06-02")
    refused = satctl("fields", "plant", "=1+1", "--planted", "2025-06-02", code=2).stderr
    planted = satctl("fields", "plant", "=1+1", "--planted", "2025-06-04", "--crop", "rye").stdout
    again = satctl("fields", "plant", "=1+1", "--planted", "2025-06-04", "--crop", "rye").stdout

    found = json.loads(satctl("fields", "show", "=1+1", "--json").stdout)["seasons"]
    assert "the season before it was planted on 2025-05-01 and ends on 2025-06-02" in refused
    assert planted == "field =1+1 has a season from 2025-06-04 on; field-days: 1 opened as missed\n"
    assert again == "field =1+1 is so already; nothing was changed\n"
    assert [(s["planting_date"], s["end_date"], s["crop_code"]) for s in found] == [
        ("2025-05-01", "2025-06-02", None),
        ("2025-06-04", None, "rye"),
    ]
    assert json.loads(satctl("audit", "--json").stdout)["clean"] is True


def test_a_broken_file_is_refused_with_every_problem(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    file = write_fields(tmp_path, ("a", "soon", triangle(-94.2, 40.4)), ("b", "2025-02-30", triangle(0, 0)))

    said = satctl("fields", "import", file, code=2).stderr

    assert f'{file}: feature 1 ("a"): planting_date "soon" is no day' in said
    assert f'{file}: feature 2 ("b"): planting_date "2025-02-30" is not in the calendar' in said


def test_a_field_is_added_from_text_or_a_file(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS)
    file = write_fields(tmp_path, ("whatever", "2025-05-01", triangle(-94.2, 40.4)))

    satctl("fields", "add", "one", "--planted", "2025-05-01", "--wkt", INSIDE)
    satctl("fields", "add", "two", "--name", "Two [2]", "--planted", "2025-05-02", "--crop", "oats", "--geometry", file)
    nowhere = satctl("fields", "add", "three", "--planted", "2025-05-01", "--wkt", "POLYGON ((0 0, 1 0, 1 1, 0 0))")

    one, _, two = json.loads(satctl("fields", "list", "--json").stdout)
    assert (one["name"], one["home"], one["regions"]) == ("one", "S", ["S"])
    assert (two["name"], two["crop_code"], two["planting_date"]) == ("Two [2]", "oats", "2025-05-02")
    assert "field three is in no region" in nowhere.stderr
    assert [f["external_id"] for f in json.loads(satctl("fields", "list", "--region", "S", "--json").stdout)] == [
        "one",
        "two",
    ]
    assert "Two [2]" in satctl("fields", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--planted", "2025-05-01"], "give the polygon, with --wkt or --geometry"),
        (["x", "--planted", "2025-05-01", "--wkt", "POLYGON"], "--wkt 'POLYGON': is no WKT"),
        (["x", "--planted", "2025-05-01", "--wkt", "POINT (1 2)"], "the geometry is a Point"),
        (["x", "--planted", "2025-05-01", "--wkt", INSIDE, "--geometry", "f"], "give either --wkt or --geometry"),
        (["x", "--planted", "2025-05-01", "--geometry", "f.geojson"], "f.geojson: there is no such file"),
        (["x", "--wkt", INSIDE], "Missing option '--planted'"),
        ([" x", "--planted", "2025-05-01", "--wkt", INSIDE], "has spaces around it"),
        (["x", "--planted", "2025-05-01", "--season-end", "2025-04-01", "--wkt", INSIDE], "before its planting"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_that_can_not_be_is_refused(arguments: list[str], message: str, system: Engine, satctl: Satctl) -> None:
    assert message in satctl("fields", "add", *arguments, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give what to revise"),
        (["--wkt", INSIDE], "say whether the polygon was wrong (--correct)"),
        (["--wkt", INSIDE, "--correct", "--from", "2025-06-01"], "either wrong (--correct) or changed"),
        (["--planted", "2025-05-02", "--from", "2025-06-01"], "--from is of a polygon"),
        (["--planted", "2025-05-02"], "there is no field 'x'"),
        (["--correct", "--wkt", INSIDE], "there is no field 'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_revision_that_says_too_little_or_too_much_is_refused(
    arguments: list[str], message: str, system: Engine, satctl: Satctl
) -> None:
    assert message in satctl("fields", "revise", "x", *arguments, code=2).stderr


def test_a_revision_tells_what_it_opened_on_closed_days(closed: Environment, satctl: Satctl) -> None:
    moved = INSIDE.replace("40.5", "40.55")

    from_a_day = satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", moved).stdout
    corrected = satctl("fields", "revise", "=1+1", "--correct", "--wkt", INSIDE).stdout
    same = satctl("fields", "revise", "=1+1", "--correct", "--wkt", INSIDE).stdout
    ended = satctl("fields", "revise", "=1+1", "--season-end", "2025-06-02").stdout

    assert from_a_day == "revised field =1+1; field-days: 2 opened as missed\n"
    assert corrected == "revised field =1+1; field-days: 0 opened as missed\n"
    assert same == "field =1+1 is so already; nothing was changed\n"
    assert ended == "revised field =1+1; field-days: 0 opened as missed, 2 no longer missed, 2 to be withdrawn\n"


def test_a_field_that_leaves_every_region_is_warned_about(closed: Environment, satctl: Satctl) -> None:
    left = satctl("fields", "revise", "=1+1", "--correct", "--wkt", "POLYGON ((0 0, 1 0, 1 1, 0 0))")

    assert left.stdout == "revised field =1+1; field-days: 0 opened as missed, 4 to be withdrawn\n"
    assert "field =1+1 is now in no region" in left.stderr


def test_a_field_shows_its_seasons_revisions_days_and_misses(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "deactivate", "=1+1", "--on", "2025-06-02")
    satctl("fields", "activate", "=1+1", "--on", "2025-06-04")

    found = json.loads(satctl("fields", "show", "=1+1", "--json").stdout)
    said = satctl("fields", "show", "=1+1").stdout

    assert [s["planting_date"] for s in found["seasons"]] == ["2025-05-01"]
    assert [r["kind"] for r in found["revisions"]] == ["registered", "deactivated", "reactivated"]
    (in_region,) = found["regions"]
    assert (in_region["region"], in_region["home"], in_region["overlap_share"]) == ("S", True, 1.0)
    assert [(e["first"], e["last"]) for e in in_region["expected"]] == [
        ("2025-06-01", "2025-06-01"),
        ("2025-06-04", None),
    ]
    assert in_region["expected_days"] == 2
    assert [(m["cause"], m["field_days"]) for m in in_region["open_misses"]] == [("revised_field", 1)]
    assert "2025-06-01..2025-06-01; 2025-06-04.." in said


def test_a_deactivation_withdraws_and_is_said_once(closed: Environment, satctl: Satctl) -> None:
    first = satctl("fields", "deactivate", "=1+1", "--on", "2025-06-03").stdout
    again = satctl("fields", "deactivate", "=1+1").stdout

    assert first == "field =1+1 is inactive from 2025-06-03 on; field-days: 0 opened as missed, 2 to be withdrawn\n"
    assert again == "field =1+1 is inactive already; nothing was changed\n"


# --- status, audit -------------------------------------------------------------------------------------------------


def test_an_empty_system_is_nothing_to_report_and_nothing_lost(system: Engine, satctl: Satctl) -> None:
    assert "there are no regions" in satctl("status").stdout
    assert json.loads(satctl("status", "--json").stdout)["regions"] == []
    assert "there is nothing to audit" in satctl("audit").stdout
    assert json.loads(satctl("audit", "--json").stdout) == {"clean": True, "regions": []}
    assert "there is no region 'A' (known: none yet)" in satctl("export", "A", "--output", "-", code=2).stderr
    assert "there is no region 'A'" in satctl("status", "--region", "A", code=2).stderr


def test_a_region_without_a_closed_day_tells_what_it_waits_for(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--monitored-until", str(LAST))

    said = satctl("status")
    (found,) = json.loads(satctl("status", "--json").stdout)["regions"]

    assert (found["watermark"], found["lag_days"], found["expected_fields"]) == (None, 4, 0)
    assert found["never_asked"] == [str(date(2025, 6, day)) for day in (1, 2, 3, 4)]
    assert (found["us_late"], found["source_late"]) == ([], [])
    assert "the source was never asked for 4 days: 2025-06-01..2025-06-04; is ingest running?" in said.stderr
    assert "has no closed day yet" in satctl("export", "S", "--output", "-", code=2).stderr
    assert json.loads(satctl("audit", "--json").stdout)["clean"] is True


def test_the_status_tells_the_source_late_from_us_late(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "100000")
    satctl(
        "regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", "2025-06-01", "--monitored-until", "2025-06-04"
    )
    satctl("fields", "add", "a", "--planted", "2025-05-01", "--wkt", INSIDE)
    env = Environment(settings(), system)
    with reading(system) as connection:
        bbox_id = region(connection, "S").bbox_id
    with writing(system) as connection:
        for day in (1, 2, 3, 4):
            values: dict[str, Any] = {"due": "due", "answered_at": datetime.now(UTC)}
            ledger.set_day(connection, bbox_id, date(2025, 6, day), **values)
    closer = Closer(system, env.store(), bbox_id, env.deadlines, "run", datetime.now(UTC))
    assert len(list(closer.through(date(2025, 6, 2)))) == 2

    (found,) = json.loads(satctl("status", "--json").stdout)["regions"]

    assert (found["watermark"], found["lag_days"]) == ("2025-06-02", 2)
    assert [(one["day"], one["closed"]) for one in found["source_late"]] == [("2025-06-01", True), ("2025-06-02", True)]
    assert found["us_late"] == ["2025-06-03", "2025-06-04"]
    (missed,) = found["backlog"]
    assert (missed["cause"], missed["field_days"], missed["waiting_for_scene"]) == ("late_scene", 2, 2)
    assert "2 days: 2025-06-01..2025-06-02" in satctl("status").stdout


def test_the_status_lists_the_last_closed_days_and_the_backlog(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    (found,) = json.loads(satctl("status", "--days", "2", "--json").stdout)["regions"]
    said = satctl("status").stdout

    assert (found["watermark"], found["expected_fields"]) == ("2025-06-04", 2)
    assert [(d["day"], d["rows"], d["missed"], d["scene"]) for d in found["closed_days"]] == [
        ("2025-06-03", 1, 1, True),
        ("2025-06-04", 1, 1, True),
    ]
    (missed,) = found["backlog"]
    assert (missed["cause"], missed["field_days"], missed["waiting_for_scene"]) == ("late_field", 2, 0)
    assert (missed["first_day"], missed["last_day"]) == ("2025-06-03", "2025-06-04")
    assert 0 <= missed["oldest_age_seconds"] < 600
    assert "late_field" in said


def test_the_audit_counts_and_says_what_is_wrong(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    clean = json.loads(satctl("audit", "--json").stdout)["regions"][0]
    for key in closed.store().list("results/")[-1:]:
        closed.store().delete(key)
    broken = satctl("audit", "--region", "S", code=1).stdout

    assert (clean["expected"], clean["settled"], clean["missed"]) == (6, 4, 2)
    assert "S 2025-06-04: the published object results/" in broken
    assert "NOT CLEAN" in broken
    assert json.loads(satctl("audit", "--json", code=1).stdout)["clean"] is False
