"""Imagery that comes in pieces, twice, late, on another grid or not as it seems: what the rows say of it in the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from satcommon.audit.audit import audit
from satcommon.db import fields, missed_days, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import solar_day
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects, encode
from satcommon.publication.reader import PublishedDays, published_days
from satcommon.raster.layers import PixelClass
from satcommon.settings import Scenario
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.storage.object_store import ObjectStore
from shapely import Polygon, box, transform
from sqlalchemy import Engine

pytestmark = pytest.mark.slow  # whole seasons

DEADLINES = Deadlines(36.0, 30)
LATER = timedelta(days=20)  # within the lateness
HOUR = timedelta(hours=1)
# Parts of the region, from 0 in the west and south to 1 in the east and north.
SHAPES = {"west": (0.02, 0.18), "across": (0.2, 0.75), "east": (0.87, 0.98)}
MIDDLE = {"middle": (0.45, 0.55), "west": (0.02, 0.18)}


def region(west: float, south: float, side: float = 0.1, resolution_m: float = 100.0) -> AreaOfInterest:
    bounds = Bounds(west, south, west + side, south + side)
    return AreaOfInterest("A", bounds, Grid.utm(bounds, resolution_m))


IOWA = region(-94.0, 42.0)


def clear_day(aoi: AreaOfInterest, first: date = date(2026, 6, 25)) -> date:
    """The first day from then on without a cloud."""
    days = (first + timedelta(days=n) for n in range(100))
    return next(day for day in days if (shows(aoi, day) == PixelClass.CLEAR).all())


def shows(aoi: AreaOfInterest, day: date, source: SimulatedSource | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    source = source or SimulatedSource()
    [item] = source.list(aoi, day, day, midnight(day) + LATER).acquisitions[day]
    return source.read(aoi, item).classes


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Farm:
    """A region with its fields on a ledger of its own, monitored from first to last."""

    def __init__(
        self, engine: Engine, folder: Path, source: SimulatedSource, aoi: AreaOfInterest, first: date, last: date
    ) -> None:
        self.engine, self.store, self.source, self.aoi = engine, ObjectStore(str(folder)), source, aoi
        self.first, self.last = first, last
        with write_transaction(engine) as connection:
            registry.add_region(connection, aoi.name, aoi.bounds, aoi.grid, first, last, CURRENT, midnight(first))

    def add(self, shapes: dict[str, Polygon]) -> Farm:
        new = [fields.NewField(name, name, shape, self.first) for name, shape in shapes.items()]
        with write_transaction(self.engine) as connection:
            fields.register_fields(connection, new, midnight(self.first))
        return self

    def add_parts(self, parts: dict[str, tuple[float, float]]) -> Farm:
        west, south, east, north = self.aoi.bounds
        across, up = east - west, north - south
        return self.add(
            {
                name: box(west + first * across, south + 0.4 * up, west + last * across, south + 0.6 * up)
                for name, (first, last) in parts.items()
            }
        )

    def close(self, now: datetime | None = None) -> Farm:
        """The whole history, at a time; long after by default."""
        closer = Closer(self.engine, self.store, 1, DEADLINES, "run", now or midnight(self.last) + LATER)
        list(closer.backfill(self.source, self.last, lambda *_: None))
        assert list(self.published().layers) == [
            self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)
        ]
        return self

    def ask(self, day: date, now: datetime | None = None) -> bool:
        """Whether the answer is news."""
        return ask(self.engine, self.store, self.source, 1, day, now or midnight(self.last) + LATER).new

    def drain(self) -> Farm:
        now = midnight(self.last) + LATER
        list(replay(Processor(self.engine, self.store), self.engine, 1, DEADLINES, "run", now))
        with read_transaction(self.engine) as connection:
            report = audit(self.engine, self.store, registry.region(connection, "A"), lambda: None)
        assert report.clean, report.problems
        assert report.missed == 0
        return self

    def published(self) -> PublishedDays:
        with read_transaction(self.engine) as connection:
            return published_days(connection, 1, self.first, self.last)

    def rows(self, day: date) -> dict[str, dict[str, Any]]:
        rows = self.published().rows(ResultObjects(self.store), day)
        return {row["field"]: row for row in rows.to_pylist()}

    def canonical(self) -> dict[date, bytes]:
        """The canonical bytes of each day."""
        days, objects = self.published(), ResultObjects(self.store)
        return {day: encode(days.rows(objects, day)) for day in days.layers}

    def causes(self) -> set[tuple[date, str]]:
        """Days and causes of the open misses."""
        with read_transaction(self.engine) as connection:
            return {(row.date_missed, row.cause) for row in missed_days.misses(connection, 1, self.first, self.last)}


MakeFarm = Callable[..., Farm]


@pytest.fixture
def make(sqlite_template: Path, tmp_path: Path) -> Iterator[MakeFarm]:
    """Makes a farm: its source, then the place, and the first and the last day."""
    engines = []

    def made(source: SimulatedSource, aoi: AreaOfInterest, first: date, last: date | None = None) -> Farm:
        home = tmp_path / uuid4().hex
        home.mkdir()
        shutil.copyfile(sqlite_template, home / "satfields.db")
        engines.append(open_engine(f"sqlite:///{home / 'satfields.db'}"))
        return Farm(engines[-1], home / "store", source, aoi, first, last or first)

    yield made
    for engine in engines:
        engine.dispose()


def scenarioy(*scenarios: Scenario, days: str = "*/*") -> SimulatedSource:
    return SimulatedSource(scenarios={days: frozenset(scenarios)})


def items(row: dict[str, Any]) -> list[str]:
    """What an item's id ends in, after the day; empty where the field was not seen."""
    return [item.removeprefix(f"SIM_A_{row['day']:%Y%m%d}") for item in json.loads(row["item_ids"] or "[]")]


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """The row without what its numbers came from."""
    return {name: value for name, value in row.items() if name not in ("item_ids", "sensed_at", "scene_digest")}


def test_a_swath_edge_leaves_fields_whole_cut_or_outside(make: MakeFarm) -> None:
    day = clear_day(IOWA)

    rows = make(scenarioy(Scenario.SWATH_EDGE), IOWA, day).add_parts(SHAPES).close().rows(day)

    tidy = make(SimulatedSource(), IOWA, day).add_parts(SHAPES).close().rows(day)
    assert numbers(rows["west"]) == numbers(tidy["west"])
    assert 0.05 < rows["across"]["observed_fraction"] < 0.95
    assert rows["across"]["clear_fraction"] == 1  # of what was observed
    assert rows["across"]["status"] == "swath_edge"
    assert rows["across"]["ndvi_mean"] != tidy["across"]["ndvi_mean"]
    east = rows["east"]
    assert (east["status"], east["observed_fraction"], east["item_ids"]) == ("outside_swath", 0, None)
    assert east["ndvi_mean"] is None
    assert east["ndvi_smoothed_e4"] is None


def test_a_late_tile_makes_rows_as_if_both_had_come_on_time(make: MakeFarm) -> None:
    day = clear_day(IOWA)
    first, last = day - timedelta(days=1), day + timedelta(days=5)
    late = replace(scenarioy(Scenario.LATE_TILE, days=f"A/{day}"), late_hours=15 * 24)
    farm = make(late, IOWA, first, last).add_parts(SHAPES).close(midnight(last) + 30 * HOUR)
    before = farm.rows(day)

    assert farm.ask(day)
    causes = farm.causes()
    farm.drain()

    on_time = make(scenarioy(Scenario.TILES, days=f"A/{day}"), IOWA, first, last).add_parts(SHAPES).close()
    assert [before[name]["status"] for name in SHAPES] == ["clear", "swath_edge", "outside_swath"]
    assert causes == {(day, "revised_scene")}
    assert farm.canonical() == on_time.canonical()
    rows = farm.rows(day)
    assert [items(rows[name]) for name in SHAPES] == [["_W"], ["_E", "_W"], ["_E"]]
    assert {row["status"] for row in rows.values()} == {"clear"}


def test_a_newer_baseline_replaces_the_older_in_whatever_order_they_come(make: MakeFarm, tmp_path: Path) -> None:
    day = clear_day(IOWA)
    held = tmp_path / "held"
    held.mkdir()
    source = replace(scenarioy(Scenario.REPROCESSED), late_hours=15 * 24)
    tidy = make(SimulatedSource(), IOWA, day).add_parts(SHAPES).close()

    older_first = make(source, IOWA, day).add_parts(SHAPES).close(midnight(day) + 48 * HOUR)
    by_older = older_first.rows(day)
    assert older_first.ask(day)
    older_first.drain()
    (held / f"SIM_A_{day:%Y%m%d}").touch()
    newer_first = make(replace(source, held=held), IOWA, day).add_parts(SHAPES).close()
    shutil.rmtree(held)
    assert not newer_first.ask(day)
    newer_first.drain()

    assert older_first.canonical() == newer_first.canonical()
    for name, row in older_first.rows(day).items():
        assert (items(by_older[name]), items(row)) == ([""], ["_N2"])
        assert numbers(row) == numbers(tidy.rows(day)[name])
        # Harmonised, the offset of 0.1 between the files is gone; what reprocessing changed remains.
        assert by_older[name]["nir_mean"] - row["nir_mean"] == pytest.approx(0.0008, abs=1e-12)
        assert 1e-5 < abs(by_older[name]["ndvi_mean"] - row["ndvi_mean"]) < 0.005


def test_a_region_across_utm_zones_has_rows_as_if_all_had_come_on_its_own_grid(make: MakeFarm) -> None:
    aoi = region(-96.06, 42.0, resolution_m=50.0)
    day = clear_day(aoi)

    rows = make(scenarioy(Scenario.TILES), aoi, day).add_parts(SHAPES).close().rows(day)

    tidy = make(SimulatedSource(), aoi, day).add_parts(SHAPES).close().rows(day)
    assert aoi.grid.crs == "EPSG:32614"
    assert [items(rows[name]) for name in SHAPES] == [["_W"], ["_E", "_W"], ["_E"]]
    assert numbers(rows["west"]) == numbers(tidy["west"])
    for name in ("across", "east"):
        assert rows[name]["observed_fraction"] == 1
        assert rows[name]["ndvi_mean"] != tidy[name]["ndvi_mean"]
        assert rows[name]["ndvi_mean"] == pytest.approx(tidy[name]["ndvi_mean"], abs=0.01)
        assert rows[name]["lst_c_mean"] == pytest.approx(tidy[name]["lst_c_mean"], abs=0.2)


def test_snow_hides_a_field_without_being_cloud_and_feeds_no_state(make: MakeFarm) -> None:
    source = scenarioy(Scenario.SNOW)
    days = (date(2026, 1, 1) + timedelta(days=n) for n in range(59))
    middle = slice(IOWA.grid.height // 3, -IOWA.grid.height // 3), slice(IOWA.grid.width // 3, -IOWA.grid.width // 3)
    snowed_in = next(day for day in days if (shows(IOWA, day, source)[middle] == PixelClass.SNOW).all())

    row = make(source, IOWA, snowed_in).add_parts(MIDDLE).close().rows(snowed_in)["middle"]

    tidy = make(SimulatedSource(), IOWA, snowed_in).add_parts(MIDDLE).close().rows(snowed_in)["middle"]
    assert (row["status"], row["observed_fraction"], row["clear_fraction"]) == ("hidden", 1, 0)
    assert (row["cloud_fraction"], row["shadow_fraction"]) == (0, 0)
    assert row["ndvi_mean"] is None
    assert row["ndvi_smoothed_e4"] is None
    assert tidy["status"] == "clear"


def test_what_is_seen_of_a_field_is_clear_cloud_shadow_or_snow(make: MakeFarm) -> None:
    first, days = date(2026, 2, 10), 20
    farm = make(scenarioy(Scenario.SNOW), IOWA, first, first + timedelta(days=days - 1))
    farm.add({"everything": box(*IOWA.bounds)}).close()

    rows = [row for n in range(days) for row in farm.rows(first + timedelta(days=n)).values()]
    known = [row["clear_fraction"] + row["cloud_fraction"] + row["shadow_fraction"] for row in rows]

    assert all(0 <= part <= 1 + 1e-12 for part in known)
    assert any(part < 0.9 for part in known)  # the rest is snow
    assert any(row["shadow_fraction"] > 0.05 for row in rows)
    assert any(row["cloud_fraction"] > 0.9 for row in rows)


def test_an_undetected_cloud_is_forgotten_after_as_many_clear_views_as_the_kernel_has(make: MakeFarm) -> None:
    day = clear_day(IOWA)
    first, last = day - timedelta(days=3), day + timedelta(days=30)

    fooled = make(scenarioy(Scenario.UNDETECTED_CLOUD, days=f"A/{day}"), IOWA, first, last).add_parts(MIDDLE).close()

    tidy = make(SimulatedSource(), IOWA, first, last).add_parts(MIDDLE).close()
    row, truth = fooled.rows(day)["middle"], tidy.rows(day)["middle"]
    assert row["status"] == truth["status"] == "clear"
    assert truth["ndvi_mean"] - row["ndvi_mean"] > 0.4
    views, forgotten = 0, 0
    for n in range((last - first).days + 1):
        row, truth = (farm.rows(first + timedelta(days=n))["middle"] for farm in (fooled, tidy))
        views += row["day"] >= day and row["status"] in ("clear", "partial", "swath_edge")
        remembered = 0 < views <= algorithm(CURRENT).kernel_size
        forgotten += views > 0 and not remembered
        assert (row["ndvi_smoothed_e4"] != truth["ndvi_smoothed_e4"]) == remembered
        assert (row["ndvi_integral_e4"] != truth["ndvi_integral_e4"]) == (views > 0)
        west, same = (farm.rows(first + timedelta(days=n))["west"] for farm in (fooled, tidy))
        assert numbers(west) == numbers(same)
    assert forgotten > 3


def test_two_passes_an_orbit_apart_make_one_day_and_each_field_tells_its_own(make: MakeFarm) -> None:
    day = clear_day(IOWA)

    rows = make(scenarioy(Scenario.TWO_PASSES), IOWA, day).add_parts(SHAPES).close().rows(day)

    tidy = make(SimulatedSource(), IOWA, day).add_parts(SHAPES).close().rows(day)
    assert [items(rows[name]) for name in SHAPES] == [["_O2"], ["", "_O2"], [""]]
    apart = {name: rows[name]["sensed_at"] - tidy[name]["sensed_at"] for name in SHAPES}
    assert apart == {"west": timedelta(minutes=100), "across": timedelta(0), "east": timedelta(0)}
    assert {name: numbers(row) for name, row in rows.items()} == {name: numbers(row) for name, row in tidy.items()}


def test_sensings_on_either_side_of_midnight_utc_make_the_row_of_one_solar_day(make: MakeFarm) -> None:
    aoi, first = region(151.95, -32.0), date(2026, 5, 1)
    source = replace(scenarioy(Scenario.TILES), overpass=time(10, 8))

    farm = make(source, aoi, first, first + timedelta(days=2)).add_parts(SHAPES).close()

    for day in farm.published().layers:
        rows = farm.rows(day)
        assert rows["east"]["sensed_at"] == midnight(day) - timedelta(minutes=2)
        assert rows["west"]["sensed_at"] == midnight(day) + timedelta(minutes=2)
        assert {solar_day(row["sensed_at"], aoi.bounds) for row in rows.values()} == {day}
        assert [items(rows[name]) for name in SHAPES] == [["_W"], ["_E", "_W"], ["_E"]]
        assert {row["observed_fraction"] for row in rows.values()} == {1}


def test_two_platforms_are_never_mixed_within_a_field(make: MakeFarm, tmp_path: Path) -> None:
    day = clear_day(IOWA)

    farm = make(scenarioy(Scenario.TWO_PLATFORMS), IOWA, day).add_parts(SHAPES).close()

    (tmp_path / f"SIM_A_{day:%Y%m%d}").touch()
    alone = make(replace(farm.source, held=tmp_path), IOWA, day).add_parts(SHAPES).close()
    rows = farm.rows(day)
    # The first platform sees all of "west" and a part of "across"; the second sees more of the region.
    assert [rows[name]["status"] for name in SHAPES] == ["outside_swath", "swath_edge", "clear"]
    assert [items(rows[name]) for name in SHAPES] == [[], ["_S2"], ["_S2"]]
    assert farm.canonical() == alone.canonical()


def test_fields_of_less_than_two_cells_are_too_small_and_feed_no_state(make: MakeFarm) -> None:
    day, size = clear_day(IOWA), IOWA.grid.xres
    to_degrees = Transformer.from_crs(IOWA.grid.crs, "EPSG:4326", always_xy=True)
    left, top = IOWA.grid.left + 40 * size, IOWA.grid.top - 40 * size

    def field(width: float, height: float, right: float, down: float = 0) -> Polygon:
        x, y = left + right * size, top - down * size
        return transform(box(x, y - height * size, x + width * size, y), to_degrees.transform, interleaved=False)

    farm = make(SimulatedSource(), IOWA, day).add(
        {
            "within a cell": field(0.4, 0.5, 0.2, 0.2),
            "where four meet": field(0.5, 0.5, 5.75, 0.75),
            "a cell": field(1, 1, 10),
            "nearly two cells": field(1.99, 1, 15),
            "two cells": field(2.01, 1, 20),
        }
    )

    rows = farm.close().rows(day)

    assert {name: row["status"] for name, row in rows.items()} == {
        "within a cell": "too_small",
        "where four meet": "too_small",
        "a cell": "too_small",
        "nearly two cells": "too_small",
        "two cells": "clear",
    }
    assert (rows["within a cell"]["cell_count"], rows["where four meet"]["cell_count"]) == (1, 4)
    for name, row in rows.items():
        assert row["observed_fraction"] == 1
        assert (row["ndvi_smoothed_e4"] is None) == (name != "two cells")


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_in_whatever_order_the_pieces_of_a_day_come_the_rows_end_the_same(
    make: MakeFarm, tmp_path: Path, data: st.DataObject
) -> None:
    aoi = region(-96.03, 42.0, side=0.05, resolution_m=200.0)
    day, held = date(2026, 7, 1), tmp_path / uuid4().hex
    source = scenarioy(Scenario.LATE_TILE, Scenario.REPROCESSED, Scenario.TWO_PASSES, days=f"A/{day}")
    listed = source.list(aoi, day, day, midnight(day) + LATER).acquisitions[day]
    order = data.draw(st.permutations([item.item_id for item in listed]))
    held.mkdir()
    for item_id in order[1:]:
        (held / item_id).touch()
    last = day + timedelta(days=2)

    farm = make(replace(source, held=held), aoi, day, last).add_parts(SHAPES).close()
    for item_id in order[1:]:
        (held / item_id).unlink()
        farm.ask(day)
        if data.draw(st.booleans()):
            farm.drain()
    farm.drain()

    assert len(order) == 8
    assert farm.canonical() == make(source, aoi, day, last).add_parts(SHAPES).close().canonical()
