"""A row's status: what a day gave for a field, by the definitions of the algorithm version (docs/reference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from satcommon.raster.layers import PixelClass
from satcommon.stats.algorithm import Algorithm
from satcommon.stats.coverage import Coverage
from satcommon.stats.result_rows import Status


def any_of(classes: NDArray[np.uint16], wanted: Sequence[PixelClass]) -> NDArray[np.bool_]:
    """Where classes are among those wanted. `numpy.isin` takes twenty times as long for a few numbers."""
    return np.asarray(np.logical_or.reduce([classes == each for each in wanted]))


class Parts(NamedTuple):
    """The part of each field that lies in the region, and the weight of its cells: all, observed, clear. Shape (n,)."""

    inside: NDArray[np.float64]
    total: NDArray[np.float64]
    observed: NDArray[np.float64]
    clear: NDArray[np.float64]


def status_by_clear_part(parts: Parts, rules: Algorithm) -> NDArray[np.str_]:
    """Definitions 1: the clear part of the field decides."""
    total, observed = parts.total, parts.observed
    clear_part = np.nan_to_num(ratio(parts.clear, total))
    choices = [
        (Status.REGION_EDGE, _below(parts.inside, rules.min_inside)),
        (Status.TOO_SMALL, (total == 0) & rules.leaves_cells_out),
        (Status.OUTSIDE_SWATH, (observed == 0) | (ratio(observed, total) < rules.min_observed)),
        (Status.TOO_SMALL, total < rules.min_cells),
        (Status.CLEAR, clear_part >= rules.min_clear_full),
        (Status.PARTIAL, clear_part >= rules.min_clear),
    ]
    return _first_that_holds(choices, Status.CLOUDY)


def status_by_cause(parts: Parts, clouded: NDArray[np.float64], rules: Algorithm) -> NDArray[np.str_]:
    """Definitions 2: what kept the field from being seen decides; causes that hold on every day come first."""
    total, observed, clear = parts.total, parts.observed, parts.clear
    clear_part = np.nan_to_num(ratio(clear, total))
    choices = [
        (Status.REGION_EDGE, _below(parts.inside, rules.min_inside)),
        (Status.TOO_SMALL, (total < rules.min_cells) | ((total == 0) & rules.leaves_cells_out)),
        (Status.OUTSIDE_SWATH, (observed == 0) | (ratio(observed, total) < rules.min_observed)),
        (Status.HIDDEN, (clear_part < rules.min_clear) & (clouded < (observed - clear) / 2)),
        (Status.CLOUDY, clear_part < rules.min_clear),
        (Status.PARTIAL, ratio(clear, observed) < rules.min_clear_full),
        (Status.SWATH_EDGE, ratio(observed, total) < rules.min_clear_full),
    ]
    return _first_that_holds(choices, Status.CLEAR)


def _first_that_holds(choices: Sequence[tuple[Status, NDArray[np.bool_]]], otherwise: Status) -> NDArray[np.str_]:
    return np.select([holds for _, holds in choices], [status.value for status, _ in choices], otherwise.value)


def _below(inside: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Areas are right to about 1e-12 of themselves: a half must count as a half whatever its last bits."""
    return np.asarray(inside < least - 1e-9)


def clouded_weight(
    classes: NDArray[np.uint16], clear_cells: NDArray[np.bool_], near: NDArray[np.bool_] | None, coverage: Coverage
) -> NDArray[np.float64]:
    """The weight of each field's cells that a cloud or its shadow hides, or is too near to.

    Args:
        classes: of the covered cells, shape (entries,).
        clear_cells: which of them are clear.
        near: which of them are too near to a cloud or shadow; None: none.
        coverage: of the fields.
    """
    under = any_of(classes, (PixelClass.CLOUD, PixelClass.THIN_CLOUD, PixelClass.SHADOW))
    if near is not None:
        under |= near & (classes != PixelClass.NODATA)
    return coverage.weights.sum_where(under & ~clear_cells)


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each part over its whole; NaN where both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole)
