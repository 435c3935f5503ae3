"""The normal form of polygons, in which they are named, stored and computed with: one form a place.

The same polygon comes from another first vertex, in the other ring direction, with repeated vertices, with its parts
and holes in another order, and with other last digits after a reprojection. Sums and buffers differ in their last bits
between these; the normal form makes them one polygon.
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

    A valid polygon stays valid: one that rounding would make invalid keeps its coordinates. The normal form of a normal
    form is itself.
    """
    came = in_order(shapely.force_2d(np.asarray(geometries, dtype=object)))
    # Adding zero makes 0.0 of -0.0, which is another number in WKB.
    found = np.asarray(shapely.transform(came, lambda points: np.round(points, DECIMALS) + 0.0))
    return in_order(np.where(shapely.is_valid(found), found, came))


def in_order(geometries: Sequence[BaseGeometry] | NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons without repeated vertices, with first vertex, ring direction, parts and holes in one order.

    Coordinates stay as they are, so that polygons which were stored before they were rounded are still themselves.
    """
    found: NDArray[np.object_] = shapely.remove_repeated_points(np.asarray(geometries, dtype=object))
    single = (shapely.get_type_id(found) == _MULTIPOLYGON) & (shapely.get_num_geometries(found) == 1)
    found[single] = shapely.get_geometry(found[single], 0)
    return np.asarray(shapely.normalize(found))
