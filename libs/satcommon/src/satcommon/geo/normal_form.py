"""The normal form of polygons, which digests, storage and computations use.

The same polygon may start at another vertex, run in the other direction, repeat vertices, have its parts and holes in
another order, and differ in the last digits after a reprojection. Sums and buffers of these forms differ in their last
bits; the normal form makes them one polygon.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

DECIMALS = 9  # of a degree, 0.1 mm: thousands of times what a reprojection adds, a hundredth of what surveyors measure
_MULTIPOLYGON = 6  # GEOS's type id


def normal(geometries: Sequence[BaseGeometry] | NDArray[np.object_]) -> NDArray[np.object_]:
    """The normal form of valid polygons, in two dimensions: coordinates rounded to 1e-9 degrees, then `in_order`.

    A valid polygon stays valid: one that rounding would make invalid keeps its coordinates. The function is idempotent.
    """
    ordered = in_order(shapely.force_2d(np.asarray(geometries, dtype=object)))
    # Adding zero turns -0.0 into 0.0, which is a different number in WKB.
    rounded = np.asarray(shapely.transform(ordered, lambda points: np.round(points, DECIMALS) + 0.0))
    return in_order(np.where(shapely.is_valid(rounded), rounded, ordered))


def in_order(geometries: Sequence[BaseGeometry] | NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons without repeated vertices, with first vertex, ring direction, parts and holes in canonical order.

    Coordinates are not rounded, so that polygons stored before rounding was introduced stay the same.
    """
    ordered: NDArray[np.object_] = shapely.remove_repeated_points(np.asarray(geometries, dtype=object))
    single = (shapely.get_type_id(ordered) == _MULTIPOLYGON) & (shapely.get_num_geometries(ordered) == 1)
    ordered[single] = shapely.get_geometry(ordered[single], 0)
    return np.asarray(shapely.normalize(ordered))
