import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from satcommon.db.engine import open_engine, read_transaction, require_current, revision, shown, write_transaction
from satcommon.db.models import SCHEMA_REVISION, Registry, Run, Season
from satcommon.errors import DatabaseUnavailableError, DatabaseVersionError, SettingError
from sqlalchemy import Connection, Engine, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError


def counter(connection: Connection) -> int:
    """The registry's revision, its row locked where the database locks rows."""
    query = select(Registry.revision).with_for_update(key_share=True)
    return connection.execute(query).scalar_one()


def count_up(connection: Connection) -> None:
    """Read, then write what was read plus one: lost or refused unless the transaction was alone from its start."""
    connection.execute(update(Registry).values(revision=counter(connection) + 1))


def count(engine: Engine) -> int:
    with read_transaction(engine) as connection:
        return connection.execute(select(Registry.revision)).scalar_one()


def stamp(engine: Engine, version: str) -> None:
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def run_row(started_at: datetime) -> dict[str, object]:
    return {"run_id": "r1", "lane": "realtime:A", "started_at": started_at, "heartbeat_at": started_at}


def test_a_row_that_points_nowhere_is_refused(engine: Engine) -> None:
    orphan = {"field_id": 404, "planting_date": datetime(2026, 4, 1, tzinfo=UTC).date()}

    with pytest.raises(IntegrityError), write_transaction(engine) as connection:
        connection.execute(insert(Season), orphan)


def test_a_failed_writing_leaves_nothing_behind(engine: Engine) -> None:
    def half_way() -> None:
        with write_transaction(engine) as connection:
            count_up(connection)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_way()

    assert count(engine) == 0


def test_a_second_writer_waits_for_the_first_and_sees_its_work(engine: Engine) -> None:
    def second() -> None:
        asking.set()
        with write_transaction(engine) as connection:
            count_up(connection)

    asking = threading.Event()
    thread = threading.Thread(target=second)

    with write_transaction(engine) as connection:
        count_up(connection)
        thread.start()
        asking.wait()
        count_up(connection)
    thread.join()

    assert count(engine) == 3


def test_writers_that_read_first_lose_no_update_and_are_never_refused(engine: Engine) -> None:
    def twenty_times() -> None:
        try:
            for _ in range(20):
                with write_transaction(engine) as connection:
                    count_up(connection)
        except Exception as error:  # noqa: BLE001  # handed to the test, which would not see a thread's
            errors.append(error)

    errors: list[Exception] = []
    threads = [threading.Thread(target=twenty_times) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert count(engine) == 60


def test_on_sqlite_writing_holds_the_lock_from_its_first_moment(sqlite_engine: Engine) -> None:
    impatient = open_engine(sqlite_engine.url.render_as_string(), timeout_seconds=0.01)

    with (
        write_transaction(sqlite_engine),
        pytest.raises(DatabaseUnavailableError, match="locked"),
        write_transaction(impatient),
    ):
        pytest.fail("two writers at a time")
    impatient.dispose()


def test_on_postgresql_a_row_lock_is_waited_for_no_longer_than_the_time_out(postgres_engine: Engine) -> None:
    impatient = open_engine(postgres_engine.url.render_as_string(hide_password=False), timeout_seconds=0.01)

    with write_transaction(postgres_engine) as connection:
        count_up(connection)
        with pytest.raises(DatabaseUnavailableError, match="lock timeout"), write_transaction(impatient) as other:
            count_up(other)
    impatient.dispose()


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(engine: Engine) -> None:
    with read_transaction(engine) as connection:
        before = connection.execute(select(Registry.revision)).scalar_one()
        with write_transaction(engine) as other:
            count_up(other)
        after = connection.execute(select(Registry.revision)).scalar_one()

    assert (before, after) == (0, 0)
    assert count(engine) == 1


def test_an_instant_without_a_zone_is_refused(engine: Engine) -> None:
    naive = datetime(2026, 5, 1, 10, 30)  # noqa: DTZ001  # what is refused

    with pytest.raises(StatementError, match="has no time zone"), write_transaction(engine) as connection:
        connection.execute(insert(Run), run_row(naive))


def test_an_instant_of_any_zone_comes_back_in_utc(engine: Engine) -> None:
    in_chicago = datetime(2026, 5, 1, 5, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-5)))

    with write_transaction(engine) as connection:
        connection.execute(insert(Run), run_row(in_chicago))
    with read_transaction(engine) as connection:
        [started] = connection.execute(select(Run.started_at)).one()

    assert started == in_chicago
    assert started.utcoffset() == timedelta(0)


def test_a_migrated_database_fits(engine: Engine) -> None:
    assert revision(engine) == SCHEMA_REVISION
    require_current(engine)


def test_a_database_that_was_never_migrated_is_told_so(blank_engine: Engine) -> None:
    assert revision(blank_engine) is None
    with pytest.raises(DatabaseVersionError, match=r"not migrated.*Run `satctl db upgrade`"):
        require_current(blank_engine)


def test_reading_a_missing_table_says_that_the_database_is_not_migrated(blank_engine: Engine) -> None:
    with pytest.raises(DatabaseVersionError, match=r"not migrated.*Run `satctl db upgrade`"):
        count(blank_engine)


def test_a_database_behind_the_code_is_to_be_upgraded(engine: Engine) -> None:
    stamp(engine, "0000")

    with pytest.raises(DatabaseVersionError, match=r"at revision 0000, behind this code's .*Run `satctl db upgrade`"):
        require_current(engine)


def test_a_database_newer_than_the_code_asks_for_newer_code(engine: Engine) -> None:
    stamp(engine, "9999")

    with pytest.raises(DatabaseVersionError, match=r"at revision 9999, newer than this code's .*Upgrade the code"):
        require_current(engine)


def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    nowhere = open_engine(f"postgresql://someone:secret@/satfields?host={tmp_path}")  # no socket lies there

    with pytest.raises(DatabaseUnavailableError, match="Check SATFIELDS_DATABASE_URL") as caught:
        revision(nowhere)

    assert "someone:***@" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_sqlite_file_in_a_missing_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "satfields.db"

    with pytest.raises(DatabaseUnavailableError, match=str(file)):
        revision(open_engine(f"sqlite:///{file}"))


def test_plain_postgresql_means_psycopg_3() -> None:
    assert open_engine("postgresql://someone@localhost/satfields").url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["nonsense", "", "mysql://someone@localhost/satfields", "satfields.db"])
def test_an_unknown_url_names_the_variable_and_what_was_expected(url: str) -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_DATABASE_URL.*expected sqlite:///FILE or postgresql://"):
        open_engine(url)


def test_the_password_of_an_unknown_url_is_not_shown() -> None:
    with pytest.raises(SettingError) as caught:
        open_engine("mysql://someone:secret@localhost/satfields")

    assert "secret" not in str(caught.value)


def test_parameters_of_the_url_reach_libpq_and_go_before_our_own() -> None:
    told: dict[str, object] = {}

    def connect(_dialect: object, _record: object, _arguments: object, parameters: dict[str, object]) -> None:
        told.update(parameters)
        raise RuntimeError("far enough")

    query = "sslmode=verify-full&sslrootcert=/ca.pem&application_name=mine&connect_timeout=3&options=-c%20work_mem=8MB"
    engine = open_engine(f"postgresql://someone:secret@db:5433/satfields?{query}", 5, 60)
    event.listen(engine, "do_connect", connect)

    with pytest.raises(RuntimeError, match="far enough"):
        engine.connect()

    assert told["sslmode"] == "verify-full"
    assert told["sslrootcert"] == "/ca.pem"
    assert told["application_name"] == "mine"
    assert told["connect_timeout"] == "3"
    assert told["keepalives_idle"] == 30
    assert told["options"] == (
        "-c lock_timeout=5000 -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000 -c work_mem=8MB"
    )


def test_a_url_is_shown_without_the_secrets_of_its_query() -> None:
    url = open_engine("postgresql://u:one@db/satfields?password=two&sslpassword=three&sslmode=require").url

    assert shown(url) == "postgresql+psycopg://u:***@db/satfields?sslmode=require"


def test_a_parameter_that_libpq_does_not_know_is_named() -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_DATABASE_URL.*invalid connection option \"sslmod\""):
        revision(open_engine("postgresql://u:secret@localhost:1/satfields?sslmod=require"))


@pytest.mark.parametrize("name", ["disk", "locked", "full", "no such table: x", "database is malformed"])
def test_a_mistake_of_ours_is_no_trouble_of_the_database_whatever_it_is_about(engine: Engine, name: str) -> None:
    with pytest.raises(DBAPIError, match=name), read_transaction(engine) as connection:
        connection.execute(text(f'SELECT bounding_boxes."{name}" FROM bounding_boxes'))


def test_a_table_that_this_code_does_not_have_is_a_mistake_where_the_database_is_migrated(
    sqlite_engine: Engine,
) -> None:
    with pytest.raises(OperationalError, match="no such table: disk"), read_transaction(sqlite_engine) as connection:
        connection.execute(text("SELECT * FROM disk"))


@pytest.mark.parametrize("kind", ["read-only", "no database"])
def test_a_sqlite_file_that_can_not_be_used_is_told_by_its_code(kind: str, sqlite_engine: Engine) -> None:
    file = Path(str(sqlite_engine.url.database))
    sqlite_engine.dispose()
    if kind == "no database":
        file.write_bytes(b"a shopping list" * 100)
    url = f"sqlite:///file:{file}?mode={'ro' if kind == 'read-only' else 'rw'}&uri=true"

    with (
        pytest.raises(DatabaseUnavailableError, match="could not be used"),
        write_transaction(open_engine(url)) as connection,
    ):
        count_up(connection)
