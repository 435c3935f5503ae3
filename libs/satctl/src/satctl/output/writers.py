"""Writes tables of rows, one a day, to one file in one of six formats, without holding them all in memory.

Tables have the columns of `result_rows.schema_of`, some more, and `geometry` in formats that have it: WKB in WGS 84.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import shapely
from satcommon.errors import InputError
from satcommon.publication.cells import cells, json_text
from satcommon.publication.row_columns import described

from satctl.output.geopackage import GEOMETRY, appender
from satctl.output.sink import STDOUT, check_sink, sink, whole_file
from satctl.output.workbook import workbook

WITH_GEOMETRY = ("geoparquet", "gpkg", "geojson")

_Write = Callable[[pa.Table], None]

_GATHERED_ROWS = 20_000  # a row group, or a GeoPackage transaction, for a few rows costs more than the rows
_GEO = {  # GeoParquet 1.0; its default CRS is OGC:CRS84
    "version": "1.0.0",
    "primary_column": GEOMETRY,
    "columns": {GEOMETRY: {"encoding": "WKB", "geometry_types": []}},
}


@contextmanager
def open_writer(kind: str, output: str, schema: pa.Schema, *, force: bool) -> Iterator[_Write]:
    """Gives a function that writes a day's rows; the file appears, complete, when the block ends without an error.

    Args:
        kind: csv, parquet, geoparquet, gpkg, geojson or xlsx.
        output: the file, or - for stdout.
        schema: of the tables. Formats that have a place for it get unit and meaning of each column.
        force: replace a file that exists.

    Raises:
        InputError: the file can't be written there; or a GeoPackage is asked for on stdout.
        StoreError: it could not be written; no part of it is left.
    """
    check_output(kind, output, force=force)
    if kind == "gpkg":
        with (
            whole_file(output, force=force, suffix=".gpkg") as path,
            _gathered(schema, appender(str(path), schema)) as write,
        ):
            yield write
        return
    openers: dict[str, Callable[[IO[bytes], pa.Schema], AbstractContextManager[_Write]]] = {
        "csv": _csv,
        "parquet": _parquet,
        "geoparquet": _geoparquet,
        "geojson": _geojson,
        "xlsx": workbook,
    }
    with sink(output, force=force) as file, openers[kind](file, schema) as write:
        yield write


def check_output(kind: str, output: str, *, force: bool) -> None:
    """Refuse an output before any row is read; arguments and errors are those of `open_writer`."""
    if kind == "gpkg" and output == STDOUT:
        raise InputError("--output -: a GeoPackage is a database, not a stream of bytes; name a file")
    check_sink(output, force=force)


@contextmanager
def _gathered(schema: pa.Schema, write: _Write) -> Iterator[_Write]:
    """Collects rows, and writes `_GATHERED_ROWS` or more together; the rest at the end."""
    waiting: list[pa.Table] = [schema.empty_table()]

    def gather(table: pa.Table) -> None:
        waiting.append(table.cast(schema))
        if sum(each.num_rows for each in waiting) >= _GATHERED_ROWS:
            write(pa.concat_tables(waiting))
            waiting[:] = [schema.empty_table()]

    yield gather
    write(pa.concat_tables(waiting))


@contextmanager
def _parquet(file: IO[bytes], schema: pa.Schema) -> Iterator[_Write]:
    schema = described(schema)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer, _gathered(schema, writer.write_table) as write:
        yield write


def _geoparquet(file: IO[bytes], schema: pa.Schema) -> AbstractContextManager[_Write]:
    return _parquet(file, schema.with_metadata({"geo": json.dumps(_GEO)}))


@contextmanager
def _csv(file: IO[bytes], schema: pa.Schema) -> Iterator[_Write]:
    with pa.csv.CSVWriter(file, cells(schema.empty_table()).schema) as writer:
        yield lambda table: writer.write_table(cells(table))


@contextmanager
def _geojson(file: IO[bytes], schema: pa.Schema) -> Iterator[_Write]:  # noqa: ARG001  # the signature of all openers
    shapes: dict[bytes | None, str] = {None: "null"}  # GeoJSON by polygon, encoded once
    separator = b"\n"

    def write(table: pa.Table) -> None:
        nonlocal separator
        for row in table.to_pylist():
            wkb = row.pop(GEOMETRY)
            if wkb not in shapes:
                shapes[wkb] = shapely.to_geojson(shapely.orient_polygons(shapely.from_wkb(wkb)))  # RFC 7946, 3.1.6
            properties = json.dumps(row, default=json_text, ensure_ascii=False)
            feature = f'{{"type": "Feature", "geometry": {shapes[wkb]}, "properties": {properties}}}'
            file.write(separator + feature.encode())
            separator = b",\n"

    file.write(b'{"type": "FeatureCollection", "features": [')
    yield write
    file.write(b"\n]}\n")
