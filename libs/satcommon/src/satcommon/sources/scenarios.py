"""Scenarios that make a day's imagery untidy, and the items that the simulated satellite publishes for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property

from satcommon.raster.layers import REFLECTANCE_OFFSET
from satcommon.settings import Scenario

_EVERYWHERE = (-1.0, 2.0)
TILES = {"": _EVERYWHERE, "E": (0.45, 2.0), "W": (-1.0, 0.55)}
"""Which part of the region's width a tile covers; tiles reach beyond its edges, and overlap, as Sentinel-2's do."""


@dataclass(frozen=True)
class Delivery:
    """One item of a day; without scenarios a day has the default item only.

    Args:
        satellite: number of the platform.
        orbit: number of its pass of the day.
        tile: of `TILES`; empty where the pass is one piece.
        baseline: of processing.
        minutes: sensed this long after the usual time.
        swath: part of the region's width that is covered, between slanted lines.
        brighter: units of 1e-4 that are added to the reflectance.
        offset: of reflectance in the item's file.
        snow: whether snow lies in winter.
        undetected_cloud: whether a cloud is missing from the classes.
        late: how often `late_hours` is added to the time of publication; alone it is not part of the content.
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
        """Distinguishes the item from others of its day."""
        parts = {"satellite": f"S{self.satellite}", "orbit": f"O{self.orbit}", "tile": self.tile}
        parts["baseline"] = f"N{self.baseline}"
        return "".join(f"_{part}" for name, part in parts.items() if name in self.content)

    @cached_property
    def content(self) -> dict[str, object]:
        """The attributes that differ from the default, without `late`."""
        values = ((each.name, getattr(self, each.name), each.default) for each in fields(self) if each.name != "late")
        return {name: value for name, value, default in values if value != default}


def deliveries(scenarios: Collection[Scenario], edge: float) -> Iterator[Delivery]:
    """The items of a day with these scenarios.

    Args:
        scenarios: of the day.
        edge: of the swath, in parts of the region's width from the west, where it has one.
    """
    plain = Delivery(snow=Scenario.SNOW in scenarios, undetected_cloud=Scenario.UNDETECTED_CLOUD in scenarios)
    west, east = _EVERYWHERE
    passes = [plain]
    if Scenario.TWO_PASSES in scenarios:
        passes = [replace(plain, swath=(0.45, east)), replace(plain, swath=(west, 0.55), orbit=2, minutes=100)]
    if Scenario.TWO_PLATFORMS in scenarios:
        passes = [replace(item, swath=(item.swath[0], min(item.swath[1], 0.6))) for item in passes]
        passes.append(replace(plain, swath=(0.3, east), satellite=2, minutes=20, brighter=40))
    if Scenario.SWATH_EDGE in scenarios:
        passes = [replace(item, swath=(item.swath[0], min(item.swath[1], edge))) for item in passes]
    for item in passes:
        for tile in _tiles(item, scenarios):
            if Scenario.REPROCESSED in scenarios:
                yield replace(tile, brighter=tile.brighter + 8, offset=0.0)
                yield replace(tile, baseline="2", late=tile.late + 1)
            else:
                yield tile


def _tiles(item: Delivery, scenarios: Collection[Scenario]) -> list[Delivery]:
    if not {Scenario.TILES, Scenario.LATE_TILE} & set(scenarios):
        return [item]
    eastern = replace(item, tile="E", minutes=item.minutes - 2, late=int(Scenario.LATE_TILE in scenarios))
    return [eastern, replace(item, tile="W", minutes=item.minutes + 2)]
