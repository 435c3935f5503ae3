"""A scene's file: a cloud-optimized GeoTIFF of the harmonised bands and the classes; `scene_reader` reads it.

Fields touch a small part of a scene, and decoding is nearly all of a day's work: the file is tiled so that a reader
decodes touched tiles only. Each band of a tile is a block of its own, and the blocks of a tile follow each other:
threads decode a band each, and a tile's bands come from a bucket in one request. GDAL calls that INTERLEAVE=TILE from
3.11 on; its COG driver of today interleaves by pixel, which takes half as long again to decode and twice as long to
write (docs/decisions/0008). The file is written in one pass, without a copy of the whole scene.

There are no overviews: they would triple the time and add 38 %, and our readers never ask for them.
"""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.io import MemoryFile
from rasterio.windows import Window

from satcommon.geo.grid import Grid
from satcommon.raster.layers import (
    CLASSES,
    ITEM,
    NODATA,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
)
from satcommon.raster.threads import threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.raster.scene import Scene

_WIDE = 4096  # columns from which tiles are 512 cells wide: a quarter of the tiles to index and to fetch


def encode(scene: Scene, grid: Grid, day: date) -> bytes:
    """The scene as a file: bands in the order of `ALL_BANDS`, then `CLASSES`, all uint16; 0 is nodata in each.

    Where the scene has several items, the band `ITEM` before the classes says which of them provides a cell.

    Equal scenes give equal bytes within one lock of versions; a scene's identity is its digest, not the file's. Scales,
    offsets, descriptions and tags are set, so that a `FolderSource` can read the file as an acquisition.
    """
    layers = scene.layers
    bands = layers.bands if scene.providers is None else layers.bands | {ITEM: scene.providers}
    names = (*bands, CLASSES)
    rasters: list[NDArray[Any]] = [*bands.values(), layers.classes]
    scale_of = {THERMAL: TEMPERATURE_SCALE, ITEM: 1.0, CLASSES: 1.0}
    offset_of = {THERMAL: 0.0, ITEM: 0.0, CLASSES: 0.0}
    first = scene.items[0]
    side = 512 if grid.width > _WIDE else 256
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=grid.width,
            height=grid.height,
            count=len(names),
            dtype="uint16",
            crs=grid.crs,
            transform=grid.transform,
            nodata=NODATA,
            compress="ZSTD",
            zstd_level=1,
            predictor=2,
            interleave="band",
            tiled=True,
            blockxsize=side,
            blockysize=side,
            bigtiff="IF_SAFER",
            num_threads=threads(),
        ) as dataset:
            # Before the first tile, so that the whole header precedes it.
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
            for top, left in product(range(0, grid.height, side), range(0, grid.width, side)):
                tile = np.stack([raster[top : top + side, left : left + side] for raster in rasters], dtype=np.uint16)
                dataset.write(tile, window=Window(left, top, tile.shape[2], tile.shape[1]))
        return bytes(memory.getbuffer())
