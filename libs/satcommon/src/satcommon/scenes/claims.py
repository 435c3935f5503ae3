"""What is stated of a file beside it, by its STAC item or by `satfields.toml`; it stands above the file's own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from satcommon.scenes.layers import BANDS
from satcommon.scenes.masks import CLASS_NAMES, DATA_MASK, MASK_ALIASES

FIRST_YEAR, LAST_YEAR = 1970, 2100  # of sensing: what is far from them is a damaged value

#: Names of bands in lower case: STAC's common names, Sentinel-2's band names, and plain aliases.
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


def known_name(text: str | None) -> str | None:
    """The name of `BANDS` or `CLASS_NAMES`, or `DATA_MASK`, that a text stands for, if any."""
    text = (text or "").strip().lower()
    text = MASK_ALIASES.get(text, text)
    return text if text in (*CLASS_NAMES, DATA_MASK) else BAND_NAMES.get(text)


@dataclass(frozen=True)
class BandClaim:
    """What is stated of a band; None where nothing is.

    Args:
        name: of `BANDS` or `CLASS_NAMES`, or `DATA_MASK`.
        scale: value * scale + offset = reflectance or kelvin.
        offset: see `scale`.
        nodata: finite; replaces the nodata value that the file states, not its mask.
    """

    name: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None

    def over(self, other: BandClaim) -> BandClaim:
        """These claims, and where there is none the other's."""
        return BandClaim(**asdict(other) | {key: value for key, value in asdict(self).items() if value is not None})


@dataclass(frozen=True)
class Claims:
    """What is stated of a file; empty where nothing is.

    Args:
        bands: by number, from 1.
        every: scale and offset of all reflective bands, nodata of all but class bands, where `bands` states none.
        names_all: a band without a name here has none; else its description counts.
        published_at: is no part of the digest, since it says nothing of the content.
    """

    platform: str = ""
    baseline: str = ""
    overpass: str = ""
    tile: str = ""
    sensed_at: datetime | None = None
    published_at: datetime | None = None
    bands: Mapping[int, BandClaim] = field(default_factory=dict)
    every: BandClaim = BandClaim()
    names_all: bool = False

    def over(self, other: Claims) -> Claims:
        """These claims, and where there is none the other's."""
        bands = {n: self.of_band(n).over(other.of_band(n)) for n in sorted(self.bands.keys() | other.bands.keys())}
        stated = {
            key: getattr(self, key) or getattr(other, key)
            for key in ("platform", "baseline", "overpass", "tile", "sensed_at", "published_at", "names_all")
        }
        return Claims(**stated, bands=bands, every=self.every.over(other.every))

    def of_band(self, number: int) -> BandClaim:
        """What is stated of the band with a number."""
        return self.bands.get(number, BandClaim())

    def upon(self, content: str) -> str:
        """A digest of these claims and of a content with a digest: that one, where nothing is claimed."""
        return hashlib.sha256(f"{content} {self.digest}".encode()).hexdigest() if self.digest else content

    @property
    def digest(self) -> str:
        """Names what is stated of the content; empty where nothing is."""
        content = replace(self, published_at=None)
        if content == Claims():
            return ""
        return hashlib.sha256(json.dumps(asdict(content), default=str, sort_keys=True).encode()).hexdigest()
