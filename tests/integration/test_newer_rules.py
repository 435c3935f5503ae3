"""Rules of reading that are newer than a day's answer: the day is read once more, and revised where pixels differ."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.pipeline.ingest_day import ask, news
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import AreaOfInterest, Listing
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine

from tests.unit.geotiffs import AOI, NAME, NOW, PLAIN, full, write

DAY = date(2016, 1, 7)


class Former(FolderSource):
    """The folder as it was listed before there were newer rules."""

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        found = super().list(aoi, first, last, now).acquisitions
        return Listing({day: [replace(item, reading="") for item in items] for day, items in found.items()})


@pytest.fixture
def store(sqlite_engine: Engine, tmp_path: Path) -> ObjectStore:
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", AOI.bounds, AOI.grid, DAY, None, CURRENT, NOW)
    return ObjectStore(str(tmp_path / "store"))


def test_a_day_that_newer_rules_may_change_is_read_once_more_and_keeps_its_scene(
    sqlite_engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    write(tmp_path / "scenes" / NAME)  # no zero in it
    source = FolderSource(tmp_path / "scenes")
    before = ask(sqlite_engine, store, Former(tmp_path / "scenes"), 1, DAY, NOW)

    found = news(sqlite_engine, source, 1, AOI, DAY, DAY, NOW)
    after = ask(sqlite_engine, store, source, 1, DAY, NOW)

    assert list(found) == [DAY]
    assert not after.new
    assert (after.scene_digest, after.object_key) == (before.scene_digest, before.object_key)
    assert news(sqlite_engine, source, 1, AOI, DAY, DAY, NOW) == {}


def test_a_day_without_such_files_is_no_news(sqlite_engine: Engine, store: ObjectStore, tmp_path: Path) -> None:
    write(tmp_path / "scenes" / NAME, PLAIN | {"scl": full(4)}, scale={"red": 1e-4, "nir": 1e-4}, nodata=0)
    source = FolderSource(tmp_path / "scenes")
    ask(sqlite_engine, store, source, 1, DAY, NOW)
    ((item,),) = source.list(AOI, DAY, DAY, NOW).acquisitions.values()

    with read_transaction(sqlite_engine) as connection:
        row = ledger.region_day(connection, 1, DAY)

    assert row is not None
    assert row.listing == hashlib.sha256(json.dumps([[item.item_id, item.digest]]).encode()).hexdigest()  # as ever


def test_a_second_delivery_of_a_pass_and_tile_is_named_in_the_answer(
    sqlite_engine: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    for name in ("2016-01-07T101243.tif", "2016-01-07T101244.tif"):
        write(tmp_path / "scenes" / name, nodata=0)
    source = FolderSource(tmp_path / "scenes")
    ask(sqlite_engine, store, source, 1, DAY, NOW)
    (items,) = source.list(AOI, DAY, DAY, NOW).acquisitions.values()
    former = hashlib.sha256(json.dumps(sorted([item.item_id, item.digest] for item in items)).encode()).hexdigest()
    with write_transaction(sqlite_engine) as connection:
        ledger.set_day(connection, 1, DAY, listing=former)

    assert list(news(sqlite_engine, source, 1, AOI, DAY, DAY, NOW)) == [DAY]
