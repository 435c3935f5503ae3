import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from satcommon.db import attempts
from satcommon.db.engine import open_engine, read_transaction, revision, write_transaction
from satcommon.db.models import SCHEMA_REVISION, Base, Registry
from satcommon.errors import DatabaseUnavailableError, DatabaseVersionError, InputError, SettingError
from satctl.local import migrations
from sqlalchemy import Connection, Engine, inspect, select, text

DATABASE_FOLDER = Path(__file__).parents[3] / "db"


def tables(engine: Engine) -> set[str]:
    """The tables, but the partitions of one."""
    with read_transaction(engine) as connection:
        return set(inspect(connection).get_table_names()) - attempts.partitions(connection)


def stamp(engine: Engine, version: str) -> None:
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def drift(connection: Connection) -> Any:
    """What Alembic would write into a next migration."""
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True, "target_metadata": Base.metadata}
    months = attempts.partitions(connection)
    options["include_name"] = lambda name, kind, _: kind != "table" or name not in months
    return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def registry_rows(engine: Engine) -> list[tuple[int, int]]:
    with read_transaction(engine) as connection:
        return [(row.registry_id, row.revision) for row in connection.execute(select(Registry))]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with no checkout above it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_an_empty_database_gets_every_table_and_the_registrys_one_row(blank_engine: Engine) -> None:
    before, after = migrations.upgrade(blank_engine)

    assert (before, after) == (None, migrations.head())
    assert tables(blank_engine) == {*Base.metadata.tables, "alembic_version"}
    assert registry_rows(blank_engine) == [(1, 0)]


def test_a_second_upgrade_finds_nothing_to_do(engine: Engine) -> None:
    assert migrations.upgrade(engine) == (migrations.head(), migrations.head())


def test_down_to_the_base_drops_every_table_and_up_again_brings_them_back(engine: Engine) -> None:
    migrations.downgrade(engine, "base")

    assert revision(engine) is None
    assert tables(engine) == {"alembic_version"}
    assert migrations.upgrade(engine) == (None, migrations.head())
    with read_transaction(engine) as connection:
        assert drift(connection) == []


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    with read_transaction(engine) as connection:
        found = drift(connection)

    assert found == []


def test_the_keys_are_the_models_and_of_the_partitioned_table_one_column_more(engine: Engine) -> None:
    """Alembic compares no primary keys."""
    expected = {name: [column.name for column in table.primary_key] for name, table in Base.metadata.tables.items()}
    if engine.dialect.name == "postgresql":
        expected["processing_attempts"] = ["attempt_id", "created_at"]

    with read_transaction(engine) as connection:
        found = {name: inspect(connection).get_pk_constraint(name)["constrained_columns"] for name in expected}

    assert found == expected


def test_the_codes_revision_is_the_newest_migration() -> None:
    assert migrations.head() == SCHEMA_REVISION


def test_sqlite_lets_readers_and_a_writer_not_wait_for_each_other(sqlite_engine: Engine) -> None:
    with read_transaction(sqlite_engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_the_folder_of_a_new_sqlite_file_is_made(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'folder' / 'satfields.db'}")

    migrations.upgrade(engine)

    assert revision(engine) == migrations.head()
    engine.dispose()


def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(blank_engine: Engine) -> None:
    with write_transaction(blank_engine) as connection:
        connection.execute(text("CREATE TABLE scenes (mine INTEGER)"))  # in the way of the first migration

    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(blank_engine)

    assert tables(blank_engine) == {"scenes"}
    assert revision(blank_engine) is None


@pytest.mark.parametrize("change", [migrations.upgrade, lambda engine: migrations.downgrade(engine, "base")])
def test_a_database_newer_than_the_code_is_left_alone(engine: Engine, change: Callable[[Engine], object]) -> None:
    stamp(engine, "9999")
    before = tables(engine)

    with pytest.raises(DatabaseVersionError, match=r"at revision 9999, newer than this code's .*upgrade the code"):
        change(engine)

    assert revision(engine) == "9999"
    assert tables(engine) == before


def test_regions_of_an_older_ledger_get_the_source_that_their_acquisitions_make_certain(engine: Engine) -> None:
    migrations.downgrade(engine, "0004")
    items = {1: ["SIM_A_20260501"], 2: ["2026/T33.tif"], 3: ["SIM_A_20260501", "2026/T33.tif"], 4: []}
    with write_transaction(engine) as connection:
        for bbox_id, names in items.items():
            region = {"id": bbox_id, "name": f"R{bbox_id}", "shape": b"", "at": "2026-05-02 00:00:00+00:00"}
            connection.execute(
                text(
                    "INSERT INTO bounding_boxes (bbox_id, name, geometry, created_at, monitored_from, grid, "
                    "algorithm_version) VALUES (:id, :name, :shape, :at, '2026-05-01', '{}', '1')"
                ),
                region,
            )
            for name in names:
                platform = "simulated-2" if name.startswith("SIM") else "sentinel-2"
                connection.execute(
                    text(
                        "INSERT INTO acquisitions VALUES (:id, :item, 'd', 'imagery', '2026-05-01', :platform, 'o', "
                        "'', '', :at, :at, :at)"
                    ),
                    {"id": bbox_id, "item": name, "platform": platform, "at": region["at"]},
                )

    migrations.upgrade(engine)

    with read_transaction(engine) as connection:
        found = connection.execute(text("SELECT scene_source FROM bounding_boxes ORDER BY bbox_id")).scalars().all()
    assert found == ["simulated", "folder", "folder", None]


def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"no revision 'yesterday'; expected one of: .*0001, base"):
        migrations.downgrade(engine, "yesterday")

    assert revision(engine) == migrations.head()


def test_a_downgrade_never_goes_up(blank_engine: Engine) -> None:
    with pytest.raises(InputError, match="is at revision base, below 0001"):
        migrations.downgrade(blank_engine, "0001")


def test_of_several_upgrades_at_a_time_each_succeeds(blank_engine: Engine) -> None:
    url = blank_engine.url.render_as_string(hide_password=False)
    code = "import sys; from satcommon.db.engine import open_engine; from satctl.local.migrations import upgrade; "
    code += "engine = open_engine(sys.argv[1]); sys.stdin.read(1); print(upgrade(engine)[1])"
    command = [sys.executable, "-c", code, url]

    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=DATABASE_FOLDER)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go")  # together, as near as can be
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in started]

    assert said == [migrations.head()] * 3
    assert registry_rows(blank_engine) == [(1, 0)]


def test_an_upgrade_waits_for_another_no_longer_than_the_time_out(blank_engine: Engine) -> None:
    url = blank_engine.url.render_as_string(hide_password=False)
    impatient = open_engine(url, timeout_seconds=0.01)

    with write_transaction(blank_engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrations.LOCK_KEY})
        with pytest.raises(DatabaseUnavailableError, match="lock"):
            migrations.upgrade(impatient)
    impatient.dispose()

    assert tables(blank_engine) == set()


def test_the_checkout_is_found_from_a_folder_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATABASE_FOLDER / "migrations")

    assert migrations.head() == SCHEMA_REVISION


def test_the_checkout_is_found_from_the_code_when_the_current_folder_is_elsewhere(elsewhere: Path) -> None:
    assert migrations.head() == SCHEMA_REVISION


def test_the_named_folder_goes_before_any_checkout(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (DATABASE_FOLDER / "migrations" / "script.py.mako").read_text()
    (elsewhere / "migrations" / "versions").mkdir(parents=True)
    (elsewhere / "migrations" / "script.py.mako").write_text(script)
    (elsewhere / "migrations" / "versions" / "x.py").write_text("revision = 'theirs'\ndown_revision = None\n")
    (elsewhere / "alembic.ini").write_text((DATABASE_FOLDER / "alembic.ini").read_text())
    monkeypatch.setenv("SATFIELDS_MIGRATIONS", str(elsewhere))

    assert migrations.head() == "theirs"


def test_a_named_folder_without_migrations_is_refused(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_MIGRATIONS", str(elsewhere))

    with pytest.raises(SettingError, match=r"SATFIELDS_MIGRATIONS=.*expected the folder that holds alembic.ini"):
        migrations.head()


def test_without_a_checkout_the_variable_to_set_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "__file__", str(elsewhere / "site-packages" / "satctl" / "migrations.py"))

    with pytest.raises(SettingError, match="set SATFIELDS_MIGRATIONS to the folder that holds"):
        migrations.head()
