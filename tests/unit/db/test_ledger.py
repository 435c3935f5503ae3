from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import shapely
from satcommon.db import fields, ledger, missed_days, publications, registry
from satcommon.db.engine import write_transaction
from satcommon.db.fields import NewField
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Attempt, Cause, Miss, ProcessingType
from satcommon.geo.grid import Bounds, Grid
from satcommon.sources.source import Due
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from tests.unit.closed_days import close_days

BOUNDS = Bounds(14.0, 45.0, 14.1, 45.1)
DAY, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=5)
A = 1  # the region; fields are 1 and 2


@pytest.fixture
def connection(engine: Engine) -> Any:
    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), DAY, None, "1", NOW)
        shapes = (shapely.box(14.02 + i / 50, 45.02, 14.03 + i / 50, 45.03) for i in range(2))
        fields.register_fields(connection, [NewField(f"f{i}", "f", s, DAY) for i, s in enumerate(shapes, 1)], NOW)
        yield connection


def day(n: int) -> date:
    return DAY + timedelta(days=n)


def opened(connection: Connection) -> dict[tuple[int, int], tuple[Cause, str, int]]:
    found = missed_days.misses(connection, A, date.min, date.max)
    return {(m.field_id, (m.date_missed - DAY).days): (m.cause, m.digest, m.attempts) for m in found}


def miss(connection: Connection, field_id: int, n: int, cause: Cause, digest: str, now: datetime = NOW) -> None:
    missed_days.open_misses(connection, A, [OpenMiss(field_id, day(n), cause, digest)], now)


# --- days ------------------------------------------------------------------------------------------------------------


def test_the_watermark_is_the_last_closed_day_and_the_next_one_follows(connection: Connection) -> None:
    region = registry.region(connection, "A")
    assert ledger.watermark(connection, A) is None
    assert ledger.next_day(connection, region) == DAY

    close_days(connection, A, [day(0), day(1)], NOW)
    ledger.set_day(connection, A, day(2), due=Due.DUE, answered_at=NOW)

    assert ledger.watermark(connection, A) == day(1)
    assert ledger.next_day(connection, region) == day(2)
    assert publications.versions(connection, A, day(0), day(9)) == {day(0): 1, day(1): 1}


def test_a_days_columns_are_written_without_touching_its_others(connection: Connection) -> None:
    ledger.set_day(connection, A, DAY, due=Due.DUE, answered_at=NOW)
    ledger.set_day(connection, A, DAY, version=7, closed_at=LATER)

    found = ledger.region_day(connection, A, DAY)

    assert found is not None
    assert (found.due, found.answered_at, found.version, found.closed_at) == (Due.DUE, NOW, 7, LATER)
    assert ledger.region_day(connection, A, day(1)) is None
    assert ledger.region_days(connection, A, day(1), day(5)) == {}


def test_the_answered_days_of_all_regions_are_told_whether_they_have_all_of_a_span_or_some(
    connection: Connection,
) -> None:
    for name in "BCD":
        registry.add_region(connection, name, BOUNDS, Grid.utm(BOUNDS, 100.0), DAY, None, "1", NOW)
    for bbox_id, days in ((1, (0, 1, 2, 3)), (2, (0, 2)), (3, (3,))):
        for n in days:
            ledger.set_day(connection, bbox_id, day(n), due=Due.DUE, answered_at=NOW)
    ledger.set_day(connection, 2, day(1), due=Due.DUE)

    found = ledger.answered_days(connection, day(0), day(2))

    assert found == {1: {day(0), day(1), day(2)}, 2: {day(0), day(2)}}
    assert ledger.answered_days(connection, day(3), day(3)) == {1: {day(3)}, 3: {day(3)}}


def test_tries_of_a_day_are_counted(connection: Connection) -> None:
    assert [ledger.record_failure(connection, A, DAY, f"error {n}") for n in range(3)] == [1, 2, 3]

    found = ledger.region_day(connection, A, DAY)
    assert found is not None
    assert found.error == "error 2"


# --- misses ----------------------------------------------------------------------------------------------------------


def test_an_event_that_finds_a_miss_open_replaces_its_cause_and_digest_and_gives_it_new_tries(
    connection: Connection,
) -> None:
    miss(connection, 1, 0, Cause.LATE_FIELD, "one")
    missed_days.count_failures(connection, A, [(1, DAY)], NOW)
    miss(connection, 1, 0, Cause.REVISED_FIELD, "two")

    assert opened(connection) == {(1, 0): (Cause.REVISED_FIELD, "two", 0)}


def test_a_carry_leaves_an_open_miss_as_it_is(connection: Connection) -> None:
    miss(connection, 1, 0, Cause.LATE_FIELD, "one")
    miss(connection, 1, 0, Cause.CARRY, "carry")
    miss(connection, 1, 1, Cause.CARRY, "carry")

    assert opened(connection) == {(1, 0): (Cause.LATE_FIELD, "one", 0), (1, 1): (Cause.CARRY, "carry", 0)}


def test_a_miss_and_its_carry_in_one_batch_are_one_miss(connection: Connection) -> None:
    both = [OpenMiss(1, DAY, Cause.CARRY, "carry"), OpenMiss(1, DAY, Cause.REVISED_SCENE, "s")]

    missed_days.open_misses(connection, A, both, NOW)

    assert opened(connection) == {(1, 0): (Cause.REVISED_SCENE, "s", 0)}


def test_of_two_misses_of_a_field_day_in_one_batch_the_later_one_holds(connection: Connection) -> None:
    both = [OpenMiss(1, DAY, Cause.REVISED_FIELD, "f"), OpenMiss(1, DAY, Cause.REVISED_SCENE, "s")]

    missed_days.open_misses(connection, A, both, NOW)

    assert opened(connection) == {(1, 0): (Cause.REVISED_SCENE, "s", 0)}


def test_a_field_day_is_missed_once_at_most_but_may_be_missed_again(connection: Connection) -> None:
    miss(connection, 1, 0, Cause.LATE_FIELD, "one")
    missed_days.resolve_misses(connection, A, [(1, DAY)], NOW)
    miss(connection, 1, 0, Cause.REVISED_SCENE, "two", LATER)

    rows = connection.execute(select(Miss.cause, Miss.processed, Miss.resolved_time).order_by(Miss.id)).all()
    assert [tuple(row) for row in rows] == [(Cause.LATE_FIELD, True, NOW), (Cause.REVISED_SCENE, False, None)]
    values = {"bbox_id": A, "field_id": 1, "date_missed": DAY, "cause": Cause.CARRY, "digest": ""}
    second = Miss.__table__.insert().values(processing_time=NOW, processed=False, **values)
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(second)


def test_a_miss_that_another_event_took_over_is_not_resolved_by_the_work_on_the_first(connection: Connection) -> None:
    for field_id in (1, 2):
        miss(connection, field_id, 0, Cause.LATE_FIELD, "one")
    miss(connection, 2, 0, Cause.REVISED_FIELD, "two")

    missed_days.resolve_opened(connection, A, [(1, DAY, "one"), (2, DAY, "one")], LATER)

    assert opened(connection) == {(2, 0): (Cause.REVISED_FIELD, "two", 0)}


def test_the_backlog_is_told_by_cause_with_its_oldest(connection: Connection) -> None:
    miss(connection, 1, 3, Cause.LATE_SCENE, "s", LATER)
    miss(connection, 2, 3, Cause.LATE_SCENE, "s", NOW)
    miss(connection, 2, 5, Cause.LATE_SCENE, "s", LATER)
    miss(connection, 1, 4, Cause.CARRY, "carry", LATER)

    told = {one.cause: one for one in missed_days.backlog_by_cause(connection, A)}

    assert told[Cause.LATE_SCENE] == (Cause.LATE_SCENE, 3, day(3), day(5), NOW)
    assert told[Cause.CARRY].field_days == 1


def test_nothing_to_do_is_nothing_done(connection: Connection) -> None:
    missed_days.open_misses(connection, A, [], NOW)
    missed_days.resolve_misses(connection, A, [], NOW)
    missed_days.resolve_opened(connection, A, [], NOW)
    missed_days.count_failures(connection, A, [], NOW)
    ledger.withdraw(connection, A, [], NOW)
    ledger.cross_off(connection, A, [])

    assert opened(connection) == {}
    assert missed_days.backlog_by_cause(connection, A) == []


def test_more_misses_than_a_statement_has_parameters(connection: Connection) -> None:
    many = [OpenMiss(1, day(n), Cause.LATE_FIELD, "d") for n in range(12_000)]

    missed_days.open_misses(connection, A, many, NOW)
    missed_days.open_misses(connection, A, many, LATER)

    [told] = missed_days.backlog_by_cause(connection, A)
    assert (told.field_days, told.opened_at) == (12_000, NOW)  # another event does not make it younger


# --- withdrawals -----------------------------------------------------------------------------------------------------


def test_rows_are_listed_once_and_crossed_off(connection: Connection) -> None:
    ledger.withdraw(connection, A, [(1, day(0)), (1, day(1)), (2, day(0))], NOW)
    ledger.withdraw(connection, A, [(1, day(0))], LATER)

    ledger.cross_off(connection, A, [(1, day(1)), (2, day(7))])

    assert ledger.withdrawals(connection, A, day(0), day(9)) == {(1, day(0)), (2, day(0))}
    assert ledger.withdrawals(connection, A, day(1), day(9)) == set()


# --- attempts --------------------------------------------------------------------------------------------------------


def test_every_attempt_is_on_record_with_its_run_and_its_error(connection: Connection) -> None:
    first, second = (ledger.ProcessingRun(ProcessingType.REALTIME, run_id, NOW) for run_id in ("run-1", "run-2"))
    ledger.record_attempts(connection, A, DAY, {1: None, 2: "x" * 1000}, first, NOW + timedelta(seconds=3))
    ledger.record_attempts(connection, A, DAY, {}, second, NOW)

    rows = connection.execute(select(*Attempt.__table__.columns).order_by(Attempt.field_id)).all()
    assert [(r.field_id, r.day, r.run_id, r.duration_seconds) for r in rows] == [
        (1, DAY, "run-1", 3.0),
        (2, DAY, "run-1", 3.0),
    ]
    assert [r.error_code for r in rows] == [None, "x" * 300]


def test_fields_are_named_by_their_external_ids(connection: Connection) -> None:
    assert ledger.external_ids(connection, {1, 2, 77}) == {1: "f1", 2: "f2"}
