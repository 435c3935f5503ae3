"""The pixels of a GeoTIFF on a region's grid, in the harmonised bands, scale and classes.

A file whose cells align with the grid's is copied cell by cell, any other is warped (`fits`). Where cells are copied,
each is harmonised from its own values alone, so that single cells (`read_cells`) are those of the whole, bit for bit.
The method's version is `mosaic.VERSION`, a part of every scene's digest: raise it when this module gives other pixels
of the same file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.windows import Window

from satcommon.errors import SceneError
from satcommon.raster.grid_fit import Fit, SingleCells, Thinned, copy_of, warp_of
from satcommon.raster.layers import (
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    REFLECTIVE,
    TEMPERATURE_SCALE,
    THERMAL,
    Layers,
    PixelClass,
)
from satcommon.raster.masks import translate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from satcommon.geo.grid import Grid
    from satcommon.raster.bands import Band
    from satcommon.raster.header import Header

    Cells = NDArray[np.integer[Any]]

_HIGHEST = 65535
# Sensed in this time, Sentinel-2's QA60 was not filled by ESA, and Earth Engine has zeros (catalogue of Earth Engine).
_QA60_EMPTY = date(2022, 1, 25), date(2024, 2, 28)
_MOST_LOST = 0.2  # of a band's values
_CELL_BYTES = 8  # a cell takes while it is harmonised


def read_layers(dataset: DatasetReader, header: Header, grid: Grid, name: str, most_bytes: int) -> Layers:
    """The file's bands and classes on a grid, shape (grid.height, grid.width).

    - A cell is nodata in a band where the file says so (nodata value, mask), where the value is not finite, or where it
      is outside of what is stored: reflectance of -0.1 to 6.45, temperature up to 655 K. A band without a nodata value
      is nodata where it is 0.
    - A cell is nodata in all bands where a data mask says so, where all reflective bands are 0, whatever is declared,
      and, in integer files without a nodata value, where red and near infrared are 0, as in Sentinel-2's.
    - A cell is of class NODATA where all reflective bands are nodata or the class band says so, and then in all bands.
      Without a class band, all other cells are CLEAR. A code without a meaning is DEFECTIVE, never clear.
    - Copied integers stay exact: scale 1e-4 with offset 0 adds 1000, with offset -0.1 nothing.
    - Memory besides the result: one band of the window at a time, of at most `most_bytes`.

    Args:
        dataset: the file.
        header: its header.
        grid: of the region.
        name: its path, for messages.
        most_bytes: of memory for one band.

    Raises:
        SceneError: much of a band is outside of what its scale and offset allow, a mask fits two conventions or was not
            filled, or more memory is needed.
    """
    # GDAL decodes whole blocks, and a damaged header can demand any size.
    _bound(max(rows * columns for rows, columns in dataset.block_shapes), "in one block", name, most_bytes)
    kind, index = header.classes or ("", 0)
    data_masks = [header.data_mask] if header.data_mask else []
    if kind == "mask" and _is_of_data(dataset, index, name):
        kind, data_masks = "", [*data_masks, index]
    if kind == "qa60":
        _check_qa60(dataset, index, header, name)
    layers: Layers | None = None
    for turned in header.turned:
        fit = copy_of(turned, grid) or warp_of(turned, grid)
        _bound(fit.window.width * fit.window.height, "under the region", name, most_bytes)
        if fit.window.width > 0 and fit.window.height > 0:
            piece = _piece(dataset, turned, fit, kind, index, data_masks, name)
            layers = piece if layers is None else _filled(layers, piece)
    return layers or _nothing(header, (grid.height, grid.width))


def windows(header: Header, grid: Grid) -> list[Window]:
    """The windows of a file that `read_layers` reads for a grid."""
    found = [(copy_of(turned, grid) or warp_of(turned, grid)).window for turned in header.turned]
    return [window for window in found if window.width > 0 and window.height > 0]


def can_read_cells(header: Header, grid: Grid) -> bool:
    """Whether `read_cells` gives what `read_layers` does: nothing is warped, and no rule looks at a whole band."""
    kind, _ = header.classes or ("", 0)
    return kind != "mask" and all(copy_of(turned, grid) is not None for turned in header.turned)


def read_cells(
    dataset_of: Callable[[Cells, Cells], DatasetReader], header: Header, grid: Grid, cells: Cells, name: str
) -> Layers:
    """What `read_layers` gives, in single cells of the grid, shape (1, cells). Checks of the whole file are not made.

    Args:
        dataset_of: gives the file at (rows, columns) of its own raster, as a dataset of one row.
        header: of the file.
        grid: of the region.
        cells: numbers of cells of the grid, row * width + column.
        name: of the file, for messages.

    Raises:
        SceneError: the file can't be read by cells (`can_read_cells`).
    """
    if not can_read_cells(header, grid):
        raise SceneError(f"{name}: can't be read in single cells of {grid}, but whole only; fetch the day again")
    kind, index = header.classes or ("", 0)
    data_masks = [header.data_mask] if header.data_mask else []
    rows, columns = np.divmod(cells, grid.width)
    layers: Layers | None = None
    for turned in header.turned:
        whole = copy_of(turned, grid)
        assert whole is not None
        positions, *within = whole.within(rows, columns)
        if positions.size:
            fit = SingleCells(Window(0, 0, positions.size, 1), positions, (1, cells.size))
            piece = _piece(dataset_of(*within), turned, fit, kind, index, data_masks, name)
            layers = piece if layers is None else _filled(layers, piece)
    return layers or _nothing(header, (1, cells.size))


def read_thinned(
    dataset_of: Callable[[Window, int], DatasetReader], header: Header, grid: Grid, step: int, name: str
) -> Layers:
    """About every n-th cell of every n-th row of the grid, for a picture; values may be those of a file's overviews.

    Args:
        dataset_of: gives a window of the file, thinned, as a dataset.
        header: of the file, of which `can_read_cells` holds.
        grid: of the region.
        step: the n.
        name: of the file, for messages.
    """
    kind, index = header.classes or ("", 0)
    data_masks = [header.data_mask] if header.data_mask else []
    shape = (math.ceil(grid.height / step), math.ceil(grid.width / step))
    layers: Layers | None = None
    for turned in header.turned:
        whole = copy_of(turned, grid)
        if whole is not None and whole.window.width > 0 and whole.window.height > 0:
            row, column = min(whole.row // step, shape[0] - 1), min(whole.column // step, shape[1] - 1)
            fit = Thinned(whole.window, row, column, shape, whole.rows, whole.columns)
            piece = _piece(dataset_of(whole.window, step), turned, fit, kind, index, data_masks, name)
            layers = piece if layers is None else _filled(layers, piece)
    return layers or _nothing(header, shape)


def _nothing(header: Header, shape: tuple[int, int]) -> Layers:
    return Layers({band: np.zeros(shape, np.uint16) for band in header.bands}, np.zeros(shape, np.uint8))


def _piece(
    dataset: DatasetReader, header: Header, fit: Fit, kind: str, index: int, data_masks: list[int], name: str
) -> Layers:
    """The part of the file under the grid, where the header's longitudes are in the same turn as the grid's.

    Args:
        dataset: the file.
        header: its header.
        fit: brings its window onto the grid.
        kind: of `CLASS_NAMES`, of the class band; empty where there is none.
        index: of the class band.
        data_masks: numbers of bands that are 0 where there is no data.
        name: for messages.
    """
    blank = _blank(dataset, header, fit.window)
    for number in data_masks:
        blank |= ~(dataset.read(number, window=fit.window) > 0)
    bands = {
        band: fit.bilinear(_values(dataset, band, where, fit, blank, name)) for band, where in header.bands.items()
    }
    if kind:
        classes = fit.nearest(translate(dataset.read(index, window=fit.window), kind))
    else:
        classes = np.full(fit.shape, PixelClass.CLEAR, np.uint8)
    classes[~np.logical_or.reduce([values != NODATA for band, values in bands.items() if band in REFLECTIVE])] = 0
    for values in bands.values():
        values[classes == PixelClass.NODATA] = NODATA
    return Layers(bands, classes)


def _filled(first: Layers, other: Layers) -> Layers:
    """The first layers, filled from the other where the first have no data."""
    free = first.classes == PixelClass.NODATA
    bands = {band: np.where(free, other.bands[band], values) for band, values in first.bands.items()}
    return Layers(bands, np.where(free, other.classes, first.classes))


def _bound(cells: int, where: str, name: str, most_bytes: int) -> None:
    if cells * _CELL_BYTES > most_bytes:
        raise SceneError(
            f"{name}: {cells:,} cells lie {where}; at most {most_bytes // _CELL_BYTES:,} are held together; "
            "write it in tiles on the region's grid, or raise most_megabytes in satfields.toml"
        )


def _blank(dataset: DatasetReader, header: Header, window: Window) -> NDArray[np.bool_]:
    """Where zeros mean that the file has no data in any band."""
    pair = [header.bands[band] for band in ("red", "nir")]
    whole = all(band.zero_is_nothing and "float" not in dataset.dtypes[band.index - 1] for band in pair)
    bands = pair if whole else [header.bands[band] for band in REFLECTIVE if band in header.bands]
    blank: NDArray[np.bool_] = dataset.read(bands[0].index, window=window) == 0
    for band in bands[1:]:
        if not blank.any():
            break
        blank &= dataset.read(band.index, window=window) == 0
    return blank


def _is_of_data(dataset: DatasetReader, index: int, name: str) -> bool:
    """Whether a band described as mask follows GDAL's convention, 255 where there is data; the whole band decides."""
    high = low = False
    for _, window in dataset.block_windows(index):
        values = dataset.read(index, window=window)
        high |= bool((values == 255).any())
        low |= bool(((values > 0) & (values < 255)).any())
        if high and low:
            raise SceneError(
                f"{name}: the band mask holds 255, as where there is data, and lower values, as where there are "
                "clouds; name the bands in satfields.toml, this one datamask or cloud"
            )
    return high


def _check_qa60(dataset: DatasetReader, index: int, header: Header, name: str) -> None:
    """Refuse a QA60 without any cloud from the time in which it was not filled."""
    first, last = _QA60_EMPTY
    if not first <= header.sensed_at.date() <= last:
        return
    if not any(dataset.read(index, window=window).any() for _, window in dataset.block_windows(index)):
        raise SceneError(
            f"{name}: its QA60 is 0 throughout, as that of all scenes from {first} to {last}, for which it was not "
            "filled; add another mask, as SCL, or name the bands in satfields.toml without it"
        )


def _values(
    dataset: DatasetReader, band: str, where: Band, fit: Fit, blank: NDArray[np.bool_], name: str
) -> NDArray[np.uint16]:
    """A window of a band, harmonised; 0 where it has no data."""
    raw = dataset.read(where.index, window=fit.window)
    valid = np.isfinite(raw)
    if where.nodata is not None:
        valid &= raw != where.nodata
    if where.masked:
        valid &= dataset.read_masks(where.index, window=fit.window) != 0
    valid &= ~blank
    if where.zero_is_nothing:
        valid &= raw != 0
    unit, zero = (TEMPERATURE_SCALE, 0.0) if band == THERMAL else (REFLECTANCE_SCALE, REFLECTANCE_OFFSET)
    factor, shift = where.scale / unit, (where.offset - zero) / unit
    values: NDArray[Any]
    if raw.dtype.kind in "iu" and abs(factor - 1) < 1e-9 and abs(shift - round(shift)) < 1e-6:
        values = raw.astype(np.int64) + round(shift)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is nodata
            values = np.rint(raw * np.float64(factor) + shift)
    if fit.checked:
        _check_range(raw, valid, values, band, where, name)
    valid &= (values > NODATA) & (values <= _HIGHEST)
    return np.where(valid, values, NODATA).astype(np.uint16)


def _check_range(
    raw: NDArray[Any], valid: NDArray[np.bool_], values: NDArray[Any], band: str, where: Band, name: str
) -> None:
    """Refuse a band with many values out of range: they would pass as not covered, and the rest as valid numbers.

    One value far below and one far above may be undeclared fill. In floats, which need no declared scale, most of the
    band being too large is an error in any case.
    """
    known = valid & (raw != 0)
    lost = known & ((values <= NODATA) | (values > _HIGHEST))
    if not lost.any():
        return
    fill = (raw == raw[lost].min()) | (raw == raw[lost].max())
    large = raw.dtype.kind == "f" and np.count_nonzero(lost & (values > _HIGHEST)) * 2 > np.count_nonzero(known)
    if large or np.count_nonzero(lost & ~fill) > _MOST_LOST * np.count_nonzero(known & ~(lost & fill)):
        raise SceneError(
            f"{name}: {'most' if large else 'many'} values of band {band} are too "
            f"{'large' if large or (values[lost & ~fill] > _HIGHEST).any() else 'small'} (as "
            f"{raw[lost][-1]}, with scale {where.scale:g} and offset {where.offset:g}); expected "
            f"{'kelvin' if band == THERMAL else 'reflectance, 0 to 1'}; set the scale and offset"
        )
