"""All items of a collection as one stac-geoparquet file: a row an item, its properties as columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import shapely

from satcommon.stac_out.rows_file import CORNERS, GEOMETRY, parquet

_INSTANTS = ("datetime", "start_datetime", "end_datetime", "created", "updated")


def encode_items(items: Sequence[Any], collection: Any) -> bytes:
    """The bytes of the file: the same for the same items.

    Args:
        items: at least one, all with the same properties.
        collection: theirs.
    """
    shapes = [shapely.from_geojson(json.dumps(item[GEOMETRY])) for item in items]
    table = pa.Table.from_pylist([_row(item, shape) for item, shape in zip(items, shapes, strict=True)])
    for name in _INSTANTS:
        times = pa.array([_time(item["properties"][name]) for item in items], pa.timestamp("ms", tz="UTC"))
        table = table.set_column(table.column_names.index(name), name, times)
    more = {"version": "1.1.0", "collections": {collection["id"]: collection}}
    return parquet(table, shapes, {"stac-geoparquet": json.dumps(more)})


def _row(item: Any, shape: shapely.Geometry) -> dict[str, Any]:
    top: dict[str, Any] = {name: item[name] for name in ("type", "stac_version", "stac_extensions", "id", "collection")}
    top |= {GEOMETRY: shapely.to_wkb(shape), "bbox": dict(zip(CORNERS, item["bbox"], strict=True))}
    return {**top, **item["properties"], "links": item["links"], "assets": item["assets"]}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
