"""Polygons across the antimeridian, cut at 180 degrees as RFC 7946 (section 3.1.9) asks.

An edge that spans more than 180 degrees of longitude is taken to go the other way round.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry


class PoleError(ValueError):
    """A ring goes around a pole: longitudes and latitudes don't say which side of it is inside."""


def jumps(geometry: BaseGeometry) -> bool:
    """Whether an edge of a polygon spans more than 180 degrees of longitude."""
    return any(_jumps(shapely.get_coordinates(ring)) for ring in shapely.get_rings(geometry))


def unwrapped(polygon: BaseGeometry) -> BaseGeometry:
    """One polygon with longitudes that continue beyond 180 instead of jumping.

    Raises:
        PoleError: a ring goes around a pole.
    """
    shell, *holes = (_unwrapped(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygon))
    middle = _middle(shell)
    for hole in holes:
        hole[:, 0] += 360 * np.round((middle - _middle(hole)) / 360)
    return shapely.Polygon(shell, holes)


def cut(polygon: BaseGeometry) -> list[BaseGeometry]:
    """An unwrapped, valid polygon in pieces, each within -180..180."""
    pieces = []
    for turns in (-360, 0, 360):
        inside = shapely.intersection(polygon, shapely.box(turns - 180, -90, turns + 180, 90))
        parts = [part for part in shapely.get_parts(inside) if part.geom_type == "Polygon"]
        pieces += [shapely.transform(part, lambda points, by=turns: points - (by, 0)) for part in parts]
    return pieces


def _jumps(points: NDArray[np.float64]) -> bool:
    return bool((np.abs(np.diff(points[:, 0])) > 180).any())


def _unwrapped(points: NDArray[np.float64]) -> NDArray[np.float64]:
    turns = np.concatenate([[0], np.cumsum(np.round(np.diff(points[:, 0]) / 360))])
    if turns[-1] != 0:
        raise PoleError("the polygon goes around a pole")
    moved: NDArray[np.float64] = points - np.column_stack([360 * turns, np.zeros(len(points))])
    return moved


def _middle(points: NDArray[np.float64]) -> float:
    return float(points[:, 0].min() + points[:, 0].max()) / 2
