"""What a refused file still says: where it lies, and of which day it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from satcommon.errors import SceneError
from satcommon.geo.solar import solar_day, solar_offset
from satcommon.raster.geotiff import UNREADABLE
from satcommon.raster.header import raster_bounds, sensing_time
from satcommon.raster.product import read as read_product

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from satcommon.geo.grid import Bounds

_MORNING = time(10, 30)  # local solar time at which optical satellites pass


@dataclass(frozen=True)
class Glance:
    """What can be read of a file: TIFFTAG_DATETIME, and its bounds in WGS 84; empty where the file is damaged."""

    tag: str = ""
    bounds: Bounds | None = None

    def may_lie_over(self, bounds: Bounds) -> bool:
        """Whether the file may overlap a rectangle of WGS 84: it does, or does not say where it lies."""
        return self.bounds is None or self.bounds.overlaps(bounds)


def glance(dataset: DatasetReader) -> Glance:
    """What an open file says, whatever is wrong with the rest of it."""
    tag, bounds = "", None
    with suppress(SceneError, *UNREADABLE):
        tag = str(dataset.tags().get("TIFFTAG_DATETIME", "")).strip()
        bounds = raster_bounds(dataset)
    return Glance(tag, bounds)


def told_day(name: str, sensed: datetime | None, tag: str, bounds: Bounds) -> date | None:
    """The solar day in a file's item, path or tag; None where none has a possible one.

    A date without a time is that of a pass in the morning.

    Args:
        name: the file's path.
        sensed: the time of sensing that is declared beside the file.
        tag: TIFFTAG_DATETIME.
        bounds: of the region, in WGS 84.
    """
    path = PurePosixPath(name)
    products = [read_product(str(part)) for part in (path, *path.parents)]  # the file's own name before its folders'
    product = next((each for each in products if each.day or each.sensed_at), products[0])
    with suppress(SceneError, OverflowError):
        return solar_day(sensed or sensing_time(product, tag, name), bounds)
    if product.day is None:
        return None
    passed = datetime.combine(product.day, _MORNING, UTC) - solar_offset(bounds)
    return solar_day(datetime.combine(product.day, passed.timetz()), bounds)  # the path's day is a day in UTC
