"""A scene's file: a cloud-optimized GeoTIFF of the harmonised bands and the classes, and a reader of single cells.

Fields touch a small part of a scene, and decoding is nearly all of a day's work: the file is tiled so that a reader
decodes touched tiles only. Bands are interleaved by pixel, as GDAL's COG driver writes them, so one decoding gives a
tile of every band, which is what an observation needs (measured: a fifth faster than by band, for 3 % more bytes).

Measured on 842 x 1121 cells of 8 bands (7.9 MB, written in 0.1 s): the default level 9 of zstd takes five times as long
for 7 % fewer bytes; without the predictor it is a quarter faster for 40 % more. Overviews would triple the time and add
38 %, and our readers never ask for them, so there are none: a viewer decodes what it shows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import Interleaving, Resampling
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from satcommon.errors import ObjectMissingError, SceneError
from satcommon.grid import Grid
from satcommon.ranges import Ranges
from satcommon.scenes.geotiff import crs_text, failing, open_geotiff
from satcommon.scenes.layers import (
    BANDS,
    CLASSES,
    ITEM,
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
    Layers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.scenes.unite import Scene

_ADVICE = "fetch the day again with ingest"
_AT_ONCE = 1 << 25  # bytes of an object that are fetched at once
_WIDE = 4096  # columns from which tiles are 512 cells wide: a quarter of the tiles to index and to fetch


def encode(scene: Scene, grid: Grid, day: date) -> bytes:
    """The scene as a file: bands in the order of `BANDS`, then `CLASSES`, all uint16; 0 is nodata in each.

    Where the scene has several items, the band `ITEM` before the classes tells which of them provides a cell.

    Equal scenes give equal bytes within one lock of versions; a scene's identity is its digest, not the file's.
    Scales, offsets and descriptions are set, and tags that make the file an acquisition of a `FolderSource`.
    """
    layers = scene.layers
    bands = layers.bands if scene.providers is None else layers.bands | {ITEM: scene.providers}
    names = (*bands, CLASSES)
    stack = np.stack([*bands.values(), layers.classes.astype(np.uint16)])
    scale_of = {THERMAL: TEMPERATURE_SCALE, ITEM: 1.0, CLASSES: 1.0}
    offset_of = {THERMAL: 0.0, ITEM: 0.0, CLASSES: 0.0}
    first = scene.items[0]
    with MemoryFile() as memory:
        with memory.open(
            driver="COG",
            width=grid.width,
            height=grid.height,
            count=len(names),
            dtype="uint16",
            crs=grid.crs,
            transform=grid.transform,
            nodata=NODATA,
            compress="ZSTD",
            level=1,
            predictor="YES",
            overviews="NONE",
            blocksize=512 if grid.width > _WIDE else 256,
        ) as dataset:
            dataset.write(stack)  # all bands in one call: band by band would decode and encode each tile again
            dataset.descriptions = names
            dataset.scales = tuple(scale_of.get(name, REFLECTANCE_SCALE) for name in names)
            dataset.offsets = tuple(offset_of.get(name, REFLECTANCE_OFFSET) for name in names)
            dataset.update_tags(
                DAY=day.isoformat(),
                DIGEST=scene.digest,
                ITEMS=json.dumps([item.item_id for item in scene.items]),
                ITEMS_SENSED_AT=json.dumps([item.sensed_at.isoformat() for item in scene.items]),
                PLATFORM=first.platform,
                SENSED_AT=first.sensed_at.isoformat(),
                TIFFTAG_DATETIME=f"{first.sensed_at:%Y:%m:%d %H:%M:%S}",
            )
        return bytes(memory.getbuffer())


class SceneReader:
    """Reads a scene's file, tile by tile as asked for; a context manager.

    Args:
        path: a local file, or an object of a bucket.

    Attributes:
        bands: names of the bands, without `ITEM` and the classes.
        grid: the file's raster, to be compared with the region's.
        digest: the scene's, as its writer stated it.
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
        self.tiles_read = 0
        self.bytes_read = 0

    def __enter__(self) -> SceneReader:
        """Open the file.

        Raises:
            SceneError: where it can't be opened, or is no scene.
            StoreError: where the bucket can't be reached; reading raises it likewise.
        """
        with self._failing():
            dataset = self._open()
            names = dataset.descriptions
            bands = names[:-2] if names[-2:-1] == (ITEM,) else names[:-1]
            ours = names[-1:] == (CLASSES,) and set(bands) <= set(BANDS) and set(dataset.dtypes) == {"uint16"}
            if not ours or not dataset.crs:
                dataset.close()
                raise SceneError(f"{self.path}: is no scene, but bands {names} of {dataset.dtypes}; {_ADVICE}")
            tags = dataset.tags()
            ids = json.loads(tags.get("ITEMS", "[]"))
            sensed = json.loads(tags.get("ITEMS_SENSED_AT", "null")) or [tags.get("SENSED_AT")]
            if len(ids) != len(sensed) or (len(ids) > 1) == (bands == names[:-1]):
                dataset.close()
                raise SceneError(f"{self.path}: does not tell which of its items {ids} provides a cell; {_ADVICE}")
            xres, _, left, _, yres, top, *_ = dataset.transform
            self.grid = Grid(crs_text(dataset.crs), left, top, xres, -yres, dataset.width, dataset.height)
            self.bands = bands
            self.digest = tags.get("DIGEST", "")
            self.items = tuple(zip(ids, map(datetime.fromisoformat, sensed), strict=True))
        self._dataset = dataset
        return self

    def _open(self) -> DatasetReader:
        if self._ranges is None:
            return open_geotiff(self.path)
        try:
            self._ranges.begin()
        except ObjectMissingError as error:
            raise SceneError(f"{self.path}: can't be read, it is gone; {_ADVICE}") from error
        return open_geotiff("scene.tif", self._ranges.opener)

    def __exit__(self, *_: object) -> None:
        self._dataset.close()

    def gather(self, cells: NDArray[np.int64]) -> dict[str, NDArray[np.uint16]]:
        """The values of cells in each band, in `ITEM` where the file has it, and in `CLASSES`, in the order of `cells`.

        Args:
            cells: cell numbers, row * width + column, shape (cells,); in any order, with repeats.

        Raises:
            SceneError: where a tile can't be read, or a cell is not on the grid.
        """
        return self.gather_around(cells, np.empty(0, np.int64))[0]

    def gather_around(
        self, own: NDArray[np.int64], around: NDArray[np.int64]
    ) -> tuple[dict[str, NDArray[np.uint16]], NDArray[np.uint16]]:
        """What `gather` gives of the cells `own`, and the classes alone of the cells `around`, in their order.

        Only tiles with such cells are read, each once: a run of neighbouring tiles of a row in one call. Memory: the
        result, the cells' order, and one run.

        Raises:
            SceneError: where a tile can't be read, or a cell is not on the grid.
        """
        width, height = self.grid.width, self.grid.height
        cells = np.concatenate([own, around])
        if cells.size and not 0 <= int(cells.min()) <= int(cells.max()) < width * height:
            raise SceneError(
                f"{self.path}: has no cell {cells.min()} or {cells.max()} in {height} x {width}; {_ADVICE}"
            )
        rows, columns = np.divmod(cells, width)
        tile_height, tile_width = self._dataset.block_shapes[0]
        across = math.ceil(width / tile_width)
        tiles = rows // tile_height * across + columns // tile_width
        order = np.argsort(tiles, kind="stable")
        touched, starts = np.unique(tiles[order], return_index=True)
        ends = np.append(starts[1:], cells.size)

        gathered = np.empty((self._dataset.count - 1, own.size), np.uint16)
        classes = np.empty(cells.size, np.uint16)
        for first, last in self._at_hand(_runs(touched, across), touched, across):
            row, column = divmod(int(touched[first]), across)
            top, left = row * tile_height, column * tile_width
            right, bottom = min(width, left + (last - first + 1) * tile_width), min(height, top + tile_height)
            with self._failing():
                window = self._dataset.read(window=Window(left, top, right - left, bottom - top))
                self.tiles_read += last - first + 1
                self.bytes_read += sum(size for _, size in self._blocks(row, column, last - first + 1))
            these = order[starts[first] : ends[last]]
            classes[these] = window[-1, rows[these] - top, columns[these] - left]
            these = these[these < own.size]
            gathered[:, these] = window[:-1, rows[these] - top, columns[these] - left]
        bands = dict(zip(self._dataset.descriptions[:-1], gathered, strict=True))
        return bands | {CLASSES: classes[: own.size]}, classes[own.size :]

    def read_overview(self, max_size: int) -> Layers:
        """All bands and classes, every n-th cell of every n-th row, such that neither side is longer than `max_size`.

        Raises:
            SceneError: where the file can't be read.
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

    def _at_hand(
        self, runs: Iterator[tuple[int, int]], touched: NDArray[np.int64], across: int
    ) -> Iterator[tuple[int, int]]:
        """The runs; of an object, with their tiles fetched: many at once, not one request after another."""
        if self._ranges is None:
            yield from runs
            return
        waiting: list[tuple[int, int]] = []
        spans: list[tuple[int, int]] = []
        for first, last in runs:
            row, column = divmod(int(touched[first]), across)
            with self._failing():
                blocks = self._blocks(row, column, last - first + 1)
            if waiting and sum(end - start for start, end in spans) > _AT_ONCE:
                self._ranges.fetch(spans)
                yield from waiting
                waiting, spans = [], []
            waiting.append((first, last))
            # Four bytes before and after a block are GDAL's own, which it reads with the block.
            spans += [(offset - 4, offset + size + 4) for offset, size in blocks if size]
        self._ranges.fetch(spans)
        yield from waiting

    def _blocks(self, row: int, column: int, count: int) -> list[tuple[int, int]]:
        """Where tiles lie in the file, (offset, size); a tile is one block where bands are interleaved by pixel."""
        bands = [1] if self._dataset.interleaving is Interleaving.pixel else self._dataset.indexes
        return [
            (
                int(self._dataset.get_tag_item(f"BLOCK_OFFSET_{n}_{row}", "TIFF", bidx=band) or 0),
                int(self._dataset.block_size(band, row, n)),
            )
            for band in bands
            for n in range(column, column + count)
        ]


def _runs(touched: NDArray[np.int64], across: int) -> Iterator[tuple[int, int]]:
    """First and last place in `touched` (ascending) of each run of tiles that are neighbours in a row of tiles."""
    if touched.size:
        breaks = np.flatnonzero((np.diff(touched) != 1) | (touched[1:] % across == 0))
        yield from zip([0, *(breaks + 1).tolist()], [*breaks.tolist(), touched.size - 1], strict=True)
