"""A process of a crowd on one ledger: it registers, imports, revises, asks, closes and replays as chance has it.

Each process has fields of its own, and days of its own on which it decides what is delivered; all else it does to
whatever there is. So what is true in the end does not rest on who was first.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from satcommon.db import fields
from satcommon.db.engine import open_engine, write_transaction
from satcommon.errors import DatabaseUnavailableError, RetryableError
from satcommon.pipeline.ingest_day import ask
from satcommon.raster.scene import Acquisition
from satcommon.sources.source import AreaOfInterest
from satcommon.vector.fields import read_field_file
from shapely.geometry import mapping
from truth import DAYS, POLYGONS, READABLE, REGIONS, START, THE_END, Satellite, day, with_other_version
from world import Laboratory, World

MOST_FIELDS = 3  # of a process, or one more: the truth of each field is told again, one at a time


class SharedSatellite(Satellite):
    """Deliveries as files, which every process sees."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def deliver(self, region: str, on: date, delivery: str) -> None:
        new = self.folder / f"{os.getpid()}.new"
        new.write_text(delivery)
        new.rename(self.folder / f"{region} {on}")

    def told(self) -> dict[tuple[str, date], str]:
        """All that was delivered."""
        days = [(region, day(n + 1)) for region in REGIONS for n in range(DAYS)]
        there = {one: self.folder / f"{one[0]} {one[1]}" for one in days}
        return {one: file.read_text() for one, file in there.items() if file.exists()}

    def _items(self, aoi: AreaOfInterest, on: date) -> list[Acquisition]:
        self.deliveries = self.told()
        return super()._items(aoi, on)


def work(
    number: int,
    of: int,
    ledger: str,
    store: str,
    folder: Path,
    variables: dict[str, str],
    seconds: float,
    start: Any,
) -> None:
    """Work for some seconds after all have come to the start; leaves what it said, or its error."""
    os.environ.update(variables)
    with with_other_version():
        engine = open_engine(ledger)
        world = World.of(Laboratory((engine, engine), store), START)
        member = Member(number, of, world, SharedSatellite(folder / "deliveries"))
        start.wait()
        said: Any
        try:
            member.work(seconds)
            said = world.said, member.done
        except Exception as error:  # noqa: BLE001  # the test's to raise
            said = f"process {number}: {type(error).__name__}: {error}", member.done
        (folder / f"said {number}").write_bytes(pickle.dumps(said))
        engine.dispose()


class Member:
    """One of the crowd."""

    def __init__(self, number: int, of: int, world: World, satellite: SharedSatellite) -> None:
        self.number, self.of, self.world, self.satellite = number, of, world, satellite
        self.chance = random.Random(number)
        self.done: dict[str, int] = {}

    def work(self, seconds: float) -> None:
        acts = (
            *(self.register, self.bring, self.revise, self.deliver, self.ask),
            *(self.close, self.close, self.replay, self.replay),
        )
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            self.world.now = START + (THE_END - START) * 0.6 * (elapsed / seconds)
            act = self.chance.choice(acts)
            try:
                act()
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            except DatabaseUnavailableError:
                raise  # locked, deadlocked, or waited for in vain
            except RetryableError:
                self.done["again"] = (
                    self.done.get("again", 0) + 1
                )  # its inputs changed too often: it is asked for again

    def register(self) -> None:
        count = len(self.world.fields)
        if count >= MOST_FIELDS:
            return
        planted = [(f"p{self.number}-{count + n}", self.polygon(), day(self.chance.randint(-1, 5))) for n in range(2)]
        new = [fields.NewField(name, name, POLYGONS[polygon], planting) for name, polygon, planting in planted]
        with write_transaction(self.world.engine) as connection:
            fields.register_fields(connection, new, self.world.now)
        for name, polygon, planting in planted:
            self.world.heard_of(name, polygon, planting, None)

    def revise(self) -> None:
        if self.number == 0 and self.chance.random() < 0.2:
            self.world.pin(self.chance.choice(REGIONS), self.chance.choice(("1", "2")))
        elif self.world.fields:
            name = self.chance.choice(list(self.world.fields))
            what = self.chance.choice(("reshape", "season", "leaves", "comes_back"))
            if what == "reshape":
                self.world.reshape(name, self.polygon(), self.chance.choice((None, self.day())))
            elif what == "season":
                self.world.season(name, day(self.chance.randint(-1, 5)), None)
            else:
                getattr(self.world, what)(name, self.day())

    def bring(self) -> None:
        """Import a file: of a new field, and of those of its own that only corrections have spoken of so far."""
        told = {
            name: (self.polygon(), facts.planting)
            for name, facts in self.world.fields.items()
            if all(polygon is not None and what != "changed" for what, _, polygon in facts.said)
        }
        if len(self.world.fields) < MOST_FIELDS:
            told[f"p{self.number}-{len(self.world.fields)}"] = (self.polygon(), day(self.chance.randint(-1, 5)))
        if not told:
            return
        features = [
            {
                "type": "Feature",
                "properties": {"external_id": name, "planting_date": str(planting)},
                "geometry": mapping(POLYGONS[polygon]),
            }
            for name, (polygon, planting) in told.items()
        ]
        file = self.satellite.folder.parent / f"fields {self.number}.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        read = read_field_file(file)
        with write_transaction(self.world.engine) as connection:
            registered = fields.register_fields(connection, read.fields, self.world.now, fields.Update())
        for name in registered.created:
            self.world.heard_of(name, *told[name], None)
        for name in registered.corrected:
            polygon, planting = told[name]
            self.world.fields[name].said.append(("corrected", planting, polygon))
            self.world.said.append(("reshape", (name, polygon, None)))

    def deliver(self) -> None:
        own = [
            (r, day(n)) for i, r in enumerate(REGIONS) for n in range(1, DAYS + 1) if (i + n) % self.of == self.number
        ]
        if own:
            self.satellite.deliver(*self.chance.choice(own), self.chance.choice(READABLE))

    def ask(self) -> None:
        region = self.chance.choice(REGIONS)
        on, world = self.day(), self.world
        ask(world.engine, world.store, self.satellite, world.bbox_id(region), on, world.now)

    def close(self) -> None:
        self.world.close(self.chance.choice(REGIONS))

    def replay(self) -> None:
        self.world.replay(self.chance.choice(REGIONS))

    def polygon(self) -> int:
        return self.chance.randrange(len(POLYGONS))

    def day(self) -> date:
        return day(self.chance.randint(1, DAYS))


def retold(said: list[tuple[str, tuple[Any, ...]]], world: World) -> None:
    """Tell a world what another was told, one after the other."""
    for what, arguments in said:
        getattr(world, what)(*arguments)
        world.now = min(world.now + timedelta(minutes=1), THE_END)
