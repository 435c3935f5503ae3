"""The daily fetch, and the daily comparison with another catalogue."""

from collections.abc import Iterator
from datetime import timedelta

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, SkipReason, schedule
from satcommon.contract import INGEST_BATCH, RECONCILE_JOB, REGION, lane
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import run_requests


@schedule(
    cron_schedule="0 1 * * *",
    job_name=INGEST_BATCH,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def daily_scenes(context: ScheduleEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Fetch yesterday's scene of every active region at 01:00 UTC, unless a sensor has asked for it already."""
    from satfields_ingest.work import scenes_to_ask_for

    env, now = satfields.environment(), context.scheduled_execution_time
    yesterday = (now - timedelta(days=1)).date().isoformat()
    known = set(context.instance.get_dynamic_partitions(REGION))
    runs = scenes_to_ask_for(env, known, now).works
    wanted = (run for run in runs if run.partition_key and yesterday in run.partition_key)
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=INGEST_BATCH, few=0)


@schedule(
    cron_schedule="0 5 * * *",
    job_name=RECONCILE_JOB,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def daily_reconciliation(
    context: ScheduleEvaluationContext, satfields: SatfieldsResource
) -> Iterator[RunRequest | SkipReason]:
    """Compare the ledger with SATFIELDS_RECONCILE_AGAINST at 05:00 UTC, if that is set."""
    if satfields.environment().settings.reconcile_against is None:
        yield SkipReason("SATFIELDS_RECONCILE_AGAINST is not set")
        return
    day = context.scheduled_execution_time.date()
    yield RunRequest(run_key=f"reconcile:{day}", tags=lane("reconcile", "all"))
