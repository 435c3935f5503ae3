"""What the three locations share of Dagster: asset keys, partitions, tags, and how work is asked for.

A location knows another's assets only by the keys here. A sensor is a wake-up call, never the truth: what there is to
do is always read from the ledger, and `requests` turns it into runs, naming the work and its attempt.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    DataVersion,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    RunRecord,
    RunRequest,
    RunsFilter,
)

from satcommon.settings import Settings, settings

if TYPE_CHECKING:
    from sqlalchemy import Engine, Row

    from satcommon.db.models import Region
    from satcommon.environment import Environment

SCENES = AssetKey("scenes")
FIELD_REGISTRY = AssetKey("field_registry")
FIELD_METRICS = AssetKey("field_metrics")
NOT_DUE = "not due"  # the content of a partition of `scenes` for which the source owes nothing
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
RESCAN_JOB, RESCAN_OP = "rescan_scenes", "ask_anew"

DATE, REGION = "date", "region"  # the dimensions; Dagster makes the tags dagster/partition/date and /region of them
LANE_TAG = "satfields/lane"  # kind:region; the instance runs one at a time of each
WORK_TAG, ATTEMPT_TAG = "satfields/work", "satfields/attempt"
CONTENT_TAG = "dagster/data_version"  # of a materialization: the digest of the day's rows, or of its scene
PRIORITY_TAG = "dagster/priority"
BACKGROUND_TAG = "satfields/background"  # of histories and replays; the instance leaves a slot to the others
PRIORITIES = {
    "ingest": "2",
    "realtime": "2",
    "history": "1",
    "rescan": "1",
    "replay": "0",
}  # realtime never waits behind a replay

ASKED_A_TICK = 100  # runs that a tick asks for at most: submitting 200 takes Dagster 20 s
UNDER_WAY = 500  # works of a sensor that wait or run at most; the rest waits in the ledger, where it costs nothing
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
LOOKED_AT, LOOKS = 1000, 3  # works whose runs are looked up by one query, and how often a tick does that

region_partitions = DynamicPartitionsDefinition(name=REGION)


def window_start(chosen: Settings, today: date) -> date:
    """The first day of Dagster's window of partitions.

    The window moves in whole months: code servers and runs read it when they load, and those that were loaded on other
    days of a month agree.
    """
    return chosen.partitions_start or (today - timedelta(days=chosen.partitions_days)).replace(day=1)


FIRST_PARTITION = window_start(settings(), datetime.now(UTC).date())
day_partitions = DailyPartitionsDefinition(start_date=FIRST_PARTITION.isoformat())
region_days = MultiPartitionsDefinition({DATE: day_partitions, REGION: region_partitions})
"""Days by regions; keep regions x days below 100,000, or Dagster's own bookkeeping takes seconds."""


def partition(region: str, day: date) -> MultiPartitionKey:
    """The key of a region's day."""
    return MultiPartitionKey({DATE: day.isoformat(), REGION: region})


def in_window(day: date, now: datetime) -> bool:
    """Whether Dagster has a partition for a day: from the window's start to yesterday."""
    return FIRST_PARTITION <= day < now.date()


def history_config(region: str, until: date) -> dict[str, Any]:
    """The run configuration of the history job: the region's days from its first open one until a day."""
    return {"ops": {HISTORY_OP: {"config": {"region": region, "until": until.isoformat()}}}}


def rescan_config(region: str, first: date, last: date, *, only_never_asked: bool = False) -> dict[str, Any]:
    """The run configuration of the job that asks the source anew for a region's days of a span."""
    config = {"region": region, "first": first.isoformat(), "last": last.isoformat()}
    return {"ops": {RESCAN_OP: {"config": config | {"only_never_asked": only_never_asked}}}}


def lane(kind: str, region: str) -> dict[str, str]:
    """The tags that keep runs of one kind and region in a row, realtime before replay."""
    background = {BACKGROUND_TAG: "yes"} if kind in ("history", "rescan", "replay") else {}
    return {LANE_TAG: f"{kind}:{region}", PRIORITY_TAG: PRIORITIES[kind]} | background


def why_unmonitored(region: Row[tuple[Region]], day: date) -> str | None:
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


def left(why: str, **facts: str) -> MaterializeResult[None]:
    """What a partition without work gives: a materialization that says why.

    A run that materializes nothing counts as failed in a backfill, which then leaves what rests on it undone.
    """
    return MaterializeResult(metadata={"left": why, **facts}, data_version=DataVersion("left"))


def is_by_hand(run: DagsterRun) -> bool:
    """Whether a run was started by a person or a backfill, not by a sensor or schedule of ours."""
    return WORK_TAG not in run.tags


def closed_day(env: Environment, region: Row[tuple[Region]], day: date, **facts: str) -> AssetMaterialization:
    """The materialization of `field_metrics` of a closed day as it now is published.

    Its data version is the digest of the day's content: consumers that go by it see equal content as no update.
    """
    from satcommon.views.day_report import day_report

    told, content = day_report(env.engine, env.store(), region, day)
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


def in_turn(works_of: Mapping[str, Sequence[Work]]) -> Iterator[Work]:
    """The works of regions, each region's in its order: the first of each, then the second of each, and so on."""
    for works in zip_longest(*works_of.values()):
        yield from (work for work in works if work is not None)


def requests(
    instance: DagsterInstance, works: Iterable[Work], now: datetime, engine: Engine | None = None
) -> Iterator[RunRequest]:
    """Ask for runs of work that is not under way, a bounded number at a time; the next tick goes on.

    Dagster never runs a run key twice, whatever became of its run, so the key holds the attempt's number: work whose
    last run ended without settling it (killed, failed) is asked for again, after a pause that doubles each time.

    A tick costs at most two queries of runs for each `LOOKED_AT` works, and at most `LOOKS` times that, whatever there
    is to do: Dagster cuts it off after 60 s, and then it has done nothing.

    Args:
        instance: Dagster's.
        works: in the order in which they are wanted.
        now: the present.
        engine: of the ledger, where what is asked for is claimed, so that two sensors never ask for the same; None: it
            is not.
    """
    remaining, asked = iter(works), 0
    taken_lanes: set[str] = set()
    under_way = 0
    for _ in range(LOOKS):
        looked_at = list(islice(remaining, LOOKED_AT))
        if not looked_at:
            return
        runs = _runs_of(instance, looked_at)
        taken_lanes |= _taken_lanes(instance, looked_at)
        chosen: list[RunRequest] = []
        for work in looked_at:
            if asked + len(chosen) >= ASKED_A_TICK or under_way + asked + len(chosen) >= UNDER_WAY:
                break
            records = runs.get(work.name, [])
            if any(not record.dagster_run.is_finished for record in records):
                under_way += 1
            elif BACKGROUND_TAG in work.tags and work.tags[LANE_TAG] in taken_lanes:
                pass  # each commit of a long run leaves other work of another name, which is that run's
            elif not _pauses(records, now):
                chosen.append(_request(work, records))
                if BACKGROUND_TAG in work.tags:
                    taken_lanes.add(work.tags[LANE_TAG])
        if engine is not None:
            chosen = _claimed(engine, chosen)
        asked += len(chosen)
        yield from chosen
        if asked >= ASKED_A_TICK or under_way + asked >= UNDER_WAY:
            return


def _runs_of(instance: DagsterInstance, works: Collection[Work]) -> dict[str, list[RunRecord]]:
    """All runs of works, by the work's name."""
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for record in instance.get_run_records(RunsFilter(tags={WORK_TAG: sorted({work.name for work in works})})):
        runs[record.dagster_run.tags[WORK_TAG]].append(record)
    return runs


def _taken_lanes(instance: DagsterInstance, works: Iterable[Work]) -> set[str]:
    """The lanes of background works in which a run is queued or under way."""
    lanes = sorted({work.tags[LANE_TAG] for work in works if BACKGROUND_TAG in work.tags})
    if not lanes:
        return set()
    found = instance.get_run_records(RunsFilter(tags={LANE_TAG: lanes}, statuses=UNFINISHED))
    return {record.dagster_run.tags[LANE_TAG] for record in found}


def _last_attempt(records: Iterable[RunRecord]) -> int:
    """Of all runs of a work: one that was executed again from the UI has the tags of the run that it repeats."""
    return max((int(record.dagster_run.tags.get(ATTEMPT_TAG, 0)) for record in records), default=0)


def _pauses(records: Sequence[RunRecord], now: datetime) -> bool:
    """Whether work whose runs have all ended is not to be asked for again yet."""
    if not records:
        return False
    pause = settings().retry_pause_seconds * 2.0 ** min(max(_last_attempt(records) - 1, 0), 7)
    ended: float = max(record.end_time or 0.0 for record in records)
    return now.timestamp() < ended + pause


def _request(work: Work, records: Sequence[RunRecord]) -> RunRequest:
    attempt = 1 + _last_attempt(records)
    return RunRequest(
        run_key=f"{work.name}#{attempt}",
        partition_key=work.partition_key,
        job_name=work.job,
        run_config=work.config,
        tags=work.tags | {WORK_TAG: work.name, ATTEMPT_TAG: str(attempt)},
    )


def _claimed(engine: Engine, chosen: list[RunRequest]) -> list[RunRequest]:
    """Those of the requests that no other sensor makes in this instant."""
    from satcommon.db.claims import claim
    from satcommon.environment import utc_now

    ours = claim(engine, [str(request.run_key) for request in chosen], utc_now())
    return [request for request in chosen if request.run_key in ours]


def cancel_needless(instance: DagsterInstance, job: str, is_needless: Callable[[str], bool]) -> list[str]:
    """Take runs off the queue whose work was done meanwhile by another run; each would start a process for nothing.

    Args:
        instance: Dagster's.
        job: of the runs.
        is_needless: tells it of a work, by name.

    Returns:
        The names of the works.
    """
    queued = instance.get_run_records(RunsFilter(job_name=job, statuses=[DagsterRunStatus.QUEUED]), limit=UNDER_WAY)
    needless = [r.dagster_run for r in queued if is_needless(r.dagster_run.tags.get(WORK_TAG, ""))]
    for run in needless:
        instance.report_run_canceled(run, "its work was done meanwhile by another run")
    return [run.tags[WORK_TAG] for run in needless]


def fail_stale_runs(instance: DagsterInstance, location: str, now: datetime) -> list[str]:
    """End a location's runs that give no sign of life: the local launcher never tells that a process is gone.

    The last sign is the heartbeat in the ledger; for a run that died before its first one, Dagster's last event of it.
    A run that was being cancelled is cancelled; one that never came to start is left to Dagster's own run monitoring,
    which knows how long starting may take.

    Returns:
        The ids of the runs that were ended.
    """
    from satcommon.db.heartbeat import heartbeats
    from satcommon.environment import environment

    env = environment()
    begun = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    found = instance.get_run_records(RunsFilter(statuses=begun))
    records = {r.dagster_run.run_id: r for r in found if _is_of(r.dagster_run, location)}
    beats = heartbeats(env.engine, list(records))
    oldest = now - timedelta(seconds=env.settings.stale_seconds)
    dead = [r.dagster_run for run_id, r in records.items() if (beats.get(run_id) or _utc(r.update_timestamp)) < oldest]
    message = f"no sign of life for {env.settings.stale_seconds:g} s: the run's process is gone"
    for run in dead:
        if run.status is DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message)
        else:
            instance.report_run_failed(run, message)
    return [run.run_id for run in dead]


def _is_of(run: DagsterRun, location: str) -> bool:
    """Whether a run is a location's; one that was started without a code server is everybody's."""
    return run.remote_job_origin is None or run.remote_job_origin.location_name == location


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
