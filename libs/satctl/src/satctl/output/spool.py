"""Keeps rows on disk, not in memory, until it is known which of their columns hold values."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType

import pyarrow as pa

from satctl.output.sink import temporary_space


class Spool:
    """Tables, compressed in a temporary file that ends with the process. Some have columns that others lack.

    Args:
        schema_of: the columns, in their order, of tables that have some of these names.

    Attributes:
        schema: the columns of all tables so far.
        row_count: rows of all tables so far.
        tables_with_rows: tables that have any.

    Raises:
        StoreError: the temporary folder is full.
    """

    def __init__(self, schema_of: Callable[[Iterable[str]], pa.Schema]) -> None:
        self.schema = schema_of([])
        self.row_count = self.tables_with_rows = 0
        self._schema_of = schema_of
        self._filled: set[str] = set()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `__exit__`
        self._sink = pa.PythonFile(self._file, "w")
        self._writer: pa.RecordBatchStreamWriter | None = None  # of the last table's columns
        self._written = self.schema

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what could not be written was told before
            self._file.close()

    def add(self, table: pa.Table) -> None:
        """Keep a table."""
        if not table.num_rows:
            return
        schema = self._schema_of(table.column_names)
        table = table.select(schema.names).cast(schema)
        self.schema = self._schema_of([*self.schema.names, *schema.names])
        self._filled |= {name for name in schema.names if table[name].null_count < table.num_rows}
        self.row_count += table.num_rows
        self.tables_with_rows += 1
        with temporary_space("the rows"):
            self._writer_of(schema).write_table(table)
            self._file.flush()

    def filled_schema(self) -> pa.Schema:
        """The columns with a value in some row; all columns where there is no row."""
        if not self.row_count:
            return self.schema
        return pa.schema([column for column in self.schema if column.name in self._filled])

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Read the tables back, in order, with the columns of `schema`. No table can be added after that."""
        if self._writer is None:
            return
        with temporary_space("the rows"):
            self._writer.close()
            self._file.flush()
        end = self._file.tell()
        self._file.seek(0)
        file = pa.PythonFile(self._file, "r")
        while self._file.tell() < end:
            with pa.ipc.open_stream(file) as reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    present = set(table.column_names)
                    columns = [table[c.name] if c.name in present else pa.nulls(len(batch), c.type) for c in schema]
                    yield pa.table(columns, schema=schema)

    def _writer_of(self, schema: pa.Schema) -> pa.RecordBatchStreamWriter:
        """The stream of tables with some columns; the file has one after the other."""
        if self._writer is None or not schema.equals(self._written):
            if self._writer is not None:
                self._writer.close()
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = pa.ipc.new_stream(self._sink, schema, options=options)
            self._written = schema
        return self._writer
