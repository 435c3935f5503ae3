"""Tables of rows, one a day, to one file: CSV, Parquet or GeoJSON, none of them ever whole in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from functools import partial
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import shapely
from satcommon.results import SCHEMA

_Write = Callable[[pa.Table], None]

_FORMULA = r"^[=+\-@\t\r]"  # how a cell begins that a spreadsheet runs (OWASP, CSV injection)
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
_WITH_FINAL = SCHEMA.append(pa.field("final", pa.bool_()))


@contextmanager
def open_writer(kind: str, sink: IO[bytes], polygons: Mapping[str, bytes]) -> Iterator[_Write]:
    """A function that writes a day's rows; what it wrote is complete when the block ends.

    Args:
        kind: csv, parquet or geojson.
        sink: takes the bytes; it is not closed.
        polygons: WKB by external id, for GeoJSON.
    """
    openers: dict[str, Callable[[IO[bytes]], AbstractContextManager[_Write]]] = {
        "csv": _csv,
        "parquet": _parquet,
        "geojson": partial(_geojson, polygons),
    }
    with openers[kind](sink) as write:
        yield write


@contextmanager
def _parquet(sink: IO[bytes]) -> Iterator[_Write]:
    with pq.ParquetWriter(sink, _WITH_FINAL, compression="zstd") as writer:
        yield lambda table: writer.write_table(table.cast(_WITH_FINAL))


@contextmanager
def _csv(sink: IO[bytes]) -> Iterator[_Write]:
    with pa.csv.CSVWriter(sink, _cells(_WITH_FINAL.empty_table()).schema) as writer:
        yield lambda table: writer.write_table(_cells(table))


def _cells(table: pa.Table) -> pa.Table:
    """The columns as CSV can hold them: lists as JSON, instants in ISO 8601, no text that is a formula."""
    columns = {name: _column(table[name]) for name in table.column_names}
    return pa.table(columns)


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_list(column.type):
        return pa.chunked_array([[None if v is None else json.dumps(v) for v in column.to_pylist()]], pa.string())
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s", column.type.tz), safe=False), _INSTANT)
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, _FORMULA)
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    return column


@contextmanager
def _geojson(polygons: Mapping[str, bytes], sink: IO[bytes]) -> Iterator[_Write]:
    shapes: dict[str, str] = {}  # the GeoJSON of each field's polygon, made once
    separator = b"\n"

    def shape(field: str) -> str:
        if field not in shapes:
            wkb = polygons.get(field)
            shapes[field] = "null" if wkb is None else shapely.to_geojson(shapely.from_wkb(wkb))
        return shapes[field]

    def write(table: pa.Table) -> None:
        nonlocal separator
        for row in table.to_pylist():
            properties = json.dumps(row, default=_plain, ensure_ascii=False)
            feature = f'{{"type": "Feature", "geometry": {shape(row["field"])}, "properties": {properties}}}'
            sink.write(separator + feature.encode())
            separator = b",\n"

    sink.write(b'{"type": "FeatureCollection", "features": [')
    yield write
    sink.write(b"\n]}\n")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:{_INSTANT}}"
    assert isinstance(value, date), type(value)
    return value.isoformat()
