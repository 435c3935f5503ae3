"""Days by the sun: a day may be asked for once it is over, in UTC or at the region's centre."""

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import last_day_over, solar_noon

DAYS = st.dates(date(2016, 1, 1), date(2030, 1, 1))


def at(longitude: float) -> Bounds:
    return Bounds(longitude - 0.1, -30.1, longitude + 0.1, -29.9)


@given(DAYS, st.floats(-179, 179), st.timedeltas(timedelta(0), timedelta(days=1) - timedelta(microseconds=1)))
def test_a_day_is_over_half_a_day_after_its_noon_or_at_midnight_in_utc(
    day: date, longitude: float, of_day: timedelta
) -> None:
    now = datetime.combine(day, time(), UTC) + of_day

    last = last_day_over(now, at(longitude))

    def over(some: date) -> bool:
        return now >= solar_noon(some, at(longitude)) + timedelta(hours=12) or now.date() > some

    assert over(last)
    assert not over(last + timedelta(days=1))


def test_in_sydney_a_day_is_over_at_two_in_the_afternoon_in_utc() -> None:
    day, sydney = date(2026, 6, 1), at(150.0)

    assert last_day_over(datetime(2026, 6, 1, 13, 59, tzinfo=UTC), sydney) == day - timedelta(days=1)
    assert last_day_over(datetime(2026, 6, 1, 14, 0, tzinfo=UTC), sydney) == day


def test_in_california_it_is_from_midnight_in_utc_on() -> None:
    california = at(-120.0)

    assert last_day_over(datetime(2026, 6, 1, 23, 59, tzinfo=UTC), california) == date(2026, 5, 31)
    assert last_day_over(datetime(2026, 6, 2, 0, 0, tzinfo=UTC), california) == date(2026, 6, 1)
