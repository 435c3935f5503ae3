"""What the three locations share of Dagster: asset keys, jobs, partitions, tags and materializations.

A location knows another's assets only by the keys here.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DailyPartitionsDefinition,
    DataVersion,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    MultiPartitionKey,
    MultiPartitionsDefinition,
)

from satcommon.settings import Settings, settings

if TYPE_CHECKING:
    from satcommon.db.models import Region
    from satcommon.environment import Environment

SCENES = AssetKey("scenes")
FIELD_REGISTRY = AssetKey("field_registry")
FIELD_METRICS = AssetKey("field_metrics")
NOT_DUE = "not due"  # the content of a partition of `scenes` for which the source owes nothing
REPROCESSED_FIELD_METRICS = AssetKey("reprocessed_field_metrics")

LOCATIONS = ("ingest", "realtime", "reprocessing")
FETCH_JOB, REGISTRY_JOB, CLOSE_JOB, BACKFILL_JOB, REPLAY_JOB = (
    "fetch_scenes",
    "publish_registry",
    "close_days",
    "backfill",
    "replay_backlog",
)
BACKFILL_OP = "fill_open_days"
RESCAN_JOB, RESCAN_OP = "rescan_scenes", "ask_anew"
RECONCILE_JOB, RECONCILE_OP = "reconcile_scenes", "compare_catalogues"
WEBHOOKS_JOB = "deliver_webhooks"
INGEST_BATCH, REALTIME_BATCH, REPROCESSING_BATCH = "ingest_batch", "realtime_batch", "reprocessing_batch"
BATCH_OP = "region_after_region"
AUDIT_JOB = "audit_regions"
JOBS = (
    *(FETCH_JOB, REGISTRY_JOB, RESCAN_JOB, CLOSE_JOB, BACKFILL_JOB, REPLAY_JOB, RECONCILE_JOB, AUDIT_JOB),
    *(INGEST_BATCH, REALTIME_BATCH, REPROCESSING_BATCH, WEBHOOKS_JOB),
)

DATE, REGION = "date", "region"  # the dimensions; Dagster makes the tags dagster/partition/date and /region of them
LANE_TAG = "satfields/lane"  # kind:region; the instance runs one at a time of each; a batch of regions has its own
PROGRESS_TAG = "satfields/progress"  # of a batch: the number of regions that it has come to / of all
WORK_TAG, ATTEMPT_TAG = "satfields/work", "satfields/attempt"
CONTENT_TAG = "dagster/data_version"  # of a materialization: the digest of the day's rows, or of its scene
PRIORITY_TAG = "dagster/priority"
BACKGROUND_TAG = (
    "satfields/background"  # of backfills, rescans, comparisons and replays; the instance leaves a slot to the others
)
PRIORITIES = {
    "ingest": "2",
    "realtime": "2",
    "backfill": "1",
    "rescan": "1",
    "reconcile": "0",
    "webhooks": "1",
    "replay": "0",
}  # realtime never waits behind a replay

region_partitions = DynamicPartitionsDefinition(name=REGION)


def window_start(chosen: Settings, today: date) -> date:
    """The first day of Dagster's window of partitions.

    The window moves in whole months: code servers and runs read it when they load, and those that were loaded on other
    days of a month agree.
    """
    return chosen.partitions_start or (today - timedelta(days=chosen.partitions_days)).replace(day=1)


FIRST_PARTITION = window_start(settings(), datetime.now(UTC).date())
day_partitions = DailyPartitionsDefinition(start_date=FIRST_PARTITION.isoformat(), end_offset=1)  # to today
region_days = MultiPartitionsDefinition({DATE: day_partitions, REGION: region_partitions})
"""Days by regions; keep regions x days below 100,000, or Dagster's own bookkeeping takes seconds."""


def partition(region: str, day: date) -> MultiPartitionKey:
    """The key of a region's day."""
    return MultiPartitionKey({DATE: day.isoformat(), REGION: region})


def in_window(day: date, now: datetime) -> bool:
    """Whether Dagster has a partition for a day: from the window's start to today, in UTC."""
    return FIRST_PARTITION <= day <= now.date()


def backfill_config(region: str, until: date) -> dict[str, Any]:
    """The run configuration of the backfill job: the region's days from its first open one until a day."""
    return {"ops": {BACKFILL_OP: {"config": {"region": region, "until": until.isoformat()}}}}


def rescan_config(region: str, first: date, last: date, *, only_never_asked: bool = False) -> dict[str, Any]:
    """The run configuration of the job that asks the source anew for a region's days of a span.

    Args:
        region: name of the region.
        first: first day.
        last: last day.
        only_never_asked: leave out the days that the source has answered for.
    """
    config = {"region": region, "first": first.isoformat(), "last": last.isoformat()}
    return {"ops": {RESCAN_OP: {"config": config | {"only_never_asked": only_never_asked}}}}


def lane(kind: str, region: str) -> dict[str, str]:
    """The tags that keep runs of one kind and region in a row, realtime before replay."""
    background = {BACKGROUND_TAG: "yes"} if kind in ("backfill", "rescan", "reconcile", "replay", "webhooks") else {}
    return {LANE_TAG: f"{kind}:{region}", PRIORITY_TAG: PRIORITIES[kind]} | background


def _why_unmonitored(region: Region, day: date) -> str | None:
    """Why nothing is to be done for a region's day, and what to do about it; None where it is monitored."""
    if day < region.monitored_from:
        return (
            f"region {region.name} is monitored from {region.monitored_from}, {day} is before that; to add earlier "
            f"days: `satctl regions monitor {shlex.quote(region.name)} --from {day}`"
        )
    if region.monitored_until is not None and day > region.monitored_until:
        return (
            f"region {region.name} is monitored until {region.monitored_until}, {day} is after that; to add later "
            f"days: `satctl regions monitor {shlex.quote(region.name)} --until {day}`"
        )
    return None


def monitored_region(env: Environment, run: DagsterRun, name: str, day: date) -> Region | str:
    """The region of a partition; or, where nothing is to be done for the partition, why.

    Args:
        env: of the process.
        run: that materializes the partition.
        name: of the region.
        day: the solar day.

    Raises:
        InputError: no such region, and the run is not by hand: its sensor knew of one.
    """
    from satcommon.db import registry
    from satcommon.db.engine import read_transaction
    from satcommon.errors import InputError

    try:
        with read_transaction(env.engine) as connection:
            region = registry.region(connection, name)
    except InputError as error:
        if not is_by_hand(run):
            raise
        return str(error)
    return _why_unmonitored(region, day) or region


def left(why: str, **facts: str) -> MaterializeResult[None]:
    """What a partition without work gives: a materialization that says why.

    A run that materializes nothing counts as failed in a backfill, which then leaves what rests on it undone.
    """
    return MaterializeResult(metadata={"left": why, **facts}, data_version=DataVersion("left"))


def is_by_hand(run: DagsterRun) -> bool:
    """Whether a run was started by a person or a backfill, not by a sensor or schedule of ours."""
    return WORK_TAG not in run.tags


def closed_day(env: Environment, region: Region, day: date, **facts: str) -> AssetMaterialization:
    """The materialization of `field_metrics` of a closed day as it now is published.

    Its data version is the digest of the day's content: consumers that go by it see equal content as no update.
    """
    from satcommon.views.day_report import day_report

    now = datetime.now(UTC)
    told, content = day_report(env.engine, env.store(), env.scenes(), region, day, env.deadlines, now)
    dictionaries = {name: MetadataValue.json(told[name]) for name in ("statuses", "refused") if name in told}
    metadata = told | dictionaries | facts
    if "map" in told:
        metadata["map"] = MetadataValue.md(told["map"])
    return AssetMaterialization(
        FIELD_METRICS, partition=partition(region.name, day), metadata=metadata, tags=content_tags(content)
    )


def content_tags(content: str) -> dict[str, str]:
    """The tags of a materialization, by the digest of its content."""
    return {CONTENT_TAG: content, "dagster/data_version_is_user_provided": "true"}


def reported_content(
    instance: DagsterInstance, asset: AssetKey, partitions: Sequence[str] | None = None
) -> dict[str, str]:
    """The data versions that Dagster was last told of an asset's partitions, by their key, in one query."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        asset, DagsterEventType.ASSET_MATERIALIZATION, [CONTENT_TAG], asset_partitions=partitions
    )
    return {key: found[CONTENT_TAG] for key, found in tags.items() if CONTENT_TAG in found}
