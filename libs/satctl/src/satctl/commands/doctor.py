"""`satctl doctor`: every setting, tried against the world that it names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import click
from pydantic import ValidationError
from satcommon.db import answers, attempts, registry
from satcommon.db.engine import engine_of, read_transaction, require_current, shown, write_transaction
from satcommon.db.models import SCHEMA_REVISION, Base, RetiredObject
from satcommon.db.region_source import refusal
from satcommon.errors import DatabaseVersionError, RetryableError, SatfieldsError, SettingError, StoreError
from satcommon.geo.grid import Bounds
from satcommon.messages import command, counted
from satcommon.settings import Settings, unknown_variables, valid_settings
from satcommon.sources.open_source import open_source
from satcommon.sources.source import SIMULATED
from satcommon.vector.regions import read_regions
from sqlalchemy import URL, Engine, NullPool, create_engine, insert, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from satctl.local.checkout import seed_files
from satctl.local.home_lock import dagster_url
from satctl.opening import check_home, is_there
from satctl.output.tables import names, print_json, print_table, progress
from satctl.parameters import json_option

OLDEST_POSTGRESQL = 13  # the oldest that the tests' SQL is known to suit; older ones get no fixes any more
SKEW_WARNED, SKEW_REFUSED = timedelta(seconds=5), timedelta(seconds=60)
LITTLE_DISK, NO_DISK = 1_000_000_000, 100_000_000  # bytes: of a few days of imagery, and of a log
BUSY = 0.8  # part of the server's connections; what is left is soon gone when a day begins
DAGSTER_DATABASE = "DAGSTER_POSTGRES_URL"  # a variable of dagster.yaml's, no setting of ours
PROBES = "doctor"  # the store's prefix of what is put there and removed again

# Tables that the user may not read and write, and sequences that it may not draw from.
_NAMED = 5  # of the files that can't be taken
_REFUSED = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND (
    c.relkind IN ('r', 'p') AND c.relname = ANY(:tables) AND NOT (
        has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
    OR c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'USAGE'))
ORDER BY c.relname
"""


class State(StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it."""

    check: str
    state: State
    said: str


class Patient:
    """The settings, and the database that they name."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen

    @cached_property
    def engine(self) -> Engine:
        """The ledger's engine; raises what `open_engine` raises."""
        return engine_of(self.settings)


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check each setting against the world: database, store, scenes, Dagster, clocks, disk.

    Every check runs, whatever became of those before it. Nothing is changed: what is written on trial is taken back.
    Exit code 1 where a check failed; a warning is none. Passwords are never shown.

    \b
    Examples:
      satctl doctor
      satctl doctor --json
    """
    with progress("examining"):
        findings = list(examine())
    well = not any(one.state is State.FAILED for one in findings)
    if as_json:
        print_json({"well": well, "checks": findings})
    else:
        print_table(("check", "state", "found"), [(one.check, one.state, one.said) for one in findings])
    if not well:
        raise click.exceptions.Exit(1)


def examine() -> Iterator[Finding]:
    """Every finding, by the order in which things rest on each other."""
    chosen, wrong = _settings()
    if chosen is None:
        yield from wrong
        yield from (Finding(one.name, State.NOT_CHECKED, "the settings can't be read") for one in _CHECKS)
        return
    patient, failed = Patient(chosen), set[str]()
    secrets = _secrets(chosen)
    for finding in [*wrong, *_misspelt(), *(finding for one in _CHECKS for finding in one.run(patient, failed))]:
        said = finding.said
        for secret in secrets:
            said = said.replace(secret, "***")
        yield Finding(finding.check, finding.state, said)
    with suppress(SatfieldsError):
        patient.engine.dispose()


# --- settings ------------------------------------------------------------------------------------------------------


def _settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, with the defaults instead of those that are wrong; None where not even that can be had."""
    try:
        return valid_settings(), [Finding("settings", State.OK, "each is valid")]
    except SettingError as error:
        wrong = [Finding("settings", State.FAILED, str(error))]
        if not isinstance(error.__cause__, ValidationError):
            return None, wrong
        places = [str(one["loc"][0]) for one in error.__cause__.errors() if one["loc"]]
        # What is said of no single setting is said of these.
        unset = places or ["scene_source", "heartbeat_seconds", "stale_seconds"]
        fields = Settings.model_fields
        try:
            return Settings(**{name: fields[name].get_default(call_default_factory=True) for name in unset}), wrong
        except ValidationError:
            return None, wrong


def _misspelt() -> Iterator[Finding]:
    """Variables that look like settings, and are none: no process starts with them."""
    for said in unknown_variables(os.environ).values():
        yield Finding("settings", State.FAILED, said)


def _secrets(chosen: Settings) -> list[str]:
    """What must not be shown, whoever says it."""
    found = [urlsplit(chosen.dagster_url).password]
    for database in (chosen.database_url, os.environ.get(DAGSTER_DATABASE, "")):
        with suppress(Exception):  # no URL at all: then its check says so, without repeating it
            url = make_url(database)
            found += [url.password, *(str(url.query.get(name, "")) for name in ("password", "sslpassword"))]
    return [secret for secret in found if secret]


# --- database ------------------------------------------------------------------------------------------------------


def _database(patient: Patient) -> Iterator[Finding]:
    check_home(patient.settings)
    engine = patient.engine
    if not is_there(engine):
        raise DatabaseVersionError(
            f"There is no database {shown(engine.url)} (SATFIELDS_DATABASE_URL) yet. Run `satctl db upgrade`."
        )
    with read_transaction(engine) as connection:
        if engine.dialect.name != "postgresql":
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
            yield Finding("database", State.OK, f"{shown(engine.url)}: SQLite {version}")
            return
        version = connection.execute(text("SHOW server_version")).scalar_one()
        number = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
        most = int(connection.execute(text("SHOW max_connections")).scalar_one())
        used = connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL")).scalar_one()
    said = f"{shown(engine.url)}: PostgreSQL {version}, {used} of {most} connections in use"
    if number < OLDEST_POSTGRESQL:
        yield Finding("database", State.WARNING, f"{said}; upgrade the server to {OLDEST_POSTGRESQL} or newer")
    elif used > BUSY * most:
        advice = "raise its max_connections, or lower SATFIELDS_DATABASE_CONNECTIONS or the runs at a time"
        yield Finding("database", State.WARNING, f"{said}; {advice}")
    else:
        yield Finding("database", State.OK, said)


def _schema(patient: Patient) -> Iterator[Finding]:
    require_current(patient.engine)
    yield Finding("schema", State.OK, f"at revision {SCHEMA_REVISION}, this code's")


def _writes(patient: Patient) -> Iterator[Finding]:
    engine = patient.engine
    if engine.dialect.name == "postgresql":
        with read_transaction(engine) as connection:
            if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
                raise SettingError("SATFIELDS_DATABASE_URL names a standby, which takes no writes; name the primary")
            refused = connection.execute(text(_REFUSED), {"tables": list(Base.metadata.tables)}).scalars().all()
        if refused:
            raise SettingError(
                f"the user {engine.url.username!r} of SATFIELDS_DATABASE_URL may not read and write {names(refused)}; "
                "GRANT SELECT, INSERT, UPDATE, DELETE on the tables and USAGE on the sequences, or name another user"
            )
    with suppress(_TakenBack), write_transaction(engine) as connection:
        probe = {"object_key": f"{PROBES}/{uuid4().hex}", "retired_at": now()}
        connection.execute(insert(RetiredObject).values(probe))
        raise _TakenBack
    yield Finding("writes", State.OK, "the database's user may read and write")


class _TakenBack(Exception):  # noqa: N818  # no error: it rolls a trial back
    pass


def _database_clock(patient: Patient) -> Iterator[Finding]:
    if patient.engine.dialect.name != "postgresql":
        return  # this machine's own
    with read_transaction(patient.engine) as connection:
        before = now()
        theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = now()
    yield compare_clocks("database clock", "the database server's", before, theirs, after)


def compare_clocks(check: str, whose: str, before: datetime, theirs: datetime, after: datetime) -> Finding:
    """How far a clock that was read between two instants of ours is off."""
    skew = max(before - theirs, theirs - after, timedelta(0))
    if skew <= SKEW_WARNED:
        return Finding(check, State.OK, f"{whose} clock and this machine's agree within {SKEW_WARNED.seconds} s")
    relation = "behind" if theirs > after else "ahead of"
    state = State.FAILED if skew > SKEW_REFUSED else State.WARNING
    said = f"this machine's clock is {skew.total_seconds():,.0f} s {relation} {whose}; let both follow an NTP server"
    return Finding(check, state, said)


def _attempts(patient: Patient) -> Iterator[Finding]:
    if patient.engine.dialect.name != "postgresql":
        return  # it has one table
    missing = attempts.missing_months(patient.engine, now(), ahead=1)
    if missing:
        said = f"{names(missing)} not made; let a cron job run `satctl gc`, as the user of `satctl db upgrade`"
        yield Finding("attempts", State.WARNING, said)
    else:
        yield Finding("attempts", State.OK, "this month's partition and the next one are there")


def _algorithms(patient: Patient) -> Iterator[Finding]:
    from satcommon.stats.algorithm import algorithm, algorithms

    known = algorithms()  # the file that SATFIELDS_ALGORITHMS names can be read
    with read_transaction(patient.engine) as connection:
        regions = registry.regions(connection, active=True)
    well = True
    for region in regions:
        try:
            algorithm(region.algorithm_version)
        except SatfieldsError as error:
            well = False
            yield Finding("algorithms", State.FAILED, f"region {region.name}: {error}")
    if well:
        said = f"{counted(len(regions), 'active region')}, each of a version that is supported here"
        yield Finding("algorithms", State.OK, f"{said} (known: {names(list(known))})")


def _not_taken(patient: Patient) -> Iterator[Finding]:
    """What ingest was refused, by the ledger: pixels of any source, too, that no look at its files tells of."""
    well = True
    with read_transaction(patient.engine) as connection:
        for region in registry.regions(connection, active=True):
            first, last = region.monitored_from, region.monitored_until or date.max
            found = answers.refusals(connection, region.bbox_id, first, last)
            reasons = [f"{day}: {why}" for day, items in found.items() for why in items.values()]
            if reasons:
                well = False
                more = f"; and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
                said = f"region {region.name}: {counted(len(reasons), 'scene')} there and not taken: "
                step = "; repair or remove what is refused, and its days are redone by themselves"
                yield Finding("not taken", State.WARNING, said + "; ".join(reasons[:_NAMED]) + more + step)
    if well:
        yield Finding("not taken", State.OK, "no monitored day has a scene that is there and was not taken")


# --- the rest ------------------------------------------------------------------------------------------------------


def _store(patient: Patient) -> Iterator[Finding]:
    from satcommon.storage.object_store import ObjectStore

    store = ObjectStore(patient.settings.store, patient.settings.store_timeout_seconds)
    key, data = f"{PROBES}/{uuid4().hex}", b"a probe of `satctl doctor`"
    before = now()
    store.put(key, data)
    after = now()
    try:
        if store.get(key) != data:
            raise StoreError(f"the store {store.url} (SATFIELDS_STORE) gave other bytes than were put under {key!r}")
        put_at = store.put_times(f"{PROBES}/").get(key)
    finally:
        store.delete(key)
    if put_at is None or store.exists(key):
        trouble = "does not list what was put" if put_at is None else "keeps what was deleted"
        raise StoreError(f"the store {store.url} (SATFIELDS_STORE) {trouble}, under {key!r}; check its permissions")
    yield Finding("store", State.OK, f"{store.url}: a probe was put, read, listed and deleted")
    # Stores tell whole seconds.
    yield compare_clocks("store clock", "the store's", before - timedelta(seconds=1), put_at, after)


def _scenes(patient: Patient) -> Iterator[Finding]:
    folder = patient.settings.scene_folder
    if patient.settings.scene_source is None:
        open_source(patient.settings)  # says what to set
    if patient.settings.scene_source == SIMULATED or folder is None:
        yield Finding("scenes", State.OK, "simulated (SATFIELDS_SCENE_SOURCE)")
        return
    from satcommon.sources.folder import FolderSource
    from satcommon.sources.open_files import open_files

    files = open_files(folder)
    found = files.scan()
    source = FolderSource(folder, files)
    source.check()
    refused = [why for why in found.values() if isinstance(why, str)]
    if not folder.startswith("s3://"):  # of a bucket each header would be a request
        refused = list(source.survey(Bounds(-180, -90, 180, 90)).refused.values())
    said = f"{folder} (SATFIELDS_SCENE_FOLDER): {counted(len(found) - len(refused), 'file')}"
    if refused:
        more = f"; and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
        told = "; ".join(refused[:_NAMED]) + more
        yield Finding("scenes", State.WARNING, f"{said}, and {len(refused):,} that can't be taken: {told}")
    elif not found:
        yield Finding("scenes", State.WARNING, f"{said}; no day will have a scene until there are some")
    else:
        yield Finding("scenes", State.OK, said)


def _sources(patient: Patient) -> Iterator[Finding]:
    """Each active region belongs to the source that is asked, and none but the samples to invented scenes."""
    with read_transaction(patient.engine) as connection:
        regions = registry.regions(connection, active=True)
    asked = open_source(patient.settings).identity
    invented = any((region.scene_source or asked) == SIMULATED for region in regions)
    samples = {(region.name, region.bounds) for region in read_regions(seed_files()[0])} if invented else set()
    well = True
    for region in regions:
        refused = refusal(region, asked)
        sample = (region.name, registry.aoi_of(region).bounds) in samples
        if refused:
            yield Finding("sources", State.FAILED, refused)
        elif (region.scene_source or asked) == SIMULATED and not sample:
            said = (
                f"region {region.name}: its scenes are simulated, so its numbers are invented; for real ones set "
                "SATFIELDS_SCENE_SOURCE=folder and SATFIELDS_SCENE_FOLDER, and register it anew with another name"
            )
            yield Finding("sources", State.FAILED, said)
        elif (region.scene_source or asked) == SIMULATED and patient.engine.dialect.name == "postgresql":
            said = f"region {region.name}: a sample with simulated scenes; deactivate it where this is no demo"
            yield Finding("sources", State.WARNING, said)
        else:
            continue
        well = False
    if well:
        yield Finding("sources", State.OK, f"{counted(len(regions), 'active region')}, each of the source {asked}")


def _dagster_database(_: Patient) -> Iterator[Finding]:
    stated = os.environ.get(DAGSTER_DATABASE)
    if not stated:
        return  # Dagster keeps its records in files
    url = _dagster_url(stated)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args={"connect_timeout": 10}
    )
    try:
        with engine.connect() as connection:
            ours = connection.execute(text("SELECT to_regclass('region_days')")).scalar_one() is not None
            grants = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
            may_create = connection.execute(text(grants)).scalar_one()
    except DBAPIError as error:
        said = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
        raise SettingError(f"{DAGSTER_DATABASE} ({shown(url)}) can't be used: {said}; correct it") from None
    if ours:
        raise SettingError(f"{DAGSTER_DATABASE} names the ledger's database; make one for Dagster, and name that")
    if not may_create:
        raise SettingError(f"the user {url.username!r} of {DAGSTER_DATABASE} may make no tables there; GRANT CREATE")
    yield Finding("dagster database", State.OK, f"{shown(url)} ({DAGSTER_DATABASE})")


def _dagster_url(stated: str) -> URL:
    with suppress(ArgumentError, ValueError):
        url = make_url(stated)
        if url.drivername in ("postgresql", "postgresql+psycopg2"):
            return url
    # Not shown: a part of the password may be in it.
    raise SettingError(f"{DAGSTER_DATABASE}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")


def _dagster(patient: Patient) -> Iterator[Finding]:
    from satctl.dagster_api import graphql

    url = dagster_url(patient.settings)
    states = graphql.location_states(url)
    yield Finding("dagster", State.OK, f"answers at {graphql.public(url)} (SATFIELDS_DAGSTER_URL)")
    wanted = set(states)
    with suppress(SettingError):  # one that is wrong was told, and keeps the contract from being loaded
        from satcommon.contract import LOCATIONS

        wanted |= set(LOCATIONS)
    for name in sorted(wanted):
        state = states.get(name)
        check = f"location {name}"
        if state == graphql.LOADED:
            yield Finding(check, State.OK, "loaded")
        elif state == graphql.LOADING:
            yield Finding(check, State.WARNING, "is still loading; ask again in a minute")
        elif state is None:
            yield Finding(check, State.FAILED, "is not in Dagster's workspace; add its code server there")
        else:
            yield Finding(check, State.FAILED, f"{state}; mend that, then {command('locations', 'reload', name)}")


def _runs(patient: Patient) -> Iterator[Finding]:
    """Runs that a power cut left without a process, and a queue that they keep from moving."""
    from satctl.dagster_api.stuck_runs import runs_report

    try:
        report = runs_report(dagster_url(patient.settings), patient.engine, patient.settings, now())
    except RetryableError as error:
        yield Finding("runs", State.NOT_CHECKED, str(error))
        return
    if report.standstill:
        yield Finding("runs", State.FAILED, report.standstill)
    for run in report.silent:
        yield Finding("runs", State.FAILED if run.is_overdue(now()) else State.WARNING, run.described(now()))
    if not report.standstill and not report.silent:
        said = f"{report.in_progress:,} in progress, none of them silent; {report.queued:,} in the queue"
        yield Finding("runs", State.OK, said)


def _disk(patient: Patient) -> Iterator[Finding]:
    home, store = patient.settings.home, patient.settings.store
    folders = [("disk", "SATFIELDS_HOME", home)]
    # In a cluster the store is a volume of its own; below the home folder it is that one's disk.
    if "://" not in store and not Path(store).absolute().is_relative_to(home):
        folders.append(("store disk", "SATFIELDS_STORE", Path(store).absolute()))
    for check, name, folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        said = f"{free / 1e9:,.1f} GB free for {folder} ({name})"
        if free >= LITTLE_DISK:
            yield Finding(check, State.OK, said)
        else:
            state = State.FAILED if free < NO_DISK else State.WARNING
            yield Finding(check, state, f"{said}; make room, run `satctl gc`, or name another folder")


@dataclass(frozen=True)
class _Check:
    name: str
    examine: Callable[[Patient], Iterator[Finding]]
    needs: str | None = None

    def run(self, patient: Patient, failed: set[str]) -> list[Finding]:
        """The findings; what a check raises is one, and leaves those that need it unchecked."""
        if self.needs in failed:
            failed.add(self.name)
            return [Finding(self.name, State.NOT_CHECKED, f"needs the {self.needs}")]
        findings: list[Finding] = []
        try:
            for finding in self.examine(patient):
                findings.append(finding)  # those before an error are kept
        except SatfieldsError as error:
            findings.append(Finding(self.name, State.FAILED, str(error)))
        except Exception as error:  # noqa: BLE001  # told as a finding; the other checks go on
            said = (str(error).strip().splitlines() or ["no more is known"])[0]
            findings.append(Finding(self.name, State.FAILED, f"{type(error).__name__}: {said}; this was not expected"))
        if any(finding.state is State.FAILED for finding in findings):
            failed.add(self.name)
        return findings


_CHECKS = (
    _Check("database", _database),
    _Check("database clock", _database_clock, needs="database"),
    _Check("schema", _schema, needs="database"),
    _Check("writes", _writes, needs="schema"),
    _Check("attempts", _attempts, needs="schema"),
    _Check("algorithms", _algorithms, needs="schema"),
    _Check("store", _store),
    _Check("scenes", _scenes),
    _Check("sources", _sources, needs="schema"),
    _Check("not taken", _not_taken, needs="schema"),
    _Check("dagster database", _dagster_database),
    _Check("dagster", _dagster),
    _Check("runs", _runs, needs="schema"),
    _Check("disk", _disk),
)
