"""Rows as a layer of a GeoPackage; what each column is stands in its table `gpkg_data_columns`, as QGIS shows it."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import shapely
from satcommon.errors import StoreError
from satcommon.publication.cells import flat
from satcommon.publication.row_columns import column_meaning

GEOMETRY = "geometry"
_COMMENT = "GDAL:OGR:comment"  # the key by which GDAL takes a column's description from Arrow


def appender(path: str, schema: pa.Schema) -> Callable[[pa.Table], None]:
    """Gives a function that appends rows to the layer `rows`.

    Args:
        path: of the GeoPackage, whose suffix is `.gpkg`.
        schema: of the rows; `geometry` is WKB in WGS 84.

    Raises:
        StoreError: by the function: the file could not be written.
    """
    import pyogrio

    comments = {column.name: _comment(column) for column in schema}
    layer_exists = False

    def append(table: pa.Table) -> None:
        nonlocal layer_exists
        multi = [None if wkb is None else _multi(wkb) for wkb in table[GEOMETRY].to_pylist()]
        columns = dict(zip(table.column_names, flat(table), strict=True)) | {GEOMETRY: pa.array(multi, pa.binary())}
        fields = [pa.field(name, each.type, metadata=comments[name]) for name, each in columns.items()]
        try:
            pyogrio.write_arrow(
                pa.table(list(columns.values()), schema=pa.schema(fields)),
                path,
                layer="rows",
                driver="GPKG",
                geometry_name=GEOMETRY,
                geometry_type="MultiPolygon",
                crs="EPSG:4326",
                append=layer_exists,
            )
        except RuntimeError as error:  # the base of pyogrio's errors
            raise StoreError(f"the GeoPackage could not be written: {error}; no part of it is left") from error
        layer_exists = True

    return append


def _comment(column: pa.Field) -> dict[str, str] | None:
    meaning = column_meaning(column)
    if meaning is None:
        return None
    return {_COMMENT: meaning.meaning + (f" [{meaning.unit}]" if meaning.unit else "")}


def _multi(wkb: bytes) -> bytes:
    """The geometry as a multipolygon: a layer has one type of geometry."""
    shape = shapely.from_wkb(wkb)
    multi: bytes = shapely.to_wkb(shapely.multipolygons([shape]) if shape.geom_type == "Polygon" else shape)
    return multi
