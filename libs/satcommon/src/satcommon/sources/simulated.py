"""A simulated satellite for the demo, the tests and the benchmarks: no network, any calendar, any lateness.

What it sees (`farmland`) is a pure function of the seed, the region and the day; the settings decide when it is
published. Days are tidier than any archive's, one whole item each, unless they have scenarios (`scenarios`).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.warp import transform_bounds

from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import solar_day
from satcommon.raster.layers import NODATA, REFLECTANCE_OFFSET, REFLECTIVE, Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.settings import Scenario
from satcommon.sources.farmland import Farmland, hide_cloud, number, share
from satcommon.sources.roundtrip import through_file
from satcommon.sources.scenarios import TILES, Delivery, deliveries
from satcommon.sources.source import SIMULATED, AreaOfInterest, Due, Listing, calendar_by_day, days_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.settings import Settings

FORMAT = 1  # part of every digest; raise it with any change of a pixel

_PLATFORM = "simulated"
_OVERPASS = time(10, 30)  # local solar time, Sentinel-2's at the equator
_SLANT = 0.3  # of the region's width: what a swath's edge moves from the lower end of the region to the upper
_CLOUD = 0.2  # of the region's lesser side: radius of an undetected cloud
_MARGIN = 8  # cells around the region that a tile of another UTM zone holds, so that its own edge is not seen


@dataclass(frozen=True)
class SimulatedSource:
    """A satellite whose calendar, delays and gaps are settings.

    Args:
        seed: another seed gives another world.
        cycle_days: days between two overpasses; 1 is every day.
        delay_hours: from sensing to publication.
        late_share: share of scenes that are published `late_hours` later.
        late_hours: the further delay of a late scene.
        gap_share: share of due scenes that never come.
        delays: hours from sensing to publication of single scenes, by ``region/YYYY-MM-DD``; overrides all shares.
        held: folder; a scene is held back while the folder has a file named after its item.
        overpass: local solar time of the overpass at the region's centre.
        scenarios: those of days, by shell patterns of ``region/YYYY-MM-DD``.
    """

    seed: int = 7
    cycle_days: int = 1
    delay_hours: float = 3.0
    late_share: float = 0.0
    late_hours: float = 72.0
    gap_share: float = 0.0
    delays: dict[str, float] = field(default_factory=dict, hash=False)
    held: Path | None = None
    overpass: time = _OVERPASS
    scenarios: dict[str, frozenset[Scenario]] = field(default_factory=dict, hash=False)

    collection = "imagery"
    identity = SIMULATED

    @classmethod
    def from_settings(cls, settings: Settings) -> SimulatedSource:
        """The source of the settings ``SATFIELDS_SIMULATED_...``."""
        return cls(
            seed=settings.simulated_seed,
            cycle_days=settings.simulated_cycle_days,
            delay_hours=settings.simulated_delay_hours,
            late_share=settings.simulated_late_share,
            late_hours=settings.simulated_late_hours,
            gap_share=settings.simulated_gap_share,
            delays=dict(settings.simulated_delays),
            held=settings.simulated_held,
            overpass=settings.simulated_overpass,
            scenarios=dict(settings.simulated_scenarios),
        )

    def anchor_grid(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002 - the protocol's signature
        """None: any grid will do."""
        return None

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        """Due once in a cycle, on a day of it that depends on the region."""
        phase = number(self.seed, "phase", aoi.name)
        return Due.DUE if (day.toordinal() + phase) % self.cycle_days == 0 else Due.NOT_DUE

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        """The items of first..last that are published by `now`; a day without one is left out.

        Args:
            aoi: the area.
            first: first day.
            last: last day.
            now: the present.
        """
        held = {file.name for file in self.held.iterdir()} if self.held and self.held.is_dir() else set()
        acquisitions: dict[date, list[Acquisition]] = defaultdict(list)
        for day in days_between(first, last):
            for item in self._acquisitions(aoi, day) if self.due(aoi, day) is Due.DUE else ():
                if item.item_id not in held and item.published_at <= now:
                    acquisitions[day].append(item)
        return Listing(dict(acquisitions))

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """All bands on the area's grid, whose units count as metres; about 0.2 s for a million cells.

        Raises:
            SceneError: the acquisition was listed for another grid, area, seed, format or other scenarios.
        """
        day = solar_day(acquisition.sensed_at, aoi.bounds)
        items = self._deliveries(aoi, day)
        delivery = items.get(acquisition.digest)
        if delivery is None:
            raise SceneError(
                f"{acquisition.item_id}: listed as {acquisition.digest[:12]}, but seed {self.seed} and the grid and "
                f'scenarios of region "{aoi.name}" give {", ".join(key[:12] for key in items)}; list the day again'
            )
        zone = _zone(aoi, delivery)
        wide, seen = self._seen(aoi, day, delivery, _MARGIN if zone else 0)
        name, sensed_at = acquisition.item_id, acquisition.sensed_at
        if zone is not None:  # the archive warps what was seen to the tile's grid; reading warps it back
            seen, wide = through_file(seen, wide, zone, name, sensed_at, REFLECTANCE_OFFSET), zone
        elif delivery.offset == REFLECTANCE_OFFSET:
            return seen
        return through_file(seen, wide, aoi.grid, name, sensed_at, delivery.offset)

    def _seen(self, aoi: AreaOfInterest, day: date, delivery: Delivery, margin: int) -> tuple[Grid, Layers]:
        """What the satellite saw, on the area's grid with a margin of cells around."""
        own = aoi.grid
        grid = replace(
            own,
            left=own.left - margin * own.xres,
            top=own.top + margin * own.yres,
            width=own.width + 2 * margin,
            height=own.height + 2 * margin,
        )
        latitude = (aoi.bounds.south + aoi.bounds.north) / 2
        layers = Farmland(f"{self.seed}/{own.crs}", day, latitude, delivery.snow).layers(grid, aoi.further)
        # From 0 in the west and north of the area to 1 in its east and south.
        x = (np.arange(grid.width) - margin + 0.5) / own.width
        y = ((np.arange(grid.height) - margin + 0.5) / own.height)[:, None]
        if delivery.undetected_cloud:
            width, height = own.width * own.xres, own.height * own.yres
            reach = _CLOUD * min(width, height)
            hide_cloud(layers, ((x - 0.5) * width) ** 2 + ((y - 0.5) * height) ** 2 <= reach**2)
        for name in (*REFLECTIVE, *aoi.further):
            layers.bands[name] += np.uint16(delivery.brighter)
        outside = ~(_between(x + _SLANT * (0.5 - y), delivery.swath) & _between(x, TILES[delivery.tile]))
        for band in layers.bands.values():
            band[outside] = NODATA
        layers.classes[outside] = PixelClass.NODATA
        return grid, layers

    def _acquisitions(self, aoi: AreaOfInterest, day: date) -> Iterator[Acquisition]:
        hours = self.delays.get(f"{aoi.name}/{day}")
        if hours is None:
            if share(self.seed, "gap", aoi.name, day) < self.gap_share:
                return
            late = share(self.seed, "late", aoi.name, day) < self.late_share
            hours = self.delay_hours + (self.late_hours if late else 0.0)
        longitude = (aoi.bounds.west + aoi.bounds.east) / 2
        usual = datetime.combine(day, self.overpass, UTC) - timedelta(seconds=round(longitude * 240))
        for digest, delivery in self._deliveries(aoi, day).items():
            platform = _PLATFORM if delivery.satellite == 1 else f"{_PLATFORM}-{delivery.satellite}"
            sensed_at = usual + timedelta(minutes=delivery.minutes)
            yield Acquisition(
                item_id=f"SIM_{aoi.name}_{day:%Y%m%d}{delivery.suffix}",
                digest=digest,
                platform=platform,
                overpass=f"{platform}/{day}" + (f"/{delivery.orbit}" if delivery.orbit > 1 else ""),
                tile=delivery.tile,
                baseline=delivery.baseline,
                sensed_at=sensed_at,
                published_at=sensed_at + timedelta(hours=hours + delivery.late * self.late_hours),
            )

    def _deliveries(self, aoi: AreaOfInterest, day: date) -> dict[str, Delivery]:
        """The items of a day by the digests of their content."""
        name = f"{aoi.name}/{day}"
        scenarios = {scenario for days, them in self.scenarios.items() if fnmatchcase(name, days) for scenario in them}
        edge = 0.3 + 0.4 * share(self.seed, "edge", name)
        parts = [FORMAT, self.seed, aoi.name, list(aoi.bounds), aoi.grid.digest, day.isoformat()]
        return {
            hashlib.sha256(
                json.dumps(parts + [delivery.content] * bool(delivery.content)).encode()
            ).hexdigest(): delivery
            for delivery in deliveries(scenarios, edge)
        }


def _between(values: NDArray[np.float64], span: tuple[float, float]) -> NDArray[np.bool_]:
    between: NDArray[np.bool_] = (span[0] <= values) & (values < span[1])
    return between


def _zone(aoi: AreaOfInterest, delivery: Delivery) -> Grid | None:
    """The grid of a tile whose middle is in another UTM zone than the region; None for all else."""
    if not delivery.tile or not aoi.grid.crs.startswith(("EPSG:326", "EPSG:327")):
        return None
    west, south, east, north = aoi.bounds
    first, last = (west + min(max(part, 0), 1) * (east - west) for part in TILES[delivery.tile])
    zone = Grid.utm(Bounds(first, south, last, north), aoi.grid.yres)
    if zone.crs == aoi.grid.crs:
        return None
    return zone.covering(Bounds(*transform_bounds(aoi.grid.crs, "EPSG:4326", *aoi.grid.extent)))
