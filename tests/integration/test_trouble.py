"""Races of sources, unreadable scenes and spoilt objects: nothing is lost, and nobody else is held up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import rasterio
from rasterio.warp import transform as warp
from satcommon.audit.audit import Report, audit
from satcommon.audit.repair import repair
from satcommon.db import fields, ledger, missed_days, publications, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Attempt, Cause, Region
from satcommon.errors import ObjectMissingError, RetryableError, SceneError, StoreError
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import ask, news
from satcommon.pipeline.inputs import read
from satcommon.pipeline.replay import replay
from satcommon.publication import objects
from satcommon.raster.layers import Layers
from satcommon.raster.scene import Acquisition
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine, select, update

BOUNDS = Bounds(14.0, 45.0, 14.05, 45.05)
FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 20, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


@dataclass
class Deliveries:
    """A source that lists what it is told to, with simulated pixels; some items can't be read."""

    items: dict[date, list[Acquisition]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    on_list: Callable[[], None] = lambda: None
    satellite: SimulatedSource = field(default_factory=SimulatedSource)
    collection: str = "imagery"
    identity: str = "by hand"

    def anchor_grid(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002  # the protocol's signature
        return None

    def due(self, aoi: AreaOfInterest, on: date) -> Due:  # noqa: ARG002  # the protocol's signature
        return Due.DUE

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:  # noqa: ARG002  # as above
        found = {on: list(items) for on, items in self.items.items() if first <= on <= last}
        self.on_list()
        return Listing(found)

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        if acquisition.item_id in self.unreadable:
            raise SceneError(f"{acquisition.item_id}: truncated")
        return self.satellite.read(aoi, replace(acquisition, digest=acquisition.digest.partition("/")[0]))

    def deliver(self, aoi: AreaOfInterest, on: date, name: str, baseline: str = "1") -> None:
        [one] = self.satellite.list(aoi, on, on, NOW).acquisitions[on]
        item = replace(one, item_id=name, digest=f"{one.digest}/{name}", baseline=baseline, overpass=name)
        self.items.setdefault(on, []).append(item)


@dataclass
class Farm:
    engine: Engine
    store: ObjectStore
    source: Deliveries
    aoi: AreaOfInterest

    def ask(self, n: int) -> tuple[str, ...]:
        return ask(self.engine, self.store, self.source, 1, day(n), NOW).items

    def close(self, last: date = date.max) -> list[date]:
        closer = Closer(self.engine, self.store, 1, DEADLINES, "run", NOW)
        return [closed.inputs.day for closed in closer.through(last)]

    def replay(self) -> int:
        processor = Processor(self.engine, self.store)
        return sum(len(c.computed.steps) for c in replay(processor, self.engine, 1, DEADLINES, "run", NOW))

    def keys(self, n: int) -> list[str]:
        """The objects that give a day's rows."""
        with read_transaction(self.engine) as connection:
            layers = publications.layers(connection, 1, day(n), day(n))[day(n)]
        return [str(layer.object_key) for layer in layers]

    def key(self, n: int) -> str:
        """The object of a day that has one."""
        [key] = self.keys(n)
        return key

    def audit(self) -> Report:
        with read_transaction(self.engine) as connection:
            region = registry.region(connection, "A")
        return audit(self.engine, self.store, region, lambda: None)

    def problems(self) -> list[str]:
        return self.audit().problems

    def missed(self) -> list[tuple[int, int]]:
        with read_transaction(self.engine) as connection:
            found = missed_days.misses(connection, 1, date.min, date.max)
        return [(m.field_id, (m.date_missed - FIRST).days) for m in found]


@pytest.fixture
def farm(sqlite_engine: Engine, tmp_path: Path) -> Farm:
    grid = Grid.utm(BOUNDS, 200.0)
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", BOUNDS, grid, FIRST, None, "1", NOW - timedelta(days=9))
        shapes = [box(14.01 + i / 50, 45.01, 14.02 + i / 50, 45.03) for i in range(2)]
        new = [fields.NewField(f"f{i}", "f", shape, FIRST) for i, shape in enumerate(shapes, 1)]
        fields.register_fields(connection, new, NOW)
    return Farm(sqlite_engine, ObjectStore(str(tmp_path / "store")), Deliveries(), AreaOfInterest("A", BOUNDS, grid))


def test_of_two_asks_at_once_the_older_listing_does_not_win(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")

    def another_asks_with_a_newer_listing() -> None:
        farm.source.on_list = lambda: None
        farm.source.deliver(farm.aoi, day(0), "b")
        assert farm.ask(0)

    farm.source.on_list = another_asks_with_a_newer_listing
    farm.ask(0)

    with read_transaction(farm.engine) as connection:
        items = {name for name in ("a", "b") if name in ledger.current_scene(connection, 1, day(0)).item_ids}
    assert items <= {"a", "b"}
    assert news(farm.engine, farm.source, 1, farm.aoi, day(0), day(0), NOW) == {}


def test_an_item_that_could_not_be_read_stays_news_until_it_can(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "old")
    farm.source.deliver(farm.aoi, day(0), "new", baseline="2")
    farm.source.items[day(0)] = [replace(item, overpass="one pass") for item in farm.source.items[day(0)]]
    farm.source.unreadable = {"new"}
    assert farm.ask(0) == ("old",)
    assert list(news(farm.engine, farm.source, 1, farm.aoi, day(0), day(0), NOW)) == [day(0)]

    farm.source.unreadable = set()

    assert farm.ask(0) == ("new",)
    assert news(farm.engine, farm.source, 1, farm.aoi, day(0), day(0), NOW) == {}


def test_a_scene_that_was_put_twice_has_two_keys(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")
    put: list[str] = []
    store, farm.store = farm.store, ObjectStore(farm.store.url)
    original = farm.store.put
    farm.store.put = lambda key, data: put.append(key) or original(key, data)  # type: ignore[method-assign,func-returns-value]
    farm.ask(0)
    with write_transaction(farm.engine) as connection:
        ledger.set_day(connection, 1, day(0), listing="another")
    farm.ask(0)

    assert len(set(put)) == 2
    assert store.exists(put[0])


def test_history_goes_on_past_a_scene_that_cant_be_read(farm: Farm) -> None:
    for n in range(4):
        farm.source.deliver(farm.aoi, day(n), f"item {n}")
    farm.source.unreadable = {"item 1"}
    trouble: list[date] = []

    closer = Closer(farm.engine, farm.store, 1, DEADLINES, "run", NOW)
    closed = list(closer.backfill(farm.source, day(3), lambda *_: None, lambda on, _: trouble.append(on)))

    assert [one.inputs.day for one in closed] == [day(n) for n in range(4)]
    assert trouble == [day(1)]
    assert farm.problems() == []


def test_a_scene_that_cant_be_read_holds_up_no_history_of_a_region_that_is_new(farm: Farm) -> None:
    with write_transaction(farm.engine) as connection:
        connection.execute(update(Region).values(created_at=NOW))
    for n in range(3):
        farm.source.deliver(farm.aoi, day(n), f"item {n}")
    farm.source.unreadable = {"item 1"}
    closer = Closer(farm.engine, farm.store, 1, DEADLINES, "run", NOW)

    closed = list(closer.backfill(farm.source, day(2), lambda *_: None))

    assert [one.inputs.day for one in closed] == [day(n) for n in range(3)]
    assert [one.inputs.snapshot.due for one in closed] == [Due.DUE] * 3


def test_what_is_being_written_is_no_answer(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")
    listing = farm.source.list

    def unsettled(aoi, first, last, now):  # type: ignore[no-untyped-def]
        return replace(listing(aoi, first, last, now), acquisitions={}, unsettled=("a.tif",))

    farm.source.list = unsettled  # type: ignore[method-assign]
    with pytest.raises(RetryableError, match=r"a\.tif was being written a moment ago; ask again"):
        farm.ask(0)
    farm.source.list = listing  # type: ignore[method-assign]

    assert farm.ask(0) == ("a",)


def test_a_day_closes_after_three_runs_where_the_object_of_the_day_before_is_gone(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")
    farm.ask(0)
    assert farm.close()[0] == day(0)
    _reopen_all_but_the_first(farm)
    farm.ask(1)
    farm.store.delete(farm.key(0))

    for _ in range(2):
        with pytest.raises(ObjectMissingError):
            farm.close()

    assert farm.close()[0] == day(1)
    assert (1, 1) in farm.missed()


@pytest.mark.parametrize("damage", ["gone", "spoilt"])
def test_a_bad_object_holds_up_no_other_day_and_is_redone(farm: Farm, damage: str) -> None:
    for n in range(5):
        farm.source.deliver(farm.aoi, day(n), f"item {n}")
        farm.ask(n)
    farm.close(day(4))
    good = farm.store.get(farm.key(1))
    with write_transaction(farm.engine) as connection:
        fields.register_fields(
            connection, [fields.NewField("late", "late", box(14.03, 45.04, 14.04, 45.045), FIRST)], NOW
        )
    key = farm.key(1)
    bad = Path(farm.store.file_of(key))
    bad.unlink()
    if damage == "spoilt":
        bad.write_bytes(good[: len(good) // 2])

    farm.replay()

    assert farm.missed() == []
    assert key not in farm.keys(1)
    # What was published before can't be read as it was any more: the audit says so once.
    lost = [f"A {day(1)}..{day(1)}: the object {key} of publication 2 (day) is gone"] if damage == "gone" else []
    assert farm.problems() == lost
    repair(farm.engine, 1, farm.audit(), NOW)
    assert farm.problems() == []
    assert farm.missed() == []


def test_a_store_out_of_reach_is_no_spoilt_scene(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")
    farm.ask(0)
    monkeypatch.setattr(farm.store, "file_of", lambda key: "/nowhere/" + key)

    def out_of_reach(key: str) -> bool:
        raise StoreError("out of reach")

    monkeypatch.setattr(farm.store, "exists", out_of_reach)

    with pytest.raises(StoreError, match="out of reach"):
        farm.close()

    with read_transaction(farm.engine) as connection:
        assert ledger.region_day(connection, 1, day(0)).tries == 0


def test_a_paused_region_closes_nothing(farm: Farm) -> None:
    farm.source.deliver(farm.aoi, day(0), "a")
    farm.ask(0)
    with write_transaction(farm.engine) as connection:
        registry.activate_region(connection, "A", active=False)

    assert farm.close() == []


def _reopen_all_but_the_first(farm: Farm) -> None:
    from satcommon.db.models import Miss, RegionDay
    from sqlalchemy import delete

    with write_transaction(farm.engine) as connection:
        connection.execute(delete(Miss))
        connection.execute(delete(RegionDay).where(RegionDay.day > FIRST))


# --- a field's own trouble -----------------------------------------------------------------------------------------

LARGE = Bounds(14.0, 45.0, 14.2, 45.1)


@pytest.fixture
def tiled(sqlite_engine: Engine, tmp_path: Path) -> Farm:
    """Three fields on tiles of their own, of two days' scenes."""
    grid = Grid.utm(LARGE, 20.0)
    aoi = AreaOfInterest("A", LARGE, grid)
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", LARGE, grid, FIRST, None, "1", NOW - timedelta(days=9))
        shapes = [box(west, 45.05, west + 0.005, 45.053) for west in (14.02, 14.1, 14.18)]
        new = [fields.NewField(f"f{i}", "f", shape, FIRST) for i, shape in enumerate(shapes, 1)]
        fields.register_fields(connection, new, NOW)
    farm = Farm(sqlite_engine, ObjectStore(str(tmp_path / "store")), Deliveries(), aoi)
    for n in range(2):
        farm.source.deliver(aoi, day(n), f"item {n}")
        farm.ask(n)
    return farm


def spoil_the_tile_under(farm: Farm, n: int, longitude: float) -> None:
    """Overwrite the tile of a scene in which the middle of the region at a longitude lies."""
    with read_transaction(farm.engine) as connection:
        path = farm.store.file_of(ledger.current_scene(connection, 1, day(n)).object_key)
    with rasterio.open(path) as scene:
        ((x, y),) = zip(*warp("EPSG:4326", scene.crs, [longitude], [45.0515]), strict=True)
        row, column = scene.index(x, y)
        height, width = scene.block_shapes[0]
        row, column = row // height, column // width
        offset = int(scene.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1))
        size = scene.block_size(1, row, column)
    with Path(str(path)).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def test_a_spoilt_tile_fails_the_fields_on_it_alone(tiled: Farm) -> None:
    spoil_the_tile_under(tiled, 0, 14.1025)
    with read_transaction(tiled.engine) as connection:
        inputs = read(connection, 1, day(0), DEADLINES, NOW)
    assert inputs is not None

    assert tiled.close(day(1)) == [day(0), day(1)]

    assert tiled.missed() == [(2, 0)]
    assert tiled.problems() == []
    with read_transaction(tiled.engine) as connection:
        (miss,) = missed_days.misses(connection, 1, date.min, date.max)
        tried = connection.execute(select(Attempt.field_id, Attempt.error_code).where(Attempt.day == day(0))).all()
    assert miss.cause is Cause.PROCESSING_ERROR
    assert {field_id: error is None for field_id, error in tried} == {1: True, 2: False, 3: True}
    [error] = [error for _, error in tried if error]
    assert "can't be read" in error
    rows = objects.decode(tiled.store.get(tiled.key(0)))
    alone = replace(inputs, fields=(inputs.fields[0], inputs.fields[2]))
    assert rows.equals(Processor(tiled.engine, tiled.store).compute(alone).rows)


def test_a_spoilt_tile_fails_the_fields_on_it_alone_in_a_replay(tiled: Farm) -> None:
    tiled.close(day(1))
    spoil_the_tile_under(tiled, 1, 14.1025)
    with write_transaction(tiled.engine) as connection:
        registry.pin_algorithm(connection, "A", "2", NOW)

    tiled.replay()

    assert tiled.missed() == [(2, 1)]
    assert tiled.problems() == []


def test_what_no_field_can_help_is_the_day_s_trouble(tiled: Farm) -> None:
    with read_transaction(tiled.engine) as connection:
        scene = ledger.current_scene(connection, 1, day(0))
    Path(str(tiled.store.file_of(scene.object_key))).write_bytes(b"II*\0 no more than that")

    for _ in range(2):
        with pytest.raises(SceneError):
            tiled.close()
    assert tiled.close(day(1)) == [day(0), day(1)]

    assert tiled.missed() == [(f, 0) for f in (1, 2, 3)]
