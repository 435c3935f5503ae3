"""Spectral indices and temperature of harmonised cells. Formulas are those of spyndex's catalogue, by its names.

`spectral_indices.json` has the part of the catalogue (Awesome Spectral Indices, MIT licence) that our bands give;
`make indices` writes it. NDVI: Rouse et al. 1974, (N - R) / (N + R). NDMI: Gao 1996, (N - S1) / (N + S1), the canopy's
moisture. An index is computed per cell from reflectance: the mean of ratios is not the ratio of means, and a forgotten
offset turns an NDVI of 0.82 into 0.51.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satcommon.raster.formula import Formula, compiled
from satcommon.raster.layers import (
    FURTHER,
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
)

Cells = Mapping[str, NDArray[np.uint16]]
Layer = tuple[NDArray[np.float64], NDArray[np.bool_]]
_KELVIN = 273.15

CATALOGUE = Path(__file__).with_name("spectral_indices.json")
LETTERS = {  # of the catalogue's formulas
    "A": "coastal",
    "B": "blue",
    "G": "green",
    "R": "red",
    "RE1": "rededge071",
    "RE2": "rededge075",
    "RE3": "rededge078",
    "N": "nir",
    "N2": "nir08",
    "S1": "swir16",
    "S2": "swir22",
}
_NAME = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Index:
    """An index.

    Args:
        name: in spyndex's catalogue.
        long_name: in words.
        domain: what it is of: vegetation, water, soil, burn or snow.
        formula: of letters, as `LETTERS` tells them, and constants.
        constants: the catalogue's defaults.
        platforms: whose bands it was made for, by the catalogue.
        reference: where it was published.
    """

    name: str
    long_name: str
    domain: str
    formula: str
    constants: Mapping[str, float]
    platforms: tuple[str, ...]
    reference: str

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """Of its bands, in the order of the formula."""
        return tuple(dict.fromkeys(name for name in _NAME.findall(self.formula) if name in LETTERS))

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Its bands, in the order of the formula."""
        return tuple(LETTERS[letter] for letter in self.letters)

    @cached_property
    def compute(self) -> Formula:
        """Its values from reflectances by letter."""
        return compiled(self.formula, self.constants, self.letters)


def _read(stated: dict[str, Any]) -> Index:
    return Index(**stated | {"platforms": tuple(stated["platforms"])})


# By our column, in alphabetical order. Computed here, since spyndex is heavy; a test holds each to its value.
INDICES = {column: _read(stated) for column, stated in json.loads(CATALOGUE.read_text(encoding="utf-8")).items()}
ALWAYS = ("ndvi", "ndmi")  # in every row; a rule of the algorithm version asks for each of the others


def further_bands(columns: Collection[str]) -> tuple[str, ...]:
    """The bands of `layers.FURTHER` that some indices need, in that order."""
    needed = {band for column in columns for band in INDICES[column].bands}
    return tuple(band for band in FURTHER if band in needed)


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
            for letter, band in zip(index.letters, index.bands, strict=True):
                if letter not in surfaces:
                    surfaces[letter] = reflectance(cells[band])
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                values = index.compute(surfaces)
            # A negative reflectance makes the ratio meaningless: beyond 1 where signs differ, of the wrong sign where
            # both are negative, infinite where they cancel.
            valid = np.isfinite(values)
            for letter, band in zip(index.letters, index.bands, strict=True):
                valid &= (cells[band] != NODATA) & (surfaces[letter] >= 0)
            found[column] = (values, valid)
    if THERMAL in cells:
        found["lst_c"] = (cells[THERMAL].astype(np.float64) * TEMPERATURE_SCALE - _KELVIN, cells[THERMAL] != NODATA)
    return found
