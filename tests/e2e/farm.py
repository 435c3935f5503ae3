"""Two seasons of two small regions, for the page of maps: fields like a patchwork, corrections, a miss."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import shapely
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField, Update, begin_season, register_fields
from satcommon.db.registry import add_region, region
from satcommon.environment import Environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.sources.source import SIMULATED
from satcommon.stats.algorithm import CURRENT
from shapely.affinity import rotate

REGIONS = {"Prairie": Bounds(-94.20, 40.40, -94.06, 40.50), "Valley": Bounds(-93.40, 40.40, -93.30, 40.48)}
PLAIN = Bounds(-98.90, 41.00, -98.40, 41.45)  # more fields than the page draws as polygons
STEPPE = Bounds(-100.06, 44.40, -100.00, 44.44)
CORRECTED = "prairie-07"
CROPS = ("maize", "soybeans", "wheat")


def fields_of(name: str, bounds: Bounds, step: float = 0.0125) -> list[NewField]:
    """Fields on a somewhat disordered grid, some of them round as under a pivot."""
    chance = random.Random(name)
    shapes = []
    rows, columns = int((bounds.north - bounds.south) / step), int((bounds.east - bounds.west) / step)
    for row in range(rows):
        for column in range(columns):
            if chance.random() < 0.25:
                continue
            x, y = bounds.west + (column + 0.5) * step, bounds.south + (row + 0.5) * step
            wide, high = (step * chance.uniform(0.3, 0.46) for _ in range(2))
            shape = shapely.box(x - wide, y - high, x + wide, y + high)
            if chance.random() < 0.15:
                shape = shapely.Point(x, y).buffer(step * 0.4)
            shapes.append(rotate(shape, chance.uniform(-4, 4)))
    return [
        NewField(f"{name.lower()}-{n:02}", f"{name} {n:02}", shape, date(2025, 4, 20), crop_code=chance.choice(CROPS))
        for n, shape in enumerate(shapes, 1)
    ]


def grow(env: Environment, first: date, last: date, cell_m: float = 60.0) -> datetime:
    """Close the days of both regions, then correct a field and leave another's days missed; gives an instant between.

    Args:
        env: settings, ledger and store.
        first: monitored from.
        last: closed through.
        cell_m: metres of a cell.
    """
    now = datetime.now(UTC)
    with write_transaction(env.engine) as connection:
        for name, bounds in REGIONS.items():
            add_region(connection, name, bounds, Grid.utm(bounds, cell_m), first, None, CURRENT, now, SIMULATED)
            register_fields(connection, fields_of(name, bounds), now)
    for name in REGIONS:
        with read_transaction(env.engine) as connection:
            bbox_id = region(connection, name).bbox_id
        closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run-1", datetime.now(UTC))
        list(closer.backfill(env.source(), last, lambda _day, _answer: None))
    between = datetime.now(UTC)
    correct(env, CORRECTED, 1.6)
    with read_transaction(env.engine) as connection:
        bbox_id = region(connection, "Prairie").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "replay-1", datetime.now(UTC)))
    correct(env, "prairie-20", 1.1)  # and not replayed: its days wait
    return between


def grow_steppe(env: Environment, last: date, version: str) -> None:
    """Close more than a year of a small region; its first field has two seasons, days of the next two are missed.

    Args:
        env: settings, ledger and store.
        last: closed through.
        version: of the region's algorithm.
    """
    now = datetime.now(UTC)
    fields = [replace(each, planting=last - timedelta(days=60)) for each in fields_of("Steppe", STEPPE)]
    fields[0] = replace(fields[0], planting=last - timedelta(days=400), end=last - timedelta(days=340))
    with write_transaction(env.engine) as connection:
        grid, first = Grid.utm(STEPPE, 60.0), last - timedelta(days=385)
        add_region(connection, "Steppe", STEPPE, grid, first, None, version, now, SIMULATED)
        register_fields(connection, fields, now)
        begin_season(connection, fields[0].external_id, last - timedelta(days=40), None, "maize", now)
        bbox_id = region(connection, "Steppe").bbox_id
    closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run-1", now)
    list(closer.backfill(env.source(), last, lambda _day, _answer: None))
    for field in fields[1:3]:
        _widen(env, field, 1.1)


def grow_plain(env: Environment, first: date, last: date) -> None:
    """Close some days of a region with more than ten thousand fields.

    Args:
        env: settings, ledger and store.
        first: monitored from.
        last: closed through.
    """
    now = datetime.now(UTC)
    with write_transaction(env.engine) as connection:
        add_region(connection, "Plain", PLAIN, Grid.utm(PLAIN, 100.0), first, None, CURRENT, now, SIMULATED)
        register_fields(connection, fields_of("Plain", PLAIN, 0.004), now)
        bbox_id = region(connection, "Plain").bbox_id
    closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run-1", now)
    list(closer.backfill(env.source(), last, lambda _day, _answer: None))


def correct(env: Environment, external_id: str, times: float) -> None:
    """The polygon of a field of Prairie is corrected: so many times as wide."""
    _widen(env, next(f for f in fields_of("Prairie", REGIONS["Prairie"]) if f.external_id == external_id), times)


def _widen(env: Environment, found: NewField, times: float) -> None:
    wider = shapely.affinity.scale(found.geometry, times, times)
    with write_transaction(env.engine) as connection:
        changed = replace(found, geometry=wider)
        register_fields(connection, [changed], datetime.now(UTC), Update())
