"""Any run can be killed at any instruction, run again, or run beside another: the effects happen once."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import kills
import pytest
from kills import Stores
from satcommon.db import fields
from satcommon.db.engine import write_transaction
from satcommon.errors import RetryableError
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine
from truth import POLYGONS, REGIONS, THE_END, day
from world import Laboratory, World, same_results

from tests.conftest import bucket_variables, new_bucket, postgres_database

pytestmark = pytest.mark.slow  # whole seasons, again and again

WEST = REGIONS[0]
SAMPLE = 97  # every so many effects are tried by `make test-slow`; `make nightly` tries all
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["kills", "geopandas", "exactextract", "rasterio", "pyarrow.parquet"])


class Nursery:
    """A week told once without a disturbance, to be told again with kills; `again` copies what it starts with."""

    def __init__(self, start: Stores, again: Callable[[], AbstractContextManager[Stores]]) -> None:
        self.again = again
        self._child(kills.prepare, start)
        with again() as undisturbed:
            points = undisturbed.folder / "points"
            assert self._child(kills.run, undisturbed, None, points) == 0
            self.points: list[str] = json.loads(points.read_text())
            self.told = self._end(undisturbed)

    def killed_at(self, *points: int) -> None:
        """Kill at these effects, each of another run, then tell the week to its end, and compare."""
        with self.again() as stores:
            for nth, point in enumerate(points):
                died = self._child(kills.run, stores, point, None) == -signal.SIGKILL
                assert died or nth > 0, f"nobody was killed at {point}; a second run may have come to its end before"
            told = self._end(stores)
        different = [what for what in self.told if told[what] != self.told[what]]
        assert not different, f"killed {points}, at {[self.points[p] for p in points]}: {different} differ"

    def _end(self, stores: Stores) -> dict[str, Any]:
        to = stores.folder / "told"
        assert self._child(kills.tell, stores, to) == 0, "a run after a kill failed"
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
    """On SQLite and a folder."""

    def stores(folder: Path) -> Stores:
        return Stores(f"sqlite:///{folder / 'world.db'}", str(folder / "store"), folder)

    with tempfile.TemporaryDirectory() as scratch:
        start = Path(scratch) / "start"
        start.mkdir()
        shutil.copyfile(sqlite_template, start / "world.db")

        @contextmanager
        def again() -> Iterator[Stores]:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                shutil.copytree(start, folder, dirs_exist_ok=True)
                yield stores(Path(folder))

        yield Nursery(stores(start), again)


@pytest.fixture(scope="module")
def cluster_nursery(
    postgres_url: str, postgres_template: str, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nursery]:
    """On PostgreSQL and S3."""
    bucket = new_bucket(s3_endpoint)

    def stores(ledger: Engine, store: str) -> Stores:
        with bucket_variables(s3_endpoint) as variables:
            url = ledger.url.render_as_string(hide_password=False)
            return Stores(url, store, tmp_path_factory.mktemp("week"), variables)

    with postgres_database(postgres_url, postgres_template) as engine:
        engine.dispose()

        @contextmanager
        def again() -> Iterator[Stores]:
            with postgres_database(postgres_url, str(engine.url.database)) as copy, bucket_variables(s3_endpoint):
                found = stores(copy, f"{bucket}-{copy.url.database}")
                start, store = ObjectStore(bucket), ObjectStore(found.store)
                for key in start.list(""):
                    store.put(key, start.get(key))
                yield found

        yield Nursery(stores(engine, bucket), again)


def test_a_run_killed_at_some_effect_and_run_again(nursery: Nursery) -> None:
    assert {what.split(" ")[-1] for what in nursery.points} >= {"results", "scenes", "commit"}

    for point in range(0, len(nursery.points), SAMPLE):
        nursery.killed_at(point)


def test_the_same_on_postgresql_and_s3(cluster_nursery: Nursery) -> None:
    for point in range(SAMPLE // 2, len(cluster_nursery.points), 3 * SAMPLE):
        cluster_nursery.killed_at(point)


@pytest.mark.nightly
def test_a_run_killed_at_each_effect_and_run_again(nursery: Nursery) -> None:
    for point in range(len(nursery.points)):
        nursery.killed_at(point)


@pytest.mark.nightly
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
        with write_transaction(world.engine) as connection:
            fields.revise_geometry(connection, "f1", POLYGONS[polygon], None, world.now)
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, [fields.NewField("f3", "f3", POLYGONS[2], day(2))], world.now)


@pytest.mark.parametrize("kind", ["laboratory", "cluster_laboratory"])
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
