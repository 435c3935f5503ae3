"""Names of bands in the large archives: STAC's common names, and those of Sentinel-2, Landsat, HLS and MODIS.

A number means different bands to different sensors (B5 is red edge to Sentinel-2, near infrared to Landsat 8, shortwave
infrared to Landsat 7; B11 is shortwave infrared to Sentinel-2 and thermal to HLS's Landsat), so such names count only
where the platform is known.
"""

from __future__ import annotations

import re

from satcommon.raster.layers import ALL_BANDS
from satcommon.raster.masks import CLASS_NAMES, DATA_MASK, MASK_ALIASES

#: What counts as `nir` where a file has no band of that name: Landsat's near infrared, Sentinel-2's narrow one. Beside
#: a `nir`, it is a further band.
NARROW_NIR = "nir08"

_ANY = {name: name for name in ALL_BANDS} | {
    "rededge1": "rededge071",
    "rededge2": "rededge075",
    "rededge3": "rededge078",
    "nir_narrow": NARROW_NIR,
    "b8a": NARROW_NIR,
    "swir1": "swir16",
    "swir2": "swir22",
    "lwir": "lwir11",
    "thermal": "lwir11",
    "sur_refl_b01": "red",
    "sur_refl_b02": "nir",
    "sur_refl_b03": "blue",
    "sur_refl_b04": "green",
    "sur_refl_b06": "swir16",
    "sur_refl_b07": "swir22",
}
_SENTINEL_2 = {
    "1": "coastal",
    "2": "blue",
    "3": "green",
    "4": "red",
    "5": "rededge071",
    "6": "rededge075",
    "7": "rededge078",
    "8": "nir",
    "11": "swir16",
    "12": "swir22",
}
_OLI = {"1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "nir", "6": "swir16", "7": "swir22", "10": "lwir11"}
_TM = {"1": "blue", "2": "green", "3": "red", "4": "nir", "5": "swir16", "7": "swir22", "6": "lwir11"}
_SENSORS = {
    r"landsat-?[89]|hls-?l30": _OLI,
    r"landsat-?[4-7]": _TM,
    r"sentinel-?2|hls-?s30": _SENTINEL_2,
}
_NUMBERED = re.compile(r"(?:(?:sr|st)_)?b(?:and)?_?0*(\d{1,2})(?:_\d\dm)?")
_PADDED = re.compile(r"b(\d\d)(?:_\d\dm)?")  # Sentinel-2's and HLS's way of writing


def known_name(text: str | None, platform: str = "") -> str | None:
    """The name of `ALL_BANDS` or `CLASS_NAMES`, or `DATA_MASK`, that a text stands for, if any.

    Args:
        text: a description, or a name that an item gives.
        platform: as ``landsat-8``; without one, `B04` and the like are Sentinel-2's, and other numbers are unknown.
    """
    text = (text or "").strip().lower()
    text = MASK_ALIASES.get(text, text)
    if text in (*CLASS_NAMES, DATA_MASK):
        return text
    text = re.sub(r"[\s-]+", "_", text)
    if text in _ANY:
        return _ANY[text]
    number = _NUMBERED.fullmatch(text)
    if number is None:
        return None
    bands = next(
        (bands for sensor, bands in _SENSORS.items() if re.search(sensor, re.sub(r"[\s_]", "-", platform.lower()))),
        None,
    )
    if bands is None:
        bands = _SENTINEL_2 if _PADDED.fullmatch(text) else {}
    return bands.get(number[1])
