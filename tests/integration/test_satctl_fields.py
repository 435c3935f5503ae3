"""`satctl fields` from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from satcommon.environment import Environment
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, INSIDE, Satctl, triangle


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
    assert "apply to updates: leave out --no-update" in refused


def test_what_is_invalid_is_left_and_listed(system: Engine, tmp_path: Path, satctl: Satctl) -> None:
    flat = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
    file = write_fields(tmp_path, ("a", "2025-05-01", triangle(0, 0)), ("b", "2025-05-01", flat))

    refused = satctl("fields", "import", file, code=2).stderr
    left = satctl("fields", "import", file, "--skip-invalid", "--json")

    reason = f'{file}: feature 2 ("b"): the polygon has no area: its points lie on a line'
    assert reason in refused
    assert json.loads(left.stdout)["left"] == [{"feature": 2, "reason": reason}]
    assert f"warning: 1 problem of skipped features:\n{reason}" in left.stderr
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
    assert again == "field =1+1: no change\n"
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
        (["x", "--planted", "2025-05-01", "--wkt", "POLYGON"], "--wkt 'POLYGON': is not WKT"),
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
        (["--planted", "2025-05-02", "--from", "2025-06-01"], "--from applies to a polygon"),
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
    assert same == "field =1+1: no change\n"
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


def test_fields_come_straight_from_a_bucket(system: Engine, tmp_path: Path, s3_url: str, satctl: Satctl) -> None:
    content = Path(write_fields(tmp_path, ("a", "2025-05-01", triangle(-94.2, 40.4)))).read_bytes()
    ObjectStore(s3_url).put("2025/north # 40.geojson", content)

    done = satctl("fields", "import", f"{s3_url}/2025/north # 40.geojson")
    one = satctl("fields", "add", "b", "--planted", "2025-05-01", "--geometry", f"{s3_url}/2025/north # 40.geojson")

    assert done.stdout == "created 1 field: a\n"
    assert one.stdout == "created 1 field: b\n"


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("{bucket}/none.gpkg", 2, "there is no such object"),
        ("{bucket}/folder/", 2, "names no file of a bucket; expected s3://bucket/path/fields.gpkg"),
        ("{bucket}/fields.shp", 2, "put it into the bucket as one zip"),
        ("s3://nowhere/fields.gpkg", 1, "make the bucket"),
    ],
)
def test_what_is_not_in_the_bucket_is_told(
    url: str, code: int, message: str, system: Engine, s3_url: str, satctl: Satctl
) -> None:
    named = url.format(bucket=s3_url)

    said = satctl("fields", "import", named, code=code)

    assert f"error: {named}" in said.stderr
    assert message in said.stderr
