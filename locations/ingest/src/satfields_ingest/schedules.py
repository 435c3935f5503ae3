"""The daily fetch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import FETCH_JOB, REGION
from satcommon.run_requests import run_requests

from satfields_ingest.work import scenes_to_ask_for


@schedule(
    cron_schedule="0 1 * * *",
    job_name=FETCH_JOB,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def daily_scenes(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
    """Fetch yesterday's scene of every active region at 01:00 UTC, unless a sensor has asked for it already."""
    from satcommon.environment import environment

    now = context.scheduled_execution_time
    yesterday = (now - timedelta(days=1)).date().isoformat()
    known = set(context.instance.get_dynamic_partitions(REGION))
    works = (w for w in scenes_to_ask_for(known, now).works if w.partition_key and yesterday in w.partition_key)
    yield from run_requests(context.instance, works, now, environment().engine)
