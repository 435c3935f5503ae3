"""An acquisition, and the scene that is the mosaic of a day's acquisitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from satcommon.raster.layers import Layers
from satcommon.raster.product import Level, Tier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, order=True)
class Acquisition:
    """One item of imagery.

    Args:
        item_id: unique within the source.
        digest: of its content, so that a changed item is detected; never of its time of arrival.
        platform: as ``sentinel-2``.
        overpass: names the pass of the platform (STAC's datatake); its tiles and their versions share it.
        tile: names the part of the pass; empty where a pass is one part.
        baseline: processing baseline; a later one sorts after.
        sensed_at: mid-time of sensing, UTC; kept to the millisecond, as in published rows.
        published_at: when it became available, UTC.
        reading: names the rules by which it is read, where they are newer than the first version's. It is not part of
            a scene's digest, but of the listing that a day was answered with: when it changes, the item is read once
            more, and the scene is revised where pixels differ.
        level: what its reflectance is of.
        tier: of Landsat.
        processed_at: when it was produced, UTC; None where that is unknown.
        accepted: whether it is taken although a radiometric check fails, as somebody decided.
    """

    item_id: str
    digest: str
    platform: str
    overpass: str
    tile: str
    baseline: str
    sensed_at: datetime
    published_at: datetime
    reading: str = ""
    level: Level = Level.SURFACE
    tier: Tier = Tier.UNSTATED
    processed_at: datetime | None = None
    accepted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensed_at", to_milliseconds(self.sensed_at))


def to_milliseconds(time: datetime) -> datetime:
    """The nearest millisecond, the precision of published rows; halves round up."""
    return time + timedelta(microseconds=500 - (time.microsecond + 500) % 1000)


@dataclass(frozen=True)
class Scene:
    """A region's imagery of a collection for one day.

    Args:
        layers: on the region's grid; the bands of all items, 0 where the item that provides a cell lacks the band.
        items: the acquisitions that provide a cell, in the order of `sources.mosaic`; where none does, the first.
        digest: of grid, items and pixels, 64 hexadecimal digits; not of any file that holds them.
        refused: why items could not be read, by item id.
        checks: the radiometric check that refused an item, by item id, where it was one.
        providers: the number in `items`, from 1, of the item that provides a cell, 0 where none does, uint16 of shape
            (rows, columns); None where there is one item.
    """

    layers: Layers
    items: tuple[Acquisition, ...]
    digest: str
    refused: dict[str, str] = field(default_factory=dict)
    providers: NDArray[np.uint16] | None = None
    checks: dict[str, str] = field(default_factory=dict)
