"""Ending runs whose process is gone: the local launcher has no health check, so the ledger's heartbeats tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from satcommon.telemetry.logs import logger

if TYPE_CHECKING:
    from satcommon.environment import Environment


def fail_stale_runs(instance: DagsterInstance, env: Environment, location: str, now: datetime) -> list[str]:
    """End a location's runs that give no sign of life: the local launcher never tells that a process is gone.

    The last sign is the heartbeat in the ledger; for a run that died before its first one, Dagster's last event of it.
    A run that was being cancelled is cancelled; one that never came to start is left to Dagster's own run monitoring,
    which knows how long starting may take.

    Args:
        instance: of Dagster.
        env: with the ledger.
        location: the code location.
        now: the present.

    Returns:
        The ids of the runs that were ended.
    """
    from satcommon.db.heartbeat import heartbeats

    begun = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    found = instance.get_run_records(RunsFilter(statuses=begun))
    records = {r.dagster_run.run_id: r for r in found if _is_of(r.dagster_run, location)}
    beats = heartbeats(env.engine, list(records))
    oldest = now - timedelta(seconds=env.settings.stale_seconds)
    dead = [r.dagster_run for run_id, r in records.items() if (beats.get(run_id) or _utc(r.update_timestamp)) < oldest]
    message = f"no sign of life for {env.settings.stale_seconds:g} s: the run's process is gone"
    for run in dead:
        logger(__name__).warning("run ended as dead", run=run.run_id, job=run.job_name, status=run.status.value)
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message)
        else:
            instance.report_run_failed(run, message)
    return [run.run_id for run in dead]


def _is_of(run: DagsterRun, location: str) -> bool:
    """Whether a run is a location's; one that was started without a code server is everybody's."""
    return run.remote_job_origin is None or run.remote_job_origin.location_name == location


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
