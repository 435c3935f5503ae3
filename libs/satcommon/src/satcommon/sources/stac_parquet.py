"""A file of stac-geoparquet: a row an item, its properties as columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from satcommon.errors import CatalogueError
from satcommon.sources.stac_listed import ListedCatalogue, joined

if TYPE_CHECKING:
    from satcommon.sources.stac_config import StacConfig
    from satcommon.sources.stac_search import Item

_OF_ITEM = {"type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection"}


class ParquetCatalogue(ListedCatalogue):
    """The items of a file. Only rows of the configured collections are made into items.

    Args:
        path: of the file.
        config: of the source.
    """

    def __init__(self, path: str, config: StacConfig) -> None:
        self._path = path
        self._collections = [collection.id for collection in config.collections]

    def _items(self) -> list[Item]:
        try:
            names = [name for name in pq.read_schema(self._path).names if name != "geometry"]
            table = pq.read_table(self._path, columns=names)
        except (OSError, pa.ArrowException) as error:
            raise CatalogueError(
                f"{self._path}: can't be read as Parquet ({str(error)[:200]}); write it anew"
            ) from error
        if missing := {"id", "collection", "assets", "bbox"} - set(table.column_names):
            raise CatalogueError(
                f"{self._path}: has no column {', '.join(sorted(missing))}; write it with rustac or stac-geoparquet"
            )
        table = table.filter(pc.is_in(table["collection"], pa.array(self._collections)))
        items = [_item(row, str(Path(self._path).absolute())) for row in table.to_pylist()]
        if len({(item["collection"], item["id"]) for item in items}) < len(items):
            raise CatalogueError(f"{self._path}: has an item twice; remove one")
        return items


def _item(row: dict[str, Any], where: str) -> Item:
    box = row["bbox"]
    assets = row["assets"]
    assets = json.loads(assets) if isinstance(assets, str) else assets
    return {
        "id": row["id"],
        "collection": row["collection"],
        "bbox": [box[key] for key in ("xmin", "ymin", "xmax", "ymax")] if isinstance(box, dict) else box,
        "properties": _json_value({key: value for key, value in row.items() if key not in _OF_ITEM}),
        "assets": {
            key: {**_json_value(asset), "href": joined(where, asset["href"])}
            for key, asset in assets.items()
            if asset is not None and asset.get("href")
        },
    }


def _json_value(value: Any) -> Any:
    """A value as JSON has it: times as text, and without what other rows have and this one lacks."""
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value
