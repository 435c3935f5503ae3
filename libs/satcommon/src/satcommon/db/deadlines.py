"""When a day closes without its due scene, and when the wait for that scene ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_noon
from satcommon.settings import Settings


@dataclass(frozen=True)
class Deadlines:
    """The two waiting times.

    Args:
        deadline_hours: after solar noon at the region's centre; then a day closes without its scene.
        lateness_days: after the solar day's end; then a due scene that is not there settles as never coming.
    """

    deadline_hours: float
    lateness_days: int

    @classmethod
    def of(cls, settings: Settings) -> Deadlines:
        """The waiting times of the settings."""
        return cls(settings.deadline_hours, settings.lateness_days)

    def closes_at(self, day: date, bounds: Bounds) -> datetime:
        """When the day is closed without its scene."""
        return solar_noon(day, bounds) + timedelta(hours=self.deadline_hours)

    def gives_up_at(self, day: date, bounds: Bounds) -> datetime:
        """When a due scene of the day is past the allowed lateness."""
        return solar_noon(day, bounds) + timedelta(hours=12, days=self.lateness_days)

    def passed(self, day: date, bounds: Bounds, now: datetime) -> bool:
        """Whether the day is closed without its scene."""
        return now >= self.closes_at(day, bounds)

    def last_passed(self, bounds: Bounds, now: datetime) -> date:
        """The latest day whose deadline has passed."""
        day = now.date() + timedelta(days=1)
        while not self.passed(day, bounds, now):
            day -= timedelta(days=1)
        return day

    def given_up(self, day: date, bounds: Bounds, now: datetime) -> bool:
        """Whether a due scene of the day is past the allowed lateness."""
        return now >= self.gives_up_at(day, bounds)
