"""Asking Dagster for runs: each names its work and its attempt, and only work that is not under way is asked for.

A sensor is a wake-up call, never the truth: what there is to do is always read from the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunRequest, RunsFilter

from satcommon.contract import ATTEMPT_TAG, BACKGROUND_TAG, LANE_TAG, WORK_TAG
from satcommon.settings import settings
from satcommon.telemetry.logs import logger

if TYPE_CHECKING:
    from sqlalchemy import Engine

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


class WantedRun(NamedTuple):
    """A run that would do a piece of work that the ledger shows.

    Args:
        name: of the work, made from what the ledger holds: new inputs are new work.
        tags: lane and priority.
        partition_key: of the run, if it has one.
        job: the job that does the work, where a sensor has several.
        config: of the run.
    """

    name: str
    tags: dict[str, str]
    partition_key: str | None = None
    job: str | None = None
    config: dict[str, Any] | None = None


def in_turn(works_of: Mapping[str, Sequence[WantedRun]]) -> Iterator[WantedRun]:
    """The works of regions, each region's in its order: the first of each, then the second of each, and so on."""
    for works in zip_longest(*works_of.values()):
        yield from (work for work in works if work is not None)


def run_requests(
    instance: DagsterInstance, works: Iterable[WantedRun], now: datetime, engine: Engine | None = None
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
        for request in chosen:
            region = request.tags.get(LANE_TAG, "").partition(":")[2]
            logger(__name__).info("run asked for", work=request.run_key, region=region)
        yield from chosen
        if asked >= ASKED_A_TICK or under_way + asked >= UNDER_WAY:
            return


def _runs_of(instance: DagsterInstance, works: Collection[WantedRun]) -> dict[str, list[RunRecord]]:
    """All runs of works, by the work's name."""
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for record in instance.get_run_records(RunsFilter(tags={WORK_TAG: sorted({work.name for work in works})})):
        runs[record.dagster_run.tags[WORK_TAG]].append(record)
    return runs


def _taken_lanes(instance: DagsterInstance, works: Iterable[WantedRun]) -> set[str]:
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


def _request(work: WantedRun, records: Sequence[RunRecord]) -> RunRequest:
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
