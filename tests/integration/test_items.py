"""Scenes of several items: each row names those that its field was seen by, through revisions and replays."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from satcommon.audit.audit import audit
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
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine

BOUNDS = Bounds(14.0, 45.0, 14.05, 45.05)
DAY, NOW = date(2026, 5, 1), datetime(2026, 5, 30, tzinfo=UTC)
MORNING = datetime(2026, 5, 1, 10, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)
SHAPES = {
    "left": box(14.005, 45.01, 14.015, 45.03),
    "across": box(14.018, 45.01, 14.028, 45.03),  # seven tenths of it left of the middle
    "right": box(14.035, 45.01, 14.045, 45.03),
}


@dataclass
class Tiles:
    """A source of items that cover a part of the columns each; all is clear."""

    items: list[Acquisition] = field(default_factory=list)
    collection: str = "imagery"
    identity: str = "by hand"

    def deliver(self, columns: str, minutes: int = 0, overpass: str = "pass") -> None:
        """An item of columns, as 0.0-0.5 of the width."""
        sensed = MORNING + timedelta(minutes=minutes)
        self.items.append(Acquisition(columns, "d", "test", overpass, columns, "", sensed, sensed))

    def anchor_grid(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002  # the protocol's signature
        return None

    def due(self, aoi: AreaOfInterest, on: date) -> Due:  # noqa: ARG002  # the protocol's signature
        return Due.DUE

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:  # noqa: ARG002  # as above
        return Listing({DAY: list(self.items)})

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        first, last = (float(part) * aoi.grid.width for part in acquisition.item_id.split("-"))
        columns = np.arange(aoi.grid.width) + np.zeros((aoi.grid.height, 1))
        covered = (first <= columns) & (columns < last)
        bands = {"red": np.where(covered, 1500 + columns, 0), "nir": np.where(covered, 5000, 0)}
        classes = np.where(covered, PixelClass.CLEAR, PixelClass.NODATA)
        return Layers({name: band.astype(np.uint16) for name, band in bands.items()}, classes.astype(np.uint8))


class Farm:
    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.store, self.source = engine, ObjectStore(str(folder)), Tiles()
        with write_transaction(engine) as connection:
            registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), DAY, DAY, CURRENT, NOW)
            fields.register_fields(connection, [fields.NewField(n, n, shape, DAY) for n, shape in SHAPES.items()], NOW)

    def ask(self) -> None:
        ask(self.engine, self.store, self.source, 1, DAY, NOW)

    def close(self) -> dict[str, dict[str, Any]]:
        list(Closer(self.engine, self.store, 1, DEADLINES, "run", NOW).through(DAY))
        return self.rows()

    def replay(self) -> dict[str, dict[str, Any]]:
        list(replay(Processor(self.engine, self.store), self.engine, 1, DEADLINES, "run", NOW))
        with read_transaction(self.engine) as connection:
            assert audit(self.engine, self.store, registry.region(connection, "A"), lambda: None).problems == []
        return self.rows()

    def rows(self) -> dict[str, dict[str, Any]]:
        with read_transaction(self.engine) as connection:
            days = published_days(connection, 1, DAY, DAY)
        return {row["field"]: row for row in days.rows(ResultObjects(self.store), DAY).to_pylist()}


@pytest.fixture
def farm(sqlite_engine: Engine, tmp_path: Path) -> Farm:
    return Farm(sqlite_engine, tmp_path)


def told(row: dict[str, Any]) -> tuple[str, list[str] | None, float | None]:
    """Status, items, and minutes from the morning's first item."""
    items = None if row["item_ids"] is None else json.loads(row["item_ids"])
    return row["status"], items, row["sensed_at"] and (row["sensed_at"] - MORNING) / timedelta(minutes=1)


def test_fields_of_two_tiles_name_their_own(farm: Farm) -> None:
    farm.source.deliver("0.0-0.5")
    farm.source.deliver("0.5-1.0", minutes=1)
    farm.ask()

    rows = farm.close()

    assert told(rows["left"]) == ("clear", ["0.0-0.5"], 0)
    assert told(rows["right"]) == ("clear", ["0.5-1.0"], 1)
    assert told(rows["across"]) == ("clear", ["0.0-0.5", "0.5-1.0"], 0)


def test_a_late_tile_completes_the_rows_of_the_fields_that_it_shows(farm: Farm) -> None:
    farm.source.deliver("0.0-0.5")
    farm.ask()
    before = farm.close()

    farm.source.deliver("0.5-1.0", minutes=1)
    farm.ask()
    after = farm.replay()

    assert told(before["across"]) == ("swath_edge", ["0.0-0.5"], 0)
    assert told(before["right"]) == ("outside_swath", None, None)
    assert told(after["across"]) == ("clear", ["0.0-0.5", "0.5-1.0"], 0)
    assert told(after["right"]) == ("clear", ["0.5-1.0"], 1)
    assert told(after["left"]) == told(before["left"]) == ("clear", ["0.0-0.5"], 0)


def test_a_field_that_a_second_pass_fills_names_both_and_the_time_of_the_larger_part(farm: Farm) -> None:
    farm.source.deliver("0.0-0.4", overpass="first")
    farm.source.deliver("0.3-1.0", minutes=100, overpass="second")
    farm.ask()

    rows = farm.close()

    assert told(rows["left"]) == ("clear", ["0.0-0.4"], 0)
    assert told(rows["across"]) == ("clear", ["0.0-0.4", "0.3-1.0"], 100)
    assert told(rows["right"]) == ("clear", ["0.3-1.0"], 100)
