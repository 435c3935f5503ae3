"""What a catalogue says besides its data, and the names of its objects."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

ROOT, COLLECTION, ITEM, ROWS, PICTURE = "catalog.json", "collection.json", "item.json", "rows.parquet", "ndvi.png"
ITEMS = "items.parquet"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Options:
    """What whoever publishes decides.

    Args:
        license: an SPDX identifier, or ``other``.
        providers: names and addresses of who provides the data; the address may be None.
        address: where readers find the catalogue, for links to itself; None for none.
        api: address of the HTTP API, for links to it; None for none.
        pictures: draw one of each day that has a scene.
    """

    license: str = "other"
    providers: Sequence[tuple[str, str | None]] = ()
    address: str | None = None
    api: str | None = None
    pictures: bool = True

    def self_links(self, key: str) -> list[dict[str, str]]:
        """The link of an object to itself, where the address is known."""
        kind = "application/geo+json" if key.endswith(ITEM) else "application/json"
        return [] if self.address is None else [link("self", f"{self.address.rstrip('/')}/{key}", kind)]


def link(rel: str, href: str, kind: str = "application/json", title: str | None = None) -> dict[str, str]:
    """A link of STAC.

    Args:
        rel: its relation.
        href: where it leads.
        kind: the media type there.
        title: for people; none if empty.
    """
    return {"rel": rel, "href": href, "type": kind} | ({} if title is None else {"title": title})


def collection_id(region: str) -> str:
    """The id of a region's collection, and its folder: its name; where a path or URL can't hold that, a safe form."""
    if _SAFE.fullmatch(region):
        return region
    return f"{_UNSAFE.sub('-', region).strip('-') or 'region'}-{zlib.crc32(region.encode()):08x}"


def item_key(collection: str, day: date, name: str = ITEM) -> str:
    """The key of an object of a region's day."""
    return f"{collection}/{day}/{name}"


def encoded(document: dict[str, Any]) -> bytes:
    """A document's bytes: the same for the same content."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
