"""Class bands, which say what each pixel shows: the kinds that are known, and their values as `PixelClass`.

Where the bits of a cell say several things, the first of fill, cloud, shadow, thin cloud, snow, water counts. A value
without a meaning is DEFECTIVE: what a mask does not call clear is never clear.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from satcommon.raster.layers import PixelClass

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODES: dict[str, dict[int, PixelClass]] = {
    "classes": {int(code): code for code in PixelClass},
    # Sentinel-2's scene classification (ESA, Level-2A product). Unclassified pixels have a low cloud probability.
    "scl": {
        0: PixelClass.NODATA,
        1: PixelClass.DEFECTIVE,  # saturated or defective
        2: PixelClass.SHADOW,  # dark area: cast by terrain
        3: PixelClass.SHADOW,  # of a cloud
        4: PixelClass.CLEAR,  # vegetation
        5: PixelClass.CLEAR,  # not vegetated
        6: PixelClass.WATER,
        7: PixelClass.CLEAR,  # unclassified
        8: PixelClass.CLOUD,  # medium probability
        9: PixelClass.CLOUD,  # high probability
        10: PixelClass.THIN_CLOUD,  # cirrus
        11: PixelClass.SNOW,
    },
    # The program Fmask's (Qiu, Zhu and He 2019, Remote Sensing of Environment 231, 111205). HLS's band of that name has
    # other values: `hls_fmask`.
    "fmask": {
        0: PixelClass.CLEAR,  # land
        1: PixelClass.WATER,
        2: PixelClass.SHADOW,
        3: PixelClass.SNOW,
        4: PixelClass.CLOUD,
        255: PixelClass.NODATA,
    },
    # Sentinel Hub's cloud mask and cloud probability (s2cloudless), the latter in 255ths; the mask takes 0.4 and more.
    "clm": {0: PixelClass.CLEAR, 1: PixelClass.CLOUD, 255: PixelClass.NODATA},
    "clp": {value: PixelClass.CLOUD if value >= 102 else PixelClass.CLEAR for value in range(256)},
    # Sentinel-2's QA60, as Earth Engine has it: bit 10 opaque clouds, bit 11 cirrus.
    "qa60": {
        0: PixelClass.CLEAR,
        1 << 10: PixelClass.CLOUD,
        1 << 11: PixelClass.THIN_CLOUD,
        1 << 10 | 1 << 11: PixelClass.CLOUD,
    },
    "clear": {0: PixelClass.CLOUD, 1: PixelClass.CLEAR},
    "cloud": {0: PixelClass.CLEAR, 1: PixelClass.CLOUD},
    "cloud_mask": {0: PixelClass.CLEAR, 1: PixelClass.CLOUD},
    "mask": {0: PixelClass.CLEAR, 1: PixelClass.CLOUD},
}
#: Descriptions of class bands, the most informative first.
CLASS_NAMES = (
    "classes",
    "scl",
    "qa_pixel",
    "pixel_qa",
    "hls_fmask",
    "fmask",
    "clm",
    "qa60",
    "clp",
    "clear",
    "cloud",
    "cloud_mask",
    "mask",
)
#: Kinds that the first version did not know, or read otherwise (see `header.Header.reading`).
NEWER_CLASS_NAMES = ("pixel_qa", "hls_fmask", "clm", "qa60", "clp", "mask")
#: Describes a band that is 0 where there is no data, and says no more. It counts beside a band of `CLASS_NAMES`.
DATA_MASK = "datamask"
#: Other descriptions of these bands, in lower case.
MASK_ALIASES = {
    "data_mask": DATA_MASK,
    "scene_classification": "scl",
    "scene classification": "scl",
    "scl_20m": "scl",
    "scl_60m": "scl",
}

# Descriptions that look like those of class bands, and some of other bands that look alike.
_LOOKS_LIKE_CLASSES = re.compile(
    r"cloud|cld|mask|msk|shadow|snow|haze|quality|classif|(?<![a-z])(?:b?qa|qc|scl|udm|clm|clp|flags?|class|state)(?![a-z])"
)
_OTHERS = {"qa_radsat", "radsat_qa", "qa_aerosol", "sr_qa_aerosol", "st_qa"}


def looks_like_classes(description: str) -> bool:
    """Whether an unknown description, in lower case, may be that of a class band."""
    return description not in _OTHERS and bool(_LOOKS_LIKE_CLASSES.search(description))


def translate(raw: NDArray[Any], kind: str) -> NDArray[np.uint8]:
    """Values of a class band of a kind of `CLASS_NAMES` as `PixelClass`, of the same shape."""
    known = (raw >= 0) & (raw <= 65535) & (raw == np.floor(raw))
    classes: NDArray[np.uint8] = _table(kind)[np.where(known, raw, 0).astype(np.uint16)]
    classes[~known] = PixelClass.DEFECTIVE
    return classes


@cache
def _table(kind: str) -> NDArray[np.uint8]:
    """The class of every value of 16 bits."""
    if kind == "qa_pixel":
        return _qa_pixel(np.arange(65536))
    if kind == "pixel_qa":
        return _pixel_qa(np.arange(65536))
    if kind == "hls_fmask":
        return _hls_fmask(np.arange(65536))
    table = np.full(65536, PixelClass.DEFECTIVE, np.uint8)
    for code, shows in _CODES[kind].items():
        table[code] = shows
    return table


def _qa_pixel(value: NDArray[Any]) -> NDArray[np.uint8]:
    """Landsat Collection 2's QA_PIXEL (USGS, LSDS-1328: Landsat 8-9 Collection 2 Level 2 Data Format Control Book).

    Bits: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow, 5 snow, 6 clear (neither cloud nor dilated cloud),
    7 water; then of two bits each the confidence (0 none, 1 low, 2 medium, 3 high) in 8 cloud, 10 shadow, 12 snow, 14
    cirrus. Only clouds have a medium confidence; it counts as cloud, as in Sentinel-2's classes.
    """

    def high(shift: int, least: int = 3) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (value >> shift & 3) >= least
        return found

    return _first(
        (_bit(value, 0), PixelClass.NODATA),
        (_bit(value, 1) | _bit(value, 3) | high(8, least=2), PixelClass.CLOUD),
        (_bit(value, 4) | high(10), PixelClass.SHADOW),
        (_bit(value, 2) | high(14), PixelClass.THIN_CLOUD),
        (_bit(value, 5) | high(12), PixelClass.SNOW),
        (_bit(value, 7), PixelClass.WATER),
        (_bit(value, 6), PixelClass.CLEAR),
    )


def _pixel_qa(value: NDArray[Any]) -> NDArray[np.uint8]:
    """The pixel_qa of Landsat Collection 1 (USGS, LSDS-1368: Landsat 8 Collection 1 LaSRC Product Guide).

    Bits: 0 fill, 1 clear, 2 water, 3 cloud shadow, 4 snow, 5 cloud, 10 terrain occlusion; then of two bits each the
    confidence (1 low, 2 medium, 3 high) in 6 cloud, 8 cirrus. A medium confidence counts as cloud, as in `qa_pixel`.
    """
    return _first(
        (_bit(value, 0), PixelClass.NODATA),
        (_bit(value, 5) | ((value >> 6 & 3) >= 2), PixelClass.CLOUD),
        (_bit(value, 3), PixelClass.SHADOW),
        ((value >> 8 & 3) == 3, PixelClass.THIN_CLOUD),
        (_bit(value, 4), PixelClass.SNOW),
        (_bit(value, 2), PixelClass.WATER),
        (_bit(value, 1) & ~_bit(value, 10), PixelClass.CLEAR),
    )


def _hls_fmask(value: NDArray[Any]) -> NDArray[np.uint8]:
    """The Fmask band of HLS 2.0 (NASA, Harmonized Landsat Sentinel-2 Product User Guide, quality assessment layer).

    Bits: 0 cirrus (reserved), 1 cloud, 2 next to cloud or shadow, 3 shadow, 4 snow or ice, 5 water, 6 and 7 aerosol,
    which has no effect here. 255 is fill; more than a byte is no value of this band.
    """
    return _first(
        (value == 255, PixelClass.NODATA),
        (value > 255, PixelClass.DEFECTIVE),
        (_bit(value, 1) | _bit(value, 2), PixelClass.CLOUD),
        (_bit(value, 3), PixelClass.SHADOW),
        (_bit(value, 0), PixelClass.THIN_CLOUD),
        (_bit(value, 4), PixelClass.SNOW),
        (_bit(value, 5), PixelClass.WATER),
        (value >= 0, PixelClass.CLEAR),
    )


def _bit(value: NDArray[Any], number: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (value >> number & 1) == 1
    return found


def _first(*rules: tuple[NDArray[np.bool_], PixelClass]) -> NDArray[np.uint8]:
    """Each value's class by the first rule that holds for it; DEFECTIVE where none does."""
    where, shows = zip(*rules, strict=True)
    return np.select(where, [np.uint8(code) for code in shows], np.uint8(PixelClass.DEFECTIVE))
