"""Checks of pixels against what is declared of them: scales, offsets and units that can't be right.

A cell counts against a file only where no surface, cloud or snow could look like that, so that true scenes pass: dark
water and shadows are slightly negative in all bands, cloud and snow brighter than 1 in all of them. In 32 scenes of a
square kilometre of farmland, a third of them cloudy, no cell counts, with their masks or without. Of the 20 clear ones,
an offset applied twice is detected in 13 (not in those without vegetation), a scale ten times too large in all.
"""

from __future__ import annotations

from collections.abc import Callable
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
        SceneError: naming the band, what was found and expected, and what to do; of the first check that fails.
    """
    for check in CHECKS:
        if contradiction := check(layers):
            raise SceneError(f"{name}: {contradiction}")


def offset_applied_twice(layers: Layers) -> str | None:
    """Red below 0 where near infrared is bright: the values have the declared offset in them already."""
    red, nir = _clear(layers, "red"), _clear(layers, "nir")
    share = _share((red < _NEGATIVE) & (nir > _LIT), red)
    if share <= _MOST_NEGATIVE:
        return None
    return (
        f"{share:.0%} of clear cells have red below 0 and near infrared above {_LIT:g}; expected none, as of land; an "
        "offset of reflectance is applied that the values have in them already: correct what states it, or state "
        "`offset` in satfields.toml"
    )


def too_bright(layers: Layers) -> str | None:
    """Reflectance beyond that of any land, cloud or snow: a wrong scale, or a missing offset."""
    red, nir = _clear(layers, "red"), _clear(layers, "nir")
    white, coloured = _share(red > _BRIGHTEST, red), _share((nir > _BRIGHTEST_COLOUR) & (nir > _COLOUR * red), red)
    if white <= _MOST_WHITE and coloured <= _MOST_COLOURED:
        return None
    return (
        f"red is {np.nanmedian(red):.2f} and near infrared {np.nanmedian(nir):.2f} in the middle of clear cells; "
        "expected reflectance, of at most about 1; correct scale and offset, or state them in satfields.toml"
    )


def not_in_kelvin(layers: Layers) -> str | None:
    """Temperatures of neither land nor cloud: degrees Celsius, or a wrong scale."""
    if THERMAL not in layers.bands:
        return None
    band = layers.bands[THERMAL]
    kelvin = band[band != NODATA] * TEMPERATURE_SCALE
    share = _share((kelvin < _COLDEST) | (kelvin > _HOTTEST), kelvin)
    if share <= _MOST_THERMAL:
        return None
    return (
        f"{share:.0%} of band {THERMAL} are no temperature of land or cloud (in the middle {np.median(kelvin):.1f}); "
        f"expected kelvin, {_COLDEST:g} to {_HOTTEST:g}; correct its scale and offset, or state them in "
        "satfields.toml, as `offset = 273.15` for degrees Celsius"
    )


CHECKS: tuple[Callable[[Layers], str | None], ...] = (offset_applied_twice, too_bright, not_in_kelvin)
"""The checks of pixels, in the order in which they are made.

Each gets the layers of one file under a region. It gives None where the pixels may be what they are declared to be, and
otherwise what was found, what was expected and what to do. A check is added by a function and a name here; its share
of false alarms on true scenes belongs in the module's docstring.
"""


def _clear(layers: Layers, band: str) -> NDArray[np.float64]:
    """Reflectance of a band in clear cells, NaN where it has no data."""
    values = layers.bands[band][layers.classes == PixelClass.CLEAR]
    return np.where(values == NODATA, np.nan, values * REFLECTANCE_SCALE + REFLECTANCE_OFFSET)


def _share(cells: NDArray[np.bool_], of: NDArray[np.float64]) -> float:
    known = np.count_nonzero(~np.isnan(of))
    return float(np.count_nonzero(cells)) / known if known else 0.0
