"""Rows of a day: the observations, and the state carried on from the day before, computed by `field_state`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satcommon.stats.algorithm import Algorithm
from satcommon.stats.field_state import NO_NDVI, State, advance
from satcommon.stats.result_rows import SEEN, schema_of

STATE_INPUTS = ["field", "planting_date", "state_days", "state_ndvi_e4", "ndvi_integral_e4", "algorithm_version"]
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class States:
    """States by field."""

    fields: Mapping[str, int]  # the position of each
    state: State

    @classmethod
    def of(cls, table: pa.Table, rules: Algorithm) -> States:
        """The states in rows, without rows of a version with another kernel, whose state can't be carried on."""
        fits = [
            pc.equal(pc.list_value_length(table[name]), rules.kernel_size) for name in ("state_days", "state_ndvi_e4")
        ]
        table = table.filter(pc.and_(*fits))
        count = table.num_rows
        planting = table["planting_date"].combine_chunks().cast(pa.int32()).to_numpy(zero_copy_only=False) + _EPOCH

        def kernel(column: str) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
            values = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return np.asarray(values, dtype=np.int32).reshape(count, rules.kernel_size)

        state = State(
            planting.astype(np.int32),
            kernel("state_days"),
            kernel("state_ndvi_e4"),
            table["ndvi_integral_e4"].to_numpy().astype(np.int64),
        )
        return cls({name: i for i, name in enumerate(table["field"].to_pylist())}, state)

    def over(self, other: States) -> States:
        """These states, and the other's for the fields that these lack."""
        names = [*self.fields, *(name for name in other.fields if name not in self.fields)]
        rest = np.array([other.fields[name] for name in names[len(self.fields) :]], dtype=np.int64)
        own = np.array(list(self.fields.values()), dtype=np.int64)
        joined = self.state.take(own).join(other.state.take(rest))
        return States({name: i for i, name in enumerate(names)}, joined)

    def gather(self, fields: Sequence[str], rules: Algorithm) -> State:
        """The states of fields, in their order; the initial one where a field has none."""
        state = State.initial(len(fields), rules.kernel_size)
        known = [(i, self.fields[name]) for i, name in enumerate(fields) if name in self.fields]
        if known:
            at, source = np.array(known, dtype=np.int64).T
            state.put(at, self.state.take(source))
        return state


def states_before(
    wanted: Sequence[tuple[str, date]], day: date, at: Callable[[date, list[str]], States | None], rules: Algorithm
) -> State:
    """Each field's state after its last row before a day; the initial one where there is none.

    A state may be carried over days without a row: such a field-day is an open miss, from which replay recomputes.

    Args:
        wanted: fields, each with the first day from which state is carried to `day`; `day` itself where there is none.
        day: the day.
        at: gives the states after a day of those of some fields that have a row; None before the first day.
        rules: of the algorithm version.
    """
    state = State.initial(len(wanted), rules.kernel_size)
    waiting = {i: name for i, (name, first) in enumerate(wanted) if first < day}
    earlier = day - timedelta(days=1)
    while waiting:
        states = at(earlier, list(waiting.values()))
        if states is None:
            break
        known = {i: name for i, name in waiting.items() if name in states.fields}
        if known:
            state.put(np.array(list(known), dtype=np.int64), states.gather(list(known.values()), rules))
        waiting = {i: name for i, name in waiting.items() if i not in known and wanted[i][1] < earlier}
        earlier -= timedelta(days=1)
    return state


def carry(
    region: str, day: date, observed: pa.Table, plantings: Sequence[date], before: State, rules: Algorithm
) -> tuple[pa.Table, States]:
    """The rows of a day, and the states after it.

    Args:
        region: its name.
        day: the day.
        observed: observations of n fields.
        plantings: of their seasons, in the order of the observations.
        before: their states after the day before, in the same order.
        rules: of the algorithm version.
    """
    feeds = np.isin(observed["status"].to_numpy(zero_copy_only=False), [status.value for status in SEEN])
    ndvi = observed["ndvi_mean"].to_numpy(zero_copy_only=False).astype(np.float64)
    planting = np.array([p.toordinal() for p in plantings], dtype=np.int32)
    state, smoothed = advance(before, day, planting, np.where(feeds, ndvi, np.nan), rules)
    newest = state.days[:, 0]
    columns = {name: observed[name] for name in observed.column_names} | {
        "region": pa.array([region] * len(planting), pa.string()),
        "day": pa.array([day] * len(planting), pa.date32()),
        "planting_date": pa.array(plantings, pa.date32()),
        "days_since_planting": pa.array(day.toordinal() - planting, pa.int32()),
        "days_since_clear": pa.array(day.toordinal() - newest, pa.int32(), mask=newest == 0),
        "ndvi_smoothed_e4": pa.array(smoothed, pa.int32(), mask=smoothed == NO_NDVI),
        "ndvi_integral_e4": pa.array(state.integral, pa.int64()),
        "state_days": _lists(state.days),
        "state_ndvi_e4": _lists(state.ndvi),
    }
    schema = schema_of(columns)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    return table, States({name: i for i, name in enumerate(observed["field"].to_pylist())}, state)


def _lists(values: np.ndarray[tuple[int, int], np.dtype[np.int32]]) -> pa.Array:
    count, size = values.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * size)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), pa.int32()))
