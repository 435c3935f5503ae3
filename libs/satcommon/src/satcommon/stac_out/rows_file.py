"""A day's rows as GeoParquet 1.1, each with its polygon, and named as fiboa names a field's identity.

fiboa 0.3 rests on Vecorel 0.1: a field is identified by `collection` and `id`; `determination:datetime` is when its
boundary was determined, of which Satfields knows when it was told.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from sqlalchemy import Connection, select

from satcommon.db.models import Field, FieldRevision
from satcommon.db.statement_batches import rows_in
from satcommon.publication.row_columns import column_meaning, described
from satcommon.stats.data_dictionary import Meaning

GEOMETRY = "geometry"
_SCHEMAS = (
    "https://vecorel.org/specification/v0.1.0/schema.yaml",
    "https://fiboa.org/specification/v0.3.0/schema.yaml",
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([pa.field(corner, pa.float64()) for corner in CORNERS])
_GROUP_ROWS = 20_000
_OURS = {
    "id": Meaning("external id of the field, as fiboa names it: the same as `field`"),
    "collection": Meaning("id of the STAC collection, as fiboa names it"),
    "determination:datetime": Meaning("when the field's polygon was registered first, as fiboa names it"),
    "bbox": Meaning("bounding box of the polygon", "degrees"),
    GEOMETRY: Meaning("polygon that the row was computed with, in WGS 84"),
}


class Polygon(NamedTuple):
    """A field's polygon, and when it was registered first."""

    wkb: bytes
    known_at: datetime


Polygons = Mapping[tuple[str, str], Polygon]
"""Polygons by external id and digest."""


def polygons_of(connection: Connection, rows: pa.Table) -> Polygons:
    """The polygons that rows were computed with.

    Args:
        connection: of a read transaction.
        rows: of a day.
    """
    statement = select(
        Field.external_id, FieldRevision.geometry_digest, FieldRevision.geometry, FieldRevision.known_at
    ).join(Field, Field.field_id == FieldRevision.field_id)
    digests = set(rows["geometry_digest"].to_pylist()) - {None}
    found: dict[tuple[str, str], Polygon] = {}
    for row in rows_in(connection, statement, FieldRevision.geometry_digest, digests):
        key, polygon = (row.external_id, row.geometry_digest), Polygon(row.geometry, row.known_at)
        found[key] = min(found.get(key, polygon), polygon, key=lambda each: each.known_at)
    return found


def rows_with_polygons(rows: pa.Table, collection: str, polygons: Polygons) -> pa.Table:
    """Rows with fiboa's columns before them, and the polygon and its box.

    Args:
        rows: of a day, as `satctl export` writes them.
        collection: id of the STAC collection.
        polygons: of `polygons_of`.
    """
    keys = zip(rows["field"].to_pylist(), rows["geometry_digest"].to_pylist(), strict=True)
    found = [polygons.get(key) for key in keys]
    shapes = [None if polygon is None else polygon.wkb for polygon in found]
    boxes = shapely.bounds(shapely.from_wkb(np.array(shapes, dtype=object)))
    none = pa.array([wkb is None for wkb in shapes], pa.bool_())
    added = {
        "id": rows["field"],
        "collection": pa.array([collection] * rows.num_rows, pa.string()),
        "determination:datetime": pa.array(
            [None if polygon is None else polygon.known_at for polygon in found], pa.timestamp("ms", tz="UTC")
        ),
        GEOMETRY: pa.array(shapes, pa.binary()),
        "bbox": pa.StructArray.from_arrays(
            [pa.array(boxes[:, n]) for n in range(len(CORNERS))], fields=list(_BOX), mask=none
        ),
    }
    return pa.table(added | {name: rows[name] for name in rows.column_names})


def encode(rows: pa.Table, collection: str) -> bytes:
    """The bytes of a GeoParquet file: the same for the same rows.

    Args:
        rows: of `rows_with_polygons`.
        collection: id of the STAC collection.
    """
    shapes = shapely.from_wkb(rows[GEOMETRY].to_numpy(zero_copy_only=False))
    of_fiboa = {"schemas": {collection: _SCHEMAS}}
    return parquet(rows.cast(described(rows.schema, _OURS)), shapes, {"collection": json.dumps(of_fiboa)})


def parquet(table: pa.Table, shapes: Sequence[shapely.Geometry], more: Mapping[str, str]) -> bytes:
    """A table with the columns `geometry`, in WGS 84, and `bbox` as GeoParquet 1.1.

    Args:
        table: the rows.
        shapes: their geometries.
        more: further metadata of the file.
    """
    there = [shape for shape in shapes if shape is not None]
    of_geometry = {
        "encoding": "WKB",
        "geometry_types": sorted({shape.geom_type for shape in there}),
        "covering": {"bbox": {corner: ["bbox", corner] for corner in CORNERS}},
    } | ({"bbox": shapely.total_bounds(there).tolist()} if there else {})
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: of_geometry}}
    sink = io.BytesIO()
    written = table.replace_schema_metadata({"geo": json.dumps(geo), **more}).combine_chunks()
    pq.write_table(written, sink, compression="zstd", row_group_size=_GROUP_ROWS)
    return sink.getvalue()


def meaning_of_column(column: pa.Field) -> Meaning:
    """What a column of the file is."""
    meaning = _OURS.get(column.name) or column_meaning(column)
    assert meaning is not None, column
    return meaning
