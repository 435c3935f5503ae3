"""Dagster's storage on PostgreSQL, with connections that a process keeps, and all its storages share.

The stock storages open a connection for every query and close it again: a daemon with a few sensors opens dozens a
second, and PostgreSQL forks a process for each. A code server makes an instance anew for each tick, so that the
connections belong to the process, not to the instance. This module needs nothing but dagster-postgres, since it is also
in the image of Dagster's webserver and daemon, which holds no other code of ours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dagster import Field, IntSource
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster._config.config_schema import UserConfigSchema
    from dagster._serdes import ConfigurableClassData
    from dagster_postgres.auth import PgTokenProvider

KEPT = 4  # connections that a process keeps, at most: it opens them when it needs them
MORE = 16  # that it opens beside those for a moment; a query waits for one, rather than fail
RECYCLED_SECONDS = 1800  # age at which a connection is replaced: firewalls and failovers forget old ones


@cache
def shared_engine(url: str, connections: int) -> Engine:
    """The process's engine for a database; the tables are made where they are not there.

    Args:
        url: of the database.
        connections: that are kept, at most.
    """
    DagsterPostgresStorage(url)
    return _new_engine(url, connections)


def _new_engine(url: str, connections: int, tokens: PgTokenProvider | None = None) -> Engine:
    return create_pg_engine(
        url,
        tokens,
        isolation_level="AUTOCOMMIT",
        pool_size=connections,
        max_overflow=MORE,
        pool_pre_ping=True,
        pool_recycle=RECYCLED_SECONDS,
        pool_use_lifo=True,  # what a busy moment opened grows old and is replaced, not used in turn
    )


class _Shared:
    """A storage whose engine is another's too."""

    _engine: Engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:  # noqa: ARG002
        """The webserver's: the pool is there already; a statement that takes too long ends."""

        def limited(connection: Any, _record: Any) -> None:
            set_pg_statement_timeout(connection, statement_timeout)

        event.listen(self._engine, "connect", limited)
        self._engine.dispose()  # those that are open have no limit


class _RunStorage(_Shared, PostgresRunStorage):
    """Of runs."""


class _EventLogStorage(_Shared, PostgresEventLogStorage):
    """Of events."""


class _ScheduleStorage(_Shared, PostgresScheduleStorage):
    """Of schedules and sensors."""


class PooledPostgresStorage(DagsterPostgresStorage):
    """As `DagsterPostgresStorage`, with a pool of connections.

    Configured in dagster.yaml by `storage: custom:`, with the same configuration and, besides, `connections`: how many
    a process keeps. A connection that the server has closed is replaced before it is used.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
        connections: int = KEPT,
    ) -> None:
        shared = token_provider is None and should_autocreate_tables
        super().__init__(postgres_url, should_autocreate_tables and not shared, inst_data, token_provider)
        if shared:
            engine = shared_engine(postgres_url, connections)
        else:
            engine = _new_engine(postgres_url, connections, token_provider)
        self._run_storage = _RunStorage(postgres_url, should_autocreate_tables=False, token_provider=token_provider)
        self._event_log_storage = _EventLogStorage(
            postgres_url, should_autocreate_tables=False, token_provider=token_provider
        )
        self._schedule_storage = _ScheduleStorage(
            postgres_url, should_autocreate_tables=False, token_provider=token_provider
        )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # Dagster is pinned; a test counts connections

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """As the stock storage's, with `connections`."""
        stock: Any = pg_config()
        return {**stock, "connections": Field(IntSource, is_required=False, default_value=KEPT)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        """Made from dagster.yaml."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
            config_value.get("connections", KEPT),
        )
