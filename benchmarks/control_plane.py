"""A day of many small regions through the whole of Dagster, from imagery that is there to the last region closed.

    python benchmarks/control_plane.py [--regions 200] [--fields 50] [--stores cluster] [--stock] [--quick]

`dagster dev` with its daemon, its webserver and the three code servers runs as `satctl up` does; runs are processes of
their own, three at a time. With `--stores cluster` ledger and Dagster are on PostgreSQL, and the sessions that were
opened and the transactions are counted (each query of Dagster's is one); `--stock` takes Dagster's own storage, which
keeps no connections. `--batch-regions 1` gives each region's day runs of its own, as it was before batches.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import shapely
from dagster import DagsterInstance
from satcommon.db import ledger, registry
from satcommon.db.engine import engine_of, read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.geo.grid import Bounds, Grid
from satcommon.settings import settings
from satcommon.stats.algorithm import CURRENT
from satctl.local import dagster_home
from satctl.local.laptop import free_port, running
from satctl.local.migrations import upgrade
from satctl.local.servers import cluster_stores
from sqlalchemy import Engine, create_engine, text

NOW = datetime.now(UTC)
YESTERDAY = NOW.date() - timedelta(days=1)
SIDE = 0.03  # of a region, degrees
ACROSS = 8  # fields of a row
WAIT_SECONDS = 3600
_COUNTS = "SELECT datname, sessions, xact_commit FROM pg_stat_database WHERE datname IN ('satfields', 'dagster')"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=200)
    parser.add_argument("--fields", type=int, default=50, help="of each region")
    parser.add_argument("--stores", choices=("laptop", "cluster"), default="laptop")
    parser.add_argument("--stock", action="store_true", help="Dagster's own storage, with --stores cluster")
    parser.add_argument("--batch-regions", type=int, default=50)
    parser.add_argument("--sensor-seconds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="20 regions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        home.mkdir()
        os.environ.update(SATFIELDS_HOME=str(home), SATFIELDS_SCENE_SOURCE="simulated")
        os.environ["SATFIELDS_BATCH_REGIONS"] = str(options.batch_regions)
        os.environ["SATFIELDS_SENSOR_SECONDS"] = str(options.sensor_seconds)
        cluster = options.stores == "cluster"
        with cluster_stores(Path(name, "s3.log")) if cluster else nullcontext({}) as variables:
            os.environ.update(variables)
            settings.cache_clear()
            if options.stock:
                _stock(home)
            _measure(home, 20 if options.quick else options.regions, options.fields)


def _measure(home: Path, regions: int, fields: int) -> None:
    engine = engine_of(settings())
    upgrade(engine)
    _register(engine, regions, fields)
    began_load = os.getloadavg()[0]
    with running(home, free_port(), home / "dagster.log", {}):
        before, began = _counts(), time.perf_counter()
        closed = 0
        while closed < regions:
            time.sleep(1)
            with read_transaction(engine) as connection:
                closed = sum(day == YESTERDAY for day in ledger.watermarks(connection).values())
            if time.perf_counter() - began > WAIT_SECONDS:
                raise SystemExit(f"{closed} of {regions} regions closed in {WAIT_SECONDS} s")
        seconds = time.perf_counter() - began
        after = _counts()
        with DagsterInstance.from_config(str(home / "dagster")) as instance:
            jobs = Counter(run.job_name for run in instance.get_runs())
    print(f"{regions:,} regions x {fields} fields, one day: all closed in {seconds:.0f} s by {sum(jobs.values())} runs")
    print(f"  runs: {', '.join(f'{count} {job}' for job, count in sorted(jobs.items()))}")
    for database in sorted(after):
        sessions, transactions = (now - then for now, then in zip(after[database], before[database], strict=True))
        print(
            f"  PostgreSQL, {database}: {sessions} sessions opened ({sessions / seconds:.1f} a second), "
            f"{transactions} transactions ({transactions / seconds:.0f} a second)"
        )
    print(
        f"  load of the machine: {began_load:.1f} before, {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} cores"
    )


def _stock(home: Path) -> None:
    """Let Dagster have its own storage."""
    folder = dagster_home.dagster_home(home)
    file = folder / dagster_home.FILE
    head, _, _ = file.read_text().partition("storage:")
    file.write_text(f"{head}storage:\n  postgres:\n    postgres_url:\n      env: DAGSTER_POSTGRES_URL\n")


def _register(engine: Engine, regions: int, fields: int) -> None:
    then = NOW - timedelta(days=5)
    step = SIDE / (ACROSS + 2)
    new: list[NewField] = []
    with write_transaction(engine) as connection:
        for n in range(regions):
            west, south = 0.05 * (n % 40), 45.0 + 0.05 * (n // 40)
            bounds = Bounds(west, south, west + SIDE, south + SIDE)
            registry.add_region(connection, f"R{n:04}", bounds, Grid.utm(bounds, 20.0), YESTERDAY, None, CURRENT, then)
            for f in range(fields):
                x, y = west + step * (1 + f % ACROSS), south + step * (1 + f // ACROSS)
                square = shapely.box(x, y, x + 0.8 * step, y + 0.8 * step)
                new.append(NewField(f"R{n:04} {f}", f"R{n:04} {f}", square, date(YESTERDAY.year, 1, 1)))
        register_fields(connection, new, then)


def _counts() -> dict[str, tuple[int, int]]:
    """The sessions and transactions of each database so far; none without PostgreSQL."""
    url = os.environ.get("DAGSTER_POSTGRES_URL")
    if not url:
        return {}
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {row.datname: (row.sessions, row.xact_commit) for row in connection.execute(text(_COUNTS))}
    engine.dispose()
    return found


if __name__ == "__main__":
    main()
