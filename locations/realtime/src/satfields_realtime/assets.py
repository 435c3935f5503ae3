"""The asset of realtime: a region's field metrics of a day."""

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime

from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetMaterialization,
    BetaWarning,
    DimensionPartitionMapping,
    IdentityPartitionMapping,
    MaterializeResult,
    MultiPartitionMapping,
    TimeWindowPartitionMapping,
    asset,
)
from satcommon.contract import DATE, FIELD_METRICS, REGION, SCENES, in_window, lane, partition, region_days

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

    A run that finds earlier days open closes those first, and reports their partitions too.
    """
    from satcommon.closing import Closer
    from satcommon.db.engine import reading
    from satcommon.db.heartbeat import beating
    from satcommon.db.ledger import next_day
    from satcommon.db.registry import region
    from satcommon.environment import environment

    from satfields_realtime.report import day_metadata

    env = environment()
    key = context.partition_key.keys_by_dimension
    day, now = date.fromisoformat(key[DATE]), datetime.now(UTC)
    with reading(env.engine) as connection:
        place = region(connection, key[REGION])
    lane_name = next(iter(lane("realtime", place.name).values()))
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        closer = Closer(env.engine, env.store(), place.bbox_id, env.deadlines, context.run.run_id, now)
        for closed in closer.through(day):
            earlier = closed.inputs.day
            context.log.info("%s %s is closed: %d rows", place.name, earlier, closed.computed.rows.num_rows)
            if earlier != day and in_window(earlier, now):
                metadata = day_metadata(env, place, earlier)
                event = AssetMaterialization(FIELD_METRICS, partition=partition(place.name, earlier), metadata=metadata)
                context.log_event(event)
    with reading(env.engine) as connection:
        following = next_day(connection, place)
    if following > day:
        yield MaterializeResult(metadata=day_metadata(env, place, day))
    else:
        context.log.info("%s %s can't be closed yet: %s is waited for", place.name, day, following)
