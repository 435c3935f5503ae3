"""Planted failures, each of which makes its alert fire and no other, and ends with it.

Real are the exporter, Prometheus, Alertmanager, PostgreSQL, the bucket, Dagster's webserver, daemon and code servers,
and what fails of them. What would take hours is written into the ledger or into Dagster's storage, with an earlier
time. Three alerts are tried by promtool alone (tests/alerts): a clock can't be turned here, nor a disk filled, and the
capacity of a database is a setting.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterRunStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.remote_representation.external import RemoteSensor
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from satcommon.contract import lane
from satcommon.db import ledger, missed_days
from satcommon.db import webhooks as hooks
from satcommon.db.answers import refuse
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, Delivery, Measurement
from satcommon.db.quarantine import Doubt
from satcommon.sources.source import Due
from sqlalchemy import NullPool, create_engine, text, update

from tests.alerts.rules import alerts
from tests.certificates import certificate
from tests.e2e.watched import DAYS, Watched, close_without_rows, watched

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="needs Prometheus and Alertmanager (apt-get install prometheus prometheus-alertmanager)",
)
Fault = Callable[[Watched], AbstractContextManager[None]]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


# --- what Satfields runs on ----------------------------------------------------------------------------------------


@contextmanager
def exporter_down(at: Watched) -> Iterator[None]:
    at.exporter.end()
    yield
    at.exporter.start()


@contextmanager
def database_stopped(at: Watched) -> Iterator[None]:
    at.database.stop()
    yield
    at.database.ensure_postgres_running()


@contextmanager
def connections_used_up(at: Watched) -> Iterator[None]:
    engine = create_engine(at.world.env.engine.url, poolclass=NullPool)
    with ExitStack() as opened:
        for _ in range(83):
            opened.enter_context(engine.connect()).execute(text("SELECT 1"))
        yield


@contextmanager
def bucket_refuses(at: Watched) -> Iterator[None]:
    at.bucket.refuse()
    yield
    at.bucket.allow()


@contextmanager
def certificate_ends(at: Watched) -> Iterator[None]:
    good = at.certificate.read_bytes()
    at.certificate.write_bytes(certificate(datetime.now(UTC) + timedelta(days=5)))
    yield
    at.certificate.write_bytes(good)


@contextmanager
def certificate_unreadable(at: Watched) -> Iterator[None]:
    good = at.certificate.read_bytes()
    at.certificate.write_text("no certificate")
    yield
    at.certificate.write_bytes(good)


# --- Dagster -------------------------------------------------------------------------------------------------------


@contextmanager
def webserver_down(at: Watched) -> Iterator[None]:
    at.webserver.end()
    yield
    at.webserver.start()


@contextmanager
def daemon_stopped(at: Watched) -> Iterator[None]:
    """And ten minutes are over."""
    at.daemon.end()
    instance = at.world.instance
    for kind, beat in instance.get_daemon_heartbeats().items():
        instance.add_daemon_heartbeat(DaemonHeartbeat(beat.timestamp - 600, kind, beat.daemon_id, []))
    yield
    at.daemon.start()


@contextmanager
def location_broken(at: Watched) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SATFIELDS_SENSOR_SECONDS", "never")
        with pytest.warns(UserWarning, match="Error loading repository location realtime"):
            at.context.reload_code_location("realtime")
        yield
    at.context.reload_code_location("realtime")


def sensor(at: Watched, location: str, name: str) -> RemoteSensor:
    (repository,) = at.context.create_request_context().get_code_location(location).get_repositories().values()
    return repository.get_sensor(name)


def ticked(at: Watched, name: str, status: TickStatus, ago: timedelta) -> None:
    """Dagster's record of a tick of an ingest's sensor."""
    found = sensor(at, "ingest", name)
    then = (datetime.now(UTC) - ago).timestamp()
    error = SerializableErrorInfo("planted", [], "Error") if status is TickStatus.FAILURE else None
    kind = InstigatorType.SENSOR
    tick = TickData(found.get_remote_origin_id(), name, kind, status, then, selector_id=found.selector_id, error=error)
    at.world.instance.create_tick(tick)


@contextmanager
def sensor_fails(at: Watched) -> Iterator[None]:
    ticked(at, "due_scenes", TickStatus.FAILURE, timedelta(0))
    yield
    ticked(at, "due_scenes", TickStatus.SKIPPED, timedelta(0))


@contextmanager
def sensor_not_ticking(at: Watched) -> Iterator[None]:
    ticked(at, "registry_changed", TickStatus.SKIPPED, HOUR)
    yield
    ticked(at, "registry_changed", TickStatus.SKIPPED, timedelta(0))


@contextmanager
def sensor_off(at: Watched) -> Iterator[None]:
    found = sensor(at, "ingest", "older_days")
    at.world.instance.stop_sensor(found.get_remote_origin_id(), found.selector_id, found)
    yield
    at.world.instance.start_sensor(found)


@contextmanager
def left_run(at: Watched, status: DagsterRunStatus, ago: timedelta) -> Iterator[str]:
    """A run that was recorded so long ago."""
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("realtime"), "__repository__"), "x")
    run = create_run_for_test(
        at.world.instance,
        job_name="close_days",
        status=status,
        tags=lane("realtime", "A"),
        remote_job_origin=origin,
        job_code_origin=None,
    )
    then, storage = (datetime.now(UTC) - ago).replace(tzinfo=None), at.world.instance.run_storage
    assert isinstance(storage, SqlRunStorage)
    with storage.connect() as connection:
        statement = "UPDATE runs SET create_timestamp = :then, update_timestamp = :then WHERE run_id = :run_id"
        connection.execute(text(statement), {"then": then, "run_id": run.run_id})
    yield run.run_id
    at.world.instance.delete_run(run.run_id)


@contextmanager
def run_stuck(at: Watched) -> Iterator[None]:
    with left_run(at, DagsterRunStatus.STARTED, 20 * MINUTE) as run_id:
        at.world.leave_heartbeat(run_id, 20 * MINUTE)
        yield


@contextmanager
def run_queued(at: Watched) -> Iterator[None]:
    with left_run(at, DagsterRunStatus.QUEUED, 3 * HOUR):
        yield


# --- the work ------------------------------------------------------------------------------------------------------


@contextmanager
def days_are(at: Watched, region: str, count: int, **values: object) -> Iterator[None]:
    """Columns of so many of a region's days that are others for a while."""
    bbox_id = at.world.region_id(region)
    before = {"due": Due.NOT_DUE, "answered_at": at.world.now}
    for chosen in (values, before):
        with write_transaction(at.world.env.engine) as connection:
            for ago in range(1, count + 1):
                ledger.set_day(connection, bbox_id, at.world.day(ago), **chosen)
        if chosen is values:
            yield


def source_late(at: Watched) -> AbstractContextManager[None]:
    return days_are(at, "R01", 3, due=Due.DUE)


def source_not_asked(at: Watched) -> AbstractContextManager[None]:
    return days_are(at, "R02", 1, answered_at=None)


@contextmanager
def scene_refused(at: Watched) -> Iterator[None]:
    bbox_id, day = at.world.region_id("R03"), at.world.day(1)
    for refused in ({"item": "item: found 1; expected 2"}, {}):
        with write_transaction(at.world.env.engine) as connection:
            refuse(connection, bbox_id, day, refused, datetime.now(UTC), {"item": Doubt("offset", "d")})
        if refused:
            yield


@contextmanager
def missed(at: Watched, region: str, cause: Cause, ago: timedelta, failures: int = 0) -> Iterator[tuple[int, date]]:
    """A field-day of yesterday with an open miss."""
    bbox_id, day, engine = at.world.region_id(region), at.world.day(1), at.world.env.engine
    with read_transaction(engine) as connection:
        missed_field = min(timelines(connection, bbox_id)), day
    with write_transaction(engine) as connection:
        now = datetime.now(UTC)
        missed_days.open_misses(connection, bbox_id, [OpenMiss(*missed_field, cause, "d")], now - ago)
        for _ in range(failures):
            missed_days.count_failures(connection, bbox_id, [missed_field], now)
    yield missed_field
    with write_transaction(engine) as connection:
        missed_days.resolve_misses(connection, bbox_id, [missed_field], datetime.now(UTC))


@contextmanager
def replay_hangs(at: Watched) -> Iterator[None]:
    with missed(at, "A", Cause.LATE_FIELD, 13 * HOUR):
        yield


@contextmanager
def field_fails(at: Watched) -> Iterator[None]:
    with missed(at, "A", Cause.PROCESSING_ERROR, HOUR, failures=3):
        yield


@contextmanager
def missed_for_long(at: Watched) -> Iterator[None]:
    """Its scene is awaited for forty days."""
    close_without_rows(at.world, at.world.add_region("F", DAYS, fields=1, registered_days_ago=0, partitioned=False))
    with days_are(at, "F", 1, due=Due.DUE), missed(at, "F", Cause.LATE_SCENE, timedelta(days=40)):
        yield


@contextmanager
def row_lost(at: Watched) -> Iterator[None]:
    """And found by the audit."""
    store = at.world.env.store()
    key = min(store.put_times("results/"))
    lost = store.get(key)
    store.delete(key)
    at.satctl("audit", "--region", "A", code=1)
    yield
    store.put(key, lost)
    at.satctl("audit", "--region", "A")


@contextmanager
def audit_old(at: Watched) -> Iterator[None]:
    of_region = Measurement.bbox_id == at.world.region_id("R04")
    for ago in (40 * HOUR, timedelta(0)):
        with write_transaction(at.world.env.engine) as connection:
            then = datetime.now(UTC) - ago
            connection.execute(update(Measurement).where(of_region).values(measured_at=then))
        if ago:
            yield


@contextmanager
def days_left_open(at: Watched, *regions: str, failed: bool = False) -> Iterator[None]:
    """Days that have their answers, and that nobody closes; or the first of them fails."""
    opened = [at.world.add_region(name, DAYS, fields=0, registered_days_ago=0, partitioned=False) for name in regions]
    with write_transaction(at.world.env.engine) as connection:
        for bbox_id in opened:
            for ago in range(1, DAYS + 1):
                values = {"answered_at": at.world.now, "due": Due.NOT_DUE}
                ledger.set_day(connection, bbox_id, at.world.day(ago), **values)
            if failed:
                ledger.record_failure(connection, bbox_id, at.world.day(DAYS), "MemoryError")
    yield
    for bbox_id in opened:
        close_without_rows(at.world, bbox_id)


def region_behind(at: Watched) -> AbstractContextManager[None]:
    return days_left_open(at, "B")


def watermark_stuck(at: Watched) -> AbstractContextManager[None]:
    return days_left_open(at, "W", failed=True)


def days_late(at: Watched) -> AbstractContextManager[None]:
    return days_left_open(at, *(f"L{number}" for number in range(5)))


@contextmanager
def receiver_fails(at: Watched, **values: datetime) -> Iterator[None]:
    """A webhook that first failed hours ago, as deliveries note it."""
    new = hooks.NewWebhook(
        "farm", "https://example.org", "secret", [at.world.region_id("R06")], (), None, first_publications=False
    )
    values["failing_since"] = datetime.now(UTC) - 2 * HOUR
    with write_transaction(at.world.env.engine) as connection:
        hooks.add(connection, new, {}, at.world.now)
        connection.execute(update(Delivery).values(attempts=7, error="answered 500", **values))
    yield
    with write_transaction(at.world.env.engine) as connection:
        hooks.remove(connection, "farm")


def receiver_dead(at: Watched) -> AbstractContextManager[None]:
    return receiver_fails(at, dead_at=datetime.now(UTC))


FAULTS: dict[str, Fault] = {
    "SatfieldsExporterDown": exporter_down,
    "SatfieldsDatabaseUnreachable": database_stopped,
    "SatfieldsConnectionsNearLimit": connections_used_up,
    "SatfieldsBucketRefused": bucket_refuses,
    "SatfieldsCertificateEnding": certificate_ends,
    "SatfieldsCollectorDown": certificate_unreadable,
    "SatfieldsDagsterDown": webserver_down,
    "SatfieldsDaemonStopped": daemon_stopped,
    "SatfieldsLocationBroken": location_broken,
    "SatfieldsSensorFailing": sensor_fails,
    "SatfieldsScheduleNotTicking": sensor_not_ticking,
    "SatfieldsSwitchedOff": sensor_off,
    "SatfieldsRunStuck": run_stuck,
    "SatfieldsRunsQueuedLong": run_queued,
    "SatfieldsSourceLate": source_late,
    "SatfieldsSourceNotAsked": source_not_asked,
    "SatfieldsSceneQuarantined": scene_refused,
    "SatfieldsBacklogGrowing": replay_hangs,
    "SatfieldsProcessingErrors": field_fails,
    "SatfieldsCompletenessMissed": missed_for_long,
    "SatfieldsAuditUnclean": row_lost,
    "SatfieldsAuditNotRun": audit_old,
    "SatfieldsRegionBehind": region_behind,
    "SatfieldsWatermarkStuck": watermark_stuck,
    "SatfieldsWebhookFailing": receiver_fails,
    "SatfieldsWebhookDead": receiver_dead,
    "SatfieldsFreshnessMissed": days_late,  # the last: its ticket stays until three days, as scaled, are over
}
BY_PROMTOOL_ALONE = {"SatfieldsClockOff", "SatfieldsDiskFull", "SatfieldsDatabaseFull"}


def test_every_alert_has_a_fault_here_or_is_named() -> None:
    assert FAULTS.keys() | BY_PROMTOOL_ALONE == {rule["alert"] for rule in alerts()}


@pytest.mark.nightly
def test_each_failure_is_told_by_its_own_alert_and_by_no_other(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    if (now + 20 * MINUTE).date() != now.date():
        pytest.skip("a day ends meanwhile, and nobody closes it here")
    with watched(tmp_path) as at:
        at.settle(seconds=180)
        for name, fault in FAULTS.items():
            began = datetime.now(UTC)
            with fault(at):  # the one before heals at the same time
                at.settle(name)
                told = at.firing()
            texts = [text for alert in told for text in alert["annotations"].values()]
            assert texts
            assert not [text for text in texts if "error" in text or "<no value>" in text]
            sys.stdout.write(f"{name}: {(datetime.now(UTC) - began).total_seconds():.0f} s\n")
        at.settle("SatfieldsFreshnessMissed")
        assert [alert["labels"]["severity"] for alert in at.firing()] == ["ticket"]
