"""A region's day on PostgreSQL and S3 against SQLite and a folder: seconds as ratios, requests and bytes.

    python benchmarks/stores.py [--fields 10000] [--days 5]

Both worlds close the same days, turn about in one process, so that what else the machine does falls on both; then one
field is entered late and replayed. Server and endpoint run on this machine, so that a network's latency is not in it:
multiply the requests by it. The endpoint is moto's, written in Python: its share of the seconds is no S3's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import shapely
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.db.registry import add_region
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor, commit
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.inputs import read
from satcommon.pipeline.replay import replay
from satcommon.sources.simulated import SimulatedSource
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from satctl.local.migrations import upgrade
from satctl.local.servers import cluster_stores

BOUNDS = Bounds(-95.0, 40.0, -94.0, 41.0)
FIRST = date(2025, 5, 1)
DEADLINES = Deadlines(36, 30)
STEPS = ("fetch and put the scene", "read the ledger", "compute, with reads", "put the rows", "commit")


class Counting(BaseHTTPRequestHandler):
    """Hands requests on to an endpoint, and counts them with the bytes of both ways."""

    protocol_version = "HTTP/1.1"
    endpoint = ""
    counted: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        """Hand on a request, whatever its method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with closing(HTTPConnection(self.endpoint)) as onward:
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
        self.counted.update(requests=1, sent=len(body), received=len(content))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815  # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class World:
    """A region on a ledger and a store."""

    def __init__(self, database: str, store: str, fields: list[NewField], now: datetime) -> None:
        self.engine, self.store, self.now = open_engine(database), ObjectStore(store), now
        upgrade(self.engine)
        with write_transaction(self.engine) as connection:
            add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), FIRST, None, CURRENT, now)
            register_fields(connection, fields, now)
        self.processor, self.source = Processor(self.engine, self.store), SimulatedSource()

    def close(self, day: date) -> list[float]:
        """Close a day; gives the seconds of each step."""
        began = [time.perf_counter()]

        def done(result: Any) -> Any:
            began.append(time.perf_counter())
            return result

        done(ask(self.engine, self.store, self.source, 1, day, self.now))
        with read_transaction(self.engine) as connection:
            inputs = read(connection, 1, day, DEADLINES, self.now)
        assert inputs is not None
        done(inputs)
        computed = done(self.processor.compute(inputs))
        put = done(self.processor.put(inputs, computed))
        done(commit(self.engine, inputs, computed, put, "benchmark", self.now))
        return [after - before for before, after in itertools.pairwise(began)]

    def late(self, field: NewField) -> float:
        """Enter a field late and replay it; gives the seconds."""
        with write_transaction(self.engine) as connection:
            register_fields(connection, [field], self.now)
        began = time.perf_counter()
        list(replay(Processor(self.engine, self.store), self.engine, 1, DEADLINES, "benchmark", self.now))
        return time.perf_counter() - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, cluster_stores(Path(name) / "s3.log") as variables:
        Counting.endpoint = urlsplit(variables["AWS_ENDPOINT_URL"]).netloc
        server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ.update(variables, AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}")
        _measure(Path(name), variables, options.fields, options.days)
        server.shutdown()


def _measure(folder: Path, variables: dict[str, str], count: int, days: int) -> None:
    now = datetime.combine(FIRST + timedelta(days=days + 3), datetime.min.time(), UTC)
    fields = _fields(count + 1)
    laptop = World(f"sqlite:///{folder / 'ledger.db'}", str(folder / "store"), fields[:-1], now)
    cluster = World(variables["SATFIELDS_DATABASE_URL"], variables["SATFIELDS_STORE"], fields[:-1], now)
    seconds: dict[World, list[list[float]]] = {laptop: [], cluster: []}
    used: list[Counter[str]] = []
    for n in range(days + 1):
        for world in (laptop, cluster):  # never one twice in a row, that would know its fields from the day before
            taken, counted = _counting(lambda world=world, n=n: world.close(FIRST + timedelta(days=n)))
            if n:  # the first day computes coverage
                seconds[world].append(taken)
                used += [counted] if world is cluster else []
    late = {world: _counting(lambda world=world: world.late(fields[-1])) for world in seconds}

    print(f"a region of {count:,} fields, medians of {days} days, SQLite and folder against PostgreSQL and S3\n")
    print(f"{'seconds a day':26}{'laptop':>10}{'cluster':>10}{'ratio':>8}")
    columns = {world: list(zip(*taken, strict=True)) for world, taken in seconds.items()}
    for n, step in enumerate(STEPS):
        _row(step, statistics.median(columns[laptop][n]), statistics.median(columns[cluster][n]))
    _row("all", *(statistics.median(map(sum, seconds[world])) for world in (laptop, cluster)))
    _row("a late field-day", *(late[world][0] / (days + 1) for world in (laptop, cluster)))
    print(f"\n{'of the bucket':26}{'requests':>10}{'MB sent':>10}{'MB read':>10}")
    for what, counted, over in (
        ("a region's day", sum(used, Counter()), days),
        ("a late field-day", late[cluster][1], days + 1),
    ):
        sent, received = counted["sent"] / over / 1e6, counted["received"] / over / 1e6
        print(f"{what:26}{counted['requests'] / over:>10.1f}{sent:>10.2f}{received:>10.2f}")


def _counting(work: Callable[[], Any]) -> tuple[Any, Counter[str]]:
    Counting.counted = Counter()
    return work(), Counting.counted


def _row(what: str, laptop: float, cluster: float) -> None:
    print(f"{what:26}{laptop:>10.3f}{cluster:>10.3f}{cluster / laptop:>8.1f}")


def _fields(count: int) -> list[NewField]:
    """Circles of 10 to 60 ha at random places."""
    random = np.random.default_rng(1)
    corners = (BOUNDS.west + 0.02, BOUNDS.south + 0.02), (BOUNDS.east - 0.02, BOUNDS.north - 0.02)
    circles = shapely.buffer(shapely.points(random.uniform(*corners, (count, 2))), random.uniform(0.002, 0.005, count))
    return [NewField(f"field-{i:05}", f"Field {i}", circle, FIRST) for i, circle in enumerate(circles)]


if __name__ == "__main__":
    main()
