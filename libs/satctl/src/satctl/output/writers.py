"""Tables of rows, one a day, to one file in one of five formats; never all of them in memory.

Tables have the columns of `results.SCHEMA`, some more, and for formats with geometry `geometry`: WKB in WGS 84.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import shapely
from satcommon.errors import InputError, StoreError

from satctl.output.sink import STDOUT, check_sink, sink, whole_file

GEOMETRY = "geometry"
WITH_GEOMETRY = ("geoparquet", "gpkg", "geojson")

_Write = Callable[[pa.Table], None]

# How a cell begins that a spreadsheet runs (OWASP, CSV injection); the last four are full-width = + - @.
_FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_GATHERED_ROWS = 20_000  # a row group, or a transaction of a GeoPackage, for a few rows each costs more than the rows
_GEO = {  # GeoParquet 1.0; without a CRS named it is OGC:CRS84
    "version": "1.0.0",
    "primary_column": GEOMETRY,
    "columns": {GEOMETRY: {"encoding": "WKB", "geometry_types": []}},
}


@contextmanager
def open_writer(kind: str, output: str, schema: pa.Schema, *, force: bool) -> Iterator[_Write]:
    """A function that writes a day's rows; the file is there, complete, when the block ends well.

    Args:
        kind: csv, parquet, geoparquet, gpkg or geojson.
        output: the file, or - for stdout.
        schema: of the tables.
        force: the file may be there already, and is replaced.

    Raises:
        InputError: the file can't be written there, or a GeoPackage was to go to stdout.
        StoreError: it could not be written; nothing was left.
    """
    check_output(kind, output, force=force)
    if kind == "gpkg":
        with whole_file(output, force=force, suffix=".gpkg") as path, _geopackage(str(path), schema) as write:
            yield write
        return
    openers: dict[str, Callable[[IO[bytes], pa.Schema], AbstractContextManager[_Write]]] = {
        "csv": _csv,
        "parquet": _parquet,
        "geoparquet": _geoparquet,
        "geojson": _geojson,
    }
    with sink(output, force=force) as file, openers[kind](file, schema) as write:
        yield write


def check_output(kind: str, output: str, *, force: bool) -> None:
    """Refuse what can't be written to, before rows are read for it; arguments and errors are those of `open_writer`."""
    if kind == "gpkg" and output == STDOUT:
        raise InputError("--output -: a GeoPackage is a database and no stream of bytes; name a file")
    check_sink(output, force=force)


@contextmanager
def _gathered(schema: pa.Schema, write: _Write) -> Iterator[_Write]:
    """Hands on so many rows at once, and the rest at the end."""
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
    with pq.ParquetWriter(file, schema, compression="zstd") as writer, _gathered(schema, writer.write_table) as write:
        yield write


def _geoparquet(file: IO[bytes], schema: pa.Schema) -> AbstractContextManager[_Write]:
    return _parquet(file, schema.with_metadata({"geo": json.dumps(_GEO)}))


@contextmanager
def _csv(file: IO[bytes], schema: pa.Schema) -> Iterator[_Write]:
    with pa.csv.CSVWriter(file, _cells(schema.empty_table()).schema) as writer:
        yield lambda table: writer.write_table(_cells(table))


def _cells(table: pa.Table) -> pa.Table:
    """The columns as CSV can hold them: lists as JSON, instants in ISO 8601, no text that is a formula."""
    return pa.table({name: _cell(column) for name, column in zip(table.column_names, _flat(table), strict=True)})


def _cell(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")  # in Arrow seconds have their fractions
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, _FORMULA)
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    return column


def _flat(table: pa.Table) -> list[pa.ChunkedArray]:
    """The columns, those of lists as JSON."""
    return [
        pa.chunked_array(
            [[None if v is None else json.dumps(v, default=_plain, ensure_ascii=False) for v in column.to_pylist()]],
            pa.string(),
        )
        if pa.types.is_list(column.type)
        else column
        for column in table.columns
    ]


@contextmanager
def _geopackage(path: str, schema: pa.Schema) -> Iterator[_Write]:
    import pyogrio

    there = False

    def append(table: pa.Table) -> None:
        nonlocal there
        flat = pa.table(dict(zip(table.column_names, _flat(table), strict=True)))
        multi = [None if wkb is None else _multi(wkb) for wkb in table[GEOMETRY].to_pylist()]
        flat = flat.set_column(flat.column_names.index(GEOMETRY), GEOMETRY, pa.array(multi, pa.binary()))
        try:
            pyogrio.write_arrow(
                flat,
                path,
                layer="rows",
                driver="GPKG",
                geometry_name=GEOMETRY,
                geometry_type="MultiPolygon",
                crs="EPSG:4326",
                append=there,
            )
        except RuntimeError as error:  # what pyogrio's errors are
            raise StoreError(f"the GeoPackage could not be written: {error}; nothing was left there") from error
        there = True

    with _gathered(schema, append) as write:
        yield write


def _multi(wkb: bytes) -> bytes:
    """A layer has one type of geometry: a polygon is a multipolygon of one."""
    shape = shapely.from_wkb(wkb)
    multi: bytes = shapely.to_wkb(shapely.multipolygons([shape]) if shape.geom_type == "Polygon" else shape)
    return multi


@contextmanager
def _geojson(file: IO[bytes], schema: pa.Schema) -> Iterator[_Write]:  # noqa: ARG001  # as the others
    shapes: dict[bytes | None, str] = {None: "null"}  # each polygon's GeoJSON, made once
    separator = b"\n"

    def write(table: pa.Table) -> None:
        nonlocal separator
        for row in table.to_pylist():
            wkb = row.pop(GEOMETRY)
            if wkb not in shapes:
                shapes[wkb] = shapely.to_geojson(shapely.orient_polygons(shapely.from_wkb(wkb)))  # as RFC 7946 wants it
            properties = json.dumps(row, default=_plain, ensure_ascii=False)
            feature = f'{{"type": "Feature", "geometry": {shapes[wkb]}, "properties": {properties}}}'
            file.write(separator + feature.encode())
            separator = b",\n"

    file.write(b'{"type": "FeatureCollection", "features": [')
    yield write
    file.write(b"\n]}\n")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert isinstance(value, date), type(value)
    return value.isoformat()
