"""What wakes realtime: a scene that was materialized, and runs that died."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import (
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    EventLogEntry,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    asset_sensor,
    sensor,
)
from satcommon.contract import REALTIME_BATCH, REGION, SCENES
from satcommon.resources import SatfieldsResource
from satcommon.run_requests import run_requests
from satcommon.settings import settings
from satcommon.stale_runs import fail_stale_runs

from satfields_realtime.jobs import backfill, close_days, realtime_batch

_QUIET = timedelta(seconds=4 * settings().sensor_seconds)  # for the sensor on scenes to have been woken meanwhile

REPORTED_A_TICK = 100  # days and regions, oldest first; the next tick goes on


@asset_sensor(
    asset_key=SCENES,
    jobs=[close_days, backfill, realtime_batch],
    minimum_interval_seconds=settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def scene_materialized(
    context: SensorEvaluationContext,
    event: EventLogEntry,  # noqa: ARG001  # it only wakes the sensor
    satfields: SatfieldsResource,
) -> Iterator[RunRequest]:
    """Close days when ingest has materialized scenes.

    An asset sensor sees only the latest event between two ticks, so an event only wakes: days come from the ledger.
    """
    from satfields_realtime.work import days_to_close

    env, now = satfields.environment(), datetime.now(UTC)
    known = context.instance.get_dynamic_partitions(REGION)
    wanted = days_to_close(env, known, now)
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=REALTIME_BATCH)


@sensor(
    jobs=[close_days, backfill, realtime_batch],
    minimum_interval_seconds=2 * settings().sensor_seconds,
    default_status=DefaultSensorStatus.RUNNING,
)
def unfinished_days(context: SensorEvaluationContext, satfields: SatfieldsResource) -> Iterator[RunRequest]:
    """Fail the runs that died, and ask again for days whose run ended without closing them."""
    from satfields_realtime.work import days_to_close

    env, now = satfields.environment(), datetime.now(UTC)
    fail_stale_runs(context.instance, env, "realtime", now)
    known = context.instance.get_dynamic_partitions(REGION)
    wanted = days_to_close(env, known, now, _QUIET)
    yield from run_requests(context.instance, wanted, now, env.engine, batch_job=REALTIME_BATCH)


@sensor(minimum_interval_seconds=10 * settings().sensor_seconds, default_status=DefaultSensorStatus.RUNNING)
def unreported_days(context: SensorEvaluationContext, satfields: SatfieldsResource) -> SensorResult | SkipReason:
    """Report days of the ledger that Dagster does not show as they are, and remove partitions of unknown regions."""
    from satfields_realtime.drift import drift

    difference = drift(satfields.environment(), context.instance, datetime.now(UTC))
    if not difference.unreported and not difference.strangers:
        return SkipReason("Dagster shows what the ledger holds")
    strangers = difference.strangers[:REPORTED_A_TICK]
    if strangers:
        context.log.warning("no region of these names is registered, their partitions are removed: %s", strangers)
    return SensorResult(
        asset_events=difference.unreported[:REPORTED_A_TICK],
        dynamic_partitions_requests=[DeleteDynamicPartitionsRequest(REGION, strangers)] if strangers else [],
    )
