"""A small world closed by the real thing; what is read of it is compared with the objects' own rows."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField
from satcommon.db.models import Attempt
from satcommon.errors import InputError
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.sources.simulated import SimulatedSource
from satcommon.stats import result_rows
from satcommon.stats.result_rows import Status
from satcommon.storage.object_store import ObjectStore
from satcommon.views.season import FieldSeason, season_of
from shapely.geometry import box
from sqlalchemy import Engine, delete

FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 6
WIDE = box(14.01, 45.01, 14.035, 45.03)  # over both regions, most of it in A
Read = Callable[..., FieldSeason]


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


@pytest.fixture
def store(store_folder: Path) -> ObjectStore:
    return ObjectStore(str(store_folder))


@pytest.fixture
def read(sqlite_engine: Engine, store: ObjectStore) -> Read:
    """Fields `wide` and `other` in the neighbours A and B, six closed days, every other one with a scene."""
    source = SimulatedSource(cycle_days=2)
    with write_transaction(sqlite_engine) as connection:
        for name, west in (("A", 14.0), ("B", 14.03)):
            bounds = Bounds(west, 45.0, west + 0.03, 45.05)
            registry.add_region(connection, name, bounds, Grid.utm(bounds, 200.0), FIRST, None, "1", NOW)
        new = [NewField("wide", "w", WIDE, FIRST), NewField("other", "o", box(14.001, 45.04, 14.02, 45.045), day(2))]
        fields.register_fields(connection, new, NOW)
    for bbox_id in (1, 2):
        closer = Closer(sqlite_engine, store, bbox_id, Deadlines(36.0, 30), "run", NOW)
        assert len(list(closer.backfill(source, day(DAYS - 1), lambda *_: None))) == DAYS
    return lambda *arguments: season_of(sqlite_engine, store, *arguments)


def drain(engine: Engine, store: ObjectStore, bbox_id: int = 1) -> None:
    assert list(replay(Processor(engine, store), engine, bbox_id, Deadlines(36.0, 30), "run", NOW))


def test_a_season_is_that_of_the_published_rows_in_the_home_region(
    read: Read, sqlite_engine: Engine, store: ObjectStore
) -> None:
    found, objects = read("wide"), ResultObjects(store)

    with read_transaction(sqlite_engine) as connection:
        published = published_days(connection, 1, FIRST, day(DAYS))
    rows = [result_rows.only(published.rows(objects, one), ["wide"]).to_pylist()[0] for one in published.layers]
    assert (found.region, found.first, found.last) == ("A", FIRST, day(DAYS - 1))
    assert found.days == [day(n) for n in range(DAYS)]
    assert found.status == [row["status"] for row in rows]
    assert {Status.NO_OVERPASS} < set(found.status)
    seen = [row["ndvi_mean"] if row["status"] in ("clear", "partial", "swath_edge") else None for row in rows]
    assert found.ndvi == seen
    assert any(seen)
    assert [None if s is None else round(1e4 * s) for s in found.smoothed] == [row["ndvi_smoothed_e4"] for row in rows]
    assert (found.final_before, found.recomputed) == (None, [])


def test_a_season_begins_with_its_planting_and_ends_with_its_end(read: Read, sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        fields.revise_season(connection, "other", None, day(3), NOW)

    found = read("other")

    assert found.days == [day(2), day(3)]
    assert read("other", day(0), day(2)).days == [day(2)]
    assert (read("other", day(0), day(1)).days, read("other", day(0), day(1)).first) == ([], FIRST)


def test_it_is_final_before_the_first_open_miss_of_this_field(read: Read, sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        fields.revise_geometry(connection, "wide", WIDE.buffer(-0.001), day(3), NOW)

    assert read("wide").final_before == day(3)
    assert len(read("wide").days) == DAYS
    assert read("other").final_before is None


def test_a_row_that_nobody_expects_any_more_is_left_out(read: Read, sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        fields.activate_field(connection, "wide", day(4), NOW, active=False)

    assert read("wide").days == [day(n) for n in range(4)]


def test_days_that_a_replay_wrote_are_told_while_the_attempts_are_on_record(
    read: Read, sqlite_engine: Engine, store: ObjectStore
) -> None:
    with write_transaction(sqlite_engine) as connection:
        fields.revise_geometry(connection, "wide", WIDE.buffer(-0.001), day(3), NOW)
    drain(sqlite_engine, store)
    drain(sqlite_engine, store, 2)  # of the other region: not the one that is shown

    recomputed = read("wide").recomputed
    elsewhere = read("other").recomputed
    with write_transaction(sqlite_engine) as connection:
        connection.execute(delete(Attempt))

    assert recomputed == [day(3), day(4), day(5)]
    assert elsewhere == []
    assert read("wide").recomputed == []
    assert read("wide").final_before is None


def test_the_home_is_that_of_the_polygon_of_the_last_day(read: Read, sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        fields.revise_geometry(connection, "wide", box(14.025, 45.01, 14.055, 45.03), day(3), NOW)

    assert read("wide").region == "B"
    assert read("wide", None, day(2)).region == "A"


def test_what_is_not_there_is_refused(read: Read, sqlite_engine: Engine) -> None:
    with write_transaction(sqlite_engine) as connection:
        away, later = box(20, 45, 20.1, 45.1), box(14.001, 45.001, 14.009, 45.009)
        fields.register_fields(connection, [NewField("away", "a", away, FIRST)], NOW)
        fields.register_fields(connection, [NewField("later", "l", later, day(DAYS))], NOW)
        bounds = Bounds(15.0, 45.0, 15.05, 45.05)
        registry.add_region(connection, "new", bounds, Grid.utm(bounds, 200.0), FIRST, None, "1", NOW)
        fields.register_fields(connection, [NewField("unseen", "u", box(15.01, 45.01, 15.02, 45.02), FIRST)], NOW)

    for arguments, message in (
        (("nobody's",), r"there is no field \"nobody's\""),
        (("away",), "field 'away' is in no region"),
        (("unseen",), "region 'new' has no closed day yet"),
        (("later",), r"no day of its season 2026-05-07\.\. is closed in region 'A', .* 2026-05-01 to 2026-05-06"),
        (("wide", day(-1)), "--from 2026-04-30: region 'A' is closed from 2026-05-01 to 2026-05-06"),
        (("wide", None, day(DAYS)), "--to 2026-05-07: region 'A' is closed"),
        (("wide", day(3), day(2)), "--to 2026-05-03 is before --from 2026-05-04"),
    ):
        with pytest.raises(InputError, match=message):
            read(*arguments)
