"""Every number by HTTP is the one that `satctl export` gives: now and as of instants, in every format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import geopandas
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from requests import Response
from satcommon.db.engine import read_transaction
from satcommon.db.models import Publication
from satcommon.db.registry import region
from satcommon.publication.cells import cells
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published
from satcommon.publication.row_columns import completed, described, readable
from satserve.requests import is_column
from sqlalchemy import select

from tests.unit.satserve.serving import BOUNDS, FIRST, LAST, SQUARES, Served, satctl

DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
HOMES = {name: "T" if name in ("border", "far") else "S" for name in SQUARES}


def exported(service: Served, name: str, day: date, as_of: datetime | None) -> pa.Table:
    """A region's day as `satctl export` writes it."""
    env = service.environment
    with read_transaction(env.engine) as connection:
        days = published(connection, region(connection, name), day, day, as_of=as_of)
    return readable(completed(days.rows(ResultObjects(env.store()), day), day, days))


def instants(service: Served) -> list[datetime | None]:
    """Now, before the correction, and those of ten publications, from the first to the last."""
    with read_transaction(service.environment.engine) as connection:
        committed = connection.scalars(select(Publication.committed_at).order_by(Publication.committed_at)).all()
    chosen = [committed[round(n * (len(committed) - 1) / 9)] for n in range(10)]
    assert len(set(chosen)) == 10
    return [None, service.before, *chosen]


def stated(as_of: datetime | None) -> dict[str, str]:
    return {} if as_of is None else {"as_of": as_of.isoformat()}


def as_json(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON has them: days and instants as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        return value.isoformat() if isinstance(value, date) else value

    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def arrow_of(response: Response) -> pa.Table:
    return pa.ipc.open_stream(response.content).read_all()


READERS: dict[str, Callable[[Response], pa.Table]] = {
    "parquet": lambda response: pq.read_table(io.BytesIO(response.content)),
    "arrow": arrow_of,
}

_SLOW_ON_POSTGRESQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.mark.parametrize("as_of", [None, 0, 3, 9])
def test_a_regions_days_are_what_the_command_exports(
    service: Served, as_of: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instant = None if as_of is None else instants(service)[2 + as_of]
    file = tmp_path / "S.parquet"
    span = [] if instant is None else ["--as-of", instant.isoformat()]
    satctl(service, monkeypatch, "export", "S", "--all-columns", "--output", str(file), *span)
    expected = pq.read_table(file)

    answers = [service.get(f"/regions/S/days/{day}", f="parquet", **stated(instant)) for day in DAYS]
    found = pa.concat_tables([READERS["parquet"](each) for each in answers if each.status_code == 200])

    assert found.equals(expected)
    assert found.num_rows > 0


@pytest.mark.parametrize("service", _SLOW_ON_POSTGRESQL, indirect=True)
def test_a_regions_days_are_the_exported_ones_now_and_at_every_instant(service: Served) -> None:
    seen = 0
    for as_of in instants(service):
        for name in BOUNDS:
            for day in DAYS:
                expected = exported(service, name, day, as_of)
                response = service.get(f"/regions/{name}/days/{day}", f="arrow", **stated(as_of))
                if response.status_code == 404:
                    assert expected.num_rows == 0
                    continue
                assert arrow_of(response).equals(expected)
                seen += expected.num_rows
    assert seen > 60


@pytest.mark.parametrize("kind", ["json", "csv", "parquet", "arrow", "GeoJSON", "fgb"])
def test_a_regions_day_is_the_same_in_every_format(on_sqlite: Served, kind: str) -> None:
    expected = exported(on_sqlite, "S", LAST, None)

    response = on_sqlite.get(f"/regions/S/days/{LAST}", f=kind)

    assert response.status_code == 200
    if kind in READERS:
        assert READERS[kind](response).equals(expected)
    elif kind == "json":
        assert response.json()["rows"] == as_json(expected)
    elif kind == "csv":
        sink = io.BytesIO()
        pa.csv.write_csv(cells(expected), sink)
        assert response.content == sink.getvalue()
        assert b'"\'=1+1"' in response.content  # no formula to a spreadsheet
    elif kind == "GeoJSON":
        features = response.json()["features"]
        assert [each["properties"] for each in features] == as_json(expected)
        assert {each["geometry"]["type"] for each in features} == {"Polygon"}
    else:
        frame = geopandas.read_file(io.BytesIO(response.content)).sort_values("field")
        assert frame["ndvi_integral_e4"].tolist() == expected["ndvi_integral_e4"].to_pylist()
        assert frame.geometry.is_valid.all()
        assert frame.crs == "EPSG:4326"


@pytest.mark.parametrize("service", _SLOW_ON_POSTGRESQL, indirect=True)
def test_a_fields_series_is_its_exported_rows_now_and_at_every_instant(service: Served) -> None:
    for as_of in instants(service):
        days = {name: pa.concat_tables([exported(service, name, day, as_of) for day in DAYS]) for name in BOUNDS}
        for field, home in HOMES.items():
            rows = days[home].filter(pa.compute.field("field") == field)

            response = service.get(
                f"/collections/field_metrics/locations/{quote(field, safe='')}", f="arrow", **stated(as_of)
            )

            assert response.status_code == 200, response.text
            found = arrow_of(response)
            assert found.equals(rows.select(found.column_names))
            assert set(rows.column_names) - set(found.column_names) == {"region", "field"}


def test_a_series_is_the_same_as_json_and_csv_and_coverage(on_sqlite: Served) -> None:
    path = "/collections/field_metrics/locations/north"
    rows = arrow_of(on_sqlite.get(path, f="arrow"))
    plain = {name: [row[name] for row in as_json(rows)] for name in rows.column_names}

    told = on_sqlite.json(path, f="json")
    coverage = on_sqlite.json(path)

    assert told["day"] == plain["day"] == coverage["domain"]["axes"]["t"]["values"]
    for name in ("final", "state_as_of"):
        assert told[name] == plain[name]
    for name, values in told["values"].items():
        assert values == plain[name]
    plain["final"] = [int(final) for final in plain["final"]]
    plain["item_ids"] = [None if items is None else json.dumps(items) for items in plain["item_ids"]]
    lists = {column.name for column in rows.schema if pa.types.is_list(column.type)} - {"item_ids"}
    assert coverage["ranges"].keys() == plain.keys() - lists - {"day"}
    for name, told_range in coverage["ranges"].items():
        assert told_range["values"] == plain[name], name


def test_one_column_of_a_day_is_the_exported_one(service: Served) -> None:
    for as_of in (None, service.before):
        rows = exported(service, "S", LAST, as_of)
        for column in (name for name in rows.column_names if is_column(name)):
            found = arrow_of(service.get(f"/regions/S/days/{LAST}/columns/{column}", f="arrow", **stated(as_of)))

            assert found.column_names == ["field", "value", "final", "state_as_of"]
            assert found["value"].to_pylist() == rows[column].to_pylist()
            assert found["field"].to_pylist() == rows["field"].to_pylist()
            assert found["final"].to_pylist() == rows["final"].to_pylist()
            assert found["state_as_of"].to_pylist() == rows["state_as_of"].to_pylist()
        told = service.json(f"/regions/S/days/{LAST}/columns/sensed_at", f="json", **stated(as_of))
        plain = as_json(rows)
        assert told["value"] == [row["sensed_at"] for row in plain]
        for name in ("field", "final", "state_as_of"):
            assert told[name] == [row[name] for row in plain]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("path", [f"/regions/S/days/{LAST}", "/collections/field_metrics/locations/north"])
def test_parquet_and_arrow_say_of_each_column_what_the_dictionary_and_exports_say(
    on_sqlite: Served, kind: str, path: str
) -> None:
    schema = READERS[kind](on_sqlite.get(path, f=kind)).schema
    told = {column["name"]: column for column in on_sqlite.json("/columns")["columns"]}

    assert described(pa.schema([each.remove_metadata() for each in schema])).equals(schema, check_metadata=True)
    for column in schema:
        said = {key.decode(): value.decode() for key, value in column.metadata.items()}
        assert said["description"] == told[column.name]["meaning"]
        assert (said.get("unit"), said.get("units")) == (told[column.name]["unit"], told[column.name]["units"])
        assert str(column.type).replace("element", "item") == told[column.name]["type"].replace("element", "item")


def test_one_column_alone_keeps_its_unit(on_sqlite: Served) -> None:
    schema = arrow_of(on_sqlite.get(f"/regions/S/days/{LAST}/columns/lst_c_mean", f="arrow")).schema

    assert schema.field("value").metadata[b"units"] == b"degC"


def test_the_story_of_a_row_has_the_row(service: Served) -> None:
    told = service.json("/fields/north/history", day=str(LAST))
    row = exported(service, "S", LAST, None).filter(pa.compute.field("field") == "north")

    assert [told["row"]] == as_json(row)
    assert told["state"] == "settled"
    assert [each["cause"] for each in told["publications"]][-1] == "revised_field"
    assert told["publications"][-1]["row"]["ndvi_mean"] == told["row"]["ndvi_mean"]
    before = service.json("/fields/north/history", day=str(LAST), as_of=service.before.isoformat())
    assert len(before["publications"]) == 1
    assert before["row"]["geometry_digest"] != told["row"]["geometry_digest"]
