"""A region's scene, or one acquisition, as a picture without anything drawn over it, to be laid under a map."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from numpy.typing import NDArray
from PIL import Image

from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import NODATA, REFLECTANCE_OFFSET, REFLECTANCE_SCALE, Layers, PixelClass
from satcommon.views.mercator import Frame
from satcommon.views.ndvi_map import coloured

if TYPE_CHECKING:
    from satcommon.raster.scene import Acquisition
    from satcommon.raster.scene_reader import CellReader
    from satcommon.sources.source import AreaOfInterest, SceneSource

BRIGHTEST = 0.3  # reflectance shown as white: bare soil and canopy stay below it, cloud above
GAMMA = 1 / 1.6  # lifts dark canopy


class Layer(StrEnum):
    """What a picture shows."""

    TRUE_COLOUR = "truecolor"
    NDVI = "ndvi"

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that it is made of."""
        return ("red", "green", "blue") if self is Layer.TRUE_COLOUR else ("red", "nir")


def scene_picture(reader: CellReader, bounds: Bounds, layer: Layer, max_pixels: int) -> bytes:
    """A scene as a PNG with transparency where it has no pixels.

    Its corners are those of `bounds`, and its rows and columns are even in Web Mercator (EPSG:3857).

    Args:
        reader: of the scene, opened; it has the layer's bands.
        bounds: of the region.
        layer: what to show.
        max_pixels: of the picture's longer side.
    """
    return _drawn(reader.read_overview(max_pixels), reader.grid, bounds, layer, max_pixels)


def acquisition_picture(
    source: SceneSource, aoi: AreaOfInterest, acquisition: Acquisition, layer: Layer | None, max_pixels: int
) -> bytes:
    """An acquisition as `scene_picture` draws a scene, whether or not it passes the radiometric checks.

    Args:
        source: that lists it.
        aoi: of the region.
        acquisition: as it was listed.
        layer: what to show; None: true colour where it has the bands, else NDVI.
        max_pixels: of the picture's longer side.

    Raises:
        SceneError: it can't be read, or has no cell with the layer's bands.
        StoreError: it can't be reached.
    """
    layers = source.read(aoi, replace(acquisition, accepted=True))
    present = {name for name, band in layers.bands.items() if (band != NODATA).any()}
    layer = layer or (Layer.TRUE_COLOUR if present.issuperset(Layer.TRUE_COLOUR.bands) else Layer.NDVI)
    lacking = [name for name in layer.bands if name not in present]
    if lacking:
        raise SceneError(
            f"{acquisition.item_id}: has no {' or '.join(lacking)} in the region, which {layer.value} shows"
        )
    step = max(1, math.ceil(max(aoi.grid.width, aoi.grid.height) / max_pixels))
    thinned = Layers({name: layers.bands[name][::step, ::step] for name in layer.bands}, layers.classes[::step, ::step])
    return _drawn(thinned, aoi.grid, aoi.bounds, layer, max_pixels)


def _drawn(overview: Layers, grid: Grid, bounds: Bounds, layer: Layer, max_pixels: int) -> bytes:
    row, column = _cells(grid, overview.classes.shape, bounds, max_pixels)
    inside = (row >= 0) & (row < overview.classes.shape[0]) & (column >= 0) & (column < overview.classes.shape[1])
    at = np.where(inside, row, 0), np.where(inside, column, 0)
    shown = Layers({name: overview.bands[name][at] for name in layer.bands}, overview.classes[at])
    seen = inside & (shown.classes != PixelClass.NODATA)
    for band in shown.bands.values():
        seen &= band != NODATA
    colours = _true_colour(shown) if layer is Layer.TRUE_COLOUR else _ndvi(shown)
    png = io.BytesIO()
    Image.fromarray(np.dstack([colours, np.where(seen, 255, 0).astype(np.uint8)])).save(png, "PNG", compress_level=4)
    return png.getvalue()


def _cells(
    grid: Grid, shape: tuple[int, ...], bounds: Bounds, max_pixels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the overview for each pixel of the picture, of its shape; -1 or beyond where there is none."""
    width, height, west, east, top, bottom = Frame.of(bounds, max_pixels)
    longitude = west + (np.arange(width) + 0.5) / width * (east - west)
    latitude = np.degrees(np.arctan(np.sinh(top - (np.arange(height) + 0.5) / height * (top - bottom))))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(
        *np.meshgrid((longitude + 180.0) % 360.0 - 180.0, latitude)
    )
    left, low, right, high = grid.extent
    with np.errstate(invalid="ignore"):
        column, row = (x - left) / (right - left) * shape[1], (high - y) / (high - low) * shape[0]
    return _whole(row), _whole(column)


def _whole(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(np.nan_to_num(numbers, nan=-1, posinf=-1, neginf=-1)).astype(np.int64)


def _true_colour(layers: Layers) -> NDArray[np.uint8]:
    """RGB, shape (rows, columns, 3)."""
    values = np.dstack(list(layers.bands.values())).astype(np.float32)
    light = np.clip((REFLECTANCE_SCALE * values + REFLECTANCE_OFFSET) / BRIGHTEST, 0, 1) ** GAMMA
    colours: NDArray[np.uint8] = (255 * light).round().astype(np.uint8)
    return colours


def _ndvi(layers: Layers) -> NDArray[np.uint8]:
    return coloured(layers.bands["red"], layers.bands["nir"], layers.classes)
