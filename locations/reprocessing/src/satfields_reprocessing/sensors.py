"""What wakes reprocessing: scenes, registrations and closed days, which may each leave misses; and runs that died."""

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster import (
    AssetKey,
    DagsterInstance,
    DefaultSensorStatus,
    EventLogEntry,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    asset_sensor,
    sensor,
)
from satcommon.contract import FIELD_METRICS, FIELD_REGISTRY, REGION, REPROCESSING_BATCH, SCENES
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import run_requests
from satcommon.settings import settings
from satcommon.stale_runs import fail_stale_runs

from satfields_reprocessing.jobs import replay_backlog, reprocessing_batch


def _requests(instance: DagsterInstance, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    from satfields_reprocessing.work import backlogs_to_drain

    env, now = satfields.environment(), datetime.now(UTC)
    wanted = backlogs_to_drain(env, instance.get_dynamic_partitions(REGION), now)
    yield from run_requests(instance, wanted, now, env.engine, batch_job=REPROCESSING_BATCH)


def _woken_by(key: AssetKey) -> SensorDefinition:
    @asset_sensor(
        name=f"{key.to_user_string()}_materialized",
        asset_key=key,
        jobs=[replay_backlog, reprocessing_batch],
        minimum_interval_seconds=settings().sensor_seconds,
        default_status=DefaultSensorStatus.RUNNING,
        description=f"Drain backlogs when {key.to_user_string()} was materialized. The event only wakes the sensor.",
    )
    def woken(
        context: SensorEvaluationContext,
        event: EventLogEntry,  # noqa: ARG001  # it only wakes the sensor
        satfields: SatfieldsResource,
    ) -> Iterator[RunRequest]:
        yield from _requests(context.instance, satfields)

    return woken


@sensor(
    jobs=[replay_backlog, reprocessing_batch],
    minimum_interval_seconds=2 * settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def unfinished_backlogs(context: SensorEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Fail the runs that died, and ask again for backlogs whose run ended without draining them."""
    fail_stale_runs(context.instance, satfields.environment(), "reprocessing", datetime.now(UTC))
    yield from _requests(context.instance, satfields)


woken_sensors = [_woken_by(key) for key in (SCENES, FIELD_REGISTRY, FIELD_METRICS)]
