"""Regions and fields as features (OGC API - Features)."""

from __future__ import annotations

import base64
import binascii
import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from satserve.caller import Caller, Calling
from satserve.encodings import FLATGEOBUF, GEOJSON, encoded, features
from satserve.features.field_index import PROPERTIES, SCHEMA, in_season
from satserve.features.filters import LONGEST, matching
from satserve.problem import not_found, wrong
from satserve.requests import Cursor, FormatName, Interval, Limit, chosen_format, interval_of
from satserve.routes.responses import GeoJson, document, link, media_types, path_of, problems, tag_of, unchanged, whole
from satserve.service import Service, Serving, visible_field, visible_regions

router = APIRouter(tags=["Features"])

FORMATS = (GEOJSON, FLATGEOBUF)
_BBOX = "4 numbers west,south,east,north in degrees, with commas between"
_TYPES = {"bool": "boolean", "double": "number"}

Bbox = Annotated[
    str | None,
    Query(
        max_length=200, description="Rectangle west,south,east,north in degrees (CRS84).", examples=["-95,40,-94,41"]
    ),
]
Filter = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="CQL2 text over the queryables of fields.",
        examples=["crop_code = 'maize' AND area_ha > 10"],
    ),
]
FilterLanguage = Annotated[
    Literal["cql2-text"],
    Query(
        alias="filter-lang",
        description="The filter's language.",
        json_schema_extra={"enum": ["cql2-text"]},
        examples=["cql2-text"],
    ),
]
CollectionName = Annotated[
    str, Path(pattern="^(regions|fields)$", description="regions or fields", max_length=10, examples=["fields"])
]


class Feature(BaseModel):
    """A GeoJSON feature."""

    type: str = Field(examples=["Feature"])
    id: str
    geometry: dict[str, Any] | None
    properties: dict[str, Any]


class FeatureCollection(BaseModel):
    """GeoJSON features."""

    type: str = Field(examples=["FeatureCollection"])
    features: list[Feature]
    links: list[dict[str, Any]] | None = None
    numberReturned: int | None = None  # noqa: N815  # the standard's
    numberMatched: int | None = Field(None, description="of all pages; only the first one tells it")  # noqa: N815


@router.get(
    "/collections/fields/queryables",
    responses=problems() | {200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}}},
    response_model=None,
    response_class=Response,
    summary="What filters of fields may name",
)
def queryables(request: Request, caller: Calling) -> Response:  # noqa: ARG001  # who has no key is told so
    """The properties that a filter may name, as JSON Schema."""
    told: dict[str, Any] = {}
    for name in PROPERTIES:
        kind = str(SCHEMA.field(name).type)
        told[name] = {"type": _TYPES.get(kind, "string")} | ({"format": "date"} if kind == "date32[day]" else {})
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": link(request, "/collections/fields/queryables", "self")["href"],
        "type": "object",
        "title": "Queryables of fields",
        "properties": told,
        "additionalProperties": False,
    }
    return document(request, schema, "application/schema+json")


@router.get(
    "/collections/{collection}/items",
    responses=problems(404) | {200: media_types(*FORMATS) | {"model": FeatureCollection}},
    response_model=None,
    response_class=GeoJson,
    summary="Regions or fields",
)
def items(
    request: Request,
    service: Serving,
    caller: Calling,
    collection: CollectionName,
    bbox: Bbox = None,
    datetime: Interval = None,
    filter: Filter = None,  # noqa: A002  # the standard's
    filter_lang: FilterLanguage = "cql2-text",  # noqa: ARG001  # there is one
    limit: Limit = 100,
    cursor: Cursor = None,
    f: FormatName = None,
) -> Response:
    """A page of features, by id; `next` leads to the page after it.

    `datetime` keeps fields whose current season, and regions whose monitored days, have a day of it.
    """
    kind = chosen_format(f, request.headers.get("accept", ""), FORMATS)
    chosen = _Chosen(_bbox(bbox), datetime, filter, limit, _after(cursor))
    table, last, matched = (_regions if collection == "regions" else _fields)(service, caller, chosen)
    path = request.scope["route"].path_format.replace("{collection}", collection)  # that of locations, too
    links = _links(request, path, kind, last)
    head = {"links": links, "numberReturned": table.num_rows}
    if chosen.after is None:
        head["numberMatched"] = matched
    body = b"".join(encoded(kind, table.schema, [table], head))
    tag = tag_of(body)
    return unchanged(request, tag) or whole(body, tag, dict(FORMATS)[kind], links, kind)


def _links(request: Request, path: str, kind: str, last: str | None) -> list[dict[str, Any]]:
    """Links to the page itself, to it in the other formats, and to the next one."""
    given = {name: value for name, value in request.query_params.items() if name != "f"}

    def to(name: str, rel: str, **more: str) -> dict[str, Any]:
        f = None if name == GEOJSON[0] else name  # the default
        return {**link(request, path, rel, **given | more, f=f), "type": dict(FORMATS)[name]}

    links = [to(name, "self" if name == kind else "alternate") for name, _ in FORMATS]
    return links if last is None else [*links, to(kind, "next", cursor=_cursor(last))]


@router.get(
    "/collections/{collection}/items/{item:path}",
    responses=problems(404) | {200: media_types(GEOJSON) | {"model": Feature}},
    response_model=None,
    response_class=GeoJson,
    summary="One region or field",
)
def item(
    request: Request,
    service: Serving,
    caller: Calling,
    collection: CollectionName,
    item: Annotated[
        str,
        Path(description="Name of the region, or external id of the field.", max_length=200, examples=["north-forty"]),
    ],
) -> Response:
    """A feature."""
    chosen = _Chosen(None, None, None, 1, None)
    if collection == "regions":
        table = _regions(service, caller, chosen, item).features
    else:
        with service.reading() as connection:
            visible_field(service, connection, item, None, caller)
            index = service.indexes.get(connection)
        table = index.rows(index.positions([item]), caller.regions)
    if not table.num_rows:
        raise not_found(collection.removesuffix("s"), item, f"/collections/{collection}/items")
    links = [
        {**link(request, path_of("collections", collection, "items", item), "self"), "type": GEOJSON[1]},
        link(request, f"/collections/{collection}", "collection"),
    ]
    [body] = features(table, {"links": links})
    tag = tag_of(body)
    return unchanged(request, tag) or whole(body, tag, GEOJSON[1])


class _Chosen:
    """What a request for items asks for."""

    def __init__(
        self, bbox: Sequence[float] | None, datetime: str | None, filter_text: str | None, limit: int, after: str | None
    ) -> None:
        self.bbox, self.filter_text, self.limit, self.after = bbox, filter_text, limit, after
        self.first, self.last = interval_of(datetime)


class _Page(NamedTuple):
    """A page of features, the id that the next page comes after, if there is one, and how many there are from it on."""

    features: pa.Table
    last: str | None
    matched: int


def _fields(service: Service, caller: Caller, chosen: _Chosen) -> _Page:
    with service.reading() as connection:
        index = service.indexes.get(connection)
    ids = index.fields["external_id"]
    start = 0
    if chosen.after is not None:
        start = bisect_right(range(len(ids)), chosen.after, key=lambda i: ids[i].as_py())
    keep = index.seen(caller.regions)
    if chosen.first or chosen.last:
        keep &= in_season(index.fields, chosen.first, chosen.last).to_numpy(zero_copy_only=False)
    if chosen.filter_text is not None:
        keep &= matching(chosen.filter_text, index.fields).to_numpy(zero_copy_only=False)
    positions = start + np.flatnonzero(keep[start:])
    if chosen.bbox is not None:
        positions = index.within(chosen.bbox, positions)
    page = positions[: chosen.limit].tolist()
    last = ids[page[-1]].as_py() if len(positions) > chosen.limit else None
    return _Page(index.rows(page, caller.regions), last, len(positions))


_REGIONS = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("active", pa.bool_()),
        pa.field("monitored_from", pa.date32()),
        pa.field("monitored_until", pa.date32()),
        pa.field("algorithm_version", pa.string()),
        pa.field("geometry", pa.binary()),
    ]
)


def _regions(service: Service, caller: Caller, chosen: _Chosen, name: str | None = None) -> _Page:
    import shapely

    if chosen.filter_text is not None:
        raise wrong("filter", chosen.filter_text, "no filter for regions", "filter fields instead")
    with service.reading() as connection:
        found = sorted(visible_regions(connection, caller), key=lambda region: region.name)
    kept = []
    for region in found:
        until = region.monitored_until
        in_time = not (chosen.last and region.monitored_from > chosen.last) and not (
            chosen.first and until and until < chosen.first
        )
        if name in (None, region.name) and in_time and (chosen.after is None or region.name > chosen.after):
            kept.append(region)
    if chosen.bbox is not None:
        west, south, east, north = chosen.bbox
        spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        boxes = shapely.union_all([shapely.box(w, south, e, north) for w, e in spans])
        kept = [region for region in kept if shapely.intersects(shapely.from_wkb(region.geometry), boxes)]
    page = kept[: chosen.limit]
    rows = [{column: getattr(region, column) for column in _REGIONS.names} for region in page]
    last = page[-1].name if len(kept) > chosen.limit else None
    return _Page(pa.Table.from_pylist(rows, _REGIONS), last, len(kept))


def _bbox(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise wrong("bbox", text, _BBOX) from None
    if len(numbers) == 6:
        numbers = [numbers[i] for i in (0, 1, 3, 4)]
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise wrong("bbox", text, _BBOX)
    west, south, east, north = numbers
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise wrong("bbox", text, _BBOX, "longitudes from -180 to 180, latitudes from -90 to 90, south first")
    return numbers


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode().rstrip("=")


def _after(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        after = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if isinstance(after, str):
            return after
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise wrong("cursor", cursor, "the cursor of a link `next`", "begin without a cursor")
