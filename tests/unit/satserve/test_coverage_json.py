"""Series as CoverageJSON keep its standard, as the models of a peer (covjson-pydantic) have it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pyarrow as pa
import pydantic
import pytest
import shapely
from covjson_pydantic.coverage import Coverage
from satcommon.stats.result_rows import SCHEMA
from satserve.routes.locations import coverage

from tests.unit.satserve.serving import Served

PARTS = shapely.to_wkb(shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]))


def valid(document: dict[str, Any]) -> dict[str, Any]:
    days = document["domain"]["axes"]["t"]["values"]
    assert [date.fromisoformat(day).isoformat() for day in days] == sorted(set(days))
    with_instants = json.loads(json.dumps(document))  # the standard has days, too; the models know instants only
    with_instants["domain"]["axes"]["t"]["values"] = [f"{day}T00:00:00Z" for day in days]
    Coverage.model_validate_json(json.dumps(with_instants))
    named = {name for each in document["domain"]["referencing"] for name in each["coordinates"]}
    assert named == {"x", "y", "t"}
    assert document["parameters"].keys() == document["ranges"].keys()
    assert {tuple(each["shape"]) for each in document["ranges"].values()} == {(len(days),)}
    assert {len(each["values"]) for each in document["ranges"].values()} == {len(days)}
    return document


@pytest.mark.parametrize("columns", [None, "ndvi_mean", "status,sensed_at,item_ids,ndvi_quantiles,cell_count"])
def test_a_series_is_a_coverage_of_the_standard(on_sqlite: Served, columns: str | None) -> None:
    given = {} if columns is None else {"parameter_name": columns}

    found = valid(on_sqlite.json("/collections/field_metrics/locations/north", **given))

    axis = found["domain"]["axes"]["composite"]  # the models leave open what a composite value is
    [rings] = axis["values"]
    assert (axis["dataType"], axis["coordinates"]) == ("polygon", ["x", "y"])
    assert shapely.Polygon(rings[0], rings[1:]).equals(shapely.box(-94.2, 40.5, -94.179, 40.52))
    assert rings[0][0] == rings[0][-1]
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


@pytest.mark.parametrize("part", ["domainType", "axes", "parameters", "values"])
def test_what_is_none_is_found(on_sqlite: Served, part: str) -> None:
    document = on_sqlite.json("/collections/field_metrics/locations/north", parameter_name="ndvi_mean")
    wrong: dict[str, dict[str, Any]] = {
        "domainType": document["domain"] | {"domainType": "Grid"},
        "axes": document["domain"] | {"axes": {"t": document["domain"]["axes"]["t"]}},
    }
    if part in wrong:
        document["domain"] = wrong[part]
    elif part == "parameters":
        del document["parameters"]["ndvi_mean"]["observedProperty"]
    else:
        document["ranges"]["ndvi_mean"]["values"][0] = "high"

    with pytest.raises(pydantic.ValidationError):
        valid(document)
