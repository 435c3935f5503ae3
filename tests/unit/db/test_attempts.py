"""Attempts on PostgreSQL lie in months: none is lost by that, and what is too old goes a month at a time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from satcommon.audit import garbage
from satcommon.db import attempts, fields, ledger, registry
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.models import Attempt, ProcessingType
from satcommon.geo.grid import Bounds, Grid
from satctl.local import migrations
from shapely.geometry import box
from sqlalchemy import Engine, event, select, text

DAY = date(2026, 5, 1)
NOW = datetime(2026, 6, 20, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BOUNDS = Bounds(14.0, 45.0, 14.05, 45.05)


@pytest.fixture
def ledgered(postgres_engine: Engine) -> Engine:
    """A region with one field, and no months but the default partition."""
    with write_transaction(postgres_engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), DAY, None, "1", NOW)
        new = fields.NewField("f", "f", box(14.01, 45.01, 14.04, 45.04), DAY)
        fields.register_fields(connection, [new], NOW)
        for name in attempts.partitions(connection) - {"processing_attempts_default"}:
            connection.execute(text(f"DROP TABLE {name}"))
    return postgres_engine


def attempt(engine: Engine, *instants: datetime) -> None:
    with write_transaction(engine) as connection:
        for at in instants:
            run = ledger.ProcessingRun(ProcessingType.REALTIME, at.isoformat(), at)
            ledger.record_attempts(connection, 1, DAY, {1: None}, run, at)


def attempted(engine: Engine) -> list[datetime]:
    with read_transaction(engine) as connection:
        return list(connection.execute(select(Attempt.created_at).order_by(Attempt.attempt_id)).scalars())


def rows_by_partition(engine: Engine) -> dict[str, int]:
    counts = "SELECT tableoid::regclass::text, count(*) FROM processing_attempts GROUP BY 1"
    with read_transaction(engine) as connection:
        found = {name.removeprefix("processing_attempts_"): 0 for name in attempts.partitions(connection)}
        return found | {name.removeprefix("processing_attempts_"): n for name, n in connection.execute(text(counts))}


def test_an_attempt_of_a_month_without_a_partition_is_kept(ledgered: Engine) -> None:
    attempt(ledgered, NOW, datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC))

    assert len(attempted(ledgered)) == 3
    assert rows_by_partition(ledgered) == {"default": 3}


def test_months_are_made_ahead_and_take_the_rows_that_came_before_them(ledgered: Engine) -> None:
    june = datetime(2026, 6, 1, tzinfo=UTC)
    instants = [june - SECOND, june, NOW, june + timedelta(days=30) - SECOND, june + timedelta(days=30)]
    far = datetime(2999, 1, 1, tzinfo=UTC)
    attempt(ledgered, *instants, far)

    made = attempts.make_months(ledgered, NOW)
    attempt(ledgered, NOW)

    assert [name[-7:] for name in made] == ["2026_05", "2026_06", "2026_07", "2026_08", "2026_09"]
    assert attempts.make_months(ledgered, NOW) == []
    counts = {"2026_05": 1, "2026_06": 4, "2026_07": 1, "2026_08": 0, "2026_09": 0, "default": 1}
    assert rows_by_partition(ledgered) == counts
    assert attempted(ledgered) == [*instants, far, NOW]


def test_a_year_ends_and_the_zone_of_a_session_is_no_matter(ledgered: Engine) -> None:
    url = ledgered.url.update_query_dict({"options": "-c TimeZone=Pacific/Kiritimati"})
    elsewhere = open_engine(url.render_as_string(hide_password=False))
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    attempt(elsewhere, new_year - SECOND, new_year)

    made = attempts.make_months(elsewhere, new_year - SECOND)
    elsewhere.dispose()

    assert [name[-7:] for name in made] == ["2026_12", "2027_01", "2027_02", "2027_03"]
    assert rows_by_partition(ledgered) == {"2026_12": 1, "2027_01": 1, "2027_02": 0, "2027_03": 0, "default": 0}


def test_months_that_are_over_go_whole_and_of_the_others_what_is_too_old(
    ledgered: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_ATTEMPTS", 2)
    march, april = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    attempts.make_months(ledgered, march)
    attempt(ledgered, march, april - SECOND, april, april + SECOND, april + 2 * SECOND, NOW)
    attempt(ledgered, datetime(2020, 1, 1, tzinfo=UTC))  # in the default partition

    removed = garbage.remove_attempts(ledgered, april + SECOND, NOW)

    assert removed == 4
    assert attempted(ledgered) == [april + SECOND, april + 2 * SECOND, NOW]
    assert set(rows_by_partition(ledgered)) == {
        *(f"2026_0{n}" for n in (4, 5, 6, 7, 8, 9)),
        "default",
    }
    assert garbage.remove_attempts(ledgered, april + SECOND, NOW) == 0


def test_whoever_writes_while_a_month_is_made_waits_and_is_not_refused(ledgered: Engine) -> None:
    writing_now: list[Future[None]] = []

    def begin(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if not writing_now and "processing_attempts_default IN ACCESS" in statement:
            writing_now.append(pool.submit(attempt, ledgered, NOW))
            with pytest.raises(TimeoutError):
                writing_now[0].result(timeout=0.5)

    event.listen(ledgered, "after_cursor_execute", begin)
    with ThreadPoolExecutor(1) as pool:
        attempts.make_months(ledgered, NOW)
        for one in writing_now:
            one.result()

    assert attempted(ledgered) == [NOW]


def test_collections_at_the_same_time_and_runs_that_write_lose_nothing(ledgered: Engine) -> None:
    url = ledgered.url.render_as_string(hide_password=False)
    old, kept_from = NOW - timedelta(days=200), NOW - timedelta(days=100)
    attempt(ledgered, *[old] * 50)
    attempts.make_months(ledgered, old)

    def write(number: int) -> int:
        engine = open_engine(url)
        for n in range(20):
            attempt(engine, NOW + timedelta(days=10 * n, seconds=number))
        engine.dispose()
        return 0

    def collect(number: int) -> int:
        engine = open_engine(url)
        removed = sum(garbage.remove_attempts(engine, kept_from, NOW + timedelta(days=30 * n)) for n in range(4))
        engine.dispose()
        return removed

    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write, n) for n in range(3)]
        removed = sum(one.result() for one in [pool.submit(collect, n) for n in range(3)])
        assert [one.result() for one in writers] == [0] * 3

    assert removed == 50
    assert len(attempted(ledgered)) == 60
    attempts.make_months(ledgered, NOW + timedelta(days=200))
    assert rows_by_partition(ledgered)["default"] == 0


def test_whoever_does_not_own_the_tables_removes_rows_and_makes_no_months(ledgered: Engine) -> None:
    attempt(ledgered, NOW - timedelta(days=100), NOW)
    name = f"worker_{uuid4().hex}"
    with write_transaction(ledgered) as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}"))
    worker = open_engine(ledgered.url.set(username=name).render_as_string(hide_password=False))

    removed = garbage.remove_attempts(worker, NOW - SECOND, NOW)
    attempt(worker, NOW)
    missing = attempts.missing_months(worker, NOW)
    worker.dispose()
    with write_transaction(ledgered) as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))

    assert removed == 1
    assert attempted(ledgered) == [NOW, NOW]
    assert [one[-7:] for one in missing] == ["2026_06", "2026_07", "2026_08", "2026_09"]
    assert rows_by_partition(ledgered) == {"default": 2}


def test_a_database_of_one_table_has_no_months(sqlite_engine: Engine) -> None:
    assert attempts.make_months(sqlite_engine, NOW) == attempts.missing_months(sqlite_engine, NOW) == []


def everything(engine: Engine) -> list[tuple[object, ...]]:
    with read_transaction(engine) as connection:
        return [
            tuple(row) for row in connection.execute(select(*Attempt.__table__.columns).order_by(Attempt.attempt_id))
        ]


def test_rows_owner_and_grants_survive_the_way_to_months_and_back(ledgered: Engine) -> None:
    migrations.downgrade(ledgered, "0002")
    instants = [datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC), NOW]
    attempt(ledgered, *instants)
    before = everything(ledgered)
    owner, worker = f"owner_{uuid4().hex}", f"Worker-{uuid4().hex}"
    with write_transaction(ledgered) as connection:
        for name in (owner, worker):
            connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
        connection.execute(text(f"ALTER TABLE processing_attempts OWNER TO {owner}"))
        connection.execute(text(f'GRANT SELECT, DELETE ON processing_attempts TO "{worker}" WITH GRANT OPTION'))
        connection.execute(text("GRANT SELECT ON processing_attempts TO PUBLIC"))

    def held() -> tuple[str, set[str]]:
        question = "SELECT relowner::regrole::text, relacl::text[] FROM pg_class WHERE relname = 'processing_attempts'"
        with read_transaction(ledgered) as connection:
            found = connection.execute(text(question)).one()
        return found[0], {one.rpartition("/")[0] for one in found[1]}

    was = held()

    migrations.upgrade(ledgered)
    partitioned, as_partitioned = everything(ledgered), held()
    months = rows_by_partition(ledgered)
    attempt(ledgered, NOW)  # numbers go on
    assert len({row[0] for row in everything(ledgered)}) == 4
    with write_transaction(ledgered) as connection:
        connection.execute(
            text("DELETE FROM processing_attempts WHERE attempt_id = :last"), {"last": before[-1][0] + 1}
        )
    migrations.downgrade(ledgered, "0002")
    back, as_before = everything(ledgered), held()
    attempt(ledgered, NOW)
    assert len({row[0] for row in everything(ledgered)}) == 4
    migrations.upgrade(ledgered)
    with write_transaction(ledgered) as connection:
        for name in (owner, worker):
            connection.execute(text(f'REASSIGN OWNED BY "{name}" TO CURRENT_USER'))
            connection.execute(text(f'DROP OWNED BY "{name}"'))
            connection.execute(text(f'DROP ROLE "{name}"'))

    assert partitioned == back == before
    assert (months["2024_02"], months["2026_06"], months["default"]) == (1, 2, 0)
    assert as_partitioned == as_before == was
