"""What the runs of realtime do: close a region's day, and fill a region's past.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetExecutionContext,
    AssetMaterialization,
    DataVersion,
    MaterializeResult,
    OpExecutionContext,
)
from satcommon.checks import as_result, show_day, show_day_checks
from satcommon.contract import (
    CONTENT_TAG,
    DATE,
    FIELD_METRICS,
    LANE_TAG,
    NOT_DUE,
    REGION,
    SCENES,
    closed_day,
    content_tags,
    in_window,
    is_by_hand,
    lane,
    left,
    monitored_region,
    partition,
    reported_content,
)
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction
from satcommon.db.expected import ONE_DAY
from satcommon.db.heartbeat import beating
from satcommon.environment import utc_now
from satcommon.errors import SatfieldsError
from satcommon.pipeline.close_region import Closer
from satcommon.views.day_checks import day_checks

from satfields_realtime.waiting import what_waits

if TYPE_CHECKING:
    from satcommon.environment import Environment
    from satcommon.pipeline.ingest_day import Answer

    from satfields_realtime.jobs import BackfillConfig


def close_day(context: AssetExecutionContext, env: Environment) -> Iterator[MaterializeResult[None]]:
    """Close a region's day and the open ones before it, and report what Dagster does not show yet."""
    key = context.partition_key.keys_by_dimension
    day, now = date.fromisoformat(key[DATE]), datetime.now(UTC)
    by_hand = is_by_hand(context.run)
    region = monitored_region(env, context.run, key[REGION], day)
    if isinstance(region, str):
        context.log.info(region)
        yield left(region)
        return
    lane_name = lane("realtime", region.name)[LANE_TAG]
    with beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds):
        run_id = context.run.run_id
        closer = Closer(env.engine, env.store(), region.bbox_id, env.deadlines, run_id, now, utc_now, env.source)
        earlier = {closed.inputs.day for closed in closer.through(day)} - {day}
    before = day - ONE_DAY
    with read_transaction(env.engine) as connection:
        following = ledger.next_day(connection, region)
        days = ledger.region_days(connection, region.bbox_id, before, day)
    if before in days and days[before].closed_at is not None:
        reported = reported_content(context.instance, FIELD_METRICS, [partition(region.name, before)])
        if days[before].content not in reported.values():
            earlier.add(before)
    for earlier_day in sorted(earlier_day for earlier_day in earlier if in_window(earlier_day, now)):
        show_day(context, env, region, earlier_day)
    if day in days and days[day].closed_at is not None:
        closed = closed_day(env, region, day)
        yield MaterializeResult(metadata=closed.metadata, data_version=DataVersion((closed.tags or {})[CONTENT_TAG]))
        show_day_checks(context, env, region, day)
        return
    with read_transaction(env.engine) as connection:
        why = what_waits(connection, region, day, following, env.deadlines, now)
    context.log.info(why)
    if by_hand:
        yield left(why)


def check_again(context: AssetCheckExecutionContext, env: Environment) -> Iterator[AssetCheckResult]:
    """Evaluate the chosen checks of a region's day; none of a day that is not closed."""
    key = context.partition_key.keys_by_dimension
    day = date.fromisoformat(key[DATE])
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, key[REGION])
        row = ledger.region_day(connection, region.bbox_id, day)
    if row is None or row.closed_at is None:
        context.log.info("%s %s is not closed: there is nothing to check yet", region.name, day)
        return
    chosen = {check.name for check in context.selected_asset_check_keys}
    for result in day_checks(env.engine, env.store(), env.deadlines, region, day):
        if result.name in chosen:
            yield as_result(FIELD_METRICS, result)


def fill_open_days(context: OpExecutionContext, env: Environment, config: BackfillConfig) -> None:
    """Fetch and close a region's days from its first open one until a day."""
    now, until = datetime.now(UTC), date.fromisoformat(config.until)
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, config.region)
    lane_name = lane("backfill", region.name)[LANE_TAG]
    answers = {"scenes": 0, "refused": 0}
    closed_days = 0

    def note(day: date, answer: Answer) -> None:
        answers["scenes"] += answer.scene_digest is not None
        answers["refused"] += len(answer.refused)
        for name, why in answer.refused.items():
            context.log.warning("%s: %s was not taken: %s", day, name, why)
        if answer.settled and in_window(day, now):
            tags = content_tags(answer.scene_digest or NOT_DUE)
            context.log_event(AssetMaterialization(SCENES, partition=partition(region.name, day), tags=tags))

    def warn(day: date, error: SatfieldsError) -> None:
        answers["refused"] += 1
        context.log.warning("%s: its scene can't be read: %s", day, error)

    with beating(env.engine, context.run_id, lane_name, env.settings.heartbeat_seconds):
        closer = Closer(env.engine, env.store(), region.bbox_id, env.deadlines, context.run.run_id, now, utc_now)
        for closed in closer.backfill(env.source(), min(until, now.date()), note, warn):
            closed_days += 1
            day = closed.inputs.day
            if closed_days % 30 == 1 or day == until:
                context.log.info("%s is closed (%d days so far, until %s)", day, closed_days, until)
            if in_window(day, now):
                show_day(context, env, region, day)
    context.add_output_metadata({"days closed": closed_days, **answers})
