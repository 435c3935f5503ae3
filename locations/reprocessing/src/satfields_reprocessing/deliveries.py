"""Webhooks: what wakes their delivery, and the job that does it.

Every publication counts, whoever made it; this location has the least to do while others publish.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster import (
    AssetKey,
    DagsterInstance,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    EventLogEntry,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorDefinition,
    SensorEvaluationContext,
    asset_sensor,
    job,
    op,
    schedule,
)
from satcommon.contract import FIELD_METRICS, REPROCESSED_FIELD_METRICS, WEBHOOKS_JOB, lane
from satcommon.resources import SatfieldsResource, resources
from satcommon.run_requests import UNFINISHED
from satcommon.settings import settings


@op(tags={"dagster/kind": "webhook"})
def tell_receivers(context: OpExecutionContext, satfields: SatfieldsResource) -> None:
    """Tell each webhook what was published since it was told last; what fails is noted and tried again."""
    from satfields_reprocessing.run import tell_webhooks

    tell_webhooks(context, satfields.environment())


# With resources of its own: Dagster would make the sensors anew that name a job without, and warn of a beta parameter.
@job(
    name=WEBHOOKS_JOB,
    description="Push changes to the receivers of webhooks",
    resource_defs=resources(),
    tags=lane("webhooks", "all"),
)
def deliver_webhooks() -> None:
    """Push."""
    tell_receivers()


def _requests(instance: DagsterInstance, satfields: SatfieldsResource, now: datetime) -> Iterator[RunRequest]:
    """A run, where a webhook is to be told something and no run is under way: that one, or the next tick, will."""
    from satcommon.db.engine import read_transaction
    from satcommon.db.webhooks import is_work

    with read_transaction(satfields.environment().engine) as connection:
        wanted = is_work(connection, now)
    if wanted and not instance.get_run_ids(RunsFilter(job_name=WEBHOOKS_JOB, statuses=UNFINISHED), limit=1):
        yield RunRequest()


def _woken_by(key: AssetKey) -> SensorDefinition:
    @asset_sensor(
        name=f"webhooks_after_{key.to_user_string()}",
        asset_key=key,
        job=deliver_webhooks,
        minimum_interval_seconds=settings().sensor_seconds,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Tell webhooks when {key.to_user_string()} was materialized. The event only wakes the sensor.",
    )
    def woken(
        context: SensorEvaluationContext,
        event: EventLogEntry,  # noqa: ARG001  # it only wakes the sensor
        satfields: SatfieldsResource,
    ) -> Iterator[RunRequest]:
        yield from _requests(context.instance, satfields, datetime.now(UTC))

    return woken


@schedule(
    cron_schedule="*/5 * * * *",
    job=deliver_webhooks,
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
)
def untold_webhooks(context: ScheduleEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Tell webhooks what no sensor saw, and what is to be tried again."""
    yield from _requests(context.instance, satfields, context.scheduled_execution_time)


webhook_sensors = [_woken_by(key) for key in (FIELD_METRICS, REPROCESSED_FIELD_METRICS)]
