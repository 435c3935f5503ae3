"""Keeps rows on disk, not in memory, until it is known which of their columns hold values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType

import pyarrow as pa
from satcommon.errors import StoreError


class Spool:
    """Tables of one schema, compressed in a temporary file that ends with the process.

    Args:
        schema: of the tables.

    Attributes:
        row_count: rows of all tables so far.
        tables_with_rows: tables that have any.

    Raises:
        StoreError: the temporary folder is full.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.row_count = self.tables_with_rows = 0
        self._filled = [False] * len(schema)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `__exit__`
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), schema, options=options)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, table: pa.Table) -> None:
        """Keep a table."""
        if not table.num_rows:
            return
        table = table.select(self.schema.names).cast(self.schema)
        self._filled = [
            filled or column.null_count < len(column)
            for filled, column in zip(self._filled, table.columns, strict=True)
        ]
        self.row_count += table.num_rows
        self.tables_with_rows += 1
        try:
            self._writer.write_table(table)
        except OSError as error:
            raise StoreError(
                f"the temporary folder {tempfile.gettempdir()} (TMPDIR) can't keep the rows: {error.strerror or error}"
            ) from error

    def filled_schema(self) -> pa.Schema:
        """The columns with a value in some row; all columns where there is no row."""
        if not self.row_count:
            return self.schema
        return pa.schema([column for column, filled in zip(self.schema, self._filled, strict=True) if filled])

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Read the tables back, in order, with the columns of `schema`. No table can be added after that."""
        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(self._file, "r")) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch]).select(schema.names)
