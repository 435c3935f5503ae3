"""Rows as a workbook of Excel: a sheet `rows`, and a sheet `columns` that says what each column is.

Rows go to disk as they come. Text is never a formula: a cell that a spreadsheet would run once it is edited has its
text as it is, and the mark that Excel sets for a leading apostrophe.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from satcommon.errors import InputError
from satcommon.publication.cells import FORMULA, flat
from satcommon.publication.row_columns import column_meaning

from satctl.output.sink import temporary_space

MOST_ROWS = 1_048_576 - 1  # of a sheet of Excel, besides the header
_MOST_TEXT = 32_767  # characters of a cell
_FIRST_YEAR = 1900  # of Excel's days; earlier ones are text
_RISKY = re.compile(FORMULA)
_OPTIONS = {"constant_memory": True, "remove_timezone": True}
_WIDTHS = {"date32[day]": 12, "timestamp[ms, tz=UTC]": 24, "string": 16}
_ABOUT = (("column", 22), ("unit", 26), ("units", 10), ("range", 18), ("since", 16), ("meaning", 110))


def check_row_count(output: str, count: int) -> None:
    """Refuse more rows than a sheet holds.

    Raises:
        InputError: there are more.
    """
    if count > MOST_ROWS:
        raise InputError(
            f"--output {output}: there are {count:,} rows, and a sheet of Excel holds {MOST_ROWS:,} below its header; "
            "choose fewer with --from, --to or --status, or write CSV or Parquet"
        )


@contextmanager
def workbook(file: IO[bytes], schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Gives a function that writes rows; the workbook is complete when the block ends without an error.

    Args:
        file: to write to.
        schema: of the tables. Days are dates; instants are in UTC, which Excel can't say; lists are JSON text.
    """
    import xlsxwriter
    from xlsxwriter.exceptions import FileCreateError

    with tempfile.TemporaryDirectory(prefix="satctl-") as folder:
        whole = Path(folder, "whole.xlsx")  # the library writes a workbook after an error, too
        with (
            temporary_space("the workbook", (OSError, FileCreateError)),
            xlsxwriter.Workbook(str(whole), {**_OPTIONS, "tmpdir": folder}) as book,
        ):
            write = _Sheet(book, "rows", [(each.name, _width(each)) for each in schema]).write
            yield lambda table: write(zip(*(each.to_pylist() for each in flat(table)), strict=True))
            _Sheet(book, "columns", _ABOUT).write(_about(column) for column in schema)
        with whole.open("rb") as written:
            shutil.copyfileobj(written, file)


class _Exact(float):
    """A number that is written in full: XlsxWriter formats numbers with 16 digits, which loses the last bit of some."""

    def __format__(self, spec: str) -> str:
        return repr(float(self))


class _Sheet:
    """A sheet with a header that stays in sight."""

    def __init__(self, book: Any, name: str, columns: Sequence[tuple[str, int]]) -> None:
        self._sheet = book.add_worksheet(name)
        self._quoted = book.add_format({"quote_prefix": True})
        self._day = book.add_format({"num_format": "yyyy-mm-dd"})
        self._instant = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        self._names = [name for name, _ in columns]
        self._at = 1
        for i, (_, width) in enumerate(columns):
            self._sheet.set_column(i, i, width)
        self._sheet.freeze_panes(1, 0)
        self._sheet.write_row(0, 0, self._names, book.add_format({"bold": True}))

    def write(self, rows: Any) -> None:
        for row in rows:
            for i, value in enumerate(row):
                if value is not None:
                    self._write(i, value)
            self._at += 1

    def _write(self, i: int, value: Any) -> None:
        cell = (self._at, i)
        if isinstance(value, bool):
            self._sheet.write_boolean(*cell, value)
        elif isinstance(value, int | float):
            self._sheet.write_number(*cell, _Exact(value) if isinstance(value, float) else value)
        elif not isinstance(value, str) and value.year >= _FIRST_YEAR:
            self._sheet.write_datetime(*cell, value, self._instant if isinstance(value, datetime) else self._day)
        else:
            self._text(*cell, str(value))

    def _text(self, at: int, i: int, text: str) -> None:
        if len(text) > _MOST_TEXT:
            raise InputError(
                f"{self._names[i]} of row {at} has {len(text):,} characters, and a cell of Excel holds "
                f"{_MOST_TEXT:,}; leave the column out with --column, or write CSV or Parquet"
            )
        self._sheet.write_string(at, i, text, self._quoted if _RISKY.match(text) else None)


def _width(column: pa.Field) -> int:
    """Characters that a column is wide."""
    return max(len(column.name) + 2, _WIDTHS.get(str(column.type), 12))


def _about(column: pa.Field) -> Sequence[str | None]:
    meaning = column_meaning(column)
    if meaning is None:
        return (column.name,)
    return (column.name, meaning.unit, meaning.units, meaning.range_in_words, meaning.since, meaning.meaning)
