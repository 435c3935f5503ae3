"""`satctl export`: what is written, read back by other programs' means."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import shapely
from satcommon.db.engine import read_transaction
from satcommon.environment import Environment
from satcommon.errors import InputError, StoreError
from satcommon.geo.geometry import area_ha
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from satcommon.stats import result_rows
from satcommon.stats.data_dictionary import meaning_of
from satctl.output.workbook import MOST_ROWS, check_row_count
from satctl.output.writers import open_writer

from tests.integration.satctl_world import FIRST, INSIDE, LAST, Satctl, close

LISTS = ("item_ids", "state_days", "state_ndvi_e4", *result_rows.QUANTILES)
LATER = INSIDE.replace("40.5", "40.55")
SUFFIXES = (".csv", ".parquet", ".geoparquet", ".gpkg", ".geojson", ".json", ".xlsx")
Export = Callable[..., Path]
Rows = list[dict[str, Any]]


@pytest.fixture
def exported(closed: Environment, satctl: Satctl, tmp_path: Path) -> Iterator[Export]:
    """Exports region S after its field missed a day and lost another."""
    satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", LATER)
    satctl("fields", "revise", "=1+1", "--season-end", "2025-06-03")

    def run(name: str, *arguments: str) -> Path:
        what = arguments if "--field" in arguments else ("S", *arguments)
        assert satctl("export", *what, "--output", str(tmp_path / name)).stdout == ""
        return tmp_path / name

    yield run
    assert not list(tmp_path.glob(".satctl*"))


def published(env: Environment) -> Rows:
    """The rows of the objects, of the days on which the field is expected."""
    with read_transaction(env.engine) as connection:
        days, objects = published_days(connection, 1, FIRST, LAST - timedelta(days=1)), ResultObjects(env.store())
    return [readable(row) for day in days.layers for row in days.rows(objects, day).to_pylist()]


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it leaves: the acquisitions are a list, not text; days are dates, and empty places none."""
    seen = [(date.fromordinal(d), ndvi) for d, ndvi in zip(row["state_days"], row["state_ndvi_e4"], strict=True) if d]
    return row | {
        "item_ids": None if row["item_ids"] is None else json.loads(row["item_ids"]),
        "state_days": [day for day, _ in seen],
        "state_ndvi_e4": [ndvi for _, ndvi in seen],
    }


def without_empty(rows: Rows) -> Rows:
    """The rows without the columns that none of them fills."""
    empty = {name for name in rows[0] if all(row[name] is None for row in rows)}
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def dated(rows: Rows) -> Rows:
    """What a format without lists of dates gives of them."""
    for row in rows:
        if row.get("state_days") is not None:
            row["state_days"] = [day if isinstance(day, date) else date.fromisoformat(day) for day in row["state_days"]]
    return rows


# --- the columns ---------------------------------------------------------------------------------------------------


def with_columns(rows: Rows, final: list[bool]) -> Rows:
    """The rows with what an export adds; the newest observation is looked up in the rows themselves."""
    found, newest = [], None
    for row, is_final in zip(rows, final, strict=True):
        newest = row["day"] if row["status"] in ("clear", "partial", "swath_edge") else newest
        found.append(row | {"final": is_final, "state_as_of": newest})
    return found


def test_the_state_is_as_of_its_newest_observation(
    closed: Environment, exported: Export, satctl: Satctl, tmp_path: Path
) -> None:
    rows = pq.read_table(exported("rows.parquet", "--all-columns")).to_pylist()

    assert rows == with_columns(published(closed), [True, True, False])
    assert len({row["status"] for row in rows}) > 1
    assert any(row["state_as_of"] != row["day"] for row in rows)
    assert {row["state_as_of"] is None for row in rows} == {row["days_since_clear"] is None for row in rows}


def test_each_row_has_the_polygon_that_it_was_computed_with(closed: Environment, exported: Export) -> None:
    before = geopandas.read_file(exported("before.gpkg")).geometry
    processor = Processor(closed.engine, closed.store())
    assert list(replay(processor, closed.engine, 1, closed.deadlines, "run", datetime.now(UTC)))
    after = geopandas.read_file(exported("after.gpkg")).geometry

    old, new = (shapely.from_wkt(wkt) for wkt in (INSIDE, LATER))
    assert [shape.equals(old) for shape in before] == [True, True, True]  # the last one is not final
    assert [shape.equals(old) for shape in after] == [True, True, False]
    assert after[2].equals(new)


# --- the formats ---------------------------------------------------------------------------------------------------


def read_csv(file: Path) -> Rows:
    types = {"algorithm_version": pa.string()}
    options = pa.csv.ConvertOptions(strings_can_be_null=True, column_types=types)
    rows: Rows = pa.csv.read_csv(file, convert_options=options).to_pylist()
    return dated([row | {n: json.loads(row[n]) for n in LISTS if row.get(n) is not None} for row in rows])


def read_frame(frame: geopandas.GeoDataFrame) -> Rows:
    def plain(name: str, value: Any) -> Any:
        if isinstance(value, list | np.ndarray):
            return list(value)
        if value is None or pd.isna(value):
            return None
        if name in LISTS:
            return json.loads(value)
        if isinstance(value, pd.Timestamp):
            return value.to_pydatetime() if name == "sensed_at" else value.date()
        return value

    assert frame.crs.equals("EPSG:4326", ignore_axis_order=True)
    table = frame.drop(columns="geometry")
    return dated([{str(n): plain(str(n), v) for n, v in row.items()} for row in table.to_dict("records")])


def read_workbook(file: Path) -> Rows:
    names, *lines = openpyxl.load_workbook(file)["rows"].iter_rows(values_only=True)

    def plain(name: str, value: Any) -> Any:
        if name in LISTS:
            return None if value is None else json.loads(value)
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if name == "sensed_at" else value.date()
        return value

    return dated([{n: plain(n, v) for n, v in zip(names, line, strict=True)} for line in lines])


READERS: dict[str, Callable[[Path], Rows]] = {
    "csv": read_csv,
    "parquet": lambda file: pq.read_table(file).to_pylist(),
    "geoparquet": lambda file: read_frame(geopandas.read_parquet(file)),
    "gpkg": lambda file: read_frame(geopandas.read_file(file)),
    "geojson": lambda file: read_frame(geopandas.read_file(file)),
    "xlsx": read_workbook,
}


@pytest.mark.parametrize("kind", READERS)
def test_what_is_read_back_is_what_is_published(kind: str, closed: Environment, exported: Export) -> None:
    rows = READERS[kind](exported(f"rows.{kind}"))

    expected = without_empty(with_columns(published(closed), [True, True, False]))
    assert len(expected[0]) < len(result_rows.SCHEMA)
    if kind == "csv":
        expected = [row | {"field": "'=1+1"} for row in expected]
    assert rows == expected
    assert [list(row) for row in rows] == [list(row) for row in expected]


@pytest.mark.parametrize("kind", READERS)
def test_rows_with_quantiles_are_written_beside_those_of_objects_without_the_columns(
    kind: str, closed: Environment, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, file = tmp_path / "algorithms.toml", tmp_path / f"rows.{kind}"
    versions.write_text("[spread]\nbased_on = '1'\nquantiles = [0.1, 0.5, 0.9]\n")
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(versions))
    settings.cache_clear()
    satctl("regions", "pin", "S", "spread")
    close(closed, LAST + timedelta(days=4))  # by the new version; what is closed already waits for the replay

    satctl("export", "S", "--all-columns", "--output", str(file))

    rows = READERS[kind](file)
    with read_transaction(closed.engine) as connection:
        days, objects = published_days(connection, 1, FIRST, date.max), ResultObjects(closed.store())
    tables = [days.rows(objects, day) for day in days.layers]
    expected = [readable(row) for table in tables for row in table.to_pylist()]
    assert [{name: row[name] for name in result_rows.SCHEMA.names if name != "field"} for row in rows] == [
        {name: value for name, value in row.items() if name != "field"} for row in expected
    ]
    has = [row["ndvi_quantiles"] is not None for row in rows]
    assert has == [row["algorithm_version"] not in ("1", "2") and row["ndvi_mean"] is not None for row in rows]
    assert set(has) == {False, True}


@pytest.mark.parametrize("kind", ["geoparquet", "gpkg", "geojson"])
def test_the_geometry_is_the_same_in_every_format(kind: str, exported: Export) -> None:
    file = exported(f"rows.{kind}")
    frame = geopandas.read_parquet(file) if kind == "geoparquet" else geopandas.read_file(file)

    assert [shape.equals(shapely.from_wkt(INSIDE)) for shape in frame.geometry] == [True] * 3


@pytest.mark.parametrize("kind", READERS)
def test_a_field_can_be_exported_alone(kind: str, closed: Environment, exported: Export, satctl: Satctl) -> None:
    satctl("fields", "add", "another", "--planted", "2025-05-01", "--wkt", INSIDE)

    rows = READERS[kind](exported(f"rows.{kind}", "--field", "=1+1", "--from", "2025-06-02"))

    assert [(row["day"].day, row["field"].lstrip("'")) for row in rows] == [(2, "=1+1"), (3, "=1+1")]


@pytest.mark.parametrize("kind", READERS)
def test_an_export_without_rows_has_the_columns(kind: str, closed: Environment, exported: Export) -> None:
    file = exported(f"rows.{kind}", "--from", "2025-06-04")  # where nobody expects the field any more

    assert READERS[kind](file) == []
    if kind == "csv":
        assert file.read_text().count(",") == len(result_rows.SCHEMA) + 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_names_the_format(suffix: str, exported: Export) -> None:
    content = exported(f"rows{suffix.upper()}").read_bytes()

    starts = {
        ".csv": b'"region"',
        ".gpkg": b"SQLite format 3",
        ".geojson": b'{"type"',
        ".json": b'{"type"',
        ".xlsx": b"PK",
    }
    assert content.startswith(starts.get(suffix, b"PAR1"))
    assert (b'"primary_column": "geometry"' in content) == (suffix == ".geoparquet")


def test_the_format_goes_before_the_suffix(exported: Export) -> None:
    assert len(geopandas.read_parquet(exported("rows.parquet", "--format", "geoparquet"))) == 3
    assert len(read_csv(exported("rows.txt", "--format", "csv"))) == 3


@pytest.mark.parametrize("kind", READERS)
def test_columns_that_are_empty_in_every_row_are_written_when_asked_for(kind: str, exported: Export) -> None:
    few, all_of_them = exported(f"few.{kind}"), exported(f"all.{kind}", "--all-columns")

    def columns(file: Path) -> set[str]:
        return set(READERS[kind](file)[0])

    assert columns(few) < columns(all_of_them)
    assert columns(all_of_them) == {*result_rows.SCHEMA.names, "final", "state_as_of"}
    assert columns(all_of_them) - columns(few) >= set(result_rows.QUANTILES)


def test_the_days_of_an_export_are_those_that_have_a_row(closed: Environment, satctl: Satctl, tmp_path: Path) -> None:
    satctl("fields", "add", "brief", "--planted", "2025-06-03", "--wkt", INSIDE)
    processor = Processor(closed.engine, closed.store())
    assert list(replay(processor, closed.engine, 1, closed.deadlines, "run", datetime.now(UTC)))

    said = satctl("export", "--field", "brief", "--from", "2025-06-01", "--output", str(tmp_path / "rows.csv")).stderr

    assert "wrote 2 rows of 2 days to" in said
    assert "(2 closed days of the span have none)" in said
    assert len(read_csv(tmp_path / "rows.csv")) == 2


# --- text that is not to be run --------------------------------------------------------------------------------------

FORMULAS = ["=1", "+1", "-1", "@a", "\tb", "\rc", "\nd", "\uff1de", "\uff0bf", "\uff0dg", "\uff20h"]
HARMLESS = ["a=1", "1-1", "", "'a", "é"]


def test_no_text_column_of_a_csv_holds_a_formula_and_nothing_else_is_touched(tmp_path: Path) -> None:
    schema = result_rows.SCHEMA.append(pa.field("more", pa.string()))
    texts = [*FORMULAS, *HARMLESS, None]
    columns = [texts if pa.types.is_string(field.type) else [None] * len(texts) for field in schema]

    with open_writer("csv", str(tmp_path / "rows.csv"), schema, force=False) as write:
        write(pa.table(columns, schema=schema))

    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [field.name for field in schema if pa.types.is_string(field.type)]
    assert {"region", "field", "status", "item_ids", "algorithm_version", "more"} < set(names)
    for name in names:
        assert [row[name] for row in rows] == [*("'" + text for text in FORMULAS), *HARMLESS, ""]


def test_no_text_of_a_workbook_is_a_formula_and_every_text_is_as_it_was(tmp_path: Path) -> None:
    texts = [*(text for text in FORMULAS if text[0] not in "\r\n\t"), *HARMLESS, "http://a.example", "1"]
    schema = pa.schema([("field", pa.string())])

    with open_writer("xlsx", str(tmp_path / "rows.xlsx"), schema, force=False) as write:
        write(pa.table([texts], schema=schema))

    book = openpyxl.load_workbook(tmp_path / "rows.xlsx")
    cells = [row[0] for row in book["rows"].iter_rows(min_row=2)]
    assert [cell.value or "" for cell in cells] == texts
    assert {cell.data_type for cell in cells if cell.value} == {"s"}
    assert [cell.quotePrefix for cell in cells] == [text in FORMULAS for text in texts]


# --- workbooks -----------------------------------------------------------------------------------------------------


def test_a_workbook_has_dates_a_header_in_sight_and_what_each_column_is(exported: Export) -> None:
    book = openpyxl.load_workbook(exported("rows.xlsx", "--field-details"))

    rows, about = book["rows"], book["columns"]
    assert rows.freeze_panes == "A2"
    assert rows["B2"].is_date
    assert rows["B2"].number_format == "yyyy-mm-dd"
    assert [cell.value for cell in rows[1]] == [row[0].value for row in about.iter_rows(min_row=2)]
    told = {row[0]: row for row in about.iter_rows(min_row=2, values_only=True)}
    assert told["ndvi_integral_e4"][1:3] == ("1e-4 days", "1e-4 day")
    assert told["observed_fraction"][3] == "0 to 1"


def test_more_rows_than_a_sheet_holds_are_refused_with_their_number() -> None:
    check_row_count("A.xlsx", MOST_ROWS)
    with pytest.raises(InputError, match=r"A\.xlsx: there are 1,048,576 rows, and a sheet .* write CSV or Parquet"):
        check_row_count("A.xlsx", MOST_ROWS + 1)


def test_a_text_that_no_cell_holds_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([("item_ids", pa.string())])

    with (
        pytest.raises(InputError, match=r"item_ids of row 1 has 32,768 characters"),
        open_writer("xlsx", str(tmp_path / "rows.xlsx"), schema, force=False) as write,
    ):
        write(pa.table([["x" * 32_768]], schema=schema))

    assert not list(tmp_path.iterdir())


# --- what columns are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "geoparquet"])
def test_files_say_unit_and_meaning_of_each_column(kind: str, exported: Export) -> None:
    schema = pq.read_schema(exported(f"rows.{kind}", "--all-columns", "--field-details"))

    for column in schema:
        if column.name != "geometry":
            assert column.metadata[b"description"].decode() == meaning_of(column.name).meaning
    assert schema.field("lst_c_mean").metadata[b"unit"] == b"degrees Celsius"
    assert schema.field("lst_c_mean").metadata[b"units"] == b"degC"
    assert b"unit" not in schema.field("state_days").metadata  # dates, here


def test_a_rows_field_has_its_name_crop_and_the_area_of_the_rows_polygon(
    closed: Environment, exported: Export, satctl: Satctl
) -> None:
    plain = pq.read_table(exported("plain.parquet"))
    table = pq.read_table(exported("rows.parquet", "--field-details"))
    some = pq.read_table(exported("some.parquet", "--column", "area_ha"))

    assert table.column_names[:6] == ["region", "day", "field", "field_name", "area_ha", "status"]  # no crop is known
    assert set(table["field_name"].to_pylist()) == {"=1+1"}  # its id is its name
    expected = area_ha(shapely.from_wkt(INSIDE))
    assert table["area_ha"].to_pylist() == pytest.approx([expected] * 3)
    assert some.column_names == ["region", "day", "field", "area_ha"]
    assert table.select(plain.column_names).equals(plain)


# --- where it goes -------------------------------------------------------------------------------------------------


def test_an_export_goes_to_stdout_as_csv_unless_told_otherwise(closed: Environment, satctl: Satctl) -> None:
    as_csv = satctl("export", "S", "--output", "-")
    as_json = satctl("export", "S", "--output", "-", "--format", "geojson")

    assert len(as_csv.stdout.splitlines()) == 5
    assert "wrote 4 rows of 4 days to -" in as_csv.stderr
    assert len(json.loads(as_json.stdout)["features"]) == 4


@pytest.mark.parametrize("kind", READERS)
def test_an_export_overwrites_nothing_unless_told_to(
    kind: str, closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    file = tmp_path / f"rows.{kind}"
    file.write_text("mine")

    refused = satctl("export", "S", "--output", str(file), code=2).stderr
    kept = file.read_text()
    satctl("export", "S", "--output", str(file), "--force")

    assert "exists already; name another file, or overwrite it with --force" in refused
    assert kept == "mine"
    assert len(READERS[kind](file)) == 4


@pytest.mark.parametrize("kind", READERS)
def test_an_export_that_fails_midway_leaves_nothing_and_keeps_what_was_there(
    kind: str, closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    new, old = tmp_path / f"new.{kind}", tmp_path / f"old.{kind}"
    old.write_text("mine")
    last = closed.store().list("results/")[-1]
    closed.store().delete(last)

    for file in (new, old):
        assert (
            f"the object {last} of publication 4 (day, "
            in satctl("export", "S", "--output", str(file), "--force", code=1).stderr
        )

    assert [one.name for one in tmp_path.iterdir() if kind in one.name or one.name.startswith(".")] == [f"old.{kind}"]
    assert old.read_text() == "mine"


def test_a_geopackage_that_can_not_be_written_is_told_as_such(tmp_path: Path) -> None:
    schema = pa.schema([("region", pa.string()), ("geometry", pa.binary())])

    def write_where_the_folder_is_gone() -> None:
        with open_writer("gpkg", str(tmp_path / "rows.gpkg"), schema, force=False) as write:
            for folder in tmp_path.glob(".satctl*"):
                folder.rmdir()
            write(schema.empty_table())

    with pytest.raises(StoreError, match=r"the GeoPackage could not be written: .* no part of it is left"):
        write_where_the_folder_is_gone()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["S", "--from", "2025-05-31"], "--from 2025-05-31: region 'S' is closed from 2025-06-01 to 2025-06-04"),
        (["S", "--to", "2025-06-05"], "--to 2025-06-05: region 'S' is closed from"),
        (["S", "--from", "2025-06-03", "--to", "2025-06-02"], "--to 2025-06-02 is before --from 2025-06-03"),
        (["--field", "nobody"], "there is no field 'nobody'"),
        (["--field", "=1+1", "--from", "2025-05-31"], "--from 2025-05-31: region 'S' is closed from 2025-06-01"),
        (
            ["S", "--output", "nowhere/rows.csv"],
            "--output nowhere/rows.csv: can't be written: there is no folder nowhere",
        ),
        (
            ["S", "--output", "rows.ods"],
            "the suffix '.ods' names no format; expected one of .csv, .parquet, .geoparquet, .gpkg",
        ),
        (["S", "--output", "rows"], "the suffix '' names no format; expected one of .csv"),
        (["S", "--format", "gpkg"], "--output -: a GeoPackage is a database, not a stream of bytes; name a file"),
        (["S", "--field", "=1+1"], "give either a REGION or --field EXTERNAL_ID"),
        ([], "give either a REGION or --field EXTERNAL_ID"),
    ],
)
def test_an_export_of_what_is_not_there_is_refused(
    arguments: list[str], message: str, closed: Environment, satctl: Satctl
) -> None:
    output = [] if "--output" in arguments else ["--output", "-"]

    assert message in satctl("export", *arguments, *output, code=2).stderr


def test_only_chosen_columns_and_statuses_are_written(closed: Environment, satctl: Satctl, tmp_path: Path) -> None:
    everything, chosen, polygons = (tmp_path / name for name in ("all.parquet", "some.parquet", "some.geojson"))
    satctl("export", "S", "--output", str(everything))
    statuses = [row["status"] for row in pq.read_table(everything).to_pylist()]
    only = ["--column", "final", "--column", "ndvi_mean", "--status", statuses[0]]

    satctl("export", "S", *only, "--output", str(chosen))
    satctl("export", "S", *only, "--output", str(polygons))

    table = pq.read_table(chosen)
    assert table.column_names == ["region", "day", "field", "ndvi_mean", "final"]
    assert table.num_rows == statuses.count(statuses[0])
    assert all(feature["geometry"] for feature in json.loads(polygons.read_text())["features"])
    for wrong in (["--column", "ndvi"], ["--status", "sunny"]):
        said = satctl("export", "S", *wrong, "--output", str(tmp_path / "none.csv"), code=2).output
        assert f"{wrong[0]} {wrong[1]}:" in said
        assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.slow
def test_a_full_stdout_is_told_of(closed: Environment, kind: str) -> None:
    with Path("/dev/full").open("wb") as full:
        export = subprocess.run(
            [Path(sys.executable).parent / "satctl", "export", "S", "--format", kind, "--output", "-"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert export.returncode == 1
    assert export.stderr.decode() == "error: --output -: could not be written: No space left on device\n"


@pytest.mark.parametrize(
    ("what", "writes"),
    [
        ("workbook", "with open_writer('xlsx', 'rows.xlsx', rows.schema, force=False) as write: write(rows)"),
        ("rows", "with Spool(lambda _: rows.schema) as spool: spool.add(rows)"),
    ],
)
def test_a_full_temporary_folder_is_told_of_and_leaves_no_file(tmp_path: Path, what: str, writes: str) -> None:
    program = f"""
import os
import pyarrow as pa
from satctl.output.spool import Spool
from satctl.output.writers import open_writer
rows = pa.table({{"region": [os.urandom(16).hex() for _ in range(1000)]}})
{writes}
"""
    small_files = ["bash", "-c", 'ulimit -f 1; exec "$@"', "-", sys.executable, "-c", program]
    run = subprocess.run(small_files, check=False, cwd=tmp_path, capture_output=True, text=True)

    assert re.search(rf"StoreError: the temporary folder .* can't keep the {what}: .*name another folder", run.stderr)
    assert list(tmp_path.iterdir()) == []
