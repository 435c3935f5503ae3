"""Spectral indices and temperature of harmonised cells. Formulas are those of spyndex's catalogue, by its names.

NDVI: Rouse et al. 1974, (N - R) / (N + R). NDMI: Gao 1996, (N - S1) / (N + S1), the canopy's moisture.
An index is computed per cell from reflectance: the mean of ratios is not the ratio of means, and a forgotten offset
turns an NDVI of 0.82 into 0.51.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import spyndex
from numpy.typing import NDArray

from satcommon.scenes.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
)

INDICES = {"ndvi": "NDVI", "ndmi": "NDMI"}  # our column: its name in spyndex's catalogue
# `spyndex.computeIndex` evaluates the same formulas, and reads the whole catalogue anew for that each time.
_FORMULAS = {name: compile(spyndex.indices[name].formula, name, "eval") for name in INDICES.values()}
_LETTERS = {"N": "nir", "R": "red", "S1": "swir16"}  # spyndex's letters: STAC's common names
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
    for column, name in INDICES.items():
        index = spyndex.indices[name]
        bands = {letter: _LETTERS[letter] for letter in index.bands}
        if all(band in cells for band in bands.values()):
            surface = {letter: reflectance(cells[band]) for letter, band in bands.items()}
            with np.errstate(invalid="ignore", divide="ignore"):
                values = eval(_FORMULAS[name], {}, surface)  # noqa: S307  # the catalogue's words, none of ours or a user's
            # A negative reflectance makes the ratio meaningless: beyond 1 where signs differ, of the wrong sign where
            # both are negative, infinite where they cancel.
            valid = np.logical_and.reduce([cells[band] != NODATA for band in bands.values()])
            valid &= np.isfinite(values) & np.logical_and.reduce([part >= 0 for part in surface.values()])
            found[column] = (values, valid)
    if THERMAL in cells:
        found["lst_c"] = (cells[THERMAL].astype(np.float64) * TEMPERATURE_SCALE - _KELVIN, cells[THERMAL] != NODATA)
    return found
