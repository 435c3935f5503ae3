"""What a file that can't be taken says all the same: where it lies, and of which day it is."""

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
    """What can be read of a file: TIFFTAG_DATETIME, and its bounds in WGS 84; nothing of one that is damaged."""

    tag: str = ""
    bounds: Bounds | None = None

    def may_lie_over(self, bounds: Bounds) -> bool:
        """Whether nothing says that the file lies outside of a rectangle of WGS 84."""
        return self.bounds is None or self.bounds.overlaps(bounds)


def glance(dataset: DatasetReader) -> Glance:
    """What an open file says, whatever is wrong with the rest of it."""
    tag, bounds = "", None
    with suppress(SceneError, *UNREADABLE):
        tag = str(dataset.tags().get("TIFFTAG_DATETIME", "")).strip()
        bounds = raster_bounds(dataset)
    return Glance(tag, bounds)


def told_day(name: str, sensed: datetime | None, tag: str, bounds: Bounds) -> date | None:
    """The solar day at a place that a file's item, path or tag tells; None where none tells one that can be.

    A date alone is that of a pass in the morning.
    """
    path = PurePosixPath(name)
    told = [read_product(str(part)) for part in (path, *path.parents)]  # the file's own name before its folders'
    product = next((one for one in told if one.day or one.sensed_at), told[0])
    with suppress(SceneError, OverflowError):
        return solar_day(sensed or sensing_time(product, tag, name), bounds)
    if product.day is None:
        return None
    passed = datetime.combine(product.day, _MORNING, UTC) - solar_offset(bounds)
    return solar_day(datetime.combine(product.day, passed.timetz()), bounds)  # the path's day is a day in UTC
