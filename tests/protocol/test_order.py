"""The order does not matter: whatever happens between any two steps, the end is the same as if all had been on time.

Hypothesis makes up the story: every event, the passing of time, scenes that can't be read, and single steps of ingest,
realtime and replay runs, any of which may be killed. `make test-order EXAMPLES=5000` tells more stories,
`PROTOCOL_AUDIT=1` audits after each step as well, and `PROTOCOL_SHRINK=1` makes a story that failed shorter, which
takes up to five minutes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

import pytest
from archive import Archive
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from runs import Ask, Realtime, Rebase, Replay, Run
from satcommon.errors import RetryableError, SceneError
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from truth import DAYS, DELIVERIES, FIELDS, OTHER_VERSION, POLYGONS, REGIONS, START, THE_END, day
from world import Laboratory, World, same_results

EXAMPLES = int(os.environ.get("PROTOCOL_EXAMPLES", "6"))
AUDIT_EACH_STEP = os.environ.get("PROTOCOL_AUDIT") == "1"
SHRINK = os.environ.get("PROTOCOL_SHRINK") == "1"
IN_FLIGHT = 4
STEPS = 25

regions = st.sampled_from(REGIONS)
names = st.sampled_from(FIELDS)
polygons = st.integers(0, len(POLYGONS) - 1)
days = st.integers(1, DAYS).map(day)
delivered = st.sampled_from([name for name in DELIVERIES if name != "none"])
places_in_line = st.integers(0, IN_FLIGHT - 1)


class Story(RuleBasedStateMachine):
    """Things happen to a world."""

    laboratory: ClassVar[Laboratory]

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.laboratory.world()
        self.archive = Archive(self.world)
        self.runs: list[Run] = []
        self.changed = False
        self.compare = self.fold = False

    # The beginning

    @initialize(on_time=st.integers(0, 5), plantings=st.lists(st.integers(-1, 3).map(day), min_size=2, max_size=2))
    def begin(self, on_time, plantings) -> None:
        """Two fields, one of them in both regions, and some days that went as they should."""
        self.world.register("f1", 0, plantings[0])
        self.world.register("f2", 2, plantings[1])
        for region in REGIONS:
            for n in range(on_time):
                self.world.arrives(region, day(n + 1), "first")
            self.world.close(region)
        self.compare = on_time == 3
        self.fold = on_time == 2
        self.changed = True

    # Events

    @rule(region=regions, on=days, delivery=delivered)
    def scene_arrives_or_is_revised(self, region, on, delivery) -> None:
        self.world.arrives(region, on, delivery)
        self.changed = True

    @rule(region=regions, on=days, asked=st.booleans())
    def stray_file_comes_or_goes(self, region, on, asked) -> None:
        """It can't be taken, and tells the day; ingest hears of it immediately, or whenever it asks."""
        self.world.satellite.strays ^= {(region, on)}
        if asked:
            self.world.ask(region, on)
        self.changed = True

    @rule(region=regions, on=days, due=st.sampled_from(Due))
    def due_answer_is_revised(self, region, on, due) -> None:
        self.world.owe(region, on, due)
        self.world.ask(region, on)
        self.changed = True

    @precondition(lambda self: len(self.world.fields) < len(FIELDS))
    @rule(polygon=polygons, planting=st.integers(-2, 6).map(day), length=st.none() | st.integers(0, 6))
    def field_is_registered(self, polygon, planting, length) -> None:
        name = next(name for name in FIELDS if name not in self.world.fields)
        self.world.register(name, polygon, planting, None if length is None else planting + timedelta(days=length))
        self.changed = True

    @rule(place=st.integers(0, 2), polygon=polygons, since=st.none() | days)
    def geometry_is_corrected_or_changes(self, place, polygon, since) -> None:
        self.world.reshape(self.field(place), polygon, since)
        self.changed = True

    @rule(place=st.integers(0, 2), planting=st.integers(-2, 6).map(day))
    def planting_moves(self, place, planting) -> None:
        name = self.field(place)
        end = self.world.fields[name].end
        if end is None or planting <= end:
            self.world.season(name, planting, None)
            self.changed = True

    @rule(place=st.integers(0, 2), end=days)
    def season_ends(self, place, end) -> None:
        name = self.field(place)
        if end >= self.world.fields[name].planting:
            self.world.season(name, None, end)
            self.changed = True

    @rule(place=st.integers(0, 2), since=days)
    def field_leaves(self, place, since) -> None:
        self.world.leaves(self.field(place), since)
        self.changed = True

    @rule(place=st.integers(0, 2), since=days)
    def field_comes_back(self, place, since) -> None:
        self.world.comes_back(self.field(place), since)
        self.changed = True

    @rule(region=regions, first=st.integers(-1, 4).map(day), last=st.integers(4, DAYS).map(day))
    def region_is_monitored_otherwise(self, region, first, last) -> None:
        self.world.monitor(region, first, last)
        self.changed = True

    @rule(region=regions)
    def algorithm_is_switched(self, region) -> None:
        version = self.world.regions[region].version
        self.world.pin(region, OTHER_VERSION if version == CURRENT else CURRENT)
        self.changed = True

    @rule(region=regions, on=days)
    def scene_breaks_or_is_mended(self, region, on) -> None:
        self.world.breaks_or_is_mended(region, on)

    @rule(hours=st.sampled_from([6, 24, 72]))
    def time_passes(self, hours) -> None:
        self.world.now = min(self.world.now + timedelta(hours=hours), THE_END)

    # Work, step by step

    @precondition(lambda self: len(self.runs) < IN_FLIGHT)
    @rule(region=regions)
    def realtime_reads(self, region) -> None:
        run = Realtime.start(self.world, region)
        if run:
            self.runs.append(run)

    @precondition(lambda self: len(self.runs) < IN_FLIGHT)
    @rule(region=regions, chunk_days=st.sampled_from([1, 2, 3, 30]))
    def replay_reads(self, region, chunk_days) -> None:
        run = Replay.start(self.world, region, chunk_days)
        if run:
            self.runs.append(run)

    @precondition(lambda self: len(self.runs) < IN_FLIGHT)
    @rule(region=regions, on=days)
    def rebase_reads(self, region, on) -> None:
        run = Rebase.start(self.world, region, on)
        if run:
            self.runs.append(run)

    @precondition(lambda self: not self.runs)
    @rule(hours=st.none() | st.sampled_from([0, 24, 72]))
    def garbage_is_collected(self, hours) -> None:
        """For ever means that nothing that was superseded goes."""
        self.archive.collect(START if hours is None else self.world.now - timedelta(hours=hours))

    @precondition(lambda self: len(self.runs) < IN_FLIGHT)
    @rule(region=regions, on=days, delivery=st.none() | delivered, due=st.sampled_from(Due))
    def ingest_asks(self, region, on, delivery, due) -> None:
        if delivery:
            self.world.deliver(region, on, delivery)
        self.world.owe(region, on, due)
        self.runs.append(Ask.start(self.world, region, on))

    @precondition(lambda self: self.runs)
    @rule(place=places_in_line)
    def a_run_takes_a_step(self, place) -> None:
        run = self.runs[place % len(self.runs)]
        self.changed |= run.next == "commit"
        self.step(run)
        self.bury()

    @precondition(lambda self: self.runs)
    @rule(place=places_in_line)
    def a_run_comes_to_its_commit(self, place) -> None:
        self.runs[place % len(self.runs)].until("commit")
        self.bury()

    @precondition(lambda self: self.runs)
    @rule(place=places_in_line)
    def a_run_commits(self, place) -> None:
        run = self.runs[place % len(self.runs)].until("commit")
        if not run.ended:
            self.step(run)
        self.changed = True
        self.bury()

    @precondition(lambda self: self.runs)
    @rule(place=places_in_line)
    def a_run_is_killed(self, place) -> None:
        del self.runs[place % len(self.runs)]

    @rule(region=regions)
    def all_that_can_is_closed(self, region) -> None:
        with suppress(SceneError):  # a day that can't be processed is counted, and closes at the third time
            self.world.close(region)
        self.changed = True

    @rule(region=regions)
    def all_that_can_is_replayed(self, region) -> None:
        self.world.replay(region)
        self.changed = True

    # What must hold

    @invariant()
    def nothing_is_lost_and_what_is_final_is_true(self) -> None:
        if self.changed:
            self.world.check()
            self.archive.keep()
            if AUDIT_EACH_STEP:
                self.world.audit()
        self.changed = False

    def teardown(self) -> None:
        world = self.world
        if not world.fields:  # the story broke off before it began
            return
        world.audit()
        world.mend()
        if not self.compare:  # what waits for its scene is left out of a first drain
            world.drain()
            world.check()
        self.archive.keep()  # what was done at the same instant as the last step
        world.now = THE_END
        world.drain()
        world.check()
        world.audit()
        world.all_is_true()
        self.archive.keep()
        self.archive.check(len(self.archive.moments) if AUDIT_EACH_STEP else 2)
        if self.fold:
            self.archive.check_changes()
        if self.compare:
            same_results(world, world.in_order())

    def field(self, place: int) -> str:
        there = sorted(self.world.fields)
        return there[place % len(there)]

    def step(self, run: Run) -> None:
        try:
            run.step()
        except (
            RetryableError
        ):  # the region is monitored from an earlier day meanwhile: the run ends, and may be started again
            run.ended = "to be started again"

    def bury(self) -> None:
        self.runs = [run for run in self.runs if not run.ended]


def tell(laboratory: Laboratory, examples: int, part: int) -> None:
    # Another name has other stories, also where they are derived from it instead of made up.
    told = type(f"Story{part}", (Story,), {"laboratory": laboratory})
    chosen = settings(
        phases=set(Phase) - {Phase.explain} - (set() if SHRINK else {Phase.shrink}),
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(told, settings=chosen)


@pytest.mark.parametrize("half", [1, 2])  # so that two workers share them
def test_any_order_of_events_and_steps_ends_in_the_same_results(half: int, laboratory: Laboratory) -> None:
    tell(laboratory, EXAMPLES // 2, half)


@pytest.mark.slow
def test_the_same_on_postgresql_and_s3(cluster_laboratory: Laboratory) -> None:
    tell(cluster_laboratory, max(1, EXAMPLES // 12), 3)
