"""A catalogue without a search of its own: all of it is listed, and what lies elsewhere left out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from satcommon.geo.grid import Bounds

if TYPE_CHECKING:
    from satcommon.sources.stac_search import Item


class ListedCatalogue(ABC):
    """Searches the list of a catalogue's items."""

    @abstractmethod
    def _items(self) -> Iterable[Item]:
        """All items of the configured collections.

        Raises:
            CatalogueError: they can't be listed.
        """

    def search(self, bounds: Bounds, first: datetime, last: datetime) -> list[Item]:
        """See `stac_search.Catalogue`."""
        return [item for item in self._items() if lies_over(item, bounds) and is_within(item, first, last)]

    def sample(self, bounds: Bounds) -> list[Item]:
        """See `stac_search.Catalogue`."""
        return [item for item in self._items() if lies_over(item, bounds)]

    def item(self, collection: str, item_id: str) -> Item | None:
        """See `stac_search.Catalogue`."""
        own = (item for item in self._items() if item.get("collection") == collection)
        return next((item for item in own if item.get("id") == item_id), None)


def joined(where: str, href: str) -> str:
    """A link's target, as seen from the file that holds it."""
    if "://" in href or href.startswith("/"):
        return href
    if "://" in where:
        return urljoin(where, href)
    return str((Path(where).parent / href).resolve())


def lies_over(item: Item, bounds: Bounds) -> bool:
    """Whether an item may lie over a rectangle; one that does not say where it lies may."""
    box = box_of(item)
    return box is None or box.overlaps(bounds)


def box_of(item: Item) -> Bounds | None:
    """The rectangle that an item states, in WGS 84."""
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) not in (4, 6) or not all(isinstance(x, int | float) for x in box):
        return None
    half = len(box) // 2
    return Bounds(box[0], box[1], box[half], box[half + 1])


def is_within(item: Item, first: datetime, last: datetime) -> bool:
    """Whether an item may be of a span of time; one that does not say when it was sensed may."""
    stated = item.get("properties")
    properties: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    times = (
        [properties.get("datetime")] * 2
        if properties.get("datetime")
        else [
            properties.get("start_datetime"),
            properties.get("end_datetime"),
        ]
    )
    try:
        start, end = (datetime.fromisoformat(str(time)) for time in times)
    except ValueError:
        return True
    if start.tzinfo is None or end.tzinfo is None:
        return True
    return start <= last and end >= first
