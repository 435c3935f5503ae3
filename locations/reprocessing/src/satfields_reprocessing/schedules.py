"""The safety net: every six hours, whatever the sensors saw; and each day, whether it held."""

from collections.abc import Iterator

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, schedule
from satcommon.contract import AUDIT_JOB, REGION, REPROCESSING_BATCH
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import run_requests


@schedule(
    cron_schedule="0 */6 * * *",
    job_name=REPROCESSING_BATCH,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def open_backlogs(context: ScheduleEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Drain every backlog that can be worked on."""
    from satfields_reprocessing.work import backlogs_to_drain

    env, now = satfields.environment(), context.scheduled_execution_time
    known = context.instance.get_dynamic_partitions(REGION)
    wanted = backlogs_to_drain(env, known, now)
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=REPROCESSING_BATCH, few=0)


@schedule(
    cron_schedule="0 5 * * *",
    job_name=AUDIT_JOB,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def daily_audit() -> RunRequest:
    """Audit all regions at 05:00 UTC."""
    return RunRequest()
