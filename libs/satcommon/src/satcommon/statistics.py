"""Coverage-weighted statistics of many polygons at once.

A polygon's numbers depend on its own cells alone, in their order: `numpy.add.reduceat` sums each segment by itself, so
that they are bit-identical alone, in any batch, on a window or a whole scene. Sums are float64 and the deviation takes
two passes, since one-pass float32 sums err visibly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from satcommon.coverage import Coverage


@dataclass(frozen=True)
class Statistics:
    """Statistics of n polygons, each of shape (n,); NaN where a polygon has no valid cell.

    `stdev` is the population's: the square root of the coverage-weighted mean squared deviation.
    """

    mean: NDArray[np.float64]
    stdev: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]


def sums(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of each segment values[offsets[i]:offsets[i + 1]]; 0 for an empty one. Shape (n,)."""
    return _reduced(np.add, values, offsets, 0.0)


@dataclass(frozen=True)
class Weights:
    """The cells of n polygons by their weight alone; all layers that are valid in the same cells share them.

    Args:
        offsets: shape (n + 1,); the cells of polygon i are offsets[i]:offsets[i + 1].
        weights: shape (entries,).
    """

    offsets: NDArray[np.int64]
    weights: NDArray[np.float64]

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """Of each polygon. Shape (n,)."""
        return sums(self.weights, self.offsets)

    def where(self, chosen: NDArray[np.bool_]) -> Weights:
        """Those of the chosen cells."""
        if chosen.all():
            return self
        return Weights(np.concatenate(([0], np.cumsum(chosen)))[self.offsets], self.weights[chosen])


def weight_where(chosen: NDArray[np.bool_], coverage: Coverage) -> NDArray[np.float64]:
    """The covered cells of each polygon that are chosen, in cells. Shape (n,)."""
    return sums(np.where(chosen, coverage.weights.weights, 0.0), coverage.offsets)


def statistics(values: NDArray[np.float64], valid: NDArray[np.bool_], coverage: Coverage) -> Statistics:
    """Mean, deviation and extremes over the valid cells of each polygon, weighted by coverage.

    Args:
        values: shape (entries,), one for each entry of the coverage.
        valid: shape (entries,).
        coverage: of n polygons.
    """
    return weighted(values[valid], coverage.weights.where(valid))


def weighted(values: NDArray[np.float64], cells: Weights) -> Statistics:
    """Mean, deviation and extremes of each polygon; `values` is one for each cell, shape (entries,)."""
    mean = weighted_mean(values, cells)
    deviation = values - np.repeat(mean, np.diff(cells.offsets))
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = sums(deviation * deviation * cells.weights, cells.offsets) / cells.total
    lowest = _reduced(np.minimum, values, cells.offsets, np.nan)
    highest = _reduced(np.maximum, values, cells.offsets, np.nan)
    return Statistics(mean, np.sqrt(variance), lowest, highest)


def weighted_mean(values: NDArray[np.float64], cells: Weights) -> NDArray[np.float64]:
    """The mean of each polygon. Shape (n,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums(values * cells.weights, cells.offsets) / cells.total)


def _reduced(
    operation: np.ufunc, values: NDArray[np.float64], offsets: NDArray[np.int64], empty: float
) -> NDArray[np.float64]:
    """`reduceat` that is right on empty segments: numpy's own takes the next segment's first value for them."""
    result = np.full(len(offsets) - 1, empty)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        result[filled] = operation.reduceat(values, offsets[filled])
    return result
