"""The HTTP API: series of two seasons, requests a second with two workers, days and changes of large regions.

    python benchmarks/serving.py [--regions 20] [--fields 5000] [--days 730] [--quick]

Rows are made up, with the columns of real ones; fields are chosen at random, so that no answer is asked for twice. The
clients run on the same machine, and share its cores with the server: their own time is measured and told.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from satcommon.db import ledger
from satcommon.db.engine import open_engine, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.db.models import Field, FieldRevision, PublicationKind
from satcommon.db.publications import NewPublication, publish
from satcommon.db.registry import add_region
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.objects import CAUSE, WITHDRAWN, ResultObjects
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.result_rows import OPTIONAL, SCHEMA
from satcommon.storage.object_store import ObjectStore
from satctl.local.laptop import free_port
from satctl.local.migrations import upgrade
from sqlalchemy import Engine, select

FIRST = date(2024, 1, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
RESTATED = "ndvi_mean"
SERIES = "parameter-name=ndvi_mean,ndvi_smoothed_e4&f=json"
_WORKERS = 2


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=20)
    parser.add_argument("--fields", type=int, default=5000, help="of a region")
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--seconds", type=float, default=20.0, help="of load")
    parser.add_argument("--quick", action="store_true", help="that it runs; its figures tell nothing")
    options = parser.parse_args()
    if options.quick:
        options.regions, options.fields, options.days, options.seconds = 2, 200, 40, 2.0
    large = (500, 2_000) if options.quick else (10_000, 100_000)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as room:
        home = Path(room)
        began = time.perf_counter()
        make(home, options.regions, options.fields, options.days)
        print(
            f"made in {time.perf_counter() - began:.0f} s: {options.regions} regions of {options.fields:,} fields, "
            f"{options.days} days"
        )
        make_large(home, large, options.regions)
        measure(home, options, large)


def make(home: Path, regions: int, fields: int, days: int) -> None:
    """A ledger, and the published days of its regions."""
    engine = open_engine(f"sqlite:///{home / 'satfields.db'}")
    upgrade(engine)
    objects = ResultObjects(ObjectStore(str(home / "store")))
    for number in range(regions):
        rows = _register(engine, number, f"R{number}", fields)
        for n in range(days):
            day = FIRST + timedelta(days=n)
            _publish(engine, objects, number + 1, PublicationKind.DAY, {day: fields}, rows(n, f"R{number}"))
    engine.dispose()


def make_large(home: Path, sizes: Sequence[int], regions: int) -> None:
    """Beside other regions, one of each size with one day, whose rows a patch restates."""
    engine = open_engine(f"sqlite:///{home / 'satfields.db'}")
    objects = ResultObjects(ObjectStore(str(home / "store")))
    for number, size in enumerate(sizes, regions):
        rows = _register(engine, number, f"L{size}", size)(0, f"L{size}")
        _publish(engine, objects, number + 1, PublicationKind.DAY, {FIRST: size}, rows)
        restated = rows.set_column(rows.column_names.index(RESTATED), RESTATED, pc.add(rows[RESTATED], 0.01))
        patch = restated.append_column(CAUSE, pa.array(["revised_scene"] * size))
        patch = patch.append_column(WITHDRAWN, pa.array([False] * size))
        _publish(engine, objects, number + 1, PublicationKind.PATCH, {FIRST: size}, patch)
    engine.dispose()


def _register(engine: Engine, number: int, name: str, fields: int) -> Callable[[int, str], pa.Table]:
    """Register a region and its fields, on a square grid; gives what makes a day's rows."""
    bounds, side = Bounds(number, 50.0, number + 0.9, 50.9), math.isqrt(fields - 1) + 1
    names, step = [f"r{number:02d}-{i:05d}" for i in range(fields)], 0.88 / side
    corners = [(number + 0.01 + step * (i % side), 50.01 + step * (i // side)) for i in range(fields)]
    shapes = [shapely.box(x, y, x + step * 0.8, y + step * 0.8) for x, y in corners]
    new = [NewField(name, name, shape, FIRST) for name, shape in zip(names, shapes, strict=True)]
    with write_transaction(engine) as connection:
        add_region(connection, name, bounds, Grid.utm(bounds, 100.0), FIRST, None, CURRENT, NOW)
        register_fields(connection, new, NOW)
        revisions = select(Field.external_id, FieldRevision.geometry_digest).join(
            FieldRevision, FieldRevision.field_id == Field.field_id
        )
        digests = dict(connection.execute(revisions).tuples().all())
    return _rows(names, [digests[each] for each in names])


def _rows(names: Sequence[str], digests: Sequence[str | None]) -> Callable[[int, str], pa.Table]:
    """Makes a day's rows, as wide as real ones; numbers are drawn once and shifted, since drawing is slow."""
    chance, count = np.random.default_rng(7), len(names)
    drawn = chance.random(count * 2)
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(count + 1, dtype=np.int32) * 8), pa.array(chance.integers(0, 9999, count * 8), pa.int32())
    )

    def of_day(n: int, region: str) -> pa.Table:
        day = FIRST + timedelta(days=n)

        def column(position: int, field: pa.Field) -> pa.Array:  # a kind of column each
            if field.name == "field":
                return pa.array(names)
            if field.name == "geometry_digest":
                return pa.array(digests)
            if field.name in OPTIONAL:
                return pa.nulls(count, field.type)
            if field.name == "days_since_clear":
                return pa.array(np.full(count, n % 5, np.int32))
            if pa.types.is_floating(field.type):
                shift = (n * 37 + position * 101) % count
                return pa.array(drawn[shift : shift + count])
            if pa.types.is_integer(field.type):
                return pa.array((drawn[:count] * 9999).astype(np.int32) + n, pa.int32()).cast(field.type)
            if pa.types.is_list(field.type):
                return lists
            value = {"region": region, "status": "clear", "item_ids": f'["S2A_{day:%Y%m%d}"]'}.get(field.name)
            if pa.types.is_string(field.type):
                return pa.array([value or f"{field.name} {n}"] * count)
            return pa.array([FIRST if field.name == "planting_date" else day] * count, pa.date32()).cast(field.type)

        return pa.table([column(i, field) for i, field in enumerate(SCHEMA)], schema=SCHEMA)

    return of_day


def _publish(
    engine: Engine, objects: ResultObjects, bbox_id: int, kind: PublicationKind, days: dict[date, int], rows: pa.Table
) -> None:
    [day] = days
    is_day = kind is PublicationKind.DAY
    stored = objects.put_day(bbox_id, day, rows, NOW) if is_day else objects.put_patch(bbox_id, rows, NOW)
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, bbox_id)
        if is_day:
            ledger.set_day(connection, bbox_id, day, closed_at=NOW)
        new = NewPublication(kind, stored, days, rows.num_rows, "benchmark", "closed" if is_day else "revised_scene")
        publish(connection, bbox_id, new, NOW)


def measure(home: Path, options: argparse.Namespace, large: tuple[int, int]) -> None:
    """Start a server, and ask it."""
    with served(home) as (port, server):
        first = [_once(port, _path(region, 0)) for region in range(options.regions)]
        print(
            f"first series of a region (sorted by field now): {statistics.median(first):.2f} s, "
            f"{sum(first):.0f} s for all regions"
        )
        alone = sorted(_asked(port, options, 300 if not options.quick else 30))
        print("\n| a field's series of two seasons, one client | ms |\n|---|---|")
        print(f"| p50 | {1000 * alone[len(alone) // 2]:.1f} |\n| p99 | {1000 * alone[int(len(alone) * 0.99)]:.1f} |")
        _load(port, options, server)
        _column(port, options)
        _whole_day(port, large[0])
        _changes(port, large[1], server)


@contextmanager
def served(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A server that answers, with its port."""
    port = free_port()
    environment = os.environ | {"SATFIELDS_HOME": str(home), "SATFIELDS_API_CACHE_MB": "100000"}
    arguments = ["--port", str(port), "--workers", str(_WORKERS)]
    command = [sys.executable, "-c", "from satserve.main import main; main()", *arguments]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(30)


def _await(port: int) -> None:
    for _ in range(1800):
        try:
            _once(port, "/health/ready")
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


def _path(region: int, field: int) -> str:
    return f"/collections/field_metrics/locations/r{region:02d}-{field:05d}?{SERIES}"


def _once(port: int, path: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status} {body[:300]!r}")
    connection.close()
    return time.perf_counter() - began


def _asked(port: int, options: argparse.Namespace, requests: int, seconds: float = 1e9, seed: int = 0) -> list[float]:
    """The seconds that each of some requests took, on one connection."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < requests and time.perf_counter() < end:
        path = _path(chance.randrange(options.regions), chance.randrange(options.fields))
        began = time.perf_counter()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - began)
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status}")
    return times


def _client(arguments: tuple[int, argparse.Namespace, int]) -> list[float]:
    port, options, seed = arguments
    return _asked(port, options, 10**9, options.seconds, seed)


def _processor(process: psutil.Process) -> float:
    """Seconds of processor time of a process and its workers."""
    return sum(each.cpu_times().user + each.cpu_times().system for each in [process, *process.children(recursive=True)])


def _own() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _load(port: int, options: argparse.Namespace, server: psutil.Process) -> None:
    print("\n| clients | requests/s | p50 ms | p99 ms | processor ms a request, server | clients | cores had |")
    print("|---|---|---|---|---|---|---|")
    for clients in (2, 4, 8):
        with multiprocessing.Pool(clients) as pool:
            began, server_before, clients_before = time.perf_counter(), _processor(server), _own()
            found = pool.map(_client, [(port, options, seed) for seed in range(1, clients + 1)], chunksize=1)
            took = time.perf_counter() - began
            used = _processor(server) - server_before
        own = _own() - clients_before
        times = sorted(each for of_client in found for each in of_client)
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        each = f"{1000 * used / len(times):.2f} | {1000 * own / len(times):.2f} | {(used + own) / took:.2f}"
        print(f"| {clients} | {len(times) / took:.0f} | {1000 * p50:.1f} | {1000 * p99:.1f} | {each} |")
    print("Processor time bounds it where the cores that server and clients had are all that there are.")


def _column(port: int, options: argparse.Namespace) -> None:
    day = FIRST + timedelta(days=options.days - 1)
    path = f"/regions/R0/days/{day}/columns/ndvi_mean?f="
    told = {kind: statistics.median(_once(port, path + kind) for _ in range(15)) for kind in ("arrow", "json")}
    print(f"\n| one column of a day, {options.fields:,} fields | ms |\n|---|---|")
    for kind, seconds in told.items():
        print(f"| {kind} | {1000 * seconds:.1f} |")


def _whole_day(port: int, fields: int) -> None:
    print(f"\n| all columns of a day of {fields:,} fields | first, ms | median of 5, ms |\n|---|---|---|")
    for kind in ("fgb", "arrow"):
        first, *times = (_once(port, f"/regions/L{fields}/days/{FIRST}?f={kind}") for _ in range(6))
        print(f"| {kind} | {1000 * first:.0f} | {1000 * statistics.median(times):.0f} |")


def _changes(port: int, fields: int, server: psutil.Process) -> None:
    """Read all changes of a column, page by page; memory is the largest resident size of a worker since its start."""

    def peak_mib() -> float:
        tables = (Path(f"/proc/{each.pid}/status").read_text() for each in [server, *server.children(recursive=True)])
        return max(int(text.partition("VmHWM:")[2].split()[0]) for text in tables if "VmHWM:" in text) / 1024

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    given = {"since": "2020-01-01T00:00:00Z", "column": RESTATED, "limit": 10_000}
    path: str | None = f"/changes?{urlencode(given)}"
    before, began, changes = peak_mib(), time.perf_counter(), 0
    while path is not None:
        connection.request("GET", path)
        response = connection.getresponse()
        page = json.loads(response.read())
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {page}")
        changes += sum(each["region"] == f"L{fields}" for each in page["changes"])
        path = next((each["href"] for each in page["links"] if each["rel"] == "next"), None)
    took = time.perf_counter() - began
    if changes != fields:
        raise SystemExit(f"{changes} changes came; expected {fields}")
    print(f"\n| changes: {fields:,} restated rows, pages of 10,000, another region's among them | |\n|---|---|")
    print(
        f"| all pages | {took:.1f} s |\n| a worker's peak memory before / after | {before:.0f} / {peak_mib():.0f} MiB |"
    )


if __name__ == "__main__":
    main()
