"""What the three locations share of Dagster: asset keys, partitions, tags, and how work is asked for.

A location knows another's assets only by the keys here. A sensor is a wake-up call, never the truth: what there is to
do is always read from the ledger, and `requests` turns it into runs, naming the work and its attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from dagster import (
    AssetKey,
    DagsterInstance,
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
    return {LANE_TAG: f"{kind}:{region}", PRIORITY_TAG: PRIORITIES[kind]}


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
        last = next(iter(instance.get_run_records(RunsFilter(tags={WORK_TAG: work.name}), limit=1)), None)
        attempt = 1
        if last is not None:
            if not last.dagster_run.is_finished:
                continue
            attempt = int(last.dagster_run.tags[ATTEMPT_TAG]) + 1
            pause = timedelta(seconds=settings().retry_pause_seconds * 2 ** min(attempt - 2, 7))
            if now.timestamp() < (last.end_time or 0.0) + pause.total_seconds():
                continue
        yield RunRequest(
            run_key=f"{work.name}#{attempt}",
            partition_key=work.partition_key,
            job_name=work.job,
            run_config=work.config,
            tags=work.tags | {WORK_TAG: work.name, ATTEMPT_TAG: str(attempt)},
        )


def fail_stale_runs(instance: DagsterInstance, jobs: Sequence[str], now: datetime) -> list[str]:
    """Fail the runs of some jobs whose heartbeat in the ledger is stale: the local launcher never tells that they died.

    Returns:
        The ids of the runs that were failed.
    """
    from satcommon.db.heartbeat import bury, stale
    from satcommon.environment import environment

    env = environment()
    dead = stale(env.engine, env.settings.stale_seconds, now)
    if not dead:
        return []
    runs = instance.get_runs(RunsFilter(run_ids=dead))
    ours = [run for run in runs if run.job_name in jobs]
    for run in ours:
        if not run.is_finished:
            instance.report_run_failed(
                run, f"no heartbeat for {env.settings.stale_seconds:g} s: the run's process is gone"
            )
    known = {run.run_id for run in runs}
    bury(env.engine, [run.run_id for run in ours] + [run_id for run_id in dead if run_id not in known], now)
    return [run.run_id for run in ours]
