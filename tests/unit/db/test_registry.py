from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import shapely
from satcommon.db import fields, ledger, missed_days, publications, registry
from satcommon.db.engine import write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.fields import NewField
from satcommon.db.models import Cause
from satcommon.errors import AlgorithmError, InputError
from satcommon.geo.grid import Bounds, Grid
from shapely.geometry import box
from sqlalchemy import Connection, Engine

from tests.unit.closed_days import close_days

BOUNDS = Bounds(14.0, 45.0, 14.1, 45.1)
GRID = Grid.utm(BOUNDS, 500.0)
FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
SHAPE = box(14.02, 45.02, 14.04, 45.04)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def add(connection: Connection, name: str = "A", bounds: Bounds = BOUNDS, first: date = FIRST) -> bool:
    return registry.add_region(connection, name, bounds, GRID, first, None, "1", NOW)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with write_transaction(engine) as connection:
        yield connection


def close(connection: Connection, first: int, last: int) -> None:
    close_days(connection, 1, [day(n) for n in range(first, last + 1)], NOW)


def causes(connection: Connection) -> dict[int, Cause]:
    return {(m.date_missed - FIRST).days: m.cause for m in missed_days.misses(connection, 1, date.min, date.max)}


# --- regions ---------------------------------------------------------------------------------------------------------


def test_a_region_is_registered_as_it_was_told(connection: Connection) -> None:
    assert add(connection)

    found = registry.region(connection, "A")
    where = registry.aoi_of(found)
    assert (where.name, where.bounds, where.grid) == ("A", BOUNDS, GRID)
    assert (found.active, found.monitored_from, found.monitored_until) == (True, FIRST, None)
    assert (found.algorithm_version, found.created_at) == ("1", NOW)


def test_the_same_region_again_changes_nothing(connection: Connection) -> None:
    add(connection)
    revision = registry.revision(connection)

    assert not add(connection)
    assert registry.revision(connection) == revision


def test_another_rectangle_under_a_name_is_refused(connection: Connection) -> None:
    add(connection)

    with pytest.raises(InputError, match="'A' exists with another rectangle"):
        add(connection, bounds=BOUNDS._replace(east=14.2))


@pytest.mark.parametrize("name", ["", " A", "A ", "a|b", "a/b", "a\\b", 'a"b', "it's", "a...b", "a\nb", "x" * 101])
def test_a_name_that_can_be_no_partition_key_is_refused(connection: Connection, name: str) -> None:
    with pytest.raises(InputError, match="region name"):
        add(connection, name)


@pytest.mark.parametrize("name", ["A", "Po valley (north)", "上海", "a.b..c", "x" * 100])
def test_any_other_name_is_taken(connection: Connection, name: str) -> None:
    assert add(connection, name)


def test_impossible_days_and_unknown_versions_are_refused(connection: Connection) -> None:
    with pytest.raises(InputError, match="outside of"):
        add(connection, first=date(1950, 1, 1))
    with pytest.raises(InputError, match="is before monitored from"):
        registry.add_region(connection, "A", BOUNDS, GRID, day(1), day(0), "1", NOW)
    with pytest.raises(AlgorithmError):
        registry.add_region(connection, "A", BOUNDS, GRID, day(1), None, "99", NOW)
    assert registry.regions(connection) == []


def test_a_region_finds_the_fields_that_were_there_before_it(connection: Connection) -> None:
    fields.register_fields(connection, [NewField("f", "f", SHAPE, FIRST)], NOW)

    add(connection)

    assert [line.external_id for line in timelines(connection, 1).values()] == ["f"]


def test_regions_are_listed_by_name_the_active_ones_alone_if_asked(connection: Connection) -> None:
    for name in ("B", "A", "C"):
        add(connection, name)
    registry.activate_region(connection, "A", active=False)

    assert [r.name for r in registry.regions(connection)] == ["A", "B", "C"]
    assert [r.name for r in registry.regions(connection, active=True)] == ["B", "C"]
    with pytest.raises(InputError, match=r"no region 'Z' \(known: 'A', 'B', 'C'\)"):
        registry.region(connection, "Z")


def test_the_revision_moves_with_every_write_and_the_lock_tells_it(connection: Connection) -> None:
    start = registry.lock(connection)

    add(connection)
    fields.register_fields(connection, [NewField("f", "f", SHAPE, FIRST)], NOW)
    registry.activate_region(connection, "A", active=False)

    assert registry.lock(connection) == registry.revision(connection) == start + 3
    assert registry.registry_counts(connection) == {
        "regions": 1,
        "fields": 1,
        "seasons": 1,
        "registry revision": start + 3,
    }


# --- monitored days --------------------------------------------------------------------------------------------------


def test_days_monitored_later_than_thought_are_withdrawn(connection: Connection) -> None:
    add(connection)
    close(connection, 0, 5)
    fields.register_fields(connection, [NewField("f", "f", SHAPE, day(-9))], NOW)

    assert registry.monitor_region(connection, "A", day(2), day(4), NOW)

    assert sorted(causes(connection)) == [2, 3, 4]
    assert {(d - FIRST).days for _, d in ledger.withdrawals(connection, 1, date.min, date.max)} == {0, 1, 5}


def test_days_monitored_earlier_are_closed_in_one_publication_without_rows_and_missed(connection: Connection) -> None:
    add(connection)
    close(connection, 0, 2)
    fields.register_fields(connection, [NewField("f", "f", SHAPE, day(-9))], NOW)
    missed_days.resolve_misses(connection, 1, [(1, day(n)) for n in range(3)], NOW)

    assert registry.monitor_region(connection, "A", day(-3), None, NOW)

    assert causes(connection) == {
        -3: Cause.LATE_REGION, -2: Cause.LATE_REGION, -1: Cause.LATE_REGION, 0: Cause.CARRY
    }  # fmt: skip
    layers = publications.layers(connection, 1, day(-3), day(-1))
    assert list(layers) == [day(-3), day(-2), day(-1)]
    assert {(layer.sequence, layer.object_key) for of_day in layers.values() for layer in of_day} == {(2, None)}
    closed = ledger.region_days(connection, 1, day(-3), day(-1))
    assert [(one.version, one.row_count, one.closed_at) for one in closed.values()] == [(2, 0, NOW)] * 3


def test_the_days_that_it_has_already_change_nothing(connection: Connection) -> None:
    add(connection)
    revision = registry.revision(connection)

    assert not registry.monitor_region(connection, "A", FIRST, None, NOW)
    assert registry.revision(connection) == revision


# --- algorithm -------------------------------------------------------------------------------------------------------


def test_a_version_that_is_not_supported_here_is_not_pinned(connection: Connection) -> None:
    add(connection)

    assert not registry.pin_algorithm(connection, "A", "1", NOW)
    with pytest.raises(AlgorithmError, match="'99' is not supported"):
        registry.pin_algorithm(connection, "A", "99", NOW)
    assert registry.region(connection, "A").algorithm_version == "1"


def test_a_place_is_read_from_the_row_without_rounding(connection: Connection) -> None:
    odd = Bounds(14.012345678901234, 45.0, 14.1, 45.1)
    add(connection, bounds=odd)

    found = registry.region(connection, "A")

    assert registry.aoi_of(found).bounds == odd
    assert shapely.from_wkb(found.geometry).equals(box(*odd))
