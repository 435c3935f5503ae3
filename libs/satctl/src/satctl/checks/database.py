"""Checks of the ledger's database: server, schema, grants, clock, partitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

from satcommon.db import attempts
from satcommon.db.engine import read_transaction, require_current, shown, write_transaction
from satcommon.db.models import SCHEMA_REVISION, Base, Run
from satcommon.errors import DatabaseVersionError, SettingError
from sqlalchemy import insert, text

from satctl.checks import clocks
from satctl.checks.findings import PROBES, Finding, State, System
from satctl.opening import check_home, is_there
from satctl.output.tables import names

OLDEST_POSTGRESQL = 13  # the oldest known to run our SQL; older ones get no fixes any more
BUSY = 0.8  # share of the server's connections; the start of a day takes many more

# Tables that the user may not read and write, and sequences that it may not use.
_REFUSED = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND (
    c.relkind IN ('r', 'p') AND c.relname = ANY(:tables) AND NOT (
        has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
    OR c.relkind = 'S' AND NOT has_sequence_privilege(c.oid, 'USAGE'))
ORDER BY c.relname
"""


def server(system: System) -> Iterator[Finding]:
    """The database can be reached, and its server is new enough and has connections left."""
    check_home(system.settings)
    engine = system.engine
    if not is_there(engine):
        raise DatabaseVersionError(
            f"There is no database {shown(engine.url)} (SATFIELDS_DATABASE_URL) yet. Run `satctl db upgrade`."
        )
    with read_transaction(engine) as connection:
        if engine.dialect.name != "postgresql":
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
            yield Finding("database", State.OK, f"{shown(engine.url)}: SQLite {version}")
            return
        version = connection.execute(text("SHOW server_version")).scalar_one()
        number = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
        most = int(connection.execute(text("SHOW max_connections")).scalar_one())
        used = connection.execute(text("SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL")).scalar_one()
    said = f"{shown(engine.url)}: PostgreSQL {version}, {used} of {most} connections in use"
    if number < OLDEST_POSTGRESQL:
        yield Finding("database", State.WARNING, f"{said}; upgrade the server to {OLDEST_POSTGRESQL} or newer")
    elif used > BUSY * most:
        advice = "raise its max_connections, or lower SATFIELDS_DATABASE_CONNECTIONS or the runs at a time"
        yield Finding("database", State.WARNING, f"{said}; {advice}")
    else:
        yield Finding("database", State.OK, said)


def schema(system: System) -> Iterator[Finding]:
    """The schema is at this code's revision."""
    require_current(system.engine)
    yield Finding("schema", State.OK, f"at revision {SCHEMA_REVISION}, this code's")


def writes(system: System) -> Iterator[Finding]:
    """The database user may read and write."""
    engine = system.engine
    if engine.dialect.name == "postgresql":
        with read_transaction(engine) as connection:
            if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
                raise SettingError("SATFIELDS_DATABASE_URL names a standby, which accepts no writes; name the primary")
            refused = connection.execute(text(_REFUSED), {"tables": list(Base.metadata.tables)}).scalars().all()
        if refused:
            raise SettingError(
                f"the user {engine.url.username!r} of SATFIELDS_DATABASE_URL may not read and write {names(refused)}; "
                "GRANT SELECT, INSERT, UPDATE, DELETE on the tables and USAGE on the sequences, or name another user"
            )
    with suppress(_RollBack), write_transaction(engine) as connection:
        probe = {"run_id": f"{PROBES}-{uuid4().hex}", "lane": PROBES, "started_at": clocks.now()}
        connection.execute(insert(Run).values(probe | {"heartbeat_at": clocks.now()}))
        raise _RollBack
    yield Finding("writes", State.OK, "the database user may read and write")


class _RollBack(Exception):  # noqa: N818  # not an error: it rolls back a trial write
    pass


def clock(system: System) -> Iterator[Finding]:
    """The clock of PostgreSQL's server agrees with this machine's."""
    if system.engine.dialect.name != "postgresql":
        return  # SQLite: this machine's own clock
    with read_transaction(system.engine) as connection:
        before = clocks.now()
        theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = clocks.now()
    yield clocks.compare_clocks("database clock", "the database server's", before, theirs, after)


def attempts_partitions(system: System) -> Iterator[Finding]:
    """PostgreSQL has the partitions of attempts for this month and the next."""
    if system.engine.dialect.name != "postgresql":
        return  # SQLite: one table without partitions
    missing = attempts.missing_months(system.engine, clocks.now(), ahead=1)
    if missing:
        said = f"no partition {names(missing)}; let a cron job run `satctl gc`, as the user of `satctl db upgrade`"
        yield Finding("attempts", State.WARNING, said)
    else:
        yield Finding("attempts", State.OK, "this month's partition and the next month's exist")
