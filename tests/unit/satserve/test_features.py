"""Boundaries as features: pages, rectangles, seasons, filters."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import geopandas
import pytest

from tests.unit.satserve.serving import SQUARES, Served

ITEMS = "/collections/fields/items"
ALL = sorted(SQUARES)


def ids(service: Served, **parameters: Any) -> list[str]:
    return [each["id"] for each in service.json(ITEMS, **parameters)["features"]]


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 10_000])
def test_pages_have_every_field_once_and_in_order(service: Served, limit: int) -> None:
    found, given = [], {"limit": limit}
    while True:
        page = service.json(ITEMS, **given)
        assert len(page["features"]) <= limit
        found += [each["id"] for each in page["features"]]
        following = [each["href"] for each in page["links"] if each["rel"] == "next"]
        if not following:
            break
        given = {name: values[0] for name, values in parse_qs(urlsplit(following[0]).query).items()}

    assert found == ALL


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"bbox": "-94.2,40.4,-94.19,40.41"}, ["=1+1"]),
        ({"bbox": "-94.18,40.42,-94.18,40.42"}, ["=1+1"]),  # its corner
        ({"bbox": "-94.0,40.3,-93.7,40.6"}, ["border", "far"]),
        ({"bbox": "170,40,-94.19,41"}, ["=1+1", "north"]),  # across 180 degrees
        ({"bbox": "0,0,1,1"}, []),
        ({"datetime": "2025-04-30"}, []),
        ({"datetime": "2025-05-01"}, ALL),
        ({"datetime": "../2025-05-01"}, ALL),
        ({"datetime": "2025-05-01T00:00:00Z/.."}, ALL),
        ({"filter": "external_id = 'far'"}, ["far"]),
        ({"filter": "'far' = external_id OR name LIKE 'field n%'"}, ["far", "north"]),
        ({"filter": "external_id IN ('far', 'border') AND NOT external_id = 'far'"}, ["border"]),
        ({"filter": "planting_date > DATE('2025-04-30') AND area_ha BETWEEN 1 AND 1000 AND active = TRUE"}, ALL),
        ({"filter": "season_end IS NULL AND 10000 < area_ha"}, []),
        ({"filter": "season_end < DATE('2030-01-01')"}, []),  # nothing is not less
        ({"filter": "NOT season_end < DATE('2030-01-01')"}, []),  # nor the contrary
        ({"filter": "external_id = 'a/b ü'"}, ["a/b ü"]),
    ],
)
def test_what_is_asked_for_is_found(on_sqlite: Served, given: dict[str, str], found: list[str]) -> None:
    assert ids(on_sqlite, **given) == found


def test_flatgeobuf_has_the_same_fields(on_sqlite: Served) -> None:
    response = on_sqlite.get(ITEMS, headers={"accept": "application/vnd.flatgeobuf"})

    frame = geopandas.read_file(io.BytesIO(response.content))
    assert sorted(frame["external_id"]) == ALL
    features = {each["id"]: each for each in on_sqlite.json(ITEMS)["features"]}
    areas = dict(zip(frame["external_id"], frame["area_ha"], strict=True))
    assert areas == {name: each["properties"]["area_ha"] for name, each in features.items()}


def test_a_format_that_there_is_not_is_refused_and_a_browser_gets_the_first(on_sqlite: Served) -> None:
    assert on_sqlite.get(ITEMS, headers={"accept": "application/pdf"}).status_code == 406
    assert (
        on_sqlite.get(ITEMS, headers={"accept": "text/html,*/*;q=0.8"}).headers["content-type"]
        == "application/geo+json"
    )


def test_the_collections_lead_to_what_they_name(on_sqlite: Served) -> None:
    seen, waiting = set(), ["/"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.startswith("/"):
            continue
        seen.add(path)
        response = on_sqlite.get(path)
        assert response.status_code == 200, path
        if "json" in response.headers["content-type"] and path != "/openapi.json":
            waiting += [link["href"] for link in _links(response.json())]

    paths = {path.partition("?")[0] for path in seen}
    assert {"/conformance", ITEMS, "/collections/regions/items", "/collections/field_metrics/locations"} <= paths


def _links(value: Any) -> list[dict[str, str]]:
    if isinstance(value, dict):
        here = [value] if "href" in value else []
        return here + [link for each in value.values() for link in _links(each)]
    return [link for each in value for link in _links(each)] if isinstance(value, list) else []
