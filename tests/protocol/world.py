"""A small world: two regions side by side, a few fields, eight days, a satellite whose every answer is set by hand.

`World` applies events to the ledger through the library's own functions and keeps what it did as plain facts, from
which `truth` tells each row; `check` compares with that.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import shapely
from satcommon.audit.audit import audit
from satcommon.db import fields, missed_days, registry
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.models import (
    Base,
    Field,
    Miss,
    Publication,
    PublicationDay,
    PublicationKind,
    Region,
    RegionDay,
    Registry,
    Withdrawal,
)
from satcommon.errors import SceneError
from satcommon.pipeline import replay
from satcommon.pipeline.backlog import region_backlog
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import ask
from satcommon.publication import objects
from satcommon.publication.reader import published_days
from satcommon.sources.mosaic import UnreadableDayError
from satcommon.sources.source import AreaOfInterest, Due
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.observation import NOT_ASKED, NOT_TAKEN, SceneInput
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, insert, make_url, select
from truth import (
    AOIS,
    DAYS,
    DEADLINES,
    DIGESTS,
    FIRST_DAY,
    POLYGONS,
    REGIONS,
    REPAIRED,
    START,
    FieldFacts,
    Oracle,
    RegionFacts,
    Row,
    Satellite,
    TrueState,
    another_form,
    day,
)

# --- ledgers -------------------------------------------------------------------------------------------------------


class Laboratory:
    """Two ledgers, for a world and for the one that it is compared with, and a store; used by one world at a time."""

    def __init__(self, engines: tuple[Engine, Engine], store: str) -> None:
        self.engines = engines
        self.store = ObjectStore(store)
        self.oracle = Oracle(self.store)
        self.processors = tuple(_processor(engine, self.store, self.oracle) for engine in engines)
        self._worlds = 0

    @classmethod
    @contextmanager
    def on_sqlite(cls, template: Path) -> Iterator[Laboratory]:
        with ExitStack() as stack:
            engines = []
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name in ("world", "reference"):
                shutil.copyfile(template, scratch / f"{name}.db")
                engine = open_engine(f"sqlite:///{scratch / name}.db")
                stack.callback(engine.dispose)
                engines.append(engine)
            yield cls((engines[0], engines[1]), str(scratch / "store"))

    @classmethod
    @contextmanager
    def on_a_cluster(cls, url: str, template: str, bucket: str) -> Iterator[Laboratory]:
        """On PostgreSQL and S3."""
        server = open_engine(url)
        names = [f"world_{uuid4().hex}" for _ in range(2)]
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, ExitStack() as stack:
            engines = []
            for name in names:
                connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
                stack.callback(connection.exec_driver_sql, f"DROP DATABASE {name} WITH (FORCE)")
            for name in names:
                engine = open_engine(make_url(url).set(database=name).render_as_string(hide_password=False))
                stack.callback(engine.dispose)
                engines.append(engine)
            yield cls((engines[0], engines[1]), bucket)
        server.dispose()

    def world(self) -> World:
        """A new world with nothing but its two regions; the one before it ends."""
        self._worlds += 1
        if self._worlds % 50 == 0:
            for key in (*self.store.list("results/"), *self.store.list("scenes/")):
                self.store.delete(key)
            self.oracle.forget()
        return self._empty(0)

    def reference(self) -> World:
        """Another world, to be compared with the one there is."""
        return self._empty(1)

    def _empty(self, which: int) -> World:
        engine = self.engines[which]
        with write_transaction(engine) as connection:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name != Registry.__tablename__:
                    connection.execute(delete(table))
        self.processors[which].unreadable = frozenset()
        world = World(self, engine, self.processors[which])
        for i, (name, aoi) in enumerate(AOIS.items()):
            with write_transaction(engine) as connection:
                values = {
                    "bbox_id": i + 1,
                    "name": name,
                    "geometry": shapely.to_wkb(shapely.box(*aoi.bounds)),
                    "created_at": START,
                    "active": True,
                    "monitored_from": FIRST_DAY,
                    "monitored_until": day(DAYS),
                    "grid": aoi.grid.to_json(),
                    "algorithm_version": CURRENT,
                }
                connection.execute(insert(Region).values(values))
        return world


def _processor(engine: Engine, store: ObjectStore, oracle: Oracle) -> FailingProcessor:
    processor = FailingProcessor(engine, store)
    processor._coverages |= oracle.coverages
    return processor


class FailingProcessor(Processor):
    """Fails on scenes by their digests."""

    unreadable: frozenset[str] = frozenset()

    def observe(self, aoi: AreaOfInterest, scene: SceneInput, *args: Any) -> Any:
        if scene.digest in self.unreadable:
            raise SceneError(f"{aoi.name}: scene {scene.digest[:8]} can't be read")
        return super().observe(aoi, scene, *args)


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
_PUBLICATIONS = (
    select(PublicationDay.day, Publication.sequence, Publication.kind, Publication.object_key)
    .join(
        Publication,
        (Publication.bbox_id == PublicationDay.bbox_id) & (Publication.sequence == PublicationDay.sequence),
    )
    .where(PublicationDay.bbox_id == _REGION)
    .order_by(Publication.sequence)
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
    processor: FailingProcessor
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
        return cls(laboratory, laboratory.engines[0], FailingProcessor(laboratory.engines[0], laboratory.store), now)

    # Events of the registry; each is one transaction. All but time is kept, so that another world can be told the same.

    def register(self, name: str, polygon: int, planting: date, end: date | None = None) -> None:
        new = fields.NewField(name, name, another_form(POLYGONS[polygon], len(self.said)), planting, end)
        with write_transaction(self.engine) as connection:
            fields.register_fields(connection, [new], self.now)
        self.heard_of(name, polygon, planting, end)

    def heard_of(self, name: str, polygon: int, planting: date, end: date | None = None) -> None:
        """Keep as a fact that a field was registered."""
        self.fields[name] = FieldFacts(planting, end, [("on", date.min, polygon)])
        self.said.append(("register", (name, polygon, planting, end)))

    def reshape(self, name: str, polygon: int, changed_from: date | None) -> None:
        with write_transaction(self.engine) as connection:
            shape = another_form(POLYGONS[polygon], len(self.said))
            fields.revise_geometry(connection, name, shape, changed_from, self.now)
        facts = self.fields[name]
        facts.said.append(("changed" if changed_from else "corrected", changed_from or facts.planting, polygon))
        self.said.append(("reshape", (name, polygon, changed_from)))

    def season(self, name: str, planting: date | None, end: date | None) -> None:
        with write_transaction(self.engine) as connection:
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
        with write_transaction(self.engine) as connection:
            fields.activate_field(connection, name, since, self.now, active=active)
        self.fields[name].said.append(("on" if active else "off", since, None))

    def monitor(self, region: str, first: date, last: date | None) -> None:
        with write_transaction(self.engine) as connection:
            registry.monitor_region(connection, region, first, last, self.now)
        facts = self.regions[region]
        facts.first, facts.last = first, last
        self.said.append(("monitor", (region, first, last)))

    def pin(self, region: str, version: str) -> None:
        with write_transaction(self.engine) as connection:
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
        with suppress(UnreadableDayError):  # which is registered all the same
            ask(self.engine, self.store, self.satellite, self.bbox_id(region), on, self.now)
        refused = self.satellite.refuses(region, on)
        self.heard(region, on, self.satellite.due(AOIS[region], on), scene, refused=refused)

    def heard(self, region: str, on: date, due: Due, scene: SceneInput | None, *, refused: bool = False) -> None:
        """Keep as a fact what the ledger was told of a day."""
        facts = self.regions[region]
        facts.due[on] = due
        facts.refused = facts.refused | {on} if refused else facts.refused - {on}
        if scene is not None:
            facts.scenes[on] = scene

    def arrives(self, region: str, on: date, delivery: str) -> None:
        """A delivery that ingest hears of immediately."""
        self.deliver(region, on, delivery)
        self.ask(region, on)

    # What there is.

    @staticmethod
    def bbox_id(region: str) -> int:
        return REGIONS.index(region) + 1

    def region_row(self, region: str) -> Any:
        with read_transaction(self.engine) as connection:
            return registry.region(connection, region)

    def closed(self, region: str) -> dict[date, Any]:
        """The closed days as the ledger has them."""
        with read_transaction(self.engine) as connection:
            return self._closed(connection, region)

    def _closed(self, connection: Connection, region: str) -> dict[date, Any]:
        rows = connection.execute(_CLOSED, {"region": self.bbox_id(region)})
        return {row.day: row for row in rows}

    def misses(self, region: str) -> dict[tuple[str, date], OpenMiss]:
        """The open misses."""
        with read_transaction(self.engine) as connection:
            return self._misses(connection, region)

    def _misses(self, connection: Connection, region: str) -> dict[tuple[str, date], OpenMiss]:
        rows = connection.execute(_MISSES, {"region": self.bbox_id(region)})
        return {(row.external_id, row.date_missed): OpenMiss(row.cause.value, row.digest) for row in rows}

    def withdrawals(self, region: str) -> set[tuple[str, date]]:
        """The rows that are to be taken out."""
        with read_transaction(self.engine) as connection:
            return self._withdrawals(connection, region)

    def _withdrawals(self, connection: Connection, region: str) -> set[tuple[str, date]]:
        rows = connection.execute(_WITHDRAWALS, {"region": self.bbox_id(region)})
        return {(row.external_id, row.day) for row in rows}

    def rows(self, region: str, on: date) -> dict[str, Row]:
        """The published rows of a day, by field."""
        return self.published(region).get(on, {})

    def published(self, region: str) -> dict[date, dict[str, Row]]:
        """The published rows, by day and field."""
        with read_transaction(self.engine) as connection:
            return self._published(connection, region)

    def _published(self, connection: Connection, region: str) -> dict[date, dict[str, Row]]:
        """As the design says it, publication after publication, without the library's reader."""
        keys: dict[date, list[str | None]] = {}
        for row in connection.execute(_PUBLICATIONS, {"region": self.bbox_id(region)}):
            before = keys[row.day] if row.kind is PublicationKind.PATCH else []
            keys[row.day] = [*before, row.object_key]
        days: dict[date, dict[str, Row]] = {}
        for on, of_day in keys.items():
            rows: dict[str, Row | None] = {}
            for key in of_day:
                rows |= self.laboratory.oracle.held(key).get(on, {}) if key else {}
            days[on] = {name: row for name, row in rows.items() if row is not None}
        return days

    def canonical(self, region: str, on: date) -> bytes:
        """The canonical bytes of a day, by the library's reader."""
        with read_transaction(self.engine) as connection:
            days = published_days(connection, self.bbox_id(region), on, on)
        return objects.encode(days.rows(objects.ResultObjects(self.store), on))

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
                if facts.scene(on).digest in (NOT_ASKED, NOT_TAKEN):
                    found[on][name] = {}  # no row of the day is true
                    continue
                seen = self.laboratory.oracle.observation(region, facts.scene(on), name, polygon, facts.version)
                state = states[name].advance(on, self.fields[name].planting, seen)
                found[on][name] = {"region": region, "day": on} | seen | state
        return found

    def check(self, regions: tuple[str, ...] = REGIONS) -> None:
        """Nothing is lost, what is final is true, and the rest is on the list."""
        for region in regions:
            self._check(region)

    def _check(self, region: str) -> None:
        with read_transaction(self.engine) as connection:
            closed = self._closed(connection, region)
            misses, withdrawn = self._misses(connection, region), self._withdrawals(connection, region)
            published = self._published(connection, region)
        days = list(closed)
        assert all(b - a == timedelta(days=1) for a, b in pairwise(days)), f"{region}: gap in {days}"
        truth = self.true_rows(region, days)
        facts = self.regions[region]
        final = set(self.fields)
        for on in days:
            where = f"{region} {on}"
            rows = published[on]
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

    def breaks_or_is_mended(self, region: str, on: date) -> None:
        """The file of a day's scene can't be read any more, or again."""
        scene = self.regions[region].scenes.get(on)
        if scene is not None:
            self.processor.unreadable ^= {scene.digest}

    def mend(self) -> None:
        """Every file can be read again or is gone, and what failed is to be tried immediately."""
        self.processor.unreadable = frozenset()
        self.satellite.strays.clear()
        for aoi, delivery in self.satellite.deliveries.items():
            self.satellite.deliveries[aoi] = REPAIRED.get(delivery, delivery)
        for region in REGIONS:
            with write_transaction(self.engine) as connection:
                missed_days.forget_failures(connection, self.bbox_id(region), None, date.min, date.max)

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
            with read_transaction(self.engine) as connection:
                left = region_backlog(connection, self.bbox_id(region), DEADLINES, self.now)
            assert not left.misses, f"{region}: workable, and not worked on: {left.misses}"
            assert not left.withdrawals, f"{region}: rows not taken out: {left.withdrawals}"

    def ask_for_all(self, region: str) -> None:
        facts = self.regions[region]
        first = min([facts.first, *self.closed(region)])
        last = min(facts.last or day(DAYS), day(DAYS))
        for n in range((last - first).days + 1):
            on = first + timedelta(days=n)
            scene = self.laboratory.oracle.scene(self.satellite, region, on)
            heard = on in facts.due and (facts.due[on], facts.scenes.get(on), on in facts.refused) == (
                self.satellite.due(AOIS[region], on),
                scene or facts.scenes.get(on),
                self.satellite.refuses(region, on),
            )
            if not heard:
                self.ask(region, on)

    def all_is_true(self) -> None:
        """Everything is settled: each day has the canonical bytes of the true rows, and no more."""
        for region in REGIONS:
            closed = self.closed(region)
            assert not self.misses(region), f"{region}: misses are left"
            assert not self.withdrawals(region), f"{region}: withdrawals are left"
            for on, rows in self.true_rows(region, list(closed)).items():
                is_true = objects.digest(self.canonical(region, on)) == self.laboratory.oracle.digest(rows)
                assert is_true, f"{region} {on}: the day has other bytes"

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
    oracle = one.laboratory.oracle
    for region in REGIONS:
        mine, its = one.closed(region), other.closed(region)
        my_rows, its_rows = one.published(region), other.published(region)
        for on in sorted(mine.keys() | its.keys()):
            where = f"{region} {on}"
            rows, true = my_rows.get(on, {}), its_rows.get(on, {})
            assert rows == true, f"{where}: rows differ"
            if on in mine and on in its:
                assert oracle.digest(rows) == oracle.digest(true), f"{where}: bytes differ"
                for column in ("due", "scene_digest", "row_count"):
                    assert getattr(mine[on], column) == getattr(its[on], column), f"{where}: {column} differs"
        assert one.misses(region) == other.misses(region) == {}, f"{region}: misses are left"
        assert one.withdrawals(region) == other.withdrawals(region) == set()
