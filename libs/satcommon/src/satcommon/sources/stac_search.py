"""Searches of catalogues, followed to their end or failed: a broken search is never an answer.

Whatever stands behind it, an API, a static catalogue or a file of stac-geoparquet, a catalogue gives all items over a
rectangle in a span of time, or raises. APIs are known to skip items between pages, to repeat them, to end early, and to
link a next page that was there before; each of that is noticed, and the search begun again a few times.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from satcommon.errors import CatalogueError
from satcommon.sources.polite_requests import PoliteRequests, shown

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds
    from satcommon.sources.stac_config import StacConfig

Item = dict[str, Any]

_MOST_PAGES = 10_000


class Catalogue(Protocol):
    """What has items of imagery."""

    def search(self, bounds: Bounds, first: datetime, last: datetime) -> list[Item]:
        """All items of the configured collections over a rectangle of WGS 84 and in a span of time, each once.

        Raises:
            CatalogueError: the search could not be brought to its end.
        """

    def sample(self, bounds: Bounds) -> list[Item]:
        """Some items over a rectangle, of any time.

        Raises:
            CatalogueError: it could not be asked.
        """

    def item(self, collection: str, item_id: str) -> Item | None:
        """An item by its id; None if there is none.

        Raises:
            CatalogueError: it could not be asked.
        """


class ApiCatalogue:
    """A STAC API with item search.

    Args:
        config: of the source.
        asking: makes the requests.
    """

    def __init__(self, config: StacConfig, asking: PoliteRequests) -> None:
        self._config, self._io = config, _Pages(asking)
        self._url = f"{config.endpoint}/search"
        self._collections = [collection.id for collection in config.collections]

    def search(self, bounds: Bounds, first: datetime, last: datetime) -> list[Item]:
        """See `Catalogue`."""
        asked = {
            "datetime": f"{_utc(first)}/{_utc(last)}",
            "query": self._config.query,
            "filter": self._config.filter,
            "filter_lang": "cql2-json" if self._config.filter else None,
        }
        boxes = _boxes(bounds)
        return self._whole(lambda: [self._search(collections=self._collections, bbox=box, **asked) for box in boxes])

    def sample(self, bounds: Bounds) -> list[Item]:
        """See `Catalogue`."""
        searches = [self._search(collections=self._collections, bbox=box) for box in _boxes(bounds)]
        return [item for search in searches for item in _features(next(self._pages(search)), self._url)]

    def item(self, collection: str, item_id: str) -> Item | None:
        """See `Catalogue`."""
        items = self._whole(lambda: [self._search(collections=[collection], ids=[item_id])])
        return next((item for item in items if item.get("id") == item_id), None)

    def _search(self, **asked: Any) -> ItemSearch:
        limits = self._config.requests
        return ItemSearch(self._url, method=limits.method, stac_io=self._io, limit=limits.page_size, **asked)

    def _pages(self, search: ItemSearch) -> Iterator[dict[str, Any]]:
        # Not by its own `pages_as_dicts`, which leaves out empty pages, and with them what they say.
        return self._io.get_pages(search.url, search.method, search.get_parameters())

    def _whole(self, searches: Callable[[], list[ItemSearch]]) -> list[Item]:
        """Searches brought to their end; where pages contradict each other, they are begun again."""
        for attempt in range(1, self._config.requests.tries + 1):
            try:
                counted = self._config.requests.counts
                found = [_gathered(self._pages(search), self._url, counted=counted) for search in searches()]
                return _each_once(item for items in found for item in items)
            except _InconsistentError as error:
                if attempt == self._config.requests.tries:
                    raise CatalogueError(
                        f"{shown(self._url)}: {error}, in {attempt} searches; its answer is not complete, so none of "
                        "it counts: ask again later, or tell the provider"
                    ) from None
        raise AssertionError("a search returns or raises")


class _InconsistentError(Exception):
    """Pages of one search that can't all be right."""


class _Pages(StacApiIO):
    """pystac-client's pages, fetched by `PoliteRequests`, and none of them missed or seen twice unnoticed."""

    def __init__(self, asking: PoliteRequests) -> None:
        super().__init__()
        self._asking = asking

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Pages until one links no next; pystac-client itself would also end at an empty one.

        Raises:
            CatalogueError: a page could not be fetched.
            _InconsistentError: a link leads back to a page that was there.
        """
        request = (url, (method or "GET").upper(), parameters or {}, True)
        asked: set[str] = set()
        while True:
            address, verb, content, first = request
            key = json.dumps([address, verb, content], sort_keys=True, default=str)
            if key in asked or len(asked) >= _MOST_PAGES:
                raise _InconsistentError("a link to the next page leads back to one that was there")
            asked.add(key)
            if verb == "POST":
                page = self._asking.json(address, verb, body=content)
            else:
                page = self._asking.json(address, verb, params=content if first else None)
            yield page
            link = _next(page)
            if link is None:
                return
            request = self._following(link, parameters or {}, address)

    @staticmethod
    def _following(
        link: Mapping[str, Any], parameters: dict[str, Any], before: str
    ) -> tuple[str, str, dict[str, Any], bool]:
        href, verb = link.get("href"), str(link.get("method") or "GET").upper()
        if not isinstance(href, str) or not href.startswith(("http://", "https://")):
            raise _InconsistentError(f"the link to the next page is no address ({str(href)[:80]!r} on {shown(before)})")
        body = link.get("body") if isinstance(link.get("body"), dict) else {}
        assert isinstance(body, dict)
        content = ({**parameters, **body} if link.get("merge") else body) if verb == "POST" else {}
        return href, verb, content, False


def _gathered(pages: Iterator[dict[str, Any]], url: str, *, counted: bool) -> list[Item]:
    """The items of all pages, each once.

    Args:
        pages: of one search.
        url: of the search, for messages.
        counted: whether the number of items that the catalogue states is exact.

    Raises:
        CatalogueError: a page is no item collection.
        _InconsistentError: an item comes with two contents, or there are fewer or more than the catalogue counts.
    """
    features: list[Item] = []
    matched: set[int] = set()
    for page in pages:
        features += _features(page, url)
        count = page.get("numberMatched", (page.get("context") or {}).get("matched"))
        if counted and isinstance(count, int):
            matched.add(count)
    items = _each_once(features)
    if len(matched) > 1:
        raise _InconsistentError(f"the number of items changes from page to page ({min(matched)} to {max(matched)})")
    if matched and len(items) not in matched:
        raise _InconsistentError(f"{max(matched)} items match, and its pages hold {len(items)}")
    return items


def _each_once(features: Iterable[Item]) -> list[Item]:
    """Items without those that come again.

    Raises:
        _InconsistentError: an item comes with two contents.
    """
    items: dict[tuple[str, str], Item] = {}
    nameless: list[Item] = []
    for item in features:
        if not isinstance(item.get("id"), str):
            nameless.append(item)  # the reader of items refuses it
            continue
        known = items.setdefault((str(item.get("collection")), item["id"]), item)
        if known is not item and _content(known) != _content(item):
            raise _InconsistentError(f"item {item['id']} comes twice, with different contents")
    return [*items.values(), *nameless]


def _features(page: Mapping[str, Any], url: str) -> list[Item]:
    features = page.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise CatalogueError(
            f"{shown(url)}: answered something that is no list of items; is it the root of a STAC API?"
        )
    return features


def _content(item: Item) -> str:
    """An item without its links, which may be signed anew."""
    return json.dumps({key: value for key, value in item.items() if key != "links"}, sort_keys=True)


def _next(page: Mapping[str, Any]) -> Mapping[str, Any] | None:
    links = page.get("links")
    linked = (link for link in links if isinstance(link, dict)) if isinstance(links, list) else ()
    return next((link for link in linked if link.get("rel") == "next"), None)


def _boxes(bounds: Bounds) -> list[list[float]]:
    """The boxes to ask for; on either side of the antimeridian one, since some APIs refuse one across it."""
    across = bounds.west > bounds.east
    spans = [(bounds.west, 180.0), (-180.0, bounds.east)] if across else [(bounds.west, bounds.east)]
    return [[west, bounds.south, east, bounds.north] for west, east in spans]


def _utc(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
