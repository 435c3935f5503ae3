"""Rows as cells of CSV and values of JSON: the forms that those have for lists, days, instants and text."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# A cell that begins so is a formula to a spreadsheet (OWASP, CSV injection); the last four are full-width = + - @.
FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"


def cells(table: pa.Table) -> pa.Table:
    """The columns in forms that CSV has: lists as JSON, instants in ISO 8601, no text that is a formula."""
    return pa.table({name: _cell(column) for name, column in zip(table.column_names, flat(table), strict=True)})


def _cell(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")  # Arrow's %S includes the fraction
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, FORMULA)
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    return column


def flat(table: pa.Table) -> list[pa.ChunkedArray]:
    """The columns, with lists as JSON text."""
    return [
        pa.chunked_array(
            [[None if v is None else json.dumps(v, default=json_text, ensure_ascii=False) for v in column.to_pylist()]],
            pa.string(),
        )
        if pa.types.is_list(column.type)
        else column
        for column in table.columns
    ]


def json_text(value: Any) -> str:
    """What JSON has no type for: an instant or a day, in ISO 8601."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert isinstance(value, date), type(value)
    return value.isoformat()
