from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from satcommon.audit.audit import audit
from satcommon.db import answers, fields, ledger, missed_days, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField
from satcommon.db.missed_days import CauseBacklog
from satcommon.errors import RetryableError
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import Answer, ask
from satcommon.pipeline.replay import replay
from satcommon.pipeline.rescan import ask_anew, last_older_day
from satcommon.sources.folder import FolderSource
from satcommon.sources.refused import told_day
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine

from tests.unit.geotiffs import AOI, GRID, full, write

FIRST, LAST = date(2016, 1, 5), date(2016, 1, 9)
NOW = datetime(2017, 1, 1, tzinfo=UTC)  # long after the allowed lateness
WAITS = Deadlines(36.0, 30)
SCENE_DAY = date(2016, 1, 7)
NAME = "2016-01-07T101243.tif"


@dataclass
class World:
    """A region with one field and five days, and a folder of scenes."""

    engine: Engine
    store: ObjectStore
    folder: Path

    def close(self) -> None:
        closer = Closer(self.engine, self.store, 1, WAITS, "run", NOW)
        assert len(list(closer.through(LAST))) == 5

    def rescan(self, first: date = FIRST, last: date = LAST, *, only_never_asked: bool = False) -> dict[date, object]:
        told = ask_anew(
            self.engine,
            self.store,
            FolderSource(self.folder),
            1,
            first,
            last,
            lambda: NOW,
            WAITS.lateness_days,
            only_never_asked=only_never_asked,
        )
        return {day: isinstance(answer, Answer) and answer.new for day, answer in told}

    def replay(self) -> None:
        list(replay(Processor(self.engine, self.store), self.engine, 1, WAITS, "run", NOW))

    def backlog(self) -> list[CauseBacklog]:
        with read_transaction(self.engine) as connection:
            return missed_days.backlog_by_cause(connection, 1)

    def clean(self) -> bool:
        with read_transaction(self.engine) as connection:
            region = registry.region(connection, "North")
        return audit(self.engine, self.store, region, lambda: None).clean


@pytest.fixture
def world(sqlite_engine: Engine, tmp_path: Path) -> World:
    folder = tmp_path / "scenes"
    folder.mkdir()
    with write_transaction(sqlite_engine) as connection:
        then = NOW - timedelta(days=9)
        registry.add_region(connection, "North", AOI.bounds, GRID, FIRST, LAST, CURRENT, then)
        west, south, east, north = AOI.bounds.west, AOI.bounds.south, AOI.bounds.east, AOI.bounds.north
        inside = box(west + (east - west) / 3, south + (north - south) / 3, east, north)
        fields.register_fields(connection, [NewField("f", "f", inside, date(2015, 9, 1))], then)
    return World(sqlite_engine, ObjectStore(str(tmp_path / "store")), folder)


def test_days_that_closed_unasked_are_found_however_old_and_asked_for_in_one_run(world: World) -> None:
    write(world.folder / NAME)
    world.close()
    with read_transaction(world.engine) as connection:
        (unasked,) = answers.never_asked(connection)
    assert unasked == ("North", 1, 5, FIRST, LAST)
    assert [(one.cause, one.field_days) for one in world.backlog()] == [("late_scene", 5)]

    assert list(world.rescan(only_never_asked=True)) == [FIRST + timedelta(days=n) for n in range(5)]

    world.replay()
    assert (world.backlog(), world.clean()) == ([], True)
    with read_transaction(world.engine) as connection:
        assert answers.never_asked(connection) == []
        assert ledger.current_scene(connection, 1, SCENE_DAY) is not None


def test_a_paused_region_is_not_asked_for(world: World) -> None:
    world.close()
    with write_transaction(world.engine) as connection:
        registry.activate_region(connection, "North", active=False)

    with read_transaction(world.engine) as connection:
        assert answers.never_asked(connection) == []


def test_days_no_longer_monitored_are_not_asked_for(world: World) -> None:
    world.close()
    with write_transaction(world.engine) as connection:
        registry.monitor_region(connection, "North", SCENE_DAY, SCENE_DAY, NOW)

    with read_transaction(world.engine) as connection:
        assert answers.never_asked(connection) == [("North", 1, 1, SCENE_DAY, SCENE_DAY)]


def test_a_file_that_came_or_changed_long_after_the_lateness_is_taken(world: World) -> None:
    world.close()
    world.rescan()
    world.replay()
    assert world.rescan() == {}

    write(world.folder / NAME)
    assert world.rescan() == {SCENE_DAY: True}
    world.replay()
    write(world.folder / NAME, {"red": full(600), "nir": full(4000)})
    assert world.rescan() == {SCENE_DAY: True}

    assert [(one.cause, one.first_day) for one in world.backlog()] == [("revised_scene", SCENE_DAY)]
    world.replay()
    assert world.clean()


def test_a_calendar_that_comes_after_days_were_answered_is_noticed(world: World) -> None:
    world.close()
    world.rescan()
    world.replay()

    (world.folder / "satfields.toml").write_text('calendar_file = "days.csv"\n')
    (world.folder / "days.csv").write_text("2016-01-07\n2016-01-09,no\n")

    assert world.rescan() == {SCENE_DAY: True, date(2016, 1, 8): True, LAST: True}
    assert [(one.cause, one.first_day, one.last_day) for one in world.backlog()] == [
        ("revised_scene", SCENE_DAY, SCENE_DAY)
    ]
    world.replay()
    with read_transaction(world.engine) as connection:
        assert ledger.region_day(connection, 1, SCENE_DAY).due is Due.DUE
    assert world.clean()


def test_a_day_that_cant_be_answered_yet_leaves_the_others_their_turn_and_the_look_is_not_noted(world: World) -> None:
    world.close()
    source = FolderSource(world.folder)
    being_written = write(world.folder / NAME)
    now = datetime.fromtimestamp(being_written.stat().st_mtime, UTC)

    told = dict(ask_anew(world.engine, world.store, source, 1, FIRST, LAST, lambda: now, WAITS.lateness_days))

    may_be_of = {SCENE_DAY + timedelta(days=n) for n in (-1, 0, 1)}
    assert {day for day, answer in told.items() if isinstance(answer, RetryableError)} == may_be_of
    assert {day for day, answer in told.items() if isinstance(answer, Answer)} == {FIRST, LAST}
    with read_transaction(world.engine) as connection:
        assert registry.region(connection, "North").rescanned_at is None


def test_older_days_are_asked_for_anew_when_the_last_look_is_long_ago(world: World) -> None:
    older = last_older_day(NOW, WAITS.lateness_days)

    def due(now: datetime) -> list[str]:
        with read_transaction(world.engine) as connection:
            return [region.name for region in answers.rescans_due(connection, now - timedelta(days=7), older)]

    assert due(NOW - timedelta(days=3)) == []  # it was registered six days before
    assert due(NOW) == ["North"]
    world.rescan(SCENE_DAY, LAST)  # not all
    assert due(NOW) == ["North"]
    world.rescan(last=older)
    assert due(NOW + timedelta(days=6)) == []
    assert due(NOW + timedelta(days=8)) == ["North"]


def test_an_answer_that_is_asked_for_twice_is_the_same(world: World) -> None:
    write(world.folder / NAME)
    first = ask(world.engine, world.store, FolderSource(world.folder), 1, SCENE_DAY, NOW)

    again = ask(world.engine, world.store, FolderSource(world.folder), 1, SCENE_DAY, NOW)

    assert (first.new, again.new, again.scene_digest) == (True, False, first.scene_digest)


# --- what is there and was not taken ---------------------------------------------------------------------------------


def test_a_damaged_file_is_no_lack_of_an_overpass_until_it_is_repaired(world: World) -> None:
    good = write(world.folder / NAME).read_bytes()
    (world.folder / NAME).write_bytes(good[: len(good) // 3])
    (world.folder / "notes.tif").write_text("no image, and of no day")
    world.rescan()
    world.close()

    world.replay()

    assert [(one.cause, one.first_day, one.last_day) for one in world.backlog()] == [
        ("late_scene", SCENE_DAY, SCENE_DAY)
    ]
    with read_transaction(world.engine) as connection:
        (told,) = answers.refusals(connection, 1, FIRST, LAST).items()
    assert (told[0], list(told[1])) == (SCENE_DAY, [NAME])
    assert "can't be read as a GeoTIFF" in told[1][NAME]
    assert world.clean()
    assert world.rescan() == {}  # it is known, and no news

    (world.folder / NAME).write_bytes(good)
    assert world.rescan() == {SCENE_DAY: True}
    world.replay()
    assert (world.backlog(), world.clean()) == ([], True)
    with read_transaction(world.engine) as connection:
        assert answers.refusals(connection, 1, FIRST, LAST) == {}
        assert ledger.current_scene(connection, 1, SCENE_DAY) is not None


def test_a_damaged_file_that_goes_away_leaves_a_day_without_overpass(world: World) -> None:
    (world.folder / NAME).write_bytes(b"II*\0 no more than that")
    world.rescan()
    world.close()
    (world.folder / NAME).unlink()

    assert world.rescan() == {SCENE_DAY: True}

    world.replay()
    assert (world.backlog(), world.clean()) == ([], True)


def test_a_damaged_file_that_comes_after_its_day_was_settled_opens_it(world: World) -> None:
    world.rescan()
    world.close()
    assert world.backlog() == []

    (world.folder / NAME).write_bytes(b"II*\0 no more than that")
    assert world.rescan() == {SCENE_DAY: True}

    world.replay()
    assert [(one.cause, one.first_day) for one in world.backlog()] == [("late_scene", SCENE_DAY)]
    assert world.clean()


def test_a_refused_file_of_elsewhere_holds_up_no_day(world: World) -> None:
    away = Grid(GRID.crs, GRID.left + 50_000, GRID.top, GRID.xres, GRID.yres, GRID.width, GRID.height)
    write(world.folder / NAME, {"red": full(500)}, grid=away)  # no nir: refused
    world.rescan()

    with read_transaction(world.engine) as connection:
        assert answers.refusals(connection, 1, FIRST, LAST) == {}


@pytest.mark.parametrize(
    ("name", "tag", "longitude", "expected"),
    [
        ("2022-06-01T101243.tif", "", 14.0, date(2022, 6, 1)),
        ("2022-06-01T231243.tif", "", 170.0, date(2022, 6, 2)),
        ("2022-06-01/scene.tif", "", 14.0, date(2022, 6, 1)),
        ("2022-06-01.tif", "", 170.0, date(2022, 6, 2)),  # a morning there is the evening before in UTC
        ("2022-06-01.tif", "", -170.0, date(2022, 6, 1)),
        ("scene.tif", "2022:06:01 10:00:00", 14.0, date(2022, 6, 1)),
        ("scene.tif", "", 14.0, None),
    ],
)
def test_a_refused_file_is_of_the_day_that_its_path_or_tag_tells(
    name: str, tag: str, longitude: float, expected: date | None
) -> None:
    assert told_day(name, None, tag, Bounds(longitude - 0.1, 45.0, longitude + 0.1, 45.1)) == expected
