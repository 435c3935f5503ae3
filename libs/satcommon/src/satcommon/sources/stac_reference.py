"""What is kept of a STAC item to read it again where it is: the part of it that is read, and its files' versions.

With it the files are found without the catalogue. Nothing in it is believed: the digest of the acquisition, which
covers the same declarations and pins, decides whether it is still what was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from satcommon.errors import SceneError
from satcommon.sources.stac_items import KnownItem, understood

if TYPE_CHECKING:
    from satcommon.sources.stac_config import Collection

_KEYS = ("id", "collection", "bbox", "properties")


def encode(known: KnownItem, versions: Sequence[str]) -> dict[str, Any]:
    """What is kept of an item.

    Args:
        known: the item.
        versions: the pin of each of its files as it was read, in their order.
    """
    assets = {key: known.item["assets"][key] for key in known.keys}
    item = {key: known.item.get(key) for key in _KEYS} | {"assets": assets}
    return {"item": item, "further": list(known.further), "versions": list(versions)}


def decode(reference: Mapping[str, Any], collections: Mapping[str, Collection]) -> tuple[KnownItem, list[str]]:
    """The item, and the versions of its files.

    Args:
        reference: of `encode`.
        collections: of the configuration, by id.

    Raises:
        SceneError: the configuration has changed, and the item can't be understood by it.
    """
    known, versions = understood(reference["item"], collections, reference["further"]), list(reference["versions"])
    if len(versions) != len(known.links):
        raise SceneError(
            f"{known.name}: was read of {len(versions)} assets, and the configuration names {len(known.links)} now; "
            "list it again"
        )
    return known, versions
