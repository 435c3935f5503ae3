"""A day of which something is there and was not taken: every command names it, and none calls the day final."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from satcommon.contract import closed_day
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.settings import settings
from sqlalchemy import Engine

from tests.integration.satctl_world import Satctl
from tests.unit.geotiffs import AOI, PLAIN, full, write

FIRST, DAY, LAST = date(2016, 1, 6), date(2016, 1, 7), date(2016, 1, 8)
LAND = {name: values.astype(np.float32) * np.float32(1e-4) for name, values in PLAIN.items()}
CELSIUS = LAND | {"lwir11": full(22.8, "float32")}
REASON = "100% of band lwir11 are no temperature of land or cloud"


@dataclass
class Farm:
    """A field in the west and one in the east of a region, and a folder of scenes."""

    env: Environment
    folder: Path
    satctl: Satctl
    times: int = 0

    def deliver(self, name: str, bands: dict[str, Any], **options: Any) -> None:
        self.times += 1
        write(self.folder / name, bands, scale=1.0, **options)
        os.utime(self.folder / name, (self.times, self.times))

    def work(self, code: int = 0) -> None:
        """Ask for all days, close what can be closed, and replay."""
        now = datetime.now(UTC)
        closer = Closer(self.env.engine, self.env.store(), 1, self.env.deadlines, "run", now)
        list(closer.backfill(self.env.source(), LAST, lambda *_: None, lambda *_: None))
        self.satctl("scenes", "rescan", "North", "--from", str(FIRST), "--to", str(LAST), "--here", code=code)
        list(replay(Processor(self.env.engine, self.env.store()), self.env.engine, 1, self.env.deadlines, "run", now))

    def status(self) -> dict[str, Any]:
        (found,) = json.loads(self.satctl("status", "--json").stdout)["regions"]
        return found

    def rows(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """Field and day -> status of the row, and whether it is final."""
        told = self.satctl("export", "North", "--format", "csv", "--output", "-").stdout
        rows = csv.DictReader(io.StringIO(told))
        return {(row["field"], row["day"]): (row["status"], row["final"].lower() == "true") for row in rows}


@pytest.fixture
def farm(system: Engine, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    folder = tmp_path / "scenes"
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "folder")
    monkeypatch.setenv("SATFIELDS_SCENE_FOLDER", str(folder))
    settings.cache_clear()
    farm = Farm(Environment(settings(), system), folder, satctl)
    halved = {name: values.copy() for name, values in LAND.items()}
    for values in halved.values():
        values[:, 8:] = 0
    farm.deliver("2016-01-07T101243_a.tif", halved)
    west, south, east, north = AOI.bounds
    days = ("--monitored-from", str(FIRST), "--monitored-until", str(LAST))
    satctl("regions", "add", "North", "--bounds", *map(str, (west, south, east, north)), *days)
    width, height = east - west, north - south
    for name, left in (("west", 0.1), ("east", 0.7)):
        shape = shapely.box(
            west + left * width, south + 0.3 * height, west + (left + 0.2) * width, south + 0.7 * height
        )
        satctl("fields", "add", name, "--planted", "2015-12-01", "--wkt", shape.wkt)
    return farm


def test_a_day_that_was_taken_in_part_is_in_sight_everywhere_and_final_nowhere(farm: Farm) -> None:
    name = "2016-01-07T101243_b.tif"
    farm.deliver(name, CELSIUS)
    farm.work()

    found, said = farm.status(), farm.satctl("status").stderr
    (refused,) = found["refused"]
    assert (refused["day"], refused["item"], refused["has_scene"]) == (str(DAY), name, True)
    assert f"{name}: {REASON}" in refused["reason"]
    assert f"of 1 day: 2016-01-07; the first: {name}: {REASON}" in said
    assert (found["watermark"], found["final_through"], found["backlog"]) == (str(LAST), str(FIRST), [])

    checks = {c["check"]: c for c in json.loads(farm.satctl("doctor", "--json", code=1).stdout)["checks"]}
    assert checks["not taken"]["state"] == "warning"
    assert f"region North: 1 scene refused: 2016-01-07: {name}: {REASON}" in checks["not taken"]["said"]

    history = json.loads(farm.satctl("history", "east", str(DAY), "--json").stdout)
    assert (history["state"], history["reason"]) == ("provisional", "scene_partly_taken")
    assert f"{name}: {REASON}" in history["why"]
    assert [one["item"] for one in history["refused_scenes"]] == [name]

    report = farm.satctl("audit").stdout
    (counts,) = json.loads(farm.satctl("audit", "--json").stdout)["regions"]
    assert (counts["settled"], counts["provisional"], counts["days_refused"]) == (6, 2, 1)
    assert "a scene was refused; 2 settled field-days of them may change:" in report
    assert f"2016-01-07: {name}: {REASON}" in report

    with read_transaction(farm.env.engine) as connection:
        place = region(connection, "North")
    assert list(closed_day(farm.env, place, DAY).metadata["refused"].data) == [name]
    assert farm.rows() == {
        (field, str(day)): (status if day == DAY else "no_overpass", day < DAY)
        for day in (FIRST, DAY, LAST)
        for field, status in (("west", "clear"), ("east", "outside_swath"))
    }


def test_what_is_repaired_is_taken_and_all_is_final_again(farm: Farm) -> None:
    farm.deliver("2016-01-07T101243_b.tif", CELSIUS)
    farm.work()
    farm.deliver("2016-01-07T101243_b.tif", LAND | {"lwir11": full(295.95, "float32")})

    farm.work()

    assert (farm.status()["refused"], farm.status()["final_through"]) == ([], str(LAST))
    assert {final for _, final in farm.rows().values()} == {True}
    assert farm.rows()["east", str(DAY)][0] == "clear"
    assert json.loads(farm.satctl("history", "east", str(DAY), "--json").stdout)["state"] == "settled"
    checks = {c["check"]: c["state"] for c in json.loads(farm.satctl("doctor", "--json", code=1).stdout)["checks"]}
    assert checks["not taken"] == "ok"


def test_a_file_that_is_replaced_by_one_that_is_refused_keeps_the_scene_and_is_not_final(farm: Farm) -> None:
    name = "2016-01-07T101243_a.tif"
    farm.work()
    before = farm.rows()
    good = (farm.folder / name).read_bytes()
    farm.deliver(name, CELSIUS)
    farm.work(code=1)  # the day has no other answer

    assert {key: status for key, (status, _) in farm.rows().items()} == {k: status for k, (status, _) in before.items()}
    assert [day for (field, day), (_, final) in farm.rows().items() if field == "west" and final] == [str(FIRST)]
    (refused,) = farm.status()["refused"]
    assert (refused["day"], refused["item"], refused["has_scene"]) == (str(DAY), name, True)
    assert json.loads(farm.satctl("history", "west", str(DAY), "--json").stdout)["state"] == "provisional"

    (farm.folder / name).write_bytes(good)
    os.utime(farm.folder / name, (99, 99))
    farm.work()
    assert farm.rows() == before
    assert farm.status()["refused"] == []


def test_a_refusal_before_a_season_leaves_the_season_final(farm: Farm) -> None:
    farm.deliver("2016-01-07T101243_b.tif", CELSIUS)
    farm.satctl("fields", "revise", "west", "--planted", str(LAST))

    farm.work()

    assert farm.rows()["west", str(LAST)][1]
    assert not farm.rows()["east", str(LAST)][1]
