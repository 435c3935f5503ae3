"""What the runs of realtime do: close a region's day or many regions', and fill pasts.

Only runs import this module: it loads NumPy and GDAL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from satcommon.asset_checks import as_result, show_day, show_day_checks
from satcommon.batch_runs import BatchConfig, BatchedWork, Trouble, work_off
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
from satcommon.geo.solar import last_day_over
from satcommon.pipeline.close_region import Closer
from satcommon.run_logs import of_run
from satcommon.views.day_checks import day_checks

from satfields_realtime.jobs import BackfillConfig
from satfields_realtime.waiting import what_waits

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment
    from satcommon.pipeline.ingest_day import Answer
    from satcommon.storage.object_store import ObjectStore


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
    alive = beating(env.engine, context.run.run_id, lane_name, env.settings.heartbeat_seconds)
    with alive, of_run(context.run, region.name):
        to_report = _close_through(context, env, env.store(), region, day, now)
    for closed in sorted(to_report - {day}):
        show_day(context, env, region, closed)
    with read_transaction(env.engine) as connection:
        following = ledger.next_day(connection, region)
        row = ledger.region_day(connection, region.bbox_id, day)
    if row is not None and row.closed_at is not None:
        shown = closed_day(env, region, day)
        yield MaterializeResult(metadata=shown.metadata, data_version=DataVersion((shown.tags or {})[CONTENT_TAG]))
        show_day_checks(context, env, region, day)
        return
    with read_transaction(env.engine) as connection:
        why = what_waits(connection, region, day, following, env.deadlines, now)
    context.log.info(why)
    if by_hand:
        yield left(why)


def _close_through(
    context: AssetExecutionContext | OpExecutionContext,
    env: Environment,
    store: ObjectStore,
    region: Region,
    day: date,
    now: datetime,
) -> set[date]:
    """Close a region's open days up to one; gives the days of the window that Dagster is to be told of.

    Besides those that were closed it is the day before, where a run was killed after it had closed that and before it
    could say so; and the day itself, if it is closed.
    """
    run_id = context.run.run_id
    closer = Closer(env.engine, store, region.bbox_id, env.deadlines, run_id, now, utc_now, env.source)
    done = {closed.inputs.day for closed in closer.through(day)}
    before = day - ONE_DAY
    with read_transaction(env.engine) as connection:
        days = ledger.region_days(connection, region.bbox_id, before, day)
    closed = {one for one, row in days.items() if row.closed_at is not None}
    if before in closed - done:
        reported = reported_content(context.instance, FIELD_METRICS, [partition(region.name, before)])
        if days[before].content not in reported.values():
            done.add(before)
    return {one for one in done | (closed & {day}) if in_window(one, now)}


def close_batch(context: OpExecutionContext, env: Environment, config: BatchConfig) -> None:
    """Close the days of many regions, or fill their pasts, one region after another."""
    store = env.store()

    def close(name: str, works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        now, day = datetime.now(UTC), date.fromisoformat(works[-1].day)
        region = monitored_region(env, context.run, name, day)
        if isinstance(region, str):
            context.log.info(region)
            return
        try:
            for closed in sorted(_close_through(context, env, store, region, day, now)):
                show_day(context, env, region, closed)
        except Exception as error:  # noqa: BLE001  # told on the day's partition; the other regions go on
            yield Trouble(error, FIELD_METRICS, partition(name, day) if in_window(day, now) else None)

    def fill(_name: str, works: Sequence[BatchedWork]) -> Iterator[Trouble]:
        for work in works:
            try:
                _fill(context, env, store, BackfillConfig(**work.config))
            except SatfieldsError as error:
                yield Trouble(error, FIELD_METRICS)

    work_off(context, env, config, close if config.kind == "realtime" else fill)


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
    lane_name = lane("backfill", config.region)[LANE_TAG]
    alive = beating(env.engine, context.run_id, lane_name, env.settings.heartbeat_seconds)
    with alive, of_run(context.run, config.region):
        context.add_output_metadata(_fill(context, env, env.store(), config))


def _fill(context: OpExecutionContext, env: Environment, store: ObjectStore, config: BackfillConfig) -> dict[str, int]:
    """Fetch and close a region's open days until a day; gives what was counted."""
    now, until = datetime.now(UTC), date.fromisoformat(config.until)
    with read_transaction(env.engine) as connection:
        region = registry.region(connection, config.region)
    counts = {"days closed": 0, "scenes": 0, "refused": 0}

    def note(day: date, answer: Answer) -> None:
        counts["scenes"] += answer.scene_digest is not None
        counts["refused"] += len(answer.refused)
        for name, why in answer.refused.items():
            context.log.warning("%s: %s was not taken: %s", day, name, why)
        if answer.settled and in_window(day, now):
            tags = content_tags(answer.scene_digest or NOT_DUE)
            context.log_event(AssetMaterialization(SCENES, partition=partition(region.name, day), tags=tags))

    def warn(day: date, error: SatfieldsError) -> None:
        counts["refused"] += 1
        context.log.warning("%s: its scene can't be read: %s", day, error)

    closer = Closer(env.engine, store, region.bbox_id, env.deadlines, context.run.run_id, now, utc_now)
    last = min(until, last_day_over(now, registry.aoi_of(region).bounds))
    for closed in closer.backfill(env.source(), last, note, warn):
        counts["days closed"] += 1
        day = closed.inputs.day
        if counts["days closed"] % 30 == 1 or day == until:
            context.log.info("%s is closed (%d days so far, until %s)", day, counts["days closed"], until)
        if in_window(day, now):
            show_day(context, env, region, day)
    return counts
