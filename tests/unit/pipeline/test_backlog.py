from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from satcommon.db import fields, ledger, missed_days, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import write_transaction
from satcommon.db.fields import NewField
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, Scene
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.backlog import FIRST_PAUSE, TRIES, RegionBacklog, plan, region_backlog, workable_backlogs
from satcommon.sources.source import Due
from shapely.geometry import box
from sqlalchemy import Connection, Engine, insert

from tests.unit.closed_days import close_days

BOUNDS = Bounds(-0.05, 45.0, 0.05, 45.1)
FIRST, NOW = date(2026, 5, 1), datetime(2026, 5, 11, 12, tzinfo=UTC)
WAITS = Deadlines(36.0, 30)
A = 1
CLOSED = 10  # days 0..9


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A region with two fields and ten closed days, nothing missed."""
    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 500.0), FIRST, None, "1", NOW)
        close_days(connection, A, [day(n) for n in range(CLOSED)], NOW, due=Due.NOT_DUE, answered_at=NOW)
        shapes = [box(-0.04 + i / 50, 45.02, -0.03 + i / 50, 45.03) for i in range(2)]
        new = [NewField(f"f{i}", "f", s, day(0), day(7) if i == 2 else None) for i, s in enumerate(shapes, 1)]
        fields.register_fields(connection, new, NOW)
        opened = missed_days.misses(connection, A, date.min, date.max)
        missed_days.resolve_misses(connection, A, [(m.field_id, m.date_missed) for m in opened], NOW)
        yield connection


def miss(connection: Connection, field_id: int, n: int, cause: Cause = Cause.LATE_FIELD) -> None:
    missed_days.open_misses(connection, A, [OpenMiss(field_id, day(n), cause, "d")], NOW)


def found(connection: Connection, now: datetime = NOW) -> RegionBacklog:
    """The backlog of the region; whether it is work, all regions' backlogs tell alike."""
    told = region_backlog(connection, A, WAITS, now)
    assert set(workable_backlogs(connection, WAITS, now)) == ({"A"} if told.first_day is not None else set())
    return told


def scene(connection: Connection, n: int) -> None:
    values = {"object_key": "k", "item_ids": "i", "observed_fraction": 1.0, "clear_fraction": 1.0}
    moments = {"sensed_at": NOW, "registered_at": NOW}
    connection.execute(insert(Scene).values(bbox_id=A, day=day(n), digest="s", **values, **moments))
    ledger.set_day(connection, A, day(n), due=Due.DUE, scene_digest="s")


# --- what is work ----------------------------------------------------------------------------------------------------


def test_without_misses_there_is_no_work(connection: Connection) -> None:
    assert found(connection) == RegionBacklog({}, {}, frozenset())
    assert found(connection).first_day is None


def test_a_miss_is_work_and_the_earliest_day_comes_first(connection: Connection) -> None:
    miss(connection, 1, 4)
    miss(connection, 2, 2, Cause.CARRY)
    ledger.withdraw(connection, A, [(2, day(1))], NOW)

    told = found(connection)

    assert told.misses == {(1, day(4)): Cause.LATE_FIELD, (2, day(2)): Cause.CARRY}
    assert told.withdrawals == {(2, day(1))}
    assert told.first_day == day(1)


def test_a_day_that_was_never_asked_for_waits_however_late_it_is(connection: Connection) -> None:
    miss(connection, 1, 4)
    ledger.set_day(connection, A, day(4), due=Due.UNKNOWN, answered_at=None)

    told = found(connection, NOW + timedelta(days=3000))

    assert (told.misses, told.waiting) == ({}, {(1, day(4)): Cause.LATE_FIELD})


def test_a_due_scene_that_is_not_there_waits_until_it_comes_or_is_given_up(connection: Connection) -> None:
    ledger.set_day(connection, A, day(3), due=Due.DUE)
    miss(connection, 1, 3, Cause.LATE_SCENE)

    assert found(connection).waiting == {(1, day(3)): Cause.LATE_SCENE}
    assert found(connection).misses == {}
    assert found(connection, NOW + timedelta(days=31)).misses == {(1, day(3)): Cause.LATE_SCENE}

    scene(connection, 3)
    assert found(connection).misses == {(1, day(3)): Cause.LATE_SCENE}


def test_a_miss_that_failed_waits_twice_as_long_each_time_and_for_ever_after_the_last(connection: Connection) -> None:
    miss(connection, 1, 3)

    for tries in range(1, TRIES):
        missed_days.count_failures(connection, A, [(1, day(3))], NOW)
        pause = FIRST_PAUSE * 2 ** (tries - 1)
        assert found(connection, NOW + pause - timedelta(seconds=1)).waiting
        assert found(connection, NOW + pause).misses
    missed_days.count_failures(connection, A, [(1, day(3))], NOW)
    assert found(connection, NOW + timedelta(days=999)).waiting

    miss(connection, 1, 3, Cause.REVISED_FIELD)  # another event: tried anew
    assert found(connection).misses == {(1, day(3)): Cause.REVISED_FIELD}


def test_the_name_of_a_backlog_is_of_its_work_alone(connection: Connection) -> None:
    miss(connection, 1, 3)
    name = workable_backlogs(connection, WAITS, NOW)
    ledger.set_day(connection, A, day(5), due=Due.DUE)
    miss(connection, 1, 5, Cause.LATE_SCENE)  # waits

    assert workable_backlogs(connection, WAITS, NOW + timedelta(hours=5)) == name

    miss(connection, 2, 3)
    more = workable_backlogs(connection, WAITS, NOW)
    assert more != name
    ledger.withdraw(connection, A, [(2, day(1))], NOW)
    assert workable_backlogs(connection, WAITS, NOW) not in (name, more)


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_a_plan_counts_steps_from_each_fields_first_miss_to_the_end_of_what_is_expected(connection: Connection) -> None:
    miss(connection, 1, 6)
    miss(connection, 1, 8, Cause.CARRY)
    miss(connection, 2, 5)
    scene(connection, 6)
    scene(connection, 8)

    told = plan(connection, A, WAITS, NOW)

    assert (told.region, told.fields) == ("A", 2)
    assert told.missed == {"late_field": 2, "carry": 1}
    assert told.steps_at_most == (10 - 6) + (8 - 5)  # the second field's season ends on day 7
    assert (told.first_day, told.last_day, told.days_at_most) == (day(5), day(9), 5)
    assert told.scenes_at_most == 1  # a carry takes its observation from the row that is there


def test_what_waits_is_told_but_costs_nothing(connection: Connection) -> None:
    ledger.set_day(connection, A, day(3), due=Due.DUE)
    miss(connection, 1, 3, Cause.LATE_SCENE)

    told = plan(connection, A, WAITS, NOW)

    assert (told.waiting, told.missed) == ({"late_scene": 1}, {})
    assert (told.fields, told.steps_at_most, told.days_at_most, told.first_day) == (0, 0, 0, None)


def test_withdrawals_are_days_to_rewrite(connection: Connection) -> None:
    ledger.withdraw(connection, A, [(1, day(2)), (2, day(2)), (1, day(7))], NOW)

    told = plan(connection, A, WAITS, NOW)

    assert (told.withdrawals, told.steps_at_most, told.days_at_most) == (3, 0, 2)
    assert (told.first_day, told.last_day) == (day(2), day(7))


def test_a_plan_changes_nothing(connection: Connection) -> None:
    miss(connection, 1, 6)
    before = (found(connection), registry.revision(connection), ledger.region_days(connection, A, day(0), day(20)))

    plan(connection, A, WAITS, NOW)

    assert before == (
        found(connection), registry.revision(connection), ledger.region_days(connection, A, day(0), day(20))
    )  # fmt: skip


def test_reprocessing_the_region_takes_the_rows_that_are_there_and_those_that_a_late_scene_left_out(
    connection: Connection,
) -> None:
    for n in range(CLOSED):
        ledger.set_day(connection, A, day(n), row_count=0 if n == 4 else 2)
    for field_id in (1, 2):
        miss(connection, field_id, 4, Cause.LATE_SCENE)

    told = plan(connection, A, WAITS, NOW)

    assert told.steps_of_all == 2 * 6  # days 4 to 9
