"""Realtime and replay runs in single steps, so that other things happen between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.errors import SceneError
from satcommon.pipeline import close_day, replay
from satcommon.pipeline.close_day import Outcome
from satcommon.pipeline.ingest_day import enter, fetch
from satcommon.pipeline.inputs import read
from satcommon.pipeline.ready_days import ready_days_of
from satcommon.publication import rebase
from satcommon.publication.objects import ResultObjects
from satcommon.stats.observation import SceneInput
from truth import DEADLINES
from world import World


@dataclass
class Realtime:
    """A run that closes one day, as `close_day` does: read, compute, put, commit, and again, at most three times."""

    world: World
    region: str
    day: date
    attempt: int = 1
    inputs: Any = None
    computed: Any = None
    stored: Any = None
    ended: str = ""

    @classmethod
    def start(cls, world: World, region: str) -> Realtime | None:
        """A run for the next day that can be closed, after its first step; None where there is none."""
        with read_transaction(world.engine) as connection:
            days = ready_days_of(connection, registry.region(connection, region), DEADLINES, world.now)
        if not days:
            return None
        run = cls(world, region, days[0].day)
        run.step()
        return run

    def step(self) -> None:
        world = self.world
        if self.inputs is None:
            with read_transaction(world.engine) as connection:
                self.inputs = read(connection, world.bbox_id(self.region), self.day, DEADLINES, world.now)
            if self.inputs is None:
                self.ended = "closed by another"
        elif self.computed is None:
            self._compute()
        elif self.stored is None:
            self.stored = world.processor.put(self.inputs, self.computed)
        else:
            self._commit()

    def _compute(self) -> None:
        try:
            self.computed = self.world.processor.compute(self.inputs)
        except SceneError as error:
            try:
                self.computed = close_day._count_failure(self.world.engine, self.inputs, error)
            except SceneError:
                self.ended = "failed"

    def _commit(self) -> None:
        outcome = close_day.commit(
            self.world.engine,
            self.inputs,
            self.computed,
            self.stored,
            "realtime",
            self.world.now,
            last_try=self.attempt == close_day.TRIES,
        )
        if outcome is Outcome.START_AGAIN:
            assert self.attempt < close_day.TRIES, "the last try did not close the day"
            self.attempt += 1
            self.inputs = self.computed = self.stored = None
            return
        self.ended = outcome.name

    def until(self, step: str) -> Realtime:
        """Go on until the next step is `compute`, `put` or `commit`."""
        waiting = {"compute": self.computed, "put": self.stored}
        while not self.ended and (self.inputs is None or self.next != step):
            self.step()
        assert step in (*waiting, "commit")
        return self

    @property
    def next(self) -> str:
        if self.inputs is None:
            return "read"
        return "compute" if self.computed is None else "put" if self.stored is None else "commit"

    def finish(self) -> str:
        while not self.ended:
            self.step()
        return self.ended


@dataclass
class Replay:
    """A run that replays one chunk: read, compute, put, commit, and again where anything differs."""

    world: World
    region: str
    chunk_days: int = replay.CHUNK_DAYS
    inputs: Any = None
    computed: Any = None
    stored: Any = None
    ended: str = ""
    restarts: int = 0

    @classmethod
    def start(cls, world: World, region: str, chunk_days: int = replay.CHUNK_DAYS) -> Replay | None:
        """A run after its first step; None where there is nothing to do."""
        run = cls(world, region, chunk_days)
        run.step()
        return None if run.ended else run

    def step(self) -> None:
        world = self.world
        if self.inputs is None:
            with read_transaction(world.engine) as connection, _chunks_of(self.chunk_days):
                self.inputs = replay.next_chunk(connection, world.bbox_id(self.region), DEADLINES, world.now)
            if self.inputs is None:
                self.ended = "nothing to do"
        elif self.computed is None:
            self.computed = replay.compute(world.processor, self.inputs)
            assert self.computed.steps or self.computed.failed or self.inputs.withdrawn, "misses that nobody expects"
        elif self.stored is None:
            self.stored = replay.put(world.processor, self.inputs, self.computed)
        elif replay.commit(world.engine, self.inputs, self.computed, self.stored, "replay", world.now):
            self.ended = "COMMITTED"
        else:
            self.restarts += 1
            self.inputs = self.computed = self.stored = None

    next = Realtime.next

    def until(self, step: str) -> Replay:
        """Go on until the next step is `compute`, `put` or `commit`."""
        while not self.ended and self.next != step:
            self.step()
        return self

    def finish(self) -> str:
        while not self.ended:
            self.step()
        return self.ended


@dataclass
class Rebase:
    """A rebase of a day: read, put, commit; it is given up where another publication of the day comes meanwhile."""

    world: World
    region: str
    day: date
    inputs: Any = None
    stored: Any = None
    ended: str = ""

    @classmethod
    def start(cls, world: World, region: str, on: date) -> Rebase | None:
        """A run after its first step; None where the day is not published."""
        run = cls(world, region, on)
        if on not in world.closed(region):
            return None
        run.step()
        return run

    def step(self) -> None:
        world = self.world
        if self.inputs is None:
            with read_transaction(world.engine) as connection:
                self.inputs = rebase.read(connection, world.bbox_id(self.region), self.day)
        elif self.stored is None:
            self.stored = rebase.put(ResultObjects(world.store), self.inputs, world.now)
        else:
            done = rebase.commit(world.engine, self.inputs, *self.stored, world.now)
            self.ended = "REBASED" if done else "OVERTAKEN"

    @property
    def next(self) -> str:
        return "read" if self.inputs is None else "put" if self.stored is None else "commit"

    until, finish = Replay.until, Replay.finish


@dataclass
class Ask:
    """A run of ingest that asks for one day: fetch, which stores the scene, and commit, and again."""

    world: World
    region: str
    day: date
    asked: Any = None
    scene: SceneInput | None = None
    ended: str = ""

    @classmethod
    def start(cls, world: World, region: str, on: date) -> Ask:
        """A run after its first step."""
        run = cls(world, region, on)
        run.step()
        return run

    def step(self) -> None:
        world = self.world
        if self.asked is None:
            self.scene = world.laboratory.oracle.scene(world.satellite, self.region, self.day)
            self.asked = fetch(
                world.engine, world.store, world.satellite, world.bbox_id(self.region), self.day, world.now
            )
        elif enter(world.engine, self.asked, world.now):
            world.heard(self.region, self.day, self.asked.due, self.scene, refused=bool(self.asked.refused))
            self.ended = "ANSWERED"
        else:
            self.asked = None

    @property
    def next(self) -> str:
        return "fetch" if self.asked is None else "commit"

    until, finish = Replay.until, Replay.finish


@contextmanager
def _chunks_of(days: int) -> Iterator[None]:
    was = replay.CHUNK_DAYS
    replay.CHUNK_DAYS = days
    try:
        yield
    finally:
        replay.CHUNK_DAYS = was


Run = Realtime | Replay | Rebase | Ask
