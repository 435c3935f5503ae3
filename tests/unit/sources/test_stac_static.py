"""A static catalogue and a file of stac-geoparquet give what an API gives."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rustac
from satcommon.errors import CatalogueError
from satcommon.geo.grid import Bounds
from satcommon.sources.source import Listing
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_listed import is_within, lies_over

from tests.unit.geotiffs import AOI, FIRST, LAST, NOW
from tests.unit.stac_catalogue import Files, collection, item, source


def linked(folder: Path, items: list[dict[str, Any]]) -> Path:
    """A catalog of a catalog of a collection of items, each in a file."""
    for each in items:
        path = folder / "s2" / each["id"] / "item.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        assets = {
            key: asset | {"href": os.path.relpath(asset["href"], path.parent)} for key, asset in each["assets"].items()
        }
        path.write_text(json.dumps(each | {"assets": assets}))
    links = [{"rel": "item", "href": f"./{each['id']}/item.json"} for each in items]
    up = {"rel": "parent", "href": "../catalog.json"}
    (folder / "s2" / "collection.json").write_text(json.dumps(collection() | {"links": [up, *links]}))
    catalog = {"type": "Catalog", "id": "all", "stac_version": "1.0.0", "description": "all"}
    child = {"rel": "child", "href": "s2/collection.json"}
    (folder / "catalog.json").write_text(json.dumps(catalog | {"links": [child, child]}))
    return folder / "catalog.json"


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "files"
    of_days = [
        item(folder, str(folder), f"S2B_T33TVL_201601{day:02}T101243_L2A", sensed=f"2016-01-{day:02}T10:12:43Z")
        for day in (7, 9)
    ]
    elsewhere = of_days[0] | {"id": "elsewhere", "bbox": [100.0, 10.0, 101.0, 11.0]}
    other = of_days[0] | {"id": "other", "collection": "another"}
    return [*of_days, elsewhere, other]


async def _write(path: Path, items: list[dict[str, Any]]) -> None:
    await rustac.write(str(path), items)


def listed(source: StacSource) -> Listing:
    return source.list(AOI, FIRST, LAST, NOW)


@pytest.fixture(params=["folder", "parquet"])
def stac(request: pytest.FixtureRequest, tmp_path: Path, items: list[dict[str, Any]]) -> Iterator[StacSource]:
    if request.param == "folder":
        yield source("", catalogue=str(linked(tmp_path / "catalogue", items)))
    else:
        path = tmp_path / "items.parquet"
        asyncio.run(_write(path, items))
        yield source("", items=str(path))


def test_the_items_over_the_region_are_listed_and_read(
    stac: StacSource, items: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "all.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    expected = listed(source("", catalogue=str(tmp_path / "all.json")))

    found = listed(stac)

    assert [day.day for day in sorted(found.acquisitions)] == [7, 9]
    assert found.refused == {}
    assert found.acquisitions == expected.acquisitions
    ((first, *rest), *_) = found.acquisitions.values()
    assert not rest
    assert stac.read(AOI, first).bands["red"].all()
    assert stac.anchor_grid(AOI.bounds)


def test_a_catalogue_at_an_address_is_read_as_one_in_a_folder(items: list[dict[str, Any]], tmp_path: Path) -> None:
    linked(tmp_path / "catalogue", items)
    files = Files(tmp_path)
    with files.served() as url:
        there = source("", catalogue=f"{url}/catalogue/catalog.json")
        ((first,), _) = (each for _, each in sorted(listed(there).acquisitions.items()))

        assert there.read(AOI, first).bands["red"].all()


def test_a_catalogue_that_lacks_a_file_gives_no_answer(items: list[dict[str, Any]], tmp_path: Path) -> None:
    root = linked(tmp_path / "catalogue", items)
    (tmp_path / "catalogue" / "s2" / items[1]["id"] / "item.json").unlink()

    with pytest.raises(CatalogueError, match=r"item\.json: can't be read \(No such file or directory\)"):
        listed(source("", catalogue=str(root)))


def test_a_catalogue_with_half_a_file_gives_no_answer(items: list[dict[str, Any]], tmp_path: Path) -> None:
    root = linked(tmp_path / "catalogue", items)
    path = tmp_path / "catalogue" / "s2" / items[1]["id"] / "item.json"
    path.write_text(path.read_text()[:200])

    with pytest.raises(CatalogueError, match=r"item\.json: is no JSON"):
        listed(source("", catalogue=str(root)))


@pytest.mark.parametrize("content", [b"no parquet", None])
def test_a_file_that_is_no_parquet_gives_no_answer(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CatalogueError, match=r"items\.parquet: can't be read as Parquet"):
        listed(source("", items=str(path)))


def test_an_item_that_crosses_the_antimeridian_lies_over_both_sides() -> None:
    across = {"bbox": [179.0, 10.0, -179.0, 11.0]}

    assert lies_over(across, Bounds(-179.5, 10.2, -179.2, 10.4))
    assert lies_over(across, Bounds(179.2, 10.2, 179.5, 10.4))
    assert not lies_over(across, Bounds(0.0, 10.2, 1.0, 10.4))


def test_an_item_whose_time_has_no_zone_may_be_of_any_span_wherever_the_clock_stands() -> None:
    first, last = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)

    assert is_within({"properties": {"datetime": "2026-05-03T01:00:00"}}, first, last)
    assert not is_within({"properties": {"datetime": "2026-05-03T01:00:00Z"}}, first, last)
