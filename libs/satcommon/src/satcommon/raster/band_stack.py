"""Several files of one band each, as one dataset of many bands on the finest of their rasters.

Archives keep each band of a pass and tile in a file of its own, at 10, 20 or 60 metres. A coarse cell becomes the fine
cells that it covers, each with its value: nothing is interpolated, and statistics over fine cells are those over coarse
ones. So the readers of files (`header`, `harmonise`) read a stack as they would read a file that `gdalbuildvrt
-separate -resolution highest` made of the same bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.windows import Window

from satcommon.errors import SceneError
from satcommon.raster.geotiff import check_georeference, crs_text
from satcommon.raster.header import ALIGNED
from satcommon.raster.threads import at_once

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader


class BandStack:
    """The part of rasterio's `DatasetReader` that the readers of files use.

    Args:
        files: open files by what they are called in messages, in the order of their bands; of each the first band.
        name: of the whole, for messages.

    Attributes:
        files: the open files, in the order of their bands.
        factors: how many cells of the stack one of each file has, across and down.

    Raises:
        SceneError: a file holds several bands or no place on Earth, or the files do not lie on one lattice: another
            system, cells that do not nest, or another extent.
    """

    def __init__(self, files: Mapping[str, DatasetReader], name: str) -> None:
        self.name = name
        self.files = list(files.values())
        for label, file in files.items():
            _check_file(file, f"{name}: {label}")
        finest = min(self.files, key=lambda file: (abs(file.transform.a), -file.width))
        self.crs, self.transform = finest.crs, finest.transform
        self.width, self.height = finest.width, finest.height
        self.gcps = finest.gcps
        self.factors = [_factors(file, finest, label, name) for label, file in files.items()]
        self.count = len(self.files)
        self.dtypes = tuple(file.dtypes[0] for file in self.files)
        self.scales = tuple(file.scales[0] for file in self.files)
        self.offsets = tuple(file.offsets[0] for file in self.files)
        self.nodatavals = tuple(file.nodatavals[0] for file in self.files)
        self.mask_flag_enums = tuple(file.mask_flag_enums[0] for file in self.files)
        self.block_shapes = [file.block_shapes[0] for file in self.files]
        self.descriptions = tuple(None for _ in self.files)
        self._kept: dict[tuple[int, tuple[int, ...]], NDArray[Any]] = {}

    def get_tag_item(self, key: str) -> str | None:
        """A tag: the value on which all files that have it agree."""
        found = {text for file in self.files if (text := file.get_tag_item(key))}
        return found.pop() if len(found) == 1 else None

    def read(self, index: int, window: Window) -> NDArray[Any]:
        """A window of a band, in cells of the stack."""
        kept = self._kept.get((index, _corners(window)))
        return self._read(index, window) if kept is None else kept

    def read_masks(self, index: int, window: Window) -> NDArray[np.uint8]:
        """The file's own mask of a band: 0 where it has no data."""
        file, factors = self.files[index - 1], self.factors[index - 1]
        return _spread(lambda within: file.read_masks(1, window=within), window, factors)

    def block_windows(self, index: int) -> Iterator[tuple[tuple[int, int], Window]]:
        """The windows of a band's blocks, in cells of the stack."""
        across, down = self.factors[index - 1]
        for block, window in self.files[index - 1].block_windows(1):
            yield (
                block,
                Window(window.col_off * across, window.row_off * down, window.width * across, window.height * down),
            )

    def prefetch(self, windows: Iterable[Window], most_bytes: int) -> None:
        """Read windows of all bands, several files together, unless they need more memory than that."""
        windows = list(windows)
        size = sum(np.dtype(dtype).itemsize for dtype in self.dtypes)
        if sum(window.width * window.height for window in windows) * size > most_bytes:
            return

        def fetch(index: int) -> list[NDArray[Any]]:
            return [self._read(index, window) for window in windows]

        indices = range(1, self.count + 1)
        fetched = at_once(fetch, indices)
        for index, arrays in zip(indices, fetched, strict=True):
            for window, values in zip(windows, arrays, strict=True):
                self._kept[index, _corners(window)] = values

    def _read(self, index: int, window: Window) -> NDArray[Any]:
        file, factors = self.files[index - 1], self.factors[index - 1]
        return _spread(lambda within: file.read(1, window=within), window, factors)


def _spread(read: Callable[[Window], NDArray[Any]], window: Window, factors: tuple[int, int]) -> NDArray[Any]:
    across, down = factors
    if factors == (1, 1):
        return read(window)
    left, top, right, bottom = _corners(window)
    first_column, first_row = left // across, top // down
    last_column, last_row = -(-right // across), -(-bottom // down)
    coarse = read(Window(first_column, first_row, last_column - first_column, last_row - first_row))
    fine = coarse.repeat(down, axis=0).repeat(across, axis=1)
    skipped_rows, skipped_columns = top - first_row * down, left - first_column * across
    return fine[skipped_rows : skipped_rows + bottom - top, skipped_columns : skipped_columns + right - left]


def _corners(window: Window) -> tuple[int, int, int, int]:
    left, top = round(window.col_off), round(window.row_off)
    return left, top, left + round(window.width), top + round(window.height)


def _check_file(file: DatasetReader, name: str) -> None:
    """Refuse a file that is no raster of one band.

    Raises:
        SceneError: naming what it is instead.
    """
    if file.count != 1:
        raise SceneError(
            f"{name}: holds {file.count} bands, and nothing says which is meant; expected one: name an asset of "
            "one band in satfields.toml, or write each band to a file of its own (`gdal_translate -b 1`)"
        )
    check_georeference(
        file,
        name,
        warp=lambda system: f"its provider must warp it (`gdalwarp -t_srs {system}`) and list it anew",
        assign="its provider must assign the one that its pixels are in, and list it anew",
    )


def _factors(file: DatasetReader, finest: DatasetReader, label: str, name: str) -> tuple[int, int]:
    """How many cells of the finest file one of this has, across and down.

    Raises:
        SceneError: its cells do not nest in the finest ones, or it covers another extent.
    """
    if file.crs != finest.crs:
        systems = [crs_text(opened.crs)[:60] if opened.crs else "none" for opened in (file, finest)]
        raise SceneError(
            f"{name}: {label} is in {systems[0]}, other bands are in {systems[1]}; bands of one acquisition must share "
            "a system"
        )
    ours, theirs = file.transform, finest.transform
    across, down = round(ours.a / theirs.a), round(ours.e / theirs.e)
    drift = max(
        abs(ours.a - across * theirs.a) * file.width / abs(theirs.a),
        abs(ours.e - down * theirs.e) * file.height / abs(theirs.e),
        abs(ours.c - theirs.c) / abs(theirs.a),
        abs(ours.f - theirs.f) / abs(theirs.e),
        abs(ours.b - across * theirs.b),
        abs(ours.d - down * theirs.d),
    )
    if (
        across < 1
        or down < 1
        or drift > ALIGNED * 100
        or (file.width * across, file.height * down)
        != (
            finest.width,
            finest.height,
        )
    ):
        raise SceneError(
            f"{name}: {label} has {file.width} x {file.height} cells of {abs(ours.a):g} from ({ours.c:g}, {ours.f:g}), "
            f"the finest band {finest.width} x {finest.height} of {abs(theirs.a):g} from ({theirs.c:g}, {theirs.f:g}); "
            "expected rasters that share their corners"
        )
    return across, down
