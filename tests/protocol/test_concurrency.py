"""Many processes on one ledger: none is refused or deadlocked, nothing is lost, and the end is the serial one's."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from archive import Reader
from crowd import SharedSatellite, retold, work
from satcommon.audit.audit import audit
from satcommon.audit.deep_audit import check_states
from truth import REGIONS, THE_END
from world import Laboratory, World, same_results

from tests.conftest import bucket_variables

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["crowd", "geopandas", "exactextract", "rasterio", "pyarrow.parquet"])


def crowded(
    laboratory: Laboratory, folder: Path, processes: int, seconds: float, variables: dict[str, str] | None = None
) -> Counter[str]:
    """Let a crowd work, then compare with a world that is told the same serially; gives what was done how often."""
    world = laboratory.world()
    (folder / "deliveries").mkdir()
    ledger = world.engine.url.render_as_string(hide_password=False)
    shared = (ledger, laboratory.store.url, folder, variables or {}, seconds, _forks.Barrier(processes))
    crowd = [_forks.Process(target=work, args=(n, processes, *shared)) for n in range(processes)]

    for process in crowd:
        process.start()
    reader = Reader(World.of(laboratory, THE_END))
    while any(process.is_alive() for process in crowd):
        reader.reads()
    for process in crowd:
        process.join(seconds + 120)
    told: list[Any] = [pickle.loads((folder / f"said {n}").read_bytes()) for n in range(processes)]

    assert [process.exitcode for process in crowd] == [0] * processes
    assert [said for said, _ in told if isinstance(said, str)] == []
    serial = laboratory.reference()
    for said, _ in told:
        retold(said, serial)
    _finish(serial, folder)
    known = World.of(laboratory, THE_END)
    known.fields, known.regions = (
        serial.fields,
        {name: type(r)(version=r.version) for name, r in serial.regions.items()},
    )
    _finish(known, folder)
    same_results(known, serial)
    for name in REGIONS:
        report = audit(known.engine, known.store, known.region_row(name), lambda: None)
        check_states(known.engine, known.store, known.region_row(name), report, lambda: None)
        assert report.clean, report.problems
    known.all_is_true()
    reader.reads()
    for name in REGIONS:
        reader.follower.agrees(name, known.published(name))
    assert reader.times > 1
    return sum((Counter(done) for _, done in told), Counter())


def _finish(world: World, folder: Any) -> None:
    """Everything is asked for, closed and replayed, long after."""
    world.now = THE_END
    world.satellite.deliveries = SharedSatellite(folder / "deliveries").told()
    world.drain()


@pytest.mark.slow
def test_eight_processes_on_postgresql(cluster_laboratory: Laboratory, s3_endpoint: str, tmp_path: Path) -> None:
    with bucket_variables(s3_endpoint) as variables:
        done = crowded(cluster_laboratory, tmp_path, processes=8, seconds=2, variables=variables)

    assert all(done[what] for what in ("register", "bring", "revise", "deliver", "ask", "close", "replay")), done


@pytest.mark.slow
def test_four_processes_on_sqlite_wait_for_each_other(laboratory: Laboratory, tmp_path: Path) -> None:
    done = crowded(laboratory, tmp_path, processes=4, seconds=2)

    assert all(done[what] for what in ("register", "bring", "revise", "deliver", "ask", "close", "replay")), done


@pytest.mark.nightly
def test_eight_processes_on_postgresql_for_two_minutes(
    cluster_laboratory: Laboratory, s3_endpoint: str, tmp_path: Path
) -> None:
    with bucket_variables(s3_endpoint) as variables:
        assert crowded(cluster_laboratory, tmp_path, processes=8, seconds=120, variables=variables)


@pytest.mark.nightly
def test_four_processes_on_sqlite_for_half_a_minute(laboratory: Laboratory, tmp_path: Path) -> None:
    assert crowded(laboratory, tmp_path, processes=4, seconds=30)
