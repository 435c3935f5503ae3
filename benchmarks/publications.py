"""The publication log: a day read through patches against without, one field of it, and what a whole season keeps.

    python benchmarks/publications.py [--fields 10000] [--days 30]

Rows are made up, with the columns of real ones; nothing is observed. Each figure is a median, and a ratio of one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import world as worlds
from satcommon.db import ledger
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.models import PublicationKind
from satcommon.db.publications import MOST_PATCHES, NewPublication, StoredObject, publish
from satcommon.db.registry import add_region
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.objects import CAUSE, WITHDRAWN, ResultObjects
from satcommon.publication.reader import published_days
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.result_rows import OPTIONAL, SCHEMA
from satcommon.storage.object_store import ObjectStore
from satctl.local.migrations import upgrade
from sqlalchemy import Engine

RESTATED = 0.05  # of a season's rows
_REPEATS = 31


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30, help="of the season")
    options = parser.parse_args()
    names = [f"field-{number:06d}" for number in range(options.fields)]
    with tempfile.TemporaryDirectory() as room:
        engine, objects = _ledger(Path(room)), ResultObjects(ObjectStore(str(Path(room) / "store")))
        _reading(engine, objects, names)
        _season(engine, objects, names, options.days)


def _ledger(room: Path) -> Engine:
    engine = open_engine(f"sqlite:///{room / 'ledger.db'}")
    upgrade(engine)
    bounds = Bounds(10.0, 50.0, 10.1, 50.1)
    with write_transaction(engine) as connection:
        add_region(connection, "A", bounds, Grid.utm(bounds, 100.0), worlds.FIRST, None, CURRENT, worlds.NOW)
    return engine


def _rows(names: Sequence[str], day: date, seed: int) -> pa.Table:
    """Rows of some fields, each as wide as a real one."""
    chance, count = np.random.default_rng(seed), len(names)

    def column(field: pa.Field) -> pa.Array:  # a kind of column each
        if field.name in ("region", "day", "field"):
            return pa.array({"region": ["A"] * count, "day": [day] * count, "field": names}[field.name], field.type)
        if field.name in OPTIONAL:
            return pa.nulls(count, field.type)
        if pa.types.is_list(field.type):
            offsets = pa.array(np.arange(count + 1, dtype=np.int32) * 8)
            return pa.ListArray.from_arrays(offsets, pa.array(chance.integers(0, 10_000, count * 8), pa.int32()))
        if pa.types.is_floating(field.type):
            return pa.array(chance.random(count))
        if pa.types.is_integer(field.type):
            return pa.array(chance.integers(0, 10_000, count), field.type)
        if pa.types.is_string(field.type):
            return pa.array([f"{field.name} {seed}"] * count)
        return pa.array([day] * count, pa.date32()).cast(field.type)

    return pa.table([column(field) for field in SCHEMA], schema=SCHEMA)


def _publish(engine: Engine, kind: PublicationKind, stored: StoredObject, days: dict[date, int], rows: int) -> None:
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, 1)
        if kind is PublicationKind.DAY:
            for day in days:
                ledger.set_day(connection, 1, day, closed_at=worlds.NOW)
        publish(connection, 1, NewPublication(kind, stored, days, rows, "benchmark", "closed"), worlds.NOW)


def _day(engine: Engine, objects: ResultObjects, names: Sequence[str], day: date) -> int:
    stored = objects.put_day(1, day, _rows(names, day, day.toordinal()), worlds.NOW)
    _publish(engine, PublicationKind.DAY, stored, {day: len(names)}, len(names))
    return len(objects.store.get(stored.key))


def _patch(engine: Engine, objects: ResultObjects, days: dict[date, Sequence[str]], seed: int, count: int) -> int:
    rows = pa.concat_tables([_rows(names, day, seed + day.toordinal()) for day, names in days.items()])
    rows = rows.append_column(CAUSE, pa.array(["revised_scene"] * rows.num_rows))
    rows = rows.append_column(WITHDRAWN, pa.array([False] * rows.num_rows))
    stored = objects.put_patch(1, rows, worlds.NOW)
    _publish(engine, PublicationKind.PATCH, stored, dict.fromkeys(days, count), rows.num_rows)
    return len(objects.store.get(stored.key))


def _reading(engine: Engine, objects: ResultObjects, names: Sequence[str]) -> None:
    """A day with as many patches as a rebase leaves, each of a late field, of 30 days."""
    plain, patched = worlds.FIRST, worlds.FIRST + timedelta(days=40)
    for day in (plain, patched):
        _day(engine, objects, names, day)
    for number in range(MOST_PATCHES):
        field = names[(number + 1) * len(names) // (MOST_PATCHES + 1)]
        days = {patched + timedelta(days=n): [field] for n in range(30)}
        _patch(engine, objects, days, 1000 * number, len(names))

    def read(day: date, fields: Sequence[str] | None = None) -> Callable[[], object]:
        def once() -> object:
            with read_transaction(engine) as connection:
                days = published_days(connection, 1, day, day)
            return days.rows(ResultObjects(objects.store), day, None, fields)

        return once

    some = [names[len(names) // 2]]
    base, over, field, over_field = _alternated(read(plain), read(patched), read(plain, some), read(patched, some))
    print(f"\na day of {len(names):,} fields\n\n| | ms | ratio |\n|---|---|---|")
    print(f"| its rows, without a patch | {base:.1f} | 1 |")
    print(f"| its rows, through {MOST_PATCHES} patches | {over:.1f} | {over / base:.2f} |")
    print(f"| one field's row, without a patch | {field:.1f} | {field / base:.2f} |")
    print(
        f"| one field's row, through {MOST_PATCHES} patches | {over_field:.1f} | {over_field / base:.2f} |", flush=True
    )


def _alternated(*works: Callable[[], object]) -> list[float]:
    """The median time of each, in milliseconds, taken in turns."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(_REPEATS):
        for work, of_work in zip(works, seconds, strict=True):
            started = time.perf_counter()
            work()
            of_work.append(time.perf_counter() - started)
    return [1000 * statistics.median(of_work) for of_work in seconds]


def _season(engine: Engine, objects: ResultObjects, names: Sequence[str], days: int) -> None:
    """A season of which some rows were restated, everything kept, against the same without a correction."""
    first = worlds.FIRST + timedelta(days=100)
    span = [first + timedelta(days=n) for n in range(days)]
    closed = sum(_day(engine, objects, names, day) for day in span)
    restated = names[:: round(1 / RESTATED)]
    kept = sum(
        _patch(engine, objects, dict.fromkeys(span[n : n + 30], restated), 7, len(names)) for n in range(0, days, 30)
    )
    print(f"\n{days} days, {RESTATED:.0%} of the rows restated\n\n| | MB | ratio |\n|---|---|---|")
    print(f"| nothing kept | {closed / 1e6:.1f} | 1 |")
    print(f"| everything kept | {(closed + kept) / 1e6:.1f} | {(closed + kept) / closed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
