"""Published rows as users see them: with derived columns, and without storage formats.

Rows are stored with days as ordinals and lists as text; users get dates and lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from satcommon.stats.data_dictionary import DERIVED, OF_FIELD, Meaning, meaning_of
from satcommon.stats.result_rows import column as _column
from satcommon.stats.result_rows import schema_of

if TYPE_CHECKING:
    from satcommon.publication.reader import Published

_EPOCH = pa.scalar(date(1970, 1, 1).toordinal(), pa.int32())
_DATES = pa.list_(pa.date32())
_READABLE = {"item_ids": pa.list_(pa.string()), "state_days": _DATES}
DETAILS = (pa.field("field_name", pa.string()), pa.field("crop_code", pa.string()), pa.field("area_ha", pa.float64()))
"""What an export can say of a row's field besides."""
_DERIVED = (pa.field("final", pa.bool_()), pa.field("state_as_of", pa.date32()))


def readable_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that `readable` gives to tables of a schema."""
    return pa.schema([pa.field(each.name, _READABLE.get(each.name, each.type)) for each in schema])


def row_schema(names: Iterable[str] = ()) -> pa.Schema:
    """The columns of rows as users see them, the further ones of some names among them, with the derived ones."""
    return readable_schema(pa.schema([*schema_of(names), *_DERIVED]))


def column_meaning(column: pa.Field) -> Meaning | None:
    """What the data dictionary says of a column of rows; None where it has no such column.

    A list of dates has no unit: only as stored is it of numbers of days.
    """
    if _column(column.name) is None and column.name not in (*DERIVED, *OF_FIELD):
        return None
    meaning = meaning_of(column.name)
    return meaning._replace(unit=None) if column.type == _DATES else meaning


def described(schema: pa.Schema, others: Mapping[str, Meaning] | None = None) -> pa.Schema:
    """The schema, with what the data dictionary says in each column's metadata.

    The keys are `description`, `unit` (in words) and `units` (as UDUNITS writes it). A column that is neither of rows
    nor of the others stays as it is.

    Args:
        schema: of a table.
        others: what columns are that are not of rows, by name.
    """
    known = others or {}
    return pa.schema(
        [_described(each, known.get(each.name) or column_meaning(each)) for each in schema], schema.metadata
    )


def _described(column: pa.Field, meaning: Meaning | None) -> pa.Field:
    if meaning is None:
        return column
    said = {"description": meaning.meaning, "unit": meaning.unit, "units": meaning.units}
    return column.with_metadata({**(column.metadata or {}), **{key: text for key, text in said.items() if text}})


def with_slots(columns: Sequence[str]) -> list[str]:
    """Columns to read so that some can be made readable: the days of a state tell which of its slots are empty."""
    return list(dict.fromkeys([*columns, *(["state_days"] if "state_ndvi_e4" in columns else [])]))


def readable(table: pa.Table) -> pa.Table:
    """Rows with `item_ids` as lists of text, `state_days` as lists of dates, and no empty slots in the state.

    The table may have some of these columns only; `state_ndvi_e4` needs `state_days` beside it.
    """
    present, columns = set(table.column_names), {}
    if "item_ids" in present:
        columns["item_ids"] = _lists(table["item_ids"])
    if "state_days" in present:
        days = table["state_days"].combine_chunks()
        used = pc.greater(days.flatten(), 0)  # a state has as many slots as its kernel; an empty slot is zero
        columns["state_days"] = _only(used, days, pc.subtract(days.flatten(), _EPOCH).cast(pa.date32()))
        if "state_ndvi_e4" in present:
            ndvi = table["state_ndvi_e4"].combine_chunks()
            columns["state_ndvi_e4"] = _only(used, ndvi, ndvi.flatten())
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def readable_row(table: pa.Table) -> dict[str, Any] | None:
    """The first row of a table, readable; None where there is none."""
    rows: list[dict[str, Any]] = readable(table.slice(0, 1)).to_pylist()
    return rows[0] if rows else None


def completed(table: pa.Table, day: date, days: Published) -> pa.Table:
    """A day's rows with `final` and `state_as_of`, as `satctl export` describes them."""
    if days.refused or days.first_miss:
        rows = zip(table["field"].to_pylist(), table["planting_date"].to_pylist(), strict=True)
        final = [days.is_final(name, planting, day) for name, planting in rows]
    else:  # as on most days
        final = [True] * table.num_rows
    as_of = pc.subtract(table["day"].cast(pa.int32()), table["days_since_clear"]).cast(pa.date32())
    return table.append_column("final", pa.array(final, pa.bool_())).append_column("state_as_of", as_of)


def _lists(texts: pa.ChunkedArray) -> pa.Array:
    known = {text: None if text is None else json.loads(text) for text in texts.unique().to_pylist()}
    return pa.array([known[text] for text in texts.to_pylist()], _READABLE["item_ids"])


def _only(used: pa.Array, lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """The lists, with only their used values."""
    ends = np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False))
    before = np.concatenate([[0], np.cumsum(used.to_numpy(zero_copy_only=False))])
    offsets = pa.array(before[np.concatenate([[0], ends]).astype(int)], pa.int32())
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(offsets, values.filter(used), mask=mask)
