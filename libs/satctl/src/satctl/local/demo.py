"""The demo: from an empty folder to corrected late data, by the real sensors, in about two minutes.

Two regions with simulated scenes. The backfill job fills ten days, and a field is registered late. Then Dagster's own
sensors take five past days through ingest and realtime, one scene comes late, and reprocessing corrects both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import shapely
from satcommon.errors import DatabaseUnavailableError, RetryableError
from satcommon.settings import settings

from satctl.local import laptop
from satctl.local.dagster_home import dagster_home
from satctl.local.home_lock import LOCK, locked_home
from satctl.local.servers import cluster_stores
from satctl.output.tables import print_table, progress, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from satcommon.environment import Environment

    Satctl = Callable[..., object]  # runs a command of satctl: its arguments as on the command line

BACKFILL_DAYS, SENSOR_DAYS = 10, 5
LATE_REGION = "A"
LATE_FIELD = ("late-comer", "Late Comer", shapely.box(-94.048, 40.452, -94.039, 40.459))
MARKER = "demo.txt"  # marks a home folder that the demo may empty
LIMIT_SECONDS = 600  # for the sensors' part, which takes a minute on an idle machine


def run_demo(home: Path, satctl: Satctl, *, on_cluster_stores: bool) -> None:
    """Empty a home folder, and run the demo there.

    Args:
        home: a folder of an earlier demo, an empty one, or one that does not exist yet.
        satctl: runs a command of satctl, as a user would.
        on_cluster_stores: use PostgreSQL and S3, started for the demo, instead of SQLite and a folder.

    Raises:
        RetryableError: the demo did not show what it promises.
    """
    today = datetime.now(UTC).date()
    late_day = today - timedelta(days=SENSOR_DAYS)
    started = time.monotonic()
    with ExitStack() as stack:
        port = laptop.free_port()
        stack.enter_context(locked_home(home, port))
        _empty(home)
        (home / MARKER).write_text("made by `satctl demo`, which empties this folder\n")
        os.environ.update(_environment(home, late_day))
        if on_cluster_stores:
            with _step("start PostgreSQL and an S3 endpoint"):
                os.environ.update(stack.enter_context(cluster_stores(home / "s3.log")))
        settings.cache_clear()
        _play(home, port, today, late_day, satctl)
    say(f"done in {time.monotonic() - started:.0f} s")


def _empty(home: Path) -> None:
    """Remove everything in a folder except the lock that this process holds on it."""
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _play(home: Path, port: int, today: date, late_day: date, satctl: Satctl) -> None:
    """The steps of the demo, in order."""
    os.environ["DAGSTER_HOME"] = str(dagster_home(home))
    with _step("migrate the database, seed two regions and 15 fields"):
        env = _prepare(today, satctl)
    for name in ("database_url", "store"):
        say(f"  {name}: {getattr(env.settings, name)}")
    with _step(f"backfill job: {BACKFILL_DAYS} days of two regions, one run each"):
        _fill_open_days(home, today - timedelta(days=SENSOR_DAYS + 1))
    with _step(f"enter a field late: {LATE_FIELD[1]!r}, planted 40 days ago"):
        _enter_late_field(env, today)
    _show(satctl, "status")
    _show(satctl, "plan")
    _show(satctl, "audit")
    log = home / "dagster.log"
    say("\nstart Dagster: three code locations, daemon, UI ...")
    with laptop.running(home, port, log, {}) as url:
        say(f"  UI: {url}   log: {log}")
        then = _let_sensors_work(env, today, late_day, home, satctl)
    _show(satctl, "status")
    _show(satctl, "audit", "--deep")
    say("\nwhat changed since the day was closed without its scene:")
    _show(satctl, "changes", "--since", f"{then.instant:%Y-%m-%dT%H:%M:%S.%fZ}", "--column", "ndvi_mean")
    _before_and_after(env, then)
    _pictures(env, home, today - timedelta(days=1))
    _summary(home)
    _verify(env, today, then)
    env.engine.dispose()


def _environment(home: Path, late_day: date) -> dict[str, str]:
    """The settings of the demo: short pauses, and one scene that is held back."""
    held = home / "held"
    held.mkdir()
    _late_scene(home, late_day).touch()
    return {
        "SATFIELDS_HOME": str(home),
        "SATFIELDS_DATABASE_URL": "",
        "SATFIELDS_DATABASE_URL_FILE": "",
        "SATFIELDS_STORE": "",
        "DAGSTER_POSTGRES_URL": "",
        "DAGSTER_POSTGRES_URL_FILE": "",
        "SATFIELDS_SCENE_SOURCE": "simulated",
        "SATFIELDS_SIMULATED_HELD": str(held),
        "SATFIELDS_SENSOR_SECONDS": "2",
        "SATFIELDS_RETRY_PAUSE_SECONDS": "5",
    }


def _late_scene(home: Path, day: date) -> Path:
    """The file that holds back the late scene."""
    return home / "held" / f"SIM_{LATE_REGION}_{day:%Y%m%d}"


def _prepare(today: date, satctl: Satctl) -> Environment:
    from satcommon.db.engine import engine_of
    from satcommon.environment import environment

    from satctl.local.migrations import upgrade

    upgrade(engine_of(settings()))
    satctl("regions", "seed", "--monitored-from", str(today - timedelta(days=SENSOR_DAYS + BACKFILL_DAYS)))
    environment.cache_clear()
    return environment()


def _fill_open_days(home: Path, until: date) -> None:
    """Run the backfill job of both regions in parallel, each as a Dagster run."""
    from dagster import DagsterInstance
    from satcommon.contract import BACKFILL_JOB, backfill_config

    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        instance.schedule_storage  # noqa: B018  # creates the files: two processes that create them together corrupt them
    running = []
    for region in ("A", "B"):
        config = home / f"backfill-{region}.json"
        config.write_text(json.dumps(backfill_config(region, until)))
        arguments = ["job", "execute", "-m", "satfields_realtime.definitions", "-j", BACKFILL_JOB, "-c", str(config)]
        log = (home / f"backfill-{region}.log").open("wb")
        command = [sys.executable, "-m", "dagster", *arguments]
        running.append((subprocess.Popen(command, stdout=log, stderr=log), log))  # noqa: S603  # our own interpreter
    for process, log in running:
        if process.wait(LIMIT_SECONDS) != 0:
            raise RetryableError(f"the backfill job failed; its log is {log.name}")
        log.close()


def _enter_late_field(env: Environment, today: date) -> None:
    from satcommon.db.engine import write_transaction
    from satcommon.db.fields import NewField, register_fields

    external_id, name, polygon = LATE_FIELD
    with write_transaction(env.engine) as connection:
        field = NewField(external_id, name, polygon, today - timedelta(days=40), where="demo")
        register_fields(connection, [field], datetime.now(UTC))


class Then(NamedTuple):
    """The late day as it was published before its scene came."""

    instant: datetime
    day: date
    canonical: str  # digest of the day's canonical bytes


def _canonical(env: Environment, day: date, as_of: datetime | None) -> tuple[str, list[dict[str, Any]]]:
    """The digest of the canonical bytes of region A's day, now or as of an instant, and its rows."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.registry import region
    from satcommon.publication.objects import ResultObjects, digest, encode
    from satcommon.publication.reader import published

    with read_transaction(env.engine) as connection:
        days = published(connection, region(connection, LATE_REGION), day, day, as_of=as_of).days
    rows = days.rows(ResultObjects(env.store()), day)
    return digest(encode(rows)), rows.to_pylist()


def _before_and_after(env: Environment, then: Then) -> None:
    """Fields of the late day as of then, beside now."""
    was, now = ({r["field"]: r for r in _canonical(env, then.day, at)[1]} for at in (then.instant, None))
    print_table(
        ["field", "status then", "NDVI then", "status now", "NDVI now"],
        [
            [name, *(row.get(c) for row in (was.get(name, {}), now[name]) for c in ("status", "ndvi_mean"))]
            for name in now
        ],
        title=f"region {LATE_REGION} on {then.day}, as of {then.instant:%H:%M:%S} UTC and now",
    )


def _let_sensors_work(env: Environment, today: date, late_day: date, home: Path, satctl: Satctl) -> Then:
    """Wait until all days are closed and corrected; the late scene is released once its day is closed without it."""
    days = 2 * SENSOR_DAYS
    late = _late_scene(home, late_day)
    said: list[str] = []
    then: list[Then] = []

    def tell(what: str) -> None:
        if what not in said:
            said.append(what)
            say(f"  {time.monotonic() - started:4.0f} s  {what}")

    started = time.monotonic()
    with progress(f"sensors at work: {days} region-days"):

        def done() -> bool:
            try:
                closed, late_day_is_closed, scene_is_there, open_misses = _state(env, today, late_day)
            except DatabaseUnavailableError as error:
                tell(str(error))  # tried again in a second, until the time limit
                return False
            tell(f"{closed} of {days} region-days closed, {open_misses} field-days missed")
            if late_day_is_closed and late.exists():
                tell(f"{late_day} of region {LATE_REGION} closed without its scene, which is held back until now")
                _show(satctl, "plan")
                then[:] = [Then(datetime.now(UTC), late_day, _canonical(env, late_day, None)[0])]
                late.unlink()
            if scene_is_there:
                tell(f"the scene of {late_day} of region {LATE_REGION} came late")
            return closed == days and scene_is_there and open_misses == 0

        if not laptop.wait_for(done, LIMIT_SECONDS, pause=1.0):
            log = home / "dagster.log"
            raise RetryableError(f"the sensors did not finish within {LIMIT_SECONDS} s; Dagster's log is {log}")
    say(f"  {days} region-days closed, the late scene and the late field corrected")
    return then[0]


def _state(env: Environment, today: date, late_day: date) -> tuple[int, bool, bool, int]:
    """Days closed by the sensors; whether the late day is closed, and has its scene; how many misses are open."""
    from satcommon.db import ledger, missed_days
    from satcommon.db.engine import read_transaction
    from satcommon.db.registry import regions

    closed, late_day_is_closed, scene_is_there, open_misses = 0, False, False, 0
    with read_transaction(env.engine) as connection:
        for region in regions(connection):
            days = ledger.region_days(connection, region.bbox_id, late_day, today)
            closed += sum(row.closed_at is not None for row in days.values())
            if region.name == LATE_REGION and late_day in days:
                late_day_is_closed = days[late_day].closed_at is not None
                scene_is_there = days[late_day].scene_digest is not None
            open_misses += sum(part.field_days for part in missed_days.backlog_by_cause(connection, region.bbox_id))
    return closed, late_day_is_closed, scene_is_there, open_misses


def _pictures(env: Environment, home: Path, day: date) -> None:
    """A picture of each region, of its last day with little cloud."""
    from satcommon.db import ledger
    from satcommon.db.engine import read_transaction
    from satcommon.db.registry import regions
    from satcommon.views.region_map import region_map

    with read_transaction(env.engine) as connection:
        all_regions = regions(connection)
    for region in all_regions:
        with read_transaction(env.engine) as connection:
            days = [day - timedelta(days=back) for back in range(SENSOR_DAYS + BACKFILL_DAYS)]
            scenes = {d: s for d in days if (s := ledger.current_scene(connection, region.bbox_id, d))}
        clearest = max(scenes, key=lambda d: (round(scenes[d].clear_fraction, 1), d))
        path = home / f"region-{region.name}.png"
        path.write_bytes(region_map(env.engine, env.scenes(), region, clearest, max_pixels=640))
        say(f"  picture of region {region.name} on {clearest}: {path}")


def _summary(home: Path) -> None:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        runs = instance.get_runs()
    jobs = sorted({run.job_name for run in runs})
    print_table(
        ["job", "runs", "succeeded"],
        [[j, sum(r.job_name == j for r in runs), sum(r.job_name == j and r.is_success for r in runs)] for j in jobs],
        title=f"{len(runs)} Dagster runs",
    )


def _verify(env: Environment, today: date, then: Then) -> None:
    """Check what the demo promises, and raise where it does not hold."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.models import Cause, Miss
    from sqlalchemy import select

    with read_transaction(env.engine) as connection:
        misses = connection.execute(select(Miss.cause, Miss.processed)).all()
    closed, _, scene_is_there, open_misses = _state(env, today, today - timedelta(days=SENSOR_DAYS))
    causes = {miss.cause for miss in misses}
    checks = {
        "every region-day is closed": closed == 2 * SENSOR_DAYS,
        "the scene came late": scene_is_there and Cause.LATE_SCENE in causes,
        "the field was entered late": Cause.LATE_FIELD in causes,
        "every miss was resolved": open_misses == 0 and all(miss.processed for miss in misses),
        "the late day was corrected": _canonical(env, then.day, None)[0] != then.canonical,
        "it is still read as it was": _canonical(env, then.day, then.instant)[0] == then.canonical,
    }
    print_table(["check", "holds"], checks.items())
    if not all(checks.values()):
        raise RetryableError("the demo did not show what it promises; see the table")


def _show(satctl: Satctl, *arguments: str) -> None:
    say(f"\n$ satctl {' '.join(arguments)}")
    satctl(*arguments)


@contextmanager
def _step(what: str) -> Iterator[None]:
    started = time.monotonic()
    say(f"\n{what} ...")
    with progress(what):
        yield
    say(f"  {time.monotonic() - started:.1f} s")
