from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.db.deadlines import Deadlines
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_day

DAY = date(2026, 6, 10)
WAITS = Deadlines(deadline_hours=36.0, lateness_days=30)
SECOND = timedelta(seconds=1)

longitudes = st.floats(-179.9, 179.9)
moments = st.timedeltas(timedelta(), timedelta(days=1000)).map(lambda t: datetime(2024, 2, 27, tzinfo=UTC) + t)
waits = st.builds(Deadlines, st.floats(0.1, 24 * 40), st.integers(0, 60))


def around(longitude: float) -> Bounds:
    return Bounds(longitude - 0.05, 45.0, longitude + 0.05, 45.1)


@pytest.mark.parametrize(
    ("longitude", "deadline", "given_up"),
    [
        (0.0, datetime(2026, 6, 12, 0, 0, tzinfo=UTC), datetime(2026, 7, 11, 0, 0, tzinfo=UTC)),
        # Solar noon in Queensland is at 01:52 UTC of the same day, near the antimeridian at 23:56.
        (152.0, datetime(2026, 6, 11, 13, 52, tzinfo=UTC), datetime(2026, 7, 10, 13, 52, tzinfo=UTC)),
        (-179.0, datetime(2026, 6, 12, 11, 56, tzinfo=UTC), datetime(2026, 7, 11, 11, 56, tzinfo=UTC)),
    ],
)
def test_the_deadline_counts_from_solar_noon_and_the_lateness_from_the_solar_days_end(
    longitude: float, deadline: datetime, given_up: datetime
) -> None:
    place = around(longitude)

    assert not WAITS.passed(DAY, place, deadline - SECOND)
    assert WAITS.passed(DAY, place, deadline + SECOND)
    assert not WAITS.given_up(DAY, place, given_up - SECOND)
    assert WAITS.given_up(DAY, place, given_up + SECOND)


@given(waits=waits, longitude=longitudes, now=moments, hours=st.floats(0, 1000), days=st.integers(0, 40))
def test_a_deadline_that_has_passed_has_passed_ever_after_and_for_every_day_before(
    waits: Deadlines, longitude: float, now: datetime, hours: float, days: int
) -> None:
    place, day = around(longitude), now.date() - timedelta(days=days)
    later, earlier = now + timedelta(hours=hours), day - timedelta(days=1)

    for has in (waits.passed, waits.given_up):
        assert has(day, place, later) or not has(day, place, now)
        assert has(earlier, place, now) or not has(day, place, now)


@given(waits=waits, longitude=longitudes, now=moments)
def test_the_last_day_passed_is_the_last(waits: Deadlines, longitude: float, now: datetime) -> None:
    place = around(longitude)

    last = waits.last_passed(place, now)

    assert waits.passed(last, place, now)
    assert not waits.passed(last + timedelta(days=1), place, now)


@given(longitude=longitudes, now=moments, offset=st.integers(-12, 14))
def test_the_clocks_time_zone_does_not_matter(longitude: float, now: datetime, offset: int) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=offset)))

    assert WAITS.last_passed(around(longitude), elsewhere) == WAITS.last_passed(around(longitude), now)


@given(longitude=longitudes, now=moments)
def test_no_deadline_passes_before_its_solar_day_is_over(longitude: float, now: datetime) -> None:
    place = around(longitude)

    assert WAITS.last_passed(place, now) < solar_day(now, place)
