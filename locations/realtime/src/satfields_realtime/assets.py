"""The asset of realtime: a region's field metrics of a day."""

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime

from dagster import (
    AssetDep,
    AssetExecutionContext,
    BetaWarning,
    DataVersion,
    DimensionPartitionMapping,
    IdentityPartitionMapping,
    MaterializeResult,
    MultiPartitionMapping,
    TimeWindowPartitionMapping,
    asset,
)
from satcommon.contract import (
    CONTENT_TAG,
    DATE,
    FIELD_METRICS,
    LANE_TAG,
    REGION,
    SCENES,
    closed_day,
    in_window,
    is_by_hand,
    lane,
    left,
    partition,
    region_days,
    reported_content,
    why_unmonitored,
)

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
    before, where a run was killed after it had closed that and before it could say so. A run started by hand, or by a
    backfill, says of a day that can't be closed what it waits for, and succeeds.
    """
    from satcommon.db import ledger
    from satcommon.db.engine import read_transaction
    from satcommon.db.expected import ONE_DAY
    from satcommon.db.heartbeat import beating
    from satcommon.db.registry import region
    from satcommon.environment import environment, utc_now
    from satcommon.errors import InputError
    from satcommon.pipeline.close_region import Closer

    from satfields_realtime.waiting import what_waits

    env = environment()
    key = context.partition_key.keys_by_dimension
    day, now = date.fromisoformat(key[DATE]), datetime.now(UTC)
    by_hand = is_by_hand(context.run)
    try:
        with read_transaction(env.engine) as connection:
            place = region(connection, key[REGION])
    except InputError as error:
        if not by_hand:
            raise
        yield left(str(error))
        return
    if why := why_unmonitored(place, day):
        context.log.info(why)
        yield left(why)
        return
    lane_name = lane("realtime", place.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        closer = Closer(env.engine, env.store(), place.bbox_id, env.deadlines, context.run.run_id, now, utc_now)
        earlier = {closed.inputs.day for closed in closer.through(day)} - {day}
    before = day - ONE_DAY
    with read_transaction(env.engine) as connection:
        following = ledger.next_day(connection, place)
        days = ledger.region_days(connection, place.bbox_id, before, day)
    if before in days and days[before].closed_at is not None:
        told = reported_content(context.instance, FIELD_METRICS, [partition(place.name, before)])
        if days[before].object_digest not in told.values():
            earlier.add(before)
    for one in sorted(one for one in earlier if in_window(one, now)):
        context.log_event(closed_day(env, place, one))
    if day in days and days[day].closed_at is not None:
        closed = closed_day(env, place, day)
        yield MaterializeResult(metadata=closed.metadata, data_version=DataVersion((closed.tags or {})[CONTENT_TAG]))
        return
    with read_transaction(env.engine) as connection:
        why = what_waits(connection, place, day, following, env.deadlines, now)
    context.log.info(why)
    if by_hand:
        yield left(why)
