"""Coverage-weighted statistics of many polygons together.

A polygon's numbers depend only on its own cells, in their order: `numpy.add.reduceat` sums each segment separately, so
results are bit-identical alone, in any batch, on a window or a whole scene. Sums are float64 and the deviation takes
two passes, since one-pass float32 sums have visible errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


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
    """The weights of the cells of n polygons; layers that are valid in the same cells share them.

    Args:
        offsets: shape (n + 1,); the cells of polygon i are offsets[i]:offsets[i + 1].
        weights: shape (entries,).
    """

    offsets: NDArray[np.int64]
    weights: NDArray[np.float64]

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """The weight of each polygon. Shape (n,)."""
        return sums(self.weights, self.offsets)

    def where(self, chosen: NDArray[np.bool_]) -> Weights:
        """The weights of the chosen cells."""
        if chosen.all():
            return self
        return Weights(np.concatenate(([0], np.cumsum(chosen)))[self.offsets], self.weights[chosen])

    def sum_where(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The weight of each polygon's chosen cells, in cells. Shape (n,)."""
        return sums(np.where(chosen, self.weights, 0.0), self.offsets)


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
    """The weighted mean of each polygon. Shape (n,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums(values * cells.weights, cells.offsets) / cells.total)


def quantiles(values: NDArray[np.float64], cells: Weights, fractions: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles of each polygon, weighted by coverage: those of exactextract's `quantile`.

    Equal values count as one, with their weights added. Of a polygon's m values x[0] < ... < x[m - 1] with weights w,
    x[i] lies at s[i] = i w[i] + (m - 1) (w[0] + ... + w[i - 1]); the quantile p is what lies at p s[m - 1], on a
    straight line between the two values around. Source: exactextract's src/weighted_quantiles.cpp, which follows
    https://stats.stackexchange.com/a/13223. Where all weights are the same it is type 7 of Hyndman and Fan (1996).

    Args:
        values: shape (entries,), one for each cell.
        cells: of n polygons.
        fractions: from 0 to 1.

    Returns:
        Shape (n, fractions), exactly the least value at 0 and the greatest at 1; NaN where a polygon has no cell.
    """
    count = len(cells.offsets) - 1
    short = np.min_scalar_type(count)  # a narrow type sorts faster
    owners = np.repeat(np.arange(count, dtype=short), np.diff(cells.offsets))
    order = np.lexsort((values, owners))
    values = values[order]  # the owners were in order before
    begins = np.ones(len(values), bool)
    begins[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    chosen = np.flatnonzero(begins)
    values, weights = values[chosen], sums(cells.weights[order], np.append(chosen, len(order)))

    offsets = np.searchsorted(chosen, cells.offsets)  # of the values that are left
    counts = np.diff(offsets)
    ranks = np.arange(len(values)) - np.repeat(offsets[:-1], counts)
    before = _accumulated(np.add, np.where(ranks > 0, np.roll(weights, 1), 0.0), ranks)
    places = ranks * weights + np.repeat(counts - 1, counts) * before
    places = _accumulated(np.maximum, places, ranks)  # rounding may swap values of tiny weight

    result = np.full((count, len(fractions)), np.nan)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return result
    first, last = offsets[filled], offsets[filled + 1] - 1
    for column, fraction in enumerate(fractions):
        wanted = fraction * places[last]
        reached = places <= np.repeat(wanted, counts[filled])
        left = first + np.add.reduceat(reached, first, dtype=np.int64) - 1
        right = np.minimum(left + 1, last)
        step = places[right] - places[left]
        part = np.divide(wanted - places[left], step, out=np.zeros_like(step), where=step > 0)
        result[filled, column] = values[left] + part * (values[right] - values[left])
    return result


def _accumulated(operation: np.ufunc, values: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The running result of an operation in each segment, whose values are numbered by their ranks from 0 on.

    By doubling: the result of the last 2, 4, 8, ... values combines two of the last 1, 2, 4, ... values. The order of
    additions depends only on a value's rank in its segment; in a cumulative sum over all segments, rounding would
    depend on those before.
    """
    running = values.copy()
    reach, longest = 1, ranks.max(initial=0)
    while reach <= longest:
        operation(running[reach:], running[:-reach], out=running[reach:], where=ranks[reach:] >= reach)
        reach *= 2
    return running


def _reduced(
    operation: np.ufunc, values: NDArray[np.float64], offsets: NDArray[np.int64], empty: float
) -> NDArray[np.float64]:
    """`reduceat` that is right on empty segments: numpy's own takes the next segment's first value for them."""
    result = np.full(len(offsets) - 1, empty)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        result[filled] = operation.reduceat(values, offsets[filled])
    return result
