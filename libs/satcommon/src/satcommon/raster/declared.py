"""Metadata that a STAC item or `satfields.toml` declares of a file; it overrides what the file itself says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from satcommon.raster.layers import FURTHER
from satcommon.raster.product import Level, Tier
from satcommon.raster.region_pixels import StatedCloud

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds

_OF_CONTENT = ("platform", "baseline", "overpass", "tile", "sensed_at", "every", "names_all")  # and `bands`

FIRST_YEAR, LAST_YEAR = 1970, 2100  # of sensing: a year outside is a damaged value


@dataclass(frozen=True)
class DeclaredBand:
    """What is declared of a band; None where nothing is.

    Args:
        name: of `ALL_BANDS` or `CLASS_NAMES`, or `DATA_MASK`.
        scale: value * scale + offset = reflectance or kelvin.
        offset: see `scale`.
        nodata: finite; replaces the nodata value of the file, not its mask.
    """

    name: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None

    def over(self, other: DeclaredBand) -> DeclaredBand:
        """What is declared here, and where nothing is, what the other declares."""
        return DeclaredBand(**asdict(other) | {key: value for key, value in asdict(self).items() if value is not None})


class DeclaredCloud(NamedTuple):
    """The cloud of an item: its share of the item's area, 0 to 1, and the item's bounding box in WGS 84."""

    share: float
    west: float
    south: float
    east: float
    north: float

    def as_seen_from(self, bounds: Bounds) -> StatedCloud:
        """What the item states, for a region within it."""
        width, height = (self.east - self.west) % 360, self.north - self.south
        area = (bounds.east - bounds.west) * (bounds.north - bounds.south)
        return StatedCloud(self.share, width * height / area)


@dataclass(frozen=True)
class DeclaredMetadata:
    """What is declared of a file; empty where nothing is.

    Args:
        bands: by number, from 1.
        every: scale and offset of all reflective bands, nodata of all but class bands, where `bands` has none.
        names_all: a band without a name here has none; otherwise its description counts.
        published_at: not part of the digest, since it says nothing of the content; nor is what follows, which only
            decides whether the file is taken, and which of several counts.
        other_baselines: Sentinel-2's, from the item's id and product name.
        level: of processing.
        tier: of Landsat.
        processed_at: UTC.
        offset_applied: whether the values already include Sentinel-2's offset (`boa_offset_applied`).
        cloud: what a STAC item states of the cloud in the whole of it.
        ruled_offsets: offsets in `satfields.toml`, by number of the band, 0 for all: its owner has the last word.
    """

    platform: str = ""
    baseline: str = ""
    overpass: str = ""
    tile: str = ""
    sensed_at: datetime | None = None
    published_at: datetime | None = None
    bands: Mapping[int, DeclaredBand] = field(default_factory=dict)
    every: DeclaredBand = DeclaredBand()
    names_all: bool = False
    other_baselines: tuple[str, ...] = ()
    level: Level | None = None
    tier: Tier = Tier.UNSTATED
    processed_at: datetime | None = None
    offset_applied: bool | None = None
    ruled_offsets: Mapping[int, float] = field(default_factory=dict)
    cloud: DeclaredCloud | None = None

    def over(self, other: DeclaredMetadata) -> DeclaredMetadata:
        """What is declared here, and where nothing is, what the other declares."""
        bands = {n: self.of_band(n).over(other.of_band(n)) for n in sorted(self.bands.keys() | other.bands.keys())}
        stated = {
            key: getattr(other, key) if getattr(self, key) == default else getattr(self, key)
            for key, default in asdict(DeclaredMetadata()).items()
        }
        return DeclaredMetadata(**stated | {"bands": bands, "every": self.every.over(other.every)})

    def ruled(self, number: int, offset: float) -> bool:
        """Whether `satfields.toml` states exactly this offset for a band."""
        stated = self.ruled_offsets.get(number, self.ruled_offsets.get(0))
        return stated is not None and abs(stated - offset) < 1e-9

    def of_band(self, number: int) -> DeclaredBand:
        """What is declared of the band with a number."""
        return self.bands.get(number, DeclaredBand())

    def upon(self, content: str, further: Collection[str] = ()) -> str:
        """The digest of a content together with what is declared of it; the content's own where nothing is declared.

        Args:
            content: its digest.
            further: bands of `FURTHER` that are wanted.
        """
        declared = self.digest_with(further)
        return hashlib.sha256(f"{content} {declared}".encode()).hexdigest() if declared else content

    @property
    def digest(self) -> str:
        """Identifies what is declared of the content; empty where nothing is."""
        return self.digest_with(())

    def digest_with(self, further: Collection[str]) -> str:
        """Identifies what is declared of the content where further bands are wanted."""
        # Names of bands that are passed over must not change digests: they came later than the items that have them.
        passed = [band for band in FURTHER if band not in further]
        bands = {n: replace(band, name=None) if band.name in passed else band for n, band in self.bands.items()}
        content = replace(DeclaredMetadata(bands=bands), **{key: getattr(self, key) for key in _OF_CONTENT})
        if content == DeclaredMetadata():
            return ""
        stated = asdict(content)
        covered = {key: stated[key] for key in (*_OF_CONTENT, "bands", "published_at")}
        return hashlib.sha256(json.dumps(covered, default=str, sort_keys=True).encode()).hexdigest()
