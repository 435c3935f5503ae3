"""What a STAC item declares: one beside a GeoTIFF (same stem, ``.json``) of it, one of a catalogue of its assets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from satcommon.errors import SceneError
from satcommon.messages import rejected
from satcommon.raster import product
from satcommon.raster.band_names import known_name
from satcommon.raster.declared import FIRST_YEAR, LAST_YEAR, DeclaredBand, DeclaredCloud, DeclaredMetadata
from satcommon.raster.masks import looks_like_classes

_SQUARE = re.compile(r"(?:^|[-_T])(\d{1,2}[C-X][A-Z]{2})(?=_|$)")  # of MGRS: 33TVL, in MGRS-33TVL or ..._T33TVL_N05.00
_OF_BASELINE = re.compile(r"_N\d\d\.\d\d$")


def _near(time: datetime) -> datetime:
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise ValueError(f"{time.year} is no year of a satellite's")
    return time.astimezone(UTC)


_Time = Annotated[AwareDatetime, AfterValidator(_near)]
_Number = float | Annotated[str, Field(pattern="^(nan|inf|-inf)$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Properties(_Model):
    datetime: _Time | None = None
    start_datetime: _Time | None = None
    end_datetime: _Time | None = None
    platform: str | None = None
    baseline: str | None = Field(None, alias="s2:processing_baseline")
    version: str | None = Field(None, alias="processing:version")
    datatake: str | None = Field(None, alias="s2:datatake_id")
    grid: str | None = Field(None, alias="grid:code")
    tile: str | None = Field(None, alias="s2:tile_id")
    published: _Time | None = None
    created: _Time | None = None
    product_uri: str | None = Field(None, alias="s2:product_uri")
    product_type: str | None = Field(None, alias="s2:product_type")
    level: str | None = Field(None, alias="processing:level")
    correction: str | None = Field(None, alias="landsat:correction")
    tier: str | None = Field(None, alias="landsat:collection_category")
    generated: _Time | None = Field(None, alias="s2:generation_time")
    processed: _Time | None = Field(None, alias="processing:datetime")
    offset_applied: bool | None = Field(
        None, validation_alias=AliasChoices("earthsearch:boa_offset_applied", "boa_offset_applied")
    )
    cloud_cover: object = Field(None, alias="eo:cloud_cover")  # of any form: it only serves a check


class _Raster(_Model):
    """A band of `raster:bands` or `bands`, or what an asset says of all its bands."""

    name: str | None = None
    common_name: str | None = Field(None, validation_alias=AliasChoices("eo:common_name", "common_name"))
    scale: float | None = Field(None, validation_alias=AliasChoices("raster:scale", "scale"))
    offset: float | None = Field(None, validation_alias=AliasChoices("raster:offset", "offset"))
    nodata: _Number | None = None

    def declared_band(self, platform: str = "") -> DeclaredBand:
        # A value that is not finite is never data.
        nodata = self.nodata if isinstance(self.nodata, float) and math.isfinite(self.nodata) else None
        name = known_name(self.common_name, platform) or known_name(self.name, platform)
        if name is None and looks_like_classes((self.name or "").strip().lower()):
            name = self.name  # of no known kind: the reader of the file refuses it
        return DeclaredBand(name, self.scale, self.offset, nodata)


class _Asset(_Raster):
    href: str
    bands: list[_Raster] = []
    raster_bands: list[_Raster] = Field([], alias="raster:bands")
    eo_bands: list[_Raster] = Field([], alias="eo:bands")


class _Item(_Model):
    id: str = ""
    properties: _Properties
    assets: dict[str, _Asset] = {}
    bbox: object = None


class _CatalogueProperties(_Properties):
    product_generated: _Time | None = Field(None, alias="landsat:product_generated")
    updated: _Time | None = None
    path: str | int | None = Field(None, alias="landsat:wrs_path")
    row: str | int | None = Field(None, alias="landsat:wrs_row")


class _CatalogueAsset(_Asset):
    checksum: str | None = Field(None, alias="file:checksum")


class _CatalogueItem(_Item):
    properties: _CatalogueProperties
    assets: dict[str, _CatalogueAsset] = {}  # type: ignore[assignment]  # of a catalogue's own kind


def parse(content: bytes, where: str, file: str) -> DeclaredMetadata:
    """What an item declares of the GeoTIFF beside it: time, platform, baseline, pass, tile, publication, and bands.

    Bands are those of the asset whose ``href`` ends in the GeoTIFF's name, in their order. Two versions of a pass
    must get the same pass and tile, so the datatake is taken without its baseline, and the tile as its MGRS square.

    Args:
        content: JSON.
        where: the item's path, for messages.
        file: name of the GeoTIFF.

    Raises:
        SceneError: naming the file and each key that is wrong.
    """
    try:
        item = _Item.model_validate_json(content)
    except ValidationError as error:
        raise _refused(where, error) from error
    stated = item.properties
    asset = next((asset for asset in item.assets.values() if _file_of(asset.href) == file), None)
    if asset:
        _check_lists(asset, where)
    declared = replace(
        _declared(item),
        bands=_bands(asset, stated.platform or product.read(file).platform) if asset else {},
        every=replace(asset.declared_band(), name=None) if asset else DeclaredBand(),
    )
    return without_offset(declared)


@dataclass(frozen=True)
class ItemFile:
    """What an item says of the file of one of its bands.

    Args:
        declared: of its first band.
        href: where it is.
        checksum: of its bytes; empty where that is not stated.
    """

    declared: DeclaredBand
    href: str
    checksum: str


def parse_item(
    content: Mapping[str, Any], where: str, keys: Iterable[str], alternate: str | None = None, *, scaling: bool = True
) -> tuple[DeclaredMetadata, dict[str, ItemFile]]:
    """What an item of a catalogue declares, and of its assets those that it has among some keys.

    Unlike `parse`, nothing is known of the files but the item: the tile of Landsat is path and row, and where no time
    of processing is stated, that of the item's creation counts.

    Args:
        content: the item.
        where: what it is called in messages.
        keys: of assets.
        alternate: name of the alternate link that counts in place of `href`.
        scaling: whether what it says of scale and offset counts.

    Raises:
        SceneError: naming each key that is wrong.
    """
    try:
        assets = _some(content.get("assets"), keys, alternate)
        item = _CatalogueItem.model_validate_json(json.dumps({**content, "assets": assets}))
    except ValidationError as error:
        raise _refused(where, error) from error
    stated = item.properties
    declared = _declared(item)
    declared = replace(
        declared,
        tile=declared.tile or (f"{stated.path:0>3}{stated.row:0>3}" if stated.path and stated.row else ""),
        processed_at=declared.processed_at or stated.product_generated or stated.created or stated.updated,
        published_at=declared.published_at or stated.updated,
    )
    files = {}
    for key, asset in item.assets.items():
        if scaling:
            _check_lists(asset, where)
        first = _bands(asset, declared.platform).get(1, DeclaredBand())
        files[key] = ItemFile(first.over(asset.declared_band()), asset.href, asset.checksum or "")
    return declared, files


def _some(assets: Any, keys: Iterable[str], alternate: str | None) -> Any:
    """The assets with some keys, with the link that counts."""
    if not isinstance(assets, dict):
        return assets
    chosen = {key: assets[key] for key in keys if key in assets}
    if alternate is None:
        return chosen
    links = {key: asset.get("alternate") for key, asset in chosen.items() if isinstance(asset, dict)}
    others = {key: link.get(alternate) for key, link in links.items() if isinstance(link, dict)}
    hrefs = {key: other.get("href") for key, other in others.items() if isinstance(other, dict)}
    return {key: {**asset, "href": hrefs[key]} if hrefs.get(key) else asset for key, asset in chosen.items()}


def _refused(where: str, error: ValidationError) -> SceneError:
    wrong = (f"{ascii('.'.join(map(str, keys)))[1:-1] or 'the whole'}: {reason}" for keys, _, reason in rejected(error))
    return SceneError(f"{where}: is no STAC item ({'; '.join(wrong)}); correct or remove it")


def _declared(item: _Item) -> DeclaredMetadata:
    """What an item declares of all its bands."""
    stated = item.properties
    tile = stated.grid or stated.tile or ""
    square = _SQUARE.search(tile)
    names = [product.read(name) for name in (stated.product_uri or "", item.id)]
    return DeclaredMetadata(
        platform=stated.platform or "",
        baseline=stated.baseline or stated.version or "",
        overpass=_OF_BASELINE.sub("", stated.datatake or ""),
        tile=f"T{square[1]:0>5}" if square else tile,
        sensed_at=_sensed(stated),
        published_at=stated.published or stated.created,
        other_baselines=tuple(dict.fromkeys(baseline for name in names for baseline in name.baselines)),
        level=_level(stated),
        tier=product.tier_of(stated.tier or ""),
        processed_at=stated.processed or stated.generated,
        offset_applied=stated.offset_applied,
        cloud=_cloud(stated.cloud_cover, item.bbox),
    )


def without_offset(declared: DeclaredMetadata) -> DeclaredMetadata:
    """Where the values already include the offset, an item that still states it is wrong: it is 0."""
    if not declared.offset_applied:
        return declared
    bands = {n: replace(band, offset=band.offset and 0.0) for n, band in declared.bands.items()}
    return replace(declared, bands=bands, every=replace(declared.every, offset=declared.every.offset and 0.0))


def _cloud(percent: object, bbox: object) -> DeclaredCloud | None:
    """The cloud that an item states, where it states that and its bounding box in numbers that can be right."""
    if not isinstance(percent, int | float) or isinstance(percent, bool) or not 0 <= percent <= 100:
        return None
    if not isinstance(bbox, list) or len(bbox) not in (4, 6):
        return None
    corners = [bbox[0], bbox[1], bbox[len(bbox) // 2], bbox[len(bbox) // 2 + 1]]
    if not all(isinstance(each, int | float) and -180 <= each <= 180 for each in corners) or corners[1] >= corners[3]:
        return None
    return DeclaredCloud(percent / 100, *map(float, corners))


def _level(stated: _Properties) -> product.Level | None:
    texts = (stated.product_type, stated.level, stated.correction)
    return next((level for text in texts if text and (level := product.level_of(text)) is not None), None)


def _sensed(stated: _Properties) -> datetime | None:
    """The nominal time, else the middle of the span."""
    if stated.datetime:
        return stated.datetime
    if stated.start_datetime and stated.end_datetime:
        return stated.start_datetime + (stated.end_datetime - stated.start_datetime) / 2
    return None


def _file_of(href: str) -> str:
    try:
        return PurePosixPath(unquote(urlsplit(href).path)).name
    except ValueError:  # no URL, so not of this file
        return ""


def _bands(asset: _Asset, platform: str) -> dict[int, DeclaredBand]:
    bands: dict[int, DeclaredBand] = {}
    for stated in (asset.eo_bands, asset.raster_bands, asset.bands):
        for number, band in enumerate(stated, start=1):
            bands[number] = band.declared_band(platform).over(bands.get(number, DeclaredBand()))
    return bands


def _check_lists(asset: _Asset, where: str) -> None:
    """Refuse an item of which two lists of bands state different numbers.

    Raises:
        SceneError: they do.
    """
    for number, bands in enumerate(zip_longest(asset.eo_bands, asset.raster_bands, asset.bands), start=1):
        stated = [band.declared_band() for band in bands if band is not None]
        for name in ("scale", "offset", "nodata"):
            numbers = dict.fromkeys(getattr(each, name) for each in stated if getattr(each, name) is not None)
            if len(numbers) > 1:
                said = " and ".join(map(str, numbers))
                raise SceneError(
                    f"{where}: band {number} of {_file_of(asset.href)!r} has {name} {said} in its lists eo:bands, "
                    "raster:bands and bands; correct the one that is wrong"
                )
