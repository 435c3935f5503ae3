"""Restoring a ledger: in one transaction of the database that it goes into, so that it is there whole or not at all."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import sql
from satcommon.audit.garbage import stored_objects
from satcommon.db.claims import LANE
from satcommon.db.engine import open_engine, read_transaction, revision, shown, write_transaction
from satcommon.db.models import Base, Field, Publication, Region, Run
from satcommon.db.webhooks import request_resync
from satcommon.errors import DamagedObjectError, DatabaseUnavailableError, DatabaseVersionError, InputError
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Connection, Engine, delete, func, select, text

from satctl.backup.create import named_objects
from satctl.backup.folder import Backups
from satctl.backup.manifest import Manifest
from satctl.backup.snapshot import FILE
from satctl.backup.verify import check_file, unpack
from satctl.local import migrations
from satctl.opening import is_there


@dataclass(frozen=True)
class Target:
    """The database that a backup would go into."""

    revision: str | None  # None: it was never migrated
    regions: int
    fields: int
    publications: int

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost."""
        return not (self.regions or self.fields or self.publications)


@dataclass(frozen=True)
class Compared:
    """A ledger beside its store: objects that it names and are not there, and objects that nothing names."""

    lacking: list[str]
    unnamed: list[str]


def target_of(engine: Engine) -> Target:
    """What is in the database now.

    Raises:
        DatabaseVersionError: its schema is not this code's.
    """
    current = revision(engine) if is_there(engine) else None
    if current is None:
        return Target(None, 0, 0, 0)
    if current != migrations.head():
        raise DatabaseVersionError(
            f"The database {shown(engine.url)} (SATFIELDS_DATABASE_URL) is at revision {current}, this code's is "
            f"{migrations.head()}. Restore into a new database, or run `satctl db upgrade` first."
        )
    with read_transaction(engine) as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (Region, Field, Publication)
        ]
    return Target(current, *counts)


def require_restorable(engine: Engine, manifest: Manifest) -> None:
    """Refuse a backup that does not fit the database's kind, or this code.

    Raises:
        InputError: it is of another kind of database.
        DatabaseVersionError: its schema is newer than this code.
    """
    if manifest.database != engine.dialect.name:
        raise InputError(
            f"backup {manifest.name} is of {manifest.database}, and SATFIELDS_DATABASE_URL names "
            f"{engine.dialect.name}; restore it into the kind of database that it was taken of"
        )
    if manifest.revision not in migrations.known():
        raise DatabaseVersionError(
            f"backup {manifest.name} is of schema revision {manifest.revision}, newer than this code's "
            f"{migrations.head()}. Restore it with the satctl that took it ({manifest.satctl}), or a newer one."
        )


def require_quiet(engine: Engine, now: datetime, stale_seconds: float) -> None:
    """Refuse a database in which runs are at work.

    Raises:
        InputError: a run gave a sign of life within the time after which it counts as dead.
    """
    since = now - timedelta(seconds=stale_seconds)
    alive = select(func.count()).where(Run.lane != LANE, Run.heartbeat_at > since)
    with read_transaction(engine) as connection:
        count = connection.execute(alive).scalar_one()
    if count:
        raise InputError(
            f"{count} runs gave a sign of life within {stale_seconds:g} s; stop Satfields (the daemon and its runs), "
            "wait for that time, and restore again"
        )


def restore(
    engine: Engine, backups: Backups, manifest: Manifest, target: Target, now: datetime, progress: Callable[[], None]
) -> None:
    """Put a backup in the place of what is in the database, and migrate it to this code's schema.

    Killed at any instant, it leaves the database as it was, or restored. Signs of life of runs are not restored: those
    runs are gone. Receivers of webhooks are told to read all anew: they may know what was taken back.

    Args:
        engine: of the database.
        backups: where the backup lies.
        manifest: of the backup.
        target: of `target_of`.
        now: the present.
        progress: called for each part.

    Raises:
        DamagedObjectError: a part is gone or differs; nothing was changed.
        DatabaseUnavailableError: the database can't be reached, or is in use; nothing was changed.
    """
    if engine.dialect.name == "sqlite":
        _restore_file(engine, backups, manifest, now, progress)
    else:
        with write_transaction(engine) as connection:
            _restore_rows(connection, backups, manifest, target, progress)
            _tell_receivers(connection, manifest, now)


def compared(engine: Engine, store: ObjectStore) -> Compared:
    """Compare what the ledger names with what is in the store."""
    with read_transaction(engine) as connection:
        named = set(named_objects(connection))
    stored = set(stored_objects(store))
    return Compared(sorted(named - stored), sorted(stored - named))


def _tell_receivers(connection: Connection, manifest: Manifest, now: datetime) -> None:
    request_resync(connection, f"the ledger was restored at {now:%Y-%m-%dT%H:%M:%SZ} from backup {manifest.name}")


def _restore_file(
    engine: Engine, backups: Backups, manifest: Manifest, now: datetime, progress: Callable[[], None]
) -> None:
    """Make the whole file elsewhere first; then SQLite copies it over the database in one transaction of its own."""
    assert engine.url.database is not None
    file = Path(engine.url.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="satctl-restore-") as folder:
        made = Path(folder) / FILE
        unpack(backups, manifest, made, progress)
        check_file(manifest, made)
        copy = open_engine(f"sqlite:///{made}")
        migrations.upgrade(copy)
        with write_transaction(copy) as connection:
            connection.execute(delete(Run))
            _tell_receivers(connection, manifest, now)
        try:
            with closing(copy.raw_connection()) as source, closing(engine.raw_connection()) as whole:
                read, written = source.driver_connection, whole.driver_connection
                assert isinstance(read, sqlite3.Connection)
                assert isinstance(written, sqlite3.Connection)
                read.backup(written)
        except sqlite3.Error as error:
            raise DatabaseUnavailableError(
                f"{file} could not be written: {error}; stop what uses it, and restore again. Nothing was changed."
            ) from error
        finally:
            copy.dispose()


def _restore_rows(
    connection: Connection, backups: Backups, manifest: Manifest, target: Target, progress: Callable[[], None]
) -> None:
    connection.execute(select(func.pg_advisory_xact_lock(migrations.LOCK_KEY)))
    for timeout in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {timeout} = 0"))
    if target.revision not in (None, manifest.revision):
        for name in [table.name for table in reversed(Base.metadata.sorted_tables)]:
            connection.execute(text(f"DROP TABLE {name}"))
        connection.execute(text("DROP TABLE alembic_version"))
    migrations.upgrade_within(connection, manifest.revision)
    driver: Any = connection.connection.driver_connection
    names = [sql.Identifier(name) for name in (*manifest.tables, Run.__tablename__)]
    with driver.cursor() as cursor:
        cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
        for name, table in manifest.tables.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), columns)
            with cursor.copy(statement) as rows:
                for content in backups.read_stream(manifest, name):
                    rows.write(content)
                    progress()
            if cursor.rowcount != table.rows:
                raise DamagedObjectError(
                    f"backup {manifest.name}: table {name} has {cursor.rowcount:,} rows, the manifest says "
                    f"{table.rows:,}; nothing was changed"
                )
            _set_sequences(cursor, name, table.columns)
    migrations.upgrade_within(connection, "head")
    connection.execute(text("ANALYZE"))


def _set_sequences(cursor: Any, name: str, columns: list[str]) -> None:
    """Let the numbers that the database gives go on after those that are there."""
    for column in columns:
        found = cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (name, column)).fetchone()
        if found[0] is not None:
            last = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), sql.Identifier(name))
            cursor.execute(
                sql.SQL("SELECT setval(%s, coalesce(({}), 1), ({}) IS NOT NULL)").format(last, last), (found[0],)
            )
