"""Tables of rows as bytes of each format, piece by piece, so that memory does not grow with the answer."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import shapely
from pydantic_core import to_json
from satcommon.publication.cells import cells
from satcommon.publication.row_columns import described

JSON = ("json", "application/json")
CSV = ("csv", "text/csv; charset=utf-8")
PARQUET = ("parquet", "application/vnd.apache.parquet")
ARROW = ("arrow", "application/vnd.apache.arrow.stream")
GEOJSON = ("GeoJSON", "application/geo+json")
FLATGEOBUF = ("fgb", "application/vnd.flatgeobuf")
COVERAGE = ("CoverageJSON", "application/prs.coverage+json")
BINARY = ("parquet", "arrow", "fgb", "png")  # not compressed again

GEOMETRY = "geometry"
_ROWS = 2_000  # of a piece
_EPOCH = date(1970, 1, 1).toordinal()


class _Pieces(io.RawIOBase):
    """A file whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._at += len(self._written[-1])
        return len(self._written[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        data, self._written = b"".join(self._written), []
        return data


def encoded(kind: str, schema: pa.Schema, tables: Iterable[pa.Table], head: Mapping[str, Any]) -> Iterator[bytes]:
    """Rows in a format; Parquet and Arrow say unit and meaning of each column in its metadata.

    Args:
        kind: json, csv, parquet, arrow, GeoJSON or fgb.
        schema: of the tables; in those with geometry, the column `geometry` is WKB in WGS 84.
        tables: the rows.
        head: what JSON and GeoJSON say besides the rows.
    """
    pieces = (table.slice(at, _ROWS) for table in tables for at in range(0, table.num_rows, _ROWS))
    if kind == "json":
        return _json(pieces, head)
    if kind == "csv":
        return _csv(schema, pieces)
    if kind == "parquet":
        return _parquet(described(schema), pieces)
    if kind == "arrow":
        return _arrow(described(schema), pieces)
    if kind == "GeoJSON":
        return _geojson(pieces, head)
    return iter([flatgeobuf(pa.concat_tables([schema.empty_table(), *pieces]))])


def json_bytes(value: Any) -> bytes:
    """JSON of values as rows have them: numbers in full precision, days and instants in ISO 8601."""
    return to_json(value, inf_nan_mode="null")


def plain_values(column: pa.ChunkedArray) -> list[Any]:
    """Values for JSON; days as text."""
    if pa.types.is_date(column.type):  # Arrow takes 2 ms to make 730 of them, 0.1 ms for their text
        return list(map(_DAY_TEXTS.__getitem__, column.combine_chunks().view(pa.int32()).to_pylist()))
    values: list[Any] = column.to_pylist()
    return values


class _DayTexts(dict[int | None, str | None]):
    """Days as text, by their number in Arrow; each is written once, since all fields have the same days."""

    def __missing__(self, day: int | None) -> str | None:
        text = self[day] = None if day is None else date.fromordinal(_EPOCH + day).isoformat()
        return text


_DAY_TEXTS = _DayTexts()


def _json(pieces: Iterable[pa.Table], head: Mapping[str, Any]) -> Iterator[bytes]:
    opening = json_bytes(head)[:-1]
    yield opening + (b"," if head else b"") + b'"rows":['
    separator = b""
    for table in pieces:
        rows = json_bytes(table.to_pylist())[1:-1]
        yield separator + rows
        separator = b","
    yield b"]}"


def _csv(schema: pa.Schema, pieces: Iterable[pa.Table]) -> Iterator[bytes]:
    file = _Pieces()
    with pa.csv.CSVWriter(pa.PythonFile(file, "w"), cells(schema.empty_table()).schema) as writer:
        for table in pieces:
            writer.write_table(cells(table))
            yield file.taken()
    yield file.taken()


def _parquet(schema: pa.Schema, pieces: Iterable[pa.Table]) -> Iterator[bytes]:
    file = _Pieces()
    with pq.ParquetWriter(pa.PythonFile(file, "w"), schema, compression="zstd") as writer:
        for table in pieces:
            writer.write_table(table.cast(schema))
            yield file.taken()
    yield file.taken()


def _arrow(schema: pa.Schema, pieces: Iterable[pa.Table]) -> Iterator[bytes]:
    file = _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(file, "w"), schema) as writer:
        for table in pieces:
            writer.write_table(table.cast(schema))
            yield file.taken()
    yield file.taken()


def _geojson(pieces: Iterable[pa.Table], head: Mapping[str, Any]) -> Iterator[bytes]:
    yield b'{"type":"FeatureCollection",' + json_bytes(head)[1:-1] + (b"," if head else b"") + b'"features":['
    separator = b""
    for table in pieces:
        yield separator + b",".join(features(table))
        separator = b","
    yield b"]}"


def features(table: pa.Table, more: Mapping[str, Any] | None = None) -> Iterator[bytes]:
    """GeoJSON features of rows; the id of each is its external id or name.

    Args:
        table: with the column `geometry`, of WKB.
        more: further members of each feature.
    """
    rest = b"," + json_bytes(more)[1:-1] if more else b""
    shapes = geojson_geometries(table[GEOMETRY].to_pylist())
    for row, shape in zip(table.drop_columns([GEOMETRY]).to_pylist(), shapes, strict=True):
        name = json_bytes(row.get("external_id") or row.get("field") or row.get("name"))
        yield b'{"type":"Feature","id":%b,"geometry":%b,"properties":%b%b}' % (name, shape, json_bytes(row), rest)


def geojson_geometries(wkb: Sequence[bytes | None]) -> list[bytes]:
    """Geometries as GeoJSON, in the order of rings that RFC 7946 wants; null without one."""
    shapes = shapely.orient_polygons(shapely.from_wkb(np.array(wkb, dtype=object)))
    return [b"null" if text is None else text.encode() for text in shapely.to_geojson(shapes).tolist()]


def flatgeobuf(table: pa.Table) -> bytes:
    """Rows as FlatGeobuf, with an index of space; lists are JSON text."""
    import pyogrio
    from satcommon.publication.cells import flat

    plain = pa.table(dict(zip(table.column_names, flat(table), strict=True)))
    shapes = shapely.from_wkb(table[GEOMETRY].to_numpy(zero_copy_only=False)) if table.num_rows else []
    multi = [
        None
        if shape is None
        else shapely.to_wkb(shapely.MultiPolygon([shape]) if shape.geom_type == "Polygon" else shape)
        for shape in shapes
    ]
    plain = plain.set_column(plain.column_names.index(GEOMETRY), GEOMETRY, pa.array(multi, pa.binary()))
    sink = io.BytesIO()
    options = {"driver": "FlatGeobuf", "geometry_name": GEOMETRY, "geometry_type": "MultiPolygon", "crs": "EPSG:4326"}
    pyogrio.write_arrow(plain, sink, layer="rows", **options)
    return sink.getvalue()
