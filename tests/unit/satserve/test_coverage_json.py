"""Series as CoverageJSON keep its standard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
import shapely
from satcommon.stats.result_rows import SCHEMA
from satserve.routes.locations import coverage

from tests.unit.satserve.serving import Served

STANDARD = json.loads(Path(__file__).with_name("coverage-json.schema.json").read_text())
PARTS = shapely.to_wkb(shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]))


def valid(document: dict[str, Any]) -> dict[str, Any]:
    jsonschema.Draft202012Validator(STANDARD).validate(document)
    days = document["domain"]["axes"]["t"]["values"]
    assert document["parameters"].keys() == document["ranges"].keys()
    assert {tuple(each["shape"]) for each in document["ranges"].values()} == {(len(days),)}
    assert {len(each["values"]) for each in document["ranges"].values()} == {len(days)}
    return document


@pytest.mark.parametrize("columns", [None, "ndvi_mean", "status,sensed_at,item_ids,ndvi_quantiles,cell_count"])
def test_a_series_is_a_coverage_of_the_standard(on_sqlite: Served, columns: str | None) -> None:
    given = {} if columns is None else {"parameter_name": columns}

    found = valid(on_sqlite.json("/collections/field_metrics/locations/north", **given))

    [rings] = found["domain"]["axes"]["composite"]["values"]
    assert shapely.Polygon(rings[0]).exterior.is_ccw
    assert {"final", "state_as_of"} <= found["ranges"].keys()
    lists = {name for name in SCHEMA.names if pa.types.is_list(SCHEMA.field(name).type)}  # `item_ids` is JSON text
    assert lists.isdisjoint(found["ranges"])
    if columns is None:
        assert len(found["ranges"]) == len(SCHEMA) - 3 - len(lists) + 2


def test_a_field_of_several_parts_and_a_series_without_days_are_such_too(on_sqlite: Served) -> None:
    rows = pa.table({"day": pa.array([], pa.date32()), "final": pa.array([], pa.bool_())})
    rows = rows.append_column("state_as_of", pa.array([], pa.date32()))

    found = valid(coverage(rows, {"field": "f", "region": "S"}, PARTS))

    assert found["domain"]["domainType"] == "PointSeries"
    path = "/collections/field_metrics/locations/north"
    valid(on_sqlite.json(path, datetime="2025-01-01/2025-01-02"))


def test_what_is_none_is_found() -> None:
    with pytest.raises(jsonschema.ValidationError):
        valid({"type": "Coverage", "domain": {}, "parameters": {}, "ranges": {}})
