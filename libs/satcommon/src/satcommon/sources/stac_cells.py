"""Single cells of an item's bands, read where its files are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from satcommon.errors import SceneError
from satcommon.raster.geotiff import ADVICE, failing
from satcommon.raster.harmonise import read_cells, read_thinned
from satcommon.raster.stack_cells import StackCells, ThinnedStack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

    from satcommon.geo.grid import Grid
    from satcommon.raster.band_stack import BandStack
    from satcommon.raster.header import Header
    from satcommon.raster.layers import Layers
    from satcommon.storage.ranges import Ranges

    Cells = NDArray[np.integer[Any]]


class StacCells:
    """The open files of an item (`source.OpenCells`).

    Args:
        stack: of its bands.
        ranges: what fetches each file.
        header: of the stack.
        grid: of the region.
        name: of the item, for messages.
    """

    def __init__(self, stack: BandStack, ranges: Sequence[Ranges], header: Header, grid: Grid, name: str) -> None:
        self.blocks = self.bytes = 0
        self._stack, self._ranges, self._header, self._grid, self._name = stack, ranges, header, grid, name
        self._masked = [band.index for band in header.bands.values() if band.masked]

    def read(self, cells: Cells) -> Layers:
        """The item's pixels in cells of the grid; see `harmonise.read_cells`."""
        with self._failing():
            return read_cells(self._at, self._header, self._grid, cells, self._name)

    def read_thinned(self, step: int) -> Layers:
        """A picture of the item's pixels; see `harmonise.read_thinned`."""

        def thinned(window: Window, step: int) -> DatasetReader:
            return cast("DatasetReader", ThinnedStack(self._stack, window, step))

        with self._failing():
            return read_thinned(thinned, self._header, self._grid, step, self._name)

    def _at(self, rows: Cells, columns: Cells) -> DatasetReader:
        cells = StackCells(self._stack, self._ranges, rows, columns, self._masked)
        self.blocks += cells.blocks
        self.bytes += cells.bytes
        return cast("DatasetReader", cells)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            with failing(self._name, ADVICE):
                yield
        except SceneError:
            for each in self._ranges:  # GDAL reports a damaged file instead
                if each.failed is not None:
                    raise each.failed from None
            raise
