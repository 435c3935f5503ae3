from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from satcommon.db import ledger, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import write_transaction
from satcommon.db.models import Scene
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.ready_days import ReadyDay, ready_days_of
from satcommon.sources.source import Due
from sqlalchemy import Connection, Engine, insert

BOUNDS = Bounds(-0.05, 45.0, 0.05, 45.1)  # solar time is UTC
GRID = Grid.utm(BOUNDS, 100.0)
FIRST = date(2026, 5, 1)
REGISTERED = datetime(2026, 4, 1, tzinfo=UTC)
WAITS = Deadlines(deadline_hours=36.0, lateness_days=30)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def noon(n: int) -> datetime:
    """Noon of the n-th day: deadlines of days up to n - 2 have passed."""
    return datetime.combine(day(n), datetime.min.time(), UTC) + timedelta(hours=12, seconds=1)


class World:
    """A region whose days got answers; one transaction."""

    def __init__(self, connection: Connection, until: date | None = None, registered: datetime = REGISTERED) -> None:
        self.connection = connection
        registry.add_region(connection, "A", BOUNDS, GRID, FIRST, until, "1", registered)

    def answer(self, n: int, due: Due, scene: str | None = None) -> None:
        bbox_id = registry.region(self.connection, "A").bbox_id
        if scene:
            told = {"object_key": "k", "item_ids": "i", "observed_fraction": 1.0, "clear_fraction": 1.0}
            moments = {"sensed_at": REGISTERED, "registered_at": REGISTERED}
            self.connection.execute(insert(Scene).values(bbox_id=bbox_id, day=day(n), digest=scene, **told, **moments))
        ledger.set_day(self.connection, bbox_id, day(n), due=due, scene_digest=scene, answered_at=REGISTERED)

    def close(self, n: int) -> None:
        ledger.set_day(self.connection, registry.region(self.connection, "A").bbox_id, day(n), closed_at=REGISTERED)

    def ready(self, now: datetime) -> list[ReadyDay]:
        return ready_days_of(self.connection, registry.region(self.connection, "A"), WAITS, now)

    def days(self, now: datetime) -> list[int]:
        return [(one.day - FIRST).days for one in self.ready(now)]


@pytest.fixture
def world(sqlite_engine: Engine) -> Any:
    with write_transaction(sqlite_engine) as connection:
        yield World(connection)


def test_a_day_with_its_scene_closes_at_once(world: World) -> None:
    world.answer(0, Due.DUE, "s0")

    assert world.ready(noon(0)) == [ReadyDay(day(0), alone=True, scene_digest="s0")]


def test_a_day_that_nobody_asked_for_waits_until_it_is_over_however_short_its_deadline(sqlite_engine: Engine) -> None:
    soon = Deadlines(deadline_hours=6.0, lateness_days=30)
    east = Bounds(149.95, 45.0, 150.05, 45.1)  # ten hours ahead: the day is over at 14:00 in UTC
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "E", east, Grid.utm(east, 100.0), FIRST, None, "1", REGISTERED)

        def days_at(hour: int) -> list[date]:
            now = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(hours=hour)
            return [one.day for one in ready_days_of(connection, registry.region(connection, "E"), soon, now)]

        assert (days_at(10), days_at(13), days_at(14)) == ([], [], [FIRST])


def test_a_day_that_is_not_due_closes_when_the_source_says_so(world: World) -> None:
    world.answer(0, Due.NOT_DUE)

    assert world.ready(noon(0)) == [ReadyDay(day(0), alone=True, scene_digest=None)]


@pytest.mark.parametrize("due", [Due.DUE, Due.UNKNOWN])
def test_a_day_that_may_have_a_scene_waits_for_its_deadline(world: World, due: Due) -> None:
    world.answer(0, due)

    assert world.days(noon(1)) == []
    assert world.days(noon(2)) == [0]


def test_a_day_that_nobody_asked_for_waits_for_its_deadline_too(world: World) -> None:
    assert world.days(noon(1)) == []
    assert world.days(noon(2)) == [0]
    assert world.days(noon(4)) == [0, 1, 2]


def test_a_region_registered_with_a_past_is_not_closed_empty(sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        world = World(connection, registered=noon(100))

        assert world.days(noon(100)) == []
        assert world.days(noon(100) + timedelta(hours=35)) == []
        assert len(world.days(noon(100) + timedelta(hours=37))) == 101


def test_an_answer_closes_a_day_of_the_past_whatever_the_regions_age(sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        world = World(connection, registered=noon(100))
        world.answer(0, Due.NOT_DUE)
        world.answer(1, Due.DUE)

        assert world.days(noon(100)) == [0, 1]


def test_a_later_scene_closes_an_earlier_due_day_before_its_deadline(world: World) -> None:
    world.answer(0, Due.DUE)
    world.answer(1, Due.DUE, "s1")

    assert world.ready(noon(1)) == [
        ReadyDay(day(0), alone=False, scene_digest=None),
        ReadyDay(day(1), alone=True, scene_digest="s1"),
    ]


def test_a_later_day_that_is_not_due_closes_no_earlier_one(world: World) -> None:
    world.answer(0, Due.DUE)
    world.answer(1, Due.NOT_DUE)

    assert world.days(noon(1)) == []


def test_a_later_scene_does_not_close_a_day_that_was_never_asked_for(world: World) -> None:
    world.answer(1, Due.DUE, "s1")

    assert world.days(noon(1)) == []
    assert world.days(noon(2)) == [0, 1]


def test_days_that_are_not_due_close_in_sequence_also_ahead_of_the_deadline(world: World) -> None:
    for n in range(5):
        world.answer(n, Due.NOT_DUE)

    assert world.days(noon(1)) == [0, 1, 2, 3, 4]


def test_days_go_on_after_the_last_closed_one(world: World) -> None:
    world.answer(0, Due.DUE, "s0")
    world.close(0)
    world.answer(1, Due.NOT_DUE)

    assert world.days(noon(1)) == [1]


def test_no_day_closes_after_the_last_monitored_one(sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        world = World(connection, until=day(2))
        world.answer(4, Due.DUE, "s4")

        assert world.days(noon(100)) == [0, 1, 2]


def test_before_the_first_monitored_day_nothing_closes(world: World) -> None:
    assert world.days(noon(-30)) == []


class _RollbackError(Exception):
    """Ends an example, so that the next one finds the database empty."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    answers=st.lists(st.sampled_from(["scene", "due", "not_due", "unknown", None]), max_size=8),
    now=st.integers(0, 12),
    later=st.integers(0, 5),
)
def test_days_close_in_order_without_gaps_and_once_ready_stay_so(
    sqlite_engine: Engine, answers: list[str | None], now: int, later: int
) -> None:
    with suppress(_RollbackError), write_transaction(sqlite_engine) as connection:
        world = World(connection)
        for n, answer in enumerate(answers):
            if answer is not None:
                world.answer(n, Due.DUE if answer == "scene" else Due(answer), "s" if answer == "scene" else None)

        found = world.days(noon(now))

        assert found == list(range(len(found)))
        assert world.days(noon(now + later))[: len(found)] == found
        assert all(one.alone for one in world.ready(noon(now)) if one.day <= WAITS.last_passed(BOUNDS, noon(now)))
        raise _RollbackError
