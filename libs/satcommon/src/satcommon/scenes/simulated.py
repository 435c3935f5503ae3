"""A satellite made up from a seed, for the demo, the tests and the benchmarks: no network, any calendar, any lateness.

What it sees (`farmland`) is a pure function of the seed, the region and the day; when it comes, of the settings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from satcommon.errors import SceneError
from satcommon.scenes.farmland import Farmland, number, share
from satcommon.scenes.source import Acquisition, Due, Listing, Place, solar_day

if TYPE_CHECKING:
    from satcommon.grid import Bounds, Grid
    from satcommon.scenes.layers import Layers
    from satcommon.settings import Settings

FORMAT = 1  # part of every digest; raise it with any change of a pixel

_PLATFORM = "simulated"
_OVERPASS = time(10, 30)  # local solar time, Sentinel-2's at the equator


@dataclass(frozen=True)
class SimulatedSource:
    """A satellite of one platform, whose calendar, delays and gaps are set.

    Args:
        seed: another seed is another world.
        cycle_days: days between two overpasses; 1 is every day.
        delay_hours: from sensing to publication.
        late_share: share of scenes that come `late_hours` later than that.
        late_hours: the further delay of a late scene.
        gap_share: share of due scenes that never come.
        delays: hours from sensing to publication of single scenes, by ``region/YYYY-MM-DD``; stands above all shares.
        held: folder; a scene is held back for as long as a file of its item id lies in it.
    """

    seed: int = 7
    cycle_days: int = 1
    delay_hours: float = 3.0
    late_share: float = 0.0
    late_hours: float = 72.0
    gap_share: float = 0.0
    delays: dict[str, float] = field(default_factory=dict, hash=False)
    held: Path | None = None

    collection = "imagery"

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
        )

    def lattice(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002 - the protocol's signature
        """None: any grid will do."""
        return None

    def due(self, place: Place, day: date) -> Due:
        """Due once in a cycle, on a day of it that depends on the region."""
        phase = number(self.seed, "phase", place.name)
        return Due.DUE if (day.toordinal() + phase) % self.cycle_days == 0 else Due.NOT_DUE

    def list(self, place: Place, first: date, last: date, now: datetime) -> Listing:
        """The scenes of first..last that are published by `now`; a day without one is left out."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        found = ((day, self._acquisition(place, day)) for day in days if self.due(place, day) is Due.DUE)
        held = {file.name for file in self.held.iterdir()} if self.held and self.held.is_dir() else set()
        there = ((day, one) for day, one in found if one is not None and one.item_id not in held)
        return Listing({day: [one] for day, one in there if one.published_at <= now})

    def read(self, place: Place, acquisition: Acquisition) -> Layers:
        """All bands on the place's grid, whose units are taken for metres; about 0.2 s for a million cells.

        Raises:
            SceneError: if the acquisition was listed for another grid, place, seed or format.
        """
        day = solar_day(acquisition.sensed_at, place.bounds)
        if acquisition.digest != self._digest(place, day):
            raise SceneError(
                f"{acquisition.item_id}: listed as {acquisition.digest[:12]}, but seed {self.seed} and the grid of "
                f'region "{place.name}" give {self._digest(place, day)[:12]}; list the day again'
            )
        latitude = (place.bounds.south + place.bounds.north) / 2
        return Farmland(f"{self.seed}/{place.grid.crs}", day, latitude).layers(place.grid)

    def _acquisition(self, place: Place, day: date) -> Acquisition | None:
        hours = self.delays.get(f"{place.name}/{day}")
        if hours is None:
            if share(self.seed, "gap", place.name, day) < self.gap_share:
                return None
            late = share(self.seed, "late", place.name, day) < self.late_share
            hours = self.delay_hours + (self.late_hours if late else 0.0)
        longitude = (place.bounds.west + place.bounds.east) / 2
        sensed_at = datetime.combine(day, _OVERPASS, UTC) - timedelta(seconds=round(longitude * 240))
        return Acquisition(
            item_id=f"SIM_{place.name}_{day:%Y%m%d}",
            digest=self._digest(place, day),
            platform=_PLATFORM,
            overpass=f"{_PLATFORM}/{day}",
            tile="",
            baseline="1",
            sensed_at=sensed_at,
            published_at=sensed_at + timedelta(hours=hours),
        )

    def _digest(self, place: Place, day: date) -> str:
        parts = [FORMAT, self.seed, place.name, list(place.bounds), place.grid.digest, day.isoformat()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
