"""The documents of the catalogue: an item a region-day, a collection a region, and the root. STAC 1.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from satcommon.db.registry import aoi_of
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_noon
from satcommon.stac_out.options import (
    COLLECTION,
    ITEM,
    ITEMS,
    PICTURE,
    ROOT,
    ROWS,
    Options,
    collection_id,
    item_key,
    link,
)
from satcommon.stac_out.rows_file import GEOMETRY, meaning_of_column
from satcommon.stac_out.snapshot import PublishedDay, RegionSnapshot

_VERSION = "1.1.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/table/v1.2.0/schema.json",
    "https://stac-extensions.github.io/version/v1.2.0/schema.json",
)
_PARQUET = "application/vnd.apache.parquet"
_ASSETS: Mapping[str, dict[str, Any]] = {
    "rows": {"type": _PARQUET, "title": "Rows of all fields, with their polygons", "roles": ["data"]},
    "thumbnail": {"type": "image/png", "title": "NDVI", "roles": ["thumbnail"]},
}
# What an item has, of what a collection and the file of all items take.
_MEMBERS = {"type", "stac_version", "stac_extensions", "id", "collection", GEOMETRY, "bbox", "links", "assets"}
_PROPERTIES = {"title", "datetime", "start_datetime", "end_datetime", "created", "updated"} | {
    "satfields:day",
    "satfields:final",
    "satfields:observed_fields",
    "table:row_count",
    "table:columns",
}
_HALF_A_DAY = timedelta(hours=12)


def item(snapshot: RegionSnapshot, day: PublishedDay, rows: pa.Table, options: Options, *, picture: bool) -> Any:
    """The item of a region's day.

    `datetime` is when the scene was sensed; without one it is null. `updated` moves with the values of the day;
    `satfields:final` can change without it.

    Args:
        snapshot: of the region.
        day: the day.
        rows: what its file holds.
        options: of the catalogue.
        picture: whether it has one.
    """
    name = snapshot.region.name
    bounds, collection = aoi_of(snapshot.region).bounds, collection_id(name)
    assets = {"rows": {"href": f"./{ROWS}", **_ASSETS["rows"]}}
    if picture:
        assets["thumbnail"] = {"href": f"./{PICTURE}", **_ASSETS["thumbnail"]}
    start, end = _solar_day(day.day, bounds)
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": f"{collection}_{day.day}",
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [_ring(bounds)]},
        "bbox": list(bounds),
        "properties": {
            "title": f"{name}, {day.day}",
            "datetime": None if day.scene is None else instant(day.scene.sensed_at),
            "start_datetime": instant(start),
            "end_datetime": instant(end),
            "created": instant(day.created),
            "updated": instant(day.updated),
            "version": str(day.version),
            "satfields:region": name,
            "satfields:day": str(day.day),
            "satfields:final": bool(pc.all(rows["final"]).as_py()),
            "satfields:observed_fields": rows.num_rows - rows["ndvi_mean"].null_count,
            "table:row_count": rows.num_rows,
            "table:primary_geometry": GEOMETRY,
            "table:columns": [_column(each) for each in rows.schema],
        },
        "links": [
            *options.self_links(item_key(collection, day.day)),
            link("root", f"../../{ROOT}"),
            link("parent", f"../{COLLECTION}"),
            link("collection", f"../{COLLECTION}"),
            *_to_api(options, f"/regions/{quote(name, safe='')}/days/{day.day}"),
        ],
        "assets": assets,
    }


def is_item(document: Mapping[str, Any]) -> bool:
    """Whether a document has what a collection takes of its items."""
    properties = document.get("properties")
    return isinstance(properties, dict) and _PROPERTIES.issubset(properties) and _MEMBERS.issubset(document)


def collection(snapshot: RegionSnapshot, items: Sequence[Any], options: Options) -> Any:
    """The collection of a region.

    Args:
        snapshot: of the region.
        items: all of them, by day; at least one.
        options: of the catalogue.
    """
    name, bounds, properties = snapshot.region.name, aoi_of(snapshot.region).bounds, [i["properties"] for i in items]
    own, through = collection_id(name), snapshot.final_through
    columns = {each["name"]: each for told in properties for each in told["table:columns"]}
    providers = [
        {"name": provider, **({} if url is None else {"url": url}), "roles": ["producer", "host"]}
        for provider, url in options.providers
    ]
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": own,
        "title": name,
        "description": f"Statistics of the agricultural fields of region {name}: a row a field and day.",
        "license": options.license,
        **({"providers": providers} if providers else {}),
        "extent": {
            "spatial": {"bbox": [list(bounds)]},
            "temporal": {"interval": [[properties[0]["start_datetime"], properties[-1]["end_datetime"]]]},
        },
        "summaries": {
            "table:row_count": _range(properties, "table:row_count"),
            "satfields:observed_fields": _range(properties, "satfields:observed_fields"),
            "satfields:final": sorted({told["satfields:final"] for told in properties}),
        },
        "item_assets": {key: asset for key, asset in _ASSETS.items() if any(key in each["assets"] for each in items)},
        "version": str(snapshot.sequence),
        "created": min(told["created"] for told in properties),
        "updated": instant(snapshot.updated),
        "satfields:watermark": str(snapshot.watermark),
        "satfields:final_through": None if through is None else str(through),
        "satfields:cursor": snapshot.cursor,
        "table:primary_geometry": GEOMETRY,
        "table:columns": list(columns.values()),
        "links": [
            *options.self_links(f"{own}/{COLLECTION}"),
            link("root", f"../{ROOT}"),
            link("parent", f"../{ROOT}"),
            *_to_api(options, f"/regions/{quote(name, safe='')}"),
            *(
                link("item", f"./{told['satfields:day']}/{ITEM}", "application/geo+json", told["title"])
                for told in properties
            ),
        ],
        "assets": {
            "items": {
                "href": f"./{ITEMS}",
                "type": _PARQUET,
                "title": "All items as stac-geoparquet",
                "roles": ["collection-mirror"],
            }
        },
    }


def root(titles: Mapping[str, str], options: Options) -> Any:
    """The root.

    Args:
        titles: of the collections, by id.
        options: of the catalogue.
    """
    return {
        "type": "Catalog",
        "stac_version": _VERSION,
        "id": "satfields",
        "title": "Satfields",
        "description": "Agricultural fields from space: a collection a region, an item a region and day.",
        "links": [
            *options.self_links(ROOT),
            link("root", f"./{ROOT}"),
            *(link("child", f"./{own}/{COLLECTION}", title=title) for own, title in sorted(titles.items())),
        ],
    }


def instant(at: datetime) -> str:
    """An instant as STAC has it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _solar_day(day: date, bounds: Bounds) -> tuple[datetime, datetime]:
    """The first and last millisecond of a solar day."""
    noon = solar_noon(day, bounds)
    return noon - _HALF_A_DAY, noon + _HALF_A_DAY - timedelta(milliseconds=1)


def _ring(bounds: Bounds) -> list[list[float]]:
    west, south, east, north = bounds
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _to_api(options: Options, path: str) -> list[dict[str, str]]:
    return [] if options.api is None else [link("alternate", options.api.rstrip("/") + path, title="In the HTTP API")]


def _range(properties: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    values = [told[name] for told in properties]
    return {"minimum": min(values), "maximum": max(values)}


def _column(column: pa.Field) -> dict[str, str]:
    meaning = meaning_of_column(column)
    unit = {} if meaning.unit is None else {"unit": meaning.unit}
    return {"name": column.name, "description": meaning.meaning, "type": str(column.type), **unit}
