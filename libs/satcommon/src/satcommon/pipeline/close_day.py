"""One region's day in realtime, as explicit steps: read (`inputs.read`), compute, put, commit.

A run publishes nothing before its commit, which compares everything that was read with what holds under the region's
lock. So a run can be killed at any instruction, run again, or run twice at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, auto

import pyarrow as pa
from sqlalchemy import Engine

from satcommon.db import ledger, missed_days
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import geometries
from satcommon.db.expected import ONE_DAY
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, ProcessingType, PublicationKind
from satcommon.db.publications import MAX_OBJECT_AGE, NewPublication, StoredObject, publish
from satcommon.db.registry import revision
from satcommon.errors import (
    AlgorithmError,
    ArchiveError,
    CatalogueError,
    DamagedObjectError,
    ObjectMissingError,
    RetryableError,
    SceneError,
    describe,
)
from satcommon.pipeline.inputs import DayInputs, DaySnapshot, Expected, day_snapshot, expected_fields, read
from satcommon.pipeline.isolate_failures import isolate_failures
from satcommon.publication.objects import ResultObjects
from satcommon.sources.source import AreaOfInterest, SceneSource
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.stats import result_rows
from satcommon.stats.algorithm import Algorithm, algorithm
from satcommon.stats.carry_state import STATE_INPUTS, States, carry, states_before
from satcommon.stats.coverage_cache import CoverageCache
from satcommon.stats.field_state import State
from satcommon.stats.observation import ObservationCost, Observed, SceneInput, Subject, observe
from satcommon.storage.object_store import ObjectStore

TRIES = 3  # after so many, a day closes regardless
UNREACHABLE = (ArchiveError, CatalogueError)  # raised where the pixels of a scene by reference can't be had for now


@dataclass(frozen=True)
class DayResult:
    """The rows of a day, not stored yet."""

    rows: pa.Table
    failed: dict[str, str] = field(default_factory=dict)
    work: ObservationCost = field(default_factory=ObservationCost)


@dataclass(frozen=True)
class Closed:
    """A day that this run closed."""

    inputs: DayInputs
    computed: DayResult
    put: StoredObject


class Outcome(Enum):
    """What a commit did."""

    CLOSED = auto()
    CLOSED_BY_ANOTHER = auto()
    START_AGAIN = auto()


class Processor:
    """Computes days of a region, keeping its coverage in memory from one day to the next."""

    def __init__(
        self,
        engine: Engine,
        store: ObjectStore,
        clock: Callable[[], datetime] | None = None,
        source: Callable[[], SceneSource] | None = None,
    ) -> None:
        """A processor of a region's days.

        Args:
            engine: of the ledger.
            store: of scenes and results.
            clock: gives the time of effects (puts, commits); without one it is the run's `now`.
            source: opens the source of scenes by reference.
        """
        self._engine, self.store, self._clock = engine, store, clock
        self._scenes = StoredScenes(store, source)
        self.objects = ResultObjects(store)
        self._coverages: dict[str, CoverageCache] = {}

    def now(self, otherwise: datetime) -> datetime:
        """The time of an effect."""
        return self._clock() if self._clock else otherwise

    def compute(self, inputs: DayInputs) -> DayResult:
        """Step 2: observations, and the state carried on from the rows before.

        A day that waits for its scene has no rows: its fields are missed.

        Raises:
            AlgorithmError: the region's version is not supported here.
            SceneError: the scene's object can't be read.
            ObjectMissingError: garbage collection removed an object of the days before meanwhile; read again.
        """
        rules = algorithm(inputs.snapshot.version)
        if inputs.snapshot.waits or not inputs.fields:
            return DayResult(result_rows.empty())
        work = ObservationCost()
        observed = self.observe(inputs.aoi, inputs.snapshot.scene, [f.subject for f in inputs.fields], rules, work)
        fields = [f for f in inputs.fields if f.external_id not in observed.failed]
        before = self._states_before(inputs, fields, rules)
        plantings = [f.span.planting for f in fields]
        rows, _ = carry(inputs.aoi.name, inputs.day, observed.table, plantings, before, rules)
        return DayResult(rows, observed.failed, work)

    def put(self, inputs: DayInputs, computed: DayResult) -> StoredObject:
        """Step 3: the rows become an object that no publication names yet."""
        return self.objects.put_day(inputs.bbox_id, inputs.day, computed.rows, self.now(inputs.now))

    def observe(
        self,
        aoi: AreaOfInterest,
        scene: SceneInput,
        subjects: Sequence[Subject],
        rules: Algorithm,
        work: ObservationCost,
    ) -> Observed:
        """Observe fields in a scene, with their coverage from the cache; a field that fails alone fails for itself.

        Args:
            aoi: the region's area and grid.
            scene: of the day.
            subjects: the fields.
            rules: of the region's algorithm version.
            work: what it costs is added to this.

        Raises:
            Exception: it fails without any field, or with each of them.
        """
        name = f"{aoi.grid.digest}/{rules.coverage_rule}"
        if name not in self._coverages:
            self._coverages[name] = CoverageCache(self.store, aoi.grid, rules)
        cache = self._coverages[name]

        def seen(some: Sequence[Subject]) -> Observed:
            return observe(scene, some, cache, self._geometries, self._scenes.open, rules, work)

        try:
            return seen(subjects)
        except (RetryableError, AlgorithmError):
            raise
        except Exception as error:
            if isinstance(error, SceneError) and scene.object_key is not None and self.store.exists(scene.object_key):
                # GDAL distinguishes an unreachable store from a damaged file by words at best; the store does by type.
                self.store.get(scene.object_key)
            seen([])
            parts, failed = isolate_failures(subjects, seen)
            if not parts:
                raise
        alone = {subject.external_id: why for subject, why in failed.items()}
        table = pa.concat_tables([part.table for part in parts]).combine_chunks()
        return Observed(table, alone | {f: why for part in parts for f, why in part.failed.items()})

    def _states_before(self, inputs: DayInputs, fields: Sequence[Expected], rules: Algorithm) -> State:
        def at(day: date, names: list[str]) -> States | None:
            if day not in inputs.earlier.layers:
                return None
            try:
                return States.of(inputs.earlier.rows(self.objects, day, STATE_INPUTS, names), rules)
            except (ObjectMissingError, DamagedObjectError):
                if day == inputs.day - ONE_DAY:
                    raise
                return States.of(result_rows.empty(), rules)  # used only if the day after it is missed

        return states_before([(f.external_id, f.carried_from) for f in fields], inputs.day, at, rules)

    def _geometries(self, digests: list[str]) -> Mapping[str, bytes]:
        with read_transaction(self._engine) as connection:
            return geometries(connection, digests)


def commit(
    engine: Engine,
    inputs: DayInputs,
    computed: DayResult,
    put: StoredObject,
    run_id: str,
    now: datetime,
    *,
    last_try: bool = False,
) -> Outcome:
    """Step 4: publish, in one transaction, if what was read still holds.

    Args:
        engine: of the ledger.
        inputs: what was read.
        computed: the rows.
        put: their object.
        run_id: for the audit trail.
        now: the present.
        last_try: close even if the inputs of the day changed, with every field missed.

    Raises:
        RetryableError: an earlier day is open: the region is monitored from an earlier day meanwhile.
    """
    with write_transaction(engine) as connection:
        region = ledger.lock_region(connection, inputs.bbox_id)
        due_day = ledger.next_day(connection, region)
        if due_day > inputs.day:
            return Outcome.CLOSED_BY_ANOTHER
        if due_day < inputs.day:
            # Monitored from an earlier day meanwhile; the next run begins there.
            raise RetryableError(f"{inputs.aoi.name} {inputs.day} can't close before {due_day}: days close in order")
        current = day_snapshot(connection, region, inputs.day, inputs.deadlines, inputs.now)
        if now - put.at > MAX_OBJECT_AGE or (current != inputs.snapshot and not last_try):
            return Outcome.START_AGAIN
        # A change of this region's expected days holds its lock until the registry's revision has moved.
        same = revision(connection) == inputs.registry
        fields = inputs.fields if same else expected_fields(connection, inputs.bbox_id, inputs.day)
        present = set(computed.rows["field"].to_pylist())
        missed_days.open_misses(connection, inputs.bbox_id, _misses(inputs, computed, current, fields, present), now)
        if not same:
            expected = {f.field_id for f in fields}
            gone = [f.field_id for f in inputs.fields if f.external_id in present and f.field_id not in expected]
            ledger.withdraw(connection, inputs.bbox_id, [(field_id, inputs.day) for field_id in gone], now)
        if not inputs.snapshot.waits:
            errors = {f.field_id: computed.failed.get(f.external_id) for f in inputs.fields}
            run = ledger.ProcessingRun(ProcessingType.REALTIME, run_id, inputs.now)
            ledger.record_attempts(connection, inputs.bbox_id, inputs.day, errors, run, now)
        ledger.set_day(
            connection,
            inputs.bbox_id,
            inputs.day,
            due=current.due,
            closed_at=now,
        )
        count = computed.rows.num_rows
        new = NewPublication(PublicationKind.DAY, put, {inputs.day: count}, count, run_id, "closed")
        publish(connection, inputs.bbox_id, new, now)
        return Outcome.CLOSED


def _misses(
    inputs: DayInputs, computed: DayResult, current: DaySnapshot, fields: Sequence[Expected], present: Set[str]
) -> list[OpenMiss]:
    """Misses of the fields that are expected under the lock and lack a current row."""
    if fields is inputs.fields and current == inputs.snapshot and not current.waits:  # nearly always
        fields = [f for f in fields if f.external_id not in present]
    was = {f.field_id: f for f in inputs.fields} if fields else {}
    misses = []
    for expected in fields:
        cause = _cause(inputs, computed, current, was.get(expected.field_id), expected, present)
        if cause is not None:
            digest = f"{current.scene.digest[:40]} {expected.span.geometry_digest[:20]}"
            misses.append(
                OpenMiss(expected.field_id, inputs.day, cause, cause.value if cause is Cause.CARRY else digest)
            )
    return misses


def _cause(
    inputs: DayInputs,
    computed: DayResult,
    current: DaySnapshot,
    was: Expected | None,
    expected: Expected,
    present: Set[str],
) -> Cause | None:
    """Why a field's row is not current under the lock; None if it is."""
    if current.waits:
        return Cause.LATE_SCENE
    if was is None:
        return Cause.LATE_FIELD
    if was is not expected and was.digest != expected.digest:
        return Cause.REVISED_FIELD
    if expected.external_id not in present:
        return Cause.PROCESSING_ERROR if expected.external_id in computed.failed else Cause.REVISED_SCENE
    if current == inputs.snapshot:
        return None
    if current.version != inputs.snapshot.version:
        return Cause.REVISED_ALGORITHM
    if current.scene != inputs.snapshot.scene:
        return Cause.REVISED_SCENE
    return Cause.CARRY  # the day before has changed: the observation stands


def close_day(
    processor: Processor, engine: Engine, bbox_id: int, day: date, deadlines: Deadlines, run_id: str, now: datetime
) -> Closed | None:
    """Close one day, starting again if its inputs change meanwhile.

    Args:
        processor: computes and stores the rows.
        engine: of the ledger.
        bbox_id: the region.
        day: the day.
        deadlines: the waiting times.
        run_id: for the audit trail.
        now: the present, by which the day closes.

    Returns:
        What was closed; None if another run has closed the day.

    Raises:
        SatfieldsError: the day can't be processed. The failure is counted; after three, the day closes with its fields
            missed.
        RetryableError: a store or database could not be reached, or the day took too long; this is not counted, but for
            an archive that has the pixels of a scene past the allowed lateness, so that it holds up no region for ever.
    """
    for attempt in range(1, TRIES + 1):
        with read_transaction(engine) as connection:
            inputs = read(connection, bbox_id, day, deadlines, now)
        if inputs is None:
            return None
        try:
            computed = processor.compute(inputs)
        except AlgorithmError:
            raise
        except RetryableError as error:
            if isinstance(error, ObjectMissingError):
                if attempt < TRIES:
                    continue  # removed meanwhile: newer publications replace it
            elif not isinstance(error, UNREACHABLE) or not deadlines.given_up(day, inputs.aoi.bounds, now):
                raise
            computed = _count_failure(engine, inputs, error)
        except Exception as error:  # noqa: BLE001  # recorded in the ledger, and raised while tries are left
            computed = _count_failure(engine, inputs, error)
        put = processor.put(inputs, computed)
        ended = processor.now(now)
        outcome = commit(engine, inputs, computed, put, run_id, ended, last_try=attempt == TRIES)
        if outcome is Outcome.CLOSED:
            return Closed(inputs, computed, put)
        if outcome is Outcome.CLOSED_BY_ANOTHER:
            return None
    raise RetryableError(f"region {bbox_id} {day}: it took longer than {MAX_OBJECT_AGE} from put to commit")


def _count_failure(engine: Engine, inputs: DayInputs, error: Exception) -> DayResult:
    """Count a day that could not be processed; after the last try it has no rows, and all its fields failed.

    Raises:
        Exception: the error, if tries are left.
    """
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, inputs.bbox_id)
        tries = ledger.record_failure(connection, inputs.bbox_id, inputs.day, f"{type(error).__name__}: {error}")
    if tries < TRIES:
        raise error
    return DayResult(result_rows.empty(), {f.external_id: describe(error) for f in inputs.fields})
