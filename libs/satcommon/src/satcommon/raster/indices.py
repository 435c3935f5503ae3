"""Spectral indices and temperature of harmonised cells. Formulas are those of spyndex's catalogue, by its names.

NDVI: Rouse et al. 1974, (N - R) / (N + R). NDMI: Gao 1996, (N - S1) / (N + S1), the canopy's moisture.
An index is computed per cell from reflectance: the mean of ratios is not the ratio of means, and a forgotten offset
turns an NDVI of 0.82 into 0.51.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satcommon.raster.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
)

Cells = Mapping[str, NDArray[np.uint16]]
Layer = tuple[NDArray[np.float64], NDArray[np.bool_]]
_KELVIN = 273.15


class Index(NamedTuple):
    """An index: its name in spyndex's catalogue, its bands, and its formula, whose arguments are their reflectances."""

    name: str
    bands: tuple[str, ...]
    formula: Callable[..., NDArray[np.float64]]


def _normalised_difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return (one - other) / (one + other)


# By our column. Computed here, since spyndex reads its catalogue anew at each call; a test holds both to the same bits.
INDICES = {
    "ndvi": Index("NDVI", ("nir", "red"), _normalised_difference),
    "ndmi": Index("NDMI", ("nir", "swir16"), _normalised_difference),
}
ALWAYS = ("ndvi", "ndmi")  # in every row; a rule of the algorithm version asks for each of the others


def reflectance(cells: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Surface reflectance of harmonised values."""
    return cells.astype(np.float64) * REFLECTANCE_SCALE + REFLECTANCE_OFFSET


def layers(cells: Cells, further: Collection[str] = ()) -> dict[str, Layer]:
    """The layers that statistics are taken of, from gathered cells.

    Args:
        cells: by band, uint16 of shape (entries,), 0 where there is no data.
        further: indices that are wanted beside those of `ALWAYS`.

    Returns:
        Indices and `lst_c` (degrees Celsius): values of shape (entries,) and where they are valid. A layer whose
        bands the scene lacks is not there.
    """
    found: dict[str, Layer] = {}
    surfaces: dict[str, NDArray[np.float64]] = {}
    for column in (*ALWAYS, *further):
        index = INDICES[column]
        if all(band in cells for band in index.bands):
            for band in index.bands:
                surfaces.setdefault(band, reflectance(cells[band]))
            with np.errstate(invalid="ignore", divide="ignore"):
                values = index.formula(*(surfaces[band] for band in index.bands))
            # A negative reflectance makes the ratio meaningless: beyond 1 where signs differ, of the wrong sign where
            # both are negative, infinite where they cancel.
            valid = np.isfinite(values)
            for band in index.bands:
                valid &= (cells[band] != NODATA) & (surfaces[band] >= 0)
            found[column] = (values, valid)
    if THERMAL in cells:
        found["lst_c"] = (cells[THERMAL].astype(np.float64) * TEMPERATURE_SCALE - _KELVIN, cells[THERMAL] != NODATA)
    return found
