"""What makes a day's imagery untidy, and the items that the simulated satellite delivers it in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from satcommon.raster.layers import REFLECTANCE_OFFSET

_EVERYWHERE = (-1.0, 2.0)
TILES = {"": _EVERYWHERE, "E": (0.45, 2.0), "W": (-1.0, 0.55)}
"""Which part of the region's width a tile covers; they go on beyond its edges, and overlap, as Sentinel-2's do."""


class Quirk(StrEnum):
    """What a region's day can be like; several go together. Where two items overlap, both see the same land."""

    SWATH_EDGE = "swath_edge"
    """The swath covers the west of the region only, to a slanted line that is another each day."""
    TILES = "tiles"
    """A pass comes as an eastern and a western tile, sensed four minutes apart, each on its own UTM zone's grid."""
    LATE_TILE = "late_tile"
    """As `tiles`, and the eastern one is published `late_hours` after the western."""
    REPROCESSED = "reprocessed"
    """Everything comes first in baseline 1, whose files have reflectance offset 0 and which sees all 0.0008 too bright,
    and `late_hours` later in baseline 2, with offset -0.1 and as the satellite without quirks sees it."""
    TWO_PASSES = "two_passes"
    """Two orbits, 100 minutes apart: the first covers the eastern half, the second the western, with an overlap."""
    TWO_PLATFORMS = "two_platforms"
    """The western 60 %, and 20 minutes later by another platform, to which all is 0.004 brighter, the eastern 70 %."""
    SNOW = "snow"
    """In winter snow lies, in patches about the freezing point; class SNOW."""
    UNDETECTED_CLOUD = "undetected_cloud"
    """A cloud over the middle of the region that the classes show as clear."""


@dataclass(frozen=True)
class Delivery:
    """One item of a day; the default is all that there is without quirks.

    Args:
        satellite: number of the platform.
        orbit: number of its pass of the day.
        tile: of `TILES`; empty where the pass is one piece.
        baseline: of processing.
        minutes: sensed so long after the usual time.
        swath: part of the region's width that is covered, between slanted lines.
        brighter: units of 1e-4 that are added to the reflectance.
        offset: of reflectance in the item's file.
        snow: whether snow lies in winter.
        undetected_cloud: whether there is one.
        late: how many times `late_hours` pass from the day's usual publication; alone no part of the content.
    """

    satellite: int = 1
    orbit: int = 1
    tile: str = ""
    baseline: str = "1"
    minutes: int = 0
    swath: tuple[float, float] = _EVERYWHERE
    brighter: int = 0
    offset: float = REFLECTANCE_OFFSET
    snow: bool = False
    undetected_cloud: bool = False
    late: int = 0

    @property
    def suffix(self) -> str:
        """Tells the item from others of its day."""
        parts = {"satellite": f"S{self.satellite}", "orbit": f"O{self.orbit}", "tile": self.tile}
        parts["baseline"] = f"N{self.baseline}"
        return "".join(f"_{part}" for name, part in parts.items() if name in self.content)

    @property
    def content(self) -> dict[str, object]:
        """What differs from the default, without when it comes."""
        values = ((one.name, getattr(self, one.name), one.default) for one in fields(self) if one.name != "late")
        return {name: value for name, value, default in values if value != default}


def deliveries(quirks: Collection[Quirk], edge: float) -> Iterator[Delivery]:
    """The items of a day with these quirks.

    Args:
        quirks: of the day.
        edge: of the swath, in parts of the region's width from the west, where it has one.
    """
    plain = Delivery(snow=Quirk.SNOW in quirks, undetected_cloud=Quirk.UNDETECTED_CLOUD in quirks)
    west, east = _EVERYWHERE
    passes = [plain]
    if Quirk.TWO_PASSES in quirks:
        passes = [replace(plain, swath=(0.45, east)), replace(plain, swath=(west, 0.55), orbit=2, minutes=100)]
    if Quirk.TWO_PLATFORMS in quirks:
        passes = [replace(one, swath=(one.swath[0], min(one.swath[1], 0.6))) for one in passes]
        passes.append(replace(plain, swath=(0.3, east), satellite=2, minutes=20, brighter=40))
    if Quirk.SWATH_EDGE in quirks:
        passes = [replace(one, swath=(one.swath[0], min(one.swath[1], edge))) for one in passes]
    for one in passes:
        for tile in _tiles(one, quirks):
            if Quirk.REPROCESSED in quirks:
                yield replace(tile, brighter=tile.brighter + 8, offset=0.0)
                yield replace(tile, baseline="2", late=tile.late + 1)
            else:
                yield tile


def _tiles(one: Delivery, quirks: Collection[Quirk]) -> list[Delivery]:
    if not {Quirk.TILES, Quirk.LATE_TILE} & set(quirks):
        return [one]
    eastern = replace(one, tile="E", minutes=one.minutes - 2, late=int(Quirk.LATE_TILE in quirks))
    return [eastern, replace(one, tile="W", minutes=one.minutes + 2)]
