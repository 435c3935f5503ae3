"""A small world: two regions side by side, a few fields, eight days, a satellite whose every answer is set by hand.

Scenes are pure functions of region, day and version. `World` applies events to the ledger through the library's own
functions and keeps what it did as plain facts, in which each row can be told without the library: expected days are
decided day by day, the state is plain integers. `check` compares with that after every step.

`Realtime` and `Replay` are runs in single steps, so that other things happen between them.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import shapely
from satcommon import algorithm as algorithms
from satcommon import processing, replay, results
from satcommon.algorithm import CURRENT
from satcommon.audit import audit
from satcommon.closable import closable_days
from satcommon.closing import Closer
from satcommon.coverage import CoverageCache
from satcommon.db import fields, registry
from satcommon.db.engine import open_engine, reading, writing
from satcommon.db.models import Base, Field, Miss, Region, RegionDay, Registry, Withdrawal
from satcommon.deadlines import Deadlines
from satcommon.errors import SceneError
from satcommon.geometry import area_ha, digest, overlaps
from satcommon.grid import Bounds, Grid
from satcommon.objects import ObjectStore
from satcommon.observation import NO_OVERPASS, NO_SCENE, SceneInput, Subject, Work, observe
from satcommon.planning import backlog
from satcommon.processing import Outcome, Processor
from satcommon.reading import read
from satcommon.scenes import cog
from satcommon.scenes.arrival import ask
from satcommon.scenes.layers import BANDS, Layers, PixelClass
from satcommon.scenes.source import Acquisition, Due, Listing, Place
from satcommon.scenes.unite import unite
from sqlalchemy import BindParameter, Engine, bindparam, delete, insert, make_url, select

FIRST_DAY = date(2026, 4, 1)
DAYS = 8
DEADLINES = Deadlines(deadline_hours=36, lateness_days=3)
START = datetime(2026, 4, 1, 6, tzinfo=UTC)
THE_END = datetime(2026, 4, 20, tzinfo=UTC)  # all deadlines and all allowed lateness are over


def day(number: int) -> date:
    """The day of a number; 1 is the first that regions are monitored on by default."""
    return FIRST_DAY + timedelta(days=number - 1)


# --- the algorithm -------------------------------------------------------------------------------------------------

OTHER_VERSION = "2"


@contextmanager
def with_other_version() -> Iterator[None]:
    """Version 2 sees through thin cloud, and its kernel is shorter: its rows hold states of another shape."""
    first = algorithms._ALGORITHMS[CURRENT]
    clear = (PixelClass.CLEAR, PixelClass.THIN_CLOUD)
    second = replace(first, version=OTHER_VERSION, clear_classes=clear, kernel_size=2)
    algorithms._ALGORITHMS[OTHER_VERSION] = second
    try:
        yield
    finally:
        del algorithms._ALGORITHMS[OTHER_VERSION]


# --- places --------------------------------------------------------------------------------------------------------

CELL_M = 100.0
_WEST, _SOUTH, _WIDTH, _HEIGHT = -94.62, 40.50, 0.0141, 0.0108  # 12 x 12 cells
_BOUNDS = {
    "west": Bounds(_WEST, _SOUTH, _WEST + _WIDTH, _SOUTH + _HEIGHT),
    "east": Bounds(_WEST + _WIDTH, _SOUTH, _WEST + 2 * _WIDTH, _SOUTH + _HEIGHT),
}
PLACES = {name: Place(name, bounds, Grid.utm(bounds, CELL_M)) for name, bounds in _BOUNDS.items()}
REGIONS = tuple(PLACES)


def rectangle(left: float, right: float, bottom: float, top: float) -> shapely.Polygon:
    """A polygon, in widths of the western region from its south-west corner."""
    return shapely.box(_WEST + left * _WIDTH, _SOUTH + bottom * _HEIGHT, _WEST + right * _WIDTH, _SOUTH + top * _HEIGHT)


POLYGONS = (
    rectangle(0.10, 0.40, 0.10, 0.40),  # in the west
    rectangle(0.15, 0.45, 0.10, 0.40),  # a correction of it
    rectangle(0.80, 1.20, 0.50, 0.80),  # in both
    rectangle(1.30, 1.60, 0.10, 0.40),  # in the east
    rectangle(0.60, 0.90, 0.50, 0.85),  # in the west, another half
)
FIELDS = ("f1", "f2", "f3")


def _inside_fractions() -> dict[tuple[int, str], float]:
    found = overlaps(POLYGONS, [PLACES[name].bounds for name in REGIONS])
    return {(o.geometry, REGIONS[o.region]): min(1.0, o.area_ha / area_ha(POLYGONS[o.geometry])) for o in found}


INSIDE = _inside_fractions()
DIGESTS = [digest(polygon) for polygon in POLYGONS]


# --- the satellite -------------------------------------------------------------------------------------------------

DELIVERIES = {
    "none": (),
    "first": (("1", "a"),),
    "other": (("1", "b"),),  # the same item with other content, in a part of the region
    "cloudy": (("1", "c"),),
    "reprocessed": (("1", "a"), ("2", "a")),  # a newer baseline beside the old one, of the same pixels
    "replaced": (("2", "b"),),  # a newer baseline instead of the old one
}
"""What a source has for a day: items as (baseline, version of the pixels)."""

_layers: dict[tuple[str, date, str], Layers] = {}


def pixels(place: Place, on: date, version: str) -> Layers:
    """Made-up fields: a pattern of its own each day; version b differs in the eastern half, c is all cloud."""
    key = (place.name, on, version)
    if key not in _layers:
        rows, columns = np.mgrid[0 : place.grid.height, 0 : place.grid.width]
        seed = on.toordinal() * 7 + len(place.name)
        changed = (columns >= place.grid.width // 2) & (version == "b")
        bands = {
            band: (2000 + 37 * i + (rows * 53 + columns * 29 + seed * 61) % (700 + 90 * i) + 400 * changed).astype(
                np.uint16
            )
            for i, band in enumerate(BANDS)
        }
        classes = np.full(rows.shape, PixelClass.CLEAR, np.uint8)
        classes[(rows + columns + seed) % 5 == 0] = PixelClass.THIN_CLOUD
        if seed % 3 == 0:
            classes[:, : place.grid.width // 3] = PixelClass.CLOUD
        if version == "c":
            classes[:] = PixelClass.CLOUD
        _layers[key] = Layers(bands, classes)
    return _layers[key]


class Satellite:
    """A source whose calendar and deliveries are set by hand."""

    collection = "imagery"

    def __init__(self) -> None:
        self.calendar: dict[tuple[str, date], Due] = {}
        self.deliveries: dict[tuple[str, date], str] = {}

    def lattice(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002  # the protocol's signature
        return None

    def due(self, place: Place, day: date) -> Due:
        return self.calendar.get((place.name, day), Due.DUE)

    def list(self, place: Place, first: date, last: date, now: datetime) -> Listing:  # noqa: ARG002  # likewise
        days = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
        return Listing({d: items for d in days if (items := self._items(place, d))})

    def read(self, place: Place, acquisition: Acquisition) -> Layers:
        on, version = acquisition.digest.split("/")
        return pixels(place, date.fromisoformat(on), version)

    def _items(self, place: Place, on: date) -> list[Acquisition]:
        sensed = datetime.combine(on, time(16, 48), UTC)
        return [
            Acquisition(
                f"{place.name}-{on}-{baseline}", f"{on}/{version}", "test", f"{on}", "", baseline, sensed, sensed
            )
            for baseline, version in DELIVERIES[self.deliveries.get((place.name, on), "none")]
        ]


# --- what is true --------------------------------------------------------------------------------------------------


@dataclass
class FieldFacts:
    """What was said of a field, in the order in which it was said."""

    planting: date
    end: date | None
    said: list[tuple[str, date, int | None]]  # (kind, from the day on, polygon)

    def expected(self, region: str, on: date) -> int | None:
        """The polygon with which the field is expected; None where it is not."""
        if on < self.planting or (self.end is not None and on > self.end):
            return None
        polygons = [p for kind, since, p in self.said if self._since(kind, since) <= on and p is not None]
        activity = [kind for kind, since, p in self.said if since <= on and kind in ("on", "off")]
        if not polygons or (polygons[-1], region) not in INSIDE or activity[-1:] != ["on"]:
            return None
        return polygons[-1]

    def _since(self, kind: str, since: date) -> date:
        """A correction is of a whole season, also when its planting is moved to an earlier day afterwards."""
        of_season = kind == "corrected" and self.planting < since <= (self.end or date.max)
        return self.planting if of_season else since


@dataclass
class RegionFacts:
    """What is monitored, and by which algorithm."""

    first: date = FIRST_DAY
    last: date | None = FIRST_DAY + timedelta(days=DAYS - 1)
    version: str = CURRENT
    scenes: dict[date, SceneInput] = field(default_factory=dict)  # as the ledger was told
    due: dict[date, Due] = field(default_factory=dict)

    def scene(self, on: date) -> SceneInput:
        nothing = NO_SCENE if self.due.get(on) is Due.DUE else NO_OVERPASS
        return self.scenes.get(on, SceneInput(nothing))


Row = dict[str, Any]


class Oracle:
    """Tells the true rows. Observations are the library's, of one field at a time, remembered for all worlds."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._observations: dict[tuple[Any, ...], Row] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self._scenes: dict[tuple[str, date, str], SceneInput | None] = {}
        rules = algorithms.algorithm(CURRENT)
        self.coverages = {
            name: CoverageCache(store, place.grid, rules.coverage_rule, 0.0) for name, place in PLACES.items()
        }
        wkb = dict(zip(DIGESTS, shapely.to_wkb(list(POLYGONS)), strict=True))
        for cache in self.coverages.values():
            cache.get(DIGESTS, lambda digests: {d: wkb[d] for d in digests})

    def scene(self, satellite: Satellite, region: str, on: date) -> SceneInput | None:
        """The scene that a source's delivery makes; its file is put where an ask will look for it."""
        key = (region, on, satellite.deliveries.get((region, on), "none"))
        if key not in self._scenes:
            place = PLACES[region]
            united = unite(satellite, place, satellite._items(place, on))
            if united is None:
                self._scenes[key] = None
            else:
                name = f"scenes/{REGIONS.index(region) + 1}/{on:%Y/%m/%d}-{united.digest}.tif"
                self._store.put(name, cog.encode(united, place.grid, on))
                items = json.dumps([item.item_id for item in united.items])
                self._scenes[key] = SceneInput(united.digest, name, items, united.items[0].sensed_at)
        return self._scenes[key]

    def observation(self, region: str, scene: SceneInput, name: str, polygon: int, version: str) -> Row:
        """What a scene says of a field."""
        key = (region, scene.digest, name, polygon, version)
        if key not in self._observations:
            rules = algorithms.algorithm(version)
            subject = Subject(name, DIGESTS[polygon], INSIDE[polygon, region])
            cache = self.coverages[region]
            seen = observe(scene, [subject], cache, dict, self._store.raster_path, rules, Work())
            [self._observations[key]] = seen.table.to_pylist()
        return self._observations[key]

    def published(self, key: str) -> dict[str, Row]:
        """The rows of an object, by field; objects never change, so each is decoded once."""
        if key not in self._rows:
            self._rows[key] = {row["field"]: row for row in results.read(self._store, key).to_pylist()}
        return self._rows[key]

    def forget(self) -> None:
        """Let go of the objects of worlds that ended."""
        self._rows.clear()


class TrueState:
    """The state in plain integers, written anew from the design's words."""

    def __init__(self, version: str) -> None:
        self._rules = algorithms.algorithm(version)
        self._planting: date | None = None
        self._clear: list[tuple[int, int]] = []  # day number, NDVI in 1e-4; newest first
        self._integral = 0

    def advance(self, on: date, planting: date, observation: Row) -> Row:
        """The columns of the day's row that come of the state."""
        if self._planting != planting:
            self._planting, self._clear, self._integral = planting, [], 0
        size = self._rules.kernel_size
        if observation["status"] in ("clear", "partial") and observation["ndvi_mean"] is not None:
            self._clear = [(on.toordinal(), round(observation["ndvi_mean"] * 10_000)), *self._clear][:size]
        smoothed = None
        if self._clear:
            newest = self._clear[0][0]
            weights = [round((1 << 20) * math.exp(-(newest - d) / self._rules.kernel_tau_days)) for d, _ in self._clear]
            total = sum(weights)
            smoothed = (2 * sum(w * n for w, (_, n) in zip(weights, self._clear, strict=True)) + total) // (2 * total)
            self._integral += smoothed
        padding = [0] * (size - len(self._clear))
        return {
            "planting_date": planting,
            "days_since_planting": (on - planting).days,
            "days_since_clear": on.toordinal() - self._clear[0][0] if self._clear else None,
            "ndvi_smoothed_e4": smoothed,
            "ndvi_integral_e4": self._integral,
            "state_days": [d for d, _ in self._clear] + padding,
            "state_ndvi_e4": [n for _, n in self._clear] + padding,
        }


# --- ledgers -------------------------------------------------------------------------------------------------------


class Laboratory:
    """Two ledgers, for a world and for the one that it is compared with, and a store; used by one world at a time."""

    def __init__(self, engines: tuple[Engine, Engine], folder: Path) -> None:
        self.engines, self.folder = engines, folder
        self.store = ObjectStore(str(folder))
        self.oracle = Oracle(self.store)
        self.processors = tuple(_processor(engine, self.store, self.oracle) for engine in engines)
        self._worlds = 0

    @classmethod
    @contextmanager
    def on_sqlite(cls, template: Path) -> Iterator[Laboratory]:
        with ExitStack() as stack:
            engines = []
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=fast_folder())))
            for name in ("world", "reference"):
                shutil.copyfile(template, scratch / f"{name}.db")
                engine = open_engine(f"sqlite:///{scratch / name}.db")
                stack.callback(engine.dispose)
                engines.append(engine)
            yield cls((engines[0], engines[1]), scratch / "store")

    @classmethod
    @contextmanager
    def on_postgresql(cls, url: str, template: str) -> Iterator[Laboratory]:
        server = open_engine(url)
        names = [f"world_{uuid4().hex}" for _ in range(2)]
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=fast_folder())))
            engines = []
            for name in names:
                connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
                stack.callback(connection.exec_driver_sql, f"DROP DATABASE {name} WITH (FORCE)")
            for name in names:
                engine = open_engine(make_url(url).set(database=name).render_as_string(hide_password=False))
                stack.callback(engine.dispose)
                engines.append(engine)
            yield cls((engines[0], engines[1]), scratch / "store")
        server.dispose()

    def world(self) -> World:
        """A new world with nothing but its two regions; the one before it ends."""
        self._worlds += 1
        if self._worlds % 50 == 0:
            shutil.rmtree(self.folder / "results", ignore_errors=True)
            self.oracle.forget()
        return self._empty(0)

    def reference(self) -> World:
        """Another world, to be compared with the one there is."""
        return self._empty(1)

    def _empty(self, which: int) -> World:
        engine = self.engines[which]
        with writing(engine) as connection:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name != Registry.__tablename__:
                    connection.execute(delete(table))
        world = World(self, engine, self.processors[which])
        for i, (name, place) in enumerate(PLACES.items()):
            with writing(engine) as connection:
                values = {
                    "bbox_id": i + 1,
                    "name": name,
                    "geometry": shapely.to_wkb(shapely.box(*place.bounds)),
                    "created_at": START,
                    "active": True,
                    "monitored_from": FIRST_DAY,
                    "monitored_until": day(DAYS),
                    "grid": place.grid.to_json(),
                    "algorithm_version": CURRENT,
                }
                connection.execute(insert(Region).values(values))
        return world


def _processor(engine: Engine, store: ObjectStore, oracle: Oracle) -> Processor:
    processor = FailingProcessor(engine, store)
    rule = algorithms.algorithm(CURRENT).coverage_rule
    processor._coverages |= {f"{PLACES[name].grid.digest}/{rule}": cache for name, cache in oracle.coverages.items()}
    return processor


class FailingProcessor(Processor):
    """Fails on scenes by their digests."""

    unreadable: frozenset[str] = frozenset()

    def observe(self, place: Place, scene: SceneInput, *args: Any) -> Any:
        if scene.digest in self.unreadable:
            raise SceneError(f"{place.name}: scene {scene.digest[:8]} can't be read")
        return super().observe(place, scene, *args)


def fast_folder() -> str | None:
    """A folder in memory, where there is one."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


# --- the world -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenMiss:
    """An open miss as the ledger has it."""

    cause: str
    digest: str


# Built once: building a statement takes longer than running it here.
_REGION: BindParameter[int] = bindparam("region")
_CLOSED = (
    select(*RegionDay.__table__.columns)
    .where(RegionDay.bbox_id == _REGION, RegionDay.closed_at.is_not(None))
    .order_by(RegionDay.day)
)
_MISSES = (
    select(Field.external_id, Miss.date_missed, Miss.cause, Miss.digest)
    .join(Field, Field.field_id == Miss.field_id)
    .where(Miss.bbox_id == _REGION, Miss.processed.is_(False))
)
_WITHDRAWALS = (
    select(Field.external_id, Withdrawal.day)
    .join(Field, Field.field_id == Withdrawal.field_id)
    .where(Withdrawal.bbox_id == _REGION)
)


@dataclass
class World:
    """One ledger, and what was done to it."""

    laboratory: Laboratory
    engine: Engine
    processor: Processor
    now: datetime = START
    satellite: Satellite = field(default_factory=Satellite)
    regions: dict[str, RegionFacts] = field(default_factory=lambda: {name: RegionFacts() for name in REGIONS})
    fields: dict[str, FieldFacts] = field(default_factory=dict)
    said: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)  # events of the registry

    @property
    def store(self) -> ObjectStore:
        return self.laboratory.store

    @classmethod
    def of(cls, laboratory: Laboratory, now: datetime) -> World:
        """The world that is there already, for one who knows no facts of it, with a processor of its own."""
        return cls(laboratory, laboratory.engines[0], Processor(laboratory.engines[0], laboratory.store), now)

    # Events of the registry; each is one transaction. All but time is kept, so that another world can be told the same.

    def register(self, name: str, polygon: int, planting: date, end: date | None = None) -> None:
        new = fields.NewField(name, name, POLYGONS[polygon], planting, end)
        with writing(self.engine) as connection:
            fields.register_fields(connection, [new], self.now)
        self.heard_of(name, polygon, planting, end)

    def heard_of(self, name: str, polygon: int, planting: date, end: date | None = None) -> None:
        """Keep as a fact that a field was registered."""
        self.fields[name] = FieldFacts(planting, end, [("on", date.min, polygon)])
        self.said.append(("register", (name, polygon, planting, end)))

    def reshape(self, name: str, polygon: int, changed_from: date | None) -> None:
        with writing(self.engine) as connection:
            fields.revise_geometry(connection, name, POLYGONS[polygon], changed_from, self.now)
        facts = self.fields[name]
        facts.said.append(("changed" if changed_from else "corrected", changed_from or facts.planting, polygon))
        self.said.append(("reshape", (name, polygon, changed_from)))

    def season(self, name: str, planting: date | None, end: date | None) -> None:
        with writing(self.engine) as connection:
            fields.revise_season(connection, name, planting, end, self.now)
        facts = self.fields[name]
        facts.planting, facts.end = planting or facts.planting, end or facts.end
        self.said.append(("season", (name, planting, end)))

    def leaves(self, name: str, since: date) -> None:
        self._activate(name, since, active=False)
        self.said.append(("leaves", (name, since)))

    def comes_back(self, name: str, since: date) -> None:
        self._activate(name, since, active=True)
        self.said.append(("comes_back", (name, since)))

    def _activate(self, name: str, since: date, *, active: bool) -> None:
        with writing(self.engine) as connection:
            fields.activate_field(connection, name, since, self.now, active=active)
        self.fields[name].said.append(("on" if active else "off", since, None))

    def monitor(self, region: str, first: date, last: date | None) -> None:
        with writing(self.engine) as connection:
            registry.monitor_region(connection, self.store, region, first, last, self.now)
        facts = self.regions[region]
        facts.first, facts.last = first, last
        self.said.append(("monitor", (region, first, last)))

    def pin(self, region: str, version: str) -> None:
        with writing(self.engine) as connection:
            registry.pin_algorithm(connection, region, version, self.now)
        self.regions[region].version = version
        self.said.append(("pin", (region, version)))

    # What a satellite does, and what ingest hears of it.

    def deliver(self, region: str, on: date, delivery: str) -> None:
        self.satellite.deliveries[region, on] = delivery

    def owe(self, region: str, on: date, due: Due) -> None:
        self.satellite.calendar[region, on] = due

    def ask(self, region: str, on: date) -> None:
        scene = self.laboratory.oracle.scene(self.satellite, region, on)
        ask(self.engine, self.store, self.satellite, self.bbox_id(region), on, self.now)
        facts = self.regions[region]
        facts.due[on] = self.satellite.due(PLACES[region], on)
        if scene is not None:
            facts.scenes[on] = scene

    def arrives(self, region: str, on: date, delivery: str) -> None:
        """A delivery that ingest hears of at once."""
        self.deliver(region, on, delivery)
        self.ask(region, on)

    # What there is.

    @staticmethod
    def bbox_id(region: str) -> int:
        return REGIONS.index(region) + 1

    def region_row(self, region: str) -> Any:
        with reading(self.engine) as connection:
            return registry.region(connection, region)

    def closed(self, region: str) -> dict[date, Any]:
        """The closed days as the ledger has them."""
        with reading(self.engine) as connection:
            rows = connection.execute(_CLOSED, {"region": self.bbox_id(region)})
            return {row.day: row for row in rows}

    def misses(self, region: str) -> dict[tuple[str, date], OpenMiss]:
        """The open misses."""
        with reading(self.engine) as connection:
            rows = connection.execute(_MISSES, {"region": self.bbox_id(region)})
            return {(row.external_id, row.date_missed): OpenMiss(row.cause.value, row.digest) for row in rows}

    def withdrawals(self, region: str) -> set[tuple[str, date]]:
        """The rows that are to be taken out."""
        with reading(self.engine) as connection:
            rows = connection.execute(_WITHDRAWALS, {"region": self.bbox_id(region)})
            return {(row.external_id, row.day) for row in rows}

    def rows(self, region: str, on: date) -> dict[str, Row]:
        """The published rows of a day, by field."""
        closed = self.closed(region).get(on)
        return self.laboratory.oracle.published(closed.object_key) if closed else {}

    def object_bytes(self, region: str, on: date) -> bytes:
        return self.store.get(self.closed(region)[on].object_key)

    # What must be.

    def expected(self, region: str, on: date) -> dict[str, int]:
        """The fields that are expected on a day, with their polygons."""
        facts = self.regions[region]
        if on < facts.first or (facts.last is not None and on > facts.last):
            return {}
        found = {name: one.expected(region, on) for name, one in self.fields.items()}
        return {name: polygon for name, polygon in found.items() if polygon is not None}

    def true_rows(self, region: str, days: list[date]) -> dict[date, dict[str, Row]]:
        """The rows of days that follow each other, from the first day on that is monitored."""
        facts = self.regions[region]
        states: dict[str, TrueState] = {}
        found: dict[date, dict[str, Row]] = {}
        for on in days:
            expected = self.expected(region, on)
            states = {name: states.get(name) or TrueState(facts.version) for name in expected}
            found[on] = {}
            for name, polygon in expected.items():
                seen = self.laboratory.oracle.observation(region, facts.scene(on), name, polygon, facts.version)
                state = states[name].advance(on, self.fields[name].planting, seen)
                found[on][name] = {"region": region, "day": on} | seen | state
        return found

    def check(self, regions: tuple[str, ...] = REGIONS) -> None:
        """Nothing is lost, what is final is true, and the rest is on the list."""
        for region in regions:
            self._check(region)

    def _check(self, region: str) -> None:
        closed, misses, withdrawn = self.closed(region), self.misses(region), self.withdrawals(region)
        days = list(closed)
        assert all(b - a == timedelta(days=1) for a, b in pairwise(days)), f"{region}: gap in {days}"
        truth = self.true_rows(region, days)
        oracle, facts = self.laboratory.oracle, self.regions[region]
        final = set(self.fields)
        for on in days:
            where = f"{region} {on}"
            rows = oracle.published(closed[on].object_key)
            assert len(rows) == closed[on].row_count, f"{where}: {len(rows)} rows, {closed[on].row_count} in the ledger"
            for name in self.fields:
                row, true, miss = rows.get(name), truth[on].get(name), misses.pop((name, on), None)
                what = f"{where} {name}"
                if true is None:
                    assert miss is None, f"{what}: missed, but not expected"
                    assert row is None or (name, on) in withdrawn, f"{what}: a row that nobody expects or withdraws"
                    continue
                if miss is not None:
                    final.discard(name)
                    continue
                assert row is not None, f"{what}: expected, no row, no miss"
                inputs = (facts.scene(on).digest, DIGESTS[self.expected(region, on)[name]], facts.version)
                has = (row["scene_digest"], row["geometry_digest"], row["algorithm_version"])
                assert has == inputs, f"{what}: a row of other inputs {has} != {inputs}, no miss"
                if name in final:
                    wrong = {c: (row[c], true[c]) for c in true if row[c] != true[c]}
                    assert not wrong, f"{what}: final, and wrong (is, should be): {wrong}"
        assert not misses, f"{region}: misses on days that are not closed: {misses}"

    def audit(self, regions: tuple[str, ...] = REGIONS) -> None:
        """The library's own audit finds nothing."""
        for region in regions:
            report = audit(self.engine, self.store, self.region_row(region), lambda: None)
            assert report.clean, report.problems

    # Work.

    def closer(self, region: str, run_id: str = "run") -> Closer:
        return Closer(self.engine, self.store, self.bbox_id(region), DEADLINES, run_id, self.now)

    def close(self, region: str, until: date = date.max) -> int:
        """Close what can be closed."""
        return sum(1 for _ in self.closer(region).through(until, self.processor))

    def replay(self, region: str) -> list[replay.Replayed]:
        """Drain what can be worked on."""
        found = replay.replay(self.processor, self.engine, self.bbox_id(region), DEADLINES, "run", self.now)
        return list(found)

    def drain(self) -> None:
        """Ask for everything, close everything that can be closed, and replay until nothing is workable."""
        for region in REGIONS:
            self.ask_for_all(region)
            self.close(region)
            self.replay(region)
            with reading(self.engine) as connection:
                left = backlog(connection, self.bbox_id(region), DEADLINES, self.now)
            assert not left.misses, f"{region}: workable, and not worked on: {left.misses}"
            assert not left.withdrawals, f"{region}: rows not taken out: {left.withdrawals}"

    def ask_for_all(self, region: str) -> None:
        facts = self.regions[region]
        first = min([facts.first, *self.closed(region)])
        last = min(facts.last or day(DAYS), day(DAYS))
        for n in range((last - first).days + 1):
            on = first + timedelta(days=n)
            scene = self.laboratory.oracle.scene(self.satellite, region, on)
            heard = on in facts.due and (facts.due[on], facts.scenes.get(on)) == (
                self.satellite.due(PLACES[region], on),
                scene or facts.scenes.get(on),
            )
            if not heard:
                self.ask(region, on)

    def all_is_true(self) -> None:
        """Everything is settled: each object holds the bytes of the true rows, and no more."""
        for region in REGIONS:
            closed = self.closed(region)
            assert not self.misses(region), f"{region}: misses are left"
            assert not self.withdrawals(region), f"{region}: withdrawals are left"
            for on, rows in self.true_rows(region, list(closed)).items():
                table = pa.Table.from_pylist([rows[name] for name in sorted(rows)], schema=results.SCHEMA)
                data = results.encode(table)
                assert results.digest(data) == closed[on].object_digest, f"{region} {on}: the object has other bytes"

    def in_order(self) -> World:
        """A world in which the same facts were there on time: registered first, then day after day."""
        other = self.laboratory.reference()
        other.now = self.now
        for event, values in self.said:
            getattr(other, event)(*values)
        other.satellite = self.satellite
        for region in REGIONS:
            other.ask_for_all(region)
            other.close(region)
        return other


def same_results(one: World, other: World) -> None:
    """Rows and bytes are the same in both, and so is what the ledgers say of them."""
    for region in REGIONS:
        mine, its = one.closed(region), other.closed(region)
        for on in sorted(mine.keys() | its.keys()):
            where = f"{region} {on}"
            rows, true = one.rows(region, on), other.rows(region, on)
            assert rows == true, f"{where}: rows differ"
            if on in mine and on in its:
                assert one.object_bytes(region, on) == other.object_bytes(region, on), f"{where}: bytes differ"
                for column in ("due", "scene_digest", "row_count", "object_digest"):
                    assert getattr(mine[on], column) == getattr(its[on], column), f"{where}: {column} differs"
        assert one.misses(region) == other.misses(region) == {}, f"{region}: misses are left"
        assert one.withdrawals(region) == other.withdrawals(region) == set()


# --- runs in single steps ------------------------------------------------------------------------------------------


@dataclass
class Realtime:
    """A run that closes one day, as `close_day` does: read, compute, put, commit, and again, at most three times."""

    world: World
    region: str
    day: date
    attempt: int = 1
    inputs: Any = None
    computed: Any = None
    stored: Any = None
    ended: str = ""

    @classmethod
    def start(cls, world: World, region: str) -> Realtime | None:
        """A run for the next day that can be closed, after its first step; None where there is none."""
        with reading(world.engine) as connection:
            days = closable_days(connection, registry.region(connection, region), DEADLINES, world.now)
        if not days:
            return None
        run = cls(world, region, days[0].day)
        run.step()
        return run

    def step(self) -> None:
        world = self.world
        if self.inputs is None:
            with reading(world.engine) as connection:
                self.inputs = read(connection, world.bbox_id(self.region), self.day, DEADLINES, world.now)
            if self.inputs is None:
                self.ended = "closed by another"
        elif self.computed is None:
            self.computed = world.processor.compute(self.inputs)
        elif self.stored is None:
            self.stored = world.processor.put(self.inputs, self.computed)
        else:
            self._commit()

    def _commit(self) -> None:
        outcome = processing.commit(
            self.world.engine,
            self.inputs,
            self.computed,
            self.stored,
            DEADLINES,
            "realtime",
            self.world.now,
            last_try=self.attempt == processing.TRIES,
        )
        if outcome is Outcome.START_AGAIN:
            assert self.attempt < processing.TRIES, "the last try did not close the day"
            self.attempt += 1
            self.inputs = self.computed = self.stored = None
            return
        self.ended = outcome.name

    def until(self, step: str) -> Realtime:
        """Go on until the next step is `compute`, `put` or `commit`."""
        waiting = {"compute": self.computed, "put": self.stored}
        while not self.ended and (self.inputs is None or self.next != step):
            self.step()
        assert step in (*waiting, "commit")
        return self

    @property
    def next(self) -> str:
        if self.inputs is None:
            return "read"
        return "compute" if self.computed is None else "put" if self.stored is None else "commit"

    def finish(self) -> str:
        while not self.ended:
            self.step()
        return self.ended


@dataclass
class Replay:
    """A run that replays one chunk: read, compute, put, commit, and again where anything differs."""

    world: World
    region: str
    chunk_days: int = replay.CHUNK_DAYS
    inputs: Any = None
    computed: Any = None
    stored: Any = None
    ended: str = ""
    restarts: int = 0

    @classmethod
    def start(cls, world: World, region: str, chunk_days: int = replay.CHUNK_DAYS) -> Replay | None:
        """A run after its first step; None where there is nothing to do."""
        run = cls(world, region, chunk_days)
        run.step()
        return None if run.ended else run

    def step(self) -> None:
        world = self.world
        if self.inputs is None:
            with reading(world.engine) as connection, _chunks_of(self.chunk_days):
                self.inputs = replay.read(connection, world.bbox_id(self.region), DEADLINES, world.now)
            if self.inputs is None:
                self.ended = "nothing to do"
        elif self.computed is None:
            self.computed = replay.compute(world.processor, self.inputs)
            assert self.computed.steps or self.computed.failed or self.inputs.withdrawn, "misses that nobody expects"
        elif self.stored is None:
            self.stored = replay.put(world.processor, self.inputs, self.computed)
        elif replay.commit(world.engine, self.inputs, self.computed, self.stored, DEADLINES, "replay", world.now):
            self.ended = "COMMITTED"
        else:
            self.restarts += 1
            self.inputs = self.computed = self.stored = None

    next = Realtime.next

    def until(self, step: str) -> Replay:
        """Go on until the next step is `compute`, `put` or `commit`."""
        while not self.ended and self.next != step:
            self.step()
        return self

    def finish(self) -> str:
        while not self.ended:
            self.step()
        return self.ended


@contextmanager
def _chunks_of(days: int) -> Iterator[None]:
    was = replay.CHUNK_DAYS
    replay.CHUNK_DAYS = days
    try:
        yield
    finally:
        replay.CHUNK_DAYS = was


Run = Realtime | Replay
