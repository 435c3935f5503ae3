"""GeoJSON, read here and not by GDAL, which silently turns broken features into empty ones.

No coordinate is rounded: one in WGS 84 stays bit for bit as the file has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from satcommon.errors import InputError
from satcommon.memory import without_collector
from satcommon.problems import shown
from satcommon.vector.crs import to_wgs84
from satcommon.vector.table import Choose, Features, Geometries

_ID = "id"  # a member of the feature itself, beside its properties


def read(path: Path, choose: Choose, layer: str | None, single: bool) -> Features:
    """The features of a GeoJSON (RFC 7946, or the older form that names its CRS); see `table.Reader`.

    Raises:
        InputError: the file is no GeoJSON, or a layer is asked for.
    """
    if layer is not None:
        raise InputError(f"{path}: GeoJSON has no layers; leave out the layer {layer!r}")
    with without_collector():
        return _read(path, choose, single)


def _read(path: Path, choose: Choose, single: bool) -> Features:
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
    strays: dict[int, str] = {}
    numbers, properties, raw, ids = [], [], [], []
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            strays[number] = 'expected an object with "type": "Feature"'
        elif not isinstance(own := feature.get("properties") or {}, dict):
            strays[number] = '"properties" is no object; expected names and values'
        else:
            numbers.append(number)
            properties.append(own)
            raw.append(feature.get("geometry"))
            ids.append(feature.get(_ID))
    names = list(dict.fromkeys(chain.from_iterable(properties)))
    own_ids = _ID not in names and any(value is not None for value in ids)  # a property of that name goes first
    chosen = choose([*names, _ID] if own_ids else names)
    columns = {name: ids if own_ids and name == _ID else [own.get(name) for own in properties] for name in chosen}
    crs = _named_crs(path, content.get("crs"))
    del content, features, properties  # the bulk of it is the geometries, which shrink to a tenth now
    geometries, broken = _geometries(raw)
    geometries, nowhere = to_wgs84(geometries, crs, path)
    return Features(path, numbers, names, columns, geometries, broken | nowhere, strays)


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


# --- geometries: rings of all features in one array ----------------------------------------------------------------


def _geometries(raw: list[Any]) -> tuple[Geometries, dict[int, str]]:
    """The polygons of GeoJSON geometries, rings as they are; and what is wrong with the others, by position.

    Takes the list apart as it goes, so that lists and arrays of all coordinates are not there at the same time.
    """
    broken: dict[int, str] = {}
    rings: list[NDArray[np.float64]] = []
    polygon_of: list[int] = []  # of each ring
    feature_of: list[int] = []  # of each polygon
    for i, geometry in enumerate(raw):
        raw[i] = None
        try:
            parts = _parts(geometry)
        except InputError as error:
            broken[i] = str(error)
            continue
        for part in parts:
            polygon_of += [len(feature_of)] * len(part)
            feature_of.append(i)
            rings += part
    found = np.full(len(raw), None, dtype=object)
    if not rings:
        return found, broken
    lengths = np.fromiter(map(len, rings), dtype=np.intp)
    lines = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    polygons = shapely.polygons(lines, indices=np.array(polygon_of))
    of, counts = np.unique(np.array(feature_of), return_counts=True)
    single = counts == 1
    first = np.cumsum(counts) - counts
    found[of[single]] = polygons[first[single]]
    for i, start, count in zip(of[~single], first[~single], counts[~single], strict=True):
        found[i] = shapely.MultiPolygon(list(polygons[start : start + count]))
    return found, broken


def _parts(geometry: Any) -> list[list[NDArray[np.float64]]]:
    """The rings of each polygon of a GeoJSON geometry; none where it is empty."""
    if geometry is None:
        return []
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"the geometry is {shown(kind)}; expected a Polygon or MultiPolygon")
    coordinates = geometry.get("coordinates")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        raise InputError(f"the {kind} has no list of rings as its coordinates")
    return [[_ring(ring) for ring in rings] for rings in parts if rings]


def _ring(positions: Any) -> NDArray[np.float64]:
    points = _pairs(positions)
    if points is None:
        raise InputError("a ring is no list of [longitude, latitude]; expected numbers in degrees")
    if not np.isfinite(points).all():
        x, y = points[~np.isfinite(points).all(axis=1)][0]
        raise InputError(f"coordinate ({x}, {y}) is not a number; expected longitude and latitude")
    if len(points) < 4:
        raise InputError(f"a ring has {len(points)} positions; expected at least 4, the last as the first")
    if points[0, 0] != points[-1, 0] or points[0, 1] != points[-1, 1]:
        first, last = (f"({x:g}, {y:g})" for x, y in (points[0], points[-1]))
        raise InputError(f"a ring begins at {first} and ends at {last}; repeat the first position as the last")
    return points


def _pairs(positions: Any) -> NDArray[np.float64] | None:
    """Positions without their heights, shape (n, 2); None where they are anything but numbers."""
    if not isinstance(positions, list) or not positions:
        return None
    points = _array(positions)
    if points is None and all(isinstance(position, list) for position in positions):
        points = _array([position[:2] for position in positions])  # some have a height, others not
    if points is None or points.ndim != 2 or points.shape[1] < 2 or points.dtype.kind not in "if":
        return None
    return points[:, :2].astype(np.float64)


def _array(positions: Sequence[Any]) -> NDArray[Any] | None:
    try:
        return np.asarray(positions)
    except (ValueError, OverflowError):  # of different lengths, or nested without end
        return None
