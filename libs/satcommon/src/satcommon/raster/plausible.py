"""What is found in pixels, held against what they are said to be: scales, offsets and units that can't be.

A cell counts against a file only where no surface, cloud or snow could look so, so that true scenes pass: dark water
and shadows are slightly negative in all bands, cloud and snow brighter than 1 in all of them. In 32 scenes of a square
kilometre of farmland, a third of them clouded, no cell does, with their masks or without. Of the 20 clear ones the
offset applied twice is found in 13 (not in those without vegetation), a scale ten times too large in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from satcommon.errors import SceneError
from satcommon.raster.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
    Layers,
    PixelClass,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEGATIVE, _LIT = -0.005, 0.1  # reflectance: red below, and near infrared above, are of no land
_BRIGHTEST_COLOUR, _COLOUR = 1.2, 1.35  # what is brighter than that is white: near infrared is not so many times red
_BRIGHTEST = 2.0  # of cloud and snow under a low sun
_COLDEST, _HOTTEST = 170.0, 375.0  # kelvin: tops of the highest clouds, and land in fire

_MOST_NEGATIVE, _MOST_COLOURED, _MOST_WHITE, _MOST_THERMAL = 0.05, 0.1, 0.5, 0.2  # shares of cells that may be so


def check_pixels(layers: Layers, name: str) -> None:
    """Refuse harmonised pixels that can't be reflectance of what they show, or kelvin.

    Args:
        layers: of one file under a region.
        name: its path, for messages.

    Raises:
        SceneError: naming the band, what was found and expected, and what to do.
    """
    clear = layers.classes == PixelClass.CLEAR
    red, nir = (_reflectance(layers.bands[band][clear]) for band in ("red", "nir"))
    share = _share((red < _NEGATIVE) & (nir > _LIT), red)
    if share > _MOST_NEGATIVE:
        raise SceneError(
            f"{name}: {share:.0%} of clear cells have red below 0 and near infrared above {_LIT:g}; expected none, "
            "as of land; an offset of reflectance is applied that the values have in them already: correct what "
            "states it, or state `offset` in satfields.toml"
        )
    white, coloured = _share(red > _BRIGHTEST, red), _share((nir > _BRIGHTEST_COLOUR) & (nir > _COLOUR * red), red)
    if white > _MOST_WHITE or coloured > _MOST_COLOURED:
        raise SceneError(
            f"{name}: red is {np.nanmedian(red):.2f} and near infrared {np.nanmedian(nir):.2f} in the middle of clear "
            "cells; expected reflectance, of at most about 1; correct scale and offset, or state them in satfields.toml"
        )
    if THERMAL in layers.bands:
        _check_thermal(layers.bands[THERMAL], name)


def _check_thermal(band: NDArray[np.uint16], name: str) -> None:
    kelvin = band[band != NODATA] * TEMPERATURE_SCALE
    share = _share((kelvin < _COLDEST) | (kelvin > _HOTTEST), kelvin)
    if share > _MOST_THERMAL:
        raise SceneError(
            f"{name}: {share:.0%} of band {THERMAL} are no temperature of land or cloud (in the middle "
            f"{np.median(kelvin):.1f}); expected kelvin, {_COLDEST:g} to {_HOTTEST:g}; correct its scale and offset, "
            "or state them in satfields.toml, as `offset = 273.15` for degrees Celsius"
        )


def _reflectance(values: NDArray[np.uint16]) -> NDArray[np.float64]:
    return np.where(values == NODATA, np.nan, values * REFLECTANCE_SCALE + REFLECTANCE_OFFSET)


def _share(cells: NDArray[np.bool_], of: NDArray[np.float64]) -> float:
    known = np.count_nonzero(~np.isnan(of))
    return float(np.count_nonzero(cells)) / known if known else 0.0
