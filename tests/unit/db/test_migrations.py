import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from satcommon.db import attempts, ledger, publications, registry
from satcommon.db.engine import open_engine, read_transaction, revision, write_transaction
from satcommon.db.models import SCHEMA_REVISION, Base, PublicationKind, Registry
from satcommon.db.publications import NewPublication
from satcommon.errors import DatabaseUnavailableError, DatabaseVersionError, InputError, SettingError
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.objects import PATCH, ResultObjects, decode, digest
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from satcommon.stats.result_rows import SCHEMA
from satcommon.storage.object_store import ObjectStore
from satctl.local import migrations
from satctl.main import main
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


_OLD_DAYS = {  # of a ledger at revision 0007: what each region published, with the time of closing
    1: {"2026-05-01": ("results/1/empty", 0, 9), "2026-05-02": ("results/1/empty", 0, 9),
        "2026-05-03": ("results/1/c", 4, 4), "2026-05-04": ("results/1/d", 5, 5), "2026-05-05": (None, None, None)},
    2: {"2026-05-04": ("results/2/a", 2, 8), "2026-05-05": ("results/2/b", 3, 6)},
    3: {"2026-05-01": (None, None, None)},
}  # fmt: skip


def _older_ledger(engine: Engine) -> None:
    """A ledger of revision 0007: days published out of order, days of one empty object, days not closed."""
    migrations.downgrade(engine, "0007")
    with write_transaction(engine) as connection:
        for bbox_id, days in _OLD_DAYS.items():
            connection.execute(
                text(
                    "INSERT INTO bounding_boxes (bbox_id, name, geometry, created_at, monitored_from, grid, "
                    "algorithm_version) VALUES (:id, :name, :shape, :at, '2026-05-01', '{}', '1')"
                ),
                {"id": bbox_id, "name": f"R{bbox_id}", "shape": b"", "at": "2026-05-01 00:00:00+00:00"},
            )
            for day, (key, count, closed) in days.items():
                connection.execute(
                    text(
                        "INSERT INTO region_days (bbox_id, day, due, object_key, object_digest, row_count, closed_at) "
                        "VALUES (:id, :day, 'due', :key, :digest, :count, :closed)"
                    ),
                    {
                        "id": bbox_id,
                        "day": day,
                        "key": key,
                        "digest": None if key is None else f"digest of {key}",
                        "count": count,
                        "closed": None if closed is None else f"2026-05-{closed + 10} 00:00:00+00:00",
                    },
                )
        refused = {"id": 1, "day": "2026-05-03", "item": "damaged", "at": "2026-05-04 00:00:00+00:00"}
        connection.execute(
            text("INSERT INTO refusals (bbox_id, day, item_id, reason, seen_at) VALUES (:id, :day, :item, 'why', :at)"),
            refused,
        )


def _rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with read_transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


_DAYS = "SELECT bbox_id, day, object_key, object_digest, row_count, closed_at FROM region_days ORDER BY bbox_id, day"
_REFUSED = "SELECT bbox_id, day, item_id, seen_at, reason FROM refusals"


def test_published_days_of_an_older_ledger_become_publications_and_go_back_with_the_same_keys(engine: Engine) -> None:
    _older_ledger(engine)
    before, refused = _rows(engine, _DAYS), _rows(engine, _REFUSED)
    assert len(before) == 8

    migrations.upgrade(engine)

    with read_transaction(engine) as connection:
        log = {bbox_id: publications.publications(connection, bbox_id) for bbox_id in _OLD_DAYS}
        layers = {bbox_id: publications.layers(connection, bbox_id, date.min, date.max) for bbox_id in _OLD_DAYS}
        versions = {bbox_id: publications.versions(connection, bbox_id, date.min, date.max) for bbox_id in _OLD_DAYS}
    in_order = [
        [(one.sequence, str(one.first_day), one.object_key, one.committed_at.day) for one in log[bbox_id]]
        for bbox_id in _OLD_DAYS
    ]
    assert in_order == [
        [
            (1, "2026-05-03", "results/1/c", 14),
            (2, "2026-05-04", "results/1/d", 15),
            (3, "2026-05-01", "results/1/empty", 19),
            (4, "2026-05-02", "results/1/empty", 19),
        ],
        [(1, "2026-05-05", "results/2/b", 16), (2, "2026-05-04", "results/2/a", 18)],
        [],
    ]
    for bbox_id, days in _OLD_DAYS.items():
        for one in log[bbox_id]:
            key, count, _ = days[str(one.first_day)]
            assert (one.object_key, one.object_digest, one.row_count) == (key, f"digest of {key}", count)
            assert (one.kind, one.last_day, one.removed_at) == (PublicationKind.DAY, one.first_day, None)
            assert versions[bbox_id][one.first_day] == one.sequence
            assert [layer.sequence for layer in layers[bbox_id][one.first_day]] == [one.sequence]
        assert len(versions[bbox_id]) == len(layers[bbox_id]) == len(log[bbox_id])
    assert _rows(engine, _REFUSED) == refused
    assert _rows(engine, "SELECT resolved_at FROM refusals") == [(None,)]
    [(installation,)] = _rows(engine, "SELECT installation FROM registry")
    assert len(installation) == 32

    migrations.downgrade(engine, "0007")

    assert _rows(engine, _DAYS) == before
    assert _rows(engine, _REFUSED) == refused


def test_each_installation_is_told_from_others(engine: Engine) -> None:
    statement = "SELECT installation FROM registry"
    [(first,)] = _rows(engine, statement)

    migrations.downgrade(engine, "0007")
    migrations.upgrade(engine)

    assert _rows(engine, statement) != [(first,)]


def test_a_ledger_with_a_patch_goes_back_when_gc_has_left_each_day_one_object(
    engine: Engine, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, days = datetime(2026, 6, 1, tzinfo=UTC), [date(2026, 5, n) for n in range(1, 4)]
    objects = ResultObjects(ObjectStore(str(store_folder)))
    bounds = Bounds(14.0, 45.0, 14.1, 45.1)
    rows = {
        on: pa.Table.from_pylist([{"region": "A", "day": on, "field": name} for name in ("f", "g")], SCHEMA)
        for on in days
    }
    changed = pa.Table.from_pylist(
        [
            {"region": "A", "day": days[0], "field": "f", "ndvi_mean": 0.5, "cause": "carry", "withdrawn": False},
            {"region": "A", "day": days[1], "field": "g", "cause": "carry", "withdrawn": True},
        ],
        PATCH,
    )
    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", bounds, Grid.utm(bounds, 500.0), days[0], None, "1", now)
        for on in days:
            ledger.set_day(connection, 1, on, closed_at=now)
        for on in days[:2]:
            put = objects.put_day(1, on, rows[on], now)
            publications.publish(
                connection, 1, NewPublication(PublicationKind.DAY, put, {on: 2}, 2, "r", "closed"), now
            )
        empty = NewPublication(PublicationKind.DAY, None, {days[2]: 0}, 0, "r", "closed")
        publications.publish(connection, 1, empty, now)
        patch = NewPublication(
            PublicationKind.PATCH, objects.put_patch(1, changed, now), {days[0]: 2, days[1]: 1}, 2, "r", "replayed"
        )
        publications.publish(connection, 1, patch, now)
        before = published_days(connection, 1, days[0], days[2])
    remedy = (
        r"^3 patches, or days without an object, .*; `satctl gc --patches 0` writes those objects: run it, and down"
    )

    with pytest.raises(InputError, match=remedy):
        migrations.downgrade(engine, "0007")
    assert revision(engine) == migrations.head()
    assert published(engine) == (days, before.layers)

    monkeypatch.setenv("SATFIELDS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SATFIELDS_STORE", str(store_folder))
    settings.cache_clear()
    main(["gc", "--patches", "0"], standalone_mode=False)
    migrations.downgrade(engine, "0007")

    keys = {str(on): key for _, on, key, *_ in _rows(engine, _DAYS)}
    assert list(keys) == [str(on) for on in days]
    for on in days:
        data = objects.store.get(keys[str(on)])
        assert decode(data).equals(before.rows(objects, on))
        assert _rows(engine, f"SELECT object_digest FROM region_days WHERE day = '{on}'") == [(digest(data),)]
    assert [count for *_, count, _ in _rows(engine, _DAYS)] == [2, 1, 0]
    assert migrations.upgrade(engine)[1] == migrations.head()
    assert published(engine)[0] == days


def published(engine: Engine) -> tuple[list[date], Any]:
    with read_transaction(engine) as connection:
        found = published_days(connection, 1, date.min, date.max).layers
    return list(found), found


def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"no revision 'yesterday'; expected one of: .*0001, base"):
        migrations.downgrade(engine, "yesterday")

    assert revision(engine) == migrations.head()


def test_a_downgrade_never_goes_up(blank_engine: Engine) -> None:
    with pytest.raises(InputError, match="is at revision base, below 0001"):
        migrations.downgrade(blank_engine, "0001")


@pytest.mark.slow
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


_KILLED = """
import os, signal, sys
from satcommon.db.engine import open_engine
from satctl.local import migrations

engine = open_engine(sys.argv[1])
engine.dialect.do_commit = lambda _: os.kill(os.getpid(), signal.SIGKILL)
migrations.upgrade(engine)
"""


def test_an_upgrade_that_is_killed_before_its_commit_changes_nothing_and_is_run_again(engine: Engine) -> None:
    _older_ledger(engine)
    before = _rows(engine, _DAYS)

    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, engine.url.render_as_string(hide_password=False)], check=False
    )

    assert killed.returncode == -signal.SIGKILL
    assert revision(engine) == "0007"
    assert _rows(engine, _DAYS) == before
    migrations.upgrade(engine)
    assert _rows(engine, "SELECT count(*) FROM publications") == [(6,)]
