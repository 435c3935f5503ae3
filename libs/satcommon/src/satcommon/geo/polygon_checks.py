"""Which geometries are polygons that can be used, and what is wrong with the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.geo import antimeridian
from satcommon.geo.geometry import areas_ha

MAX_VERTICES = 100_000  # of one polygon: a parcel has tens; the outline of a country would take minutes every day
MAX_REPAIR = 0.01  # part of the area that a repair may change: beyond that it would be another polygon
_TINY = 1e-10  # square degrees, a square metre: only a smaller polygon can have no area on the ellipsoid
_POLYGONS, _COLLECTION = (3, 6), 7  # GEOS's type ids


@dataclass(frozen=True)
class Checked:
    """The result of checking polygons, by position.

    Args:
        polygons: those that are sound, in two dimensions and within -180..180; None for the others.
        wrong: what is wrong with the others.
        repaired: what was done to those that were repaired.
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
        InputError: it is no polygon, is empty, has coordinates that are no numbers or off the globe, has too many
            vertices, crosses itself, has no area, or goes around a pole.
    """
    geometries = np.empty(1, dtype=object)
    geometries[0] = geometry
    result = checked(geometries)
    for reason in result.wrong.values():
        raise InputError(f"{where}: {reason}")
    polygon: BaseGeometry = result.polygons[0]
    return polygon


def checked(geometries: NDArray[np.object_], *, repair: bool = False) -> Checked:
    """Which geometries are polygons that can be used, and what is wrong with the others.

    Polygons across the antimeridian are split there.

    Args:
        geometries: in WGS 84, longitude first; None where there is none.
        repair: make polygons valid that cross themselves, where that changes the area by 1 % at most.
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
    """What is wrong with geometries that are missing, no polygons, or have too many vertices, by position."""
    wrong: dict[int, str] = {}
    kinds = shapely.get_type_id(geometries)
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    for i in np.flatnonzero(empty).tolist():
        wrong[i] = "the geometry is empty; expected a Polygon or MultiPolygon"
    for i in np.flatnonzero(~empty & ~np.isin(kinds, _POLYGONS)).tolist():
        hint = "; save its polygons as one" if kinds[i] == _COLLECTION else ""
        wrong[i] = f"the geometry is a {geometries[i].geom_type}; expected a Polygon or MultiPolygon{hint}"
    counts = shapely.get_num_coordinates(geometries)
    for i in np.flatnonzero(counts > MAX_VERTICES).tolist():
        wrong[i] = f"the polygon has {counts[i]:,} vertices; expected at most {MAX_VERTICES:,}; simplify it"
    return wrong


def _cut_at_180(polygons: NDArray[np.object_]) -> dict[int, str]:
    """Cut those that cross the antimeridian, in place; and why some can't be cut, by position."""
    wrong: dict[int, str] = {}
    west, _, east, _ = shapely.bounds(polygons).T
    for i in np.flatnonzero(east - west > 180).tolist():
        try:
            polygons[i] = _split(polygons[i])
        except ValueError as error:
            wrong[i] = str(error)
    return wrong


def _invalid(polygons: NDArray[np.object_], repaired: dict[int, str], *, repair: bool) -> dict[int, str]:
    """What is wrong with polygons that are not valid, by position; those that may be are repaired in place."""
    wrong: dict[int, str] = {}
    for i in np.flatnonzero(~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)).tolist():
        reason = _plain_reason(shapely.is_valid_reason(polygons[i]))
        if shapely.convex_hull(polygons[i]).area == 0:
            wrong[i] = "the polygon has no area: its points lie on a line"
        elif not repair:
            wrong[i] = f"the polygon is not valid: {reason}; fix it, or try --repair"
        else:
            try:
                polygons[i], change = _repaired(polygons[i])
            except ValueError as error:
                wrong[i] = f"the polygon is not valid: {reason}; {error}"
            else:
                repaired[i] = f"repaired: {reason}; that changed its area by {change:.2%}"
    return wrong


def _misplaced(polygons: NDArray[np.object_]) -> dict[int, str]:
    """What is wrong with polygons of which a vertex is not on the globe, by position."""
    points, of = shapely.get_coordinates(polygons, return_index=True)
    wrong: dict[int, str] = {}
    missing = ~np.isfinite(points).all(axis=1)
    off = ~missing & (np.abs(points) > (180, 90)).any(axis=1)
    # Vertices that would also be off the globe with axes swapped.
    lost = np.bincount(of, (np.abs(points) > (90, 180)).any(axis=1), minlength=len(polygons))
    for i, x, y in _firsts(of[missing], points[missing]):
        wrong[i] = f"coordinate ({x}, {y}) is not a number; expected longitude and latitude"
    for i, x, y in _firsts(of[off], points[off]):
        hint = "give coordinates in degrees of WGS 84" if lost[i] else "latitude and longitude look swapped"
        reason = f"coordinate ({x:g}, {y:g}) is off the globe (longitude -180..180, latitude -90..90); {hint}"
        wrong.setdefault(i, reason)
    return wrong


def _firsts(of: NDArray[np.intp], points: NDArray[np.float64]) -> Iterator[tuple[int, float, float]]:
    """The first point of each polygon."""
    values, first = np.unique(of, return_index=True)
    return ((i, x, y) for i, (x, y) in zip(values.tolist(), points[first].tolist(), strict=True))


def _split(polygon: BaseGeometry) -> BaseGeometry:
    """The polygon, cut at the antimeridian if its edges cross it."""
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
            reason = _plain_reason(shapely.is_valid_reason(whole))
            raise ValueError(f"the polygon crosses the antimeridian and is not valid: {reason}; split it at 180")
        pieces += antimeridian.cut(whole)
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)


def _repaired(polygon: BaseGeometry) -> tuple[BaseGeometry, float]:
    """An invalid polygon made valid, and by what part that changed its area.

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


def _plain_reason(reason: str) -> str:
    """GEOS's reason why a polygon is invalid, in plain words."""
    what, _, place = reason.partition("[")
    words = {"Self-intersection": "it crosses itself", "Ring Self-intersection": "a ring touches itself"}.get(
        what, what
    )
    return f"{words} near ({', '.join(place.rstrip(']').split())})" if place else words
