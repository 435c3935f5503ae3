"""Which cells of a raster lie in which tile of a file: the same for every day, so it is computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_AT_A_TIME = 1 << 18  # cells whose tile is computed in one step: a few megabytes of memory, whatever their number


@dataclass(frozen=True)
class Run:
    """Neighbouring tiles of a row of tiles; the cells there are those from `first` to before `last` of the layout."""

    top: int
    left: int
    height: int
    width: int
    tiles: int
    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """Cells of a raster by the tile that they lie in.

    Args:
        order: positions of the cells, tile by tile, shape (cells,).
        touched: numbers of the tiles with cells, ascending.
        starts: shape (tiles + 1,); the cells of the i-th of them are order[starts[i]:starts[i + 1]].
        shape: rows and columns of the raster.
        tile_shape: rows and columns of a tile.
    """

    order: NDArray[np.integer]
    touched: NDArray[np.int64]
    starts: NDArray[np.int64]
    shape: tuple[int, int]
    tile_shape: tuple[int, int]

    @classmethod
    def of(cls, cells: NDArray[np.integer], shape: tuple[int, int], tile_shape: tuple[int, int]) -> Layout:
        """The layout of cells.

        Args:
            cells: their numbers, shape (cells,).
            shape: rows and columns of the raster.
            tile_shape: rows and columns of a tile.
        """
        across = math.ceil(shape[1] / tile_shape[1])
        count = across * math.ceil(shape[0] / tile_shape[0])
        # Numpy sorts 16-bit numbers by radix, in a tenth of the time.
        tiles = np.empty(cells.size, np.uint16 if count <= 1 << 16 else np.int64)
        for first in range(0, cells.size, _AT_A_TIME):
            rows, columns = np.divmod(cells[first : first + _AT_A_TIME], shape[1])
            tiles[first : first + _AT_A_TIME] = rows // tile_shape[0] * across + columns // tile_shape[1]
        order = np.argsort(tiles, kind="stable")
        if cells.size < 1 << 31:
            order = order.astype(np.int32)
        counts = np.bincount(tiles, minlength=1)
        touched = np.flatnonzero(counts)
        return cls(order, touched, np.append(0, np.cumsum(counts[touched])), shape, tile_shape)

    def runs(self, most_cells: int) -> list[Run]:
        """Runs of neighbouring tiles, of at most so many cells each, unless one tile has more."""
        (rows, columns), (height, width) = self.shape, self.tile_shape
        across = math.ceil(columns / width)
        longest = max(1, most_cells // (height * width))
        runs: list[Run] = []
        first = 0
        for i, tile in enumerate(self.touched.tolist()):
            following = i + 1 < self.touched.size and self.touched[i + 1] == tile + 1 and (tile + 1) % across
            if following and i + 1 - first < longest:
                continue
            row, column = divmod(int(self.touched[first]), across)
            top, left, tiles = row * height, column * width, i + 1 - first
            bottom, right = min(rows, top + height), min(columns, left + tiles * width)
            cells = int(self.starts[first]), int(self.starts[i + 1])
            runs.append(Run(top, left, bottom - top, right - left, tiles, *cells))
            first = i + 1
        return runs
