"""A small world that is closed by the real thing, then tampered with: the audit must find each kind of damage."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely
from satcommon.audit.audit import Report, audit
from satcommon.audit.deep_audit import check_states
from satcommon.audit.repair import repair
from satcommon.db import fields, ledger, missed_days, publications, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import (
    Cause,
    FieldRevision,
    Membership,
    Miss,
    Publication,
    PublicationDay,
    PublicationKind,
    RegionDay,
)
from satcommon.db.publications import Layer, NewPublication
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.publication import objects
from satcommon.publication.objects import CAUSE, WITHDRAWN, ResultObjects
from satcommon.publication.reader import published_days
from satcommon.sources.simulated import SimulatedSource
from satcommon.stats import result_rows
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine, delete, update

from tests.conftest import Fill

BOUNDS = Bounds(14.0, 45.0, 14.05, 45.05)
FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 5


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


@dataclass
class World:
    engine: Engine
    store: ObjectStore

    def audit(self) -> Report:
        with read_transaction(self.engine) as connection:
            region = registry.region(connection, "A")
        return audit(self.engine, self.store, region, lambda: None)

    def execute(self, statement: Any) -> None:
        with write_transaction(self.engine) as connection:
            connection.execute(statement)

    def set_day(self, n: int, **values: Any) -> None:
        with write_transaction(self.engine) as connection:
            ledger.set_day(connection, 1, day(n), **values)

    def base(self, n: int) -> Layer:
        """The publication that gives a day's rows; there is one."""
        with read_transaction(self.engine) as connection:
            [layer] = publications.layers(connection, 1, day(n), day(n))[day(n)]
        return layer

    def key(self, n: int) -> str:
        return str(self.base(n).object_key)

    def rows(self, n: int) -> pa.Table:
        with read_transaction(self.engine) as connection:
            return published_days(connection, 1, day(n), day(n)).rows(ResultObjects(self.store), day(n))

    def canonical(self) -> list[bytes]:
        return [objects.encode(self.rows(n)) for n in range(DAYS)]

    def replay(self) -> None:
        for _ in replay(Processor(self.engine, self.store), self.engine, 1, Deadlines(36.0, 30), "run", NOW):
            pass

    def spoil(self, n: int) -> None:
        """Other bytes than were put."""
        self.store.delete(self.key(n))
        self.store.put(self.key(n), b"no Parquet")

    def republish(self, n: int, rows: Callable[[pa.Table], pa.Table]) -> None:
        """Another publication of a day, with digest and count as they should be."""
        table = rows(self.rows(n))
        put = ResultObjects(self.store).put_day(1, day(n), table, NOW)
        count = table.num_rows
        with write_transaction(self.engine) as connection:
            new = NewPublication(PublicationKind.DAY, put, {day(n): count}, count, "", "tampered")
            publications.publish(connection, 1, new, NOW)


@pytest.fixture
def world(sqlite_engine: Engine, tmp_path: Path, filled_once: Fill) -> World:
    """Two fields, five closed days, every other one with a scene."""
    store, source = ObjectStore(str(tmp_path / "store")), SimulatedSource(cycle_days=2)

    def five_days() -> None:
        with write_transaction(sqlite_engine) as connection:
            registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 200.0), FIRST, None, "1", NOW)
            shapes = [box(14.01 + i / 50, 45.01, 14.02 + i / 50, 45.03) for i in range(2)]
            new = [NewField(f"f{i}", "f", shape, FIRST) for i, shape in enumerate(shapes, 1)]
            fields.register_fields(connection, new, NOW)
        closer = Closer(sqlite_engine, store, 1, Deadlines(36.0, 30), "run", NOW)
        assert len(list(closer.backfill(source, day(DAYS - 1), lambda *_: None))) == DAYS

    filled_once(sqlite_engine, tmp_path / "store", five_days)
    return World(sqlite_engine, store)


def expect(report: Report, *fragments: str) -> None:
    assert not report.clean
    assert report.problem_count == len(report.problems) == len(fragments), report.problems
    for problem, fragment in zip(report.problems, fragments, strict=True):
        assert fragment in problem


# --- clean -----------------------------------------------------------------------------------------------------------


def test_a_clean_world_is_clean_and_counted(world: World) -> None:
    report = world.audit()

    assert report.clean, report.problems
    assert (report.first_day, report.watermark) == (day(0), day(DAYS - 1))
    assert (report.expected, report.settled, report.missed, report.withdrawn) == (2 * DAYS, 2 * DAYS, 0, 0)


def test_a_region_that_closed_nothing_is_clean(sqlite_engine: Engine, store_folder: Path) -> None:
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 200.0), FIRST, None, "1", NOW)

    assert World(sqlite_engine, ObjectStore(str(store_folder))).audit() == Report("A")


def test_what_is_missed_is_not_lost(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, [NewField("late", "late", box(14.01, 45.04, 14.02, 45.045), day(2))], NOW)
        fields.revise_geometry(connection, "f1", box(14.01, 45.01, 14.02, 45.02), day(4), NOW)

    report = world.audit()

    assert report.clean, report.problems
    assert (report.expected, report.settled, report.missed) == (2 * DAYS + 3, 2 * DAYS - 1, 4)


def test_rows_that_are_to_be_withdrawn_are_counted(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.activate_field(connection, "f1", day(3), NOW, active=False)

    report = world.audit()

    assert report.clean, report.problems
    assert (report.expected, report.withdrawn) == (2 * DAYS - 2, 2)


def test_progress_is_told_once_a_day(world: World) -> None:
    told: list[int] = []
    with read_transaction(world.engine) as connection:
        region = registry.region(connection, "A")

    audit(world.engine, world.store, region, lambda: told.append(1))

    assert len(told) == DAYS


# --- tampered with ---------------------------------------------------------------------------------------------------


def test_an_object_that_is_gone_is_found(world: World) -> None:
    world.store.delete(world.key(2))

    expect(world.audit(), f"{day(2)}..{day(2)}: the object {world.key(2)} of publication 3 (day) is gone")


def test_an_object_of_other_bytes_is_found(world: World) -> None:
    world.spoil(2)

    expect(
        world.audit(), f"{day(2)}: the object {world.key(2)} of {world.base(2).name} is not the one that was published"
    )


def test_a_count_that_is_not_the_objects_is_found(world: World) -> None:
    world.set_day(2, row_count=3)

    expect(world.audit(), "2 fields have rows, 3 were published")


def test_a_row_that_is_gone_is_found(world: World) -> None:
    world.republish(2, lambda table: result_rows.without(table, ["f1"]))

    expect(world.audit(), f"{day(2)} f1: expected, has no row, and is not missed")


def test_a_row_there_twice_is_found(world: World) -> None:
    world.republish(2, lambda table: pa.concat_tables([table, result_rows.only(table, ["f1"])]))

    expect(world.audit(), "2 fields have rows, 3 were published")


@pytest.mark.parametrize("column", ["scene_digest", "geometry_digest", "algorithm_version"])
def test_a_row_of_other_inputs_is_found(world: World, column: str) -> None:
    def stale(table: pa.Table) -> pa.Table:
        others = pa.array(["other", *table[column].to_pylist()[1:]], pa.string())
        return table.set_column(table.schema.get_field_index(column), column, others)

    world.republish(2, stale)

    expect(world.audit(), f"{day(2)} f1: expected, has a row of other inputs, and is not missed")


def test_a_miss_that_was_dropped_is_found(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, [NewField("late", "late", box(14.01, 45.04, 14.02, 45.045), day(3))], NOW)
    world.execute(delete(Miss).where(Miss.date_missed == day(3)))

    expect(world.audit(), f"{day(3)} late: expected, has no row, and is not missed")


def test_a_miss_that_nobody_expects_is_found(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.activate_field(connection, "f1", day(3), NOW, active=False)
        missed_days.open_misses(connection, 1, [OpenMiss(1, day(3), Cause.CARRY, "carry")], NOW)

    expect(world.audit(), f"{day(3)} f1: missed, but not expected")


def test_a_miss_on_a_day_that_is_not_closed_is_found(world: World) -> None:
    with write_transaction(world.engine) as connection:
        missed_days.open_misses(connection, 1, [OpenMiss(1, day(DAYS), Cause.CARRY, "carry")], NOW)

    expect(world.audit(), "1 misses on a day that is not closed")


def test_a_withdrawal_that_was_dropped_is_found(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.activate_field(connection, "f1", day(4), NOW, active=False)
        ledger.cross_off(connection, 1, [(1, day(4))])

    expect(world.audit(), f"{day(4)} f1: a row that is not expected, and not to be withdrawn")


def test_a_withdrawal_of_a_row_that_is_expected_is_found(world: World) -> None:
    with write_transaction(world.engine) as connection:
        ledger.withdraw(connection, 1, [(1, day(4))], NOW)

    expect(world.audit(), f"{day(4)} f1: expected, and to be withdrawn")


def test_a_strangers_row_is_found(world: World) -> None:
    def with_stranger(table: pa.Table) -> pa.Table:
        stranger = result_rows.only(table, ["f1"])
        at = stranger.schema.get_field_index("field")
        return pa.concat_tables([table, stranger.set_column(at, "field", pa.array(["stranger"]))])

    world.republish(1, with_stranger)

    expect(world.audit(), f"{day(1)} stranger: a row of a field that was never in the region")


def test_membership_that_was_removed_is_found(world: World) -> None:
    world.execute(delete(Membership).where(Membership.revision_id == 1))

    report = world.audit()

    assert "membership of revision 1 is not stored" in report.problems[0]
    assert report.problem_count == 1 + DAYS  # and its rows are strangers'


def test_membership_that_geometry_denies_is_found(world: World) -> None:
    elsewhere = shapely.to_wkb(box(20, 45, 20.1, 45.1))
    world.execute(update(FieldRevision).where(FieldRevision.revision_id == 1).values(geometry=elsewhere))

    expect(world.audit(), "membership of revision 1 is stored, but its polygon is elsewhere")


def test_a_day_that_was_skipped_is_found(world: World) -> None:
    world.set_day(2, closed_at=None)

    assert any("are not closed" in problem for problem in world.audit().problems)


def test_a_row_of_a_day_that_was_never_asked_for_is_found_and_what_is_missed_there_is_counted(world: World) -> None:
    world.set_day(1, answered_at=None)

    report = world.audit()

    assert report.days_never_asked == 1
    assert report.problem_count == 2  # of two fields
    assert all("a row of other inputs" in problem for problem in report.problems)
    repair(world.engine, 1, report, NOW)
    assert (world.audit().clean, world.audit().days_never_asked, world.audit().missed) == (True, 1, 2)


def test_a_first_day_that_was_skipped_is_found(world: World) -> None:
    world.execute(delete(RegionDay).where(RegionDay.day == day(0)))

    assert any("are not closed" in problem for problem in world.audit().problems)


def test_many_problems_are_all_counted_and_the_first_ones_told(world: World) -> None:
    world.execute(delete(Membership))
    with write_transaction(world.engine) as connection:
        for n in range(40):
            missed_days.open_misses(connection, 1, [OpenMiss(1, day(DAYS + n), Cause.CARRY, "carry")], NOW)

    report = world.audit()

    assert report.problem_count == 2 + 2 * DAYS + 40
    assert len(report.problems) == 20


# --- put right -------------------------------------------------------------------------------------------------------


def _stray(world: World) -> None:
    with write_transaction(world.engine) as connection:
        fields.activate_field(connection, "f1", day(3), NOW, active=False)
        ledger.cross_off(connection, 1, ledger.withdrawals(connection, 1, date.min, date.max))


def _wrong_state(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("ndvi_integral_e4")
    return table.set_column(at, "ndvi_integral_e4", pa.array([1] * table.num_rows, pa.int64()))


@pytest.mark.parametrize(
    "damage",
    [
        lambda world: world.store.delete(world.key(2)),
        lambda world: world.spoil(2),
        lambda world: world.republish(2, lambda table: result_rows.without(table, ["f1"])),
        lambda world: world.republish(2, _wrong_state),
        _stray,
    ],
    ids=["gone", "spoilt", "row gone", "wrong state", "stray row"],
)
def test_what_a_repair_lists_the_replay_puts_right(world: World, damage: Callable[[World], None]) -> None:
    before = world.canonical()
    damage(world)
    found = _deep(world)
    assert not found.clean

    repair(world.engine, 1, found, NOW)
    assert world.audit().clean
    world.replay()

    again = _deep(world)
    assert (again.problems, again.missed, again.withdrawn) == ([], 0, 0)
    if damage is not _stray:
        assert world.canonical() == before


def _deep(world: World) -> Report:
    report = world.audit()
    with read_transaction(world.engine) as connection:
        region = registry.region(connection, "A")
    check_states(world.engine, world.store, region, report, lambda: None)
    return report


@pytest.mark.parametrize("damage", ["gone", "spoilt"])
def test_a_bad_patch_is_told_and_its_days_are_put_right(world: World, damage: str) -> None:
    patch = _patch_of_a_late_field(world, 1, 3)
    before = world.canonical()
    key = str(patch.object_key)
    world.store.delete(key)
    if damage == "spoilt":
        world.store.put(key, b"no patch")

    found = _deep(world)

    if damage == "gone":
        expect(found, f"{day(1)}..{day(3)}: the object {key} of publication {patch.sequence} (patch) is gone")
    else:
        expect(found, f"{day(1)}: the object {key} of publication {patch.sequence} (patch, ")
    assert (found.lost_publications, found.unreadable) == ([patch.sequence], [day(1), day(2), day(3)])
    repair(world.engine, 1, found, NOW)
    assert world.audit().clean
    assert world.audit().missed == 9
    world.replay()
    assert (_deep(world).problems, world.audit().missed) == ([], 0)
    assert world.canonical() == before


def test_a_bad_patch_that_a_day_still_needs_stays_in_the_log(world: World) -> None:
    """A replay that comes between an audit and its repair lays a patch over the bad one: the next audit finds it."""
    patch = _patch_of_a_late_field(world, 1, 3)
    world.store.delete(str(patch.object_key))
    found = world.audit()
    rows = result_rows.only(world.rows(0), ["f1"])
    at = rows.schema.get_field_index("day")
    rows = rows.set_column(at, rows.schema.field(at), pa.array([day(2)], pa.date32()))
    rows = rows.append_column(CAUSE, pa.array(["carry"])).append_column(WITHDRAWN, pa.array([False]))
    put = ResultObjects(world.store).put_patch(1, rows, NOW)
    with write_transaction(world.engine) as connection:
        over = NewPublication(PublicationKind.PATCH, put, {day(2): 3}, 1, "run", "replayed")
        publications.publish(connection, 1, over, NOW)

    repair(world.engine, 1, found, NOW)

    with read_transaction(world.engine) as connection:
        log = {one.sequence: one.removed_at for one in publications.publications(connection, 1)}
        layers = published_days(connection, 1, day(0), day(DAYS)).layers
    assert log[patch.sequence] is None
    assert [len(layers[day(n)]) for n in range(DAYS)] == [1, 1, 3, 1, 1]
    again = world.audit()
    assert (again.lost_publications, again.unreadable) == ([patch.sequence], [day(2)])
    repair(world.engine, 1, again, NOW)
    world.replay()
    assert (_deep(world).problems, world.audit().missed) == ([], 0)


def test_an_older_object_that_is_gone_is_told_and_left_out_from_then_on(world: World) -> None:
    key = world.key(2)
    world.republish(2, lambda table: table)
    before = world.canonical()
    world.store.delete(key)

    found = _deep(world)

    expect(found, f"{day(2)}..{day(2)}: the object {key} of publication 3 (day) is gone")
    assert (found.lost_publications, found.unreadable) == ([3], [])
    repair(world.engine, 1, found, NOW)
    assert _deep(world).clean
    assert world.audit().missed == 0
    assert world.canonical() == before


def test_a_publication_that_is_missing_from_the_log_is_told(world: World) -> None:
    world.republish(2, lambda table: table)
    for table in (PublicationDay, Publication):
        world.execute(delete(table).where(table.sequence == 3))

    expect(world.audit(), "A: publication 3 is missing from the log")


def _patch_of_a_late_field(world: World, first: int, last: int) -> Publication:
    late = NewField("late", "late", box(14.01, 45.04, 14.02, 45.045), day(first), day(last))
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, [late], NOW)
    world.replay()
    with read_transaction(world.engine) as connection:
        patch = publications.publications(connection, 1)[-1]
    assert patch is not None
    assert (patch.kind, patch.first_day, patch.last_day) == (PublicationKind.PATCH, day(first), day(last))
    return patch
