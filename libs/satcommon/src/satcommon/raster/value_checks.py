"""Rules that find values that are not what they are declared to be: scales, offsets, units and fill."""

from __future__ import annotations

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
from satcommon.raster.seen import FEW, Seen, share

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
_CLIPPED = 1.2  # clouds and snow may be clipped to a single value, up to that
_MOST_FILL = 0.05


def offset_applied_twice(seen: Seen) -> str | None:
    """Red below 0 where near infrared is bright: the values have the declared offset in them already."""
    red, nir = seen.clear("red"), seen.clear("nir")
    found = share((red < _NEGATIVE) & (nir > _LIT), red)
    what = "have red below 0 and near infrared above 0.1"
    if found <= _MOST_NEGATIVE:
        cells = seen.landscape("blue", "red", "nir")
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


def below_zero(seen: Seen) -> str | None:
    """Reflectance far below 0, darker than too much correction of the air makes water: an offset that is too low."""
    cells = seen.landscape("red", "nir")
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


def too_bright(seen: Seen) -> str | None:
    """Reflectance beyond that of any land, cloud or snow: a wrong scale, or a missing offset."""
    red, nir = seen.clear("red"), seen.clear("nir")
    white, coloured = share(red > _BRIGHTEST, red), share((nir > _BRIGHTEST_COLOUR) & (nir > _COLOUR * red), red)
    where = "clear cells"
    if white <= _MOST_WHITE and coloured <= _MOST_COLOURED:
        red, nir = seen.covered("red"), seen.covered("nir")
        where = "all cells"
        if len(red) < FEW or share(red > _BRIGHTEST, red) <= _MOST_WHITE:
            return None
    return (
        f"red is {np.nanmedian(red):.2f} and near infrared {np.nanmedian(nir):.2f} in the middle of {where}; "
        "expected reflectance, of at most about 1; correct scale and offset, or state them in satfields.toml"
    )


def too_dark(seen: Seen) -> str | None:
    """Land darker than burnt land or shadow, in all cells: a scale that is too small."""
    cells = seen.landscape("red", "nir")
    if cells is None:
        return None
    red, nir = cells
    green, short = seen.landscape("green"), seen.landscape("swir16")
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


def offset_missing(seen: Seen) -> str | None:
    """A closed canopy that is bright in blue, red and short-wave infrared alike: no haze does that."""
    cells = seen.landscape("blue", "red", "nir", "swir22")
    if cells is None:
        return None
    red, nir = cells[1:3]
    canopy = nir - red > _CONTRAST
    if np.count_nonzero(canopy) < max(FEW, _LEAST_CANOPY * len(red)):
        return None
    dark = [float(np.percentile(band[canopy], 10)) for band in (cells[0], cells[1], cells[3])]
    if min(dark[:2]) < _DARK_OF_CANOPY or dark[2] < max(_DARK_OF_CANOPY, dark[0]):
        return None
    return (
        f"the darkest tenth of dense vegetation is {dark[0]:.2f} in blue, {dark[1]:.2f} in red and {dark[2]:.2f} in "
        f"short-wave infrared; expected below {_DARK_OF_CANOPY:g}; an offset of reflectance is not applied: state it, "
        "as `offset = -0.1`, in satfields.toml or in the STAC item"
    )


def undeclared_fill(seen: Seen) -> str | None:
    """The same value in all reflective bands, in many cells: fill."""
    bands = [seen.stored(band) for band in REFLECTIVE if band in seen.layers.bands]
    clear = seen.classes == PixelClass.CLEAR
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


def not_in_kelvin(seen: Seen) -> str | None:
    """Temperatures of neither land nor cloud: degrees Celsius, or a wrong scale."""
    if not seen.has(THERMAL):
        return None
    band = seen.stored(THERMAL)
    kelvin = band[band != NODATA] * TEMPERATURE_SCALE
    found = share((kelvin < _COLDEST) | (kelvin > _HOTTEST), kelvin)
    if found <= _MOST_THERMAL:
        return None
    return (
        f"{found:.0%} of band {THERMAL} are no temperature of land or cloud (in the middle {np.median(kelvin):.1f}); "
        f"expected kelvin, {_COLDEST:g} to {_HOTTEST:g}; correct its scale and offset, or state them in "
        "satfields.toml, as `offset = 273.15` for degrees Celsius"
    )
