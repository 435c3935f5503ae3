"""How Alembic reaches the database: one transaction for the whole way, under a lock, on SQLite and PostgreSQL alike.

A caller that puts a connection into ``config.attributes["connection"]`` has the transaction and the lock itself.
The database is, in this order: the engine that a caller put into ``config.attributes["engine"]``, the option
``sqlalchemy.url``, SATFIELDS_DATABASE_URL. Of two upgrades at a time the second waits and finds nothing to do.
"""

import sqlite3
import time
from contextlib import closing
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from satcommon.db.attempts import partitions
from satcommon.db.engine import engine_of, open_engine, write_transaction
from satcommon.db.models import Base, UtcDateTime
from satcommon.settings import settings
from satctl.local.migrations import LOCK_KEY
from sqlalchemy import Connection, Engine, Enum, func, select, text


def _engine() -> Engine:
    named = context.config.get_main_option("sqlalchemy.url")
    return context.config.attributes.get("engine") or (open_engine(named) if named else engine_of(settings()))


def _render_item(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    """Name plain column types in new migrations: those of the models change, a migration stays as it was written."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String({item.length})"
    return False


def _lock(connection: Connection) -> None:
    """Keep other migrations out until the transaction ends. SQLite needs none: `write_transaction` began IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
        connection.execute(text("SET LOCAL statement_timeout = 0"))  # an index on a large table takes its time


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=lambda name, kind, _: kind != "table" or name not in partitions(connection),
        compare_type=True,
        render_item=_render_item,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
    )
    context.run_migrations()


def _migrate() -> None:
    within = context.config.attributes.get("connection")
    if within is not None:
        _run(within)
        return
    engine = _engine()
    with write_transaction(engine) as connection:
        _lock(connection)
        _run(connection)
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)


def _write_ahead(engine: Engine) -> None:
    """Let readers and a writer not wait for each other; the file remembers it.

    SQLite refuses it in a transaction, and gives up at once, whatever the time-out, where another connection reads.
    """
    give_up = time.monotonic() + settings().database_timeout_seconds
    with closing(engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)


def _print_sql() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or settings().database_url
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _print_sql()
else:
    _migrate()
