"""Flaws that show only where an object or a row is not there, or not as it was; as in `test_flaws`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from farm import WEST, causes, realtime, replay, settle
from satcommon.db import fields, ledger, missed_days, publications, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause
from satcommon.db.publications import MAX_OBJECT_AGE
from satcommon.errors import ObjectMissingError
from truth import day
from world import World

pytestmark = pytest.mark.slow  # a second each: a whole season, and the same season in order


def key_of(world: World, n: int) -> str:
    """The object that gives a day's rows; there is one."""
    with read_transaction(world.engine) as connection:
        [layer] = publications.layers(connection, world.bbox_id(WEST), day(n), day(n))[day(n)]
    assert layer.object_key is not None
    return layer.object_key


def spoil(world: World, n: int) -> None:
    """What is published of a day can't be read any more."""
    key = key_of(world, n)
    world.store.delete(key)
    world.store.put(key, b"no Parquet")


def field_id(world: World, name: str) -> int:
    with read_transaction(world.engine) as connection:
        ids = ledger.external_ids(connection, range(1, 10))
    return next(number for number, external in ids.items() if external == name)


def miss(world: World, name: str, n: int) -> None:
    opened = OpenMiss(field_id(world, name), day(n), Cause.PROCESSING_ERROR, "tried in vain")
    with write_transaction(world.engine) as connection:
        ledger.lock_region(connection, world.bbox_id(WEST))
        missed_days.open_misses(connection, world.bbox_id(WEST), [opened], world.now)


def clear_days(row: dict[str, Any]) -> list[int]:
    return [on for on in row["state_days"] if on]


def test_a_field_day_that_fails_in_a_replay_and_was_not_missed_is_missed(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    run.computed.failed[field_id(farm, "f2"), day(2)] = "its scene can't be read"

    assert run.finish() == "COMMITTED"

    assert causes(farm, "f2") == {2: "processing_error"}


def test_the_other_fields_of_a_spoilt_object_are_missed(farm: World) -> None:
    spoil(farm, 2)
    miss(farm, "f1", 2)

    replay(farm).finish()

    assert causes(farm, "f2") == {2: "processing_error"}
    settle(farm)


def test_a_replay_starts_from_the_last_row_before_a_day_without_one(farm: World) -> None:
    farm.processor.unreadable = frozenset({farm.regions[WEST].scene(day(2)).digest})
    farm.register("f3", 4, day(1))
    farm.replay(WEST)
    assert causes(farm, "f3") == {2: "late_field"}
    first = clear_days(farm.rows(WEST, day(1))["f3"])
    assert first
    miss(farm, "f3", 3)

    replay(farm).finish()

    assert set(first) <= set(clear_days(farm.rows(WEST, day(3))["f3"]))
    farm.mend()
    settle(farm)


def test_a_close_starts_from_the_last_row_before_a_day_without_one(farm: World) -> None:
    farm.processor.unreadable = frozenset({farm.regions[WEST].scene(day(3)).digest})
    farm.register("f3", 4, day(1))
    farm.replay(WEST)
    assert causes(farm, "f3") == {3: "late_field"}
    before = clear_days(farm.rows(WEST, day(2))["f3"])
    assert before

    assert realtime(farm).finish() == "CLOSED"

    assert set(before) <= set(clear_days(farm.rows(WEST, day(4))["f3"]))
    farm.mend()
    settle(farm)


def test_a_close_does_not_commit_an_object_that_the_collector_may_have_removed(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.now += MAX_OBJECT_AGE + timedelta(minutes=1)

    run.step()

    assert (run.ended, run.attempt) == ("", 2)
    assert run.finish() == "CLOSED"
    settle(farm)


def test_the_object_of_the_day_before_that_is_gone_is_not_one_without_rows(farm: World) -> None:
    run = realtime(farm).until("compute")
    farm.store.delete(key_of(farm, 3))

    with pytest.raises(ObjectMissingError):
        run.step()


def test_the_steps_of_a_field_end_at_a_gap_in_its_days(farm: World) -> None:
    farm.leaves("f1", day(2))
    farm.comes_back("f1", day(3))
    farm.replay(WEST)
    farm.reshape("f1", 1, None)
    farm.replay(WEST)
    miss(farm, "f1", 1)
    farm.arrives(WEST, day(1), "other")

    run = replay(farm).until("put")

    assert {on for f, on in run.computed.steps if f == field_id(farm, "f1")} == {day(1)}
    run.finish()
    settle(farm)


def test_the_steps_of_a_field_end_with_its_season_where_the_next_one_follows_the_day_after(farm: World) -> None:
    farm.season("f2", None, day(2))
    with write_transaction(farm.engine) as connection:
        fields.begin_season(connection, "f2", day(3), None, None, farm.now)
    farm.replay(WEST)
    farm.arrives(WEST, day(1), "other")

    run = replay(farm).until("put")

    assert {on for f, on in run.computed.steps if f == field_id(farm, "f2")} == {day(1), day(2)}
    run.finish()


def test_of_a_state_just_computed_and_the_published_one_the_computed_one_is_carried_on(farm: World) -> None:
    """f2 comes into the chunk on its second day: its state is read, beside the one of f1 that was computed."""
    farm.reshape("f1", 1, None)
    miss(farm, "f2", 3)

    replay(farm).finish()

    farm.check()
    settle(farm)


def test_a_paused_region_is_not_closed(farm: World) -> None:
    with write_transaction(farm.engine) as connection:
        registry.activate_region(connection, WEST, active=False)

    assert farm.close(WEST) == 0

    with write_transaction(farm.engine) as connection:
        registry.activate_region(connection, WEST, active=True)
    settle(farm)


def test_a_history_asks_for_no_day_after_the_monitored_ones(farm: World) -> None:
    farm.monitor(WEST, day(1), day(4))
    asked = []

    list(farm.closer(WEST).backfill(farm.satellite, day(6), lambda on, _answer: asked.append(on)))

    assert asked == [day(4)]


def test_a_field_that_is_activated_from_a_day_on_which_it_is_active_is_active_from_then_on(farm: World) -> None:
    farm.leaves("f1", day(3))

    farm.comes_back("f1", day(2))

    assert "f1" in farm.expected(WEST, day(3))
    settle(farm)
