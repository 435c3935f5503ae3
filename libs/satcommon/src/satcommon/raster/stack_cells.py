"""Single cells of a stack of bands: each block of a file that holds some is fetched and decoded once.

The files may be behind ranges: then the blocks of each are fetched ahead, many in one request, and several files are
read together. So a read waits for about two rounds of requests, whatever the number of blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.windows import Window

from satcommon.raster.threads import at_once
from satcommon.raster.tile_layout import Layout, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from satcommon.raster.band_stack import BandStack
    from satcommon.storage.ranges import Ranges

    Values = NDArray[Any]
    Cells = NDArray[np.integer[Any]]

_RUN_CELLS = 1 << 20  # decoded in one step
_AT_ONCE = 1 << 23  # bytes of a file that are fetched together; each of several files may hold as many


class StackCells:
    """Cells of a stack, as a dataset of one row: the part of rasterio's `DatasetReader` that `harmonise` uses.

    Args:
        stack: the files.
        ranges: likewise, what fetches each.
        rows: of the cells, in the stack's raster.
        columns: likewise.
        masked: numbers of the bands whose masks are wanted.

    Attributes:
        blocks: how many blocks were decoded.
        bytes: their size in the files.

    Raises:
        StoreError, SceneError: a file can't be reached, or was changed.
        one of `geotiff.UNREADABLE`: a file is damaged.
    """

    def __init__(
        self, stack: BandStack, ranges: Sequence[Ranges], rows: Cells, columns: Cells, masked: Collection[int]
    ) -> None:
        self.dtypes = stack.dtypes
        self.blocks = self.bytes = 0
        self._shape = (1, rows.size)
        layouts: dict[tuple[Any, ...], _Blocks] = {}
        files = []
        for number, (file, factors, fetching) in enumerate(zip(stack.files, stack.factors, ranges, strict=True), 1):
            key = (factors, file.shape, file.block_shapes[0])
            if key not in layouts:
                layouts[key] = _Blocks(rows // factors[1], columns // factors[0], file.shape, file.block_shapes[0])
            files.append((file, fetching, layouts[key], number in masked))
        self._values: list[Values] = []
        self._masks: list[Values | None] = []
        for values, mask, size in at_once(_gathered, files):
            self._values.append(values)
            self._masks.append(mask)
            self.bytes += size
        self.blocks = sum(sum(run.tiles for run in blocks.runs) for _, _, blocks, _ in files)

    def read(self, index: int, window: Window) -> Values:  # noqa: ARG002 - there is one window
        """The cells of a band, shape (1, cells)."""
        return self._values[index - 1].reshape(self._shape)

    def read_masks(self, index: int, window: Window) -> Values:  # noqa: ARG002 - there is one window
        """The mask of a band in the cells: 0 where the file has no data."""
        mask = self._masks[index - 1]
        assert mask is not None
        return mask.reshape(self._shape)


class _Blocks:
    """Which cells lie in which blocks of a file, the same for all files of one raster and tiling."""

    def __init__(self, rows: Cells, columns: Cells, shape: tuple[int, int], block_shape: tuple[int, int]) -> None:
        self.block_shape = block_shape
        layout = Layout.of(rows.astype(np.int64) * shape[1] + columns, shape, block_shape)
        self.runs = layout.runs(_RUN_CELLS)
        self.size = rows.size
        self.order = layout.order.astype(np.intp)
        self.at = np.empty(rows.size, np.intp)  # of each cell, in that order, within its run of blocks
        for run in self.runs:
            these = self.order[run.first : run.last]
            self.at[run.first : run.last] = (rows[these] - run.top) * run.width + (columns[these] - run.left)


def _gathered(file: tuple[DatasetReader, Ranges, _Blocks, bool]) -> tuple[Values, Values | None, int]:
    """The values of a file's first band in the cells, its mask there, and how many bytes the blocks have."""
    dataset, ranges, blocks, masked = file
    values = np.empty(blocks.size, dataset.dtypes[0])
    mask = np.empty(blocks.size, np.uint8) if masked else None
    size = 0
    for batch, own_size in _at_hand(dataset, ranges, blocks):
        size += own_size
        for run in batch:
            window = Window(run.left, run.top, run.width, run.height)
            these, at = blocks.order[run.first : run.last], blocks.at[run.first : run.last]
            values[these] = dataset.read(1, window=window).ravel().take(at)
            if mask is not None:  # from the blocks that GDAL has just decoded
                mask[these] = dataset.read_masks(1, window=window).ravel().take(at)
    return values, mask, size


def _at_hand(dataset: DatasetReader, ranges: Ranges, blocks: _Blocks) -> Iterator[tuple[list[Run], int]]:
    """The runs in batches, as soon as their blocks are fetched, and the bytes of these."""
    waiting: list[Run] = []
    spans: list[tuple[int, int]] = []

    def fetched() -> tuple[list[Run], int]:
        # Four bytes before and after a block are GDAL's own, which it reads with the block.
        ranges.fetch([(start - 4, end + 4) for start, end in spans])
        return waiting, sum(end - start for start, end in spans)

    for run in blocks.runs:
        if waiting and sum(end - start for start, end in spans) > _AT_ONCE:
            yield fetched()
            waiting, spans = [], []
        waiting.append(run)
        spans += _spans(dataset, run, blocks.block_shape)
    if waiting:
        yield fetched()


def _spans(dataset: DatasetReader, run: Run, block_shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Where a run's blocks lie in the file, (start, end); nothing where its format does not say, as JPEG 2000."""
    row, first = run.top // block_shape[0], run.left // block_shape[1]
    for column in range(first, first + run.tiles):
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1)
        if offset:
            yield int(offset), int(offset) + int(dataset.block_size(1, row, column))


class ThinnedStack:
    """A window of a stack with every n-th cell of every n-th row, as a dataset; from overviews where files have them.

    Args:
        stack: the files.
        window: in cells of the stack.
        step: the n.
    """

    def __init__(self, stack: BandStack, window: Window, step: int) -> None:
        self.dtypes = stack.dtypes
        self._stack, self._window = stack, window
        self._shape = (max(1, round(window.height) // step), max(1, round(window.width) // step))

    def read(self, index: int, window: Window) -> Values:  # noqa: ARG002 - there is one window
        """A band."""
        values: Values = self._stack.files[index - 1].read(1, window=self._within(index), out_shape=self._shape)
        return values

    def read_masks(self, index: int, window: Window) -> Values:  # noqa: ARG002 - there is one window
        """The file's own mask of a band."""
        mask: Values = self._stack.files[index - 1].read_masks(1, window=self._within(index), out_shape=self._shape)
        return mask

    def _within(self, index: int) -> Window:
        """The window in cells of a band's file, whole ones."""
        across, down = self._stack.factors[index - 1]
        left, top = self._window.col_off // across, self._window.row_off // down
        right = -(-(self._window.col_off + self._window.width) // across)
        bottom = -(-(self._window.row_off + self._window.height) // down)
        return Window(left, top, right - left, bottom - top)
