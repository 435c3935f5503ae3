"""The rows of a region's day: their columns, and tables of them.

Rows hold what they were computed from (digests, items, sensed time) and the state after the day, and nothing of how:
no counters, clocks, run ids or sequence numbers, so that every order of arrival ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from satcommon.raster.indices import ALWAYS, INDICES
from satcommon.raster.layers import BANDS, FURTHER

IDENTITY = ("region", "day", "field")  # what a row is of; all other columns are values
LAYERS = ("ndvi", "ndmi", "lst_c")
STATISTICS = ("mean", "stdev", "min", "max")
QUANTILES = tuple(f"{layer}_quantiles" for layer in LAYERS)
_INDICES = tuple(name for name in INDICES if name not in ALWAYS)


class Status(StrEnum):
    """What a day gave for a field, derived from current inputs alone; docs/reference/columns.md defines each."""

    CLEAR = "clear"
    PARTIAL = "partial"
    SWATH_EDGE = "swath_edge"
    CLOUDY = "cloudy"
    HIDDEN = "hidden"
    OUTSIDE_SWATH = "outside_swath"
    REGION_EDGE = "region_edge"
    NO_OVERPASS = "no_overpass"
    NO_SCENE = "no_scene"
    TOO_SMALL = "too_small"


SEEN = (Status.CLEAR, Status.PARTIAL, Status.SWATH_EDGE)  # their NDVI feeds the state


def _columns() -> list[pa.Field]:
    """All columns that rows can have, in their order."""
    identity = [pa.field("region", pa.string()), pa.field("day", pa.date32()), pa.field("field", pa.string())]
    status = [pa.field("status", pa.string())]
    parts = [
        pa.field(name, pa.float64())
        for name in ("observed_fraction", "clear_fraction", "cloud_fraction", "shadow_fraction")
    ]
    size = [pa.field("cell_count", pa.int32()), pa.field("inside_fraction", pa.float64())]
    layers = (*LAYERS, *_INDICES)
    numbers = [pa.field(f"{layer}_{statistic}", pa.float64()) for layer in layers for statistic in STATISTICS]
    quantiles = [pa.field(name, pa.list_(pa.float64())) for name in (f"{layer}_quantiles" for layer in layers)]
    means = [pa.field(f"{band}_mean", pa.float64()) for band in (*BANDS, *FURTHER)]
    state = [
        pa.field("planting_date", pa.date32()),
        pa.field("days_since_planting", pa.int32()),
        pa.field("days_since_clear", pa.int32()),
        pa.field("ndvi_smoothed_e4", pa.int32()),
        pa.field("ndvi_integral_e4", pa.int64()),
        pa.field("state_days", pa.list_(pa.int32())),
        pa.field("state_ndvi_e4", pa.list_(pa.int32())),
    ]
    inputs = [
        pa.field("item_ids", pa.string()),
        pa.field("sensed_at", pa.timestamp("ms", tz="UTC")),
        pa.field("scene_digest", pa.string()),
        pa.field("geometry_digest", pa.string()),
        pa.field("algorithm_version", pa.string()),
    ]
    return [*identity, *status, *parts, *size, *numbers, *quantiles, *means, *state, *inputs]


_ALL = {column.name: column for column in _columns()}
_OF_INDICES = {f"{index}_{what}" for index in _INDICES for what in (*STATISTICS, "quantiles")}
_OF_FURTHER = frozenset(_OF_INDICES | {f"{band}_mean" for band in FURTHER})
OPTIONAL = (*QUANTILES, *(name for name in _ALL if name in _OF_FURTHER))
"""Columns that only some versions fill: an object in which no row has one is without it."""
_OPTIONAL = frozenset(OPTIONAL)

SCHEMA = pa.schema([column for name, column in _ALL.items() if name not in _OF_FURTHER])
VALUES = tuple(name for name in SCHEMA.names if name not in IDENTITY)
"""The columns of every row. Those of further indices and bands are in tables where a version asks for them.

Fractions are of the field's covered cells (`observed`) or of those observed (the others), by weight; `cell_count`
counts the cells that the version's coverage rule takes; statistics are over clear cells, NDVI and NDMI without unit,
`lst_c` in degrees Celsius, band means in reflectance (`lwir11` in kelvin); `_e4` columns are integers in 1e-4 (days).
`_quantiles` are lists of those that the algorithm version asks for, in its order; null where it asks for none, or where
the layer has no valid clear cell.
`item_ids` is a JSON list of the acquisitions that provide an observed cell of the field, in the order in which they
were laid; `sensed_at` is the time of the item that provides most of its observed cells, by weight, the first where
several do; both are null where no cell is observed.
"""


def further_columns(indices: Iterable[str], bands: Iterable[str]) -> list[str]:
    """The columns of further indices, and of the means of bands."""
    of_indices = [f"{index}_{what}" for index in indices for what in (*STATISTICS, "quantiles")]
    return of_indices + [f"{band}_mean" for band in bands]


def column(name: str) -> pa.Field | None:
    """The column of a name, which some rows may have; None where there is no such column."""
    return _ALL.get(name)


def schema_of(names: Iterable[str]) -> pa.Schema:
    """The columns of every row, and the further ones that are among some names, all in their order."""
    return _schema_of(_OF_FURTHER.intersection(names))


@lru_cache(maxsize=64)  # a process sees few versions
def _schema_of(further: frozenset[str]) -> pa.Schema:
    if not further:
        return SCHEMA
    return pa.schema([column for name, column in _ALL.items() if name not in _OF_FURTHER or name in further])


def completed(table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Some columns of a table, null where it lacks an optional one; by default those of `schema_of` its columns."""
    columns = schema_of(table.column_names).names if columns is None else columns
    if columns == table.column_names:
        return table
    present = set(table.column_names)
    if present.issuperset(columns):
        return table.select(columns)
    filled = {
        name: pa.nulls(table.num_rows, _ALL[name].type) if name not in present and name in _OPTIONAL else table[name]
        for name in columns
    }
    return pa.table(filled)


def empty() -> pa.Table:
    """A table without rows."""
    return SCHEMA.empty_table()


def only(table: pa.Table, fields: list[str]) -> pa.Table:
    """The rows of some fields."""
    if not table.num_rows:
        return table
    return table.filter(pc.is_in(table["field"], value_set=pa.array(fields, pa.string())))


def without(table: pa.Table, fields: list[str]) -> pa.Table:
    """The rows but those of some fields."""
    return table.filter(pc.invert(pc.is_in(table["field"], value_set=pa.array(fields, pa.string()))))


def changed_fields(before: pa.Table, after: pa.Table) -> list[str]:
    """The fields whose rows of a day are new, gone or changed.

    Most are the same: tables are compared whole, then by halves, so that one changed row of ten thousand is found
    without comparing the others in Python.
    """
    if before.column_names != after.column_names:
        names = schema_of([*before.column_names, *after.column_names]).names
        before, after = completed(before, names), completed(after, names)
    before, after = before.sort_by("field"), after.sort_by("field")
    if not before["field"].equals(after["field"]):
        names = set(before["field"].to_pylist()), set(after["field"].to_pylist())
        shared = sorted(names[0] & names[1])
        alone = sorted(names[0] ^ names[1])
        return alone + changed_fields(only(before, shared), only(after, shared)) if shared else alone
    return _unequal_rows(before.combine_chunks(), after.combine_chunks())


def _unequal_rows(before: pa.Table, after: pa.Table) -> list[str]:
    if before.equals(after):
        return []
    if before.num_rows <= _FEW_ROWS:
        pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
        return [b["field"] for a, b in pairs if a != b]
    half = before.num_rows // 2
    return _unequal_rows(before.slice(0, half), after.slice(0, half)) + _unequal_rows(
        before.slice(half), after.slice(half)
    )


_FEW_ROWS = 32  # compared in Python: halving fewer costs more
