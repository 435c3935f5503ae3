"""Checks of Dagster: its database, webserver, code locations and runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from satcommon.db.engine import shown
from satcommon.errors import RetryableError, SettingError
from satcommon.messages import command
from satcommon.secret_files import secret
from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from satctl.checks import clocks
from satctl.checks.findings import Finding, State, System
from satctl.local.dagster_home import DAGSTER_DATABASE
from satctl.local.home_lock import dagster_url


def records(_: System) -> Iterator[Finding]:
    """Where Dagster keeps its records in PostgreSQL: the database can be used, and is not the ledger's."""
    stated = secret(DAGSTER_DATABASE)
    if not stated:
        return  # Dagster keeps its records in files
    url = _dagster_url(stated)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args={"connect_timeout": 10}
    )
    try:
        with engine.connect() as connection:
            ours = connection.execute(text("SELECT to_regclass('region_days')")).scalar_one() is not None
            grants = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
            may_create = connection.execute(text(grants)).scalar_one()
    except DBAPIError as error:
        said = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
        raise SettingError(f"{DAGSTER_DATABASE} ({shown(url)}) can't be used: {said}; correct it") from None
    if ours:
        raise SettingError(f"{DAGSTER_DATABASE} names the ledger's database; create one for Dagster, and name that")
    if not may_create:
        raise SettingError(f"the user {url.username!r} of {DAGSTER_DATABASE} may not create tables there; GRANT CREATE")
    yield Finding("dagster database", State.OK, f"{shown(url)} ({DAGSTER_DATABASE})")


def _dagster_url(stated: str) -> URL:
    with suppress(ArgumentError, ValueError):
        url = make_url(stated)
        if url.drivername in ("postgresql", "postgresql+psycopg2"):
            return url
    # The value is not shown: it may hold a part of the password.
    raise SettingError(f"{DAGSTER_DATABASE}: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")


def locations(system: System) -> Iterator[Finding]:
    """Dagster's webserver answers, and each code location is loaded."""
    from satctl.dagster_api import graphql

    url = dagster_url(system.settings)
    states = graphql.location_states(url)
    yield Finding("dagster", State.OK, f"answers at {graphql.public(url)} (SATFIELDS_DAGSTER_URL)")
    wanted = set(states)
    with suppress(SettingError):  # a wrong setting has a finding already, and keeps the contract from loading
        from satcommon.contract import LOCATIONS

        wanted |= set(LOCATIONS)
    for name in sorted(wanted):
        state = states.get(name)
        check = f"location {name}"
        if state == graphql.LOADED:
            yield Finding(check, State.OK, "loaded")
        elif state == graphql.LOADING:
            yield Finding(check, State.WARNING, "is still loading; ask again in a minute")
        elif state is None:
            yield Finding(check, State.FAILED, "is not in Dagster's workspace; add its code server there")
        else:
            yield Finding(check, State.FAILED, f"{state}; fix that, then {command('locations', 'reload', name)}")


def runs(system: System) -> Iterator[Finding]:
    """Runs without a process, as after a power cut, and a queue that they block."""
    from satctl.dagster_api.stuck_runs import runs_report

    try:
        report = runs_report(dagster_url(system.settings), system.engine, system.settings, clocks.now())
    except RetryableError as error:
        yield Finding("runs", State.NOT_CHECKED, str(error))
        return
    if report.standstill:
        yield Finding("runs", State.FAILED, report.standstill)
    for run in report.silent:
        yield Finding(
            "runs", State.FAILED if run.is_overdue(clocks.now()) else State.WARNING, run.described(clocks.now())
        )
    if not report.standstill and not report.silent:
        said = f"{report.in_progress:,} in progress, none of them silent; {report.queued:,} in the queue"
        yield Finding("runs", State.OK, said)
