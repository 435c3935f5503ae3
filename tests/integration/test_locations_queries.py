"""A tick of each sensor and schedule asks the ledger and Dagster as often for sixty regions as for three."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from dagster import (
    AssetMaterialization,
    DagsterInstance,
    Definitions,
    build_schedule_context,
    build_sensor_context,
)
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, REGION, SCENES
from satcommon.db import ledger, registry
from satcommon.db.engine import write_transaction
from satcommon.environment import environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.resources import SatfieldsResource
from satcommon.settings import settings
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satfields_ingest.definitions import defs as ingest
from satfields_realtime.definitions import defs as realtime
from satfields_reprocessing.definitions import defs as reprocessing
from sqlalchemy import Engine, event

pytestmark = pytest.mark.slow  # sixty regions each

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)
DAYS = 3
_SENSORS = [
    (defs, sensor.name) for defs in (ingest, realtime, reprocessing) for sensor in defs.get_repository_def().sensor_defs
]
_SCHEDULES = [
    (defs, one.name) for defs in (ingest, realtime, reprocessing) for one in defs.get_repository_def().schedule_defs
]


@pytest.fixture
def instance(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Dagster's; the locations work with the test's ledger."""
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", sqlite_engine.url.render_as_string(hide_password=False))
    settings.cache_clear()
    environment.cache_clear()
    with DagsterInstance.ephemeral() as found:
        yield found
    environment().engine.dispose()
    environment.cache_clear()


def test_all_sensors_and_schedules_are_looked_at() -> None:
    assert (len(_SENSORS), len(_SCHEDULES)) == (12, 6)


@pytest.mark.parametrize("answered", [True, False], ids=["nothing to do", "all days due"])
def test_ticks_ask_as_often_for_sixty_regions_as_for_three(instance: DagsterInstance, *, answered: bool) -> None:
    for key in (SCENES, FIELD_METRICS, FIELD_REGISTRY):
        instance.report_runless_asset_event(AssetMaterialization(key))
    _add(instance, 0, 3, answered=answered)
    few = {name: _asked(instance, defs, name) for defs, name in (*_SENSORS, *_SCHEDULES)}
    _add(instance, 3, 60, answered=answered)
    many = {name: _asked(instance, defs, name) for defs, name in (*_SENSORS, *_SCHEDULES)}

    assert many == few


def _add(instance: DagsterInstance, first: int, last: int, *, answered: bool) -> None:
    """Regions of some days, each closed with its answer, or with none."""
    names = [f"R{n:02}" for n in range(first, last)]
    start = NOW.date() - timedelta(days=DAYS)
    with write_transaction(environment().engine) as connection:
        for n, name in enumerate(names, first):
            bounds = Bounds(0.05 * n, 45.0, 0.05 * n + 0.03, 45.03)
            registry.add_region(connection, name, bounds, Grid.utm(bounds, 500.0), start, None, CURRENT, LONG_AGO)
            bbox_id = registry.region(connection, name).bbox_id
            done = {"due": Due.NOT_DUE, "answered_at": LONG_AGO, "closed_at": LONG_AGO} if answered else {}
            for ago in range(1, DAYS + 1):
                if done:
                    ledger.set_day(connection, bbox_id, NOW.date() - timedelta(days=ago), **done)
    instance.add_dynamic_partitions(REGION, names)


def _asked(instance: DagsterInstance, defs: Definitions, name: str) -> tuple[int, int]:
    """The statements of the ledger, and the queries of runs, of one tick; its runs are not put on record."""
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    engine = environment().engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as queries:
            _tick(instance, defs, name)
        return statements, queries.call_count
    finally:
        event.remove(engine, "before_cursor_execute", count)
        with write_transaction(engine) as connection:
            connection.exec_driver_sql("DELETE FROM runs")  # what was claimed


def _tick(instance: DagsterInstance, defs: Definitions, name: str) -> None:
    repository, resources = defs.get_repository_def(), {"satfields": SatfieldsResource()}
    if repository.has_sensor_def(name):
        sensor = repository.get_sensor_def(name)
        with build_sensor_context(instance, repository_def=repository, resources=resources) as context:
            sensor.evaluate_tick(context)
        return
    with (
        build_schedule_context(
            instance, scheduled_execution_time=NOW, repository_def=repository, resources=resources
        ) as context,
        patch.object(type(context), "instance", instance),
    ):  # an ephemeral one has no reference
        repository.get_schedule_def(name).evaluate_tick(context)
