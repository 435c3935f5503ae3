"""A consistent copy of the ledger, while runs go on.

SQLite gives its file through its online backup. PostgreSQL gives the rows of our tables by COPY, in one REPEATABLE READ
transaction: that needs no pg_dump, which must be of the server's version or newer, and is read by any later server.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql
from satcommon.db.engine import open_engine, read_transaction
from satcommon.db.models import Base, Run
from satcommon.errors import DatabaseUnavailableError
from sqlalchemy import Connection, Engine, text

FILE = "satfields.db"  # the stream of SQLite's file
TABLES = [table for table in Base.metadata.sorted_tables if table.name != Run.__tablename__]
"""What is copied, in an order in which rows can be entered: all but the heartbeats of runs, which will be dead."""

_CHUNK = 8 << 20


@dataclass(frozen=True)
class Snapshot:
    """The ledger at an instant.

    Attributes:
        connection: reads it.
        streams: its bytes, by the stream's name.
    """

    connection: Connection
    streams: Mapping[str, Iterator[bytes | memoryview]]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Snapshot]:
    """The ledger as it is now, whatever is committed while the block lasts.

    Raises:
        DatabaseUnavailableError: it can't be read, or there is no room for SQLite's copy (TMPDIR).
    """
    with ExitStack() as stack:
        if engine.dialect.name == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="satctl-backup-"))
            file = Path(folder) / FILE
            _copy_file(engine, file)
            copy = open_engine(f"sqlite:///{file}")
            stack.callback(copy.dispose)
            connection = stack.enter_context(read_transaction(copy))
            yield Snapshot(connection, {FILE: _chunks(file)})
            return
        connection = stack.enter_context(read_transaction(engine))
        for timeout in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {timeout} = 0"))  # a large table, or a slow place, takes its time
        yield Snapshot(connection, {table.name: _copy_out(connection, table) for table in TABLES})


def _copy_file(engine: Engine, file: Path) -> None:
    try:
        with closing(engine.raw_connection()) as source, closing(sqlite3.connect(file)) as target:
            driver = source.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    except sqlite3.Error as error:
        raise DatabaseUnavailableError(
            f"{engine.url.database} could not be copied to {file.parent}: {error}; make room there, or name another "
            "folder in TMPDIR, and try again"
        ) from error


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _copy_out(connection: Connection, table: Any) -> Iterator[bytes | memoryview]:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    # A partitioned table can't be copied by its name.
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, sql.Identifier(table.name))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as rows:
        yield from rows
