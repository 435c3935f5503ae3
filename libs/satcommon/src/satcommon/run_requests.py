"""Asking Dagster for runs: each names its work and its attempt, and only work that is not under way is asked for.

A sensor is a wake-up call, never the truth: what there is to do is always read from the ledger. A few works have a run
each, with a partition of its own. More are done in batches: one run for many regions, since a run costs seconds of a
processor before it does anything, and Dagster's queue and database a dozen queries.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import DagsterInstance, DagsterRunStatus, MultiPartitionKey, RunRecord, RunRequest, RunsFilter

from satcommon.batch_runs import BatchedWork, batch_config, tried, works_of
from satcommon.contract import ATTEMPT_TAG, BACKGROUND_TAG, DATE, LANE_TAG, PROGRESS_TAG, WORK_TAG, lane
from satcommon.settings import settings
from satcommon.telemetry.logs import logger

if TYPE_CHECKING:
    from sqlalchemy import Engine

FEW = 5  # works of a kind that each have a run of their own; more are batched
WORKS_A_BATCH = 500  # its configuration lists them
SLOTS = 10  # where Dagster's queue has no limit
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
LOOKED_AT, LOOKS = 1000, 3  # works whose runs are looked up by one query, and how often a tick does that
QUEUED_LOOKED_AT = 500  # runs in the queue that may have become needless
LONGEST_DOUBLING = 7  # of the pause before another attempt: to an hour or so
REMEMBERED = timedelta(hours=3)  # for which batches that ended are looked at: more than the longest pause


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

    @property
    def lane(self) -> str:
        """Its kind and region."""
        return self.tags.get(LANE_TAG, "")

    @property
    def kind(self) -> str:
        """Its kind; works of one kind are batched together."""
        return self.lane.partition(":")[0]


class _Asked(NamedTuple):
    """A work that is to be asked for: which attempt it will be, and how many runs have had it so far."""

    work: WantedRun
    attempt: int
    runs: int

    @property
    def claim(self) -> str:
        """What two sensors can't both claim."""
        return f"{self.work.name}#{self.runs + 1}"


def run_requests(
    instance: DagsterInstance,
    works: Iterable[WantedRun],
    now: datetime,
    engine: Engine | None = None,
    *,
    batch_job: str | None = None,
    few: int = FEW,
) -> Iterator[RunRequest]:
    """Ask for runs of work that is not under way, a bounded number at a time; the next tick goes on.

    Dagster never runs a run key twice, whatever became of its run, so the key holds the attempt's number: work whose
    last run ended without settling it (killed, failed) is asked for again, after a pause that doubles each time. What a
    batch had not come to when it ended does not pause.

    A tick costs two queries of batches, and at most two of runs for each `LOOKED_AT` works, `LOOKS` times, whatever
    there is to do: Dagster cuts it off after 60 s, and then it has done nothing.

    Args:
        instance: Dagster's.
        works: in the order in which they are wanted, those of a region one after another.
        now: the present.
        engine: of the ledger, where what is asked for is claimed, so that two sensors never ask for the same; None: it
            is not.
        batch_job: the job that does many works in one run; None: each has its own.
        few: works of a kind that have a run each.
    """
    first = next(remaining := iter(works), None)
    if first is None:
        return
    past = _Past(instance, now, batch_job)
    room = _Room(instance, past)
    wanted: list[_Asked] = []
    open_works = (work for work in chain([first], remaining) if work.lane not in past.batched)
    for _ in range(LOOKS):
        looked_at = list(islice(open_works, LOOKED_AT))
        past.look_at(looked_at)
        wanted += past.askable(looked_at)
        if len(looked_at) < LOOKED_AT or room.is_filled_by(wanted):
            break
    chosen: list[list[_Asked]] = []
    for kind, same in _by(wanted, lambda asked: asked.work.kind).items():
        if batch_job is None or len(same) + past.under_way[kind] <= few:
            chosen += [[asked] for asked in same]
        else:
            chosen += room.batches(kind, [asked for asked in same if asked.work.lane not in past.taken])
    ours = _claimed(engine, [asked.claim for group in chosen for asked in group])
    for group in chosen:
        claimed = [asked for asked in group if asked.claim in ours]
        if not claimed:
            continue
        alone = len(claimed) == 1 and (few or batch_job is None)
        request = _request(claimed[0]) if alone else _batch(str(batch_job), claimed, now)
        regions = sorted({asked.work.lane.partition(":")[2] for asked in claimed})
        logger(__name__).info("run asked for", work=request.run_key, region=", ".join(regions))
        yield request


class _Past:
    """What Dagster's records tell of works: those of batches together, those of single runs work by work."""

    def __init__(self, instance: DagsterInstance, now: datetime, batch_job: str | None) -> None:
        self._instance, self._now = instance, now
        self._runs: Counter[str] = Counter()  # of a work
        self._last: dict[str, tuple[int, float]] = {}  # attempt of a work, and its end
        self._unfinished: set[str] = set()  # works
        self.batched: set[str] = set()  # lanes of batches under way
        self.waiting: Counter[str] = Counter()  # batches under way, by kind
        self._begun: set[str] = set()  # lanes of background work that is asked for now
        self._seen: set[str] = set()  # single runs under way
        self.taken: set[str] = set()  # lanes of single runs under way
        self.under_way: Counter[str] = Counter()  # single runs, by kind
        if batch_job is None:
            return
        for filters in (
            RunsFilter(job_name=batch_job, statuses=UNFINISHED),
            RunsFilter(job_name=batch_job, statuses=ENDED, updated_after=now - REMEMBERED),
        ):
            for record in instance.get_run_records(filters):
                self._note_batch(record)

    def _note_batch(self, record: RunRecord) -> None:
        run = record.dagster_run
        works = works_of(run)
        kind = run.tags.get(LANE_TAG, "").partition(":")[0]
        if not run.is_finished:
            self.waiting[kind] += 1
            self.batched |= {f"{kind}:{work['region']}" for work in works}
            return
        self._runs.update(work["work"] for work in works)
        for work in tried(run):
            self._note(work["work"], int(work.get("attempt", 1)), record.end_time)

    def _note(self, name: str, attempt: int, ended: float | None) -> None:
        before, until = self._last.get(name, (0, 0.0))
        self._last[name] = max(attempt, before), max(ended or 0.0, until)

    def look_at(self, works: Sequence[WantedRun]) -> None:
        """Look up the runs that works have had by themselves, and those in their lanes."""
        names = sorted({work.name for work in works})
        for record in self._instance.get_run_records(RunsFilter(tags={WORK_TAG: names})) if names else ():
            tags = record.dagster_run.tags
            self._runs[tags[WORK_TAG]] += 1
            if not record.dagster_run.is_finished:
                self._unfinished.add(tags[WORK_TAG])
            # Of all runs of a work: one that was executed again from the UI has the tags of the run that it repeats.
            self._note(tags[WORK_TAG], int(tags.get(ATTEMPT_TAG, 0)), record.end_time)
        lanes = sorted({work.lane for work in works if work.lane})
        found = self._instance.get_run_records(RunsFilter(tags={LANE_TAG: lanes}, statuses=UNFINISHED)) if lanes else ()
        for run in (record.dagster_run for record in found if record.dagster_run.run_id not in self._seen):
            self._seen.add(run.run_id)
            self.taken.add(run.tags[LANE_TAG])
            self.under_way[run.tags[LANE_TAG].partition(":")[0]] += 1

    def askable(self, works: Iterable[WantedRun]) -> Iterator[_Asked]:
        """Those of the works that are neither under way nor pausing."""
        for work in works:
            if work.name in self._unfinished or self._pauses(work.name):
                continue
            if BACKGROUND_TAG in work.tags:
                # Each commit of a long run leaves other work of another name, which is that run's.
                if work.lane in self.taken or work.lane in self._begun:
                    continue
                self._begun.add(work.lane)
            yield _Asked(work, 1 + self._last.get(work.name, (0, 0.0))[0], self._runs[work.name])

    def _pauses(self, name: str) -> bool:
        """Whether work whose runs have all ended is not to be asked for again yet."""
        if name not in self._last:
            return False
        attempt, ended = self._last[name]
        pause = settings().retry_pause_seconds * 2.0 ** min(max(attempt - 1, 0), LONGEST_DOUBLING)
        return self._now.timestamp() < ended + pause


class _Room:
    """How many batches can be asked for: no more wait than there are slots."""

    def __init__(self, instance: DagsterInstance, past: _Past) -> None:
        queue = instance.get_concurrency_config().run_queue_config
        self._slots = queue.max_concurrent_runs if queue and queue.max_concurrent_runs > 0 else SLOTS
        self._past = past
        self._regions = settings().batch_regions

    def _free(self, kind: str, *, background: bool) -> int:
        slots = max(1, self._slots - 1) if background else self._slots
        return max(0, slots - self._past.waiting[kind] - self._past.under_way[kind])

    def is_filled_by(self, wanted: Sequence[_Asked]) -> bool:
        """Whether there are works for as many batches as can be asked for."""
        return len({asked.work.lane for asked in wanted}) >= self._slots * self._regions

    def batches(self, kind: str, wanted: Sequence[_Asked]) -> Iterator[list[_Asked]]:
        """The works in batches, each of some regions."""
        free = self._free(kind, background=BACKGROUND_TAG in wanted[0].work.tags) if wanted else 0
        if not free:
            return
        works_of_regions = list(_by(wanted, lambda asked: asked.work.lane).values())
        batch: list[_Asked] = []
        regions = 0
        for works in works_of_regions:
            if batch and (regions == self._regions or len(batch) + len(works) > WORKS_A_BATCH):
                if free == 1:
                    break
                yield batch
                free, batch, regions = free - 1, [], 0
            batch, regions = [*batch, *works[:WORKS_A_BATCH]], regions + 1
        yield batch


def _by(wanted: Iterable[_Asked], key: Callable[[_Asked], str]) -> dict[str, list[_Asked]]:
    """Works by something, in the order of the first of each."""
    found: dict[str, list[_Asked]] = defaultdict(list)
    for asked in wanted:
        found[key(asked)].append(asked)
    return found


def _request(asked: _Asked) -> RunRequest:
    """A run for one work."""
    work, attempt = asked.work, asked.attempt
    return RunRequest(
        run_key=f"{work.name}#{attempt}",
        partition_key=work.partition_key,
        job_name=work.job,
        run_config=work.config,
        tags=work.tags | {WORK_TAG: work.name, ATTEMPT_TAG: str(attempt)},
    )


def _batch(job: str, wanted: Sequence[_Asked], now: datetime) -> RunRequest:
    """A run for the works of some regions. Its key names the instant, and is never needed again."""
    kind = wanted[0].work.kind
    named = "\n".join(asked.claim for asked in wanted)
    digest = hashlib.sha256(f"{now.isoformat()}\n{named}".encode()).hexdigest()[:12]
    name = f"batch:{kind}:{digest}"
    regions = {asked.work.lane: None for asked in wanted}
    tags = wanted[0].work.tags if len(regions) == 1 else lane(kind, f"batch {digest}")
    return RunRequest(
        run_key=name,
        job_name=job,
        run_config=batch_config(kind, [_batched(asked) for asked in wanted]),
        tags=tags | {WORK_TAG: name, ATTEMPT_TAG: "1", PROGRESS_TAG: f"0/{len(regions)}"},
    )


def _batched(asked: _Asked) -> BatchedWork:
    work = asked.work
    key = work.partition_key
    day = key.keys_by_dimension[DATE] if isinstance(key, MultiPartitionKey) else ""
    ops = (work.config or {}).get("ops", {})
    options: dict[str, Any] = next((op["config"] for op in ops.values()), {})
    region = work.lane.partition(":")[2]
    return BatchedWork(work=work.name, attempt=asked.attempt, region=region, day=day, config=options)


def _claimed(engine: Engine | None, names: Sequence[str]) -> Collection[str]:
    """Those of the names that no other sensor claims in this instant."""
    if engine is None:
        return set(names)
    from satcommon.db.claims import claim
    from satcommon.environment import utc_now

    return claim(engine, names, utc_now())


def cancel_needless(instance: DagsterInstance, job: str, is_needless: Callable[[str], bool]) -> list[str]:
    """Take runs off the queue whose work was done meanwhile by another run; each would start a process for nothing.

    Args:
        instance: Dagster's.
        job: of the runs.
        is_needless: tells it of a work, by name.

    Returns:
        The names of the works.
    """
    queued = instance.get_run_records(
        RunsFilter(job_name=job, statuses=[DagsterRunStatus.QUEUED]), limit=QUEUED_LOOKED_AT
    )
    needless = [r.dagster_run for r in queued if is_needless(r.dagster_run.tags.get(WORK_TAG, ""))]
    for run in needless:
        instance.report_run_canceled(run, "its work was done meanwhile by another run")
    return [run.tags[WORK_TAG] for run in needless]
