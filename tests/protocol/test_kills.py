"""Any run can be killed at any instruction, run again, or run beside another: the effects happen once."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import kills
import pytest
from satcommon.db import fields
from satcommon.db.engine import writing
from satcommon.errors import RetryableError
from truth import POLYGONS, REGIONS, THE_END, day
from world import Laboratory, World, fast_folder, same_results

WEST = REGIONS[0]
SAMPLE = 17  # every so many effects are tried by `make test`; `make test-slow` tries all
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["kills", "geopandas", "exactextract", "rasterio", "pyarrow.parquet"])


class Nursery:
    """A week told once without a disturbance, to be told again with kills."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.start = folder / "start"
        self._child(kills.prepare, self.start, template)
        undisturbed = self._again()
        points = folder / "points"
        assert self._child(kills.run, undisturbed, None, points) == 0
        self.points: list[str] = json.loads(points.read_text())
        self.told = self._end(undisturbed)

    def killed_at(self, *points: int) -> None:
        """Kill at these effects, each of another run, then tell the week to its end, and compare."""
        folder = self._again()
        for nth, point in enumerate(points):
            died = self._child(kills.run, folder, point, None) == -signal.SIGKILL
            assert died or nth > 0, f"nobody was killed at {point}; a second run may have come to its end before"
        told = self._end(folder)
        different = [what for what in self.told if told[what] != self.told[what]]
        assert not different, f"killed {points}, at {[self.points[p] for p in points]}: {different} differ"
        shutil.rmtree(folder)

    def _again(self) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(self.start, folder, dirs_exist_ok=True)
        return folder

    def _end(self, folder: Path) -> dict[str, Any]:
        to = folder / "told"
        assert self._child(kills.tell, folder, to) == 0, "a run after a kill failed"
        found: dict[str, Any] = pickle.loads(to.read_bytes())
        return found

    @staticmethod
    def _child(act: Callable[..., None], *args: Any) -> int | None:
        process = _forks.Process(target=act, args=args)
        process.start()
        process.join(120)
        return process.exitcode


@pytest.fixture(scope="module")
def nursery(sqlite_template: Path) -> Iterator[Nursery]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        yield Nursery(Path(folder), sqlite_template)


def test_a_run_killed_at_some_effect_and_run_again(nursery: Nursery) -> None:
    assert {what.split(" ")[-1] for what in nursery.points} >= {"results", "scenes", "commit"}

    for point in range(0, len(nursery.points), SAMPLE):
        nursery.killed_at(point)


@pytest.mark.slow
def test_a_run_killed_at_each_effect_and_run_again(nursery: Nursery) -> None:
    for point in range(len(nursery.points)):
        nursery.killed_at(point)


@pytest.mark.slow
def test_two_runs_killed_one_after_the_other(nursery: Nursery) -> None:
    for first in range(0, len(nursery.points), 3):
        nursery.killed_at(first, (first * 5) % 11)


def _closes(world: World) -> None:
    for n in range(4, 9):
        world.close(WEST, day(n))


def _replays(world: World) -> None:
    for _ in range(4):
        try:
            world.replay(WEST)
        except RetryableError:
            continue  # the inputs changed under it again and again


def _registers(world: World) -> None:
    for polygon in (1, 0, 1):
        with writing(world.engine) as connection:
            fields.revise_geometry(connection, "f1", POLYGONS[polygon], None, world.now)
    with writing(world.engine) as connection:
        fields.register_fields(connection, [fields.NewField("f3", "f3", POLYGONS[2], day(2))], world.now)


@pytest.mark.parametrize("kind", ["laboratory", "postgres_laboratory"])
def test_realtime_two_replays_and_registrations_at_the_same_time(kind: str, request: pytest.FixtureRequest) -> None:
    """In threads; none waits for another, none fails, and the end is as if all had come in order."""
    lab: Laboratory = request.getfixturevalue(kind)
    world = lab.world()
    world.register("f1", 0, day(1))
    world.register("f2", 4, day(1))
    for n in range(1, 9):
        world.arrives(WEST, day(n), "first")
    world.close(WEST, day(3))
    world.arrives(WEST, day(1), "other")
    failures: list[Exception] = []
    start = Barrier(4)

    def thread(act: Callable[[World], None]) -> Thread:
        other = World.of(lab, world.now)

        def run() -> None:
            try:
                start.wait()
                act(other)
            except Exception as error:  # noqa: BLE001  # told by the test's own thread
                failures.append(error)

        return Thread(target=run)

    threads = [thread(act) for act in (_closes, _replays, _replays, _registers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    assert failures == []
    for polygon in (1, 0, 1):
        world.fields["f1"].said.append(("corrected", day(1), polygon))
        world.said.append(("reshape", ("f1", polygon, None)))
    world.heard_of("f3", 2, day(2))
    assert max(world.closed(WEST)) == day(8), "realtime waited for nobody"
    world.check()
    world.now = THE_END + timedelta(hours=1)
    world.drain()
    world.check()
    world.audit()
    world.all_is_true()
    same_results(world, world.in_order())
