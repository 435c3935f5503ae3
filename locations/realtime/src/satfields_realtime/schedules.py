"""The deadline: days that still wait close without their scene."""

from collections.abc import Iterator

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import REALTIME_BATCH, REGION
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import run_requests

from satfields_realtime.jobs import realtime_batch


@schedule(
    cron_schedule="15 * * * *",
    job=realtime_batch,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def passed_deadlines(context: ScheduleEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Every hour, close the days whose deadline has passed, and those that may close with them."""
    from satfields_realtime.work import days_to_close

    env, now = satfields.environment(), context.scheduled_execution_time
    known = context.instance.get_dynamic_partitions(REGION)
    wanted = [run for run in days_to_close(env, known, now) if run.partition_key is not None]
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=REALTIME_BATCH, few=0)
