"""Fields' series (OGC API - Environmental Data Retrieval): a location is a field."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pyarrow as pa
import shapely
from fastapi import APIRouter, Request
from satcommon.db.models import Region
from satcommon.errors import ObjectMissingError
from satcommon.stats.result_rows import schema_of
from starlette.responses import Response

from satserve.caller import Caller, Calling
from satserve.encodings import (
    ARROW,
    COVERAGE,
    CSV,
    GEOJSON,
    JSON,
    PARQUET,
    geojson_geometries,
    json_bytes,
    plain_values,
)
from satserve.requests import (
    DERIVED,
    MOST_DAYS,
    AsOf,
    Columns,
    Cursor,
    ExternalId,
    FormatName,
    Interval,
    Limit,
    checked_days,
    chosen_format,
    columns_of,
    instant_of,
    interval_of,
    is_column,
)
from satserve.routes.columns import further_columns_of, parameters
from satserve.routes.features import FORMATS as FEATURE_FORMATS
from satserve.routes.features import Bbox, FeatureCollection, items
from satserve.routes.responses import GeoJson, media_types, problems, table_answer, tag_of, unchanged, whole
from satserve.series.field_series import SeriesInputs, read_series, series_inputs
from satserve.service import Service, Serving, visible_field

router = APIRouter(prefix="/collections/field_metrics", tags=["Series"])

FORMATS = (COVERAGE, JSON, CSV, PARQUET, ARROW)
_ITEMS = "item_ids"  # JSON text in CoverageJSON, which has no lists; other lists are left out
_DTYPES = {"double": "float", "int32": "integer", "int64": "integer"}
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@router.get(
    "/locations",
    responses=problems() | {200: media_types(*FEATURE_FORMATS) | {"model": FeatureCollection}},
    response_model=None,
    response_class=GeoJson,
    summary="The locations of series",
)
def locations(
    request: Request,
    service: Serving,
    caller: Calling,
    bbox: Bbox = None,
    datetime: Interval = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    f: FormatName = None,
) -> Response:
    """The fields, each of which is a location; the same features as `/collections/fields/items`."""
    kind = GEOJSON[0] if f is None else f
    return items(request, service, caller, "fields", bbox=bbox, datetime=datetime, limit=limit, cursor=cursor, f=kind)


@router.get(
    "/locations/{external_id:path}",
    responses=problems(404, 410) | {200: media_types(*FORMATS)},
    response_model=None,
    summary="A field's series",
)
def location(
    request: Request,
    service: Serving,
    caller: Calling,
    external_id: ExternalId,
    datetime: Interval = None,
    parameter_name: Columns = None,
    as_of: AsOf = None,
    f: FormatName = None,
) -> Response:
    """A field's rows in its home region, by day, each with `final`, and `state_as_of`: its newest observation's day.

    Days without a row are left out. Without `datetime`, all closed days; without `parameter-name`, all columns of the
    region's algorithm version.
    """
    kind = chosen_format(f, request.headers.get("accept", ""), FORMATS)
    given = None if parameter_name is None else columns_of(parameter_name)
    instant, interval = instant_of(as_of), interval_of(datetime)
    for again in (True, False):
        inputs, region, wkb = _inputs(service, caller, external_id, interval, instant)
        columns = _all_columns(region) if given is None else given
        tag = tag_of("series", inputs.version, region.name, kind, columns, wkb)
        same = unchanged(request, tag)
        if same is not None:
            return same
        try:
            rows = read_series(inputs, service.half_years, service.objects, columns)
            break
        except ObjectMissingError:  # removed since the log was read: a newer one gives the rows
            if not again:
                raise
    told = {"field": external_id, "region": region.name}
    if kind == COVERAGE[0]:
        return whole(json_bytes(coverage(rows, told, wkb)), tag, COVERAGE[1])
    if kind == JSON[0]:
        return whole(_json(rows, told, wkb), tag, JSON[1])
    return table_answer(rows, next(each for each in FORMATS if each[0] == kind), tag, told)


def _inputs(
    service: Service,
    caller: Caller,
    external_id: str,
    interval: tuple[date | None, date | None],
    instant: Any,
) -> tuple[SeriesInputs, Region, bytes]:
    with service.reading() as connection:
        field, region = visible_field(service, connection, external_id, interval[1], caller)
        snapshot = service.snapshots.get(connection, region.bbox_id, instant)
        span = max(interval[0] or date.min, snapshot.first), min(interval[1] or date.max, snapshot.last)
        if interval[0] is None and span[0] <= span[1]:
            span = max(span[0], date.fromordinal(max(1, span[1].toordinal() - MOST_DAYS + 1))), span[1]
        checked_days(*span)
        inputs = series_inputs(connection, snapshot, region, field, span, instant)
    return inputs, region, bytes(field.geometry)


def _all_columns(region: Region) -> list[str]:
    """The columns of every row, and those of the further indices and bands of the region's version."""
    return [name for name in schema_of(further_columns_of(region)).names if is_column(name)]


def _json(rows: pa.Table, told: dict[str, Any], wkb: bytes) -> bytes:
    """A series as columns: its days, and a list of values for each column."""
    values = {name: plain_values(rows[name]) for name in rows.column_names if name not in ("day", *DERIVED)}
    document = {**told, "day": plain_values(rows["day"]), **{name: plain_values(rows[name]) for name in DERIVED}}
    [geometry] = geojson_geometries([wkb])
    return json_bytes({**document, "values": values})[:-1] + b',"geometry":' + geometry + b"}"


def coverage(rows: pa.Table, told: dict[str, Any], wkb: bytes) -> dict[str, Any]:
    """A series as a coverage of CoverageJSON 1.0.

    A field of one polygon is a PolygonSeries. CoverageJSON has no polygon of several parts: such a field is a
    PointSeries at a point within it.
    """
    shape = shapely.orient_polygons(shapely.from_wkb(wkb))
    names = [n for n in rows.column_names if n != "day" and (n == _ITEMS or not pa.types.is_list(rows[n].type))]
    axes: dict[str, Any] = {"t": {"values": plain_values(rows["day"])}}
    if shape.geom_type == "Polygon":
        rings = [[list(point) for point in ring.coords] for ring in (shape.exterior, *shape.interiors)]
        axes["composite"] = {"dataType": "polygon", "coordinates": ["x", "y"], "values": [rings]}
    else:
        point = shape.representative_point()
        axes |= {"x": {"values": [point.x]}, "y": {"values": [point.y]}}
    referencing = [
        {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": _CRS84}},
        {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}},
    ]
    domain_type = "PolygonSeries" if "composite" in axes else "PointSeries"
    return {
        "type": "Coverage",
        "id": told["field"],
        "domain": {"type": "Domain", "domainType": domain_type, "axes": axes, "referencing": referencing},
        "parameters": _parameters(names),
        "ranges": {name: _range(rows[name]) for name in names},
        "satfields:region": told["region"],
    }


def _parameters(names: list[str]) -> dict[str, Any]:
    told = parameters([name for name in names if name not in DERIVED])
    yes, no = ({"id": f"#{word}", "label": {"en": word}} for word in ("final", "provisional"))
    told["final"] = {
        "type": "Parameter",
        "observedProperty": {"id": "final", "label": {"en": "final"}, "categories": [no, yes]},
        "categoryEncoding": {no["id"]: 0, yes["id"]: 1},
    }
    label = {"en": "day of the newest observation in the state"}
    told["state_as_of"] = {"type": "Parameter", "observedProperty": {"id": "state_as_of", "label": label}}
    return told


def _range(column: pa.ChunkedArray) -> dict[str, Any]:
    kind = _DTYPES.get(str(column.type), "string")
    values = plain_values(column)
    if pa.types.is_list(column.type):
        values = [None if value is None else json.dumps(value) for value in values]
    elif pa.types.is_boolean(column.type):
        kind, values = "integer", [int(value) for value in values]
    elif pa.types.is_timestamp(column.type):
        values = [None if value is None else f"{value:%Y-%m-%dT%H:%M:%S}Z" for value in values]
    return {"type": "NdArray", "dataType": kind, "axisNames": ["t"], "shape": [len(values)], "values": values}
