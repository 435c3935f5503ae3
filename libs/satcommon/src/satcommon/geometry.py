"""Polygons in WGS 84: what is accepted, how large they are on the ellipsoid, and which regions they belong to.

The polygon that came is kept as it came (in two dimensions); its digest is taken over a normal form, so that another
starting vertex or ring direction is the same geometry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import shapely
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.grid import Bounds

SAME_PLACE_DEGREES = (
    1e-9  # 0.1 mm: what a reprojection there and back moves a vertex is far below, a surveyor's edit above
)
MAX_EDGE_DEGREES = 0.02  # longer straight edges bend visibly under reprojection, so they get vertices first


@cache
def _ellipsoid() -> Geod:
    return Geod(ellps="WGS84")


def area_ha(geometry: BaseGeometry) -> float:
    """Geodesic area on WGS 84, in hectares (Karney 2013, through PROJ)."""
    area, _ = _ellipsoid().geometry_area_perimeter(shapely.orient_polygons(geometry))
    return abs(area) / 1e4


def validated(geometry: BaseGeometry | None, where: str) -> BaseGeometry:
    """The polygon in two dimensions, or a message that says what is wrong with it.

    Args:
        geometry: in WGS 84, longitude first.
        where: names file and feature; the message begins with it.

    Raises:
        InputError: no polygon, empty, coordinates that are no numbers or off the globe, crossing itself, without area,
            or across the antimeridian.
    """
    if geometry is None or geometry.is_empty:
        raise InputError(f"{where}: the geometry is empty; expected a Polygon or MultiPolygon")
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise InputError(f"{where}: the geometry is a {geometry.geom_type}; expected a Polygon or MultiPolygon")
    geometry = shapely.force_2d(geometry)
    points = shapely.get_coordinates(geometry)
    if not np.isfinite(points).all():
        bad = points[~np.isfinite(points).all(axis=1)][0]
        raise InputError(f"{where}: coordinate ({bad[0]}, {bad[1]}) is not a number; expected longitude and latitude")
    off = (np.abs(points[:, 0]) > 180) | (np.abs(points[:, 1]) > 90)
    if off.any():
        bad = points[off][0]
        swapped = (np.abs(points[:, 0]) <= 90).all() and (np.abs(points[:, 1]) <= 180).all()
        hint = "; latitude and longitude look swapped" if swapped else "; give coordinates in degrees of WGS 84"
        raise InputError(
            f"{where}: coordinate ({bad[0]:g}, {bad[1]:g}) is off the globe "
            f"(longitude -180..180, latitude -90..90){hint}"
        )
    west, _, east, _ = geometry.bounds
    if east - west > 180:
        raise InputError(
            f"{where}: the polygon spans {east - west:.1f} degrees of longitude, so it crosses the antimeridian; "
            "split it at 180"
        )
    if shapely.convex_hull(geometry).area == 0:
        raise InputError(f"{where}: the polygon has no area: its points lie on a line")
    if not geometry.is_valid:
        reason = shapely.is_valid_reason(geometry)
        raise InputError(f"{where}: the polygon is not valid: {_plain(reason)}; fix it and try again")
    if area_ha(geometry) <= 0:
        raise InputError(f"{where}: the polygon has no area")
    return geometry


def _plain(reason: str) -> str:
    """GEOS's words for an invalid polygon, in plain ones."""
    what, _, place = reason.partition("[")
    words = {"Self-intersection": "it crosses itself", "Ring Self-intersection": "a ring touches itself"}.get(
        what, what
    )
    return f"{words} near ({', '.join(place.rstrip(']').split())})" if place else words


def digest(geometry: BaseGeometry) -> str:
    """Names a polygon, whatever its starting vertex and ring direction: sha256 of the WKB of its normal form."""
    return hashlib.sha256(shapely.to_wkb(shapely.normalize(geometry), output_dimension=2)).hexdigest()


def same_place(one: BaseGeometry, other: BaseGeometry) -> bool:
    """Whether two polygons have as many vertices, and agree to a tenth of a millimetre."""
    if shapely.equals_exact(shapely.normalize(one), shapely.normalize(other), tolerance=SAME_PLACE_DEGREES):
        return True
    # Noise in the last digits may make another vertex the first of the normal form: compare the outlines themselves.
    if shapely.get_num_coordinates(one) != shapely.get_num_coordinates(other):
        return False
    if np.abs(np.subtract(one.bounds, other.bounds)).max() > SAME_PLACE_DEGREES:
        return False
    return bool(shapely.hausdorff_distance(one.boundary, other.boundary) <= SAME_PLACE_DEGREES)


def projected(geometry: BaseGeometry, crs: str) -> BaseGeometry:
    """A polygon of WGS 84 in another CRS; long edges get vertices first, since straight lines bend."""
    west, south, east, north = geometry.bounds
    if max(east - west, north - south) > MAX_EDGE_DEGREES:
        geometry = shapely.segmentize(geometry, MAX_EDGE_DEGREES)
    return shapely.transform(geometry, _transformer(crs).transform, interleaved=False)


@cache
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def rectangle(bounds: Bounds) -> BaseGeometry:
    """The rectangle as a polygon of WGS 84, its edges along meridians and parallels."""
    return shapely.box(*bounds)


class Overlap(NamedTuple):
    """A polygon intersects a rectangle: positions of both in what `overlaps` was given, and the shared area."""

    geometry: int
    region: int
    area_ha: float


def overlaps(geometries: Sequence[BaseGeometry], regions: Sequence[Bounds]) -> list[Overlap]:
    """Which polygons share area with which rectangles; touching along an edge is not enough.

    One STRtree query for all: a pair costs what it is, pairs that are far apart cost nothing.
    """
    if not geometries or not regions:
        return []
    boxes = shapely.box(*np.asarray(regions, dtype=float).T)
    tree = shapely.STRtree(geometries)
    found = []
    for region, geometry in tree.query(boxes, predicate="intersects").T:
        polygon = geometries[geometry]
        if boxes[region].covers(polygon):
            found.append(Overlap(int(geometry), int(region), area_ha(polygon)))
            continue
        shared = polygon.intersection(boxes[region])
        shared_ha = sum(area_ha(part) for part in shapely.get_parts(shared) if part.geom_type == "Polygon")
        if shared_ha > 0:
            found.append(Overlap(int(geometry), int(region), shared_ha))
    return found
