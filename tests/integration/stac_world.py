"""A region of two fields whose imagery comes from a STAC catalogue, for three days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import Answer, ask
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects, encode
from satcommon.publication.reader import published_days
from satcommon.sources.source import SceneSource
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from satctl.local import migrations
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from tests.unit.geotiffs import AOI, GRID
from tests.unit.stac_catalogue import COLUMNS, Raster, pixels

DAYS = [date(2016, 1, day) for day in (7, 8, 9)]
NOW = datetime(2016, 2, 1, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)
WHOLE = replace(GRID, width=COLUMNS)


class World:
    """A ledger and a store."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.engine, self.store = open_engine(f"sqlite:///{folder / 'ledger.db'}"), ObjectStore(str(folder / "store"))
        migrations.upgrade(self.engine)
        west, south, east, north = AOI.bounds
        middle = (west + east) / 2
        with write_transaction(self.engine) as connection:
            registry.add_region(connection, "North", AOI.bounds, WHOLE, DAYS[0], None, CURRENT, NOW)
        self.add({"west": box(west, south, middle, north), "east": box(middle, south, east, north)})

    def add(self, shapes: dict[str, BaseGeometry]) -> None:
        new = [fields.NewField(name, name, shape, DAYS[0]) for name, shape in shapes.items()]
        with write_transaction(self.engine) as connection:
            fields.register_fields(connection, new, NOW)

    def close(self, source: SceneSource) -> None:
        list(Closer(self.engine, self.store, 1, DEADLINES, "run", NOW).backfill(source, DAYS[-1], lambda *_: None))

    def ask(self, source: SceneSource, day: date = DAYS[0]) -> Answer:
        return ask(self.engine, self.store, source, 1, day, NOW)

    def through(self, source: SceneSource, day: date = DAYS[0], now: datetime = NOW) -> None:
        """Close the days until one, each of which was asked for."""
        list(Closer(self.engine, self.store, 1, DEADLINES, "run", now, source=lambda: source).through(day))

    def replay(self, source: SceneSource, now: datetime = NOW) -> None:
        processor = Processor(self.engine, self.store, source=lambda: source)
        list(replay(processor, self.engine, 1, DEADLINES, "run", now))

    def correct(self, source: SceneSource, day: date) -> None:
        self.ask(source, day)
        self.replay(source)

    def days(self, days: list[date] = DAYS) -> list[pa.Table]:
        with read_transaction(self.engine) as connection:
            published = published_days(connection, 1, days[0], days[-1])
        return [published.rows(ResultObjects(self.store), day) for day in days]

    def canonical(self, days: list[date] = DAYS) -> list[bytes]:
        return [encode(rows) for rows in self.days(days)]


def of_day(day: date) -> tuple[str, str, dict[str, Raster]]:
    """Id, time and pixels of a day's item."""
    return f"S2B_T33TVL_{day:%Y%m%d}T101243_L2A", f"{day}T10:12:43Z", pixels(day.day)
