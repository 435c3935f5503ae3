"""Closing a region's days in order, and backfilling its past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine

from satcommon.db import ledger
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction
from satcommon.errors import SceneError
from satcommon.pipeline.close_day import Closed, Processor, close_day
from satcommon.pipeline.ingest_day import Answer, ask
from satcommon.pipeline.ready_days import ready_days_of
from satcommon.sources.source import SceneSource
from satcommon.storage.object_store import ObjectStore
from satcommon.telemetry.work import work


@dataclass(frozen=True)
class Closer:
    """Closes days of one region, for one run.

    Args:
        engine: of the ledger.
        store: of scenes and results.
        bbox_id: the region.
        deadlines: the waiting times.
        run_id: for the audit trail.
        now: the present, by which days close.
        clock: gives the time of effects; without one it is `now`.
        source: opens the source of scenes by reference.
    """

    engine: Engine
    store: ObjectStore
    bbox_id: int
    deadlines: Deadlines
    run_id: str
    now: datetime
    clock: Callable[[], datetime] | None = None
    source: Callable[[], SceneSource] | None = None

    def through(self, day: date, processor: Processor | None = None) -> Iterator[Closed]:
        """Close the days that can be closed, oldest first, up to and including `day`; yields those that it closed.

        Raises:
            SatfieldsError: as `close_day`.
        """
        processor = processor or Processor(self.engine, self.store, self.clock, self.source)
        with read_transaction(self.engine) as connection:
            region = ledger.region(connection, self.bbox_id)
            if not region.active:
                return
            ready = ready_days_of(connection, region, self.deadlines, self.now)
        for next_day in [open_day.day for open_day in ready if open_day.day <= day]:
            with work("day closed", region=region.name, day=next_day) as told:
                closed = close_day(
                    processor, self.engine, self.bbox_id, next_day, self.deadlines, self.run_id, self.now
                )
                told |= _figures(closed)
            if closed is not None:
                yield closed

    def backfill(
        self,
        source: SceneSource,
        until: date,
        on_answer: Callable[[date, Answer], None],
        on_trouble: Callable[[date, SceneError], None] = lambda _day, _error: None,
    ) -> Iterator[Closed]:
        """Ask for and close day after day, from the first open day until `until`, in this one run.

        Ends early at a day that can't be closed yet: its scene is due and its deadline has not passed.

        Args:
            source: to be asked.
            until: last day to close.
            on_answer: called with each day and its answer.
            on_trouble: called with each day none of whose acquisitions can be read, and why.

        Raises:
            SatfieldsError: as `ingest_day.ask` and `close_day`, besides those that `on_trouble` is called with.
        """
        processor = Processor(self.engine, self.store, self.clock, lambda: source)
        with read_transaction(self.engine) as connection:
            region = ledger.region(connection, self.bbox_id)
            day = ledger.next_day(connection, region)
        until = min(until, region.monitored_until or date.max)
        while day <= until:
            try:
                asked_at = self.clock() if self.clock else self.now
                on_answer(day, ask(self.engine, self.store, source, self.bbox_id, day, asked_at, self.clock))
            except SceneError as error:
                on_trouble(day, error)  # the day closes without its scene at its deadline
            yield from self.through(day, processor)
            with read_transaction(self.engine) as connection:
                following = ledger.next_day(connection, region)
            if following <= day:
                return
            day = following


def _figures(closed: Closed | None) -> dict[str, object]:
    """What the line of a closed day tells besides."""
    if closed is None:
        return {"by": "another run"}
    computed = closed.computed
    return {"rows": computed.rows.num_rows, "failed": len(computed.failed), "scene_bytes": computed.work.scene_bytes}
