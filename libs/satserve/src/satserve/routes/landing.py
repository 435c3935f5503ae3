"""The landing page, what it conforms to, and the collections."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from satcommon.db.registry import aoi_of
from satcommon.stats.result_rows import VALUES
from starlette.responses import Response

from satserve.caller import Calling
from satserve.encodings import COVERAGE, FLATGEOBUF, GEOJSON
from satserve.problem import not_found
from satserve.routes.columns import parameters
from satserve.routes.responses import Link, document, link, problems
from satserve.service import Serving, visible_regions

router = APIRouter(tags=["Discovery"])

CONFORMS_TO = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
    "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/core",
    "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/collections",
    "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/covjson",
)
_TITLES = {
    "regions": ("Regions", "The rectangles that are watched."),
    "fields": ("Fields", "The fields, each with its latest polygon and its current season."),
    "field_metrics": ("Field metrics", "A row of numbers for each field and day: locations are fields."),
}


class Landing(BaseModel):
    """The landing page."""

    title: str
    description: str
    links: list[Link]


class Conformance(BaseModel):
    """What the service conforms to."""

    conformsTo: list[str] = Field(description="the conformance classes", examples=[[CONFORMS_TO[2]]])  # noqa: N815  # the standard's


class Collection(BaseModel):
    """A collection."""

    id: str = Field(examples=["fields"])
    title: str
    description: str
    extent: dict[str, Any] = Field(description="its rectangle, and its days")
    crs: list[str]
    links: list[Link]
    itemType: str | None = None  # noqa: N815  # the standard's
    data_queries: dict[str, Any] | None = None
    parameter_names: dict[str, Any] | None = None
    output_formats: list[str] | None = None


class Collections(BaseModel):
    """The collections."""

    collections: list[Collection]
    links: list[Link]


@router.get("/", response_model=Landing, responses=problems(), summary="Landing page")
def landing(request: Request, caller: Calling) -> Response:  # noqa: ARG001  # who has no key is told so
    """Where everything is."""
    links = [
        link(request, "/", "self"),
        {
            **link(request, "/openapi.json", "service-desc", "OpenAPI"),
            "type": "application/vnd.oai.openapi+json;version=3.1",
        },
        link(request, "/conformance", "conformance"),
        link(request, "/collections", "data"),
        link(request, "/regions", "related", "what is closed, missed and corrected"),
        link(request, "/columns", "describedby", "what the columns of rows are"),
        link(request, "/changes", "related", "what corrections changed"),
    ]
    about = "A row of numbers for each field and day, with late data exactly right."
    return document(request, {"title": "Satfields", "description": about, "links": links})


@router.get("/conformance", response_model=Conformance, responses=problems(), summary="Conformance")
def conformance(request: Request, caller: Calling) -> Response:  # noqa: ARG001  # likewise
    """The standards that this service conforms to."""
    return document(request, {"conformsTo": CONFORMS_TO})


@router.get("/collections", response_model=Collections, responses=problems(), summary="Collections")
def collections(request: Request, service: Serving, caller: Calling) -> Response:
    """The collections: regions and fields as features, and field_metrics as series (EDR)."""
    extent = _extent(service, caller)
    told = [_collection(request, name, extent) for name in _TITLES]
    return document(request, {"collections": told, "links": [link(request, "/collections", "self")]})


@router.get("/collections/{collection}", response_model=Collection, responses=problems(404), summary="One collection")
def collection(
    request: Request,
    service: Serving,
    caller: Calling,
    collection: Annotated[
        str, Path(description="regions, fields or field_metrics.", max_length=60, examples=["fields"])
    ],
) -> Response:
    """A collection: its extent, and where its items or locations are."""
    if collection not in _TITLES:
        raise not_found("collection", collection, "/collections")
    return document(request, _collection(request, collection, _extent(service, caller)))


def _extent(service: Serving, caller: Calling) -> dict[str, Any]:
    with service.reading() as connection:
        regions = visible_regions(connection, caller)
    bounds = [aoi_of(region).bounds for region in regions]
    edges = [[b.west, b.south, b.east, b.north] for b in bounds] or [[-180.0, -90.0, 180.0, 90.0]]
    crosses = any(west > east for west, _, east, _ in edges)
    whole = [min(e[0] for e in edges), min(e[1] for e in edges), max(e[2] for e in edges), max(e[3] for e in edges)]
    if crosses:
        whole[0], whole[2] = -180.0, 180.0
    first = min((region.monitored_from for region in regions), default=None)
    interval = [f"{first}T00:00:00Z" if first else None, None]
    return {
        "spatial": {"bbox": [whole], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"},
        "temporal": {"interval": [interval], "trs": "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"},
    }


def _collection(request: Request, name: str, extent: dict[str, Any]) -> dict[str, Any]:
    title, description = _TITLES[name]
    base = f"/collections/{name}"
    told: dict[str, Any] = {"id": name, "title": title, "description": description, "extent": extent}
    told["crs"] = ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"]
    links = [link(request, base, "self")]
    if name == "field_metrics":
        where = link(request, f"{base}/locations", "data")
        told["links"] = [*links, where]
        formats = [COVERAGE[0], "json", "csv", "parquet", "arrow"]
        variables = {"query_type": "locations", "output_formats": formats, "default_output_format": COVERAGE[0]}
        told["data_queries"] = {"locations": {"link": {**where, "variables": variables}}}
        told["output_formats"] = formats
        told["parameter_names"] = parameters(VALUES)
        return told
    told["itemType"] = "feature"
    items = [
        {**link(request, f"{base}/items", "items"), "type": GEOJSON[1]},
        {**link(request, f"{base}/items", "items", f=FLATGEOBUF[0]), "type": FLATGEOBUF[1]},
    ]
    told["links"] = [*links, *items]
    formats = [GEOJSON[0], FLATGEOBUF[0]]
    variables = {"query_type": "items", "output_formats": formats, "default_output_format": GEOJSON[0]}
    told["data_queries"] = {"items": {"link": {**items[0], "variables": variables}}}
    told["output_formats"], told["parameter_names"] = formats, {}  # features have no parameters
    if name == "fields":
        queryables = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
        told["links"].append({**link(request, f"{base}/queryables", queryables), "type": "application/schema+json"})
    return told
