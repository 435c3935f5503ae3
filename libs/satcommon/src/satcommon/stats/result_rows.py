"""The rows of a region's day: their columns, and tables of them.

Rows hold what they were computed from (digests, items, sensed time) and the state after the day, and nothing of how:
no counters, clocks, run ids or sequence numbers, so that every order of arrival ends in the same bytes.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from satcommon.raster.indices import ALWAYS, INDICES
from satcommon.raster.layers import BANDS

LAYERS = ("ndvi", "ndmi", "lst_c")
STATISTICS = ("mean", "stdev", "min", "max")
_FURTHER = tuple(name for name in INDICES if name not in ALWAYS)
QUANTILES = tuple(f"{layer}_quantiles" for layer in (*LAYERS, *_FURTHER))
OPTIONAL = (*QUANTILES, *(f"{index}_{statistic}" for index in _FURTHER for statistic in STATISTICS))
"""Columns that only some versions fill: an object in which no row has one is without it."""


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


def _schema() -> pa.Schema:
    one = [pa.field("region", pa.string()), pa.field("day", pa.date32()), pa.field("field", pa.string())]
    status = [pa.field("status", pa.string())]
    parts = [
        pa.field(name, pa.float64())
        for name in ("observed_fraction", "clear_fraction", "cloud_fraction", "shadow_fraction")
    ]
    size = [pa.field("cell_count", pa.int32()), pa.field("inside_fraction", pa.float64())]
    layers = (*LAYERS, *_FURTHER)
    numbers = [pa.field(f"{layer}_{statistic}", pa.float64()) for layer in layers for statistic in STATISTICS]
    quantiles = [pa.field(name, pa.list_(pa.float64())) for name in QUANTILES]
    means = [pa.field(f"{band}_mean", pa.float64()) for band in BANDS]
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
    return pa.schema([*one, *status, *parts, *size, *numbers, *quantiles, *means, *state, *inputs])


SCHEMA = _schema()
"""The columns of a row.

Fractions are of the field's covered cells (`observed`) or of those observed (the others), by weight; `cell_count`
counts the cells that the version's coverage rule takes; statistics are over clear cells, NDVI and NDMI without unit,
`lst_c` in degrees Celsius, band means in reflectance (`lwir11` in kelvin); `_e4` columns are integers in 1e-4 (days).
`_quantiles` are lists of those that the algorithm version asks for, in its order; null where it asks for none, or where
the layer has no valid clear cell.
`item_ids` is a JSON list of the acquisitions that provide an observed cell of the field, in the order in which they
were laid; `sensed_at` is the time of the item that provides most of its observed cells, by weight, the first where
several do; both are null where no cell is observed.
"""


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
