"""What the three locations share of Dagster: asset keys, partitions, tags, and how work is asked for.

A location knows another's assets only by the keys here. A sensor is a wake-up call, never the truth: what there is to
do is always read from the ledger, and `requests` turns it into runs, naming the work and its attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    RunRequest,
    RunsFilter,
)

from satcommon.settings import settings

SCENES = AssetKey("scenes")
FIELD_REGISTRY = AssetKey("field_registry")
FIELD_METRICS = AssetKey("field_metrics")
REPROCESSED_FIELD_METRICS = AssetKey("reprocessed_field_metrics")

LOCATIONS = ("ingest", "realtime", "reprocessing")
FETCH_JOB, REGISTRY_JOB, CLOSE_JOB, HISTORY_JOB, REPLAY_JOB = (
    "fetch_scenes",
    "publish_registry",
    "close_days",
    "history",
    "replay_backlog",
)
HISTORY_OP = "fill_history"

DATE, REGION = "date", "region"  # the dimensions; Dagster makes the tags dagster/partition/date and /region of them
LANE_TAG = "satfields/lane"  # kind:region; the instance runs one at a time of each
WORK_TAG, ATTEMPT_TAG = "satfields/work", "satfields/attempt"
PRIORITY_TAG = "dagster/priority"
BACKGROUND_TAG = "satfields/background"  # of histories and replays; the instance leaves a slot to the others
PRIORITIES = {"ingest": "2", "realtime": "2", "history": "1", "replay": "0"}  # realtime never waits behind a replay

region_partitions = DynamicPartitionsDefinition(name=REGION)
day_partitions = DailyPartitionsDefinition(start_date=settings().partitions_start.isoformat())
region_days = MultiPartitionsDefinition({DATE: day_partitions, REGION: region_partitions})
"""Days by regions; keep regions x days below 100,000, or Dagster's own bookkeeping takes seconds (docs/operations)."""


def partition(region: str, day: date) -> MultiPartitionKey:
    """The key of a region's day."""
    return MultiPartitionKey({DATE: day.isoformat(), REGION: region})


def in_window(day: date, now: datetime) -> bool:
    """Whether Dagster has a partition for a day: from the window's start to yesterday."""
    return settings().partitions_start <= day < now.date()


def history_config(region: str, until: date) -> dict[str, Any]:
    """The run configuration of the history job: the region's days from its first open one until a day."""
    return {"ops": {HISTORY_OP: {"config": {"region": region, "until": until.isoformat()}}}}


def lane(kind: str, region: str) -> dict[str, str]:
    """The tags that keep runs of one kind and region in a row, realtime before replay."""
    background = {BACKGROUND_TAG: "yes"} if kind in ("history", "replay") else {}
    return {LANE_TAG: f"{kind}:{region}", PRIORITY_TAG: PRIORITIES[kind]} | background


class Work(NamedTuple):
    """Something that the ledger says is to be done.

    Args:
        name: of the work, from what the ledger holds; new inputs are new work.
        tags: lane and priority.
        partition_key: of the run, if it has one.
        job: that does it, where a sensor has several.
        config: of the run.
    """

    name: str
    tags: dict[str, str]
    partition_key: str | None = None
    job: str | None = None
    config: dict[str, Any] | None = None


def requests(instance: DagsterInstance, works: Iterable[Work], now: datetime) -> Iterator[RunRequest]:
    """Ask for runs of work that is not under way.

    Dagster never runs a run key twice, whatever became of its run, so the key holds the attempt's number: work whose
    last run ended without settling it (killed, failed) is asked for again, after a pause that doubles each time.
    """
    for work in works:
        if BACKGROUND_TAG in work.tags and _is_taken(instance, work.tags[LANE_TAG]):
            continue  # each commit of a long run leaves other work of another name, which is that run's
        attempt = 1
        records = instance.get_run_records(RunsFilter(tags={WORK_TAG: work.name}))
        if records:
            if not all(record.dagster_run.is_finished for record in records):
                continue
            # Of all its runs: one that was executed again from the UI has the tags of the run that it repeats.
            attempt = 1 + max(int(record.dagster_run.tags.get(ATTEMPT_TAG, 0)) for record in records)
            pause = timedelta(seconds=settings().retry_pause_seconds * 2 ** min(max(attempt - 2, 0), 7))
            if now.timestamp() < max(record.end_time or 0.0 for record in records) + pause.total_seconds():
                continue
        yield RunRequest(
            run_key=f"{work.name}#{attempt}",
            partition_key=work.partition_key,
            job_name=work.job,
            run_config=work.config,
            tags=work.tags | {WORK_TAG: work.name, ATTEMPT_TAG: str(attempt)},
        )


def _is_taken(instance: DagsterInstance, lane_name: str) -> bool:
    """Whether a run of the lane is queued or under way."""
    latest = instance.get_run_records(RunsFilter(tags={LANE_TAG: lane_name}), limit=1)
    return bool(latest) and not latest[0].dagster_run.is_finished


def fail_stale_runs(instance: DagsterInstance, location: str, now: datetime) -> list[str]:
    """Fail a location's runs that give no sign of life: the local launcher never tells that a process is gone.

    The last sign is the heartbeat in the ledger; for a run that died before its first one, Dagster's last event of it.

    Returns:
        The ids of the runs that were failed.
    """
    from satcommon.db.heartbeat import heartbeats
    from satcommon.environment import environment

    env = environment()
    started = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    records = {r.dagster_run.run_id: r for r in started if _is_of(r.dagster_run, location)}
    beats = heartbeats(env.engine, list(records))
    oldest = now - timedelta(seconds=env.settings.stale_seconds)
    dead = [r for run_id, r in records.items() if (beats.get(run_id) or _utc(r.update_timestamp)) < oldest]
    for record in dead:
        message = f"no sign of life for {env.settings.stale_seconds:g} s: the run's process is gone"
        instance.report_run_failed(record.dagster_run, message)
    return [record.dagster_run.run_id for record in dead]


def _is_of(run: DagsterRun, location: str) -> bool:
    """Whether a run is a location's; one that was started without a code server is everybody's."""
    return run.remote_job_origin is None or run.remote_job_origin.location_name == location


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
