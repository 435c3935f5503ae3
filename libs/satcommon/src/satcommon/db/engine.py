"""Connections: one place that knows how SQLite and PostgreSQL differ.

SQLite: a transaction that reads first and then writes fails immediately with SQLITE_BUSY_SNAPSHOT, whatever the
time-out. So every write transaction begins IMMEDIATE: the driver stays in autocommit, and SQLAlchemy's `begin` event
opens the transaction. PostgreSQL: a read transaction sees one snapshot (REPEATABLE READ), a write transaction is READ
COMMITTED under row locks. Every wait has a time-out, whatever happens to the network, the server or the process that
holds a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from satcommon.db.models import SCHEMA_REVISION
from satcommon.errors import DatabaseUnavailableError, DatabaseVersionError, SatfieldsError, SettingError
from satcommon.settings import Settings

_WRITES = "satfields_writes"
# SQLite's primary codes for a file that can't be used; any other error is a bug of ours.
_UNAVAILABLE = (
    "SQLITE_AUTH",
    "SQLITE_BUSY",
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_LOCKED",
    "SQLITE_NOTADB",
    "SQLITE_PERM",
    "SQLITE_PROTOCOL",
    "SQLITE_READONLY",
)
# What to do about PostgreSQL's errors, by SQLSTATE.
_ADVICE = {
    "55P03": "Another transaction held it for longer than SATFIELDS_DATABASE_TIMEOUT_SECONDS; try again.",
    "57014": "It took longer than SATFIELDS_DATABASE_STATEMENT_SECONDS; try again, or raise that.",
    "25P03": "The process paused for longer than SATFIELDS_DATABASE_STATEMENT_SECONDS.",
    "40P01": "Try again.",  # a deadlock
    "25006": "Let SATFIELDS_DATABASE_URL name a server that takes writes.",
}
_INSUFFICIENT_PRIVILEGE, _UNDEFINED_TABLE = "42501", "42P01"
_SECRETS = ("password", "sslpassword")  # of a URL's query
_KEPT = 1  # connections that a process keeps open; it opens the rest of its budget when it needs them


def engine_of(settings: Settings) -> Engine:
    """The ledger's engine, by the settings; raises what `open_engine` raises."""
    return open_engine(
        settings.database_url,
        settings.database_timeout_seconds,
        settings.database_statement_seconds,
        settings.database_connections,
    )


def open_engine(
    url: str, timeout_seconds: float = 30.0, statement_seconds: float = 300.0, connections: int = 4
) -> Engine:
    """An engine for the ledger; it connects on first use.

    Args:
        url: SQLAlchemy URL, ``sqlite:///path`` or ``postgresql://...`` (always with psycopg 3, whatever driver it
            names; its query takes libpq's parameters, such as ``sslmode`` and ``sslrootcert``).
        timeout_seconds: how long to wait for a lock.
        statement_seconds: how long PostgreSQL lets a statement run, or a transaction pause, before it ends them.
        connections: the most that this process opens to PostgreSQL.

    Raises:
        SettingError: the URL names no supported database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Show neither the URL nor the parser's message: either may hold a part of the password.
        raise SettingError(
            "SATFIELDS_DATABASE_URL is no database URL: expected sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for special characters of the password"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": timeout_seconds, "check_same_thread": False})
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # after a restart of the server: a new connection instead of an error
            pool_size=_KEPT,
            max_overflow=max(0, connections - _KEPT),
            pool_timeout=timeout_seconds,
            connect_args=_connect_args(parsed, timeout_seconds, statement_seconds),
        )
        event.listen(engine, "checkin", _postgresql_checkin)
        return engine
    raise SettingError(f"SATFIELDS_DATABASE_URL={shown(parsed)!r}: expected sqlite:///FILE or postgresql://...")


def shown(url: URL) -> str:
    """A database's URL without its secrets."""
    return url.difference_update_query(_SECRETS).render_as_string(hide_password=True)


def _connect_args(url: URL, timeout_seconds: float, statement_seconds: float) -> dict[str, Any]:
    """libpq's parameters besides those of the URL, which take precedence."""
    of_server = {
        "lock_timeout": timeout_seconds,
        "statement_timeout": statement_seconds,
        "idle_in_transaction_session_timeout": statement_seconds,  # else a process that hangs keeps its region's lock
    }
    options = [f"-c {name}={int(seconds * 1000)}" for name, seconds in of_server.items()]
    asked = url.query.get("options", "")
    arguments = {
        "fallback_application_name": "satfields",
        "connect_timeout": min(10, max(2, int(timeout_seconds))),  # per address; libpq's minimum is 2
        # Give up a silent peer after a minute, whether or not something was sent to it.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return arguments | {"options": " ".join([*options, *([asked] if isinstance(asked, str) else asked)])}


def _postgresql_checkin(connection: Any, _record: Any) -> None:
    """Undo `read_transaction`: SQLAlchemy would make the next transaction READ WRITE, whatever the user's default."""
    if connection is not None and not connection.closed:
        connection.read_only = None


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # safe with WAL; the mode itself is set once, at migration


def _sqlite_begin(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:  # which locks nothing, and so can't fail: by SQLAlchemy it took as long as to look up a field
        connection.connection.cursor().execute("BEGIN")


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, and sees one snapshot."""
    with _usable_database(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: it commits as a whole at the end, or not at all."""
    with _usable_database(engine), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


@contextmanager
def _usable_database(engine: Engine) -> Iterator[None]:
    """Turn a driver's error about an unusable database into one that says what to do."""
    try:
        yield
    except DBAPIError as error:
        clearer = _error_for_people(engine, error)
        if clearer is None:
            raise
        raise clearer from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(
            f"All connections to {shown(engine.url)} that this process may have are in use; it needs more of them "
            "(SATFIELDS_DATABASE_CONNECTIONS), or less at a time"
        ) from error


def _error_for_people(engine: Engine, error: DBAPIError) -> SatfieldsError | None:
    """The error to raise instead, by the driver's types and codes; None for a bug of ours."""
    said = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
    database = f"The database {shown(engine.url)} (SATFIELDS_DATABASE_URL)"
    unavailable = DatabaseUnavailableError(
        f"{database} could not be used: {said}. Check SATFIELDS_DATABASE_URL, run `satctl db upgrade` if it was "
        "never made, and try again."
    )
    if engine.dialect.name == "sqlite":
        code = getattr(error.orig, "sqlite_errorname", "")
        if "_".join(code.split("_")[:2]) in _UNAVAILABLE:
            return unavailable
        # SQLite has one code for a missing table and for any bug, so ask the schema.
        migrated = code != "SQLITE_ERROR" or revision(engine) is not None
        return None if migrated else _not_migrated(database, said)
    state = getattr(error.orig, "sqlstate", None)
    if state == _UNDEFINED_TABLE:
        return _not_migrated(database, said)
    if state in _ADVICE:
        return DatabaseUnavailableError(f"{database} could not be used: {said}. {_ADVICE[state]}")
    if state == _INSUFFICIENT_PRIVILEGE:
        return SettingError(f"{database} refuses its user: {said}. Grant it that, or name another user.")
    if isinstance(error, OperationalError):
        return unavailable
    if error.statement is None:  # psycopg could not parse the URL
        return SettingError(f"{database} can't be connected to: {said}. Correct SATFIELDS_DATABASE_URL.")
    return None


def _not_migrated(database: str, said: str) -> DatabaseVersionError:
    return DatabaseVersionError(f"{database} is not migrated ({said}). Run `satctl db upgrade`.")


def revision(engine: Engine) -> str | None:
    """The schema revision of the database; None if it was never migrated."""
    with read_transaction(engine) as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The schema revision that a transaction sees; None if the database was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)


def require_current(engine: Engine) -> None:
    """Refuse a database whose schema is not this code's.

    Raises:
        DatabaseVersionError: not migrated, behind, or newer than the code.
    """
    database = f"The database {shown(engine.url)} (SATFIELDS_DATABASE_URL)"
    current = revision(engine)
    if current == SCHEMA_REVISION:
        return
    if current is None or current < SCHEMA_REVISION:
        state = "not migrated" if current is None else f"at revision {current}, behind this code's {SCHEMA_REVISION}"
        raise DatabaseVersionError(f"{database} is {state}. Run `satctl db upgrade`.")
    raise DatabaseVersionError(
        f"{database} is at revision {current}, newer than this code's {SCHEMA_REVISION}. Upgrade the code."
    )
