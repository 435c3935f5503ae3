"""The state: what a field carries from day to day within a season.

Everything is kept in integers (NDVI in 1e-4), so that the same inputs give the same bits by every path. Smoothed NDVI
is a kernel over the last K clear observations with weights exp(-age / tau): an exponential average would never forget a
changed value in floats; this kernel has forgotten it after exactly K clear observations. NDVI integrated over the
season (the daily sum of smoothed NDVI since planting, a proxy of accumulated growth: Tucker et al. 1981) never forgets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from satcommon.stats.algorithm import Algorithm

NDVI_SCALE = 10_000
_WEIGHT_ONE = 1 << 20  # weights are integers: exp(-age / tau) in parts of this


@dataclass(frozen=True)
class State:
    """The state of n fields, after a day.

    Args:
        planting: day number of the season's planting, 0 where there is no state yet. Shape (n,).
        days: day numbers of the last K clear observations, newest first, 0 where there is none. Shape (n, K).
        ndvi: their NDVI in 1e-4. Shape (n, K).
        integral: sum of smoothed NDVI over the days since planting, in 1e-4 days. Shape (n,).
    """

    planting: NDArray[np.int32]
    days: NDArray[np.int32]
    ndvi: NDArray[np.int32]
    integral: NDArray[np.int64]

    @classmethod
    def initial(cls, count: int, kernel_size: int) -> State:
        """The state before planting."""
        return cls(
            np.zeros(count, np.int32),
            np.zeros((count, kernel_size), np.int32),
            np.zeros((count, kernel_size), np.int32),
            np.zeros(count, np.int64),
        )

    def put(self, at: NDArray[np.int64], other: State) -> None:
        """Copy another's states to positions `at` of this one."""
        self.planting[at], self.days[at], self.ndvi[at], self.integral[at] = (
            other.planting,
            other.days,
            other.ndvi,
            other.integral,
        )

    def take(self, at: NDArray[np.int64]) -> State:
        """The states at positions `at`."""
        return State(self.planting[at], self.days[at], self.ndvi[at], self.integral[at])

    def join(self, other: State) -> State:
        """These states, then another's."""
        return State(
            np.concatenate([self.planting, other.planting]),
            np.concatenate([self.days, other.days]),
            np.concatenate([self.ndvi, other.ndvi]),
            np.concatenate([self.integral, other.integral]),
        )

    def equals(self, other: State) -> NDArray[np.bool_]:
        """Where every component is the other's. Shape (n,)."""
        kernel: NDArray[np.bool_] = np.all((self.days == other.days) & (self.ndvi == other.ndvi), axis=1)
        rest: NDArray[np.bool_] = (self.planting == other.planting) & (self.integral == other.integral)
        return kernel & rest


def advance(
    state: State, day: date, planting: NDArray[np.int32], ndvi: NDArray[np.float64], rules: Algorithm
) -> tuple[State, NDArray[np.int32]]:
    """The state one day later.

    Args:
        state: of n fields, after the day before (or initial; a state of another season is taken as initial).
        day: the day.
        planting: day numbers of planting of the current season, shape (n,).
        ndvi: mean NDVI of a clear observation that feeds the state, NaN where there is none, shape (n,).
        rules: of the algorithm version.

    Returns:
        The state after the day, and smoothed NDVI in 1e-4 (`NO_NDVI` before the first clear observation), shape (n,).
    """
    same_season = state.planting == planting
    days = np.where(same_season[:, None], state.days, 0).astype(np.int32)
    kept = np.where(same_season[:, None], state.ndvi, 0).astype(np.int32)
    integral = np.where(same_season, state.integral, 0)
    seen = np.isfinite(ndvi)
    days[seen, 1:], kept[seen, 1:] = days[seen, :-1], kept[seen, :-1]
    days[seen, 0] = day.toordinal()
    kept[seen, 0] = np.rint(ndvi[seen] * NDVI_SCALE).astype(np.int32)
    advanced = replace(state, planting=planting.astype(np.int32), days=days, ndvi=kept, integral=integral)
    smoothed = smooth(advanced, rules)
    advanced = replace(advanced, integral=integral + np.where(smoothed == NO_NDVI, 0, smoothed))
    return advanced, smoothed


NO_NDVI = np.iinfo(np.int32).min


def smooth(state: State, rules: Algorithm) -> NDArray[np.int32]:
    """Smoothed NDVI in 1e-4: the kernel over the observations kept, rounded half up; `NO_NDVI` where there are none.

    Ages count from the newest observation: a common factor of all weights cancels out.
    """
    ages = state.days[:, :1] - state.days
    weights = np.where(state.days > 0, np.rint(_WEIGHT_ONE * np.exp(-ages / rules.kernel_tau_days)), 0).astype(np.int64)
    total = weights.sum(axis=1)
    empty = total == 0
    total = np.where(empty, 1, total)
    smoothed = (2 * (weights * state.ndvi).sum(axis=1) + total) // (2 * total)
    return np.where(empty, NO_NDVI, smoothed).astype(np.int32)
