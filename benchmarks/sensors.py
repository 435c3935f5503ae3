"""A tick of each sensor over a large ledger: seconds, statements and queries of Dagster's runs, beside one a region.

    python benchmarks/sensors.py [--regions 1000] [--days 365] [--fields 1] [--database postgresql]

The ledger has the same days of all regions: first none of them was asked for, then all have an answer and none is
closed, then all are closed and each of their fields is missed on each day; at last nothing is left to do. Dagster's
instance is a real one on SQLite, and each tick's runs are put on record, so that the second tick finds them under way.
The peers, in the same run, ask the ledger for each region by itself, and Dagster for the runs of each work by itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import shapely
from dagster import DagsterInstance, RunRequest, RunsFilter
from dagster._core.test_utils import create_run_for_test
from satcommon.contract import BATCH_OP, REGION, WORK_TAG
from satcommon.db.engine import engine_of, read_transaction, write_transaction
from satcommon.db.models import Cause, Field, Miss, Region, RegionDay
from satcommon.db.registry import regions
from satcommon.db.statement_batches import insert_rows
from satcommon.environment import environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.backlog import region_backlog
from satcommon.pipeline.ready_days import ready_days_of
from satcommon.run_requests import WantedRun, run_requests
from satcommon.settings import settings
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satctl.local.migrations import upgrade
from satctl.local.servers import cluster_stores
from satfields_ingest.sensors import LOOKS_A_TICK
from satfields_ingest.work import older_days_to_ask_for, scenes_to_ask_for
from satfields_realtime.work import days_to_close
from satfields_reprocessing.work import backlogs_to_drain
from sqlalchemy import event, insert, update

NOW = datetime.now(UTC)
ONE_DAY = timedelta(days=1)
BATCH = "batch"
PEER_WORKS = 100  # that it looks up by themselves
COLUMNS = ("seconds", "of processor", "statements", "runs' queries", "peer, times")


class Measured:
    """Seconds, those of the processor, statements of the ledger and queries of runs of a block."""

    seconds = worked = 0.0
    statements = queries = 0


@contextmanager
def measured(instance: DagsterInstance) -> Any:
    """Measure a block."""
    found, engine = Measured(), environment().engine

    def count(*_: Any) -> None:
        found.statements += 1

    event.listen(engine, "before_cursor_execute", count)
    try:
        with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as queries:
            began, worked = time.perf_counter(), time.process_time()
            yield found
            found.seconds, found.worked = time.perf_counter() - began, time.process_time() - worked
            found.queries = queries.call_count
    finally:
        event.remove(engine, "before_cursor_execute", count)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--fields", type=int, default=1, help="missed of each region on each day")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ.update(SATFIELDS_HOME=f"{name}/home", SATFIELDS_SCENE_SOURCE="simulated")
        Path(name, "home").mkdir()
        postgresql = options.database == "postgresql"
        with cluster_stores(Path(name) / "s3.log") if postgresql else nullcontext({}) as variables:
            os.environ.update(variables)
            settings.cache_clear()  # the locations read them when they were imported
            _measure(name, options.regions, options.days, options.fields)


def _measure(folder: str, count: int, days: int, fields: int) -> None:
    upgrade(engine_of(settings()))
    names = [f"R{n:04}" for n in range(count)]
    _add_regions(names, NOW.date() - days * ONE_DAY, fields)
    print(f"{count:,} regions x {days} days, {fields} fields each\n")
    print(f"{'a tick of':26}{'asked':>6}{'regions':>9}" + "".join(f"{column:>14}" for column in COLUMNS))
    with DagsterInstance.local_temp(folder) as instance:
        instance.add_dynamic_partitions(REGION, names)
        known = set(names)
        env = environment()
        look: Callable[[], Iterable[WantedRun]] = lambda: scenes_to_ask_for(env, known, NOW, LOOKS_A_TICK).works  # noqa: E731
        _ticks(instance, "due_scenes", look, lambda: None)
        _ticks(instance, "older_days", lambda: older_days_to_ask_for(env, NOW), lambda: None)
        _answer(names, days)
        _ticks(instance, "unfinished_days", lambda: days_to_close(env, known, NOW), _days_of_each)
        _close(fields, days)
        _ticks(instance, "older_days, all unasked", lambda: older_days_to_ask_for(env, NOW), lambda: None)
        _ticks(instance, "unfinished_backlogs", lambda: backlogs_to_drain(env, known, NOW), _backlog_of_each)
        _settle()
        _ticks(instance, "due_scenes, all done", look, lambda: None)
        _ticks(instance, "older_days, all done", lambda: older_days_to_ask_for(env, NOW), lambda: None)
        _ticks(instance, "unfinished_days, all done", lambda: days_to_close(env, known, NOW), lambda: None)
        _ticks(instance, "backlogs, all done", lambda: backlogs_to_drain(env, known, NOW), lambda: None)


def _ticks(
    instance: DagsterInstance, what: str, works: Callable[[], Iterable[WantedRun]], ledger_of_each: Callable[[], None]
) -> None:
    """Two ticks of a sensor, and what the peer takes for the first."""
    engine = environment().engine
    for n in (1, 2):
        with measured(instance) as tick:
            asked = list(run_requests(instance, works(), NOW, engine, batch_job=BATCH))
        found = {region for request in asked for region in _regions(request)}
        ratio = ""
        if n == 1 and asked:
            with measured(instance) as peer:
                ledger_of_each()
                for work in islice(works(), PEER_WORKS):
                    instance.get_run_records(RunsFilter(tags={WORK_TAG: work.name}))
            ratio = f"{peer.worked / tick.worked:.1f}"
        told = (f"{tick.seconds:.2f}", f"{tick.worked:.2f}", tick.statements, tick.queries, ratio)
        name = f"{what if n == 1 else '  and the next':26}"
        print(f"{name}{len(asked):>6}{len(found):>9}" + "".join(f"{one:>14}" for one in told), flush=True)
        for request in asked:
            tags, config = dict(request.tags), request.run_config
            create_run_for_test(instance, job_name=request.job_name, tags=tags, run_config=config)


def _regions(request: RunRequest) -> set[str]:
    works = (request.run_config or {}).get("ops", {}).get(BATCH_OP, {}).get("config", {}).get("works", [])
    return {work["region"] for work in works} or {str(request.tags["satfields/lane"])}


def _days_of_each() -> None:
    env = environment()
    with read_transaction(env.engine) as connection:
        for region in regions(connection, active=True):
            ready_days_of(connection, region, env.deadlines, NOW)


def _backlog_of_each() -> None:
    env = environment()
    with read_transaction(env.engine) as connection:
        for region in regions(connection, active=True):
            _ = region_backlog(connection, region.bbox_id, env.deadlines, NOW).first_day


def _add_regions(names: list[str], first: date, fields: int) -> None:
    bounds = Bounds(0.0, 45.0, 0.03, 45.03)
    square = shapely.to_wkb(shapely.box(*bounds))
    same = {"geometry": square, "created_at": NOW - 400 * ONE_DAY, "monitored_from": first}
    same |= {"grid": Grid.utm(bounds, 100.0).to_json(), "algorithm_version": CURRENT}
    of_field = {"geometry": square, "geometry_digest": "g", "created_at": NOW, "known_at": NOW, "planting_date": first}
    with write_transaction(environment().engine) as connection:
        connection.execute(insert(Region), [{"name": name, **same} for name in names])
        told = [f"{name} {n}" for name in names for n in range(fields)]
        connection.execute(insert(Field), [{"external_id": one, "name": one, **of_field} for one in told])


def _answer(names: list[str], days: int) -> None:
    span = [NOW.date() - n * ONE_DAY for n in range(days, 0, -1)]
    with write_transaction(environment().engine) as connection:
        rows = [{"bbox_id": n, "day": day} for n in range(1, len(names) + 1) for day in span]
        insert_rows(connection, RegionDay, rows, {"due": Due.NOT_DUE, "answered_at": NOW - ONE_DAY, "tries": 0})


def _settle() -> None:
    """Nothing is left to do: every day has an answer, and every miss was replayed."""
    with write_transaction(environment().engine) as connection:
        connection.execute(update(RegionDay).values(answered_at=NOW, due=Due.NOT_DUE))
        connection.execute(update(Miss).values(processed=True))


def _close(fields: int, days: int) -> None:
    """Close all days, with all fields missed; half of the regions were never asked for theirs."""
    with write_transaction(environment().engine) as connection:
        connection.execute(update(RegionDay).values(closed_at=NOW))
        unasked = RegionDay.bbox_id % 2 == 0
        connection.execute(update(RegionDay).where(unasked).values(answered_at=None, due=Due.UNKNOWN))
        region_ids = [region.bbox_id for region in regions(connection)]
        same = {"processing_time": NOW, "processed": False, "cause": Cause.LATE_FIELD, "digest": "d", "attempts": 0}
        for bbox_id in region_ids:
            insert_rows(
                connection,
                Miss,
                [
                    {
                        "bbox_id": bbox_id,
                        "field_id": 1 + (bbox_id - 1) * fields + n,
                        "date_missed": NOW.date() - ago * ONE_DAY,
                    }
                    for ago in range(1, days + 1)
                    for n in range(fields)
                ],
                same,
            )
    if environment().engine.dialect.name == "postgresql":
        with environment().engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")


if __name__ == "__main__":
    main()
