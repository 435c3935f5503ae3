"""The months of `processing_attempts` on PostgreSQL, each a partition: made ahead, and dropped as a whole when expired.

Only the tables' owner may do that. Without partitions, rows go to the default one: no row is lost, but removing them is
slower. SQLite has one table. Bounds are in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Attempt

AHEAD = 3  # months made besides this one
_TABLE = Attempt.__tablename__
_DEFAULT = f"{_TABLE}_default"
_LOCK_KEY = 0x5A7F1E1E  # of a PostgreSQL advisory lock: one maintenance at a time
_PATIENCE = "2s"  # for a table's lock: writers of attempts queue behind it meanwhile

_OWNED = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'processing_attempts'::regclass"
# The catalog takes no locks; pg_partition_tree would lock the partitions in an order of its own.
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('processing_attempts')"
_STRAYS = """
SELECT DISTINCT date_trunc('month', created_at AT TIME ZONE 'UTC') FROM processing_attempts_default
WHERE created_at < :end
"""


def partitions(connection: Connection) -> set[str]:
    """The tables that hold the attempts' rows on PostgreSQL, whoever attached them."""
    if connection.dialect.name != "postgresql":
        return set()
    return set(connection.execute(text(_PARTITIONS)).scalars())


def missing_months(engine: Engine, now: datetime, ahead: int = AHEAD) -> list[str]:
    """The partitions that `make_months` would make; none where the table has none."""
    if engine.dialect.name != "postgresql":
        return []
    with read_transaction(engine) as connection:
        return sorted(_missing(connection, now, ahead))


def make_months(engine: Engine, now: datetime) -> list[str]:
    """Make the partitions of this month, of the next ones, and of any month with rows in the default partition.

    Returns those that were made. No insert fails meanwhile, and several processes may do this at the same time.
    """
    made: list[str] = []
    if not _owned(engine):
        return made
    for name in missing_months(engine, now):
        with _upkeep(engine) as connection:
            if name not in _missing(connection, now):
                continue  # made by another process meanwhile
            start = _start(name)
            first, end = (f"'{month.isoformat()}'" for month in (start, _after(start)))
            # Attaching also locks these two against writers: lock them first, while nobody waits for attempts.
            connection.execute(text("LOCK TABLE fields, bounding_boxes IN SHARE ROW EXCLUSIVE MODE"))
            # Inserts must wait for the whole table, not for the default partition, which would refuse their rows.
            connection.execute(text(f"LOCK TABLE ONLY {_TABLE} IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(text(f"LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE"))
            connection.execute(text(f"CREATE TABLE {name} (LIKE {_TABLE} INCLUDING DEFAULTS)"))
            among = f"created_at >= {first} AND created_at < {end}"
            moved = f"WITH moved AS (DELETE FROM {_DEFAULT} WHERE {among} RETURNING *)"  # noqa: S608  # our own names
            connection.execute(text(f"{moved} INSERT INTO {name} SELECT * FROM moved"))  # noqa: S608
            connection.execute(
                text(f"ALTER TABLE {_TABLE} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})")
            )
            made.append(name)
    return made


def drop_months(engine: Engine, before: datetime) -> int:
    """Drop the months that ended before an instant; returns the number of their attempts."""
    removed = 0
    if not _owned(engine):
        return removed
    with read_transaction(engine) as connection:
        expired = sorted(name for name in _months(connection) if _after(_start(name)) <= before)
    for name in expired:
        with _upkeep(engine) as connection:
            if name in _months(connection):
                removed += connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()  # noqa: S608
                connection.execute(text(f"DROP TABLE {name}"))
    return removed


@contextmanager
def _upkeep(engine: Engine) -> Iterator[Connection]:
    """A transaction of one maintenance at a time, which makes others wait for a moment only."""
    with write_transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
        yield connection


def _owned(engine: Engine) -> bool:
    """Whether there are partitions, and this user may make and drop them."""
    if engine.dialect.name != "postgresql":
        return False
    with read_transaction(engine) as connection:
        return bool(connection.execute(text(_OWNED)).scalar_one())


def _missing(connection: Connection, now: datetime, ahead: int = AHEAD) -> set[str]:
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    wanted = set()
    for _ in range(ahead + 1):
        wanted.add(_name(month))
        month = _after(month)
    strays = connection.execute(text(_STRAYS), {"end": month}).scalars()
    return (wanted | {_name(stray) for stray in strays}) - _months(connection)


def _months(connection: Connection) -> set[str]:
    """The partitions that `make_months` made."""
    return {name for name in partitions(connection) if re.fullmatch(_TABLE + r"_\d{4}_\d\d", name)}


def _name(month: datetime) -> str:
    return f"{_TABLE}_{month:%Y_%m}"


def _start(name: str) -> datetime:
    year, month = name.split("_")[-2:]
    return datetime(int(year), int(month), 1, tzinfo=UTC)


def _after(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)
