"""Dagster's old runs, whose events go with them: nothing is read from either that the ledger does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from satcommon.db.expected import ONE_DAY
from satcommon.settings import Settings

from satctl.dagster_api import graphql

PAGE = 200  # runs that one query lists


def kept_from(chosen: Settings, now: datetime) -> datetime:
    """The instant from which runs are kept: as the settings say, and those of days in the window of partitions.

    Dagster shows a partition by the event of the run that materialized it, at the earliest on the day itself.
    """
    from satcommon.contract import window_start

    of_window = datetime.combine(window_start(chosen, now.date()) - ONE_DAY, time(), UTC)
    return min(now - timedelta(days=chosen.dagster_days), of_window)


def old_runs(url: str, before: datetime) -> Iterator[graphql.Run]:
    """The runs that ended before an instant, but for those that published the registry: it is compared with the last.

    Raises:
        PermanentError: Dagster refused the query.
        RetryableError: it does not answer.
    """
    from satcommon.contract import REGISTRY_JOB

    after = None
    while found := graphql.ended_before(url, before, PAGE, after):
        yield from (run for run in found if run.job != REGISTRY_JOB)
        after = found[-1].run_id
