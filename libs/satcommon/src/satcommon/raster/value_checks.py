"""Rules that find values that are not what they are declared to be: scales, offsets, units and fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from satcommon.raster.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    REFLECTIVE,
    TEMPERATURE_SCALE,
    THERMAL,
    PixelClass,
)
from satcommon.raster.region_pixels import FEW, RegionPixels, share

if TYPE_CHECKING:
    from satcommon.raster.region_pixels import Reflectance

_NEGATIVE, _LIT = -0.005, 0.1  # reflectance: red below, and near infrared above, are of no land
_NEGATIVE_BLUE, _REDDER, _LIT_SOIL = -0.01, 0.03, 0.05  # blue below, red above it, near infrared above: soil, too dark
_DEEP = -0.03  # below what too much correction of the air leaves of water and shadow
_BRIGHTEST_COLOUR, _COLOUR = 1.2, 1.35  # what is brighter than that is white: near infrared is not so many times red
_BRIGHTEST = 2.0  # of cloud and snow under a low sun
_COLDEST, _HOTTEST = 170.0, 375.0  # kelvin: tops of the highest clouds, and land in fire

_MOST_NEGATIVE, _MOST_BLUE, _MOST_DEEP = 0.05, 0.1, 0.1  # shares of cells that may be so
_MOST_COLOURED, _MOST_WHITE, _MOST_THERMAL = 0.1, 0.5, 0.2

_DARKEST_LAND, _LAND_COLOUR = 0.07, 1.2  # nothing is brighter, and near infrared is above red: no water
_DARKEST_ALONE = 0.055  # likewise, where no short-wave infrared tells a lake in bloom
_WATER_SWIR = 0.01  # water absorbs all of the short-wave infrared
_CONTRAST, _LEAST_CANOPY = 0.35, 0.02  # near infrared less red, as of a closed canopy alone; share of cells
_DARK_OF_CANOPY = 0.09  # it is darker in blue and red; haze makes short-wave infrared no brighter than blue
_GREEN, _GREENEST = 0.25, 0.02  # near infrared less red, in the middle of the greenest share of cells
_DARKEST_OF_ALL = 0.1  # land with some green has darker cells, in blue, red and short-wave infrared alike
_GREY = 1.4  # red over blue of the darkest cells; sand is redder
_DARK_SWIR = 1.3  # short-wave infrared over blue, likewise; haze and cirrus lift blue more
_CLIPPED = 1.2  # clouds and snow may be clipped to a single value, up to that
_MOST_FILL = 0.05


def offset_applied_twice(pixels: RegionPixels) -> str | None:
    """Red below 0 where near infrared is bright: the values have the declared offset in them already."""
    red, nir = pixels.clear("red"), pixels.clear("nir")
    found = share((red < _NEGATIVE) & (nir > _LIT), red)
    what = "have red below 0 and near infrared above 0.1"
    if found <= _MOST_NEGATIVE:
        cells = pixels.landscape("blue", "red", "nir")
        if cells is None:
            return None
        blue, red, nir = cells
        found = share((blue < _NEGATIVE_BLUE) & (red > blue + _REDDER) & (nir > _LIT_SOIL), blue)
        what = "have blue below 0 where red and near infrared are higher"
        if found <= _MOST_BLUE:
            return None
    return (
        f"{found:.0%} of clear cells {what}; expected none, as of land; an "
        "offset of reflectance is applied that the values have in them already: correct what states it, or state "
        "`offset` in satfields.toml"
    )


def below_zero(pixels: RegionPixels) -> str | None:
    """Reflectance far below 0, darker than too much correction of the air makes water: an offset that is too low."""
    cells = pixels.landscape("red", "nir")
    if cells is None:
        return None
    red, nir = cells
    found = share((red < _DEEP) | (nir < _DEEP), red)
    if found <= _MOST_DEEP:
        return None
    return (
        f"{found:.0%} of clear cells have red or near infrared below {_DEEP:g}; expected at most {_MOST_DEEP:.0%}, as "
        "of water and shadow; an offset is too low, or applied twice: correct what states it, or state `offset` in "
        "satfields.toml"
    )


def too_bright(pixels: RegionPixels) -> str | None:
    """Reflectance beyond that of any land, cloud or snow: a wrong scale, or a missing offset."""
    red, nir = pixels.clear("red"), pixels.clear("nir")
    white, coloured = share(red > _BRIGHTEST, red), share((nir > _BRIGHTEST_COLOUR) & (nir > _COLOUR * red), red)
    where = "clear cells"
    if white <= _MOST_WHITE and coloured <= _MOST_COLOURED:
        red, nir = pixels.covered("red"), pixels.covered("nir")
        where = "all cells"
        if len(red) < FEW or share(red > _BRIGHTEST, red) <= _MOST_WHITE:
            return None
    return (
        f"red is {np.nanmedian(red):.2f} and near infrared {np.nanmedian(nir):.2f} in the middle of {where}; "
        "expected reflectance, of at most about 1; correct scale and offset, or state them in satfields.toml"
    )


def too_dark(pixels: RegionPixels) -> str | None:
    """Land darker than burnt land or shadow, in all cells: a scale that is too small."""
    cells = pixels.landscape("red", "nir")
    if cells is None:
        return None
    red, nir = cells
    green, short = pixels.landscape("green"), pixels.landscape("swir16")
    brightest = max(float(np.percentile(band, 99)) for band in (red, nir, *(green or []), *(short or [])))
    if brightest > (_DARKEST_ALONE if short is None else _DARKEST_LAND):
        return None
    if np.median(nir) < max(_LAND_COLOUR * float(np.median(red)), _WATER_SWIR):
        return None
    if short is not None and np.median(short[0]) < _WATER_SWIR:
        return None
    return (
        f"99% of clear cells are below {brightest:.3f} in all bands, with near infrared {np.median(nir):.3f} and red "
        f"{np.median(red):.3f} in the middle; expected land, of which some reflects more than {_DARKEST_LAND:g}; "
        "correct scale and offset, or state them in satfields.toml"
    )


def offset_missing(pixels: RegionPixels) -> str | None:
    """A canopy, or land with some green, whose dark is bright in blue, red and short-wave infrared: haze is not so."""
    cells = pixels.landscape("blue", "red", "nir", "swir22")
    if cells is None:
        return None
    contrast = cells[2] - cells[1]
    canopy = contrast > _CONTRAST
    if np.count_nonzero(canopy) >= max(FEW, _LEAST_CANOPY * len(canopy)):
        dark = [_percentile(band[canopy], 10) for band in (cells[0], cells[1], cells[3])]
        if min(dark[:2]) >= _DARK_OF_CANOPY and dark[2] >= max(_DARK_OF_CANOPY, dark[0]):
            return _missing("the darkest tenth of dense vegetation", dark, _DARK_OF_CANOPY)
    dark = [_percentile(band, 1) for band in (cells[0], cells[1], cells[3])]
    if min(dark) >= _DARKEST_OF_ALL and _brightened_alike(dark, contrast):
        return _missing("the darkest hundredth of land with some green", dark, _DARKEST_OF_ALL)
    return None


def _brightened_alike(dark: list[float], contrast: Reflectance) -> bool:
    """Whether the dark of land with some green is as an offset makes it, and as neither haze nor sand does.

    Args:
        dark: the darkest hundredth of blue, red and short-wave infrared.
        contrast: near infrared less red, of clear cells.
    """
    blue, red, swir22 = dark
    greenest = np.sort(contrast)[-max(FEW, int(_GREENEST * len(contrast))) :]
    return bool(np.median(greenest) > _GREEN and red < _GREY * blue and swir22 >= _DARK_SWIR * blue)


def _missing(what: str, dark: list[float], limit: float) -> str:
    return (
        f"{what} is {dark[0]:.2f} in blue, {dark[1]:.2f} in red and {dark[2]:.2f} in short-wave infrared; expected "
        f"below {limit:g}; an offset of reflectance is not applied: state it, as `offset = -0.1`, in satfields.toml or "
        "in the STAC item"
    )


def _percentile(values: Reflectance, percent: float) -> float:
    return float(np.percentile(values, percent))


def undeclared_fill(pixels: RegionPixels) -> str | None:
    """The same value in all reflective bands, in many cells: fill."""
    bands = [pixels.stored(band) for band in REFLECTIVE if band in pixels.layers.bands]
    clear = pixels.classes == PixelClass.CLEAR
    for band in bands:
        clear = clear & (band != NODATA)
    if np.count_nonzero(clear) < FEW:
        return None
    first, *others = (band[clear] for band in bands)
    same = np.logical_and.reduce([first == other for other in others])
    if np.count_nonzero(same) <= _MOST_FILL * len(first):
        return None
    counts = np.bincount(first[same])
    stored = int(counts.argmax())
    found, value = float(counts[stored]) / len(first), stored * REFLECTANCE_SCALE + REFLECTANCE_OFFSET
    if 0 < value <= _CLIPPED or found <= _MOST_FILL:
        return None
    return (
        f"{found:.0%} of clear cells are {value:.4f} in all of {len(bands)} bands; expected land, which varies; it is "
        "fill: declare the value as nodata in the file, or state `nodata` in satfields.toml"
    )


def not_in_kelvin(pixels: RegionPixels) -> str | None:
    """Temperatures of neither land nor cloud: degrees Celsius, or a wrong scale."""
    if not pixels.has(THERMAL):
        return None
    band = pixels.stored(THERMAL)
    kelvin = band[band != NODATA] * TEMPERATURE_SCALE
    found = share((kelvin < _COLDEST) | (kelvin > _HOTTEST), kelvin)
    if found <= _MOST_THERMAL:
        return None
    return (
        f"{found:.0%} of band {THERMAL} are no temperature of land or cloud (in the middle {np.median(kelvin):.1f}); "
        f"expected kelvin, {_COLDEST:g} to {_HOTTEST:g}; correct its scale and offset, or state them in "
        "satfields.toml, as `offset = 273.15` for degrees Celsius"
    )
