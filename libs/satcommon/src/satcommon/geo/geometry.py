"""Polygons in WGS 84: their areas on the ellipsoid, their digests, and which regions they belong to.

Digests, storage and computations use the normal form of a polygon (`normal_form`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry

from satcommon.geo.grid import Bounds
from satcommon.geo.normal_form import in_order, normal

SAME_PLACE_DEGREES = 1.5e-9  # noise moves a vertex by 1e-9 degrees at most; a surveyor's edit is far larger
_POLYGON = 3  # GEOS's type id
MAX_EDGE_DEGREES = 0.02  # longer straight edges bend visibly under reprojection, so they get vertices first


@cache
def _ellipsoid() -> Geod:
    return Geod(ellps="WGS84")


def area_ha(geometry: BaseGeometry) -> float:
    """Geodesic area on WGS 84, in hectares (Karney 2013, through PROJ)."""
    return float(areas_ha(np.array([geometry], dtype=object))[0])


def areas_ha(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """The geodesic areas of polygons, in hectares.

    Ring by ring from one array: PROJ's own walk over polygons takes three times as long.

    Args:
        geometries: polygons in WGS 84, shape (n,).

    Returns:
        Shape (n,).
    """
    oriented = shapely.orient_polygons(geometries)
    parts, part_of = shapely.get_parts(oriented, return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    points = shapely.get_coordinates(rings)
    ends = np.cumsum(shapely.get_num_coordinates(rings))
    longitudes, latitudes = np.ascontiguousarray(points.T)
    measure = _ellipsoid().polygon_area_perimeter
    signed = [
        measure(longitudes[start:end], latitudes[start:end])[0]
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False)
    ]
    return np.abs(np.bincount(part_of[ring_of], signed, minlength=len(geometries))) / 1e4


def distance_km(bounds: Bounds, other: Bounds) -> float:
    """The geodesic distance on WGS 84 between the centres of two rectangles (Karney 2013, through PROJ)."""
    _, _, metres = _ellipsoid().inv(*bounds.centre, *other.centre)
    return float(metres) / 1000


def digest(geometry: BaseGeometry) -> str:
    """Identifies a polygon in whatever form it comes: sha256 of the WKB of its normal form."""
    return digests([geometry])[0]


def digests(geometries: Sequence[BaseGeometry]) -> list[str]:
    """The digests of many polygons."""
    return [hashlib.sha256(wkb).hexdigest() for wkb in shapely.to_wkb(normal(geometries), output_dimension=2)]


def same_place(first: BaseGeometry, second: BaseGeometry) -> bool:
    """Whether two polygons are the same but for noise: as many vertices, equal to a tenth of a millimetre."""
    first, second = normal([first, second])
    if shapely.equals_exact(first, second, tolerance=SAME_PLACE_DEGREES):
        return True
    # Noise in the last digits may make another vertex the first of the normal form: compare the outlines themselves.
    if shapely.get_num_coordinates(first) != shapely.get_num_coordinates(second):
        return False
    if np.abs(np.subtract(first.bounds, second.bounds)).max() > SAME_PLACE_DEGREES:
        return False
    return bool(shapely.hausdorff_distance(first.boundary, second.boundary) <= SAME_PLACE_DEGREES)


def projected(geometry: BaseGeometry, crs: str) -> BaseGeometry:
    """A polygon of WGS 84 in another CRS; long edges get vertices first, since straight lines bend.

    Args:
        geometry: in WGS 84, longitude first.
        crs: in any form that PROJ knows.
    """
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
    """A polygon and a rectangle that share area.

    Args:
        geometry: position of the polygon in the argument of `overlaps`.
        region: position of the rectangle.
        area_ha: the shared area.
        whole_ha: the area of the polygon.
    """

    geometry: int
    region: int
    area_ha: float
    whole_ha: float


def overlaps(geometries: Sequence[BaseGeometry], regions: Sequence[Bounds]) -> list[Overlap]:
    """Which polygons share area with which rectangles; touching along an edge is not enough.

    One STRtree query for all: pairs that are far apart cost nothing. Polygons are put `in_order` first, since the last
    bits of an area depend on the first vertex.
    """
    if not len(geometries) or not regions:
        return []
    polygons = in_order(geometries)
    boxes = shapely.box(*np.asarray(regions, dtype=float).T)
    region, geometry = shapely.STRtree(polygons).query(boxes, predicate="intersects")
    members, whole_of = np.unique(geometry, return_inverse=True)
    whole = areas_ha(polygons[members])[whole_of]
    shared = whole.copy()
    cut = ~shapely.covers(boxes[region], polygons[geometry])
    parts, of = shapely.get_parts(shapely.intersection(polygons[geometry[cut]], boxes[region[cut]]), return_index=True)
    flat = shapely.get_type_id(parts) == _POLYGON
    shared[cut] = np.bincount(of[flat], areas_ha(parts[flat]), minlength=np.count_nonzero(cut))
    pairs = zip(geometry.tolist(), region.tolist(), shared.tolist(), whole.tolist(), strict=True)
    return [Overlap(*pair) for pair in pairs if pair[2] > 0]
