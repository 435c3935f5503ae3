"""Rules that hold a file's classes against its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from satcommon.raster.layers import PixelClass
from satcommon.raster.region_pixels import FEW, RegionPixels

if TYPE_CHECKING:
    from satcommon.raster.region_pixels import Reflectance

_DARK_CLOUD, _BRIGHT_LAND, _BETWEEN = 0.18, 0.3, 0.15  # red in the middle of a class
_MANY, _MANY_OF_TWO = 2_000, 40_000  # cells: wider than what masks, and masks of two values, add around a cloud
_HALF, _NOTHING_ELSE, _MUCH = 0.5, 0.95, 0.3  # shares of a class
_WHITE, _GREY, _HUE, _DRY = 0.35, 0.1, 0.95, 0.2  # cloud's red, NDVI, blue to red, short-wave infrared (not snow's)
_DARK, _TRACE = 0.22, 0.01  # red of land, brighter only on a share of cells that may be cloud
_SUNLIT_NIR, _SUNLIT_RED = 0.25, 0.06  # of vegetation that neither cirrus nor a shadow covers
_WITH_CIRRUS = ("scl", "classes", "qa_pixel", "pixel_qa", "qa60")  # masks that tell it, and shadow, from cloud
_SOME = 50  # cells
_MOST_BEYOND = 0.5  # of the region's area


def mask_inverted(pixels: RegionPixels) -> str | None:
    """Cloud that is dark and land that is white: the mask means the reverse."""
    if not pixels.mask:
        return None
    cloud, clear = (_known(pixels.of_class(kind, "red")) for kind in (PixelClass.CLOUD, PixelClass.CLEAR))
    if not (_contrary(pixels, cloud, clear) or _all_dark(pixels, cloud) or _all_cloud(pixels, clear)):
        return None
    told = [
        f"{name} has red {np.median(red):.2f} in the middle ({len(red):,} cells)"
        for name, red in (("cloud", cloud), ("what is clear", clear))
        if len(red)
    ]
    return (
        f"{' and '.join(told)}; expected cloud to be white, and land to be dark; the mask is inverted: correct it, or "
        "name its band in satfields.toml as what it is, as `clear` or `cloud`"
    )


def cloud_contradicts_item(pixels: RegionPixels) -> str | None:
    """More cloud, or more clear land, than the item can have in the whole of its area."""
    if not pixels.mask or pixels.said is None:
        return None
    known = np.count_nonzero(pixels.classes != PixelClass.NODATA)
    if known < max(FEW, pixels.classes.size // 2):
        return None
    cloud, clear = (np.count_nonzero(pixels.classes == kind) / known for kind in (PixelClass.CLOUD, PixelClass.CLEAR))
    share, regions = pixels.said.share, max(1.0, pixels.said.regions)
    if cloud - share * regions <= _MOST_BEYOND and clear - (1 - share) * regions <= _MOST_BEYOND:
        return None
    return (
        f"the mask has cloud in {cloud:.0%} of the region and none in {clear:.0%}, but the item states eo:cloud_cover "
        f"{share * 100:g} for {regions:,.1f} times its area; expected about as much; one is of another acquisition, or "
        "the mask means the reverse: correct the item, or the mask"
    )


def _contrary(pixels: RegionPixels, cloud: Reflectance, clear: Reflectance) -> bool:
    """Dark cloud beside white land; where the dark may be shadow, the land must be cloud, not sand, salt or snow."""
    if min(len(cloud), len(clear)) < _SOME or len(cloud) + len(clear) < FEW:
        return False
    dark, bright = float(np.median(cloud)), float(np.median(clear))
    if dark >= _DARK_CLOUD or bright <= _BRIGHT_LAND or bright - dark <= _BETWEEN:
        return False
    if pixels.mask in _WITH_CIRRUS:
        return True
    cells = pixels.landscape("blue", "red", "swir16")
    if cells is None:
        return False
    blue, red, short = (float(np.median(band)) for band in cells)
    return bool(blue > _HUE * red and short > _DRY)


def _all_dark(pixels: RegionPixels, cloud: Reflectance) -> bool:
    """Much cloud, without a cell that is bright; nothing but cloud, where it may be shadow too, and land in the sun."""
    if pixels.mask in _WITH_CIRRUS:
        bright = np.count_nonzero(cloud > _DARK)
        return _prevail(pixels, cloud, _MANY, _HALF) and bool(bright < _TRACE * len(cloud))
    if not _prevail(pixels, cloud, _MANY_OF_TWO, _NOTHING_ELSE):
        return False
    red, nir = pixels.of_class(PixelClass.CLOUD, "red"), pixels.of_class(PixelClass.CLOUD, "nir")
    return bool(np.count_nonzero((red < _SUNLIT_RED) & (nir > _SUNLIT_NIR)) > _MUCH * len(red))


def _all_cloud(pixels: RegionPixels, clear: Reflectance) -> bool:
    """Nothing but clear cells, each of them as white as cloud, and not as snow or salt."""
    cells = pixels.landscape("blue", "red", "nir", "swir16")
    if cells is None or not _prevail(pixels, clear, FEW, _NOTHING_ELSE):
        return False
    blue, red, nir, short = cells
    white = (red > _WHITE) & (np.abs(nir - red) < _GREY * (nir + red)) & (blue > _HUE * red) & (short > _DRY)
    return bool(np.count_nonzero(white) > _NOTHING_ELSE * len(red))


def _prevail(pixels: RegionPixels, cells: Reflectance, least: int, part: float) -> bool:
    return bool(len(cells) >= least and len(cells) > part * np.count_nonzero(pixels.classes != PixelClass.NODATA))


def _known(values: Reflectance) -> Reflectance:
    return values[~np.isnan(values)]
