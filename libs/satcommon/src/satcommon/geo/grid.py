"""The raster of a region: CRS, origin, cell size and shape, fixed at registration.

Cells are numbered row by row from the top left: ``cell = row * width + column``.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from affine import Affine


class Bounds(NamedTuple):
    """A rectangle in degrees of WGS 84 (EPSG:4326).

    A region's west is less than its east, both within -180 to 180. A raster may have longitudes from 0 to 360, and a
    west greater than its east where it crosses the antimeridian.
    """

    west: float
    south: float
    east: float
    north: float

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude, from -180 to 180, and latitude."""
        longitude = (self.west + self._unwrapped_east) / 2
        if not -180 <= longitude <= 180:
            longitude = (longitude + 180) % 360 - 180
        return longitude, (self.south + self.north) / 2

    def overlaps(self, other: Bounds) -> bool:
        """Whether two rectangles share more than an edge; longitudes a full turn apart are equal."""
        return (
            self.south < other.north
            and other.south < self.north
            and any(
                self.west < other._unwrapped_east + turn and other.west + turn < self._unwrapped_east
                for turn in (-360, 0, 360)
            )
        )

    @property
    def _unwrapped_east(self) -> float:
        return self.east + 360 if self.east < self.west else self.east


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid.

    Args:
        crs: any text that PROJ knows, as ``EPSG:32615``.
        left: x of the left edge, in units of the CRS.
        top: y of the upper edge.
        xres: width of a cell, positive.
        yres: height of a cell, positive.
        width: columns.
        height: rows.
    """

    crs: str
    left: float
    top: float
    xres: float
    yres: float
    width: int
    height: int

    @property
    def transform(self) -> Affine:
        """The affine transform from (column, row) to (x, y)."""
        from affine import Affine

        return Affine(self.xres, 0.0, self.left, 0.0, -self.yres, self.top)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in units of the CRS."""
        return (self.left, self.top - self.height * self.yres, self.left + self.width * self.xres, self.top)

    def matches(self, other: Grid) -> bool:
        """Whether shape and, to a thousandth of a cell, extent are the same, however the CRS is written."""
        near = all(
            abs(a - b) <= 1e-3 * size
            for a, b, size in zip(self.extent, other.extent, (self.xres, self.yres) * 2, strict=True)
        )
        return near and (self.width, self.height) == (other.width, other.height)

    @cached_property
    def digest(self) -> str:
        """Identifies the grid: equal grids have equal digests."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The grid as canonical JSON: 10 and 10.0 are written alike."""
        numbers = {name: float(getattr(self, name)) for name in ("left", "top", "xres", "yres")}
        return json.dumps(asdict(self) | numbers, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Grid:
        """The grid that `to_json` wrote."""
        return cls(**json.loads(text))

    def covering(self, bounds: Bounds) -> Grid:
        """The smallest grid aligned with this one (CRS, cell size, cell edges) that covers a rectangle of WGS 84."""
        from rasterio.warp import transform_bounds

        left, bottom, right, top = transform_bounds("EPSG:4326", self.crs, *bounds, densify_pts=101)
        first_column = math.floor((left - self.left) / self.xres)
        last_column = math.ceil((right - self.left) / self.xres)
        first_row = math.floor((self.top - top) / self.yres)
        last_row = math.ceil((self.top - bottom) / self.yres)
        return Grid(
            crs=self.crs,
            left=self.left + first_column * self.xres,
            top=self.top - first_row * self.yres,
            xres=self.xres,
            yres=self.yres,
            width=last_column - first_column,
            height=last_row - first_row,
        )

    @classmethod
    def utm(cls, bounds: Bounds, resolution_m: float) -> Grid:
        """The grid of square cells in the UTM zone of the rectangle's centre, origin at a multiple of the cell size."""
        longitude, latitude = bounds.centre
        zone = min(60, int((longitude + 180) // 6) + 1)
        crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
        return cls(crs, 0.0, 0.0, resolution_m, resolution_m, 0, 0).covering(bounds)
