"""Connections: one place that knows how SQLite and PostgreSQL differ.

SQLite: a transaction that reads first and then writes fails at once with SQLITE_BUSY_SNAPSHOT, whatever the time-out,
so every writing transaction begins IMMEDIATE; the driver is left in autocommit and SQLAlchemy's `begin` event opens it.
PostgreSQL: reading takes one snapshot (REPEATABLE READ), writing is READ COMMITTED under row locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from satcommon.db.models import SCHEMA_REVISION
from satcommon.errors import DatabaseUnavailableError, DatabaseVersionError, SettingError

_WRITES = "satfields_writes"
# What SQLite says when the file is the trouble; its other operational errors are mistakes of ours.
_UNAVAILABLE = ("locked", "unable to open", "disk", "full", "readonly", "read-only", "not a database", "malformed")


def open_engine(url: str, timeout_seconds: float = 30.0) -> Engine:
    """An engine for the ledger; it connects on first use.

    Args:
        url: SQLAlchemy URL, ``sqlite:///path`` or ``postgresql://...`` (psycopg 3 is used whatever driver it names).
        timeout_seconds: how long a lock is waited for.

    Raises:
        SettingError: the URL names no database that is supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingError(
            "SATFIELDS_DATABASE_URL is no database URL: expected sqlite:///FILE or postgresql://..."
        ) from error
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": timeout_seconds, "check_same_thread": False})
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    if parsed.get_backend_name() == "postgresql":
        milliseconds = int(timeout_seconds * 1000)
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=2,  # a run needs one connection at a time, and its heartbeat another
            connect_args={
                "options": f"-c lock_timeout={milliseconds}",
                "connect_timeout": max(2, int(timeout_seconds)),
            },
        )
    shown = parsed.render_as_string(hide_password=True)
    raise SettingError(f"SATFIELDS_DATABASE_URL={shown!r}: expected sqlite:///FILE or postgresql://...")


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # safe with WAL; the mode itself is set once, at migration


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, from one snapshot."""
    with _explained(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed whole at the end, or not at all."""
    with _explained(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    """Turn what the driver says of a database that can't be reached into an error that tells what to do."""
    shown = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        said = str(error.orig).strip().splitlines()[0]
        if "no such table" in said:
            raise DatabaseVersionError(
                f"The database {shown} is not migrated ({said}). Run `satctl db upgrade`."
            ) from error
        if engine.dialect.name == "sqlite" and not any(word in said for word in _UNAVAILABLE):
            raise
        raise DatabaseUnavailableError(
            f"The database {shown} could not be used: {said}. Check SATFIELDS_DATABASE_URL, run "
            "`satctl db upgrade` if it was never made, and try again."
        ) from error
    except DBAPIError as error:
        if "UndefinedTable" in type(error.orig).__name__:
            raise DatabaseVersionError(f"The database {shown} is not migrated. Run `satctl db upgrade`.") from error
        raise


def revision(engine: Engine) -> str | None:
    """The schema revision of the database; None where it was never migrated."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def require_current(engine: Engine) -> None:
    """Refuse a database that this code does not fit.

    Raises:
        DatabaseVersionError: not migrated, behind, or newer than the code.
    """
    shown = engine.url.render_as_string(hide_password=True)
    found = revision(engine)
    if found == SCHEMA_REVISION:
        return
    if found is None or found < SCHEMA_REVISION:
        state = "not migrated" if found is None else f"at revision {found}, behind this code's {SCHEMA_REVISION}"
        raise DatabaseVersionError(f"The database {shown} is {state}. Run `satctl db upgrade`.")
    raise DatabaseVersionError(
        f"The database {shown} is at revision {found}, newer than this code's {SCHEMA_REVISION}. Upgrade the code."
    )
