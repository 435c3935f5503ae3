"""The features of a GeoJSON or GeoPackage file: attributes as they are, polygons in WGS 84 and sound.

GeoJSON is read here, not by GDAL, which turns broken features into empty ones without a word. No coordinate is rounded;
one that is in WGS 84 already is bit for bit the file's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.geometry import validated
from satcommon.problems import Problems, shown

_GEOJSON, _GEOPACKAGE = (".geojson", ".json"), (".gpkg",)
_SUFFIXES = ", ".join((*_GEOJSON, *_GEOPACKAGE))
_SQLITE = b"SQLite format 3\0"  # how a GeoPackage begins; GDAL would open anything else by its content


@dataclass(frozen=True)
class Feature:
    """One feature of a file.

    Args:
        where: file, number (from 1) and name of the feature; messages begin with it.
        attributes: as the file has them.
    """

    where: str
    attributes: Mapping[str, Any]
    _raw: Any
    _read: Callable[[Any, str], BaseGeometry | None]
    _to_wgs84: Callable[[BaseGeometry, str], BaseGeometry]

    def polygon(self) -> BaseGeometry:
        """The polygon in WGS 84, longitude first, in two dimensions.

        Raises:
            InputError: the geometry is broken, or no polygon that `geometry.validated` lets pass.
        """
        geometry = self._read(self._raw, self.where)
        if geometry is not None and not geometry.is_empty:
            geometry = self._to_wgs84(geometry, self.where)
        polygon = validated(geometry, self.where)
        # Programs differ in whether they write one polygon as a MultiPolygon; it is the same field.
        parts = shapely.get_parts(polygon)
        return parts[0] if len(parts) == 1 else polygon


def read_features(
    path: Path, problems: Problems, *, layer: str | None = None, single: bool = False
) -> Iterator[Feature]:
    """The features of a file.

    Args:
        path: GeoJSON (`.geojson`, `.json`) or GeoPackage (`.gpkg`).
        problems: takes what hinders reading one feature; the others are given all the same.
        layer: of a GeoPackage with several.
        single: a GeoJSON Feature or a bare geometry will do in place of a FeatureCollection.

    Raises:
        InputError: the file as a whole can't be read, or has no features.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; expected GeoJSON or GeoPackage ({_SUFFIXES})")
    if path.suffix.lower() not in _GEOJSON + _GEOPACKAGE:
        raise InputError(
            f"{path}: the suffix {path.suffix!r} is not known here; expected {_SUFFIXES} "
            "(ogr2ogr converts other formats)"
        )
    if not path.is_file():
        raise InputError(f"{path}: is a folder; expected a file")
    if path.suffix.lower() in _GEOPACKAGE:
        return _geopackage(path, layer)
    if layer is not None:
        raise InputError(f"{path}: GeoJSON has no layers; leave out the layer {layer!r}")
    return _geojson(path, problems, single)


# --- GeoJSON -------------------------------------------------------------------------------------------------------


def _geojson(path: Path, problems: Problems, single: bool) -> Iterator[Feature]:
    content = _json(path)
    kind = content.get("type") if isinstance(content, dict) else content
    if single and kind in ("Polygon", "MultiPolygon"):
        content = {"features": [{"type": "Feature", "geometry": content}]}
    elif single and kind == "Feature":
        content = {"features": [content], "crs": content.get("crs")}
    elif kind != "FeatureCollection":
        raise InputError(f"{path}: the file holds {shown(kind)}; expected a GeoJSON FeatureCollection")
    features = content.get("features")
    if not isinstance(features, list) or not features:
        raise InputError(f"{path}: the FeatureCollection has no features; expected at least one")
    to_wgs84 = _to_wgs84(_named_crs(path, content.get("crs")), path)
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            problems.add(f'{path}: feature {number}: expected an object with "type": "Feature"')
            continue
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            problems.add(f'{path}: feature {number}: "properties" is no object; expected names and values')
            continue
        where = _where(path, number, properties)
        yield Feature(where, properties, feature.get("geometry"), _shape, to_wgs84)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is no UTF-8, so this is no GeoJSON; check the file") from error
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply to be GeoJSON; check the file") from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}; expected a GeoJSON FeatureCollection") from error


def _named_crs(path: Path, crs: Any) -> str:
    """The CRS of a GeoJSON: WGS 84 (RFC 7946), unless the older member `crs` names another."""
    if crs is None:
        return "EPSG:4326"
    properties = crs.get("properties") if isinstance(crs, dict) and crs.get("type") == "name" else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise InputError(f'{path}: "crs" does not name a CRS; leave it out for WGS 84, or convert the file to it')
    return name


def _shape(geometry: Any, where: str) -> BaseGeometry | None:
    """The polygon of a GeoJSON geometry, its rings as they are."""
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"{where}: the geometry is {shown(kind)}; expected a Polygon or MultiPolygon")
    coordinates = geometry.get("coordinates")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        raise InputError(f"{where}: the {kind} has no list of rings as its coordinates")
    polygons = [_polygon([_ring(ring, where) for ring in rings]) for rings in parts if rings]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def _polygon(rings: list[BaseGeometry]) -> BaseGeometry:
    return shapely.polygons(rings[0], holes=rings[1:] or None)


def _ring(positions: Any, where: str) -> BaseGeometry:
    points = _pairs(positions)
    if points is None:
        raise InputError(f"{where}: a ring is no list of [longitude, latitude]; expected numbers in degrees")
    wrong = ~np.isfinite(points).all(axis=1)
    if wrong.any():
        x, y = points[wrong][0]
        raise InputError(f"{where}: coordinate ({x}, {y}) is not a number; expected longitude and latitude")
    if len(points) < 4:
        raise InputError(f"{where}: a ring has {len(points)} positions; expected at least 4, the last as the first")
    if (points[0] != points[-1]).any():
        first, last = (f"({x:g}, {y:g})" for x, y in (points[0], points[-1]))
        raise InputError(f"{where}: a ring begins at {first} and ends at {last}; repeat the first position as the last")
    return shapely.linearrings(points)


def _pairs(positions: Any) -> NDArray[np.float64] | None:
    """Positions without their heights, shape (n, 2); None where they are anything but numbers."""
    if not isinstance(positions, list) or not all(isinstance(position, list) for position in positions):
        return None
    try:
        points = np.asarray([position[:2] for position in positions])
    except ValueError:  # of different lengths
        return None
    numbers = points.ndim == 2 and points.shape[1] == 2 and points.dtype.kind in "if"
    return points.astype(np.float64) if numbers else None


# --- GeoPackage ----------------------------------------------------------------------------------------------------


def _geopackage(path: Path, layer: str | None) -> Iterator[Feature]:
    from pyogrio.raw import read_arrow

    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise InputError(f"{path}: is no GeoPackage, whatever its suffix says; check the file")
    try:
        meta, table = read_arrow(path, layer=_layer(path, layer))
        rows = table.to_pylist()
    except (RuntimeError, ValueError, OSError) as error:  # GDAL's, Arrow's, and of text that is no UTF-8
        raise InputError(f"{path}: can't be read as a GeoPackage: {error}") from error
    if not rows:
        raise InputError(f"{path}: the layer has no features; expected at least one")
    if meta["crs"] is None:
        raise InputError(f"{path}: the layer has no CRS; assign one (ogr2ogr -a_srs EPSG:...) and try again")
    to_wgs84 = _to_wgs84(meta["crs"], path)
    column = meta["geometry_name"] or "wkb_geometry"
    for number, row in enumerate(rows, 1):
        wkb = row.pop(column)
        where = _where(path, number, row)
        yield Feature(where, row, wkb, _from_wkb, to_wgs84)


def _layer(path: Path, layer: str | None) -> str:
    from pyogrio import list_layers

    layers = [str(name) for name, kind in list_layers(path) if kind is not None]
    named = ", ".join(repr(name) for name in layers)
    if layer is None and len(layers) == 1:
        return layers[0]
    if not layers:
        raise InputError(f"{path}: has no layer with geometry; expected one of polygons")
    if layer is None:
        raise InputError(f"{path}: has several layers ({named}); say which one with --layer")
    if layer not in layers:
        raise InputError(f"{path}: has no layer {layer!r} with geometry; expected one of {named}")
    return layer


def _from_wkb(wkb: bytes | None, where: str) -> BaseGeometry | None:
    try:
        return shapely.from_wkb(wkb)
    except GEOSException as error:
        raise InputError(f"{where}: the geometry is broken: {error}; fix it and try again") from error


# --- both ----------------------------------------------------------------------------------------------------------


def _where(path: Path, number: int, attributes: Mapping[str, Any]) -> str:
    name = attributes.get("name") or attributes.get("external_id")
    return f"{path}: feature {number}" if name is None else f"{path}: feature {number} ({shown(name)})"


def _to_wgs84(name: str, path: Path) -> Callable[[BaseGeometry, str], BaseGeometry]:
    """Brings geometries of a CRS to WGS 84; those that are there stay as they are."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError, ProjError

    try:
        crs = CRS.from_user_input(name)
        wgs84 = CRS("EPSG:4326")
        if crs.equals(wgs84, ignore_axis_order=True):
            return lambda geometry, _: geometry
        if crs.name.startswith("Undefined"):  # GeoPackage's words for "not known"
            raise InputError(f"{path}: its CRS is undefined; assign one (ogr2ogr -a_srs EPSG:...) and try again")
        transform = Transformer.from_crs(crs, wgs84, always_xy=True).transform
    except (CRSError, ProjError) as error:
        raise InputError(
            f"{path}: its CRS {shown(name)} can't be brought to WGS 84: {error}; "
            "convert the file (ogr2ogr -t_srs EPSG:4326)"
        ) from error

    def moved(geometry: BaseGeometry, where: str) -> BaseGeometry:
        geometry = shapely.force_2d(geometry)
        there = shapely.transform(geometry, transform, interleaved=False)
        before, after = shapely.get_coordinates(geometry), shapely.get_coordinates(there)
        lost = np.isfinite(before).all(axis=1) & ~np.isfinite(after).all(axis=1)
        if lost.any():
            x, y = before[lost][0]
            raise InputError(f"{where}: coordinate ({x:g}, {y:g}) is nowhere in the file's CRS ({crs.name}); check it")
        return there

    return moved
