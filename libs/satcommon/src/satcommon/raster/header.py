"""What a GeoTIFF's header says of an acquisition: when, from what, where, and which band is which.

Nothing is guessed: where a file, and what is declared beside it, leave something open, the file is refused with a
message that says how to state it. GDAL's sidecar files (``.aux.xml``, ``.tfw``, ``.ovr``) are ignored: no digest covers
them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from affine import Affine
from rasterio.warp import transform_bounds

from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import solar_time
from satcommon.raster.bands import Band, read_bands
from satcommon.raster.declared import FIRST_YEAR, LAST_YEAR, DeclaredMetadata
from satcommon.raster.declared_offset import baseline_of, check_offsets
from satcommon.raster.geotiff import ADVICE, UNREADABLE, check_georeference, crs_text, failing
from satcommon.raster.layers import REFLECTANCE_OFFSET, THERMAL
from satcommon.raster.masks import NEWER_CLASS_NAMES
from satcommon.raster.product import Level, Product, Tier, same_satellite
from satcommon.raster.product import read as read_product
from satcommon.raster.scene import to_milliseconds

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

ALIGNED = 1e-6  # of a cell: how far apart two grids may lie, at any cell, and still count as aligned
_SLOT_HOURS = 3
_TURN = 541  # degrees of longitude: from 0 to 360 as well as from -180, and a swath across its end
_LONGEST = 100  # characters of a platform, baseline, pass or tile: more is a damaged tag


@dataclass(frozen=True)
class Header:
    """What a file says of its acquisition, without pixels.

    Args:
        bands: by name of `ALL_BANDS`.
        classes: name (of `CLASS_NAMES`) and number of the class band, if there is one.
        data_mask: number of the band that is 0 where there is no data, if there is one.
        extent: (left, bottom, right, top) in units of the CRS.
        bounds: the extent in WGS 84.
        sensed_at: UTC, as times in names and tags are assumed to be.
        datatake: names the pass, if that is declared beside the file.
    """

    crs: CRS
    transform: Affine
    width: int
    height: int
    bands: dict[str, Band]
    classes: tuple[str, int] | None
    extent: tuple[float, float, float, float]
    bounds: Bounds
    platform: str
    baseline: str
    tile: str
    sensed_at: datetime
    datatake: str = ""
    data_mask: int | None = None
    level: Level = Level.SURFACE
    tier: Tier = Tier.UNSTATED
    processed_at: datetime | None = None

    @property
    def reading(self) -> str:
        """Names the newer rules by which the pixels are read, of zeros and of masks; see `scene.Acquisition`."""
        zeros = any(
            band.zero_is_nothing and band.offset > (0 if name == THERMAL else REFLECTANCE_OFFSET)
            for name, band in self.bands.items()
        )
        masks = self.data_mask is not None or (self.classes is not None and self.classes[0] in NEWER_CLASS_NAMES)
        return "-".join(name for name, holds in (("zeros", zeros), ("masks", masks)) if holds)

    @property
    def overpass(self) -> str:
        """The datatake where one is declared, otherwise platform, solar day and slot: ``sentinel-2/2016-01-07/09h``.

        A slot is three hours of solar time at the file's centre.

        The times of a pass's files differ by minutes, and each file must name the pass without knowing the others. A
        sun-synchronous satellite passes at nearly the same solar time: between 09:40 and 11:50 for Sentinel-2, Landsat
        and Terra, about 13:30 for Aqua and Suomi NPP. The slots' limits, at 9, 12 and 15 h, are far from these.
        Two limitations: a pass at the limit of a slot becomes two (the later one then fills the gaps of the first), and
        two orbits 100 minutes apart, whose very wide swaths overlap away from the equator, become one.
        """
        return self.datatake or overpass_of(self.platform, self.sensed_at, self.bounds)

    @property
    def grid(self) -> Grid | None:
        """The file's own raster, made north-up, unless it is rotated."""
        a, b, left, d, e, top, *_ = self.transform
        if not a or not e or max(abs(b / a) * self.height, abs(d / e) * self.width) > ALIGNED:
            return None
        left, top = min(left, left + a * self.width), max(top, top + e * self.height)
        return Grid(crs_text(self.crs), left, top, abs(a), abs(e), self.width, self.height)

    def grid_around(self, bounds: Bounds) -> Grid | None:
        """The file's own raster as `grid`, with longitudes in the same turn as those of a rectangle of WGS 84."""
        rectangle = _project(self.crs.to_wkt(), bounds)
        turned = [header for header in self.turned if rectangle is None or _overlap(header.extent, rectangle)]
        return turned[0].grid if turned else None

    @property
    def turned(self) -> list[Header]:
        """This header; where longitudes exceed 180 degrees, its copies by whole turns that reach into -180 to 180."""
        if not self.crs.is_geographic or -180 <= self.extent[0] <= self.extent[2] <= 180:
            return [self]
        left, bottom, right, top = self.extent
        turns = [turn for turn in (0, -360, 360) if left + turn < 180 and right + turn > -180]
        return [
            replace(
                self,
                transform=Affine.translation(turn, 0) @ self.transform,
                extent=(left + turn, bottom, right + turn, top),
            )
            for turn in turns
        ]

    def overlaps(self, bounds: Bounds) -> bool:
        """Whether the file and a rectangle of WGS 84 share more than an edge."""
        if not self.bounds.overlaps(bounds):
            return False
        rectangle = _project(self.crs.to_wkt(), bounds)
        return rectangle is None or any(_overlap(header.extent, rectangle) for header in self.turned)


def overpass_of(platform: str, sensed_at: datetime, bounds: Bounds | None) -> str:
    """The name of a pass that no datatake names; see `Header.overpass`."""
    solar = solar_time(sensed_at, bounds) if bounds else sensed_at
    return f"{platform}/{solar.date()}/{solar.hour // _SLOT_HOURS * _SLOT_HOURS:02}h"


def read_header(
    dataset: DatasetReader,
    name: str,
    declared: DeclaredMetadata,
    further: Collection[str] = (),
    product_name: str | None = None,
) -> Header:
    """The header of an open file.

    Args:
        dataset: the file.
        name: its path in the folder, which says something of the product; also for messages.
        declared: what is declared beside it.
        further: bands of `layers.FURTHER` that are wanted.
        product_name: what says something of the product in place of `name`.

    Raises:
        SceneError: the file can't be read, or does not say what is needed; the message says what.
    """
    product = read_product(product_name or name)
    with failing(name, ADVICE):
        tags = {key: _tag(dataset, key, name) for key in ("PLATFORM", "PROCESSING_BASELINE", "TIFFTAG_DATETIME")}
        _compare(declared, product, tags["PLATFORM"], name)
        platform = declared.platform or tags["PLATFORM"] or product.platform or "unknown"
        baseline = baseline_of(declared, product, tags["PROCESSING_BASELINE"], name)
        bands, classes, data_mask = read_bands(dataset, name, declared, platform, further)
        check_offsets(bands, dataset.dtypes, declared, product, (platform, baseline), name)
        check_georeference(
            dataset,
            name,
            warp=lambda system: f"warp it first, as `gdalwarp -t_srs {system} {PurePosixPath(name).name} warped.tif`",
            assign="assign the one that its pixels are in",
        )
        extent, bounds = _extent(dataset, name)
        header = Header(
            crs=dataset.crs,
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            bands=bands,
            classes=classes,
            extent=extent,
            bounds=bounds,
            platform=platform,
            baseline=baseline,
            tile=declared.tile or product.tile or _raster(dataset),
            sensed_at=to_milliseconds(declared.sensed_at or sensing_time(product, tags["TIFFTAG_DATETIME"], name)),
            datatake=declared.overpass,
            data_mask=data_mask,
            level=declared.level if declared.level is not None else next(iter(product.levels), Level.SURFACE),
            tier=product.tier if declared.tier is Tier.UNSTATED else declared.tier,
            processed_at=declared.processed_at or product.processed_at,
        )
    _check(header, name)
    return header


def raster_bounds(dataset: DatasetReader) -> Bounds | None:
    """Where an open file lies, in WGS 84; None where it does not say.

    Raises:
        SceneError: it says something impossible.
    """
    return _extent(dataset, dataset.name)[1] if dataset.crs else None


def sensing_time(product: Product, tag: str, name: str) -> datetime:
    """When a file was sensed, UTC: from its name, otherwise TIFFTAG_DATETIME, which also adds the time to a date.

    It is used where no item declares the time.

    Args:
        product: what the path says.
        tag: TIFFTAG_DATETIME.
        name: the path, for messages.

    Raises:
        SceneError: neither has a time, or their days differ (some writers set the tag to the time of writing).
    """
    if product.sensed_at:
        return product.sensed_at
    try:
        tagged = datetime.strptime(tag, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        tagged = None
    if tagged is None or (product.day is not None and tagged.date() != product.day):
        says = f"the name says {product.day}" if product.day else "the name does not tell"
        raise SceneError(
            f"{name}: unknown time of sensing: {says}, TIFFTAG_DATETIME is {tag!r}; "
            "name the file like 2016-01-07T101243.tif (UTC)"
        )
    return tagged


def may_be_of(name: str, first: date, last: date) -> bool:
    """Whether a file of this path may be of a solar day in first..last, which is within a day of the UTC date."""
    day = read_product(name).day
    return day is None or first - timedelta(days=1) <= day <= last + timedelta(days=1)


def _compare(declared: DeclaredMetadata, product: Product, tag: str, name: str) -> None:
    """Refuse contradictions between name, tags and item, as of another file's item or a copy with a wrong name."""
    levels = {level.name for level in (*product.levels, declared.level) if level is not None}
    if len(levels) > 1:
        raise SceneError(
            f"{name}: names and STAC item say two processing levels, of the surface and of the top of the atmosphere; "
            "correct the one that is wrong, or put the item of this file there"
        )
    item = "the STAC item beside it"
    for what, said, who, stated, same in (
        ("day", product.day, item, declared.sensed_at, declared.sensed_at and product.day == declared.sensed_at.date()),
        ("tile", product.tile, item, declared.tile, product.tile == declared.tile),
        ("platform", product.platform, item, declared.platform, same_satellite(product.platform, declared.platform)),
        ("platform", product.platform, "tag PLATFORM", tag, same_satellite(product.platform, tag)),
    ):
        if said and stated and not same:
            raise SceneError(
                f"{name}: the name says {what} {said}, {who} {stated}; put the item of this file there, or rename the "
                "file"
            )


def _check(header: Header, name: str) -> None:
    """Refuse impossible values."""
    if not FIRST_YEAR <= header.sensed_at.year <= LAST_YEAR:
        raise SceneError(f"{name}: was sensed at {header.sensed_at}; expected a year from {FIRST_YEAR} to {LAST_YEAR}")
    for what, text in (
        ("platform", header.platform),
        ("baseline", header.baseline),
        ("datatake", header.datatake),
        ("tile", header.tile),
    ):
        if len(text) > _LONGEST or not text.isprintable():
            raise SceneError(f"{name}: its {what} is {text[:_LONGEST]!a}; expected at most {_LONGEST} letters to print")


def _tag(dataset: DatasetReader, key: str, name: str) -> str:
    """One tag alone: others may be in an unknown encoding."""
    try:
        return (dataset.get_tag_item(key) or "").strip()
    except UnicodeDecodeError as error:
        raise SceneError(f"{name}: its tag {key} is not written in UTF-8 ({error}); write it anew") from error


def _extent(dataset: DatasetReader, name: str) -> tuple[tuple[float, float, float, float], Bounds]:
    transform, width, height = dataset.transform, dataset.width, dataset.height
    corners = [transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    xs, ys = zip(*corners, strict=True)
    extent = (min(xs), min(ys), max(xs), max(ys))
    if not all(map(math.isfinite, extent)) or transform.determinant == 0:
        raise SceneError(f"{name}: its geotransform {tuple(transform)[:6]} is no raster's; fetch the file again")
    try:
        bounds = Bounds(*transform_bounds(dataset.crs, "EPSG:4326", *extent))
    except UNREADABLE:
        bounds = Bounds(*[math.nan] * 4)
    # Between equal systems nothing is transformed, so metres would pass for degrees; NaN is in no range.
    if not (abs(bounds.west) <= _TURN and abs(bounds.east) <= _TURN and -91 <= bounds.south <= bounds.north <= 91):
        raise SceneError(
            f"{name}: its extent {extent} lies nowhere on Earth in {crs_text(dataset.crs)[:60]}; "
            "assign the coordinate reference system that its pixels are in"
        )
    return extent, bounds


@lru_cache(maxsize=64)  # a folder has few CRS; a year's history asks for the same region 365 times
def _project(wkt: str, bounds: Bounds) -> tuple[float, float, float, float] | None:
    try:
        geographic: tuple[float, float, float, float] = transform_bounds("EPSG:4326", wkt, *bounds)
    except UNREADABLE:
        return None
    return geographic if all(map(math.isfinite, geographic)) else None


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _raster(dataset: DatasetReader) -> str:
    """The piece of a pass where no tile is known: the raster itself.

    So two versions of a pass on one raster are one piece, the better one on top, and files of a pass that lie side by
    side are different pieces.
    """
    raster = (dataset.crs.to_wkt(), *dataset.transform[:6], dataset.width, dataset.height)
    return "raster-" + hashlib.sha256(repr(raster).encode()).hexdigest()[:12]
