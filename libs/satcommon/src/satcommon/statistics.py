"""Coverage-weighted statistics of many polygons at once.

A polygon's numbers depend on its own cells alone, in their order: `numpy.add.reduceat` sums each segment by itself, so
that they are bit-identical alone, in any batch, on a window or a whole scene. Sums are float64 and the deviation takes
two passes, since one-pass float32 sums err visibly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def weight_where(chosen: NDArray[np.bool_], coverage: Coverage) -> NDArray[np.float64]:
    """The covered cells of each polygon that are chosen, in cells. Shape (n,)."""
    return sums(np.where(chosen, coverage.fractions, 0.0), coverage.offsets)


def statistics(values: NDArray[np.float64], valid: NDArray[np.bool_], coverage: Coverage) -> Statistics:
    """Mean, deviation and extremes over the valid cells of each polygon, weighted by coverage.

    Args:
        values: shape (entries,), one for each entry of the coverage.
        valid: shape (entries,).
        coverage: of n polygons.
    """
    kept = np.concatenate(([0], np.cumsum(valid)))[coverage.offsets]
    values, weights = values[valid], coverage.fractions[valid]
    total = sums(weights, kept)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums(values * weights, kept) / total
        deviation = values - np.repeat(mean, np.diff(kept))
        variance = sums(deviation * deviation * weights, kept) / total
    lowest, highest = _reduced(np.minimum, values, kept, np.nan), _reduced(np.maximum, values, kept, np.nan)
    return Statistics(mean, np.sqrt(variance), lowest, highest)


def _reduced(
    operation: np.ufunc, values: NDArray[np.float64], offsets: NDArray[np.int64], empty: float
) -> NDArray[np.float64]:
    """`reduceat` that is right on empty segments: numpy's own takes the next segment's first value for them."""
    result = np.full(len(offsets) - 1, empty)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        result[filled] = operation.reduceat(values, offsets[filled])
    return result
