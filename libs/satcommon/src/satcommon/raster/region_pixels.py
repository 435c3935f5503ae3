"""The pixels of one file under a region, as the radiometric checks look at them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from satcommon.raster.layers import NODATA, REFLECTANCE_OFFSET, REFLECTANCE_SCALE, Layers, PixelClass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reflectance = NDArray[np.float64]
    Cells = NDArray[np.bool_]

FEW = 200
"""Cells: a rule that needs to see a landscape gives none below."""

_MOST_CELLS = 1 << 20  # looked at: shares of more would be no surer


@dataclass(frozen=True)
class StatedCloud:
    """What an item states of its cloud.

    Args:
        share: of its area, 0 to 1.
        regions: how many times the item's area is that of the region.
    """

    share: float
    regions: float


@dataclass(frozen=True)
class RegionPixels:
    """Harmonised pixels; of a large raster, every so many cells.

    Args:
        layers: of one file under a region.
        mask: the kind of its class band, of `masks.CLASS_NAMES`; empty without one: all with data is clear.
        said: what its item states of the cloud in the whole of it.
    """

    layers: Layers
    mask: str = ""
    said: StatedCloud | None = None

    def has(self, *bands: str) -> bool:
        """Whether the file has all these bands."""
        return all(band in self.layers.bands for band in bands)

    def stored(self, band: str) -> NDArray[np.uint16]:
        """A band's cells as they are stored; 0 is nodata."""
        return self._some(self.layers.bands[band])

    def of_class(self, kind: PixelClass, band: str) -> Reflectance:
        """Reflectance of a band in the cells of a class, NaN where it has no data."""
        return _reflectance(self.stored(band)[self.classes == kind])

    def clear(self, band: str) -> Reflectance:
        """Reflectance of a band in clear cells, NaN where it has no data."""
        return self.of_class(PixelClass.CLEAR, band)

    def covered(self, band: str) -> Reflectance:
        """Reflectance of a band in all cells that are not nodata, whatever their class."""
        return _reflectance(self.stored(band)[self.classes != PixelClass.NODATA])

    def landscape(self, *bands: str) -> list[Reflectance] | None:
        """Reflectance of bands in the clear cells that have them all; None where a band is missing, or few cells have.

        Args:
            bands: their names.
        """
        if not self.has(*bands):
            return None
        values = [self.clear(band) for band in bands]
        whole = ~np.logical_or.reduce([np.isnan(each) for each in values])
        return [each[whole] for each in values] if np.count_nonzero(whole) >= FEW else None

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """The `PixelClass` of each cell."""
        return self._some(self.layers.classes)

    @cached_property
    def _step(self) -> int:
        step = max(1, math.ceil(self.layers.classes.size / _MOST_CELLS))
        while math.gcd(step, self.layers.classes.shape[1]) > 1:  # else some columns would never be looked at
            step += 1
        return step

    def _some(self, raster: NDArray[Any]) -> NDArray[Any]:
        return raster.ravel()[:: self._step]


def share(cells: Cells, of: Reflectance) -> float:
    """Which share of the cells that have data are so.

    Args:
        cells: that are so.
        of: a band in the same cells.
    """
    known = np.count_nonzero(~np.isnan(of))
    return float(np.count_nonzero(cells)) / known if known else 0.0


def _reflectance(stored: NDArray[np.uint16]) -> Reflectance:
    return np.where(stored == NODATA, np.nan, stored * REFLECTANCE_SCALE + REFLECTANCE_OFFSET)
