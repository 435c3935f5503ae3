"""GeoTIFFs to be read by a source, the place that they lie over, and what the source says of them."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_bounds
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.declared import DeclaredMetadata
from satcommon.raster.geotiff import open_geotiff
from satcommon.raster.harmonise import read_layers
from satcommon.raster.header import read_header
from satcommon.raster.layers import Layers
from satcommon.raster.scene import Acquisition
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import AreaOfInterest, Listing

ROWS, COLUMNS = 12, 15
GRID = Grid("EPSG:32633", 465_181.05223, 5_080_254.63350, 9.9947922, 9.9974485, COLUMNS, ROWS)  # cells are not square
AOI = AreaOfInterest("North", Bounds(*transform_bounds(GRID.crs, "EPSG:4326", *GRID.extent)), GRID)
NAME = "2016-01-07T101243.tif"
FIRST, LAST, NOW = date(2015, 1, 1), date(2016, 12, 31), datetime(2030, 1, 1, tzinfo=UTC)
Raster = NDArray[np.generic]


def full(value: float, dtype: str = "uint16") -> Raster:
    return np.full((ROWS, COLUMNS), value, dtype)


PLAIN = {"red": full(500), "nir": full(4000)}


def write(
    path: Path,
    bands: dict[str, Raster] | None = None,
    *,
    grid: Grid | None = GRID,
    crs: str | None = GRID.crs,
    scale: float | dict[str, float] = 1e-4,
    offset: float | dict[str, float] = 0.0,
    nodata: float | None = None,
    **tags: str,
) -> Path:
    """A GeoTIFF; scale and offset are of all bands, or of some by name."""
    bands = PLAIN if bands is None else bands
    stack = np.stack(list(bands.values()))
    georeference = {"crs": crs, "transform": grid.transform} if grid else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(stack),
        height=stack.shape[1],
        width=stack.shape[2],
        dtype=stack.dtype,
        nodata=nodata,
        compress="deflate",
        **georeference,
    ) as dataset:
        dataset.write(stack)
        dataset.descriptions = tuple(bands)
        dataset.scales = [scale.get(name, 1.0) if isinstance(scale, dict) else scale for name in bands]
        dataset.offsets = [offset.get(name, 0.0) if isinstance(offset, dict) else offset for name in bands]
        dataset.update_tags(**tags)
    return path


def listed(folder: Path, aoi: AreaOfInterest = AOI) -> Listing:
    return FolderSource(folder).list(aoi, FIRST, LAST, NOW)


def items(folder: Path, aoi: AreaOfInterest = AOI) -> list[Acquisition]:
    return [item for day in listed(folder, aoi).acquisitions.values() for item in day]


def only(folder: Path) -> Acquisition:
    (item,) = items(folder)
    return item


def layers_of(folder: Path, aoi: AreaOfInterest = AOI) -> Layers:
    """The pixels of the folder's one file."""
    (item,) = items(folder, aoi)
    return FolderSource(folder).read(aoi, item)


def unchecked(path: Path) -> Layers:
    """The pixels of a file on the grid, whatever they look like."""
    with open_geotiff(path) as dataset:
        return read_layers(dataset, read_header(dataset, path.name, DeclaredMetadata()), GRID, path.name, 10**9)
