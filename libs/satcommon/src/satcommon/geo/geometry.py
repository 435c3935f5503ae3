"""Polygons in WGS 84: what is accepted, how large they are on the ellipsoid, and which regions they belong to.

What is named, stored and computed with is the normal form of the polygon that came (`normal_form`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod, Transformer
from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.geo import antimeridian
from satcommon.geo.grid import Bounds
from satcommon.geo.normal_form import in_order, normal

SAME_PLACE_DEGREES = (
    1.5e-9  # noise may round a vertex to the neighbour of its 1e-9 degrees; a surveyor's edit is a hundred times that
)
MAX_VERTICES = 100_000  # of one polygon: a parcel has tens; the hull of a country would cost every day its minutes
MAX_REPAIR = 0.01  # part of the area that a repair may change: more of it is another polygon
_TINY = 1e-10  # square degrees, a square metre: only such a polygon may have no area on the ellipsoid
_POLYGONS, _COLLECTION = (3, 6), 7  # GEOS's type ids
MAX_EDGE_DEGREES = 0.02  # longer straight edges bend visibly under reprojection, so they get vertices first


@cache
def _ellipsoid() -> Geod:
    return Geod(ellps="WGS84")


def area_ha(geometry: BaseGeometry) -> float:
    """Geodesic area on WGS 84, in hectares (Karney 2013, through PROJ)."""
    return float(areas_ha(np.array([geometry], dtype=object))[0])


def areas_ha(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """The geodesic areas of polygons, in hectares.

    Ring by ring from one array: PROJ's own walk over polygons takes thrice as long.
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


def distance_km(one: Bounds, other: Bounds) -> float:
    """The geodesic distance on WGS 84 between the centres of two rectangles (Karney 2013, through PROJ)."""
    _, _, metres = _ellipsoid().inv(*one.centre, *other.centre)
    return float(metres) / 1000


@dataclass(frozen=True)
class Checked:
    """Polygons that were looked at, by position.

    Args:
        polygons: those that are sound, in two dimensions and within -180..180; None for the others.
        wrong: what is wrong with the others.
        repaired: what was done to those that were not sound as they came.
    """

    polygons: NDArray[np.object_]
    wrong: dict[int, str]
    repaired: dict[int, str]


def validated(geometry: BaseGeometry | None, where: str) -> BaseGeometry:
    """The polygon in two dimensions, or a message that says what is wrong with it.

    Args:
        geometry: in WGS 84, longitude first.
        where: names file and feature; the message begins with it.

    Raises:
        InputError: no polygon, empty, coordinates that are no numbers or off the globe, too many of them, crossing
            itself, without area, or around a pole.
    """
    one = np.empty(1, dtype=object)
    one[0] = geometry
    found = checked(one)
    for reason in found.wrong.values():
        raise InputError(f"{where}: {reason}")
    polygon: BaseGeometry = found.polygons[0]
    return polygon


def checked(geometries: NDArray[np.object_], *, repair: bool = False) -> Checked:
    """Which geometries are polygons that can be taken, and what is wrong with the others.

    What crosses the antimeridian is split there.

    Args:
        geometries: in WGS 84, longitude first; None where there is none.
        repair: make valid what crosses itself, where that changes the area by 1 % at most.
    """
    polygons = geometries.copy()
    wrong: dict[int, str] = {}
    repaired: dict[int, str] = {}

    def refuse(reasons: dict[int, str]) -> None:
        wrong.update(reasons)
        polygons[list(reasons)] = None

    refuse(_no_polygons(polygons))
    polygons = shapely.force_2d(polygons)
    refuse(_misplaced(polygons))
    refuse(_cut_at_180(polygons))
    refuse(_invalid(polygons, repaired, repair=repair))
    tiny = np.flatnonzero(shapely.area(polygons) < _TINY)
    refuse(dict.fromkeys(tiny[areas_ha(polygons[tiny]) <= 0].tolist(), "the polygon has no area"))
    return Checked(polygons, wrong, repaired)


def _no_polygons(geometries: NDArray[np.object_]) -> dict[int, str]:
    """What is wrong with geometries that are none, no polygons, or too large ones, by position."""
    found: dict[int, str] = {}
    kinds = shapely.get_type_id(geometries)
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    for i in np.flatnonzero(empty).tolist():
        found[i] = "the geometry is empty; expected a Polygon or MultiPolygon"
    for i in np.flatnonzero(~empty & ~np.isin(kinds, _POLYGONS)).tolist():
        hint = "; save its polygons as one" if kinds[i] == _COLLECTION else ""
        found[i] = f"the geometry is a {geometries[i].geom_type}; expected a Polygon or MultiPolygon{hint}"
    counts = shapely.get_num_coordinates(geometries)
    for i in np.flatnonzero(counts > MAX_VERTICES).tolist():
        found[i] = f"the polygon has {counts[i]:,} vertices; expected at most {MAX_VERTICES:,}; simplify it"
    return found


def _cut_at_180(polygons: NDArray[np.object_]) -> dict[int, str]:
    """Cut those that cross the antimeridian, in place; why others can't be, by position."""
    found: dict[int, str] = {}
    west, _, east, _ = shapely.bounds(polygons).T
    for i in np.flatnonzero(east - west > 180).tolist():
        try:
            polygons[i] = _split(polygons[i])
        except ValueError as error:
            found[i] = str(error)
    return found


def _invalid(polygons: NDArray[np.object_], repaired: dict[int, str], *, repair: bool) -> dict[int, str]:
    """What is wrong with polygons that are not valid, by position; those that may be are repaired in place."""
    found: dict[int, str] = {}
    for i in np.flatnonzero(~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)).tolist():
        reason = _plain(shapely.is_valid_reason(polygons[i]))
        if shapely.convex_hull(polygons[i]).area == 0:
            found[i] = "the polygon has no area: its points lie on a line"
        elif not repair:
            found[i] = f"the polygon is not valid: {reason}; fix it, or try --repair"
        else:
            try:
                polygons[i], change = _repaired(polygons[i])
            except ValueError as error:
                found[i] = f"the polygon is not valid: {reason}; {error}"
            else:
                repaired[i] = f"repaired: {reason}; that changed its area by {change:.2%}"
    return found


def _misplaced(polygons: NDArray[np.object_]) -> dict[int, str]:
    """What is wrong with polygons of which a vertex is no place on the globe, by position."""
    points, of = shapely.get_coordinates(polygons, return_index=True)
    found: dict[int, str] = {}
    missing = ~np.isfinite(points).all(axis=1)
    off = ~missing & (np.abs(points) > (180, 90)).any(axis=1)
    # Vertices that would be off the globe if swapped, too.
    lost = np.bincount(of, (np.abs(points) > (90, 180)).any(axis=1), minlength=len(polygons))
    for i, x, y in _firsts(of[missing], points[missing]):
        found[i] = f"coordinate ({x}, {y}) is not a number; expected longitude and latitude"
    for i, x, y in _firsts(of[off], points[off]):
        hint = "give coordinates in degrees of WGS 84" if lost[i] else "latitude and longitude look swapped"
        reason = f"coordinate ({x:g}, {y:g}) is off the globe (longitude -180..180, latitude -90..90); {hint}"
        found.setdefault(i, reason)
    return found


def _firsts(of: NDArray[np.intp], points: NDArray[np.float64]) -> Iterator[tuple[int, float, float]]:
    """The first point of each polygon."""
    values, first = np.unique(of, return_index=True)
    return ((i, x, y) for i, (x, y) in zip(values.tolist(), points[first].tolist(), strict=True))


def _split(polygon: BaseGeometry) -> BaseGeometry:
    """A polygon whose edges jump, cut at the antimeridian."""
    if not antimeridian.jumps(polygon):
        return polygon
    pieces = []
    for part in shapely.get_parts(polygon):
        if not antimeridian.jumps(part):
            pieces.append(part)
            continue
        try:
            whole = antimeridian.unwrapped(part)
        except antimeridian.PoleError as error:
            raise ValueError(f"{error}, or around the globe; cut it along a meridian") from error
        if not whole.is_valid:
            reason = _plain(shapely.is_valid_reason(whole))
            raise ValueError(f"the polygon crosses the antimeridian and is not valid: {reason}; split it at 180")
        pieces += antimeridian.cut(whole)
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)


def _repaired(polygon: BaseGeometry) -> tuple[BaseGeometry, float]:
    """A valid polygon in place of one that is not, and by which part that changed its area.

    Raises:
        ValueError: it would be another polygon.
    """
    parts = [p for p in shapely.get_parts(shapely.make_valid(polygon)) if p.geom_type in ("Polygon", "MultiPolygon")]
    mended = shapely.union_all(parts)
    before, after = areas_ha(np.array([polygon, mended], dtype=object))
    change = abs(after - before) / before if before else math.inf
    if change > MAX_REPAIR:
        raise ValueError(f"--repair would change its area by {change:.0%}; fix it")
    return mended, change


def _plain(reason: str) -> str:
    """GEOS's words for an invalid polygon, in plain ones."""
    what, _, place = reason.partition("[")
    words = {"Self-intersection": "it crosses itself", "Ring Self-intersection": "a ring touches itself"}.get(
        what, what
    )
    return f"{words} near ({', '.join(place.rstrip(']').split())})" if place else words


def digest(geometry: BaseGeometry) -> str:
    """Names a polygon, whatever form it came in: sha256 of the WKB of its normal form."""
    return digests([geometry])[0]


def digests(geometries: Sequence[BaseGeometry]) -> list[str]:
    """The digests of many polygons."""
    return [hashlib.sha256(wkb).hexdigest() for wkb in shapely.to_wkb(normal(geometries), output_dimension=2)]


def same_place(one: BaseGeometry, other: BaseGeometry) -> bool:
    """Whether the normal forms of two polygons have as many vertices, and agree to a tenth of a millimetre."""
    one, other = normal([one, other])
    if shapely.equals_exact(one, other, tolerance=SAME_PLACE_DEGREES):
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
    """A polygon and a rectangle that share area: their positions in what `overlaps` was given, that area, the whole."""

    geometry: int
    region: int
    area_ha: float
    whole_ha: float


def overlaps(geometries: Sequence[BaseGeometry], regions: Sequence[Bounds]) -> list[Overlap]:
    """Which polygons share area with which rectangles; touching along an edge is not enough.

    One STRtree query for all: a pair costs what it is, pairs that are far apart cost nothing. Polygons are put in order
    first: the last bits of an area depend on the vertex that comes first.
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
    flat = shapely.get_type_id(parts) == _POLYGONS[0]
    shared[cut] = np.bincount(of[flat], areas_ha(parts[flat]), minlength=np.count_nonzero(cut))
    pairs = zip(geometry.tolist(), region.tolist(), shared.tolist(), whole.tolist(), strict=True)
    return [Overlap(*pair) for pair in pairs if pair[2] > 0]
