"""What an event causes on closed days, compared with an evaluation of each day by itself before and after it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from satcommon.db import expectations, fields, ledger, missed_days, registry
from satcommon.db.engine import write_transaction
from satcommon.db.expectations import expectations_change, timelines
from satcommon.db.fields import NewField
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, FieldRevision, Membership, Region, RegionDay, RevisionKind, Season
from satcommon.errors import InputError
from satcommon.geo.grid import Bounds, Grid
from shapely.geometry import box
from sqlalchemy import Connection, Engine, select

from tests.unit.closed_days import close_days

START, NOW = date(2026, 5, 1), datetime(2026, 7, 1, tzinfo=UTC)
WEST, EAST = Bounds(14.0, 45.0, 14.1, 45.1), Bounds(14.1, 45.0, 14.2, 45.1)
CLOSED = {"west": (0, 14), "east": (4, 10)}  # first and last closed day
SHAPES = {
    "west": box(14.02, 45.02, 14.04, 45.04),
    "west too": box(14.06, 45.02, 14.08, 45.04),
    "across": box(14.09, 45.02, 14.13, 45.04),
    "east": box(14.15, 45.02, 14.17, 45.04),
    "nowhere": box(20.0, 45.0, 20.1, 45.1),
}


def day(n: int) -> date:
    return START + timedelta(days=n)


def index(when: date) -> int:
    return (when - START).days


# --- a world, and each of its days by itself -------------------------------------------------------------------------

Key = tuple[str, int, int]  # region, field id, day
Miss = tuple[Cause, str]
OnDay = tuple[int, str]  # planting, polygon


@dataclass
class Seen:
    """Everything of the ledger and the registry that an event may move."""

    expected: dict[Key, OnDay] = field(default_factory=dict)
    misses: dict[Key, Miss] = field(default_factory=dict)
    withdrawn: set[Key] = field(default_factory=set)
    closed: dict[str, list[int]] = field(default_factory=dict)


def seen(connection: Connection) -> Seen:
    """The world as it is, with expectations evaluated day by day from the tables."""
    found = Seen()
    revisions = connection.execute(select(*FieldRevision.__table__.columns).order_by(FieldRevision.revision_id)).all()
    seasons = connection.execute(select(*Season.__table__.columns)).all()
    members = {tuple(row) for row in connection.execute(select(Membership.bbox_id, Membership.revision_id))}
    for region in connection.execute(select(*Region.__table__.columns)).all():
        rows = connection.execute(select(RegionDay.day, RegionDay.closed_at).where(RegionDay.bbox_id == region.bbox_id))
        found.closed[region.name] = sorted(index(row.day) for row in rows if row.closed_at)
        for n in found.closed[region.name]:
            when = day(n)
            if when < region.monitored_from or when > (region.monitored_until or date.max):
                continue
            for field_id in {revision.field_id for revision in revisions}:
                own = [s for s in seasons if s.field_id == field_id and s.planting_date <= when]
                season = max(own, key=lambda s: s.planting_date, default=None)
                if season is None or when > (season.end_date or date.max):
                    continue
                told = [r for r in revisions if r.field_id == field_id]
                later = [s.planting_date for s in seasons if s.field_id == field_id and s.planting_date > when]
                last = min([season.end_date or date.max, *(planting - timedelta(days=1) for planting in later)])
                # A correction speaks of the whole season that it was made in.
                speaking = [
                    r
                    for r in told
                    if r.valid_from <= when or (r.kind is RevisionKind.CORRECTED and r.valid_from <= last)
                ]
                polygon = [r for r in speaking if r.geometry is not None][-1]
                words = (RevisionKind.REGISTERED, RevisionKind.DEACTIVATED, RevisionKind.REACTIVATED)
                activity = [r.kind for r in told if r.valid_from <= when and r.kind in words][-1]
                if activity is not RevisionKind.DEACTIVATED and (region.bbox_id, polygon.revision_id) in members:
                    planting = index(season.planting_date)
                    found.expected[region.name, field_id, n] = (planting, polygon.geometry_digest)
        for miss in missed_days.misses(connection, region.bbox_id, date.min, date.max):
            found.misses[region.name, miss.field_id, index(miss.date_missed)] = (miss.cause, miss.digest)
        for field_id, when in ledger.withdrawals(connection, region.bbox_id, date.min, date.max):
            found.withdrawn.add((region.name, field_id, index(when)))
    return found


def before_it(expected: dict[Key, OnDay], key: Key) -> OnDay | None:
    """What the state of a day starts from: the day before, if expected in the same season."""
    region, field_id, n = key
    earlier = expected.get((region, field_id, n - 1))
    return earlier if earlier is not None and earlier[0] == expected[key][0] else None


def assert_caused(before: Seen, after: Seen, cause: Cause) -> None:
    """Section 5 of the design: what an event opens, resolves, lists and takes off the list, and nothing else."""
    for key in before.expected.keys() | after.expected.keys() | before.misses.keys() | after.misses.keys():
        was, now = before.expected.get(key), after.expected.get(key)
        if now is None:
            assert key not in after.misses, f"{key}: missed, but not expected"
            assert (was is None) or key in after.withdrawn, f"{key}: its row is not listed"
        elif was is None:
            assert after.misses[key][0] is cause, f"{key}: newly expected"
            assert key not in after.withdrawn, f"{key}: its row is wanted again"
        elif was[1] != now[1]:
            assert after.misses[key][0] is Cause.REVISED_FIELD, f"{key}: another polygon"
        else:
            link_was, link_is = before_it(before.expected, key), before_it(after.expected, key)
            another_start = (link_was is None) != (link_is is None) or (link_is is None and was[0] != now[0])
            if key in before.misses:
                assert after.misses[key] == before.misses[key], f"{key}: a miss that is open stays as it is"
            elif another_start:
                assert after.misses[key][0] is Cause.CARRY, f"{key}: follows a changed span"
            else:
                assert key not in after.misses, f"{key}: nothing of it changed"
    for key in before.withdrawn ^ after.withdrawn:
        was, now = before.expected.get(key), after.expected.get(key)
        assert (was is None) != (now is None), f"{key}: listed or taken off without a change"


def assert_nothing_stale_is_final(before: Seen, after: Seen) -> None:
    """A row that depends on anything that changed has an open miss at or before it, in its own run of days."""

    def chain(expected: dict[Key, OnDay], key: Key) -> list[tuple[Key, OnDay]]:
        found = [(key, expected[key])]
        while before_it(expected, key) is not None:
            key = (key[0], key[1], key[2] - 1)
            found.append((key, expected[key]))
        return found

    for key in before.expected.keys() & after.expected.keys():
        was, now = chain(before.expected, key), chain(after.expected, key)
        if was != now:
            assert any(link in after.misses for link, _ in now), f"{key}: stale, and nothing says so"


class _RollbackError(Exception):
    pass


@contextmanager
def rolled_back(engine: Engine) -> Iterator[Connection]:
    """A world with two regions, of which all is undone in the end."""
    with suppress(_RollbackError), write_transaction(engine) as connection:
        for name, bounds in (("west", WEST), ("east", EAST)):
            first, last = CLOSED[name]
            registry.add_region(connection, name, bounds, Grid.utm(bounds, 500.0), day(first), None, "1", NOW)
            bbox_id = registry.region(connection, name).bbox_id
            close_days(connection, bbox_id, [day(n) for n in range(first, last + 1)], NOW)
        yield connection
        raise _RollbackError


# --- events ----------------------------------------------------------------------------------------------------------

days = st.integers(-2, 18)
events = st.one_of(
    st.tuples(st.just("register"), st.sampled_from("fg"), st.sampled_from(sorted(SHAPES)), days, st.none() | days),
    st.tuples(st.just("active"), st.sampled_from("fg"), st.booleans(), days),
    st.tuples(st.just("correct"), st.sampled_from("fg"), st.sampled_from(sorted(SHAPES))),
    st.tuples(st.just("change"), st.sampled_from("fg"), st.sampled_from(sorted(SHAPES)), days),
    st.tuples(st.just("season"), st.sampled_from("fg"), st.none() | days, st.none() | days),
    st.tuples(st.just("plant"), st.sampled_from("fg"), days, st.none() | days),
    st.tuples(
        st.just("import"), st.sampled_from(sorted(SHAPES)), days, st.none() | days, st.none() | days, st.booleans()
    ),
    st.tuples(st.just("monitor"), st.sampled_from(["west", "east"]), days, st.none() | days),
    st.tuples(st.just("drain")),
    st.tuples(st.just("scene"), st.sampled_from(["west", "east"]), days),
)


def happen(  # noqa: C901 - one case an event
    connection: Connection, event: tuple[Any, ...], there: set[str]
) -> Cause | None:
    """Let an event happen; gives the cause of misses on newly expected days, None where it is none of the registry."""
    kind, *told = event
    if kind in ("active", "correct", "change", "season", "plant") and told[0] not in there:
        return Cause.REVISED_FIELD  # nothing happens
    match kind:
        case "register":
            name, shape, planting, end = told
            if name in there:
                return Cause.LATE_FIELD
            there.add(name)
            last = None if end is None else day(max(planting, end))
            one = NewField(name, name, SHAPES[shape], day(planting), last)
            fields.register_fields(connection, [one], NOW)
            return Cause.LATE_FIELD
        case "active":
            fields.activate_field(connection, told[0], day(told[2]), NOW, active=told[1])
        case "correct":
            fields.revise_geometry(connection, told[0], SHAPES[told[1]], None, NOW)
        case "change":
            fields.revise_geometry(connection, told[0], SHAPES[told[1]], day(told[2]), NOW)
        case "season":
            planting, end = (None if n is None else day(n) for n in told[1:])
            with suppress(InputError):  # it ends before it begins, or begins within the one before
                fields.revise_season(connection, told[0], planting, end, NOW)
        case "plant":
            with suppress(InputError):
                end = None if told[2] is None else day(told[2])
                fields.begin_season(connection, told[0], day(told[1]), end, None, NOW)
        case "import":  # of all fields that are there, in one file
            shape, planting, end, changed_from, new_season = told
            last = None if end is None else day(max(planting, end))
            new = [NewField(name, name, SHAPES[shape], day(planting), last) for name in sorted(there)]
            how = fields.Update(None if changed_from is None else day(changed_from), new_season)
            fields.register_fields(connection, new, NOW, how, skip_refused=True)
        case "monitor":
            until = None if told[2] is None else day(max(told[1], told[2]))
            registry.monitor_region(connection, told[0], day(told[1]), until, NOW)
            return Cause.LATE_REGION
        case "drain":  # as a replay would
            for region in registry.regions(connection):
                opened = missed_days.misses(connection, region.bbox_id, date.min, date.max)
                missed_days.resolve_misses(
                    connection, region.bbox_id, [(m.field_id, m.date_missed) for m in opened], NOW
                )
                listed = ledger.withdrawals(connection, region.bbox_id, date.min, date.max)
                ledger.cross_off(connection, region.bbox_id, listed)
            return None
        case "scene":  # as ingest would
            expected = seen(connection).expected
            missed = [f for region, f, n in expected if (region, n) == (told[0], told[1])]
            bbox_id = registry.region(connection, told[0]).bbox_id
            opened_misses = [OpenMiss(f, day(told[1]), Cause.LATE_SCENE, "s") for f in missed]
            missed_days.open_misses(connection, bbox_id, opened_misses, NOW)
            return None
    return Cause.REVISED_FIELD


def check(engine: Engine, sequence: list[tuple[Any, ...]]) -> None:
    with rolled_back(engine) as connection:
        there: set[str] = set()
        before = seen(connection)
        for event in sequence:
            cause = happen(connection, event, there)
            after = seen(connection)
            if cause is not None:
                assert_caused(before, after, cause)
                assert_nothing_stale_is_final(before, after)
            before = after


settled = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(settled, max_examples=60)
@given(st.lists(events, min_size=1, max_size=6))
def test_any_sequence_of_events_causes_what_the_design_says(
    sqlite_engine: Engine, sequence: list[tuple[Any, ...]]
) -> None:
    check(sqlite_engine, sequence)


@settings(settled, max_examples=8)
@given(st.lists(events, min_size=3, max_size=6))
def test_the_other_database_agrees(postgres_engine: Engine, sequence: list[tuple[Any, ...]]) -> None:
    check(postgres_engine, sequence)


# --- a few to picture, on both databases -----------------------------------------------------------------------------


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with rolled_back(engine) as connection:
        yield connection


def register(connection: Connection, shape: str, planting: int, end: int | None = None) -> None:
    last = None if end is None else day(end)
    fields.register_fields(connection, [NewField("f", "f", SHAPES[shape], day(planting), last)], NOW)


def drain(connection: Connection) -> None:
    happen(connection, ("drain",), set())


def causes(connection: Connection, region: str) -> dict[int, Cause]:
    return {n: cause for (name, _, n), (cause, _) in sorted(seen(connection).misses.items()) if name == region}


def withdrawn(connection: Connection, region: str) -> list[int]:
    return sorted(n for name, _, n in seen(connection).withdrawn if name == region)


def test_a_late_field_is_missed_on_every_closed_day_from_its_planting_on(connection: Connection) -> None:
    register(connection, "across", 6)

    assert causes(connection, "west") == dict.fromkeys(range(6, 15), Cause.LATE_FIELD)
    assert causes(connection, "east") == dict.fromkeys(range(6, 11), Cause.LATE_FIELD)


def test_a_field_registered_before_its_planting_is_missed_on_no_day(connection: Connection) -> None:
    register(connection, "across", 15)

    assert seen(connection).misses == {}


def test_a_deactivation_withdraws_from_its_day_on_and_a_reactivation_carries_on(connection: Connection) -> None:
    register(connection, "west", 0)
    drain(connection)

    fields.activate_field(connection, "f", day(5), NOW, active=False)
    assert causes(connection, "west") == {}
    assert withdrawn(connection, "west") == list(range(5, 15))

    fields.activate_field(connection, "f", day(9), NOW, active=True)
    assert causes(connection, "west") == dict.fromkeys(range(9, 15), Cause.REVISED_FIELD)
    assert withdrawn(connection, "west") == [5, 6, 7, 8]


def test_a_gap_that_is_filled_carries_on_into_the_day_after_it(connection: Connection) -> None:
    register(connection, "west", 0)
    fields.activate_field(connection, "f", day(5), NOW, active=False)
    fields.activate_field(connection, "f", day(9), NOW, active=True)
    drain(connection)

    fields.activate_field(connection, "f", day(5), NOW, active=True)

    assert causes(connection, "west") == dict.fromkeys(range(5, 9), Cause.REVISED_FIELD) | {9: Cause.CARRY}


def test_an_open_miss_after_a_changed_span_stays_as_it_is(connection: Connection) -> None:
    register(connection, "west", 4)
    drain(connection)
    happen(connection, ("scene", "west", 4), set())

    fields.revise_season(connection, "f", day(2), None, NOW)

    found = causes(connection, "west")
    assert found == {2: Cause.REVISED_FIELD, 3: Cause.REVISED_FIELD, 4: Cause.LATE_SCENE}


def test_a_correction_misses_from_the_planting_on_and_a_change_from_its_day(connection: Connection) -> None:
    register(connection, "west", 3)
    drain(connection)

    fields.revise_geometry(connection, "f", SHAPES["west too"], day(10), NOW)
    assert causes(connection, "west") == dict.fromkeys(range(10, 15), Cause.REVISED_FIELD)

    fields.revise_geometry(connection, "f", SHAPES["across"], None, NOW)
    assert causes(connection, "west") == dict.fromkeys(range(3, 15), Cause.REVISED_FIELD)


def test_a_polygon_that_moves_leaves_one_region_and_enters_another(connection: Connection) -> None:
    register(connection, "west", 0)
    drain(connection)

    fields.revise_geometry(connection, "f", SHAPES["east"], day(6), NOW)

    assert causes(connection, "west") == {}
    assert withdrawn(connection, "west") == list(range(6, 15))
    assert causes(connection, "east") == dict.fromkeys(range(6, 11), Cause.REVISED_FIELD)
    assert withdrawn(connection, "east") == []


def test_the_planting_day_moved_later_withdraws_and_carries_on_from_the_new_one(connection: Connection) -> None:
    register(connection, "west", 2)
    drain(connection)

    fields.revise_season(connection, "f", day(5), None, NOW)

    assert causes(connection, "west") == {5: Cause.CARRY}
    assert withdrawn(connection, "west") == [2, 3, 4]


def test_what_is_missed_in_a_region_that_closed_nothing_is_nothing(connection: Connection) -> None:
    bounds = Bounds(20.0, 45.0, 20.1, 45.1)
    registry.add_region(connection, "new", bounds, Grid.utm(bounds, 500.0), day(0), None, "1", NOW)

    register(connection, "nowhere", 0)

    assert seen(connection).misses == {}
    bbox_id = registry.region(connection, "new").bbox_id
    assert [line.external_id for line in timelines(connection, bbox_id).values()] == ["f"]


def test_many_fields_asked_for_at_once_are_the_ones_asked_for(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [box(14.001 + i / 100, 45.02, 14.002 + i / 100, 45.03) for i in range(8)]
    new = [NewField(f"f{i}", "f", shape, day(0)) for i, shape in enumerate(shapes)]
    fields.register_fields(connection, new, NOW)
    few = [1, 3, 5]
    directly = timelines(connection, 1, few)

    monkeypatch.setattr(expectations, "_FEW", 2)

    assert timelines(connection, 1, few) == directly
    assert sorted(directly) == few
    assert sorted(timelines(connection, 1)) == list(range(1, 9))
    assert timelines(connection, 1, []) == {}


def test_the_part_of_a_polygon_that_lies_in_a_region_is_told(connection: Connection) -> None:
    register(connection, "across", 0)

    west, east = (timelines(connection, bbox_id)[1].spans[0].inside_fraction for bbox_id in (1, 2))

    assert (west, east) == pytest.approx((0.25, 0.75), rel=1e-3)
    assert west + east == pytest.approx(1.0, rel=1e-6)


def test_a_change_that_fails_within_opens_nothing(connection: Connection) -> None:
    register(connection, "west", 0)
    drain(connection)
    registry.lock(connection)

    with pytest.raises(ZeroDivisionError), expectations_change(connection, [1, 2], None, Cause.REVISED_FIELD, NOW):
        raise ZeroDivisionError

    assert seen(connection).misses == {}
