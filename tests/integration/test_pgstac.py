"""The source `stac` against pgstac, which many real catalogues run: its pages, filters and answers are rustac's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from satcommon.sources import polite_requests
from satcommon.sources.stac import StacSource

from tests.unit.geotiffs import AOI, FIRST, LAST, NOW
from tests.unit.stac_catalogue import COLLECTION, ID, Files, api, collection, free_port, item, source

BIN = Path(__file__).parents[2] / ".venv" / "pgstac" / "bin"
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
DAYS = [date(2016, 1, day) for day in range(1, 11)]


def _lacking() -> str:
    """What is not installed, and how it is."""
    if not (BIN / "pypgstac").exists():
        return "no pgstac: run `make pgstac`"
    versions = [path.parent.name for path in SERVERS]
    if not any(Path(f"/usr/share/postgresql/{version}/extension/postgis.control").exists() for version in versions):
        return "no PostgreSQL with PostGIS: apt-get install postgresql-15-postgis-3"
    return ""


pytestmark = [pytest.mark.nightly, pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "installed")]


def _as_owner(*command: str | Path) -> list[str]:
    """A command of PostgreSQL's, which refuses to be root."""
    return [*(["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []), *map(str, command)]


@contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """The variables of a PostgreSQL server with PostGIS on loopback."""
    server, port = SERVERS[-1], str(free_port())
    folder = Path(tempfile.mkdtemp(prefix="satfields-pgstac-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    try:
        subprocess.run(_as_owner(server / "initdb", "-A", "trust", "-U", "pgstac", "-D", data), **quiet)  # type: ignore[call-overload]
        start = _as_owner(server / "pg_ctl", "-w", "-D", data, "-l", folder / "log", "-o", options, "start")
        subprocess.run(start, **quiet)  # type: ignore[call-overload]
        try:
            stated = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "pgstac", "PGPASSWORD": "x"}
            subprocess.run([server / "createdb", "pgstac"], env=os.environ | stated, **quiet)  # type: ignore[call-overload]
            yield stated | {"PGDATABASE": "pgstac"}
        finally:
            subprocess.run(_as_owner(server / "pg_ctl", "-D", data, "-m", "immediate", "stop"), **quiet)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder)


@contextmanager
def pgstac(folder: Path, items: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A STAC API that has the items: pgstac's."""
    folder.mkdir()
    (folder / "collections.json").write_text(json.dumps(collection()))
    (folder / "items.json").write_text("\n".join(map(json.dumps, items)))
    with postgresql() as variables:
        env = {key: value for key, value in os.environ.items() if not key.startswith("SATFIELDS_")} | variables
        loads = (("load", kind, str(folder / f"{kind}.json")) for kind in ("collections", "items"))
        for arguments in (("migrate",), *loads):
            subprocess.run([BIN / "pypgstac", *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
        port = str(free_port())
        command = [
            BIN / "uvicorn",
            "--factory",
            "stac_fastapi.pgstac.app:create_app",
            "--host",
            "127.0.0.1",
            "--port",
            port,
        ]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as process:
            try:
                _wait_for(f"http://127.0.0.1:{port}/", process, folder / "log")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urlopen(url, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    files = Files(tmp_path_factory.mktemp("files"))
    names = [(f"S2B_T33TVL_{day:%Y%m%d}T101243_L2A", f"{day}T10:12:43Z") for day in DAYS]
    baselines = ["05.00" if day.day % 2 else "05.09" for day in DAYS]
    with files.served() as base:
        yield [
            item(files.folder, base, name, sensed=sensed, baseline=baseline, checksum=True)
            for (name, sensed), baseline in zip(names, baselines, strict=True)
        ]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The same items behind rustac and pgstac."""
    folder = tmp_path_factory.mktemp("catalogues")
    with api(folder / "rustac", items) as rustac, pgstac(folder / "pgstac", items) as other:
        polite_requests.forget_circuits()
        yield rustac, other


def days(source: StacSource) -> list[date]:
    return sorted(source.list(AOI, FIRST, LAST, NOW).acquisitions)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("counts", [True, False], ids=["counted", "uncounted"])
def test_pages_are_followed_to_the_end(urls: tuple[str, str], method: str, counts: bool) -> None:
    limits = {"timeout_seconds": 30.0, "tries": 2, "page_size": 3, "method": method, "counts": counts}

    assert days(source(urls[1], requests=limits)) == DAYS


def test_a_filter_and_a_query_are_passed_on(urls: tuple[str, str]) -> None:
    newer = {"op": "=", "args": [{"property": "s2:processing_baseline"}, "05.09"]}
    queried = {"s2:processing_baseline": {"eq": "05.09"}}
    even = [day for day in DAYS if not day.day % 2]

    assert days(source(urls[1], filter=newer)) == even
    assert days(source(urls[1], query=queried)) == even


def test_the_listing_of_each_day_is_that_of_rustac(urls: tuple[str, str]) -> None:
    rustac, other = (source(url) for url in urls)

    for day in [*DAYS, date(2016, 1, 11)]:
        assert other.list(AOI, day, day, NOW) == rustac.list(AOI, day, day, NOW)
    assert len(other.list(AOI, DAYS[0], DAYS[0], NOW).acquisitions[DAYS[0]]) == 1


def test_an_item_is_found_by_its_id_and_has_the_same_pixels(urls: tuple[str, str]) -> None:
    day = date(2016, 1, 7)
    read = []
    for url in urls:
        (acquisition,) = source(url).list(AOI, day, day, NOW).acquisitions[day]
        read.append(source(url).read(AOI, acquisition))  # another source, which has to ask for the item

    assert acquisition.item_id == f"{COLLECTION}/{ID}"
    assert all(np.array_equal(read[0].bands[band], read[1].bands[band]) for band in read[0].bands)


def test_an_anchor_grid_is_that_of_rustac(urls: tuple[str, str]) -> None:
    one, other = (source(url).anchor_grid(AOI.bounds) for url in urls)

    assert one is not None
    assert one == other
