"""The safety net: every six hours, whatever the sensors saw."""

from __future__ import annotations

from collections.abc import Iterator

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import REGION, REPLAY_JOB
from satcommon.run_requests import run_requests

from satfields_reprocessing.work import backlogs_to_drain


@schedule(
    cron_schedule="0 */6 * * *",
    job_name=REPLAY_JOB,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def open_backlogs(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
    """Drain every backlog that can be worked on."""
    from satcommon.environment import environment

    now = context.scheduled_execution_time
    known = context.instance.get_dynamic_partitions(REGION)
    yield from run_requests(context.instance, backlogs_to_drain(known, now), now, environment().engine)
