"""The round trip of simulated layers through a GeoTIFF on another grid, or with another offset.

An item that a real archive would publish in that form is written to a file and read by the code that reads folders, so
that tests exercise the code in use.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from rasterio.io import MemoryFile

from satcommon.raster.declared import DeclaredMetadata
from satcommon.raster.geotiff import open_geotiff
from satcommon.raster.harmonise import read_layers
from satcommon.raster.header import read_header
from satcommon.raster.layers import (
    CLASSES,
    FURTHER,
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
    Layers,
)

if TYPE_CHECKING:
    from satcommon.geo.grid import Grid

_NO_LIMIT = sys.maxsize  # the layers are in memory already


def through_file(layers: Layers, own: Grid, onto: Grid, name: str, sensed_at: datetime, offset: float) -> Layers:
    """The layers on a grid, read from a file on another.

    Args:
        layers: on `own`.
        own: grid of the file.
        onto: grid that the file is read on; see `harmonise.read_layers`.
        name: of the item, for messages.
        sensed_at: goes into the file.
        offset: of reflectance in the file, whose lowest value is that plus 0.0001.

    Raises:
        SceneError: the file can't be read as an acquisition.
    """
    shift = round((REFLECTANCE_OFFSET - offset) / REFLECTANCE_SCALE)
    names = (*layers.bands, CLASSES)
    further = [band for band in layers.bands if band in FURTHER]
    scales, offsets = {THERMAL: TEMPERATURE_SCALE, CLASSES: 1.0}, {THERMAL: 0.0, CLASSES: 0.0}
    raw = [
        band if band_name == THERMAL else np.where(band == NODATA, NODATA, np.maximum(band.astype(np.int32) + shift, 1))
        for band_name, band in layers.bands.items()
    ]
    with MemoryFile(ext=".tif") as memory:
        with memory.open(
            driver="GTiff",
            width=own.width,
            height=own.height,
            count=len(names),
            dtype="uint16",
            crs=own.crs,
            transform=own.transform,
            nodata=NODATA,
        ) as dataset:
            dataset.write(np.stack([*raw, layers.classes]).astype(np.uint16))
            dataset.descriptions = names
            dataset.scales = tuple(scales.get(band, REFLECTANCE_SCALE) for band in names)
            dataset.offsets = tuple(offsets.get(band, offset) for band in names)
            dataset.update_tags(TIFFTAG_DATETIME=f"{sensed_at:%Y:%m:%d %H:%M:%S}")
        with open_geotiff(memory.name) as dataset:
            header = read_header(dataset, name, DeclaredMetadata(), further)
            return read_layers(dataset, header, onto, name, _NO_LIMIT)
