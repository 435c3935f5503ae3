"""How the cells of a file come onto those of a grid: copied where they align, otherwise warped.

A warp is bilinear for bands (over cells that are not nodata), nearest for classes, which are codes and can't be
interpolated. GDAL positions a cell to an eighth of a source cell, and differently for another window, so a region is
always warped whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from satcommon.raster.header import ALIGNED
from satcommon.raster.layers import NODATA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.geo.grid import Grid
    from satcommon.raster.header import Header

    Cells = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Copied:
    """Copies the cells of a window of the file onto the grid; `rows` and `columns` give their order."""

    window: Window
    row: int
    column: int
    grid: Grid
    rows: slice
    columns: slice
    checked: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.grid.height, self.grid.width

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values, 0 around."""
        values = values[self.rows, self.columns]
        cells = np.zeros(self.shape, values.dtype)
        cells[self.row : self.row + values.shape[0], self.column : self.column + values.shape[1]] = values
        return cells

    bilinear = nearest

    def within(self, rows: Cells, columns: Cells) -> tuple[NDArray[np.intp], Cells, Cells]:
        """Which of some cells of the grid the file has, and their rows and columns in the file."""
        left, top, width, height = (round(number) for number in self.window.flatten())
        rows, columns = rows - self.row, columns - self.column
        positions = np.flatnonzero((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
        rows, columns = rows[positions], columns[positions]
        south_up, mirrored = self.rows.step == -1, self.columns.step == -1
        return (
            positions,
            top + (height - 1 - rows if south_up else rows),
            left + (width - 1 - columns if mirrored else columns),
        )


@dataclass(frozen=True)
class SingleCells:
    """Puts the values of single cells, one row of them, where they belong among those that were asked for."""

    window: Window
    positions: NDArray[np.intp]
    shape: tuple[int, int]
    checked: ClassVar[bool] = False

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values, 0 where the file has no cell."""
        cells = np.zeros(self.shape, values.dtype)
        cells[0, self.positions] = values[0]
        return cells

    bilinear = nearest


@dataclass(frozen=True)
class Thinned:
    """Puts the thinned cells of a window where they lie in a picture of the grid."""

    window: Window
    row: int
    column: int
    shape: tuple[int, int]
    rows: slice
    columns: slice
    checked: ClassVar[bool] = False

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values, 0 around."""
        cells = np.zeros(self.shape, values.dtype)
        room = cells[self.row :, self.column :]
        values = values[self.rows, self.columns][: room.shape[0], : room.shape[1]]
        room[: values.shape[0], : values.shape[1]] = values
        return cells

    bilinear = nearest


@dataclass(frozen=True)
class Warped:
    """Resamples a window of the file onto the grid."""

    window: Window
    transform: Affine
    crs: CRS
    grid: Grid
    checked: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.grid.height, self.grid.width

    def nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the nearest cells, 0 around."""
        return self._onto_grid(values, Resampling.nearest)

    def bilinear(self, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Interpolated between the cells that are not 0; 0 where there is none."""
        known = values.astype(np.float32)
        known[values == NODATA] = np.nan
        warped: NDArray[np.float32] = self._onto_grid(known, Resampling.bilinear)
        return np.nan_to_num(np.rint(warped)).astype(np.uint16)

    def _onto_grid(self, values: NDArray[Any], resampling: Resampling) -> NDArray[Any]:
        nothing = np.nan if values.dtype == np.float32 else 0
        warped = np.full(self.shape, nothing, values.dtype)
        reproject(
            values,
            warped,
            src_transform=self.transform,
            src_crs=self.crs,
            src_nodata=nothing,
            dst_transform=self.grid.transform,
            dst_crs=self.grid.crs,
            dst_nodata=nothing,
            resampling=resampling,
        )
        return warped


Fit = Copied | SingleCells | Thinned | Warped  # what brings values of the file onto the cells that are wanted


def copy_of(header: Header, grid: Grid) -> Copied | None:
    """The copy, where the file's cells align with the grid's; None elsewhere."""
    own = header.grid
    if own is None or CRS.from_user_input(grid.crs) != header.crs:
        return None
    column, row = (own.left - grid.left) / grid.xres, (grid.top - own.top) / grid.yres
    drift = max(abs(own.xres / grid.xres - 1) * own.width, abs(own.yres / grid.yres - 1) * own.height)
    if max(abs(column - round(column)), abs(row - round(row)), drift) > ALIGNED:
        return None
    column, row = round(column), round(row)
    left, top = max(0, column), max(0, row)
    right, bottom = min(grid.width, column + own.width), min(grid.height, row + own.height)
    width, height = max(0, right - left), max(0, bottom - top)
    mirrored, south_up = header.transform.a < 0, header.transform.e > 0
    window = Window(
        own.width - (left - column) - width if mirrored else left - column,
        own.height - (top - row) - height if south_up else top - row,
        width,
        height,
    )
    forwards, backwards = slice(None), slice(None, None, -1)
    return Copied(window, top, left, grid, backwards if south_up else forwards, backwards if mirrored else forwards)


def warp_of(header: Header, grid: Grid) -> Warped:
    """The warp, from the window of the file around the grid."""
    left, bottom, right, top = transform_bounds(grid.crs, header.crs, *grid.extent, densify_pts=101)
    to_cells = ~header.transform
    corners = [to_cells @ corner for corner in ((left, bottom), (left, top), (right, bottom), (right, top))]
    (first_column, last_column), (first_row, last_row) = ((min(axis), max(axis)) for axis in zip(*corners, strict=True))
    # Bilinear weights reach one cell, of the coarser raster, beyond the grid.
    reach_x = 2 + 2 * math.ceil((last_column - first_column) / grid.width)
    reach_y = 2 + 2 * math.ceil((last_row - first_row) / grid.height)
    column, row = max(0, math.floor(first_column) - reach_x), max(0, math.floor(first_row) - reach_y)
    width = max(0, min(header.width, math.ceil(last_column) + reach_x) - column)
    height = max(0, min(header.height, math.ceil(last_row) + reach_y) - row)
    window = Window(column, row, width, height)
    return Warped(window, header.transform @ Affine.translation(column, row), header.crs, grid)
