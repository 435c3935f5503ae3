"""What a GeoTIFF's header says of an acquisition: when, from what, where, and which band is which.

Nothing is guessed: what a file, and what is stated beside it, leave open is refused with a message that tells how to
state it. GDAL's sidecar files (``.aux.xml``, ``.tfw``, ``.ovr``) are not looked at: no digest is of them.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's errors reach callers of rasterio.warp and of blocks as these
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.warp import transform_bounds

from satcommon.errors import SceneError
from satcommon.grid import Bounds, Grid
from satcommon.scenes.claims import FIRST_YEAR, LAST_YEAR, BandClaim, Claims, known_name
from satcommon.scenes.layers import BANDS, REFLECTANCE_OFFSET, REFLECTIVE, THERMAL
from satcommon.scenes.masks import CLASS_NAMES, DATA_MASK, NEWER_CLASS_NAMES, looks_like_classes
from satcommon.scenes.source import to_milliseconds

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

#: What reading a damaged file may raise; a flipped bit of a header can ask for any amount of memory.
UNREADABLE = (RasterioError, CPLE_BaseError, OSError, ValueError, ArithmeticError, MemoryError)

ADVICE = "fetch it again or remove it"

# Megabytes of decoded blocks that GDAL keeps, for this process and its children. Ours are read once and in order: the
# default, a twentieth of the machine's memory, only takes memory, and several times as long for its fresh pages.
os.environ.setdefault("GDAL_CACHEMAX", "32")

_DATE = r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)"
_DATE_AND_TIME = re.compile(_DATE + r"[T_ -]?(\d\d)[:-]?(\d\d)[:-]?(\d\d)(?!\d)", re.IGNORECASE)
_DATE_ALONE = re.compile(_DATE + r"(?!\d)")
_TILE = re.compile(r"(?:^|_)(T\d\d[A-Z]{3})(?=_|$)")  # Sentinel-2's: UTM zone and MGRS square
_BASELINE = re.compile(r"_N(\d\d)(\d\d)(?=_|$)")  # Sentinel-2's, as N0400 for 04.00

_SLOT_HOURS = 3
_TURN = 541  # degrees of longitude: from 0 to 360 as well as from -180, and a swath across its end
_LONGEST = 100  # letters of a platform, baseline, pass or tile: more is a damaged tag


@dataclass(frozen=True)
class Band:
    """Where a band lies in the file (from 1), and value * scale + offset = reflectance or kelvin.

    A `nodata` value stands for the one that the file states, if any. `masked`: the file's own nodata value or mask
    counts. Where neither is, or NaN alone, a 0 is nothing: `zero_is_nothing`.
    """

    index: int
    scale: float
    offset: float
    nodata: float | None = None
    masked: bool = False
    zero_is_nothing: bool = True


@dataclass(frozen=True)
class Header:
    """What a file says of its acquisition, without its pixels.

    Args:
        bands: by name of `BANDS`.
        classes: name (of `CLASS_NAMES`) and number of the band that tells what pixels show, if there is one.
        data_mask: number of the band that is 0 where there is nothing, if there is one.
        extent: (left, bottom, right, top) in units of the CRS.
        bounds: the extent in WGS 84.
        sensed_at: UTC, which is what times in names and tags are taken for.
        datatake: names the pass, where something beside the file does.
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

    @property
    def reading(self) -> str:
        """Names newer rules by which the pixels are read, as `source.Acquisition` has it: of zeros, and of masks."""
        zeros = any(
            band.zero_is_nothing and band.offset > (0 if name == THERMAL else REFLECTANCE_OFFSET)
            for name, band in self.bands.items()
        )
        masks = self.data_mask is not None or (self.classes is not None and self.classes[0] in NEWER_CLASS_NAMES)
        return "-".join(name for name, holds in (("zeros", zeros), ("masks", masks)) if holds)

    @property
    def overpass(self) -> str:
        """The datatake where one is stated, else platform, solar day and slot: ``sentinel-2/2016-01-07/09h``.

        A slot is three hours of solar time at the file's centre.

        Files of a pass bear times some minutes apart, and each must name the pass without knowing of the others. A
        sun-synchronous satellite crosses a place at nearly the same solar time: between 09:40 and 11:50 for Sentinel-2,
        Landsat and Terra, about 13:30 for Aqua and Suomi NPP. The slots' limits, at 9, 12 and 15 h, are far from these.
        Two limits: a pass at the limit of a slot becomes two (the later one then fills what the first left open), and
        two orbits 100 minutes apart, as very wide swaths overlap away from the equator, become one.
        """
        if self.datatake:
            return self.datatake
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


def open_geotiff(path: Path | str, opener: Callable[..., Any] | None = None) -> DatasetReader:
    """A file as a rasterio dataset; only as GeoTIFF, since GDAL's other formats may name files elsewhere.

    Args:
        path: as GDAL knows it.
        opener: opens the path instead of GDAL, for reading.

    Raises:
        one of `UNREADABLE`.
    """
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused with a message of our own
        return rasterio.open(path, driver="GTiff", opener=opener)


@contextmanager
def failing(name: str, advice: str) -> Iterator[None]:
    """Turns what a damaged file raises into a SceneError that names it and says what to do."""
    try:
        yield
    except UNREADABLE as error:
        raise SceneError(f"{name}: can't be read as a GeoTIFF ({error}); {advice}") from error


def read_header(dataset: DatasetReader, name: str, claims: Claims) -> Header:
    """The header of an open file.

    Args:
        dataset: the file.
        name: its path in the folder, for messages and for what it tells.
        claims: what is stated beside it.

    Raises:
        SceneError: where the file can't be read, or does not say what is needed; the message tells which.
    """
    stem = PurePosixPath(name).stem
    with failing(name, ADVICE):
        tags = dataset.tags()
        bands, classes, data_mask = _bands(dataset, name, claims)
        if not dataset.crs:
            raise SceneError(f"{name}: has no coordinate reference system; assign the one that its pixels are in")
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
            platform=claims.platform or tags.get("PLATFORM", "").strip() or "unknown",
            baseline=claims.baseline or _baseline(stem) or tags.get("PROCESSING_BASELINE", "").strip(),
            tile=claims.tile or _tile(stem, dataset),
            sensed_at=to_milliseconds(claims.sensed_at or sensing_time(stem, tags.get("TIFFTAG_DATETIME", ""), name)),
            datatake=claims.overpass,
            data_mask=data_mask,
        )
    _compare(claims, stem, name)
    _check(header, name)
    return header


def sensing_time(stem: str, tag: str, name: str) -> datetime:
    """When a file was sensed, UTC: what its name tells, else TIFFTAG_DATETIME; a date alone takes its time from there.

    It is asked where no item tells.

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


def may_be_of(stem: str, first: date, last: date) -> bool:
    """Whether a file of this name may be of a solar day in first..last, which is within a day of the UTC date."""
    day = _first_date(stem)
    return day is None or first - timedelta(days=1) <= day <= last + timedelta(days=1)


def crs_text(crs: CRS) -> str:
    """A CRS as ``EPSG:32633`` where an authority has a code for exactly this one, else as WKT."""
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt())


def _compare(claims: Claims, stem: str, name: str) -> None:
    """Refuses an item that the file's name contradicts: it is another file's."""
    day, tile, baseline = _first_date(stem), _TILE.search(stem), _baseline(stem)
    for what, said, stated, same in (
        ("day", day, claims.sensed_at, not claims.sensed_at or day == claims.sensed_at.date()),
        ("tile", tile and tile[1], claims.tile, tile and tile[1] == claims.tile),
        ("baseline", baseline, claims.baseline, _numbers(baseline) == _numbers(claims.baseline)),
    ):
        if said and stated and not same:
            raise SceneError(
                f"{name}: the name says {what} {said}, the STAC item beside it {stated}; "
                "put the item of this file there, or rename the file"
            )


def _check(header: Header, name: str) -> None:
    """Refuses what can't be."""
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


def _bands(
    dataset: DatasetReader, name: str, claims: Claims
) -> tuple[dict[str, Band], tuple[str, int] | None, int | None]:
    """Bands by name, the kind and number of the class band, and the number of the data mask."""
    bands: dict[str, Band] = {}
    classes: dict[str, int] = {}
    if claims.bands and max(claims.bands) > dataset.count:
        raise SceneError(f"{name}: has {dataset.count} bands; {max(claims.bands)} are stated beside it; correct that")
    found = [(text or "").strip().lower() for text in dataset.descriptions]
    for index, (text, dtype, scale, offset) in enumerate(
        zip(found, dataset.dtypes, dataset.scales, dataset.offsets, strict=True), start=1
    ):
        claim = claims.of_band(index)
        band = claim.name or (None if claims.names_all else known_name(text))
        if band == "fmask" and PurePosixPath(name).name.upper().startswith("HLS."):
            band = "hls_fmask"
        if band in (*CLASS_NAMES, DATA_MASK):
            classes.setdefault(band, index)
        elif band is not None:
            if band in bands:
                raise SceneError(
                    f"{name}: bands {bands[band].index} and {index} are both {band}; describe one otherwise"
                )
            usual = BandClaim(None, scale, offset)
            every = claims.every if band in REFLECTIVE else BandClaim(nodata=claims.every.nodata)
            claim = claim.over(every)
            if claim.offset is None and band in REFLECTIVE:
                _check_baseline(offset, dtype, name)
            claim = claim.over(usual)
            bands[band] = _band(dataset, index, claim)
            _check_values(bands[band], band, dtype, name)
    if missing := {"red", "nir"} - bands.keys():
        raise SceneError(
            f"{name}: no band is described as {' or '.join(sorted(missing))}; "
            f"found {', '.join(map(repr, found)) or 'none'}; "
            f"set the bands' descriptions to some of {', '.join(BANDS)}, or name the bands in satfields.toml"
        )
    kind = next((kind for kind in CLASS_NAMES if kind in classes), None)
    unknown = [] if kind or claims.names_all else [text for text in found if not known_name(text)]
    if unlike := [text for text in unknown if looks_like_classes(text)]:
        raise SceneError(
            f"{name}: band {unlike[0]!a} may tell clouds or missing data, and is of no known kind; describe it as one "
            f"of {', '.join((*CLASS_NAMES, DATA_MASK))}, or name the bands in satfields.toml, without this one where "
            "it tells neither"
        )
    named = {band: bands[band] for band in BANDS if band in bands}
    return named, (kind, classes[kind]) if kind else None, classes.get(DATA_MASK)


def _band(dataset: DatasetReader, index: int, claim: BandClaim) -> Band:
    """A band with all that is said of it. An alpha band is no mask: four bands of bytes have one by default."""
    assert claim.scale is not None
    assert claim.offset is not None
    ignored = {MaskFlags.all_valid, MaskFlags.alpha} | ({MaskFlags.nodata} if claim.nodata is not None else set())
    kept = set(dataset.mask_flag_enums[index - 1]) - ignored
    stated = dataset.nodatavals[index - 1]
    # NaN is no value in any case, and what many writers state without a thought.
    says_nothing = MaskFlags.nodata in kept and stated is not None and math.isnan(stated)
    zero_is_nothing = claim.nodata is None and (not kept or says_nothing)
    return Band(index, claim.scale, claim.offset, claim.nodata, bool(kept), zero_is_nothing)


def _check_baseline(offset: float, dtype: str, name: str) -> None:
    """Refuses Sentinel-2's integers since baseline 04.00 without their offset of -0.1: a converter has dropped it."""
    stem = PurePosixPath(name).stem
    if offset == 0 and "float" not in dtype and stem.upper().startswith("S2") and _baseline(stem) >= "04.00":
        raise SceneError(
            f"{name}: baseline {_baseline(stem)} has a reflectance offset of -0.1, and the file states none; set it, "
            "or state `offset = 0` in satfields.toml where it was taken out of the values"
        )


def _check_values(band: Band, which: str, dtype: str, name: str) -> None:
    """Refuses a scale and an offset with which no value, or each, would be a reflectance or a temperature."""
    has = f"{name}: band {which} is {dtype} with scale {band.scale:g} and offset {band.offset:g}"
    if not math.isfinite(band.scale * band.offset) or band.scale <= 0 or "complex" in dtype:
        raise SceneError(f"{has}; expected numbers, the scale above 0")
    reflective, whole = which in REFLECTIVE, "float" not in dtype
    means = f"value * scale + offset = {'reflectance' if reflective else 'kelvin'}"
    if whole and band.scale == 1:
        raise SceneError(f"{has}; set its scale and offset, so that {means}")
    coarsest, least, shift = (0.1, 0.1, 1.0) if reflective else (10.0, 150.0, 1000.0)
    if abs(band.offset) > shift:
        hint = "; an offset of -1000 before scaling is -0.1" if reflective else ""
        raise SceneError(f"{has}, which is far off; set them so that {means}{hint}")
    if whole and (band.scale > coarsest or np.iinfo(dtype).max * band.scale + band.offset < least):
        raise SceneError(f"{has}, too {'coarse' if band.scale > coarsest else 'small'}; set them so that {means}")


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
    # Between equal systems nothing is computed, so that metres pass for degrees; NaN is in no range.
    if not (abs(bounds.west) <= _TURN and abs(bounds.east) <= _TURN and -91 <= bounds.south <= bounds.north <= 91):
        raise SceneError(
            f"{name}: its extent {extent} lies nowhere on Earth in {crs_text(dataset.crs)[:60]}; "
            "assign the coordinate reference system that its pixels are in"
        )
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


def _numbers(baseline: str) -> list[str]:
    """A baseline to compare: 5.09 is 05.09."""
    return [part.lstrip("0") for part in baseline.split(".")]
