"""The file formats of boundaries: a suffix, and the module that reads it. A format is added by one line here."""

from __future__ import annotations

from pathlib import Path

from satcommon.errors import InputError
from satcommon.vector import geojson, geopackage, geoparquet, shapefile
from satcommon.vector.table import Choose, Features, Reader

_READERS: dict[str, Reader] = {
    ".geojson": geojson.read,
    ".json": geojson.read,
    ".gpkg": geopackage.read,
    ".shp": shapefile.read,
    ".zip": shapefile.read_zipped,
    ".parquet": geoparquet.read,
    ".geoparquet": geoparquet.read,
}
FORMATS = "GeoJSON, GeoPackage, Shapefile (zipped, too) or GeoParquet"


def read_features(path: Path, choose: Choose, *, layer: str | None = None, single: bool = False) -> Features:
    """The features of a file, in its order; at least one.

    Args:
        path: GeoJSON (`.geojson`, `.json`), GeoPackage (`.gpkg`), Shapefile (`.shp`, or zipped: `.zip`) or GeoParquet
            (`.parquet`, `.geoparquet`).
        choose: gets the names of the file's attributes, gives those to be read, or raises `InputError`.
        layer: of a GeoPackage, or a zip of Shapefiles, with several.
        single: a GeoJSON Feature or a bare geometry will do in place of a FeatureCollection.

    Raises:
        InputError: the file as a whole can't be read, or has no features.
    """
    suffixes = ", ".join(_READERS)
    if not path.exists():
        raise InputError(f"{path}: there is no such file; expected {FORMATS} ({suffixes})")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(
            f"{path}: the suffix {path.suffix!r} is not known here; expected {suffixes} "
            "(ogr2ogr converts other formats)"
        )
    if not path.is_file():
        raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}; expected a file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    features = read(path, choose, layer, single)
    if not features.numbers and not features.strays:
        raise InputError(f"{path}: has no features; expected at least one")
    return features
