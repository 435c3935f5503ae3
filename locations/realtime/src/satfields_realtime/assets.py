"""The asset of realtime: a region's field metrics of a day."""

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime

from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetMaterialization,
    AssetRecordsFilter,
    BetaWarning,
    DagsterInstance,
    DimensionPartitionMapping,
    IdentityPartitionMapping,
    MaterializeResult,
    MultiPartitionMapping,
    TimeWindowPartitionMapping,
    asset,
)
from satcommon.contract import DATE, FIELD_METRICS, LANE_TAG, REGION, SCENES, in_window, lane, partition, region_days

with warnings.catch_warnings():
    warnings.simplefilter("ignore", BetaWarning)  # Dagster is pinned; an upgrade runs the tests that rest on this
    _the_day_before = MultiPartitionMapping(
        {
            DATE: DimensionPartitionMapping(DATE, TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)),
            REGION: DimensionPartitionMapping(REGION, IdentityPartitionMapping()),
        }
    )


# No backfill policy: an explicit one on an asset that depends on itself breaks the order of days.
@asset(
    key=FIELD_METRICS,
    partitions_def=region_days,
    deps=[SCENES, AssetDep(FIELD_METRICS, partition_mapping=_the_day_before)],
    group_name="field_metrics",
    owners=["team:realtime"],
    kinds={"parquet"},
    output_required=False,
)
def field_metrics(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
    """A row for each field of a region for a day: what was seen, and the state carried on from the day before.

    A run that finds earlier days open closes those first, and reports their partitions too; as it does for the day
    before, where a run was killed after it had closed that and before it could say so.
    """
    from satcommon.closing import Closer
    from satcommon.db.engine import reading
    from satcommon.db.heartbeat import beating
    from satcommon.db.ledger import next_day
    from satcommon.db.registry import region
    from satcommon.environment import environment, utc_now
    from satcommon.expected import ONE_DAY

    from satfields_realtime.report import day_metadata

    env = environment()
    key = context.partition_key.keys_by_dimension
    day, now = date.fromisoformat(key[DATE]), datetime.now(UTC)
    with reading(env.engine) as connection:
        place = region(connection, key[REGION])
    lane_name = lane("realtime", place.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        closer = Closer(env.engine, env.store(), place.bbox_id, env.deadlines, context.run.run_id, now, utc_now)
        earlier = {closed.inputs.day for closed in closer.through(day)} - {day}
    with reading(env.engine) as connection:
        following = next_day(connection, place)
    before = day - ONE_DAY
    if before < following and before >= place.monitored_from and not _is_reported(context.instance, place.name, before):
        earlier.add(before)
    for one in sorted(one for one in earlier if in_window(one, now)):
        metadata = day_metadata(env, place, one)
        context.log_event(AssetMaterialization(FIELD_METRICS, partition=partition(place.name, one), metadata=metadata))
    if following > day:
        yield MaterializeResult(metadata=day_metadata(env, place, day))
    else:
        context.log.info("%s %s can't be closed yet: %s is waited for", place.name, day, following)


def _is_reported(instance: DagsterInstance, region: str, day: date) -> bool:
    """Whether the day's partition was ever materialized."""
    of_day = AssetRecordsFilter(asset_key=FIELD_METRICS, asset_partitions=[partition(region, day)])
    return bool(instance.fetch_materializations(of_day, limit=1).records)
