"""What wakes ingest: a registry that changed, due scenes that are not there yet, runs that died."""

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster import (
    AddDynamicPartitionsRequest,
    DefaultSensorStatus,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from satcommon.contract import FETCH_JOB, INGEST_BATCH, REGION, REGISTRY_JOB
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import cancel_needless, run_requests
from satcommon.settings import settings
from satcommon.stale_runs import fail_stale_runs

from satfields_ingest.jobs import fetch_scenes, ingest_batch, rescan_scenes

LOOKS_A_TICK = 50  # regions that are compared with the source: a thousand in ten minutes of ticks


@sensor(
    job_name=REGISTRY_JOB,
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def registry_changed(context: SensorEvaluationContext, satfields: SatfieldsResource) -> SensorResult | SkipReason:
    """Publish the registry when it is not the published one, and give new regions their partitions."""
    from satfields_ingest import work

    env, now = satfields.environment(), datetime.now(UTC)
    fail_stale_runs(context.instance, env, "ingest", now)
    names = work.region_names(env)
    known = set(context.instance.get_dynamic_partitions(REGION))
    missing = [name for name in names if name not in known]
    wanted = work.registry_to_publish(env, context.instance)
    runs = list(run_requests(context.instance, wanted, now, env.engine))
    if not missing and not runs:
        return SkipReason("the registry is published, or a run is publishing it")
    return SensorResult(
        run_requests=runs,
        dynamic_partitions_requests=[AddDynamicPartitionsRequest(REGION, missing)] if missing else [],
    )


@sensor(
    jobs=[fetch_scenes, ingest_batch],
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def due_scenes(context: SensorEvaluationContext, satfields: SatfieldsResource) -> SensorResult:
    """Look for scenes within the allowed lateness: days never asked for, and days for which there is something new.

    Some regions are compared with the source in each tick; the cursor names the last of them. Runs that wait in the
    queue for days that were answered meanwhile, as by a backfill, are taken off it.
    """
    from satfields_ingest import work

    env, now = satfields.environment(), datetime.now(UTC)
    fail_stale_runs(context.instance, env, "ingest", now)
    known = set(context.instance.get_dynamic_partitions(REGION))
    look = work.scenes_to_ask_for(env, known, now, LOOKS_A_TICK, context.cursor)
    for region, trouble in look.troubles.items():
        context.log.warning("region %s could not be compared with the source: %s", region, trouble)
    wanted = list(look.works)
    names = {run.name for run in wanted}
    cancel_needless(context.instance, FETCH_JOB, lambda name: work.is_first_look(name) and name not in names)
    runs = list(run_requests(context.instance, wanted, now, env.engine, batch_job=INGEST_BATCH))
    return SensorResult(run_requests=runs, cursor=look.last)


@sensor(
    jobs=[rescan_scenes, ingest_batch],
    minimum_interval_seconds=2 * settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def older_days(context: SensorEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Ask for closed days that were never asked for, however old; at times compare all days older than the lateness."""
    from satfields_ingest import work

    env, now = satfields.environment(), datetime.now(UTC)
    wanted = work.older_days_to_ask_for(env, now)
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=INGEST_BATCH)
