"""Items of catalogues, understood: which assets are the bands, what is declared of them, which acquisition it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from satcommon.errors import SceneError
from satcommon.geo.solar import solar_day
from satcommon.raster.band_names import NARROW_NIR
from satcommon.raster.declared import DeclaredBand, DeclaredMetadata
from satcommon.raster.declared_offset import baseline_of
from satcommon.raster.header import overpass_of
from satcommon.raster.layers import FURTHER, THERMAL
from satcommon.raster.product import Level, Tier, comparable
from satcommon.raster.product import read as read_product
from satcommon.raster.scene import Acquisition, to_milliseconds
from satcommon.sources.files import MASKS
from satcommon.sources.refused import told_day
from satcommon.sources.stac_assets import Link
from satcommon.sources.stac_item import ItemFile, parse_item, without_offset
from satcommon.sources.stac_listed import box_of

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds
    from satcommon.sources.stac_config import BandAsset, Collection
    from satcommon.sources.stac_search import Item

_DRIVERS = {"geotiff": "GTiff", "jp2": "JP2OpenJPEG"}
VERSION = "stac-1"  # part of every digest; raise it when the same item and files give other pixels


@dataclass(frozen=True)
class KnownItem:
    """An item that is understood.

    Args:
        declared: of the stack of its bands.
        keys: of the bands' assets, in their order.
        links: likewise, where they are.
        files: likewise, what the item says of them.
        bounds: that it lies over, in WGS 84.
        further: bands of `layers.FURTHER` that are wanted of it.
    """

    item: Item
    name: str
    collection: str
    declared: DeclaredMetadata
    keys: tuple[str, ...]
    links: tuple[Link, ...]
    files: tuple[ItemFile, ...]
    bounds: Bounds | None
    further: tuple[str, ...] = ()

    def asset_of(self, band: str) -> str | None:
        """The key of a band's asset."""
        return next((key for n, key in enumerate(self.keys, 1) if self.declared.of_band(n).name == band), None)


def understood(item: Item, collections: Mapping[str, Collection], further: Sequence[str] = ()) -> KnownItem:
    """An item with what is declared of its bands.

    Args:
        item: as the catalogue has it.
        collections: of the configuration, by id.
        further: bands of `layers.FURTHER` that are wanted.

    Raises:
        SceneError: it can't be taken; the message says why.
    """
    name, item_id = name_of(item), item.get("id")
    collection = collections.get(str(item.get("collection")))
    if not isinstance(item_id, str) or not item_id.isprintable() or "/" in item_id or not item_id.strip():
        raise SceneError(f"{name}: has no id that can be used; tell the provider")
    if collection is None:
        raise SceneError(f"{name}: is of none of the collections that were asked for; tell the provider")
    wanted = _wanted(collection, further)
    keys = [*wanted, *([collection.mask.asset] if collection.mask else [])]
    declared, files = parse_item(item, name, keys, collection.alternate, scaling=collection.item_scaling)
    if declared.sensed_at is None:
        raise SceneError(f"{name}: states no time of sensing; tell the provider")
    chosen = _chosen(collection, wanted, files, name)
    _require_masks_within(item, {key: files[key].href for key, _ in chosen}, name)
    told = (baseline for key, _ in chosen for baseline in _baselines_of(files[key].href))
    declared = replace(declared, other_baselines=tuple(dict.fromkeys([*declared.other_baselines, *told])))
    _check_texts(declared, item_id, name)
    baseline = baseline_of(declared, read_product(item_id), "", name)
    bands, ruled = {}, {}
    for number, (key, asset) in enumerate(chosen, start=1):
        bands[number] = _band(collection, asset, files[key], baseline, name)
        offset = bands[number].offset
        if not collection.item_scaling and offset is not None:
            ruled[number] = offset
    declared = replace(declared, bands=bands, names_all=True, ruled_offsets=ruled)
    return KnownItem(
        item=item,
        name=name,
        collection=collection.id,
        declared=without_offset(declared),
        keys=tuple(key for key, _ in chosen),
        links=tuple(Link(files[key].href, f"{name}: asset {key}", _DRIVERS[collection.format]) for key, _ in chosen),
        files=tuple(files[key] for key, _ in chosen),
        bounds=box_of(item),
        further=tuple(further),
    )


def _wanted(collection: Collection, further: Sequence[str]) -> dict[str, str]:
    """The band of each asset that is wanted, by key: those of `layers.BANDS`, then further ones."""
    bands = {key: asset.band for key, asset in collection.assets.items()}
    if "nir" not in bands.values():
        bands = {key: "nir" if band == NARROW_NIR else band for key, band in bands.items()}
    ordinary = {key: band for key, band in bands.items() if band not in FURTHER}
    return ordinary | {key: band for key, band in bands.items() if band in further}


def _chosen(
    collection: Collection, wanted: Mapping[str, str], files: dict[str, ItemFile], name: str
) -> list[tuple[str, BandAsset | None]]:
    """The assets that are read, in the order of those wanted, with the mask (None) last.

    Raises:
        SceneError: red, near infrared or the mask is missing.
    """
    chosen: list[tuple[str, BandAsset | None]] = []
    taken: set[str] = set()
    for key, band in wanted.items():
        if key in files and band not in taken:
            taken.add(band)
            chosen.append((key, collection.assets[key]))
    for band in ("red", "nir"):
        if band not in taken:
            names = [key for key, its_band in wanted.items() if its_band == band]
            raise SceneError(
                f"{name}: has no asset {' or '.join(names)}, for {band}; it is incomplete: tell the provider"
            )
    if collection.mask:
        if collection.mask.asset not in files:
            raise SceneError(
                f"{name}: has no asset {collection.mask.asset}, its mask; it is incomplete: tell the provider"
            )
        chosen.append((collection.mask.asset, None))
    return chosen


def _require_masks_within(item: Item, links: Mapping[str, str], name: str) -> None:
    """Refuse an item with an asset that GDAL would take for the mask of another, since it would not be read.

    Raises:
        SceneError: naming both assets.
    """
    masks = {f"{_path_of(href)}{ending}": key for key, href in links.items() for ending in MASKS}
    for beside, asset in item["assets"].items():
        key = masks.get(_path_of(asset.get("href"))) if isinstance(asset, dict) else None
        if key:
            raise SceneError(
                f"{name}: asset {key}: has a mask in a file beside it, asset {beside}; only a mask within the file is "
                "read: its provider must write it so (`gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES`), or "
                "remove that asset"
            )


def _baselines_of(href: str) -> Iterator[str]:
    """The baselines in the names of Sentinel-2's products among the folders and the file of a link."""
    for part in PurePosixPath(_path_of(href)).parts:
        product = read_product(part)
        if product.platform.startswith("sentinel-2"):
            yield from product.baselines


def _path_of(href: Any) -> str:
    try:
        return unquote(urlsplit(href).path) if isinstance(href, str) else ""
    except ValueError:  # no URL; the reader of files refuses it
        return ""


def _band(collection: Collection, asset: BandAsset | None, file: ItemFile, baseline: str, name: str) -> DeclaredBand:
    """What is declared of a band: by the item, then by its asset's entry, then by the collection's.

    Raises:
        SceneError: its offset depends on the baseline, and the item states none.
    """
    if asset is None:
        assert collection.mask is not None
        return DeclaredBand(collection.mask.kind)
    stated = DeclaredBand(asset.band, asset.scale, asset.offset, asset.nodata)
    if asset.band != THERMAL:
        offset = collection.offset
        if offset is not None and collection.offset_since_baseline:
            known, since = comparable(baseline) if baseline else None, comparable(collection.offset_since_baseline)
            if known is None or since is None:
                raise SceneError(f"{name}: states no processing baseline, which tells its offset; tell the provider")
            offset = offset if known >= since else 0.0
        stated = stated.over(DeclaredBand(None, collection.scale, offset))
    of_item = replace(file.declared, name=None)
    if not collection.item_scaling:
        of_item = replace(of_item, scale=None, offset=None)
    return of_item.over(stated)


def digest_of(known: KnownItem, pins: Sequence[str]) -> str:
    """The digest of an item: of what it declares, and of its files' checksums, or links and pins."""
    declared = known.declared
    files = [
        [file.checksum] if file.checksum else [link.href.split("?", 1)[0], pin]
        for link, file, pin in zip(known.links, known.files, pins, strict=True)
    ]
    order = [declared.level, declared.tier, str(declared.processed_at), declared.offset_applied]
    content = [VERSION, known.name, declared.digest_with(known.further), order, files]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def acquisition_of(known: KnownItem, digest: str, now: datetime) -> Acquisition:
    """What `header.read_header` would make of the item, without a file being opened.

    The files are checked against it when they are read.
    """
    declared, product = known.declared, read_product(known.item["id"])
    platform = declared.platform or product.platform or "unknown"
    assert declared.sensed_at is not None
    return Acquisition(
        item_id=known.name,
        digest=digest,
        platform=platform,
        overpass=declared.overpass or overpass_of(platform, declared.sensed_at, known.bounds),
        tile=declared.tile or product.tile or _piece(known),
        baseline=baseline_of(declared, product, "", known.name),
        sensed_at=to_milliseconds(declared.sensed_at),
        published_at=min(declared.published_at or now, now),
        level=declared.level if declared.level is not None else next(iter(product.levels), Level.SURFACE),
        tier=product.tier if declared.tier is Tier.UNSTATED else declared.tier,
        processed_at=declared.processed_at or product.processed_at,
    )


def _piece(known: KnownItem) -> str:
    """The piece of a pass where no tile is known: the rectangle, as two versions of one piece have the same."""
    box = json.dumps(known.item.get("bbox"))
    return f"bbox-{hashlib.sha256(box.encode()).hexdigest()[:12]}"


def _check_texts(declared: DeclaredMetadata, item_id: str, name: str) -> None:
    """Refuse texts that the ledger has no room for, and that no message could show.

    Raises:
        SceneError: naming the text.
    """
    for what, text, most in (
        ("id", item_id, 200),
        ("platform", declared.platform, 64),
        ("tile", declared.tile, 64),
        ("baseline", declared.baseline, 32),
        ("datatake", declared.overpass, 200),
    ):
        if len(text) > most or not text.isprintable() or not text.isascii():
            raise SceneError(f"{name}: its {what} is {text[:80]!a}; expected at most {most} letters of ASCII")


def name_of(item: Item) -> str:
    """What an item is called: its collection and id, in letters that can be shown."""
    return ascii(f"{item.get('collection')}/{item.get('id')}")[1:-1][:200]


def stated_day(item: Item, bounds: Bounds) -> date | None:
    """The solar day of an item that was refused, as far as it tells one."""
    stated: Any = item.get("properties")
    properties = stated if isinstance(stated, dict) else {}
    for key in ("datetime", "start_datetime"):
        with suppress(ValueError, OverflowError):
            return solar_day(datetime.fromisoformat(str(properties.get(key))).astimezone(UTC), bounds)
    return told_day(str(item.get("id")), None, "", bounds)
