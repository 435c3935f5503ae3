"""A backup of a large ledger, its check and its restore: seconds, rows a second, megabytes and peak memory.

    python benchmarks/recovery.py [--rows 10000000] [--database postgresql] [--quick]

The rows are those of the tables that grow: half of them attempts, a third misses, the rest publications and their days.
They are made by the database; the backup goes into a folder of this machine. The peer on PostgreSQL is its own pg_dump
and pg_restore (custom format, one job), of the server's version.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import shapely
from satcommon.db.engine import engine_of, open_engine, write_transaction
from satcommon.db.models import Field, Region
from satcommon.geo.grid import Bounds, Grid
from satcommon.settings import settings
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from satctl.backup.create import create
from satctl.backup.folder import Backups
from satctl.backup.restore import restore, target_of
from satctl.backup.verify import verify
from satctl.local.migrations import upgrade
from satctl.local.servers import cluster_stores
from sqlalchemy import Engine, insert, make_url, text

NOW = datetime(2026, 11, 29, tzinfo=UTC)
FIELDS = 10_000
SERIES = {
    "postgresql": "generate_series(0, {count} - 1) AS numbers(n)",
    "sqlite": "(WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1) "
    "SELECT n FROM numbers) AS numbers",
}
DAY = {"postgresql": "date '2016-01-01' + ({n})::int", "sqlite": "date('2016-01-01', ({n}) || ' days')"}
DIGEST = {"postgresql": "md5(n::text) || md5((-n)::text)", "sqlite": "lower(hex(randomblob(32)))"}
ROWS = {
    "processing_attempts": (
        0.50,
        "field_id, bbox_id, processing_time, processing_type, created_at, day, run_id, duration_seconds",
        f"n % {FIELDS} + 1, 1, '{NOW}', 'realtime', '{NOW}', {{day}}, 'f3c1a6de-5f0b-4a52-' || n / {FIELDS}, n * 0.1",
        f"n / {FIELDS}",
    ),
    "missed_fields": (
        0.35,
        "field_id, bbox_id, processing_time, date_missed, processed, resolved_time, cause, digest, attempts",
        f"n % {FIELDS} + 1, 1, '{NOW}', {{day}}, true, '{NOW}', 'late_field', {{digest}}, 0",
        f"n / {FIELDS}",
    ),
    "publications": (
        0.075,
        "bbox_id, sequence, kind, object_key, object_digest, first_day, last_day, row_count, run_id, cause, "
        "committed_at",
        "1, n + 1, 'day', 'results/1/2026/01/01-' || {digest} || '.parquet', "
        "{digest}, {day}, {day}, 10000, '', 'closed', "
        f"'{NOW}'",
        "n % 3650",
    ),
    "publication_days": (0.075, "bbox_id, day, sequence, is_base", "1, {day}, n + 1, true", "n % 3650"),
}  # share of all rows, columns, values by the number n, and the day's number


def fill(engine: Engine, rows: int) -> None:
    """Make the rows."""
    bounds = Bounds(0.0, 45.0, 0.1, 45.1)
    square, first = shapely.to_wkb(shapely.box(*bounds)), date(2016, 1, 1)
    of_field = {"geometry": square, "geometry_digest": "g", "created_at": NOW, "known_at": NOW, "planting_date": first}
    kind = engine.dialect.name
    with write_transaction(engine) as connection:
        if kind == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        region = {"name": "R", "geometry": square, "created_at": NOW, "monitored_from": first}
        region |= {"grid": Grid.utm(bounds, 100.0).to_json(), "algorithm_version": CURRENT}
        connection.execute(insert(Region), [region])
        fields = [{"external_id": f"F{n}", "name": f"F{n}", **of_field} for n in range(FIELDS)]
        connection.execute(insert(Field), fields)
        for table, (share, columns, values, day) in ROWS.items():
            series = SERIES[kind].format(count=max(1, int(rows * share)))
            told = values.format(day=DAY[kind].format(n=day), digest=DIGEST[kind])
            connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {told} FROM {series}"))


def measured(what: str, rows: int, work: Callable[[], object]) -> None:
    """Do it, and print a line."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:30}{seconds:>10.1f}{processor:>14.1f}{rows / seconds:>14,.0f}{peak:>12,.0f}", flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    options = parser.parse_args()
    rows = 10_000 if options.quick else options.rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(SATFIELDS_HOME=f"{name}/home", SATFIELDS_SCENE_SOURCE="simulated")
        postgresql = options.database == "postgresql"
        with cluster_stores(folder / "s3.log") if postgresql else nullcontext({}) as variables:
            os.environ.update({"SATFIELDS_DATABASE_URL": variables["SATFIELDS_DATABASE_URL"]} if postgresql else {})
            settings.cache_clear()
            measure(engine_of(settings()), folder, rows)


def measure(engine: Engine, folder: Path, rows: int) -> None:
    """Fill a ledger, back it up, check the backup, and restore it into another database."""
    upgrade(engine)
    fill(engine, rows)
    store, backups = ObjectStore(str(folder / "store")), Backups(ObjectStore(str(folder / "backups")))
    print(f"{rows:,} rows on {engine.dialect.name}\n")
    print(f"{'':30}{'seconds':>10}{'of processor':>14}{'rows/s':>14}{'peak, MiB':>12}")
    made = []
    measured("backup", rows, lambda: made.append(create(engine, store, backups, NOW, lambda: None)))
    [manifest] = made
    measured("verify", rows, lambda: verify(backups, manifest, store, lambda: None, deep=False))
    with another(engine, folder, "restored") as other:
        measured("restore", rows, lambda: restore(other, backups, manifest, target_of(other), NOW, lambda: None))
    print(f"\nthe backup has {manifest.size / 1e6:,.1f} MB")
    if engine.dialect.name == "postgresql":
        peer(engine, folder, rows)


@contextmanager
def another(engine: Engine, folder: Path, name: str) -> Iterator[Engine]:
    """A new database of the same kind."""
    if engine.dialect.name == "sqlite":
        other = open_engine(f"sqlite:///{folder / name}.db")
    else:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        other = open_engine(make_url(engine.url).set(database=name).render_as_string(hide_password=False))
    yield other
    other.dispose()


def peer(engine: Engine, folder: Path, rows: int) -> None:
    """PostgreSQL's own programs, of the server's version."""
    with engine.connect() as connection:
        programs = Path(connection.execute(text("SELECT setting FROM pg_config WHERE name = 'BINDIR'")).scalar_one())
    file = folder / "peer.dump"

    def run(program: str, database: Engine, *arguments: str) -> None:
        url = make_url(database.url).set(drivername="postgresql").render_as_string(hide_password=False)
        subprocess.run([programs / program, f"--dbname={url}", *arguments], check=True)

    measured("pg_dump", rows, lambda: run("pg_dump", engine, "--format=custom", f"--file={file}"))
    print(f"{'':30}{file.stat().st_size / 1e6:,.1f} MB")
    with another(engine, folder, "peer") as other:
        measured("pg_restore", rows, lambda: run("pg_restore", other, str(file)))


if __name__ == "__main__":
    main()
