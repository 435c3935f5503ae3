"""The deadline: days that still wait close without their scene."""

from __future__ import annotations

from collections.abc import Iterator

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import REGION
from satcommon.run_requests import run_requests

from satfields_realtime.jobs import close_days
from satfields_realtime.work import days_to_close


@schedule(
    cron_schedule="15 * * * *",
    job=close_days,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def passed_deadlines(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
    """Every hour, close the days whose deadline has passed, and those that may close with them."""
    from satcommon.environment import environment

    now = context.scheduled_execution_time
    known = context.instance.get_dynamic_partitions(REGION)
    works = [work for work in days_to_close(known, now) if work.partition_key is not None]
    yield from run_requests(context.instance, works, now, environment().engine)
