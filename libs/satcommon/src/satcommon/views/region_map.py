"""The picture of a region's day, from its stored scene and the fields that are expected on it."""

from __future__ import annotations

from datetime import date

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Engine

from satcommon.db import ledger
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import geometries, timelines
from satcommon.db.models import Region
from satcommon.geo.grid import Grid
from satcommon.raster.layers import CLASSES
from satcommon.raster.scene_reader import CellReader
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.views.ndvi_map import Detail, Window, detail_window, ndvi_map


def region_map(engine: Engine, scenes: StoredScenes, region: Region, day: date, max_pixels: int = 300) -> bytes:
    """A PNG of NDVI with the fields' outlines: the whole region, and a closer look at its smaller fields.

    Args:
        engine: of the ledger.
        scenes: the stored ones.
        region: the region.
        day: the day.
        max_pixels: of the picture's longer side.

    Raises:
        SceneError: the scene can't be read.
        CatalogueError, StoreError: what has its pixels can't be reached.
    """
    with read_transaction(engine) as connection:
        scene = ledger.current_scene(connection, region.bbox_id, day)
        spans = [span for line in timelines(connection, region.bbox_id).values() if (span := line.at(day))]
        shapes = geometries(connection, {span.geometry_digest for span in spans})
    assert scene is not None
    outlines: list[BaseGeometry] = list(shapely.from_wkb(list(shapes.values())))
    grid = Grid.from_json(region.grid)
    window = detail_window(grid, outlines)
    with scenes.open(scene.object_key) as reader:
        overview = reader.read_overview(max_pixels)
        detail = None if window is None else _detail(reader, grid, window, max_pixels)
    title = f"{region.name}  {day}  NDVI"
    return ndvi_map(overview.bands, overview.classes, grid, outlines, title, detail=detail, max_pixels=max_pixels)


def _detail(reader: CellReader, grid: Grid, window: Window, max_pixels: int) -> Detail:
    """The window's cells, every n-th where it has more than the picture shows."""
    step = max(1, -(-max(window.height, window.width) // max_pixels))
    rows = np.arange(window.row, window.row + window.height, step, dtype=np.int64)
    columns = np.arange(window.column, window.column + window.width, step, dtype=np.int64)
    values = reader.gather((rows[:, None] * grid.width + columns).ravel())
    bands = {name: band.reshape(len(rows), len(columns)) for name, band in values.items()}
    return bands, bands.pop(CLASSES).astype(np.uint8), window.of(grid)
