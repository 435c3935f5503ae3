"""One late field against reprocessing its region: time, scene bytes and changed rows, as ratios of one run.

    python benchmarks/late_field.py [--fields 1000] [--days 90]

The region is closed day by day with all its fields but one (that is what reprocessing it costs, fetching aside); then
the last field is entered, and replayed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import shapely
from satcommon.algorithm import CURRENT
from satcommon.closing import Closer
from satcommon.db.engine import open_engine, reading, writing
from satcommon.db.fields import NewField, register_fields
from satcommon.db.ledger import published_keys
from satcommon.db.registry import add_region
from satcommon.deadlines import Deadlines
from satcommon.grid import Bounds, Grid
from satcommon.objects import ObjectStore
from satcommon.observation import Work
from satcommon.processing import Processor
from satcommon.replay import replay
from satcommon.scenes.arrival import ask
from satcommon.scenes.simulated import SimulatedSource
from satctl.migrations import upgrade

BOUNDS = Bounds(-95.0, 40.0, -94.0, 41.0)
FIRST = date(2025, 5, 1)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), options.fields, options.days)


def _measure(folder: Path, count: int, days: int) -> None:
    engine = open_engine(f"sqlite:///{folder / 'ledger.db'}")
    upgrade(engine)
    store, source = ObjectStore(str(folder / "store")), SimulatedSource()
    now = datetime.combine(FIRST + timedelta(days=days + 3), datetime.min.time(), UTC)
    fields = _fields(count)
    with writing(engine) as connection:
        add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), FIRST, None, CURRENT, now)
        register_fields(connection, fields[:-1], now)
    last = FIRST + timedelta(days=days - 1)
    for n in range(days):
        ask(engine, store, source, 1, FIRST + timedelta(days=n), now)

    deadlines = Deadlines(36, 30)
    closer = Closer(engine, store, 1, deadlines, "benchmark", now)
    whole = Work()
    rows = 0
    started = time.perf_counter()
    for closed in closer.through(last):
        whole.add(closed.computed.work)
        rows += closed.computed.rows.num_rows
    whole_seconds = time.perf_counter() - started

    with writing(engine) as connection:
        register_fields(connection, fields[-1:], now)
    one = Work()
    changed = 0
    started = time.perf_counter()
    for chunk in replay(Processor(engine, store), engine, 1, deadlines, "benchmark", now):
        one.add(chunk.computed.work)
        changed += chunk.computed.changed_rows
    one_seconds = time.perf_counter() - started
    with reading(engine) as connection:
        rewritten = len(published_keys(connection, 1, FIRST, last))

    print(f"one late field x {days} days, in a region of {count:,} fields ({rewritten} objects rewritten)\n")
    print(f"{'':20}{'the region':>16}{'the late field':>16}{'ratio':>10}")
    for name, a, b in (
        ("seconds", whole_seconds, one_seconds),
        ("scene bytes read", whole.scene_bytes, one.scene_bytes),
        ("cells gathered", whole.cells, one.cells),
        ("changed rows", rows, changed),
    ):
        print(f"{name:20}{a:>16,.1f}{b:>16,.1f}{a / b:>10,.1f}")


def _fields(count: int) -> list[NewField]:
    """Circles of 10 to 60 ha at random places, the last one among them."""
    random = np.random.default_rng(1)
    centres = random.uniform(
        (BOUNDS.west + 0.02, BOUNDS.south + 0.02), (BOUNDS.east - 0.02, BOUNDS.north - 0.02), (count, 2)
    )
    radii = random.uniform(0.002, 0.005, count)
    circles = shapely.buffer(shapely.points(centres), radii)
    return [NewField(f"field-{i:05}", f"Field {i}", circle, FIRST) for i, circle in enumerate(circles)]


if __name__ == "__main__":
    main()
