"""`satctl export`: what is written, read back by other programs' means."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from satcommon.environment import Environment

from tests.integration.satctl_world import FIRST, INSIDE, Satctl


@pytest.fixture
def exported(closed: Environment, satctl: Satctl, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Exports region S after its field missed a day and lost another."""
    satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", INSIDE.replace("40.5", "40.55"))
    satctl("fields", "revise", "=1+1", "--season-end", "2025-06-03")

    def run(name: str, *arguments: str) -> Path:
        result = satctl("export", "S", "--output", str(tmp_path / name), *arguments)
        assert result.stdout == ""
        return tmp_path / name

    yield run
    assert not list(tmp_path.glob(".*.part"))


def test_an_export_to_csv_is_ordered_marked_and_safe_to_open(exported: Callable[..., Path]) -> None:
    with exported("rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [(row["day"], row["final"]) for row in rows] == [
        ("2025-06-01", "true"),
        ("2025-06-02", "true"),
        ("2025-06-03", "false"),
    ]
    assert {row["field"] for row in rows} == {"'=1+1"}
    assert len(json.loads(rows[0]["state_days"])) == 8
    assert datetime.fromisoformat(rows[0]["sensed_at"]).date() == FIRST


def test_an_export_to_parquet_keeps_types(exported: Callable[..., Path]) -> None:
    table = pq.read_table(exported("rows.parquet"))

    assert table["final"].to_pylist() == [True, True, False]
    assert table["day"].to_pylist() == [date(2025, 6, day) for day in (1, 2, 3)]
    assert table["field"].to_pylist() == ["=1+1"] * 3


def test_an_export_to_geojson_has_a_feature_a_row_with_the_current_polygon(exported: Callable[..., Path]) -> None:
    content = json.loads(exported("rows.geojson", "--from", "2025-06-02", "--to", "2025-06-03").read_text())

    assert [f["properties"]["day"] for f in content["features"]] == ["2025-06-02", "2025-06-03"]
    assert [f["properties"]["final"] for f in content["features"]] == [True, False]
    assert content["features"][0]["geometry"]["coordinates"][0][2] == [-94.1, 40.55]


def test_an_export_goes_to_stdout(closed: Environment, satctl: Satctl) -> None:
    result = satctl("export", "S", "--format", "csv", "--output", "-")

    assert len(result.stdout.splitlines()) == 5
    assert "wrote 4 rows of 4 days to -" in result.stderr


def test_an_export_overwrites_nothing_unless_told_to(closed: Environment, satctl: Satctl, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("mine")

    refused = satctl("export", "S", "--output", str(file), code=2).stderr
    kept = file.read_text()
    satctl("export", "S", "--output", str(file), "--force")

    assert "exists already; name another file, or overwrite it with --force" in refused
    assert kept == "mine"
    assert file.read_text().startswith('"region","day","field"')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "2025-05-31"], "--from 2025-05-31: region 'S' is closed from 2025-06-01 to 2025-06-04"),
        (["--to", "2025-06-05"], "--to 2025-06-05: region 'S' is closed from"),
        (["--from", "2025-06-03", "--to", "2025-06-02"], "--to 2025-06-02 is before --from 2025-06-03"),
        (["--output", "nowhere/rows.csv"], "--output nowhere/rows.csv: can't be written: No such file or directory"),
    ],
)
def test_an_export_of_what_is_not_there_is_refused(
    arguments: list[str], message: str, closed: Environment, satctl: Satctl
) -> None:
    output = [] if "--output" in arguments else ["--output", "-"]

    assert message in satctl("export", "S", *arguments, *output, code=2).stderr
