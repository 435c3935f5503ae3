import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import shapely
import sqlalchemy
from satcommon.db import fields, ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.fields import NewField
from satcommon.db.models import Cause, Field, FieldRevision, Membership, Miss, RevisionKind, Season, Withdrawal
from satcommon.db.revising import ALWAYS
from satcommon.errors import InputError
from satcommon.geo.geometry import digest
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.normal_form import normal
from shapely.affinity import translate
from shapely.geometry import box
from sqlalchemy import Connection, Engine, func, select

WEST, EAST = Bounds(14.0, 45.0, 14.1, 45.1), Bounds(14.1, 45.0, 14.2, 45.1)
PLANTED, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
SHAPE = box(14.02, 45.02, 14.04, 45.04)
MOVED = translate(SHAPE, 0.01, 0)
ACROSS = box(14.09, 45.02, 14.13, 45.04)  # the larger part in the east
NOWHERE = box(20, 45, 20.1, 45.1)


def day(n: int) -> date:
    return PLANTED + timedelta(days=n)


def new(name: str = "f", shape: shapely.Geometry = SHAPE, **told: Any) -> NewField:
    return NewField(name, name.title(), shape, told.pop("planting", PLANTED), where=f"file: {name}", **told)


@pytest.fixture
def regions(engine: Engine) -> Engine:
    with write_transaction(engine) as connection:
        for name, bounds in (("west", WEST), ("east", EAST)):
            registry.add_region(connection, name, bounds, Grid.utm(bounds, 500.0), PLANTED, None, "1", NOW)
            bbox_id = registry.region(connection, name).bbox_id
            for n in range(5):
                ledger.set_day(connection, bbox_id, day(n), closed_at=NOW)
    return engine


@pytest.fixture
def connection(regions: Engine) -> Iterator[Connection]:
    with write_transaction(regions) as connection:
        yield connection


def homes(connection: Connection) -> dict[int, int]:
    rows = connection.execute(select(Membership.revision_id, Membership.bbox_id).where(Membership.home)).all()
    assert len({row.revision_id for row in rows}) == len(rows)
    return {row.revision_id: row.bbox_id for row in rows}


def revisions(connection: Connection) -> list[tuple[RevisionKind, date]]:
    found = connection.execute(select(FieldRevision).order_by(FieldRevision.revision_id)).all()
    return [(row.kind, row.valid_from) for row in found]


def misses(connection: Connection) -> int:
    return connection.execute(select(func.count(Miss.id))).scalar_one()


# --- registration ----------------------------------------------------------------------------------------------------


def test_a_field_is_registered_with_its_season_its_polygon_and_its_regions(connection: Connection) -> None:
    done = fields.register_fields(
        connection, [new("f", ACROSS, end=day(90), crop_code="maize"), new("g", NOWHERE)], NOW
    )

    assert (done.created, done.unchanged, done.homeless) == (["f", "g"], [], ["g"])
    found = fields.field(connection, "f")
    assert (found.name, found.planting_date, found.active, found.known_at) == ("F", PLANTED, True, NOW)
    assert found.geometry_digest == digest(ACROSS)
    assert shapely.from_wkb(found.geometry).equals_exact(normal([ACROSS])[0])
    season = connection.execute(select(Season).where(Season.field_id == found.field_id)).one()
    assert (season.planting_date, season.end_date, season.crop_code) == (PLANTED, day(90), "maize")
    assert revisions(connection) == [(RevisionKind.REGISTERED, ALWAYS)] * 2
    assert homes(connection) == {1: 2}  # the east has the larger part


def test_of_equal_parts_the_region_that_was_first_is_the_home(connection: Connection) -> None:
    fields.register_fields(connection, [new("f", box(14.09, 45.02, 14.11, 45.04))], NOW)

    overlaps = connection.execute(select(Membership.overlap_ha).order_by(Membership.bbox_id)).scalars().all()
    if overlaps[0] == overlaps[1]:
        assert homes(connection) == {1: 1}
    else:  # equal on the ellipsoid but for the last bits
        assert overlaps[0] == pytest.approx(overlaps[1], rel=1e-9)


def test_a_region_that_comes_later_takes_the_home_if_its_part_is_larger(connection: Connection) -> None:
    fields.register_fields(connection, [new("f", ACROSS), new("g", SHAPE)], NOW)

    whole = Bounds(14.0, 45.0, 14.2, 45.1)
    registry.add_region(connection, "whole", whole, Grid.utm(whole, 500.0), PLANTED, None, "1", NOW)

    assert homes(connection) == {1: 3, 2: 1}


def test_a_field_that_is_there_already_costs_no_write(regions: Engine) -> None:
    with write_transaction(regions) as connection:
        fields.register_fields(connection, [new("f", end=day(90)), new("g", ACROSS)], NOW)
        opened = misses(connection)
    with read_transaction(regions) as connection:
        revision = registry.revision(connection)

    with write_transaction(regions) as connection:
        again = fields.register_fields(connection, [new("g", ACROSS), new("f")], LATER)  # tells no end, denies none

    with read_transaction(regions) as connection:
        assert registry.revision(connection) == revision
        assert {row.known_at for row in fields.fields(connection)} == {NOW}
        assert misses(connection) == opened
    assert (again.created, again.unchanged, again.homeless) == ([], ["f", "g"], [])


def test_the_same_polygon_from_another_vertex_is_unchanged(connection: Connection) -> None:
    fields.register_fields(connection, [new("f")], NOW)
    ring = list(SHAPE.exterior.coords)[:-1]

    again = fields.register_fields(connection, [new("f", shapely.Polygon([*ring[2:], *ring[:2]][::-1]))], LATER)

    assert again.unchanged == ["f"]


def test_a_polygon_that_was_stored_before_there_was_a_normal_form_is_unchanged(connection: Connection) -> None:
    came = translate(box(14.02, 45.02, 14.04, 45.04), 1e-10 / 3, -1e-10 / 7)
    ring = list(came.exterior.coords)[:-1]
    stored = shapely.Polygon([ring[2], *ring[2:], *ring[:2]])
    fields.register_fields(connection, [new("f", came)], NOW)
    then = {"geometry": shapely.to_wkb(stored), "geometry_digest": hashlib.sha256(shapely.to_wkb(stored)).hexdigest()}
    for table in (Field, FieldRevision):
        connection.execute(sqlalchemy.update(table).values(then))

    again = fields.register_fields(connection, [new("f", came)], LATER)

    assert again.unchanged == ["f"]
    assert fields.field(connection, "f").geometry_digest == then["geometry_digest"]


def test_a_polygon_that_comes_back_from_another_vertex_has_the_same_parts_in_regions(connection: Connection) -> None:
    shape = shapely.Polygon([(14.0903, 45.0211), (14.1307, 45.0217), (14.1209, 45.0391), (14.0951, 45.0413)])
    ring = list(shape.exterior.coords)[:-1]
    fields.register_fields(connection, [new("f", shape)], NOW)
    for n, other in enumerate((MOVED, shapely.Polygon(ring[2:] + ring[:2]), MOVED, shapely.Polygon(ring[::-1]))):
        assert fields.revise_geometry(connection, "f", other, None, LATER + timedelta(days=n))

    columns = (Membership.bbox_id, FieldRevision.geometry_digest, FieldRevision.geometry)
    statement = select(*columns, Membership.area_ha, Membership.overlap_ha).join(
        FieldRevision, FieldRevision.revision_id == Membership.revision_id
    )
    parts = [tuple(row) for row in connection.execute(statement) if row.geometry_digest == digest(shape)]

    assert len(parts) == 6
    assert len(set(parts)) == 2


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (new("f", MOVED), "another geometry"),
        (new("f", planting=day(1)), "another planting_date"),
        (new("f", end=day(91)), "another season_end"),
        (new("f", crop_code="rye"), "another crop"),
        (replace(new("f"), name="Hill"), "another name"),
        (new("f", MOVED, planting=day(1)), "another planting_date and geometry"),
    ],
)
def test_another_content_under_an_identity_is_refused_and_nothing_of_the_batch_is_taken(
    regions: Engine, other: NewField, what: str
) -> None:
    with write_transaction(regions) as connection:
        fields.register_fields(connection, [new("f", end=day(90))], NOW)
        before = (registry.revision(connection), misses(connection), len(fields.fields(connection)))

    with pytest.raises(InputError, match=f"file: f: field 'f' exists with {what}") as refused:  # noqa: SIM117
        with write_transaction(regions) as connection:
            fields.register_fields(connection, [new("a"), other, new("z")], LATER)

    assert "satctl fields revise" in str(refused.value)
    with read_transaction(regions) as connection:
        assert (registry.revision(connection), misses(connection), len(fields.fields(connection))) == before


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ([new("f"), new("f", MOVED)], "is also that of file: f"),
        ([new("f"), new("g", end=day(-1))], "before its planting"),
        ([new("f", planting=date(1970, 1, 1))], "outside of 1972-07-23"),
        ([new("f", planting=date(2400, 1, 1))], "outside of"),
    ],
)
def test_one_bad_field_keeps_all_of_the_batch_out(regions: Engine, bad: list[NewField], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint), write_transaction(regions) as connection:
        fields.register_fields(connection, [new("ok"), *bad], NOW)

    with read_transaction(regions) as connection:
        assert fields.fields(connection) == []
        assert misses(connection) == 0


def test_no_fields_is_nothing_done(connection: Connection) -> None:
    revision = registry.revision(connection)

    assert fields.register_fields(connection, [], NOW) == fields.Registered([], [], [])
    assert registry.revision(connection) == revision


def test_a_field_that_is_not_there_is_named(connection: Connection) -> None:
    with pytest.raises(InputError, match="there is no field 'nobody'"):
        fields.field(connection, "nobody")


# --- updates ---------------------------------------------------------------------------------------------------------


def told(connection: Connection) -> dict[str, Any]:
    """All that an event may move, without the ids that tell in which order things were entered."""
    fields_by_id = {row.field_id: row for row in fields.fields(connection)}
    revised = connection.execute(select(FieldRevision)).all()
    seasons = connection.execute(select(Season)).all()
    opened = connection.execute(select(Miss)).all()
    listed = connection.execute(select(Withdrawal)).all()
    names = {field_id: row.external_id for field_id, row in fields_by_id.items()}
    return {
        "fields": {(r.external_id, r.name, r.geometry_digest, r.planting_date) for r in fields_by_id.values()},
        "revisions": {(names[r.field_id], r.kind, r.valid_from, r.geometry_digest) for r in revised},
        "seasons": {(names[s.field_id], s.planting_date, s.end_date, s.crop_code) for s in seasons},
        "misses": {(names[m.field_id], m.bbox_id, m.date_missed, m.cause, m.digest, m.processed) for m in opened},
        "withdrawals": {(names[w.field_id], w.bbox_id, w.day) for w in listed},
        "homes": sorted(homes(connection).values()),
    }


def start(connection: Connection) -> None:
    fields.register_fields(
        connection,
        [new("f", end=day(9)), new("g", ACROSS, crop_code="oats"), new("h", planting=day(1)), new("i")],
        NOW,
    )


def update(connection: Connection, *told: NewField, **how: Any) -> fields.Registered:
    return fields.register_fields(connection, told, LATER, fields.Update(**how))


def test_a_file_tells_new_fields_from_corrected_moved_renamed_and_unchanged_ones(connection: Connection) -> None:
    start(connection)

    done = update(
        connection,
        new("a"),
        new("f", MOVED, planting=day(2)),
        new("g", ACROSS, crop_code="maize"),
        replace(new("h", planting=day(1)), name="Hill"),
        new("i"),
        new("j", NOWHERE),
    )

    assert done == fields.Registered(
        created=["a", "j"],
        unchanged=["i"],
        homeless=["j"],
        corrected=["f"],
        season_revised=["f", "g"],
        renamed=["h"],
    )
    assert (fields.field(connection, "h").name, fields.field(connection, "f").planting_date) == ("Hill", day(2))
    assert ("f", RevisionKind.CORRECTED, day(2), digest(MOVED)) in told(connection)["revisions"]
    assert {("f", day(2), day(9), None), ("g", PLANTED, None, "maize")} <= told(connection)["seasons"]


def test_one_file_causes_exactly_what_single_revisions_do(regions: Engine) -> None:
    found = []
    for batch in (True, False):
        with suppress(ZeroDivisionError), write_transaction(regions) as connection:
            start(connection)
            if batch:
                update(connection, new("f", MOVED, planting=day(2)), new("g", SHAPE), new("h", planting=day(3)))
            else:
                fields.revise_season(connection, "f", day(2), None, LATER)
                fields.revise_geometry(connection, "f", MOVED, None, LATER)
                fields.revise_geometry(connection, "g", SHAPE, None, LATER)
                fields.revise_season(connection, "h", day(3), None, LATER)
            found.append(told(connection))
            1 / 0  # noqa: B018  # takes all of it back

    assert found[0]["misses"]
    assert found[0] == found[1]


def test_the_same_file_again_changes_nothing(regions: Engine) -> None:
    again = [new("f", MOVED, planting=day(2)), new("g", SHAPE, crop_code="rye")]
    with write_transaction(regions) as connection:
        start(connection)
        update(connection, *again)
        before, revision = told(connection), registry.revision(connection)

    with write_transaction(regions) as connection:
        done = update(connection, *again)

        assert (done.unchanged, done.created) == (["f", "g"], [])
        assert (told(connection), registry.revision(connection)) == (before, revision)


def test_a_name_that_is_only_the_identity_renames_nothing_and_no_crop_takes_none_away(connection: Connection) -> None:
    start(connection)

    done = update(connection, replace(new("g", ACROSS), name="g"))

    assert done.unchanged == ["g"]
    assert fields.field(connection, "g").name == "G"


def test_a_change_holds_from_its_day_on(connection: Connection) -> None:
    start(connection)

    done = update(connection, new("i", MOVED), changed_from=day(3))

    assert (done.changed, done.corrected) == (["i"], [])
    assert revisions(connection)[-1] == (RevisionKind.CHANGED, day(3))


def test_the_day_from_which_a_file_s_polygon_holds_may_be_revised(connection: Connection) -> None:
    fields.register_fields(connection, [new(), new("g", NOWHERE)], NOW)
    again = [new(shape=MOVED), new("g", NOWHERE)]

    days = [8, 4, 4, 6]
    done = [update(connection, *again, changed_from=day(n)).changed for n in days]
    assert done == [["f"], ["f"], [], []]
    assert polygons(connection) == dict.fromkeys(range(4), "shape") | dict.fromkeys(range(4, 12), "moved")

    assert [update(connection, *again).corrected for _ in range(2)] == [["f"], []]
    assert polygons(connection) == dict.fromkeys(range(12), "moved")


def test_a_correction_to_what_a_change_says_holds_also_on_days_that_an_earlier_planting_adds(
    connection: Connection,
) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.revise_season(connection, "f", day(6), None, NOW)
    fields.revise_geometry(connection, "f", MOVED, day(6), NOW)

    assert fields.revise_geometry(connection, "f", MOVED, None, LATER)
    assert not fields.revise_geometry(connection, "f", MOVED, None, LATER)
    fields.revise_season(connection, "f", day(2), None, LATER)

    assert polygons(connection) == dict.fromkeys(range(2, 12), "moved")


def test_a_planting_after_the_end_begins_a_season_and_leaves_the_old_one(connection: Connection) -> None:
    start(connection)

    done = update(connection, new("f", MOVED, planting=day(12), crop_code="rye"))

    assert (done.season_begun, done.season_revised, done.corrected) == (["f"], [], ["f"])
    assert {("f", PLANTED, day(9), None), ("f", day(12), None, "rye")} <= told(connection)["seasons"]
    (line,) = (line for line in timelines(connection, 1).values() if line.external_id == "f")
    assert [(s.first, s.last, s.geometry_digest) for s in line.spans] == [
        (PLANTED, day(9), digest(SHAPE)),
        (day(12), date.max, digest(MOVED)),
    ]
    assert fields.field(connection, "f").planting_date == day(12)


def test_an_open_season_is_revised_unless_a_new_one_is_asked_for(connection: Connection) -> None:
    start(connection)

    moved = update(connection, new("i", planting=day(2)))
    begun = update(connection, new("i", planting=day(14)), new_season=True)
    same = update(connection, new("i", planting=day(14)), new_season=True)

    assert (moved.season_revised, begun.season_begun, same.unchanged) == (["i"], ["i"], ["i"])
    assert {("i", day(2), None, None), ("i", day(14), None, None)} <= told(connection)["seasons"]


def assumed(name: str, planting: date | None, **told: Any) -> NewField:
    return new(name, planting=planting, planting_assumed=True, crop_assumed=True, **told)


@pytest.mark.parametrize("planting", [None, day(-9), day(3), day(12), day(300)])
@pytest.mark.parametrize("how", [fields.Update(), None])
def test_an_assumed_planting_day_or_crop_leaves_the_season_of_a_field_that_is_there(
    connection: Connection, planting: date | None, how: fields.Update | None
) -> None:
    start(connection)
    again = [assumed("f", planting, crop_code="rye"), assumed("g", planting, shape=ACROSS, crop_code="rye")]

    assert fields.register_fields(connection, again, LATER, how).unchanged == ["f", "g"]


def test_an_assumed_day_begins_a_season_where_that_is_asked_for_and_else_a_polygon_is_all_that_is_new(
    connection: Connection,
) -> None:
    start(connection)

    done = update(connection, assumed("f", day(14), shape=MOVED, crop_code="rye"))
    begun = update(connection, assumed("f", day(14), shape=MOVED, crop_code="rye"), new_season=True)
    again = update(connection, assumed("f", day(14), shape=MOVED, crop_code="oats"), new_season=True)

    assert (done.corrected, done.season_begun, done.season_revised) == (["f"], [], [])
    assert (begun.season_begun, begun.corrected, again.unchanged) == (["f"], [], ["f"])
    assert {("f", PLANTED, day(9), None), ("f", day(14), None, "rye")} <= told(connection)["seasons"]


def test_a_new_field_needs_a_planting_day_which_may_be_assumed(connection: Connection) -> None:
    start(connection)
    told = [new("f", planting=None), new("z", planting=None), assumed("y", day(4), crop_code="rye")]

    with pytest.raises(InputError, match=r"file: z: has no planting_date, .* say --planted DAY for all"):
        update(connection, *told)
    done = fields.register_fields(connection, told, LATER, fields.Update(), skip_refused=True)

    assert (done.created, done.unchanged, len(done.refused)) == (["y"], ["f"], 1)
    assert fields.field(connection, "y").planting_date == day(4)


@pytest.mark.parametrize(
    ("one", "how", "message"),
    [
        (new("f", planting=day(8)), {"new_season": True}, "ends on 2026-05-10; a season planted on 2026-05-09 shares"),
        (new("i", planting=day(250)), {}, "is another season: begin it with --new-season"),
    ],
)
def test_an_update_that_can_not_be_is_refused_or_left(
    connection: Connection, one: NewField, how: dict[str, Any], message: str
) -> None:
    start(connection)

    with pytest.raises(InputError, match=message):
        update(connection, new("a"), one, **how)
    done = fields.register_fields(connection, [new("a"), one], LATER, fields.Update(**how), skip_refused=True)

    assert (done.created, len(done.refused)) == (["a"], 1)


def test_fields_that_would_be_in_a_region_if_swapped_are_refused(connection: Connection) -> None:
    swapped = shapely.transform(SHAPE, lambda points: points[:, ::-1])

    with pytest.raises(InputError, match=r"file: s: is in no region, but would be .* latitude were swapped"):
        fields.register_fields(connection, [new("s", swapped)], NOW)
    start(connection)
    with pytest.raises(InputError, match="longitude and latitude were swapped"):
        update(connection, new("f", swapped), new("i"))
    assert fields.register_fields(connection, [new("s", swapped), new("n", NOWHERE)], NOW).homeless == ["s", "n"]


# --- a season after a season -----------------------------------------------------------------------------------------


def test_a_season_begins_after_the_current_one(connection: Connection) -> None:
    fields.register_fields(connection, [new(end=day(1))], NOW)

    assert fields.begin_season(connection, "f", day(3), day(6), "rye", LATER)

    assert expected(connection) == [0, 1, 3, 4, 5, 6]
    found = connection.execute(select(Miss.date_missed, Miss.cause).order_by(Miss.bbox_id, Miss.date_missed)).all()
    assert [(m.date_missed, m.cause) for m in found][2:] == [(day(n), Cause.REVISED_FIELD) for n in (3, 4)]
    assert not fields.begin_season(connection, "f", day(3), day(6), "rye", LATER)
    assert fields.field(connection, "f").known_at == LATER


def test_a_season_shares_no_day_with_the_one_before(connection: Connection) -> None:
    fields.register_fields(connection, [new(end=day(5)), new("open", ACROSS)], NOW)

    for planting in (day(-1), day(0), day(5)):
        with pytest.raises(InputError, match=r"ends on 2026-05-06; a season planted on .* end that one first"):
            fields.begin_season(connection, "f", planting, None, None, NOW)
    assert fields.begin_season(connection, "open", day(3), None, None, NOW)
    with pytest.raises(InputError, match="was planted on 2026-05-01; a season planted on 2026-05-01 shares"):
        fields.revise_season(connection, "open", PLANTED, None, NOW)
    with pytest.raises(InputError, match="before its planting"):
        fields.begin_season(connection, "f", day(9), day(8), None, NOW)


# --- activity --------------------------------------------------------------------------------------------------------


def expected(connection: Connection, region: str = "west") -> list[int]:
    bbox_id = registry.region(connection, region).bbox_id
    return [n for n in range(20) for line in timelines(connection, bbox_id).values() if line.at(day(n))]


def test_a_field_ends_on_a_day_and_begins_again_on_another(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)

    assert fields.activate_field(connection, "f", day(6), NOW, active=False)
    assert not fields.field(connection, "f").active
    assert fields.activate_field(connection, "f", day(15), LATER, active=True)

    assert fields.field(connection, "f").active
    assert expected(connection) == [0, 1, 2, 3, 4, 5, 15, 16, 17, 18, 19]


def test_what_is_so_already_changes_nothing(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    revision = registry.revision(connection)

    assert not fields.activate_field(connection, "f", day(6), NOW, active=True)
    assert registry.revision(connection) == revision
    fields.activate_field(connection, "f", day(6), NOW, active=False)
    assert not fields.activate_field(connection, "f", day(9), NOW, active=False)

    assert registry.revision(connection) == revision + 1


def test_an_end_may_be_moved_to_an_earlier_day(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.activate_field(connection, "f", day(6), NOW, active=False)

    assert fields.activate_field(connection, "f", day(3), LATER, active=False)

    assert expected(connection) == [0, 1, 2]


def test_a_beginning_may_be_moved_to_an_earlier_day(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.activate_field(connection, "f", day(3), NOW, active=False)
    fields.activate_field(connection, "f", day(18), NOW, active=True)

    assert fields.activate_field(connection, "f", day(16), LATER, active=True)

    assert expected(connection) == [0, 1, 2, 16, 17, 18, 19]


# --- geometry --------------------------------------------------------------------------------------------------------


def polygons(connection: Connection, region: str = "west") -> dict[int, str]:
    bbox_id = registry.region(connection, region).bbox_id
    names = {digest(SHAPE): "shape", digest(MOVED): "moved", digest(ACROSS): "across"}
    return {
        n: names[span.geometry_digest]
        for n in range(12)
        for line in timelines(connection, bbox_id).values()
        if (span := line.at(day(n)))
    }


def test_a_change_holds_from_its_day_on_and_a_correction_from_the_planting_on(connection: Connection) -> None:
    fields.register_fields(connection, [new(planting=day(2))], NOW)

    assert fields.revise_geometry(connection, "f", MOVED, day(8), NOW)
    assert polygons(connection) == dict.fromkeys(range(2, 8), "shape") | dict.fromkeys(range(8, 12), "moved")

    assert fields.revise_geometry(connection, "f", ACROSS, None, LATER)
    assert polygons(connection) == dict.fromkeys(range(2, 12), "across")
    assert polygons(connection, "east") == polygons(connection)
    assert revisions(connection)[1:] == [(RevisionKind.CHANGED, day(8)), (RevisionKind.CORRECTED, day(2))]
    found = fields.field(connection, "f")
    assert (found.geometry_digest, found.known_at) == (digest(ACROSS), LATER)


def test_the_polygon_that_it_has_already_changes_nothing(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    revision = registry.revision(connection)

    assert not fields.revise_geometry(connection, "f", SHAPE, None, LATER)
    assert not fields.revise_geometry(connection, "f", SHAPE, day(9), LATER)
    assert not fields.revise_geometry(connection, "f", translate(SHAPE, 1e-10, 0), None, LATER)

    assert registry.revision(connection) == revision
    assert len(revisions(connection)) == 1


def test_a_polygon_that_holds_from_a_day_on_may_hold_from_an_earlier_one(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.revise_geometry(connection, "f", MOVED, day(8), NOW)

    assert fields.revise_geometry(connection, "f", MOVED, day(4), NOW)
    assert polygons(connection) == dict.fromkeys(range(4), "shape") | dict.fromkeys(range(4, 12), "moved")

    assert fields.revise_geometry(connection, "f", MOVED, None, NOW)
    assert polygons(connection) == dict.fromkeys(range(12), "moved")


def test_a_polygon_that_comes_back_is_the_same_polygon(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.revise_geometry(connection, "f", MOVED, day(4), NOW)
    fields.revise_geometry(connection, "f", SHAPE, day(8), NOW)

    assert [polygons(connection)[n] for n in (0, 4, 8)] == ["shape", "moved", "shape"]


def test_a_correction_of_a_planting_that_is_moved_earlier_holds_from_there(connection: Connection) -> None:
    fields.register_fields(connection, [new(planting=day(6))], NOW)
    fields.revise_geometry(connection, "f", MOVED, None, NOW)

    fields.revise_season(connection, "f", day(2), None, NOW)

    assert polygons(connection) == dict.fromkeys(range(2, 12), "moved")


def test_each_polygon_has_its_own_regions_and_its_own_home(connection: Connection) -> None:
    fields.register_fields(connection, [new()], NOW)
    fields.revise_geometry(connection, "f", ACROSS, day(3), NOW)
    fields.revise_geometry(connection, "f", NOWHERE, day(6), NOW)

    assert homes(connection) == {1: 1, 2: 2}
    assert expected(connection, "west") == [0, 1, 2, 3, 4, 5]
    assert expected(connection, "east") == [3, 4, 5]


# --- seasons ---------------------------------------------------------------------------------------------------------


def test_a_season_is_moved_and_ended(connection: Connection) -> None:
    fields.register_fields(connection, [new(planting=day(5))], NOW)

    assert fields.revise_season(connection, "f", day(3), day(8), NOW)

    assert fields.field(connection, "f").planting_date == day(3)
    assert expected(connection) == [3, 4, 5, 6, 7, 8]
    assert not fields.revise_season(connection, "f", day(3), None, LATER)
    assert not fields.revise_season(connection, "f", None, None, LATER)


def test_an_impossible_season_is_refused(connection: Connection) -> None:
    fields.register_fields(connection, [new(end=day(9))], NOW)

    with pytest.raises(InputError, match="before its planting"):
        fields.revise_season(connection, "f", day(10), None, NOW)
    with pytest.raises(InputError, match="outside of"):
        fields.revise_season(connection, "f", date(1900, 1, 1), None, NOW)
    assert fields.field(connection, "f").planting_date == PLANTED


def test_every_revision_of_a_field_that_is_not_there_is_refused(connection: Connection) -> None:
    for revise in (
        lambda: fields.activate_field(connection, "nobody", day(0), NOW, active=False),
        lambda: fields.revise_geometry(connection, "nobody", SHAPE, None, NOW),
        lambda: fields.revise_season(connection, "nobody", day(0), None, NOW),
        lambda: fields.begin_season(connection, "nobody", day(0), None, None, NOW),
    ):
        with pytest.raises(InputError, match="there is no field 'nobody'"):
            revise()
