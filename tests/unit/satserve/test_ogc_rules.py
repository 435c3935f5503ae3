"""The OGC standards that `/conformance` declares, rule by rule: each test names the requirements that it checks.

Sources: OGC 17-069r4 (Features 1: core, geojson), 19-079r2 (Features 3: queryables, filter, features-filter), 21-065r2
(CQL2: basic-cql2), 19-072 and 20-024 (Common 1 and 2), 19-086r6 (EDR 1.1: core, collections, geojson, covjson).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import geopandas
import pytest
from satserve.routes.landing import CONFORMS_TO

from tests.unit.satserve.serving import FIRST, LAST, SQUARES, Served

ITEMS, LOCATIONS = "/collections/fields/items", "/collections/field_metrics/locations"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
CLASSES = {
    "ogcapi-common-1/1.0/conf/core": "http query-param-invalid",
    "ogcapi-common-2/1.0/conf/collections": "rc-md-op rc-md-success src-md-op src-md-success",
    "ogcapi-features-1/1.0/conf/core": (
        "root-op root-success api-definition-op api-definition-success conformance-op conformance-success http "
        "query-param-unknown query-param-invalid crs84 fc-md-op fc-md-success fc-md-links fc-md-items "
        "fc-md-items-links fc-md-extent sfc-md-op sfc-md-success fc-op fc-limit-definition fc-limit-response-1 "
        "fc-bbox-definition fc-bbox-response fc-time-definition fc-time-response fc-response fc-links fc-rel-type "
        "fc-timeStamp fc-numberMatched fc-numberReturned f-op f-success f-links"
    ),
    "ogcapi-features-1/1.0/conf/geojson": "definition content",
    "ogcapi-features-3/1.0/conf/queryables": "queryables-link get-queryables-op get-queryables-response",
    "ogcapi-features-3/1.0/conf/filter": "filter-param filter-lang-param mixing-expressions response",
    "ogcapi-features-3/1.0/conf/features-filter": "filter-param",
    "cql2/1.0/conf/basic-cql2": "cql2-filter property binary-comparison-predicate null-predicate",
    "ogcapi-edr-1/1.1/conf/core": "root-success conformance-success rc-collection-info-links rc-extent http",
    "ogcapi-edr-1/1.1/conf/collections": (
        "rc-md-success src-md-success rc-collection-info rc-common-variables rc-parameters rc-locations "
        "rc-parameters-response rc-time-response rc-bbox-response rc-f-response"
    ),
    "ogcapi-edr-1/1.1/conf/geojson": "definition content",
    "ogcapi-edr-1/1.1/conf/covjson": "definition content",
}
"""The requirements of each declared class; those that have a condition which does not hold here are left out."""
CHECKED: set[tuple[str, str]] = set()
Test = TypeVar("Test", bound=Callable[..., None])


def rule(conformance: str, *requirements: str) -> Callable[[Test], Test]:
    """The requirements of a class that a test checks."""
    assert f"{conformance}" in CLASSES, conformance
    assert set(requirements) <= set(CLASSES[conformance].split()), requirements
    CHECKED.update((conformance, requirement) for requirement in requirements)
    return lambda test: test


CORE, GEOJSON = "ogcapi-features-1/1.0/conf/core", "ogcapi-features-1/1.0/conf/geojson"
QUERYABLES, FILTER = "ogcapi-features-3/1.0/conf/queryables", "ogcapi-features-3/1.0/conf/filter"
FEATURES_FILTER, CQL2 = "ogcapi-features-3/1.0/conf/features-filter", "cql2/1.0/conf/basic-cql2"
COMMON, COMMON_2 = "ogcapi-common-1/1.0/conf/core", "ogcapi-common-2/1.0/conf/collections"
EDR, EDR_COLLECTIONS = "ogcapi-edr-1/1.1/conf/core", "ogcapi-edr-1/1.1/conf/collections"
EDR_GEOJSON, EDR_COVERAGE = "ogcapi-edr-1/1.1/conf/geojson", "ogcapi-edr-1/1.1/conf/covjson"


def links(document: dict[str, Any], rel: str) -> list[dict[str, str]]:
    return [link for link in document["links"] if link["rel"] == rel]


def parameter(service: Served, path: str, name: str) -> dict[str, Any]:
    given = service.json("/openapi.json")["paths"][path]["get"]["parameters"]
    [found] = [each for each in given if each["name"] == name and each["in"] == "query"]
    assert not found["required"]
    return dict(found)


def names(service: Served, **given: Any) -> set[str]:
    return {feature["id"] for feature in service.json(ITEMS, **given)["features"]}


def collections(service: Served) -> Iterator[dict[str, Any]]:
    yield from service.json("/collections")["collections"]


def test_each_declared_class_is_checked_and_each_of_its_requirements() -> None:
    assert {f"http://www.opengis.net/spec/{name}" for name in CLASSES} == set(CONFORMS_TO)
    assert {(name, each) for name, told in CLASSES.items() for each in told.split()} == CHECKED


@rule(CORE, "root-op", "root-success", "api-definition-op", "api-definition-success")
@rule(EDR, "root-success")
def test_the_landing_page_leads_to_definition_conformance_and_collections(on_sqlite: Served) -> None:
    root = on_sqlite.json("/")

    for rel in ("service-desc", "conformance", "data"):
        [link] = links(root, rel)
        response = on_sqlite.get(link["href"])
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] in (link["type"].split(";")[0], "application/json")


@rule(CORE, "conformance-op", "conformance-success")
@rule(EDR, "conformance-success")
def test_conformance_is_declared_and_nothing_that_does_not_hold(on_sqlite: Served) -> None:
    declared = on_sqlite.json("/conformance")["conformsTo"]

    assert declared == list(CONFORMS_TO)
    assert on_sqlite.json("/openapi.json")["openapi"].startswith("3.1")
    assert not [each for each in declared if each.endswith("oas30")]  # which is OpenAPI 3.0
    assert on_sqlite.get(ITEMS, filter=r"name = 'it\'s'").status_code == 400
    assert not [each for each in declared if each.endswith("cql2-text")]  # whose escapes the parser does not know


@rule(CORE, "http")
@rule(COMMON, "http")
@rule(EDR, "http")
def test_http_is_1_1_and_head_is_answered(on_sqlite: Served) -> None:
    response = on_sqlite.get("/")

    assert response.raw.version == 11
    assert on_sqlite.get("/nowhere").status_code == 404
    assert on_sqlite.get("/", headers={"accept": "application/json"}).status_code == 200


@rule(CORE, "query-param-unknown", "query-param-invalid")
@rule(COMMON, "query-param-invalid")
@pytest.mark.parametrize("path", ["/", "/collections", "/collections/fields", ITEMS, f"{ITEMS}/north", LOCATIONS])
def test_a_parameter_that_there_is_not_is_refused_by_name(on_sqlite: Served, path: str) -> None:
    response = on_sqlite.get(path, colour="red")

    assert response.status_code == 400
    assert response.json()["parameter"] == "colour"
    assert on_sqlite.get(ITEMS, limit="many").status_code == 400


@rule(CORE, "fc-md-op", "fc-md-success", "fc-md-links", "fc-md-items", "fc-md-items-links", "fc-md-extent", "crs84")
@rule(CORE, "sfc-md-op", "sfc-md-success")
@rule(COMMON_2, "rc-md-op", "rc-md-success", "src-md-op", "src-md-success")
@rule(EDR_COLLECTIONS, "rc-md-success", "src-md-success")
@rule(EDR, "rc-extent")
def test_each_collection_is_told_the_same_alone_with_extent_and_items_of_each_format(on_sqlite: Served) -> None:
    assert links(on_sqlite.json("/collections"), "self")[0]["type"] == "application/json"
    for collection in collections(on_sqlite):
        assert on_sqlite.json(f"/collections/{collection['id']}") == collection
        [[west, south, east, north]] = collection["extent"]["spatial"]["bbox"]
        assert (west, south, east, north) == (-94.3, 40.3, -93.7, 40.6)
        assert collection["extent"]["spatial"]["crs"] == CRS84
        assert collection["extent"]["temporal"]["interval"] == [[f"{FIRST}T00:00:00Z", None]]
        assert CRS84 in collection["crs"]
        assert all(link["type"] and link["rel"] for link in collection["links"])
        if collection["id"] != "field_metrics":
            formats = {link["type"] for link in links(collection, "items")}
            assert formats == {"application/geo+json", "application/vnd.flatgeobuf"}
            assert all(on_sqlite.get(link["href"]).status_code == 200 for link in links(collection, "items"))


@rule(CORE, "fc-op", "fc-response", "fc-limit-definition", "fc-limit-response-1", "fc-numberReturned")
@rule(CORE, "fc-timeStamp", "fc-numberMatched")
def test_limit_bounds_a_page(on_sqlite: Served) -> None:
    schema = parameter(on_sqlite, "/collections/{collection}/items", "limit")["schema"]

    assert (schema["type"], schema["minimum"], schema["maximum"], schema["default"]) == ("integer", 1, 10_000, 100)
    for limit in (1, 3, 10_000):
        page = on_sqlite.json(ITEMS, limit=limit)
        assert len(page["features"]) == page["numberReturned"] == min(limit, len(SQUARES))
        assert bool(links(page, "next")) == (limit < len(SQUARES))
        assert page["numberMatched"] == len(SQUARES)
        assert "timeStamp" not in page  # which may be left out
        for following in links(page, "next"):
            assert "numberMatched" not in on_sqlite.get(following["href"]).json()  # this, too


@rule(CORE, "fc-bbox-definition", "fc-bbox-response")
@rule(EDR_COLLECTIONS, "rc-bbox-response")
def test_bbox_chooses_what_meets_it(on_sqlite: Served) -> None:
    told = parameter(on_sqlite, "/collections/{collection}/items", "bbox")

    assert (told["style"], told["explode"]) == ("form", False)
    assert told["schema"] == {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6}
    assert names(on_sqlite, bbox="-93.9,40.3,-93.7,40.6") == {"far"}
    assert names(on_sqlite, bbox="-93.9,40.3,0,-93.7,40.6,100") == {"far"}
    found = on_sqlite.json(LOCATIONS, bbox="-93.9,40.3,-93.7,40.6")["features"]
    assert [feature["id"] for feature in found] == ["far"]


@rule(CORE, "fc-time-definition", "fc-time-response")
def test_datetime_chooses_by_the_day_of_an_instant_or_an_interval(on_sqlite: Served) -> None:
    assert parameter(on_sqlite, "/collections/{collection}/items", "datetime")["schema"]["type"] == "string"
    for given in ("2025-06-01T12:00:00Z", "2025-06-01/2025-06-02", "../2025-06-01", "2025-06-01T00:00:00Z/.."):
        assert names(on_sqlite, datetime=given) == set(SQUARES)
    for given in ("2025-04-30T12:00:00Z", "../2025-04-30", "/2025-04-30"):
        assert names(on_sqlite, datetime=given) == set()


@rule(CORE, "fc-links", "fc-rel-type")
@rule(GEOJSON, "definition", "content")
@rule(EDR_GEOJSON, "definition", "content")
@pytest.mark.parametrize("path", [ITEMS, "/collections/regions/items", LOCATIONS])
def test_a_page_links_to_itself_and_its_other_formats(on_sqlite: Served, path: str) -> None:
    page = on_sqlite.json(path, limit=1, bbox="-95,40,-93,41")

    [own], [other] = links(page, "self"), links(page, "alternate")
    assert page["type"] == "FeatureCollection"
    assert on_sqlite.json(own["href"]) == page
    response = on_sqlite.get(other["href"])
    assert (response.headers["content-type"], other["type"]) == ("application/vnd.flatgeobuf",) * 2
    assert len(geopandas.read_file(io.BytesIO(response.content))) == 1
    assert all(link["type"] for link in page["links"])


@rule(CORE, "f-op", "f-success", "f-links")
def test_a_feature_is_told_as_in_its_page_and_links_to_its_collection(on_sqlite: Served) -> None:
    for feature in on_sqlite.json(ITEMS)["features"]:
        alone = on_sqlite.json(f"{ITEMS}/{feature['id'].replace('/', '%2F')}")
        assert {name: alone[name] for name in feature} == feature
        [own], [collection] = links(alone, "self"), links(alone, "collection")
        assert on_sqlite.json(own["href"]) == alone
        assert on_sqlite.json(collection["href"])["id"] == "fields"
        assert own["type"] == "application/geo+json"
        assert collection["type"] == "application/json"


@rule(QUERYABLES, "queryables-link", "get-queryables-op", "get-queryables-response")
def test_the_queryables_are_a_json_schema_of_what_filters_may_name(on_sqlite: Served) -> None:
    [link] = links(on_sqlite.json("/collections/fields"), "http://www.opengis.net/def/rel/ogc/1.0/queryables")
    response = on_sqlite.get(link["href"])

    schema = response.json()
    assert response.headers["content-type"] == "application/schema+json"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == link["href"]
    assert schema["type"] == "object"
    for name in schema["properties"]:
        assert on_sqlite.get(ITEMS, filter=f"{name} IS NULL").status_code == 200


@rule(FILTER, "filter-param", "filter-lang-param", "mixing-expressions", "response")
@rule(FEATURES_FILTER, "filter-param")
def test_a_filter_and_the_other_parameters_hold_together(on_sqlite: Served) -> None:
    language = parameter(on_sqlite, "/collections/{collection}/items", "filter-lang")["schema"]
    chosen = "external_id <> 'north'"

    assert parameter(on_sqlite, "/collections/{collection}/items", "filter")["schema"]["type"] == "string"
    assert (language["enum"], language["default"]) == (["cql2-text"], "cql2-text")
    assert names(on_sqlite, filter=chosen, filter_lang="cql2-text") == set(SQUARES) - {"north"}
    assert names(on_sqlite, filter=chosen, bbox="-94.3,40.5,-94.0,40.6") == set()
    assert on_sqlite.get(ITEMS, filter=chosen, filter_lang="cql2-json").status_code == 400


@rule(CQL2, "cql2-filter", "property", "binary-comparison-predicate", "null-predicate")
@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("external_id = 'far'", {"far"}),
        ("external_id <> 'far'", set(SQUARES) - {"far"}),
        ("external_id < 'b'", {"=1+1", "a/b ü"}),
        ("external_id >= 'far' AND external_id <= 'north'", {"far", "north"}),
        ("external_id > 'far'", {"north"}),
        ("planting_date = DATE('2025-05-01')", set(SQUARES)),
        ("area_ha > 1.0e1 AND area_ha < 1e6", set(SQUARES)),
        ("active = TRUE", set(SQUARES)),
        ("season_end IS NULL", set(SQUARES)),
        ("season_end IS NOT NULL", set()),
        ("season_end = DATE('2025-09-01') OR NOT (external_id = 'far')", set(SQUARES) - {"far"}),
        ("name = 'it''s'", set()),
    ],
)
def test_conditions_are_what_the_language_says(on_sqlite: Served, condition: str, found: set[str]) -> None:
    assert names(on_sqlite, filter=condition) == found


@rule(EDR, "rc-collection-info-links")
@rule(EDR_COLLECTIONS, "rc-collection-info", "rc-common-variables", "rc-parameters")
def test_each_collection_tells_its_queries_formats_and_parameters(on_sqlite: Served) -> None:
    told = list(collections(on_sqlite))

    assert len({collection["id"] for collection in told}) == len(told) == 3
    for collection in told:
        assert links(collection, "self")
        [(query, found)] = collection["data_queries"].items()
        variables = found["link"]["variables"]
        assert on_sqlite.get(found["link"]["href"]).status_code == 200
        assert variables["query_type"] == query
        assert variables["default_output_format"] in collection["output_formats"] == variables["output_formats"]
        for each in collection["parameter_names"].values():
            assert each["type"] == "Parameter"
            assert each["observedProperty"].keys() >= {"id", "label"}
            assert "unit" not in each or each["unit"].keys() & {"label", "symbol"}
    assert "ndvi_mean" in told[-1]["parameter_names"]


@rule(EDR_COLLECTIONS, "rc-locations", "rc-parameters-response", "rc-time-response", "rc-f-response")
@rule(EDR_COVERAGE, "definition", "content")
def test_a_location_of_the_list_gives_the_parameters_and_days_that_are_asked_for(on_sqlite: Served) -> None:
    listed = on_sqlite.json(LOCATIONS)["features"]
    response = on_sqlite.get(f"{LOCATIONS}/north", parameter_name="ndvi_mean", datetime=f"{LAST}/..", f="CoverageJSON")

    assert {feature["id"] for feature in listed} == set(SQUARES)
    assert all(feature["geometry"]["type"] in ("Polygon", "MultiPolygon") for feature in listed)
    assert response.headers["content-type"] == "application/prs.coverage+json"
    assert response.json()["domain"]["axes"]["t"]["values"] == [str(LAST)]
    assert response.json()["ranges"].keys() == {"ndvi_mean", "final", "state_as_of"}
    assert on_sqlite.get(f"{LOCATIONS}/north", parameter_name="nothing").status_code == 400
    assert on_sqlite.get(f"{LOCATIONS}/north", f="netcdf").status_code == 400
    assert on_sqlite.get(f"{LOCATIONS}/nowhere").status_code == 404
