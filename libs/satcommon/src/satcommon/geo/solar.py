"""Local mean solar time, by which days are counted: UTC plus an hour for every 15 degrees of longitude east."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from satcommon.geo.grid import Bounds


def solar_offset(bounds: Bounds) -> timedelta:
    """Local mean solar time at the centre of a rectangle, less UTC: from -12 to 12 hours."""
    return timedelta(hours=bounds.centre[0] / 15)


def solar_time(instant: datetime, bounds: Bounds) -> datetime:
    """An instant, given in UTC, as the clock of local mean solar time at the centre of a rectangle shows it."""
    return instant + solar_offset(bounds)


def solar_day(instant: datetime, bounds: Bounds) -> date:
    """The solar day of an instant, given in UTC, at the centre of a rectangle."""
    return solar_time(instant, bounds).date()


def last_day_over(now: datetime, bounds: Bounds) -> date:
    """The latest day that is over, in UTC or by the sun at the centre of a rectangle, whichever is earlier.

    East of Greenwich the sun is earlier, by up to half a day. West of it a day counts as over at midnight in UTC,
    when its scene may have been taken long ago.
    """
    return max(now.date(), solar_day(now, bounds)) - timedelta(days=1)


def solar_noon(day: date, bounds: Bounds) -> datetime:
    """The instant, in UTC, of noon of a solar day at the centre of a rectangle."""
    return datetime.combine(day, time(12), UTC) - solar_offset(bounds)
