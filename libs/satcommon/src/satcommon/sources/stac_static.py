"""A static catalogue: JSON files that link each other, in a folder or at an address; and one item collection.

It has no search: each search reads all of it, so that what was added, changed or removed counts. Where that takes too
long, write it as stac-geoparquet (see the module `stac_parquet`), or put an API before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satcommon.errors import CatalogueError
from satcommon.sources.stac_listed import ListedCatalogue, joined

if TYPE_CHECKING:
    from satcommon.sources.polite_requests import PoliteRequests
    from satcommon.sources.stac_config import StacConfig
    from satcommon.sources.stac_search import Item

_BELOW = ("child", "item", "items")


class StaticCatalogue(ListedCatalogue):
    """A catalog, a collection or an item collection, and what it links.

    Args:
        root: its path or address.
        config: of the source.
        asking: makes the requests, where it has an address.
    """

    def __init__(self, root: str, config: StacConfig, asking: PoliteRequests) -> None:
        self._root, self._asking = root, asking
        self._collections = {collection.id for collection in config.collections}

    def _items(self) -> Iterator[Item]:
        pending, seen = [self._root], {self._root}
        ids: dict[tuple[str, str], str] = {}
        while pending:
            where = pending.pop()
            content = self._read(where)
            kind = content.get("type")
            if kind in ("Feature", "FeatureCollection"):
                for item in [content] if kind == "Feature" else content.get("features") or []:
                    if item.get("collection") in self._collections:
                        key = (str(item.get("collection")), str(item.get("id")))
                        if ids.setdefault(key, where) != where:
                            raise CatalogueError(f"{where}: item {key[1]} is in {ids[key]}, too; remove one")
                        yield _absolute(item, where)
                continue
            if kind not in ("Catalog", "Collection"):
                raise CatalogueError(
                    f"{where}: is no catalog, collection or item of STAC (type {kind!r:.40}); name its JSON file"
                )
            for link in content.get("links") or []:
                if isinstance(link, dict) and link.get("rel") in _BELOW:
                    below = joined(where, str(link.get("href")))
                    if below not in seen:
                        seen.add(below)
                        pending.append(below)

    def _read(self, where: str) -> dict[str, Any]:
        if "://" in where:
            return self._asking.json(where)
        try:
            content = json.loads(Path(where).read_bytes())
        except OSError as error:
            raise CatalogueError(f"{where}: can't be read ({error.strerror}); correct what links it") from error
        except (ValueError, RecursionError) as error:
            raise CatalogueError(f"{where}: is no JSON ({error}); write it anew") from error
        if not isinstance(content, dict):
            raise CatalogueError(f"{where}: is no JSON object; write it anew")
        return content


def _absolute(item: Item, where: str) -> Item:
    assets = item.get("assets")
    if not isinstance(assets, dict):
        return item
    moved = {
        key: {**asset, "href": joined(where, asset["href"])}
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
        else asset
        for key, asset in assets.items()
    }
    return {**item, "assets": moved}
