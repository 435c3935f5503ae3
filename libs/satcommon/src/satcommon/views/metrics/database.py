"""The ledger's database itself: its connections, size, oldest transaction and clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, text

from satcommon.telemetry.metrics import Sample

_OF_POSTGRESQL = text(
    "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,"
    " current_setting('max_connections')::float AS allowed,"
    " pg_database_size(current_database()) AS size,"
    " (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity"
    "  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS oldest,"
    " clock_timestamp() AS instant"
)


def database_samples(connection: Connection, clock: Callable[[], datetime]) -> Iterator[Sample]:
    """The samples of the collector `database`; a SQLite file has a size, and this machine's clock.

    Args:
        connection: of a read transaction.
        clock: this machine's.
    """
    if connection.dialect.name != "postgresql":
        yield Sample("satfields_database_size_bytes", (), float(_file_size(connection)))
        return
    before = clock()
    row = connection.execute(_OF_POSTGRESQL).one()
    after = clock()
    yield Sample("satfields_database_connections", (), float(row.connections))
    yield Sample("satfields_database_connections_limit", (), float(row.allowed))
    yield Sample("satfields_database_size_bytes", (), float(row.size))
    yield Sample("satfields_database_transaction_age_seconds", (), float(row.oldest))
    ahead, behind = row.instant - after, before - row.instant
    offset = ahead if ahead > timedelta(0) else -max(behind, timedelta(0))
    yield Sample("satfields_clock_offset_seconds", (), offset.total_seconds())


def _file_size(connection: Connection) -> int:
    """Of the SQLite file and the log beside it."""
    connection.execute(text("SELECT count(*) FROM alembic_version"))  # that it can be read at all
    file = connection.engine.url.database
    files = [Path(f"{file}{end}") for end in ("", "-wal")] if file else []
    return sum(each.stat().st_size for each in files if each.exists())
