"""Runs of a region's jobs: which run a day or a span of days needs, and waiting for its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError, PermanentError
from satcommon.geo.solar import last_day_over
from satcommon.messages import command

from satctl.dagster_api import graphql
from satctl.output.tables import progress, warn

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment

POLL_SECONDS = 1.0  # between two queries of the run that --wait follows
QUEUED_SECONDS = 60.0  # after which --wait warns that the run is still queued
SUCCESS = "SUCCESS"
_QUEUED, _ENDED = "QUEUED", (SUCCESS, "FAILURE", "CANCELED")


@dataclass(frozen=True)
class Launch:
    """A run to be launched."""

    location: str
    job: str
    tags: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)


def require_over(option: str, region: Region, day: date, now: datetime) -> None:
    """Refuse a day that is not over in a region.

    Args:
        option: by which the day was stated, for the message.
        region: the region.
        day: the day.
        now: the present.

    Raises:
        InputError: it is not; the message names the option and the last day that is.
    """
    last = last_day_over(now, registry.aoi_of(region).bounds)
    if day > last:
        raise InputError(f"{option} {day}: the day is not over in region {region.name!r}; the last one is {last}")


def launch_of_day(env: Environment, job: str, region: str, day: date, now: datetime) -> Launch:
    """A run of one region's day.

    Dagster would accept a partition that does not exist, and fail later; this refuses it now.

    Args:
        env: with the ledger.
        job: name of the job.
        region: the region.
        day: the day.
        now: the present.

    Raises:
        InputError: the day is not over, lies before Dagster's window, or is not monitored.
    """
    from satcommon import contract

    with read_transaction(env.engine) as connection:
        registered = registry.region(connection, region)
    require_over("--day", registered, day, now)
    if not contract.in_window(day, now):
        backfill = command("runs", "launch", contract.BACKFILL_JOB, "--region", region, "--until", "DAY")
        raise InputError(
            f"--day {day}: Dagster's window begins on {contract.FIRST_PARTITION} (SATFIELDS_PARTITIONS_DAYS); "
            f"the backfill job closes older days: {backfill}"
        )
    if not registered.monitored_from <= day <= (registered.monitored_until or date.max):
        raise InputError(
            f"--day {day}: region {region!r} is monitored from {registered.monitored_from} to "
            f"{registered.monitored_until or 'further notice'}"
        )
    if not registered.active:
        warn(f"region {region!r} is paused; {command('regions', 'activate', region)} resumes it")
    location, kind = {contract.FETCH_JOB: ("ingest", "ingest"), contract.CLOSE_JOB: ("realtime", "realtime")}[job]
    partition = {
        "dagster/partition": str(contract.partition(region, day)),
        f"dagster/partition/{contract.DATE}": day.isoformat(),
        f"dagster/partition/{contract.REGION}": region,
    }
    return Launch(location, job, partition | contract.lane(kind, region))


def launch_of_backfill(env: Environment, region: str, until: date, now: datetime) -> Launch:
    """A run that fetches and closes a region's days, from its first open day until a given day.

    Args:
        env: with the ledger.
        region: name of the region.
        until: the last day.
        now: the present.

    Raises:
        InputError: the given day is not over, or lies before the first open day.
    """
    from satcommon import contract

    with read_transaction(env.engine) as connection:
        registered = registry.region(connection, region)
        first = ledger.next_day(connection, registered)
    require_over("--until", registered, until, now)
    if until < first:
        raise InputError(f"--until {until}: the first open day of region {region!r} is {first}; there is nothing to do")
    if first < contract.FIRST_PARTITION:
        warn(
            f"days before {contract.FIRST_PARTITION} (SATFIELDS_PARTITIONS_DAYS) are closed and can be exported, "
            "but Dagster's window does not show them"
        )
    config = contract.backfill_config(region, until)
    return Launch("realtime", contract.BACKFILL_JOB, contract.lane("backfill", region), config)


def wait_until_ended(url: str, run_id: str, job: str) -> graphql.Run:
    """Wait for a run's end; returns the run. Interrupting the wait does not end the run.

    Raises:
        PermanentError: the run was deleted.
    """
    remark_at = time.monotonic() + QUEUED_SECONDS
    with progress(f"waiting for {job}"):
        while True:
            runs = graphql.runs(url, 1, run_ids=[run_id])
            if not runs:
                raise PermanentError(f"Dagster does not know run {run_id} any more: somebody deleted it")
            if runs[0].status in _ENDED:
                return runs[0]
            if runs[0].status == _QUEUED and time.monotonic() > remark_at:
                warn("the run is still queued: another run of its lane is in progress, or Dagster's daemon is down")
                remark_at = float("inf")
            time.sleep(POLL_SECONDS)


def how_it_ended(run: graphql.Run, page: str) -> str:
    """A sentence on a run that ended well; `page` shows the run in the UI.

    Raises:
        PermanentError: it did not.
    """
    if run.status != SUCCESS:
        raise PermanentError(f"the run ended as {run.status}; {page} shows why")
    return f"it ended as {run.status}" + (f" after {run.seconds:.0f} s" if run.seconds is not None else "")
