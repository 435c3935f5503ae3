"""Pictures whose corners are a region's, with rows and columns that are even in Web Mercator (EPSG:3857)."""

from __future__ import annotations

import math
from typing import NamedTuple

from satcommon.geo.grid import Bounds


class Frame(NamedTuple):
    """The size of such a picture, and where its sides are.

    Longitudes are in degrees, `east` beyond 180 across the antimeridian; `top` and `bottom` are Mercator's ordinates
    on a sphere of radius 1.
    """

    width: int
    height: int
    west: float
    east: float
    top: float
    bottom: float

    @classmethod
    def of(cls, bounds: Bounds, max_pixels: int) -> Frame:
        """The frame of a rectangle, whose longer side has so many pixels."""
        east = bounds.east + (360.0 if bounds.east < bounds.west else 0.0)
        top, bottom = (math.asinh(math.tan(math.radians(latitude))) for latitude in (bounds.north, bounds.south))
        across, down = math.radians(east - bounds.west), top - bottom
        width, height = (max(1, round(max_pixels * side / max(across, down))) for side in (across, down))
        return cls(width, height, bounds.west, east, top, bottom)
