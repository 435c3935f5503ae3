"""What a GeoTIFF's header says of an acquisition: when, from what, where, and which band is which.

Nothing is guessed: what a file leaves open is refused with a message that tells how to state it. Sidecar files
(``.aux.xml``, ``.tfw``, ``.ovr``) are not looked at, because an acquisition's digest is of the one file.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's errors reach callers of rasterio.warp and of blocks as these
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.warp import transform_bounds

from satcommon.errors import SceneError
from satcommon.grid import Bounds, Grid
from satcommon.scenes.layers import BANDS, REFLECTIVE
from satcommon.scenes.masks import CLASS_NAMES

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

#: Band descriptions in lower case: STAC's common names, Sentinel-2's band names, and plain aliases.
BAND_NAMES = {name: name for name in BANDS} | {
    "b02": "blue",
    "b03": "green",
    "b04": "red",
    "b08": "nir",
    "b11": "swir16",
    "b12": "swir22",
    "swir1": "swir16",
    "swir2": "swir22",
    "lwir": "lwir11",
    "thermal": "lwir11",
}

#: What reading a damaged file may raise; a flipped bit of a header can ask for any amount of memory.
UNREADABLE = (RasterioError, CPLE_BaseError, OSError, ValueError, ArithmeticError, MemoryError)

ADVICE = "fetch it again or remove it"

_DATE = r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)"
_DATE_AND_TIME = re.compile(_DATE + r"[T_ -]?(\d\d)[:-]?(\d\d)[:-]?(\d\d)(?!\d)", re.IGNORECASE)
_DATE_ALONE = re.compile(_DATE + r"(?!\d)")
_TILE = re.compile(r"(?:^|_)(T\d\d[A-Z]{3})(?=_|$)")  # Sentinel-2's: UTM zone and MGRS square
_BASELINE = re.compile(r"_N(\d\d)(\d\d)(?=_|$)")  # Sentinel-2's, as N0400 for 04.00

_SLOT_HOURS = 3


@dataclass(frozen=True)
class Band:
    """Where a band lies in the file (from 1), and value * scale + offset = reflectance or kelvin."""

    index: int
    scale: float
    offset: float


@dataclass(frozen=True)
class Header:
    """What a file says of its acquisition, without its pixels.

    Args:
        bands: by name of `BANDS`.
        classes: name (of `CLASS_NAMES`) and number of the band that tells what pixels show, if there is one.
        extent: (left, bottom, right, top) in units of the CRS.
        bounds: the extent in WGS 84.
        sensed_at: UTC, which is what times in names and tags are taken for.
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

    @property
    def overpass(self) -> str:
        """Platform, solar day and three-hour slot of solar time at the file's centre: ``sentinel-2/2016-01-07/09h``.

        Files of a pass bear times some minutes apart, and each must name the pass without knowing of the others. A
        sun-synchronous satellite crosses a place at nearly the same solar time: between 09:40 and 11:50 for Sentinel-2,
        Landsat and Terra, about 13:30 for Aqua and Suomi NPP. The slots' limits, at 9, 12 and 15 h, are far from these.
        Two limits: a pass at the limit of a slot becomes two (the later one then fills what the first left open), and
        two orbits 100 minutes apart, as very wide swaths overlap away from the equator, become one.
        """
        solar = self.sensed_at + timedelta(hours=(self.bounds.west + self.bounds.east) / 2 / 15)
        return f"{self.platform}/{solar.date()}/{solar.hour // _SLOT_HOURS * _SLOT_HOURS:02}h"

    @property
    def grid(self) -> Grid | None:
        """The file's own raster, if it is north-up."""
        a, b, left, d, e, top, *_ = self.transform
        if b or d or a <= 0 or e >= 0:
            return None
        return Grid(crs_text(self.crs), left, top, a, -e, self.width, self.height)

    def overlaps(self, bounds: Bounds) -> bool:
        """Whether the file and a rectangle of WGS 84 share more than an edge."""
        if not _overlap(self.bounds, bounds):
            return False
        there = _project(self.crs.to_wkt(), bounds)
        return there is None or _overlap(self.extent, there)


def open_geotiff(path: Path | str) -> DatasetReader:
    """A file as a rasterio dataset; only as GeoTIFF, since GDAL's other formats may name files elsewhere.

    Raises:
        one of `UNREADABLE`.
    """
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused with a message of our own
        return rasterio.open(path, driver="GTiff")


@contextmanager
def failing(name: str, advice: str) -> Iterator[None]:
    """Turns what a damaged file raises into a SceneError that names it and says what to do."""
    try:
        yield
    except UNREADABLE as error:
        raise SceneError(f"{name}: can't be read as a GeoTIFF ({error}); {advice}") from error


def read_header(path: Path, name: str) -> Header:
    """The header of a file that messages call `name`.

    Raises:
        SceneError: where the file can't be read, or does not say what is needed; the message tells which.
    """
    with failing(name, ADVICE), open_geotiff(path) as dataset:
        tags = dataset.tags()
        bands, classes = _bands(dataset, name)
        if not dataset.crs:
            raise SceneError(f"{name}: has no coordinate reference system; assign the one that its pixels are in")
        extent, bounds = _extent(dataset, name)
        return Header(
            crs=dataset.crs,
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            bands=bands,
            classes=classes,
            extent=extent,
            bounds=bounds,
            platform=tags.get("PLATFORM", "").strip() or "unknown",
            baseline=_baseline(path.stem) or tags.get("PROCESSING_BASELINE", "").strip(),
            tile=_tile(path.stem, dataset),
            sensed_at=sensing_time(path.stem, tags.get("TIFFTAG_DATETIME", ""), name),
        )


def sensing_time(stem: str, tag: str, name: str) -> datetime:
    """When a file was sensed, UTC: what its name tells, else TIFFTAG_DATETIME; a date alone takes its time from there.

    Raises:
        SceneError: where neither tells, or the two tell different days (writers set the tag to the time of writing).
    """
    try:
        tagged = datetime.strptime(tag.strip(), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        tagged = None
    for numbers in _DATE_AND_TIME.findall(stem):
        try:
            return datetime.strptime("".join(numbers), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue
    day = _first_date(stem)
    if tagged is None or (day is not None and tagged.date() != day):
        says = f"the name says {day}" if day else "the name does not tell"
        raise SceneError(
            f"{name}: unknown time of sensing: {says}, TIFFTAG_DATETIME is {tag!r}; "
            "name the file like 2016-01-07T101243.tif (UTC)"
        )
    return tagged


def crs_text(crs: CRS) -> str:
    """A CRS as ``EPSG:32633`` where an authority has a code for exactly this one, else as WKT."""
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt())


def _bands(dataset: DatasetReader, name: str) -> tuple[dict[str, Band], tuple[str, int] | None]:
    bands: dict[str, Band] = {}
    classes: dict[str, int] = {}
    found = [(text or "").strip().lower() for text in dataset.descriptions]
    for index, (text, dtype, scale, offset) in enumerate(
        zip(found, dataset.dtypes, dataset.scales, dataset.offsets, strict=True), start=1
    ):
        if text in CLASS_NAMES:
            classes.setdefault(text, index)
        band = BAND_NAMES.get(text)
        if band is None:
            continue
        if band in bands:
            raise SceneError(f"{name}: bands {bands[band].index} and {index} are both {band}; describe one otherwise")
        if not math.isfinite(scale * offset) or scale <= 0 or "complex" in dtype:
            raise SceneError(f"{name}: band {text} is {dtype} with scale {scale} and offset {offset}; expected numbers")
        if scale == 1 and "float" not in dtype:
            unit = "value * scale + offset = reflectance" if band in REFLECTIVE else "value * scale + offset = kelvin"
            raise SceneError(f"{name}: band {text} is {dtype} with scale 1; set its scale and offset, so that {unit}")
        bands[band] = Band(index, scale, offset)
    if missing := {"red", "nir"} - bands.keys():
        raise SceneError(
            f"{name}: no band is described as {' or '.join(sorted(missing))}; "
            f"found {', '.join(map(repr, found)) or 'none'}; set the bands' descriptions to some of {', '.join(BANDS)}"
        )
    kind = next((kind for kind in CLASS_NAMES if kind in classes), None)
    return {band: bands[band] for band in BANDS if band in bands}, (kind, classes[kind]) if kind else None


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
    if not all(map(math.isfinite, bounds)):
        raise SceneError(f"{name}: its extent {extent} lies nowhere on Earth in {crs_text(dataset.crs)[:60]}")
    return extent, bounds


@lru_cache(maxsize=64)  # a folder has few CRS; a year's history asks for the same region 365 times
def _project(wkt: str, bounds: Bounds) -> tuple[float, float, float, float] | None:
    try:
        there: tuple[float, float, float, float] = transform_bounds("EPSG:4326", wkt, *bounds)
    except UNREADABLE:
        return None
    return there if all(map(math.isfinite, there)) else None


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _first_date(stem: str) -> date | None:
    for numbers in _DATE_ALONE.findall(stem):
        try:
            return date.fromisoformat("".join(numbers))
        except ValueError:
            continue
    return None


def _tile(stem: str, dataset: DatasetReader) -> str:
    """The piece of a pass: Sentinel-2's tile where the name bears one, else the raster itself.

    So a pass delivered twice on one raster is one piece, of which one delivery counts, and files of a pass that lie
    side by side are pieces of it, none of which hides another.
    """
    match = _TILE.search(stem)
    raster = (dataset.crs.to_wkt(), *dataset.transform[:6], dataset.width, dataset.height)
    return match[1] if match else "raster-" + hashlib.sha256(repr(raster).encode()).hexdigest()[:12]


def _baseline(stem: str) -> str:
    match = _BASELINE.search(stem)
    return f"{match[1]}.{match[2]}" if match else ""
