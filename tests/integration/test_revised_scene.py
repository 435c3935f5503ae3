"""A revised scene that changes one field's observation: that field alone is replayed, and its kernel forgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.raster.layers import Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine

BOUNDS = Bounds(14.0, 45.0, 14.05, 45.05)
FIRST, NOW = date(2026, 5, 1), datetime(2026, 5, 30, tzinfo=UTC)
DAYS, REVISED = 16, 3
DEADLINES = Deadlines(36.0, 30)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


class ClearSkies:
    """Simulated scenes without clouds; once revised, one day's western half is greener."""

    collection = "imagery"
    identity = "by hand"
    satellite = SimulatedSource()
    revised = False

    def anchor_grid(self, bounds: Bounds) -> Grid | None:
        return self.satellite.anchor_grid(bounds)

    def due(self, aoi: AreaOfInterest, on: date) -> Due:
        return self.satellite.due(aoi, on)

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        found = self.satellite.list(aoi, first, last, now).acquisitions
        if self.revised and day(REVISED) in found:
            found[day(REVISED)] = [replace(one, baseline="2") for one in found[day(REVISED)]]
            found[day(REVISED)] = [replace(one, item_id=one.item_id + "_v2") for one in found[day(REVISED)]]
        return Listing(found)

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        layers = self.satellite.read(aoi, acquisition)
        bands = {name: band.copy() for name, band in layers.bands.items()}
        if acquisition.baseline == "2":
            bands["nir"][:, : aoi.grid.width // 2] += 500
        return Layers(bands, np.full_like(layers.classes, PixelClass.CLEAR))


def test_a_revised_scene_replays_the_field_that_it_changes_and_its_kernel_forgets(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    store, source = ObjectStore(str(tmp_path)), ClearSkies()
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 200.0), FIRST, None, CURRENT, NOW)
        west, east = box(14.005, 45.01, 14.02, 45.03), box(14.03, 45.01, 14.045, 45.03)
        shapes = (("west", west), ("east", east))
        fields.register_fields(connection, [fields.NewField(n, n, shape, FIRST) for n, shape in shapes], NOW)
    list(Closer(sqlite_engine, store, 1, DEADLINES, "run", NOW).backfill(source, day(DAYS - 1), lambda *_: None))
    before = [_rows(sqlite_engine, store, n) for n in range(DAYS)]

    source.revised = True
    ask(sqlite_engine, store, source, 1, day(REVISED), NOW)
    chunks = list(replay(Processor(sqlite_engine, store), sqlite_engine, 1, DEADLINES, "run", NOW))

    after = [_rows(sqlite_engine, store, n) for n in range(DAYS)]
    steps = [step for chunk in chunks for step in chunk.computed.steps]
    ids = _ids(sqlite_engine)
    assert [on for field_id, on in steps if field_id == ids["east"]] == [day(REVISED)]  # its state is the published one
    assert [on for field_id, on in steps if field_id == ids["west"]] == [day(n) for n in range(REVISED, DAYS)]
    assert sum(chunk.computed.observed for chunk in chunks) == 2  # of the revised day; later ones are reused
    kernel_size = algorithm(CURRENT).kernel_size
    for n in range(DAYS):
        changed = before[n]["west"]["ndvi_smoothed_e4"] != after[n]["west"]["ndvi_smoothed_e4"]
        assert changed == (REVISED <= n < REVISED + kernel_size)
        assert (before[n]["west"]["ndvi_integral_e4"] != after[n]["west"]["ndvi_integral_e4"]) == (n >= REVISED)
        assert n == REVISED or before[n]["east"] == after[n]["east"]


def _rows(engine: Engine, store: ObjectStore, n: int) -> dict[str, dict[str, Any]]:
    with read_transaction(engine) as connection:
        days = published_days(connection, 1, day(n), day(n))
    return {row["field"]: row for row in days.rows(ResultObjects(store), day(n)).to_pylist()}


def _ids(engine: Engine) -> dict[str, int]:
    with read_transaction(engine) as connection:
        return {row.external_id: row.field_id for row in fields.fields(connection)}
