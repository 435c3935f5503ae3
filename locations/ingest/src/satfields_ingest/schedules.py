"""The daily fetch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import FETCH_JOB, REGION, lane, partition


@schedule(
    cron_schedule="0 1 * * *",
    job_name=FETCH_JOB,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def daily_scenes(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
    """Fetch yesterday's scene of every active region at 01:00 UTC."""
    from satcommon.db.engine import reading
    from satcommon.db.registry import regions
    from satcommon.environment import environment

    yesterday = context.scheduled_execution_time.date() - timedelta(days=1)
    known = set(context.instance.get_dynamic_partitions(REGION))
    with reading(environment().engine) as connection:
        active = [r for r in regions(connection, active=True) if r.name in known]
    for region in active:
        if region.monitored_from <= yesterday <= (region.monitored_until or yesterday):
            yield RunRequest(
                run_key=f"daily:{region.name}:{yesterday}",
                partition_key=partition(region.name, yesterday),
                tags=lane("ingest", region.name),
            )
