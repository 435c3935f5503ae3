"""The collectors: each asks one thing, so that what is down takes only its own figures away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction
from satcommon.settings import Settings
from satcommon.storage.object_store import ObjectStore
from satcommon.telemetry import metrics
from satcommon.telemetry.metrics import Sample
from satcommon.views.metrics.database import database_samples
from satcommon.views.metrics.expected_days import ExpectedDays
from satcommon.views.metrics.measured import attempt_samples, measured_samples
from satcommon.views.metrics.regions import region_samples
from satcommon.views.metrics.webhooks import webhook_samples
from sqlalchemy import Connection, Engine

from satctl.dagster_api.figures import dagster_samples, run_samples
from satctl.exporter.machine import machine_samples
from satctl.local.home_lock import dagster_url
from satctl.opening import require_there

Collect = Callable[[], Iterable[Sample]]
_CONNECTIONS = 7  # collectors that ask the database together, and one to spare
_PROBE = "preflight"  # a key that need not exist


@contextmanager
def opened_collectors(chosen: Settings) -> Iterator[dict[str, Collect]]:
    """What each collector does, by its name; nothing is asked yet, and connections end with the block."""
    timeout = chosen.metrics_timeout_seconds
    engine = open_engine(chosen.database_url, timeout, timeout, _CONNECTIONS)
    try:
        yield _collectors(chosen, engine)
    finally:
        engine.dispose()


def _collectors(chosen: Settings, engine: Engine) -> dict[str, Collect]:
    seconds = max(1, int(chosen.metrics_timeout_seconds))
    expected = ExpectedDays()

    def of_ledger(read: Callable[[Connection, datetime], Iterable[Sample]]) -> Collect:
        return lambda: _read(engine, read)

    return {
        metrics.REGIONS: of_ledger(
            lambda connection, now: region_samples(
                connection, Deadlines.of(chosen), expected, chosen.metrics_regions, now
            )
        ),
        metrics.AUDITS: of_ledger(lambda connection, now: measured_samples(connection, chosen.metrics_regions, now)),
        metrics.ATTEMPTS: of_ledger(attempt_samples),
        metrics.WEBHOOKS: of_ledger(lambda connection, now: webhook_samples(connection, chosen.metrics_regions, now)),
        metrics.DATABASE: of_ledger(lambda connection, _: database_samples(connection, _now)),
        metrics.STORE: lambda: _ask_store(chosen),
        metrics.MACHINE: lambda: machine_samples(chosen, _now()),
        metrics.RUNS: lambda: run_samples(dagster_url(chosen), engine, chosen, _now(), seconds),
        metrics.DAGSTER: lambda: dagster_samples(dagster_url(chosen), seconds),
    }


def _read(engine: Engine, read: Callable[[Connection, datetime], Iterable[Sample]]) -> list[Sample]:
    require_there(engine)
    with read_transaction(engine) as connection:
        return list(read(connection, _now()))


def _ask_store(chosen: Settings) -> list[Sample]:
    began = time.monotonic()
    ObjectStore(chosen.store, chosen.metrics_timeout_seconds).exists(_PROBE)
    return [Sample("satfields_store_response_seconds", (), time.monotonic() - began)]


def _now() -> datetime:
    return datetime.now(UTC)
