"""`satctl backup`: what is restored equals what was backed up, on both databases; an incomplete backup is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from satcommon.db.attempts import partitions
from satcommon.db.engine import open_engine, read_transaction, revision, write_transaction
from satcommon.db.heartbeat import beating
from satcommon.db.models import Base, Delivery, Publication, Run, Scene
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.pipeline.rescan import ask_anew
from satcommon.publication import objects
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from satcommon.storage.object_store import ObjectStore
from satctl.backup import create, snapshot
from satctl.backup import folder as backup_folder
from satctl.local import migrations
from sqlalchemy import Engine, MetaData, select, text, update

from tests.conftest import Fill, postgres_database
from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl, close

LATE = "POLYGON ((-94.15 40.4, -94.1 40.4, -94.1 40.45, -94.15 40.4))"
OLD_REGION = """
INSERT INTO bounding_boxes (bbox_id, name, geometry, created_at, monitored_from, grid, algorithm_version)
VALUES (1, 'old', :geometry, '2025-06-01 00:00:00', '2025-06-01', '{}', '1')
"""
OLD_REFUSAL = """
INSERT INTO refusals (bbox_id, day, item_id, seen_at, reason)
VALUES (1, '2025-06-01', 'item', '2025-06-02 00:00:00', 'torn')
"""
also_slowly_on_postgresql = pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def ledger(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A migrated database of each kind, which `satctl` uses."""
    return use(engine, monkeypatch)


@pytest.fixture
def farm(ledger: Engine, satctl: Satctl) -> Environment:
    """Region S with one field and four closed days."""
    return started(ledger, satctl)


@pytest.fixture
def laptop(sqlite_engine: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch, filled_once: Fill) -> Environment:
    """The same on SQLite, for what does not depend on the database."""
    env = Environment(settings(), use(sqlite_engine, monkeypatch))
    filled_once(env.engine, env.settings.home, lambda: started(env.engine, satctl))
    return env


@pytest.fixture
def elsewhere(ledger: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Another, never migrated database of the same kind."""
    if ledger.dialect.name == "sqlite":
        other = open_engine(f"sqlite:///{tmp_path / 'new' / 'satfields.db'}")
        yield other
        other.dispose()
        return
    with postgres_database(request.getfixturevalue("postgres_url")) as other:
        yield other


def use(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    settings.cache_clear()
    return engine


def started(engine: Engine, satctl: Satctl, last: date = LAST) -> Environment:
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
    satctl("fields", "add", "north", "--planted", "2025-05-01", "--wkt", INSIDE)
    env = Environment(settings(), engine)
    close(env, last)
    return env


def rows(engine: Engine) -> Rows:
    """Every row of every table but the heartbeats."""
    with read_transaction(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
            if table.name != Run.__tablename__
        }


def canonical(env: Environment) -> dict[date, bytes]:
    """The canonical bytes of every published day of region S."""
    with read_transaction(env.engine) as connection:
        published = published_days(connection, region(connection, "S").bbox_id, date.min, date.max)
    results = objects.ResultObjects(env.store())
    return {day: objects.encode(published.rows(results, day)) for day in sorted(published.layers)}


def is_blank(engine: Engine) -> bool:
    """Whether nothing was ever written to a database."""
    if engine.dialect.name == "sqlite":
        return not Path(engine.url.database or "").exists()
    return revision(engine) is None


def drain(env: Environment) -> None:
    list(replay(Processor(env.engine, env.store()), env.engine, 1, env.deadlines, "run", datetime.now(UTC)))


def rescan(env: Environment, last: date) -> list[date]:
    def clock() -> datetime:
        return datetime.now(UTC)

    anew = ask_anew(env.engine, env.store(), env.source(), 1, FIRST, last, clock, env.settings.lateness_days)
    return [day for day, _ in anew]


def add_late_field(satctl: Satctl, name: str = "late") -> None:
    satctl("fields", "add", name, "--planted", "2025-05-01", "--wkt", LATE)


def backup(satctl: Satctl, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(satctl("backup", "create", "--json", *options).stdout)
    return made


def test_every_row_comes_back_into_a_new_database(
    farm: Environment, elsewhere: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_late_field(satctl)  # open misses, and texts and bytes of every kind
    with write_transaction(farm.engine) as connection:
        connection.execute(update(Publication).values(cause="tab\t, line\nand \\N, é"))
    with beating(farm.engine, "dead", "lane", 1000.0):
        made = backup(satctl)
        before = rows(farm.engine)
        use(elsewhere, monkeypatch)

        assert "nothing was changed" in satctl("backup", "restore", "latest").stdout
        assert is_blank(elsewhere)
        said = json.loads(satctl("backup", "restore", made["backup"]["name"], "--yes", "--json").stdout)

    assert rows(elsewhere) == before
    assert made["backup"]["rows"] == sum(map(len, before.values()))
    assert said == {"restored": made["backup"]["name"], "replaced": None, "lacking": [], "unnamed": []}
    with read_transaction(elsewhere) as connection:
        assert connection.execute(select(Run)).all() == []
    satctl("audit", "--deep", code=0)
    add_late_field(satctl, "newer")  # sequences go on after the ids that are there


def test_a_restored_sqlite_file_is_written_ahead_and_a_blank_target_is_made(
    sqlite_engine: Engine, tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(use(sqlite_engine, monkeypatch), satctl)
    backup(satctl)
    other = use(open_engine(f"sqlite:///{tmp_path / 'a' / 'b' / 'new.db'}"), monkeypatch)

    satctl("backup", "restore", "latest", "--yes")

    with read_transaction(other) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    other.dispose()


@also_slowly_on_postgresql
def test_what_is_there_is_replaced_only_when_told_and_after_a_backup_of_it(farm: Environment, satctl: Satctl) -> None:
    first = backup(satctl)["backup"]["name"]
    at_first = rows(farm.engine)
    add_late_field(satctl)
    later = rows(farm.engine)

    refused = satctl("backup", "restore", first, "--yes", code=2).output
    satctl("backup", "restore", first, "--replace")
    assert "is not empty: 1 region, 2 fields, 4 publications" in refused
    assert rows(farm.engine) == later

    farm.engine.dispose()
    said = json.loads(satctl("backup", "restore", first, "--replace", "--yes", "--json").stdout)
    assert rows(farm.engine) == at_first
    farm.engine.dispose()
    satctl("backup", "restore", said["replaced"], "--replace", "--yes")
    assert rows(farm.engine) == later


@also_slowly_on_postgresql
def test_receivers_of_webhooks_are_told_to_read_anew_after_a_restore(farm: Environment, satctl: Satctl) -> None:
    satctl("webhooks", "add", "all", "https://example.org/hook")
    satctl("backup", "create")
    satctl("backup", "restore", "latest", "--replace", "--yes")

    with read_transaction(farm.engine) as connection:
        [resync] = connection.execute(select(Delivery.resync)).scalars()
    assert "the ledger was restored at" in resync


def test_a_database_with_runs_at_work_is_not_replaced(farm: Environment, satctl: Satctl) -> None:
    backup(satctl)
    with beating(farm.engine, "alive", "lane", 1000.0):
        said = satctl("backup", "restore", "latest", "--replace", "--yes", code=2).output
    assert "stop Satfields" in said


def test_a_backup_of_a_newer_schema_or_format_is_refused(laptop: Environment, satctl: Satctl) -> None:
    before = rows(laptop.engine)
    name = backup(satctl)["backup"]["name"]
    file = Path(laptop.settings.backups, name, "manifest.json")
    manifest = json.loads(file.read_text())

    file.write_text(json.dumps(manifest | {"revision": "9999"}))
    assert "newer than this code's" in satctl("backup", "restore", name, "--replace", "--yes", code=1).output
    file.write_text(json.dumps(manifest | {"format": 99}))
    assert "its format is 99" in satctl("backup", "restore", name, "--replace", "--yes", code=2).output
    [listed] = json.loads(satctl("backup", "list", "--json").stdout)
    assert (listed["state"], backup(satctl, "--keep", "1")["removed"]) == ("unreadable", [])
    assert rows(laptop.engine) == before


@also_slowly_on_postgresql
@pytest.mark.parametrize("migrated", [False, True])
def test_a_backup_of_an_older_schema_is_migrated(
    migrated: bool, ledger: Engine, elsewhere: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = elsewhere
    Path(old.url.database or "").parent.mkdir(exist_ok=True)
    with write_transaction(old) as connection:
        migrations.upgrade_within(connection, "0008")
        connection.execute(text(OLD_REGION), {"geometry": b"\0\1"})
        connection.execute(text(OLD_REFUSAL))
        of_then = MetaData()
        of_then.reflect(connection)
        months = partitions(connection)
    tables = [t for t in of_then.sorted_tables if t.name not in {"alembic_version", "runs", *months}]
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "TABLES", tables)
        patched.setattr(create, "TABLES", tables)
        patched.setattr(create, "_regions", lambda _connection: [])
        place = backup_folder.Backups(ObjectStore(settings().backups))
        made = create.create(old, ObjectStore(settings().store), place, datetime.now(UTC), lambda: None)
    assert made.revision == "0008"

    if not migrated:
        destroy(ledger)
    satctl("backup", "restore", made.name, "--yes")

    assert revision(ledger) == migrations.head()
    found = rows(ledger)
    assert [row[1] for row in found["bounding_boxes"]] == ["old"]
    assert [row[4:] for row in found["refusals"]] == [("torn", None, None, None)]


def test_a_backup_of_another_kind_of_database_is_refused(
    sqlite_engine: Engine, postgres_engine: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(use(sqlite_engine, monkeypatch), satctl, FIRST)
    backup(satctl)
    use(postgres_engine, monkeypatch)

    assert "is of sqlite" in satctl("backup", "restore", "latest", "--yes", code=2).output


# --- an incomplete backup is refused -------------------------------------------------------------------------------


class Killed(BaseException):
    """What stands for a kill within a process: no code of ours catches it."""


def dies_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    """Let a function work so many times, and then end the process."""
    function, left = getattr(owner, name), [calls]

    def dying(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, dying)


@also_slowly_on_postgresql
def test_a_backup_that_was_killed_at_any_put_is_incomplete_and_goes_after_a_day(
    farm: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = backup(satctl)["backup"]["name"]
    puts = len(farm.store().list("")) and len(ObjectStore(farm.settings.backups).list(""))
    for calls in range(puts):
        with monkeypatch.context() as patched:
            dies_after(patched, ObjectStore, "put", calls)
            with pytest.raises(Killed):
                backup(satctl)

    listed = json.loads(satctl("backup", "list", "--json").stdout)
    complete = [found["name"] for found in listed if found["state"] == "complete"]
    incomplete = [found["name"] for found in listed if found["state"] == "incomplete"]
    assert (complete, len(incomplete)) == ([whole], puts - 1)  # one died before it had put anything
    assert "is incomplete" in satctl("backup", "restore", incomplete[0], code=2).output
    assert "incomplete" in satctl("backup", "list").stdout
    assert backup(satctl, "--keep", "5")["removed"] == []  # they may still be written
    place = Path(farm.settings.backups)
    for name in incomplete:
        (place / name).rename(place / f"20250101{name[8:]}")
    assert len(backup(satctl, "--keep", "5")["removed"]) == len({name[8:] for name in incomplete})


def test_a_restore_that_was_killed_anywhere_leaves_the_database_as_it_was(
    farm: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = backup(satctl)["backup"]["name"]
    add_late_field(satctl)
    before = rows(farm.engine)
    points = [(backup_folder.Backups, "_content", calls) for calls in range(3)]
    if farm.engine.dialect.name == "postgresql":
        points += [(backup_folder.Backups, "_content", 9), (migrations, "upgrade_within", 1)]
    for owner, function, calls in points:
        with monkeypatch.context() as patched:
            dies_after(patched, owner, function, calls)
            try:
                satctl("backup", "restore", name, "--replace", "--yes")
            except Killed:
                pass
            else:
                assert calls, "it died"
                continue
        assert rows(farm.engine) == before, f"killed at call {calls} of {function}"


@also_slowly_on_postgresql
@pytest.mark.parametrize("what", ["part", "list", "count", "gone"])
def test_a_damaged_backup_is_found_and_never_restored(
    what: str, farm: Environment, satctl: Satctl, elsewhere: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = backup(satctl)["backup"]["name"]
    satctl("backup", "verify", name, "--deep")
    home = Path(farm.settings.backups) / name
    manifest = json.loads((home / "manifest.json").read_text())
    if what == "count":
        manifest["tables"]["fields"]["rows"] = 2
        (home / "manifest.json").write_text(json.dumps(manifest))
    else:
        streams = {"part": ("satfields.db", "fields"), "gone": ("satfields.db", "fields"), "list": ("objects",)}[what]
        [file] = [file for stream in streams for file in home.glob(f"{stream}/*")]
        if what == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:-1] + b"?")

    said = satctl("backup", "verify", name, code=1).stdout

    assert "NOT SOUND" in said
    if what != "list":  # which a restore does not read
        use(elsewhere, monkeypatch)
        satctl("backup", "restore", name, "--yes", code=1)
        assert is_blank(elsewhere)


def test_a_backup_tells_the_objects_that_are_lost_or_changed(laptop: Environment, satctl: Satctl) -> None:
    backup(satctl)
    store = laptop.store()
    result, other, *_ = store.list("results/")
    scene = store.list("scenes/")[0]
    store.delete(scene)
    data = store.get(result)
    Path(store.url, result).write_bytes(data[:-1] + b"?")
    Path(store.url, other).write_bytes(b"short")

    shallow = json.loads(satctl("backup", "verify", "latest", "--json", code=1).stdout)
    deep = json.loads(satctl("backup", "verify", "latest", "--deep", "--json", code=1).stdout)

    assert sorted(shallow["lost"]) == sorted([other, scene])
    assert sorted(deep["lost"]) == sorted([result, other, scene])
    assert "1 object of them were lost before" in satctl("backup", "create").stderr


def test_a_bucket_holds_backups_and_one_that_is_missing_is_named(
    laptop: Environment, s3_url: str, tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(laptop.engine)
    name = backup(satctl, "--to", s3_url, "--keep", "1")["backup"]["name"]
    other = use(open_engine(f"sqlite:///{tmp_path / 'new.db'}"), monkeypatch)

    satctl("backup", "verify", name, "--from", s3_url, "--deep")
    satctl("backup", "restore", name, "--from", s3_url, "--yes")
    refused = satctl("backup", "list", "--from", "s3://nobody-made-it/x", code=1).output

    assert rows(other) == before
    assert json.loads(satctl("backup", "list", "--json").stdout) == []
    assert "(--from) could not be used" in refused
    other.dispose()


# --- retention -----------------------------------------------------------------------------------------------------


def test_old_backups_go_but_never_the_newest(laptop: Environment, satctl: Satctl) -> None:
    place = Path(laptop.settings.backups)
    names = []
    for age in (30, 20, 10):
        name = backup(satctl)["backup"]["name"]
        day = datetime.now(UTC) - timedelta(days=age)
        aged = f"{day:%Y%m%dT%H%M%SZ}{name[16:]}"
        (place / name).rename(place / aged)
        manifest = place / aged / "manifest.json"
        manifest.write_text(manifest.read_text().replace(name, aged))
        names.append(aged)

    expired = backup_folder.Backups(ObjectStore(str(place))).expired
    now = datetime.now(UTC)

    assert expired(now, None, 15) == names[:2]
    assert expired(now, 2, None) == names[:1]
    assert expired(now, None, 5) == names[:2]
    assert backup(satctl, "--keep", "1")["removed"] == names
    assert len(json.loads(satctl("backup", "list", "--json").stdout)) == 1


def test_gc_keeps_what_a_backup_names_until_it_is_too_old(
    laptop: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = backup(satctl)
    named = set(laptop.store().list(""))
    satctl("fields", "revise", "north", "--wkt", LATE, "--correct")
    drain(laptop)
    satctl("gc", "--patches", "0")
    monkeypatch.setenv("SATFIELDS_SUPERSEDED_DAYS", "1")

    def collected(days: int) -> set[str]:
        """What gc removes, where all of that happened so many days ago."""
        ago = datetime.now(UTC) - timedelta(days=days)
        with write_transaction(laptop.engine) as connection:
            connection.execute(update(Publication).values(committed_at=ago))
            connection.execute(update(Publication).where(Publication.removed_at.is_not(None)).values(removed_at=ago))
        for key in laptop.store().list(""):
            os.utime(Path(laptop.store().url, key), (time.time() - days * 86_400,) * 2)
        settings.cache_clear()
        return set(json.loads(satctl("gc", "--json").stdout)["keys"])

    collected(5)  # they leave the log
    assert collected(10) == set()
    assert json.loads(satctl("backup", "verify", made["backup"]["name"], "--json").stdout)["sound"]
    monkeypatch.setenv("SATFIELDS_BACKUP_DAYS", "2")
    assert collected(10) & named
    assert not json.loads(satctl("backup", "verify", "latest", "--json", code=1).stdout)["sound"]


# --- lost objects --------------------------------------------------------------------------------------------------


def test_lost_scenes_are_found_asked_for_again_and_stored_anew(laptop: Environment, satctl: Satctl) -> None:
    before = canonical(laptop)
    store = laptop.store()
    with read_transaction(laptop.engine) as connection:
        keys = connection.execute(select(Scene.object_key)).scalars().all()
    store.delete(keys[0])
    for key in store.list("results/")[1:3]:
        store.delete(key)

    found = satctl("audit", "--repair", code=1).stdout
    asked = rescan(laptop, LAST)
    drain(laptop)

    assert f"{FIRST}: the object {keys[0]} of the day's scene is gone" in found
    assert asked == [FIRST]
    satctl("audit", "--deep")
    assert canonical(laptop) == before
    add_late_field(satctl)
    drain(laptop)  # which reads the scene
    satctl("audit", "--deep")


# --- readers of changes --------------------------------------------------------------------------------------------


def changes(satctl: Satctl, since: str, code: int = 0) -> Any:
    result = satctl("changes", "--since", since, "--json", code=code)
    return json.loads(result.stdout) if code == 0 else result.output


@also_slowly_on_postgresql
def test_a_cursor_goes_on_after_a_restore_and_one_of_what_was_taken_back_is_refused(
    farm: Environment, satctl: Satctl
) -> None:
    at_backup = changes(satctl, "2025-01-01T00:00:00Z")["cursor"]
    name = backup(satctl)["backup"]["name"]
    satctl("fields", "revise", "north", "--wkt", LATE, "--correct")
    drain(farm)
    ahead = changes(satctl, at_backup)["cursor"]
    farm.engine.dispose()
    satctl("backup", "restore", name, "--replace", "--yes")

    assert "is ahead of what is published here" in changes(satctl, ahead, code=2)
    assert changes(satctl, at_backup)["changes"] == []

    satctl("fields", "revise", "north", "--wkt", LATE, "--correct")
    drain(farm)  # as many publications as before, but others
    assert "satctl export" in changes(satctl, ahead, code=2)
    made_again = changes(satctl, at_backup)
    assert made_again["changes"]
    assert changes(satctl, made_again["cursor"])["changes"] == []


# --- the drill -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_drill(
    farm: Environment,
    elsewhere: Engine,
    satctl: Satctl,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sqlite_template: Path,
) -> None:
    """Days, a late field and a revised scene come after the backup; then the database is destroyed."""
    last = LAST + timedelta(days=4)
    backup(satctl)
    close(farm, LAST + timedelta(days=2))
    add_late_field(satctl)
    drain(farm)
    monkeypatch.setenv("SATFIELDS_SIMULATED_SCENARIOS", json.dumps({f"S/{LAST}": ["reprocessed"]}))
    settings.cache_clear()
    farm = Environment(settings(), farm.engine)
    assert rescan(farm, LAST) == [LAST]
    drain(farm)
    destroy(farm.engine)

    use(elsewhere, monkeypatch)
    said = json.loads(satctl("backup", "restore", "latest", "--yes", "--json").stdout)
    assert said["lacking"] == []
    assert said["unnamed"], "what was put since the backup"
    env = Environment(settings(), elsewhere)
    add_late_field(satctl)  # registered after the backup, and so lost: it is registered again
    assert rescan(env, LAST) == [LAST]  # found again at the source
    close(env, last)
    drain(env)
    satctl("audit", "--deep")

    monkeypatch.setenv("SATFIELDS_STORE", str(tmp_path / "twin-store"))
    file = tmp_path / "twin.db"
    file.write_bytes(sqlite_template.read_bytes())
    twin = use(open_engine(f"sqlite:///{file}"), monkeypatch)
    undisturbed = started(twin, satctl, FIRST - timedelta(days=1))
    add_late_field(satctl)
    close(undisturbed, last)
    assert canonical(env) == canonical(undisturbed)
    assert len(canonical(env)) == 8
    twin.dispose()


def destroy(engine: Engine) -> None:
    engine.dispose()
    if engine.dialect.name == "sqlite":
        for file in Path(engine.url.database or "").parent.glob("satfields.db*"):
            file.unlink()
        return
    with write_transaction(engine) as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


# --- killed by the system ------------------------------------------------------------------------------------------

DYING = """
import importlib, os, signal, sys, threading
module, owner, name, calls, seconds, *arguments = sys.argv[1:]
owner = getattr(importlib.import_module(module), owner) if owner else importlib.import_module(module)
function, left = getattr(owner, name), [int(calls)]
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def dying(*given, **named):
    if left[0] == 0:
        if float(seconds):
            threading.Timer(float(seconds), kill).start()
        else:
            kill()
    left[0] -= 1
    return function(*given, **named)
setattr(owner, name, dying)
from satctl.main import main
main(arguments)
"""


def killed(point: tuple[str, str, str, int, float], *arguments: str) -> bool:
    """Run a command that is killed at a call of a function; whether it was, or had ended before."""
    known = [sys.executable, "-c", DYING, *map(str, point), *arguments]
    done = subprocess.run(known, env=os.environ, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)], indirect=True)
def test_a_process_that_is_killed_leaves_a_whole_backup_or_none_and_a_whole_ledger(
    farm: Environment, satctl: Satctl
) -> None:
    name = backup(satctl)["backup"]["name"]
    at_backup = rows(farm.engine)
    add_late_field(satctl)
    before = rows(farm.engine)
    farm.engine.dispose()

    store, restoring = "satcommon.storage.object_store", "satctl.backup.restore"
    for put in range(3):
        assert killed((store, "ObjectStore", "put", put, 0.0), "backup", "create")
    points = [("satctl.backup.folder", "Backups", "_content", calls, 0.0) for calls in (0, 1, 5, 12)]
    points += [("satctl.local.migrations", "", "upgrade_within", calls, 0.0) for calls in (0, 1)]
    points += [(restoring, "", "write_transaction", 0, 0.0), (restoring, "", "compared", 0, 0.0)]
    ended = set()
    for point in points:
        killed(point, "backup", "restore", name, "--replace", "--yes")
        found = rows(farm.engine)
        assert found in (before, at_backup), f"killed at {point}: half is there"
        ended.add(found == at_backup)
        farm.engine.dispose()
        if found == at_backup:
            add_late_field(satctl)
            before = rows(farm.engine)
            farm.engine.dispose()
    assert ended == {True, False}
    for listed in json.loads(satctl("backup", "list", "--json").stdout):
        satctl("backup", "verify", listed["name"], code=0 if listed["state"] == "complete" else 2)


@pytest.mark.slow
def test_sqlite_is_whole_wherever_its_copy_is_killed(laptop: Environment, satctl: Satctl) -> None:
    many = """
        INSERT INTO processing_attempts
            (field_id, bbox_id, processing_time, processing_type, created_at, day, run_id, duration_seconds)
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300000)
        SELECT 1, 1, '2025-06-01', 'realtime', '2025-06-01', '2025-06-01', hex(randomblob(16)), n FROM numbers
    """

    def state() -> tuple[int, int]:
        with read_transaction(laptop.engine) as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
            tables = ("processing_attempts", "withdrawals")
            counts = [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]
        laptop.engine.dispose()
        return counts[0], counts[1]

    with write_transaction(laptop.engine) as connection:
        connection.execute(text(many))
    at_backup = state()
    name = backup(satctl)["backup"]["name"]
    with write_transaction(laptop.engine) as connection:
        connection.execute(text("DELETE FROM processing_attempts"))
        connection.execute(text("INSERT INTO withdrawals VALUES (1, 1, '2025-06-01', '2025-06-01')"))
    before = state()
    copying = ("satctl.backup.restore", "", "closing", 1)  # of the database's connection: then SQLite copies
    for seconds in (0.001, 0.02, 0.05, 0.1, 0.2):
        if not killed((*copying, seconds), "backup", "restore", name, "--replace", "--yes"):
            break
        assert state() in (before, at_backup), f"killed after {seconds} s: half is there"
        if state() != before:
            break
    satctl("backup", "restore", name, "--replace", "--yes")
    assert state() == at_backup
