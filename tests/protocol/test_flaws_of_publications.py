"""Flaws that show only in what the publication log tells of earlier moments, of changes, and of its own upkeep."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from archive import Archive, Follower
from farm import WEST, replay, settle
from runs import Ask, Rebase
from satcommon.audit.audit import audit
from satcommon.audit.repair import repair
from satcommon.db import publications
from satcommon.db.engine import read_transaction
from satcommon.db.models import PublicationKind
from satcommon.db.publications import Layer
from satcommon.errors import InputError, ObjectMissingError
from satcommon.publication import cursor
from satcommon.publication.changes import Selection, changes
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from truth import day
from world import World

pytestmark = pytest.mark.slow  # a second each: a whole season, and the same season in order

HOUR = timedelta(hours=1)


def layers(world: World, n: int) -> list[Layer]:
    with read_transaction(world.engine) as connection:
        return list(publications.layers(connection, world.bbox_id(WEST), day(n), day(n)).get(day(n), ()))


def corrected(world: World, polygon: int) -> None:
    """An hour later, f1 has another polygon, in one patch of the three closed days."""
    world.now += HOUR
    world.reshape("f1", polygon, None)
    assert replay(world).finish() == "COMMITTED"


def rebased(world: World, n: int) -> str:
    run = Rebase.start(world, WEST, day(n))
    assert run is not None
    return run.finish()


def read_as_of(world: World, on: date, instant: datetime) -> dict[str, Any]:
    with read_transaction(world.engine) as connection:
        position = publications.position_at(connection, world.bbox_id(WEST), instant)
        days = published_days(connection, world.bbox_id(WEST), on, on, position)
    return {row["field"]: row for row in days.rows(ResultObjects(world.store), on).to_pylist()}


def listed(world: World, since: int, **selected: Any) -> list[dict[str, Any]]:
    with read_transaction(world.engine) as connection:
        until = cursor.newest(connection)[world.bbox_id(WEST)]
    tables = changes(
        world.engine, ResultObjects(world.store), world.region_row(WEST), since, until, Selection(**selected)
    )
    return [row for table in tables for row in table.to_pylist()]


def position(world: World) -> int:
    with read_transaction(world.engine) as connection:
        return cursor.newest(connection)[world.bbox_id(WEST)]


def test_a_replay_publishes_one_patch_of_the_rows_that_changed(farm: World) -> None:
    before = position(farm)

    corrected(farm, 1)

    with read_transaction(farm.engine) as connection:
        [patch] = publications.publications(connection, farm.bbox_id(WEST), before)
        assert list(publications.days_of(connection, patch)) == [day(1), day(2), day(3)]
    assert (patch.kind, patch.row_count) == (PublicationKind.PATCH, 3)
    assert patch.cause == "revised_field 3"


def test_a_version_moves_only_where_a_row_changed(farm: World) -> None:
    before = {on: row.version for on, row in farm.closed(WEST).items()}
    farm.arrives(WEST, day(3), "other")

    replay(farm).finish()

    after = {on: row.version for on, row in farm.closed(WEST).items()}
    assert {on for on in after if after[on] != before[on]} == {day(3)}


def test_a_replay_that_changes_no_row_publishes_nothing(farm: World) -> None:
    farm.reshape("f1", 1, None)
    farm.reshape("f1", 0, None)
    before = position(farm)

    replay(farm).finish()

    assert position(farm) == before
    settle(farm)


def test_of_two_patches_of_a_row_the_later_one_holds(farm: World) -> None:
    corrected(farm, 1)
    corrected(farm, 0)

    assert [layer.kind.value for layer in layers(farm, 2)] == ["day", "patch", "patch"]
    settle(farm)


def test_a_row_that_was_taken_out_is_gone_and_can_come_back(farm: World) -> None:
    farm.leaves("f1", day(2))
    farm.replay(WEST)
    assert read_as_of(farm, day(2), farm.now).keys() == {"f2"}

    farm.comes_back("f1", day(2))
    farm.replay(WEST)

    assert read_as_of(farm, day(2), farm.now).keys() == {"f1", "f2"}
    settle(farm)


def test_each_moment_is_read_as_it_was_also_after_rebases(farm: World) -> None:
    archive = Archive(farm)
    archive.keep()
    for polygon in (1, 0, 1):
        corrected(farm, polygon)
        archive.keep()
        assert rebased(farm, 2) == "REBASED"
    archive.collect(farm.now - timedelta(days=30))

    archive.check(len(archive.moments))


def test_what_ingest_finds_out_slowly_was_not_known_when_it_asked(farm: World) -> None:
    archive = Archive(farm)
    farm.deliver(WEST, day(2), "a damaged tile")
    asked = Ask.start(farm, WEST, day(2)).until("commit")
    archive.keep()
    farm.now += HOUR

    assert asked.finish() == "ANSWERED"

    archive.keep()
    assert farm.regions[WEST].refused == {day(2)}
    assert farm.misses(WEST)
    archive.check(len(archive.moments))
    farm.mend()
    settle(farm)


def test_a_clock_that_goes_back_does_not_change_the_order_of_instants(farm: World) -> None:
    corrected(farm, 1)
    last = layers(farm, 2)[-1].committed_at
    farm.now -= 5 * HOUR

    corrected(farm, 0)

    assert layers(farm, 2)[-1].committed_at == last


def test_a_rebase_that_a_patch_overtakes_is_given_up(farm: World) -> None:
    corrected(farm, 1)
    run = Rebase.start(farm, WEST, day(2))
    assert run is not None
    run.until("commit")
    corrected(farm, 0)

    run.step()

    assert run.ended == "OVERTAKEN"
    settle(farm)


def test_a_replay_goes_on_over_a_rebase(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    assert rebased(farm, 2) == "REBASED"

    assert run.finish() == "COMMITTED"

    assert run.restarts == 0, "a rebase changes no row, so nobody starts again for it"
    settle(farm)


def test_a_rebase_is_no_change_and_moves_no_version(farm: World) -> None:
    corrected(farm, 1)
    before, version = position(farm), farm.closed(WEST)[day(2)].version

    assert rebased(farm, 2) == "REBASED"

    assert farm.closed(WEST)[day(2)].version == version
    assert listed(farm, before, new=True) == []
    assert [layer.kind.value for layer in layers(farm, 2)] == ["rebase"]


def test_what_an_instant_needs_is_kept_and_what_none_needs_goes(farm: World) -> None:
    before = farm.now
    corrected(farm, 1)
    between = farm.now
    for n in (1, 2, 3):
        farm.now += HOUR
        assert rebased(farm, n) == "REBASED"
    archive = Archive(farm)

    archive.collect(between)

    assert read_as_of(farm, day(2), before)["f1"] != read_as_of(farm, day(2), between)["f1"]

    archive.collect(farm.now)

    with pytest.raises(InputError, match=r"was removed at .* whole as of") as refused:
        read_as_of(farm, day(2), between)
    whole = layers(farm, 2)[0].committed_at
    assert f"{whole:%Y-%m-%dT%H:%M:%S.%fZ}" in str(refused.value)
    assert read_as_of(farm, day(2), whole) == farm.rows(WEST, day(2))
    farm.audit()
    settle(farm)


def test_a_base_under_a_patch_is_kept(farm: World) -> None:
    corrected(farm, 1)

    Archive(farm).collect(farm.now)

    assert farm.rows(WEST, day(2)) == read_as_of(farm, day(2), farm.now)
    settle(farm)


def test_a_cursor_goes_on_where_it_ended_though_the_clock_stood_still(farm: World) -> None:
    corrected(farm, 1)
    with read_transaction(farm.engine) as connection:
        told = cursor.encode(connection, cursor.newest(connection))
    farm.reshape("f1", 0, None)
    assert replay(farm).finish() == "COMMITTED"

    with read_transaction(farm.engine) as connection:
        since = cursor.decode(connection, told)[farm.bbox_id(WEST)]
    later = listed(farm, since, columns=["geometry_digest"])

    assert [(row["field"], row["day"]) for row in later] == [("f1", day(n)) for n in (1, 2, 3)]
    assert all(row["before"] != row["after"] for row in later)


def test_a_reader_of_changes_that_stops_anywhere_gets_each_change_once(farm: World) -> None:
    corrected(farm, 1)
    farm.leaves("f2", day(3))
    farm.replay(WEST)
    assert rebased(farm, 2) == "REBASED"
    farm.register("f3", 4, day(2))
    farm.replay(WEST)
    follower = Follower()

    for sequence in range(position(farm)):
        tables = changes(
            farm.engine,
            ResultObjects(farm.store),
            farm.region_row(WEST),
            sequence,
            sequence + 1,
            Selection(new=True),
        )
        for table in tables:
            follower.take(table.to_pylist())

    follower.agrees(WEST, farm.published(WEST))


def test_changes_tell_before_after_and_why(farm: World) -> None:
    before = position(farm)
    was = farm.rows(WEST, day(2))["f1"]["geometry_digest"]
    corrected(farm, 1)
    farm.register("f3", 4, day(3))
    farm.replay(WEST)
    farm.leaves("f2", day(3))
    farm.replay(WEST)

    told = listed(farm, before, columns=["geometry_digest"])

    [change] = [row for row in told if (row["field"], row["day"]) == ("f1", day(2))]
    now = farm.rows(WEST, day(2))["f1"]["geometry_digest"]
    assert (change["before"], change["after"], change["cause"], change["run"]) == (was, now, "revised_field", "replay")
    [added] = [row for row in told if row["field"] == "f3"]
    assert (added["before"], added["cause"]) == (None, "late_field")
    [taken] = [row for row in told if row["field"] == "f2"]
    assert (taken["after"], taken["cause"]) == (None, "withdrawn")
    assert [row["sequence"] for row in told] == sorted(row["sequence"] for row in told)


def test_a_lost_object_is_found_named_and_repaired(farm: World) -> None:
    before = farm.now
    corrected(farm, 1)
    after = farm.now
    lost = layers(farm, 2)[-1]
    farm.store.delete(lost.object_key)

    with pytest.raises(ObjectMissingError, match=rf"publication {lost.sequence} \(patch.*satctl audit --repair"):
        read_as_of(farm, day(2), farm.now)
    report = audit(farm.engine, farm.store, farm.region_row(WEST), lambda: None)
    assert any(f"publication {lost.sequence} (patch) is gone" in problem for problem in report.problems)
    farm.now += HOUR
    repair(farm.engine, farm.bbox_id(WEST), report, farm.now)
    farm.replay(WEST)

    assert read_as_of(farm, day(2), before)
    with pytest.raises(InputError, match="was removed at"):
        read_as_of(farm, day(2), after)
    farm.audit()
    settle(farm)


def test_an_earlier_object_that_is_lost_is_found_though_no_row_of_today_needs_it(farm: World) -> None:
    corrected(farm, 1)
    for n in (1, 2, 3):
        rebased(farm, n)
    with read_transaction(farm.engine) as connection:
        first, *_ = publications.all_layers(connection, farm.bbox_id(WEST), day(2))
    farm.store.delete(first.object_key)

    report = audit(farm.engine, farm.store, farm.region_row(WEST), lambda: None)

    assert [f"publication {first.sequence} (day) is gone" in problem for problem in report.problems] == [True]
    repair(farm.engine, farm.bbox_id(WEST), report, farm.now)
    farm.audit()
    settle(farm)
