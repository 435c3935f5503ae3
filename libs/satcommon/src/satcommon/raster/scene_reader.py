"""A reader of a scene's file: the values of single cells, and an overview.

Fields touch a small part of a scene, and decoding is nearly all of a day's work: only touched tiles are decoded, by a
few threads, a band each. From a bucket the tiles of all bands are fetched together.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from rasterio.enums import Interleaving, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from satcommon.errors import ObjectMissingError, SceneError
from satcommon.geo.grid import Grid
from satcommon.raster.geotiff import crs_text, failing, open_geotiff
from satcommon.raster.layers import ALL_BANDS, CLASSES, ITEM, Layers
from satcommon.raster.scene import to_milliseconds
from satcommon.raster.threads import MOST_THREADS, threads
from satcommon.raster.tile_layout import Layout, Run
from satcommon.storage.ranges import Ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ADVICE = "fetch the day again with ingest"
_AT_ONCE = 1 << 25  # bytes of an object that are fetched together
_RUN_CELLS = 1 << 20  # decoded in one step by each thread, in bands times cells
_FEW_TASKS = 8  # for a thread; opening the file for another one takes as long


class CellReader(Protocol):
    """A reader of a scene's cells, wherever its pixels are; `SceneReader` reads copied ones.

    Attributes:
        path: for messages.
        tile_shape: rows and columns of the tiles that a layout may be known of; None: no layout is of use.
    """

    path: str
    bands: tuple[str, ...]
    grid: Grid
    items: tuple[tuple[str, datetime], ...]

    @property
    def tile_shape(self) -> tuple[int, int] | None:
        """See above."""

    @property
    def tiles_read(self) -> int:
        """How many tiles were decoded."""

    @property
    def bytes_read(self) -> int:
        """Their size where they are kept."""

    def gather(self, cells: NDArray[np.integer], layout: Layout | None = None) -> dict[str, NDArray[np.uint16]]:
        """See `SceneReader.gather`."""

    def gather_around(
        self, own: NDArray[np.integer], around: NDArray[np.int64], layout: Layout | None = None
    ) -> tuple[dict[str, NDArray[np.uint16]], NDArray[np.uint16]]:
        """See `SceneReader.gather_around`."""

    def read_overview(self, max_size: int) -> Layers:
        """See `SceneReader.read_overview`."""


class SceneReader:
    """Reads a scene's file, tile by tile as asked for; a context manager.

    Args:
        path: a local file, or an object of a bucket.

    Attributes:
        bands: names of the bands, without `ITEM` and the classes.
        grid: the file's raster, to be compared with the region's.
        digest: the scene's, from the file's tags.
        items: id and sensed time of each item, in the order of their numbers.
        tiles_read: how many tiles `gather` has decoded.
        bytes_read: their size in the file.
    """

    bands: tuple[str, ...]
    grid: Grid
    digest: str
    items: tuple[tuple[str, datetime], ...]
    _dataset: DatasetReader

    def __init__(self, path: str | Path | Ranges) -> None:
        self.path = str(path)
        self._ranges = path if isinstance(path, Ranges) else None
        self._others: list[DatasetReader] = []  # for the threads but the first
        self.tiles_read = 0
        self.bytes_read = 0

    def __enter__(self) -> SceneReader:
        """Open the file.

        Raises:
            SceneError: the file can't be opened, or is no scene.
            StoreError: the bucket can't be reached; the methods that read raise it, too.
        """
        with self._failing():
            dataset = self._open()
            names = dataset.descriptions
            bands = names[:-2] if names[-2:-1] == (ITEM,) else names[:-1]
            ours = names[-1:] == (CLASSES,) and set(bands) <= set(ALL_BANDS) and set(dataset.dtypes) == {"uint16"}
            if not ours or not dataset.crs:
                dataset.close()
                raise SceneError(f"{self.path}: is no scene, but bands {names} of {dataset.dtypes}; {_ADVICE}")
            tags = dataset.tags()
            ids = json.loads(tags.get("ITEMS", "[]"))
            sensed = json.loads(tags.get("ITEMS_SENSED_AT", "null")) or [tags.get("SENSED_AT")]
            if len(ids) != len(sensed) or (len(ids) > 1) == (bands == names[:-1]):
                dataset.close()
                raise SceneError(f"{self.path}: does not say which of its items {ids} provides a cell; {_ADVICE}")
            xres, _, left, _, yres, top, *_ = dataset.transform
            self.grid = Grid(crs_text(dataset.crs), left, top, xres, -yres, dataset.width, dataset.height)
            self.bands = bands
            self.digest = tags.get("DIGEST", "")
            # Scenes of earlier versions hold times in the precision of their items.
            times = (to_milliseconds(datetime.fromisoformat(time)) for time in sensed)
            self.items = tuple(zip(ids, times, strict=True))
        self._dataset = dataset
        return self

    def _open(self) -> DatasetReader:
        if self._ranges is not None:
            try:
                self._ranges.begin()
            except ObjectMissingError as error:
                raise SceneError(f"{self.path}: can't be read, it is gone; {_ADVICE}") from error
        return self._open_again()

    def _open_again(self) -> DatasetReader:
        return open_geotiff(self.path) if self._ranges is None else open_geotiff("scene.tif", self._ranges.opener)

    def __exit__(self, *_: object) -> None:
        for dataset in (self._dataset, *self._others):
            dataset.close()

    def gather(self, cells: NDArray[np.integer], layout: Layout | None = None) -> dict[str, NDArray[np.uint16]]:
        """The values of cells in each band, in `ITEM` where the file has it, and in `CLASSES`, in the order of `cells`.

        Args:
            cells: cell numbers, row * width + column, shape (cells,); in any order, with repeats.
            layout: which of them lie in which tile, if that is known from another day (`layout_of`).

        Raises:
            SceneError: a tile can't be read, or a cell is not on the grid.
        """
        return self.gather_around(cells, np.empty(0, np.int64), layout)[0]

    def gather_around(
        self, own: NDArray[np.integer], around: NDArray[np.int64], layout: Layout | None = None
    ) -> tuple[dict[str, NDArray[np.uint16]], NDArray[np.uint16]]:
        """What `gather` gives of the cells `own`, and the classes alone of the cells `around`, in their order.

        Only tiles with such cells are read, each once, and each thread holds a few of them. Memory: the result, the
        order of the cells, and these tiles.

        Args:
            own: cell numbers.
            around: cell numbers.
            layout: of all of them, `around` after `own`.

        Raises:
            SceneError: a tile can't be read, or a cell is not on the grid.
        """
        cells = np.concatenate([own, around]) if around.size else own
        if cells.size and not 0 <= int(cells.min()) <= int(cells.max()) < self.grid.width * self.grid.height:
            raise SceneError(
                f"{self.path}: has no cell {cells.min()} or {cells.max()} in {self.grid.height} x {self.grid.width}; "
                f"{_ADVICE}"
            )
        layout = layout or self.layout_of(cells)
        gathered = np.empty((self._dataset.count - 1, own.size), np.uint16)
        classes = np.empty(cells.size, np.uint16)
        rasters = [*gathered, classes]
        runs = layout.runs(_RUN_CELLS)
        # Interleaved by pixel, a block has all bands; few runs are shared out by band, so that each thread has work.
        indexes = list(self._dataset.indexes)
        by_band = self._dataset.interleaving is not Interleaving.pixel and len(runs) < _FEW_TASKS * MOST_THREADS
        pieces = [[n] for n in indexes] if by_band else [indexes]

        def read(dataset: DatasetReader, buffer: NDArray[np.uint16], run: Run, bands: list[int]) -> None:
            """Decode bands of a run of tiles, and take their cells."""
            these = layout.order[run.first : run.last].astype(np.intp)  # else each band would convert it for itself
            at = cells[these]
            rows = at // self.grid.width
            at = (at - rows * self.grid.width - run.left + (rows - run.top) * run.width).astype(np.intp)
            for n, tile in self._decoded(dataset, buffer, run, bands):
                raster = rasters[n - 1]
                if raster.size < cells.size:
                    inside = these < raster.size
                    raster[these[inside]] = tile.take(at[inside])
                else:
                    raster[these] = tile.take(at)

        for batch in self._at_hand(runs):
            self._each([(run, bands) for run in batch for bands in pieces], read)
            for run in batch:
                self.tiles_read += run.tiles
                self.bytes_read += sum(size for _, size in self._blocks(run))
        bands = dict(zip(self._dataset.descriptions[:-1], gathered, strict=True))
        return bands | {CLASSES: classes[: own.size]}, classes[own.size :]

    def layout_of(self, cells: NDArray[np.integer]) -> Layout:
        """Which of the cells lie in which tile of this file, and of every file that is tiled like it."""
        return Layout.of(cells, (self.grid.height, self.grid.width), self.tile_shape)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        height, width = self._dataset.block_shapes[0]
        return height, width

    def _decoded(
        self, dataset: DatasetReader, buffer: NDArray[np.uint16], run: Run, bands: list[int]
    ) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Bands of a run of tiles, cell after cell, one band at a time but where a block has them all."""
        window, cells = Window(run.left, run.top, run.width, run.height), run.height * run.width
        together = len(bands) if dataset.interleaving is Interleaving.pixel else 1
        for first in range(0, len(bands), together):
            some = bands[first : first + together]
            if buffer.size < cells * together:  # a new buffer's fresh pages would be expensive
                buffer.resize(cells * together, refcheck=False)
            tiles = buffer[: cells * together].reshape(together, run.height, run.width)
            with self._failing():
                dataset.read(some, window=window, out=tiles)
            yield from zip(some, tiles.reshape(together, cells), strict=True)

    def _each(self, tasks: list[tuple[Run, list[int]]], read: Callable[..., None]) -> None:
        """Do all tasks; many of them in several threads, each of which opens the file for itself."""
        count = max(1, min(threads(), len(tasks) // _FEW_TASKS))
        while len(self._others) < count - 1:
            with self._failing():
                self._others.append(self._open_again())
        waiting = iter(tasks)
        lock = threading.Lock()

        def work(dataset: DatasetReader) -> None:
            nonlocal waiting
            buffer = np.empty(0, np.uint16)
            while True:
                with lock:
                    task = next(waiting, None)
                if task is None:
                    return
                try:
                    read(dataset, buffer, *task)
                except BaseException:
                    with lock:
                        waiting = iter(())  # the other threads end too
                    raise

        datasets = [self._dataset, *self._others[: count - 1]]
        if count == 1:
            work(*datasets)
        else:
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(work, datasets))

    def read_overview(self, max_size: int) -> Layers:
        """All bands and classes, thinned to every n-th cell of every n-th row, so that neither side exceeds `max_size`.

        Raises:
            SceneError: the file can't be read.
        """
        step = max(1, math.ceil(max(self.grid.width, self.grid.height) / max_size))
        shape = (self._dataset.count, math.ceil(self.grid.height / step), math.ceil(self.grid.width / step))
        with self._failing():
            stack = self._dataset.read(out_shape=shape, resampling=Resampling.nearest)
        return Layers(dict(zip(self.bands, stack, strict=False)), stack[-1].astype(np.uint8))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            with failing(self.path, _ADVICE):
                yield
        except SceneError:
            if self._ranges is not None and self._ranges.failed is not None:
                raise self._ranges.failed from None
            raise

    def _at_hand(self, runs: list[Run]) -> Iterator[list[Run]]:
        """The runs, in batches; those of an object as soon as their tiles are fetched, many in one request."""
        if self._ranges is None:
            yield runs
            return
        waiting: list[Run] = []
        spans: list[tuple[int, int]] = []
        for run in runs:
            with self._failing():
                blocks = self._blocks(run)
            if waiting and sum(end - start for start, end in spans) > _AT_ONCE:
                self._ranges.fetch(spans)
                yield waiting
                waiting, spans = [], []
            waiting.append(run)
            # Four bytes before and after a block are GDAL's own, which it reads with the block.
            spans += [(offset - 4, offset + size + 4) for offset, size in blocks if size]
        self._ranges.fetch(spans)
        yield waiting

    def _blocks(self, run: Run) -> list[tuple[int, int]]:
        """Where tiles lie in the file, (offset, size); a tile is one block where bands are interleaved by pixel."""
        bands = [1] if self._dataset.interleaving is Interleaving.pixel else self._dataset.indexes
        height, width = self.tile_shape
        row, column = run.top // height, run.left // width
        return [
            (
                int(self._dataset.get_tag_item(f"BLOCK_OFFSET_{n}_{row}", "TIFF", bidx=band) or 0),
                int(self._dataset.block_size(band, row, n)),
            )
            for band in bands
            for n in range(column, column + run.tiles)
        ]
