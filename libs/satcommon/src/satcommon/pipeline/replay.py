"""Replay: recomputing fields in day order from a miss on, in chunks of days, by the same steps as realtime.

A chunk is read from one snapshot, computed, put, and committed in one transaction that starts again on any difference.
It publishes one patch: the rows that changed, whatever the number of days and of other fields.
Observations come from the published rows if their digests are current, whatever the cause of a miss says. The state of
a field is carried on until it is the published one again, and then from the field's next open miss. If a field reaches
neither that nor the watermark by the end of a chunk, a `carry` miss on the next day keeps the rest on the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pyarrow as pa
from sqlalchemy import Connection, Engine

from satcommon.db import ledger, missed_days, publications
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.expected import ONE_DAY, Timeline
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, ProcessingType, PublicationKind, Region
from satcommon.db.publications import MAX_OBJECT_AGE, NewPublication, StoredObject
from satcommon.db.registry import aoi_of
from satcommon.errors import (
    AlgorithmError,
    DamagedObjectError,
    ObjectMissingError,
    PermanentError,
    RetryableError,
    SatfieldsError,
    describe,
)
from satcommon.pipeline.backlog import TRIES, region_backlog
from satcommon.pipeline.close_day import UNREACHABLE, Processor
from satcommon.pipeline.inputs import DaySnapshot, day_snapshots, expected_fields
from satcommon.publication.objects import CAUSE, WITHDRAWN, patch_schema
from satcommon.publication.reader import PublishedDays, published_days
from satcommon.sources.source import BY_REFERENCE, AreaOfInterest, days_between
from satcommon.stats import result_rows
from satcommon.stats.algorithm import Algorithm, algorithm
from satcommon.stats.carry_state import STATE_INPUTS, States, carry, states_before
from satcommon.stats.observation import ObservationCost, Subject, observed_schema
from satcommon.telemetry.work import work

CHUNK_DAYS = 30  # a chunk at most
CHUNK_FIELD_DAYS = 50_000  # a chunk at most, so that a commit holds the region's lock for seconds
PICTURED_FIELDS = 50  # of a chunk: their rows before and after are kept for a report
_RESTARTS = 5  # of one chunk in a row; then the run ends, and a sensor asks for the work again


@dataclass(frozen=True)
class ReplaySnapshot:
    """What a chunk's commit compares: everything that its rows depend on."""

    days: dict[date, DaySnapshot]  # of the chunk; each with the version of the day before
    versions: dict[date, int]  # of the chunk's days and of the day before
    digests: dict[int, str]  # of the own fields in the registry, by field id


@dataclass(frozen=True)
class ReplayInputs:
    """All that was read for a chunk, from one snapshot."""

    bbox_id: int
    aoi: AreaOfInterest
    first: date
    last: date
    now: datetime
    deadlines: Deadlines
    version: str
    snapshot: ReplaySnapshot
    fields: dict[int, Timeline]  # the chunk's own
    misses: dict[tuple[int, date], OpenMiss]  # the own fields' open ones in the chunk
    waiting: frozenset[tuple[int, date]]  # those of them that are not runnable now
    withdrawn: frozenset[tuple[int, date]]
    withdrawn_names: dict[int, str]
    published: PublishedDays  # of the chunk, and of the days before from which state may be carried
    row_counts: dict[date, int]  # of the chunk's days


@dataclass
class ReplayResult:
    """A chunk's outcome, not stored yet."""

    patches: list[pa.Table] = field(default_factory=list)  # of each day, the rows that changed
    days: dict[date, pa.Table] = field(default_factory=dict)  # all rows of days that can't be read
    row_counts: dict[date, int] = field(default_factory=dict)  # of the changed days
    steps: list[tuple[int, date]] = field(default_factory=list)  # field-days computed
    failed: dict[tuple[int, date], str] = field(default_factory=dict)
    unreachable: set[tuple[int, date]] = field(default_factory=set)  # of these, whose scene's archive can't be reached
    outage: SatfieldsError | None = None  # why
    unfinished: list[int] = field(default_factory=list)  # fields to be carried on after the chunk
    changed_rows: int = 0
    observed: int = 0
    reused: int = 0
    work: ObservationCost = field(default_factory=ObservationCost)
    pictured: dict[date, tuple[pa.Table, pa.Table]] = field(default_factory=dict)  # a few fields' rows before and after


@dataclass(frozen=True)
class Replayed:
    """A chunk that was committed."""

    inputs: ReplayInputs
    computed: ReplayResult


def replay(
    processor: Processor, engine: Engine, bbox_id: int, deadlines: Deadlines, run_id: str, now: datetime
) -> Iterator[Replayed]:
    """Drain the runnable backlog of a region, oldest day first; yields each chunk after its commit.

    Args:
        processor: computes and stores the rows.
        engine: of the ledger.
        bbox_id: the region.
        deadlines: the waiting times.
        run_id: for the audit trail.
        now: the present.

    Raises:
        AlgorithmError: the region's version is not supported here.
        PermanentError: a chunk has misses of field-days that are not expected; `satctl audit` shows them.
        RetryableError: a chunk's inputs changed again and again, or a store or database could not be reached.
    """
    restarts = 0
    while True:
        with read_transaction(engine) as connection:
            inputs = next_chunk(connection, bbox_id, deadlines, now)
        if inputs is None:
            return
        with work("chunk replayed", region=inputs.aoi.name, day=inputs.first) as told:
            try:
                computed = compute(processor, inputs, forgiving=restarts == _RESTARTS)
                if not (computed.steps or computed.failed or inputs.withdrawn):
                    raise PermanentError(
                        f"{inputs.aoi.name} {inputs.first}: misses that nobody expects; see `satctl audit`"
                    )
                puts = put(processor, inputs, computed)
                committed = commit(engine, inputs, computed, puts, run_id, processor.now(now))
                told |= {"last_day": inputs.last, "steps": len(computed.steps), "changed": computed.changed_rows}
            except ObjectMissingError:
                committed = False
            told["committed"] = committed
        if committed:
            restarts = 0
            yield Replayed(inputs, computed)
            continue
        restarts += 1
        if restarts > _RESTARTS:
            raise RetryableError(f"{inputs.aoi.name} {inputs.first}: the inputs changed {restarts} times in a row")


# --- read ----------------------------------------------------------------------------------------------------------


def next_chunk(connection: Connection, bbox_id: int, deadlines: Deadlines, now: datetime) -> ReplayInputs | None:
    """Step 1: the first chunk with runnable work, and every field that has some in it; None if there is none.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        deadlines: the waiting times.
        now: the present.
    """
    todo = region_backlog(connection, bbox_id, deadlines, now)
    first, closed = todo.first_day, ledger.watermark(connection, bbox_id)
    if first is None or closed is None:
        return None
    last = min(first + timedelta(days=CHUNK_DAYS - 1), closed)
    own = {field_id for field_id, day in todo.misses if day <= last}
    last = min(last, first + timedelta(days=max(1, CHUNK_FIELD_DAYS // max(1, len(own))) - 1))
    own = {field_id for field_id, day in todo.misses if day <= last}
    lines = timelines(connection, bbox_id, own)
    opened = {
        (m.field_id, m.date_missed): OpenMiss(m.field_id, m.date_missed, m.cause, m.digest)
        for m in missed_days.misses(connection, bbox_id, first, last)
        if m.field_id in own
    }
    withdrawn = frozenset(w for w in todo.withdrawals if w[1] <= last)
    region = ledger.region(connection, bbox_id)
    started = min((line.carried_from(day) for line in lines.values() if (day := line.next(first))), default=first)
    return ReplayInputs(
        bbox_id=bbox_id,
        aoi=aoi_of(region),
        first=first,
        last=last,
        now=now,
        deadlines=deadlines,
        version=region.algorithm_version,
        snapshot=replay_snapshot(connection, region, first, last, own, deadlines, now),
        fields=lines,
        misses=opened,
        waiting=frozenset(key for key in opened if key not in todo.misses),
        withdrawn=withdrawn,
        withdrawn_names=ledger.external_ids(connection, {field_id for field_id, _ in withdrawn}),
        published=published_days(connection, bbox_id, min(started, first - ONE_DAY), last),
        row_counts={
            day: row.row_count or 0 for day, row in ledger.region_days(connection, bbox_id, first, last).items()
        },
    )


def replay_snapshot(
    connection: Connection,
    region: Region,
    first: date,
    last: date,
    own: Collection[int],
    deadlines: Deadlines,
    now: datetime,
) -> ReplaySnapshot:
    """What holds for a chunk now.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the chunk.
        last: last day of the chunk.
        own: ids of the fields that the chunk replays.
        deadlines: the waiting times.
        now: the present.
    """
    lines = timelines(connection, region.bbox_id, own)
    return ReplaySnapshot(
        days=day_snapshots(connection, region, first, last, deadlines, now),
        versions=publications.versions(connection, region.bbox_id, first - ONE_DAY, last),
        digests={field_id: line.digest(last) for field_id, line in lines.items()},
    )


# --- compute -------------------------------------------------------------------------------------------------------


def compute(processor: Processor, inputs: ReplayInputs, *, forgiving: bool = False) -> ReplayResult:
    """Step 2: day by day, the rows of the chunk's own fields; other fields' rows are not looked at.

    A damaged published object counts as one without rows: its other fields are missed, so that it holds up nobody.

    Args:
        processor: computes the rows.
        inputs: what was read.
        forgiving: treat a missing published object like a damaged one.

    Raises:
        AlgorithmError: the region's version is not supported here.
        ObjectMissingError: garbage collection removed an object meanwhile; read again.
    """
    rules = algorithm(inputs.version)
    done = ReplayResult()
    chunk = _Chunk(processor, inputs, rules, forgiving, done)
    pictured = sorted(line.external_id for line in inputs.fields.values())[:PICTURED_FIELDS]
    active: set[int] = set()  # fields whose state is being carried on
    states: dict[date, States] = {}
    for day in days_between(inputs.first, inputs.last):
        active = {f for f in active if (line := inputs.fields[f]).at(day) and line.carried_from(day) < day}
        active |= {f for f, missed in inputs.misses if missed == day and inputs.fields[f].at(day)}
        active -= {f for f, missed in inputs.waiting if missed == day}
        gone = [inputs.withdrawn_names[f] for f, listed in inputs.withdrawn if listed == day]
        if not active and not gone:
            continue
        own = sorted(active, key=lambda f: inputs.fields[f].external_id)
        published = chunk.published(day, [*(inputs.fields[f].external_id for f in own), *gone])
        spoilt = published is None
        published = result_rows.empty() if published is None else published
        observed, failed = chunk.observations(day, own, published)
        for f in failed:
            done.failed[f, day] = failed[f]
        own = [f for f in own if f not in failed]
        names = [inputs.fields[f].external_id for f in own]
        rows, states[day] = chunk.carried(day, own, observed, states)
        rows_before = result_rows.only(published, names)
        done.pictured[day] = (result_rows.only(rows_before, pictured), result_rows.only(rows, pictured))
        before = States.of(rows_before, rules)
        same = before.gather(names, rules).equals(states[day].state)
        # A field without a published row compares with the initial state, which no state after a day equals.
        stopped = {f for f, equal in zip(own, same, strict=True) if equal}
        active = {f for f in own if f not in stopped}
        done.steps += [(f, day) for f in own]
        if spoilt:
            done.days[day] = rows
            done.row_counts[day] = rows.num_rows
            done.changed_rows += rows.num_rows
            continue
        changed = result_rows.changed_fields(result_rows.only(published, [*names, *gone]), rows)
        if changed:
            done.patches.append(chunk.patch(day, own, rows, changed))
            before_count = result_rows.only(published, [*names, *gone]).num_rows
            done.row_counts[day] = inputs.row_counts[day] + rows.num_rows - before_count
            done.changed_rows += len(changed)
    done.unfinished = sorted(active)
    return done


@dataclass(frozen=True)
class _Chunk:
    """The computation of a chunk: what its days share."""

    processor: Processor
    inputs: ReplayInputs
    rules: Algorithm
    forgiving: bool
    done: ReplayResult

    def published(self, day: date, fields: list[str], columns: list[str] | None = None) -> pa.Table | None:
        """The published rows of some fields; None where an object can't be read."""
        try:
            return self.inputs.published.rows(self.processor.objects, day, columns, fields)
        except DamagedObjectError:
            return None
        except ObjectMissingError:
            if self.forgiving:
                return None
            raise

    def patch(self, day: date, own: Sequence[int], rows: pa.Table, changed: Sequence[str]) -> pa.Table:
        """The changed rows of a day, each with its cause, and marks for rows that are taken out."""
        causes = {
            self.inputs.fields[f].external_id: miss.cause.value
            for f in own
            if (miss := self.inputs.misses.get((f, day))) is not None
        }
        kept = result_rows.only(rows, list(changed))
        names = kept["field"].to_pylist()
        kept = kept.append_column(CAUSE, pa.array([causes.get(n, Cause.CARRY.value) for n in names], pa.string()))
        kept = kept.append_column(WITHDRAWN, pa.array([False] * len(names), pa.bool_()))
        same = {"region": self.inputs.aoi.name, "day": day, CAUSE: WITHDRAWN, WITHDRAWN: True}
        marks = [{"field": name, **same} for name in sorted(set(changed) - set(names))]
        return pa.concat_tables([kept, pa.Table.from_pylist(marks, patch_schema(kept.column_names))])

    def observations(self, day: date, own: Sequence[int], published: pa.Table) -> tuple[pa.Table, dict[int, str]]:
        """The fields' observations, by external id: published ones where their digests are current, else new ones."""
        scene = self.inputs.snapshot.days[day].scene
        subjects: dict[int, Subject] = {}
        for f in own:
            span = self.inputs.fields[f].at(day)
            assert span is not None
            subjects[f] = Subject(self.inputs.fields[f].external_id, span.geometry_digest, span.inside_fraction)
        further = result_rows.further_columns(self.rules.indices, self.rules.further_bands)
        current = result_rows.only(published, [s.external_id for s in subjects.values()])
        current = result_rows.completed(current, observed_schema(further).names)
        digests = {
            row["field"]: (row["scene_digest"], row["geometry_digest"], row["algorithm_version"])
            for row in current.select(["field", "scene_digest", "geometry_digest", "algorithm_version"]).to_pylist()
        }
        stands = [
            f
            for f, s in subjects.items()
            if digests.get(s.external_id) == (scene.digest, s.geometry_digest, self.rules.version)
        ]
        kept = result_rows.only(current, [subjects[f].external_id for f in stands])
        anew = {f: s for f, s in subjects.items() if f not in set(stands)}
        self.done.reused += len(stands)
        self.done.observed += len(anew)
        failed: dict[int, str] = {}
        if anew:
            try:
                if self.done.outage is not None and (scene.object_key or "").endswith(BY_REFERENCE):
                    raise self.done.outage  # not asked for each day, which could take hours
                seen = self.processor.observe(self.inputs.aoi, scene, list(anew.values()), self.rules, self.done.work)
            except UNREACHABLE as error:  # the archive's trouble: days with other scenes go on
                self.done.outage = error
                self.done.unreachable |= {(f, day) for f in anew}
                return kept.sort_by("field"), {f: describe(error) for f in anew}
            except (RetryableError, AlgorithmError):
                raise
            except Exception as error:  # noqa: BLE001  # recorded for the fields; the other days go on
                return kept.sort_by("field"), {f: describe(error) for f in anew}
            kept = pa.concat_tables([kept, seen.table])
            failed = {f: seen.failed[s.external_id] for f, s in anew.items() if s.external_id in seen.failed}
        return kept.sort_by("field"), failed

    def carried(
        self, day: date, own: Sequence[int], observed: pa.Table, states: Mapping[date, States]
    ) -> tuple[pa.Table, States]:
        """The rows of the own fields, carried on from the chunk's own states or from the rows of the days before."""

        def at(earlier: date, names: list[str]) -> States | None:
            computed = states.get(earlier)
            if computed is not None and all(name in computed.fields for name in names):
                return computed
            if earlier not in self.inputs.published.layers:
                return None
            rows = self.published(earlier, names, STATE_INPUTS)
            if rows is None:
                return States.of(result_rows.empty(), self.rules) if computed is None else computed
            stored = States.of(rows, self.rules)
            return stored if computed is None else computed.over(stored)

        wanted = [(self.inputs.fields[f].external_id, self.inputs.fields[f].carried_from(day)) for f in own]
        before = states_before(wanted, day, at, self.rules)
        plantings = [span.planting for f in own if (span := self.inputs.fields[f].at(day))]
        return carry(self.inputs.aoi.name, day, observed, plantings, before, self.rules)


# --- put, commit ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReplayPut:
    """A chunk's objects, which no publication names yet."""

    patch: StoredObject | None
    days: dict[date, StoredObject]

    @property
    def put_at(self) -> datetime | None:
        """When the first of them was put."""
        return min((stored.at for stored in [*self.days.values(), *([self.patch] if self.patch else [])]), default=None)


def put(processor: Processor, inputs: ReplayInputs, computed: ReplayResult) -> ReplayPut:
    """Step 3: the changed rows become one patch; each day that can't be read, an object of its own."""
    now = processor.now(inputs.now)
    days = {day: processor.objects.put_day(inputs.bbox_id, day, rows, now) for day, rows in computed.days.items()}
    if not computed.patches:
        return ReplayPut(None, days)
    return ReplayPut(processor.objects.put_patch(inputs.bbox_id, pa.concat_tables(computed.patches), now), days)


def commit(
    engine: Engine, inputs: ReplayInputs, computed: ReplayResult, stored: ReplayPut, run_id: str, now: datetime
) -> bool:
    """Step 4: publish the chunk, in one transaction; False if anything that was read has changed.

    Args:
        engine: of the ledger.
        inputs: what was read.
        computed: the result.
        stored: its objects.
        run_id: for the audit trail.
        now: the present.
    """
    own = set(inputs.fields)
    with write_transaction(engine) as connection:
        region = ledger.lock_region(connection, inputs.bbox_id)
        current = replay_snapshot(connection, region, inputs.first, inputs.last, own, inputs.deadlines, inputs.now)
        too_old = stored.put_at is not None and now - stored.put_at > MAX_OBJECT_AGE
        # A withdrawn row may be expected again meanwhile, and unchanged in the same version: then it stays.
        stay = inputs.withdrawn - ledger.withdrawals(connection, inputs.bbox_id, inputs.first, inputs.last)
        if too_old or stay or region.algorithm_version != inputs.version or current != inputs.snapshot:
            return False
        _publish(connection, inputs, computed, stored, run_id, now)
        resolved = [(f, day, inputs.misses[f, day].digest) for f, day in computed.steps if (f, day) in inputs.misses]
        missed_days.resolve_opened(connection, inputs.bbox_id, resolved, now)
        ledger.cross_off(connection, inputs.bbox_id, inputs.withdrawn)
        missed_days.open_misses(connection, inputs.bbox_id, _misses(connection, inputs, computed), now)
        outages = computed.unreachable
        missed_days.count_failures(
            connection, inputs.bbox_id, [key for key in computed.failed if key not in outages], now
        )
        missed_days.count_failures(connection, inputs.bbox_id, sorted(outages), now, most=TRIES - 1)
        run = ledger.ProcessingRun(ProcessingType.REPROCESSING, run_id, inputs.now)
        for day in sorted({day for _, day in computed.steps} | {day for _, day in computed.failed}):
            errors: dict[int, str | None] = {f: None for f, d in computed.steps if d == day}
            errors |= {f: message for (f, d), message in computed.failed.items() if d == day}
            ledger.record_attempts(connection, inputs.bbox_id, day, errors, run, now)
    return True


def _publish(
    connection: Connection, inputs: ReplayInputs, computed: ReplayResult, stored: ReplayPut, run_id: str, now: datetime
) -> None:
    for day, its_object in stored.days.items():
        count = computed.row_counts[day]
        whole = NewPublication(
            PublicationKind.DAY, its_object, {day: count}, count, run_id, Cause.PROCESSING_ERROR.value
        )
        publications.publish(connection, inputs.bbox_id, whole, now)
    if stored.patch is None:
        return
    days = {day: count for day, count in computed.row_counts.items() if day not in stored.days}
    rows = pa.concat_tables(computed.patches)
    causes = Counter(rows[CAUSE].to_pylist())
    cause = ", ".join(f"{name} {count}" for name, count in sorted(causes.items()))
    patch = NewPublication(PublicationKind.PATCH, stored.patch, days, rows.num_rows, run_id, cause)
    publications.publish(connection, inputs.bbox_id, patch, now)


def _misses(connection: Connection, inputs: ReplayInputs, computed: ReplayResult) -> list[OpenMiss]:
    """What the chunk leaves to be done: states to carry on, fields that failed, rows lost with a damaged object."""
    # The watermark may have moved meanwhile: what is beyond the chunk stays on the list.
    following = inputs.last + ONE_DAY
    closed = ledger.watermark(connection, inputs.bbox_id)
    assert closed is not None
    lines = timelines(connection, inputs.bbox_id, computed.unfinished) if following <= closed else {}
    on = [f for f, line in lines.items() if line.at(following) and line.carried_from(following) < following]
    carried = [OpenMiss(f, following, Cause.CARRY, Cause.CARRY.value) for f in on]
    failing = [
        OpenMiss(f, day, Cause.PROCESSING_ERROR, f"error {message}"[:64])
        for (f, day), message in computed.failed.items()
        if (f, day) not in inputs.misses
    ]
    lost = [
        OpenMiss(f.field_id, day, Cause.PROCESSING_ERROR, "spoilt object")
        for day in computed.days
        for f in expected_fields(connection, inputs.bbox_id, day)
        if (f.field_id, day) not in computed.steps
    ]
    return [*carried, *failing, *lost]
