"""The harmonised content of a scene: the same bands, scale and classes whatever the source.

Reflectance is kept as uint16 with the scale and offset of Sentinel-2 since baseline 04.00, so that slightly negative
surface reflectance survives and 0 is free for nodata. Bands have the common names of STAC's `eo` extension.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REFLECTIVE = ("blue", "green", "red", "nir", "swir16", "swir22")
THERMAL = "lwir11"
BANDS = (*REFLECTIVE, THERMAL)
# Read where the algorithm version of the region needs them, and only there; scenes without them stay what they are.
FURTHER = ("coastal", "rededge071", "rededge075", "rededge078", "nir08")
ALL_BANDS = (*BANDS, *FURTHER)  # the order of bands in scenes
CLASSES = "classes"  # the name of the class band in a scene's file; always its last band
ITEM = "item"  # the band before it, where a scene has several items: the number of the one that provides a cell, from 1

NODATA = 0
REFLECTANCE_SCALE, REFLECTANCE_OFFSET = 1e-4, -0.1  # reflectance = scale * value + offset
TEMPERATURE_SCALE = 0.01  # kelvin = scale * value


class PixelClass(IntEnum):
    """What a cell shows. Not covered by the swath (NODATA) is not the same as cloudy."""

    NODATA = 0
    CLEAR = 1
    CLOUD = 2
    THIN_CLOUD = 3
    SHADOW = 4
    SNOW = 5
    WATER = 6
    DEFECTIVE = 7


@dataclass(frozen=True)
class Layers:
    """Harmonised rasters on one grid.

    Args:
        bands: by name of `ALL_BANDS`, in that order, uint16 of shape (rows, columns); 0 is nodata.
        classes: `PixelClass` values, uint8 of shape (rows, columns).
    """

    bands: dict[str, NDArray[np.uint16]]
    classes: NDArray[np.uint8]
