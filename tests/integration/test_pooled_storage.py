"""Dagster's storage with a pool: few connections, kept; what the server closes is replaced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterEvent, DagsterEventType, DagsterInstance, instance_for_test
from dagster._core.test_utils import create_run_for_test
from dagster_postgres.storage import DagsterPostgresStorage
from satcommon.pooled_storage import KEPT, PooledPostgresStorage, shared_engine
from sqlalchemy import Engine, create_engine, event, text

from tests.conftest import postgres_database

QUERIES = 10  # of each storage


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """A database for Dagster, with its tables."""
    with postgres_database(postgres_url) as engine:
        found = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        DagsterPostgresStorage(found)
        yield found
        for connections in (KEPT, 2):
            shared_engine(found, connections).dispose()
        with engine.connect() as connection:
            connection.execute(text(_END_ALL))


_END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextmanager
def instance_on(url: str, **config: object) -> Iterator[DagsterInstance]:
    """An instance, configured as the chart does it."""
    named = {"module": "satcommon.pooled_storage", "class": "PooledPostgresStorage"}
    with instance_for_test({"storage": {"custom": {**named, "config": {"postgres_url": url, **config}}}}) as found:
        yield found


def query(instance: DagsterInstance) -> None:
    """As a tick does: of runs, of events, of ticks."""
    for _ in range(QUERIES):
        instance.get_run_records(limit=1)
        instance.fetch_materializations(AssetKey("scenes"), limit=1)
        instance.all_instigator_state()


def engines_of(instance: DagsterInstance) -> set[Engine]:
    return {one._engine for one in (instance._run_storage, instance._event_storage, instance._schedule_storage)}  # type: ignore[union-attr]


@pytest.mark.slow
def test_queries_share_one_connection_where_the_stock_storages_open_one_each(url: str) -> None:
    opened: dict[str, int] = {}
    for name, storage in {"stock": DagsterPostgresStorage(url), "pooled": PooledPostgresStorage(url)}.items():
        with instance_for_test() as instance:
            instance._run_storage = storage.run_storage  # type: ignore[attr-defined]
            instance._event_storage = storage.event_log_storage  # type: ignore[attr-defined]
            instance._schedule_storage = storage.schedule_storage  # type: ignore[attr-defined]
            opened[name] = 0

            def count(*_: object, name: str = name) -> None:
                opened[name] += 1

            for engine in engines_of(instance):
                event.listen(engine, "connect", count)
            query(instance)

    assert opened["stock"] >= 3 * QUERIES
    assert opened["pooled"] == 1


def test_the_configuration_says_how_many_a_process_keeps(url: str) -> None:
    with instance_on(url) as usual, instance_on(url, connections=2) as fewer:
        assert [engine.pool.size() for engine in engines_of(usual)] == [KEPT]  # type: ignore[attr-defined]
        assert [engine.pool.size() for engine in engines_of(fewer)] == [2]  # type: ignore[attr-defined]


def test_instances_of_a_process_share_its_connections(url: str) -> None:
    opened = 0

    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    shared_engine(url, KEPT).dispose()
    event.listen(shared_engine(url, KEPT), "connect", count)
    for _ in range(3):  # as a code server does for each tick
        with instance_on(url) as instance:
            query(instance)

    assert opened == 1


def test_a_restart_of_the_database_costs_no_query(url: str) -> None:
    with instance_on(url) as instance:
        query(instance)
        assert end_all_sessions(url) > 0

        query(instance)


def test_a_watcher_sees_what_another_process_writes(url: str) -> None:
    seen = threading.Event()
    with instance_on(url) as instance, instance_on(url) as writer:
        run = create_run_for_test(writer, job_name="job")
        instance.watch_event_logs(run.run_id, None, lambda *_: seen.set())

        told = DagsterEvent(event_type_value=DagsterEventType.RUN_START.value, job_name="job")
        writer.report_dagster_event(told, run.run_id)

        assert seen.wait(30)
        writer.report_runless_asset_event(AssetMaterialization("scenes"))
        assert len(instance.fetch_materializations(AssetKey("scenes"), limit=2).records) == 1


def test_the_webserver_s_statements_are_limited_and_its_connections_kept(url: str) -> None:
    with instance_on(url) as instance:
        query(instance)
        instance.optimize_for_webserver(statement_timeout=4321, pool_recycle=60, max_overflow=3)

        (engine,) = engines_of(instance)
        with engine.connect() as connection:
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "4321ms"


def end_all_sessions(url: str) -> int:
    """End every session in the database, as a restart does; gives how many there were."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return len(connection.execute(text(_END_ALL)).all())
    finally:
        engine.dispose()
