"""GeoParquet, its columns named as ours or as those of fiboa (the Field Boundaries for Agriculture specification)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from satcommon.errors import InputError
from satcommon.problems import shown
from satcommon.vector.arrow import features_of
from satcommon.vector.table import Choose, Features

_CRS84 = "OGC:CRS84"  # what a missing key `crs` means by the specification; null means unknown
_MAGIC = b"PAR1"
_FIBOA = {"id": "external_id"}  # `crop:code` is ours, too; when a boundary was determined is no planting date


def read(path: Path, choose: Choose, layer: str | None, single: bool) -> Features:  # noqa: ARG001  # every reader's signature
    """The features of a GeoParquet, geometries as WKB; see `table.Reader`.

    Raises:
        InputError: the file is no GeoParquet, or a layer is asked for.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if layer is not None:
        raise InputError(f"{path}: GeoParquet has no layers; leave out the layer {layer!r}")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{path}: is no Parquet, whatever its suffix says; check the file")
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            geometry, crs = _geometry(path, (schema.metadata or {}).get(b"geo"))
            alias = _aliases(schema)
            names = [*(name for name in schema.names if name != geometry), *alias.values()]
            chosen = list(choose(names))
            wanted = {name: next((own for own, ours in alias.items() if ours == name), name) for name in chosen}
            table = file.read(columns=[*dict.fromkeys([*wanted.values(), geometry])])
        table = pa.table({geometry: _binary(table, geometry)} | {n: table.column(own) for n, own in wanted.items()})
        return features_of(path, table, names, chosen, geometry, crs)
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise InputError(f"{path}: can't be read as GeoParquet: {' '.join(str(error).split())[:300]}") from error


def _aliases(schema: Any) -> dict[str, str]:
    """Columns by fiboa's name, with ours. A numeric `id` may be a sequence number, which identifies nothing."""
    import pyarrow as pa

    def is_text(name: str) -> bool:
        kind = schema.field(name).type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    names = schema.names
    return {own: ours for own, ours in _FIBOA.items() if names.count(own) == 1 and ours not in names and is_text(own)}


def _binary(table: Any, geometry: str) -> Any:
    import pyarrow as pa

    column = table.column(geometry)
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return column.cast(pa.binary())


def _geometry(path: Path, geo: bytes | None) -> tuple[str, Any]:
    """The geometry column, and its CRS."""
    if geo is None:
        raise InputError(
            f"{path}: is Parquet without the metadata of GeoParquet, so that nothing tells its geometries and their "
            "CRS; write it with GDAL, GeoPandas or DuckDB's spatial extension"
        )
    try:
        meta = json.loads(geo)
        column = meta["primary_column"]
        told = meta["columns"][column]
        encoding, crs = told["encoding"], told.get("crs", _CRS84)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: the metadata of GeoParquet is broken ({error!r}); write the file again") from error
    if encoding != "WKB":
        raise InputError(f"{path}: geometries are encoded as {shown(encoding)}; expected WKB; write the file again so")
    if crs is None:
        raise InputError(f"{path}: its CRS is unknown; write the file again with one")
    return str(column), crs
