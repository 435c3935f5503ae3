"""Spectral indices and temperature of harmonised cells. Formulas are those of spyndex's catalogue, by its names.

NDVI: Rouse et al. 1974, (N - R) / (N + R). NDMI: Gao 1996, (N - S1) / (N + S1), the canopy's moisture.
An index is computed per cell from reflectance: the mean of ratios is not the ratio of means, and a forgotten offset
turns an NDVI of 0.82 into 0.51.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from satcommon.raster.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
)

# Our column: its name in spyndex's catalogue, and the two bands whose normalised difference it is. Computed here, since
# spyndex reads its catalogue anew at each call; a test holds both to the same bits.
INDICES = {"ndvi": ("NDVI", ("nir", "red")), "ndmi": ("NDMI", ("nir", "swir16"))}
_KELVIN = 273.15

Cells = Mapping[str, NDArray[np.uint16]]
Layer = tuple[NDArray[np.float64], NDArray[np.bool_]]


def reflectance(cells: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Surface reflectance of harmonised values."""
    return cells.astype(np.float64) * REFLECTANCE_SCALE + REFLECTANCE_OFFSET


def layers(cells: Cells) -> dict[str, Layer]:
    """The layers that statistics are taken of, from gathered cells.

    Args:
        cells: by band, uint16 of shape (entries,), 0 where there is no data.

    Returns:
        `ndvi`, `ndmi`, `lst_c` (degrees Celsius): values of shape (entries,) and where they are valid. A layer whose
        bands the scene lacks is not there.
    """
    found: dict[str, Layer] = {}
    surfaces: dict[str, NDArray[np.float64]] = {}
    for column, (_, bands) in INDICES.items():
        if all(band in cells for band in bands):
            for band in bands:
                surfaces.setdefault(band, reflectance(cells[band]))
            one, other = (surfaces[band] for band in bands)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = (one - other) / (one + other)
            # A negative reflectance makes the ratio meaningless: beyond 1 where signs differ, of the wrong sign where
            # both are negative, infinite where they cancel.
            valid = (cells[bands[0]] != NODATA) & (cells[bands[1]] != NODATA)
            valid &= np.isfinite(values) & (one >= 0) & (other >= 0)
            found[column] = (values, valid)
    if THERMAL in cells:
        found["lst_c"] = (cells[THERMAL].astype(np.float64) * TEMPERATURE_SCALE - _KELVIN, cells[THERMAL] != NODATA)
    return found
