"""Each natural reading of the protocol that broke a promise in the model, as the shortest story that tells it apart.

A test fails where the library has the flaw; `check` compares with what is true after each decisive step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from farm import MIDDLE, WEST, causes, realtime, replay, settle
from runs import Ask
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.errors import RetryableError
from satcommon.pipeline import close_day
from satcommon.pipeline.backlog import region_backlog
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.observation import Observed, SceneInput, Subject
from truth import DEADLINES, OTHER_VERSION, THE_END, day
from world import FailingProcessor, World

pytestmark = pytest.mark.slow  # a second each: a whole season, and the same season in order

# --- what a commit compares ----------------------------------------------------------------------------------------


def test_a_close_starts_again_when_the_day_before_was_replaced(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.arrives(WEST, day(3), "other")
    farm.replay(WEST)

    run.step()

    assert (run.ended, run.attempt) == ("", 2)
    assert run.finish() == "CLOSED"
    settle(farm)


def test_a_replay_starts_again_when_the_day_before_was_replaced(farm: World) -> None:
    farm.close(WEST)
    farm.arrives(WEST, day(3), "other")
    run = replay(farm, chunk_days=1).until("commit")
    farm.arrives(WEST, day(2), "other")
    replay(farm, chunk_days=1).finish()

    run.step()

    assert run.restarts == 1
    farm.check()
    run.finish()
    settle(farm)


def test_a_replay_starts_again_when_another_replaced_an_object_that_it_copied(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    farm.reshape("f2", 2, None)
    replay(farm).finish()

    run.step()

    assert run.restarts == 1
    farm.check()
    run.finish()
    settle(farm)


def test_a_close_starts_again_when_the_scene_was_revised(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.arrives(WEST, day(4), "other")

    run.step()

    assert run.attempt == 2
    run.finish()
    settle(farm)


def test_a_close_starts_again_when_the_algorithm_was_switched(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.pin(WEST, OTHER_VERSION)

    run.step()

    assert run.attempt == 2
    run.finish()
    settle(farm)


def test_a_replay_starts_again_when_the_algorithm_was_switched(farm: World) -> None:
    farm.arrives(WEST, day(2), "other")
    run = replay(farm).until("commit")
    farm.pin(WEST, OTHER_VERSION)

    run.step()

    assert run.restarts == 1
    farm.check()
    run.finish()
    settle(farm)


def test_a_replay_survives_an_algorithm_that_was_switched_and_switched_back(farm: World) -> None:
    farm.arrives(WEST, day(2), "other")
    run = replay(farm).until("commit")
    farm.pin(WEST, OTHER_VERSION)
    farm.pin(WEST, CURRENT)

    run.finish()

    assert causes(farm, "f1") == {1: "revised_algorithm", 2: "revised_algorithm", 3: "revised_algorithm"}
    settle(farm)


def test_a_close_starts_again_when_the_due_answer_was_revised(farm: World) -> None:
    farm.close(WEST)
    farm.owe(WEST, day(5), Due.UNKNOWN)
    farm.ask(WEST, day(5))
    farm.now = MIDDLE  # past the deadline, within the allowed lateness
    run = realtime(farm).until("commit")
    farm.owe(WEST, day(5), Due.DUE)
    farm.ask(WEST, day(5))

    run.step()

    assert run.attempt == 2
    assert run.finish() == "CLOSED"
    assert causes(farm, "f1") == {5: "late_scene"}
    settle(farm)


def test_a_replay_starts_again_when_the_due_answer_was_revised(farm: World) -> None:
    farm.close(WEST)
    farm.owe(WEST, day(5), Due.NOT_DUE)
    farm.ask(WEST, day(5))
    farm.close(WEST)
    farm.register("f3", 1, day(5))
    farm.now = MIDDLE
    run = replay(farm).until("commit")
    farm.owe(WEST, day(5), Due.DUE)
    farm.ask(WEST, day(5))

    run.step()

    assert run.restarts == 1
    farm.check()
    assert run.finish() == "nothing to do"  # the day waits for its scene
    settle(farm)


def test_a_replay_starts_again_when_the_season_moved(farm: World) -> None:
    farm.arrives(WEST, day(2), "other")
    run = replay(farm).until("commit")
    farm.season("f1", day(2), None)

    run.step()

    assert run.restarts == 1
    farm.check()
    run.finish()
    settle(farm)


def test_a_replay_starts_again_when_a_gap_was_made_in_a_field_s_validity(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    farm.leaves("f1", day(2))
    farm.comes_back("f1", day(3))

    run.step()

    assert run.restarts == 1
    farm.check()
    run.finish()
    settle(farm)


# --- misses --------------------------------------------------------------------------------------------------------


def test_a_miss_is_not_resolved_before_the_days_after_it_are_on_the_list(farm: World) -> None:
    farm.arrives(WEST, day(1), "other")

    replay(farm, chunk_days=1).finish()

    assert causes(farm, "f2") == {2: "carry"}
    assert causes(farm, "f1") == {}, "its state is the published one again"
    settle(farm)


def test_a_day_that_was_closed_during_a_replay_is_carried_on_to(farm: World) -> None:
    farm.arrives(WEST, day(3), "other")
    run = replay(farm).until("commit")
    assert realtime(farm).finish() == "CLOSED"

    run.finish()

    assert causes(farm, "f2") == {4: "carry"}
    settle(farm)


def test_state_is_compared_with_what_is_published_and_not_with_what_was_put(farm: World) -> None:
    farm.arrives(WEST, day(1), "other")
    replay(farm, chunk_days=1).until("commit")  # and is killed there

    replay(farm, chunk_days=1).finish()

    assert causes(farm, "f2") == {2: "carry"}
    settle(farm)


def test_a_replay_leaves_the_misses_of_other_fields(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    farm.reshape("f2", 2, None)

    assert run.finish() == "COMMITTED"

    assert causes(farm, "f1") == {}
    assert causes(farm, "f2") == {1: "revised_field", 2: "revised_field", 3: "revised_field"}
    settle(farm)


def test_an_event_replaces_cause_and_digest_of_a_miss_that_is_open(farm: World) -> None:
    farm.arrives(WEST, day(1), "other")
    replay(farm, chunk_days=1).finish()
    assert causes(farm, "f2") == {2: "carry"}

    farm.arrives(WEST, day(2), "cloudy")

    opened = farm.misses(WEST)["f2", day(2)]
    assert (opened.cause, opened.digest) == ("revised_scene", farm.regions[WEST].scene(day(2)).digest)
    farm.arrives(WEST, day(2), "replaced")
    assert farm.misses(WEST)["f2", day(2)].digest == farm.regions[WEST].scene(day(2)).digest != opened.digest
    settle(farm)


def test_a_carry_leaves_a_miss_that_is_open_as_it_is(farm: World) -> None:
    farm.arrives(WEST, day(1), "other")
    farm.arrives(WEST, day(2), "cloudy")

    replay(farm, chunk_days=1).finish()

    assert causes(farm, "f2") == {2: "revised_scene"}
    settle(farm)


def test_observations_are_reused_by_their_digests_whatever_the_cause(farm: World) -> None:
    farm.arrives(WEST, day(1), "reprocessed")
    replay(farm).finish()
    farm.arrives(WEST, day(1), "first")  # as it was
    farm.reshape("f1", 1, None)
    farm.reshape("f1", 0, None)  # as it was
    run = replay(farm).until("put")

    assert run.computed.observed == 2, "both fields on the first day"
    assert run.computed.reused == 2, "f1 on the others, whose causes say that it was revised"
    run.finish()
    settle(farm)


def test_a_waiting_miss_ends_the_steps_of_its_field_and_is_no_work(farm: World) -> None:
    farm.close(WEST)
    farm.ask(WEST, day(5))
    farm.arrives(WEST, day(6), "first")
    farm.close(WEST)
    assert causes(farm, "f1") == {5: "late_scene"}
    farm.reshape("f1", 1, None)
    farm.ask(WEST, day(5))

    farm.replay(WEST)

    assert causes(farm, "f1") == {5: "revised_field"}
    farm.check()
    farm.arrives(WEST, day(5), "first")
    assert causes(farm, "f1") == {5: "late_scene"}
    settle(farm)


def test_a_field_goes_on_at_its_next_miss_after_an_early_stop(farm: World) -> None:
    farm.close(WEST)
    farm.arrives(WEST, day(1), "reprocessed")
    farm.arrives(WEST, day(3), "reprocessed")

    run = replay(farm).until("put")

    assert sorted({on for _, on in run.computed.steps}) == [day(1), day(3)]
    run.finish()
    settle(farm)


# --- fields that come, leave and come back -------------------------------------------------------------------------


def test_a_field_registered_during_a_close_is_missed(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.register("f3", 1, day(3))

    assert run.finish() == "CLOSED"

    assert run.attempt == 1, "realtime never restarts for a registration"
    assert causes(farm, "f3") == {3: "late_field", 4: "late_field"}
    settle(farm)


def test_a_field_corrected_during_a_close_is_missed(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.reshape("f1", 1, None)

    assert run.finish() == "CLOSED"

    assert causes(farm, "f1") == dict.fromkeys(range(1, 5), "revised_field")
    settle(farm)


def test_a_season_moved_during_a_close_is_missed(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.season("f1", day(3), None)

    assert run.finish() == "CLOSED"

    assert causes(farm, "f1") == {3: "carry", 4: "revised_field"}
    settle(farm)


def test_the_row_of_a_field_that_left_during_a_close_is_withdrawn(farm: World) -> None:
    run = realtime(farm).until("commit")
    farm.leaves("f1", day(4))

    assert run.finish() == "CLOSED"

    assert ("f1", day(4)) in farm.withdrawals(WEST)
    farm.check()
    settle(farm)


def test_a_withdrawal_stays_while_its_row_is_copied(farm: World) -> None:
    farm.reshape("f1", 1, None)
    run = replay(farm).until("commit")
    farm.leaves("f2", day(2))

    assert run.finish() == "COMMITTED"

    assert {on for _, on in farm.withdrawals(WEST)} == {day(2), day(3)}
    assert "f2" in farm.rows(WEST, day(2))
    settle(farm)


def test_a_withdrawn_row_is_no_start(farm: World) -> None:
    farm.leaves("f1", day(3))
    farm.comes_back("f1", day(4))
    assert "f1" in farm.rows(WEST, day(3))

    assert realtime(farm).finish() == "CLOSED"

    farm.check()
    assert farm.rows(WEST, day(4))["f1"]["state_days"][1:] == [0] * 7
    settle(farm)


def test_a_replay_does_not_start_from_a_withdrawn_row(farm: World) -> None:
    farm.leaves("f1", day(2))
    farm.comes_back("f1", day(3))

    replay(farm, chunk_days=1).finish()
    farm.check()
    farm.replay(WEST)

    assert farm.rows(WEST, day(3))["f1"]["state_days"][1:] == [0] * 7
    settle(farm)


def test_a_field_that_came_back_is_missed_even_where_its_old_row_is_still_there(farm: World) -> None:
    farm.leaves("f2", day(2))
    farm.arrives(WEST, day(1), "other")
    replay(farm, chunk_days=1).finish()
    assert "f2" in farm.rows(WEST, day(2))

    farm.comes_back("f2", day(2))

    assert causes(farm, "f2") == {2: "revised_field", 3: "revised_field"}
    assert not farm.withdrawals(WEST)
    settle(farm)


def test_a_withdrawal_of_a_field_that_came_back_and_left_again_during_a_replay(farm: World) -> None:
    farm.leaves("f2", day(2))
    run = replay(farm).until("commit")
    farm.comes_back("f2", day(2))
    farm.leaves("f2", day(3))

    run.finish()

    farm.check()
    settle(farm)


def test_a_row_that_was_withdrawn_and_is_expected_again_is_not_taken_out(farm: World) -> None:
    """Recomputing it changes nothing, so its object keeps its key, and a replay that takes it out would not notice."""
    farm.season("f2", None, day(2))
    without = replay(farm).until("commit")
    farm.season("f2", None, day(6))
    assert replay(farm).finish() == "COMMITTED"

    without.step()

    assert without.restarts == 1
    assert "f2" in farm.rows(WEST, day(3))
    settle(farm)


def test_a_season_that_began_earlier_is_carried_through_all_its_days(farm: World) -> None:
    farm.register("f3", 4, day(3))
    farm.replay(WEST)

    farm.season("f3", day(1), None)

    assert causes(farm, "f3") == {1: "revised_field", 2: "revised_field", 3: "carry"}
    settle(farm)


def test_a_planting_that_moves_before_the_monitored_days_is_carried_on_from_the_first_of_them(farm: World) -> None:
    farm.register("f3", 4, day(-2))
    farm.replay(WEST)

    farm.season("f3", day(-1), None)

    assert causes(farm, "f3") == {1: "carry"}
    settle(farm)


# --- runs that end oddly -------------------------------------------------------------------------------------------


def test_a_day_closes_the_third_time_whatever_happens(farm: World) -> None:
    run = realtime(farm)
    for delivery in ("other", "cloudy", "first"):
        run.until("commit")
        farm.arrives(WEST, day(3), delivery)
        farm.replay(WEST)
        run.step()

    assert run.ended == "CLOSED"
    assert causes(farm, "f1") == {4: "carry"}
    settle(farm)


def test_a_day_whose_scene_changed_thrice_closes_with_its_fields_missed(farm: World) -> None:
    run = realtime(farm)
    for delivery in ("other", "cloudy", "replaced"):
        run.until("commit")
        farm.arrives(WEST, day(4), delivery)
        run.step()

    assert run.ended == "CLOSED"
    assert causes(farm, "f1") == {4: "revised_scene"}
    settle(farm)


def test_a_field_that_came_before_the_third_commit_is_missed_as_well(farm: World) -> None:
    run = realtime(farm)
    for delivery in ("other", "cloudy", "first"):
        run.until("commit")
        farm.arrives(WEST, day(3), delivery)
        farm.replay(WEST)
        if delivery == "first":
            farm.register("f3", 1, day(4))
        run.step()

    assert causes(farm, "f3") == {4: "late_field"}
    settle(farm)


def test_a_due_scene_that_is_not_there_the_third_time_stays_late(farm: World) -> None:
    farm.close(WEST)
    farm.ask(WEST, day(5))
    farm.now = MIDDLE
    run = realtime(farm)
    for delivery in ("other", "cloudy", "first"):
        run.until("commit")
        farm.arrives(WEST, day(4), delivery)
        farm.replay(WEST)
        run.step()

    assert run.ended == "CLOSED"
    assert causes(farm, "f1") == {5: "late_scene"}
    settle(farm)


def test_the_same_close_twice(farm: World) -> None:
    one, two = realtime(farm).until("commit"), realtime(farm).until("commit")
    one.step()
    farm.arrives(WEST, day(4), "other")
    farm.replay(WEST)
    published = farm.closed(WEST)[day(4)].version

    two.step()

    assert (one.ended, two.ended) == ("CLOSED", "CLOSED_BY_ANOTHER")
    assert farm.closed(WEST)[day(4)].version == published
    settle(farm)


def test_the_same_replay_twice(farm: World) -> None:
    farm.reshape("f1", 1, None)
    one, two = replay(farm).until("commit"), replay(farm).until("commit")

    assert (one.finish(), two.finish()) == ("COMMITTED", "nothing to do")

    settle(farm)


def test_a_failing_day_inside_a_chunk_stays_missed_and_the_days_after_it_are_redone(farm: World) -> None:
    broken = farm.regions[WEST].scene(day(2)).digest
    farm.processor.unreadable = frozenset({broken})
    farm.register("f3", 4, day(1))

    replay(farm).finish()

    assert causes(farm, "f3") == {2: "late_field"}
    assert "f3" in farm.rows(WEST, day(3))
    farm.check()
    with read_transaction(farm.engine) as connection:
        assert not region_backlog(connection, farm.bbox_id(WEST), DEADLINES, farm.now).misses, "it pauses"
    farm.processor.unreadable = frozenset()
    settle(farm)


@contextmanager
def failing_on(name: str, on: date) -> Iterator[None]:
    """What is computed of a field on a day goes wrong, whichever others it is computed with."""
    original = close_day.observe

    def observe(scene: SceneInput, subjects: Sequence[Subject], *others: Any) -> Observed:
        if scene.object_key and f"{on:%Y/%m/%d}" in scene.object_key and name in [s.external_id for s in subjects]:
            raise ValueError(f"{name} can't be computed")
        return original(scene, subjects, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(close_day, "observe", observe)
        yield


def test_a_field_that_fails_in_a_close_is_missed_and_the_others_are_done(farm: World) -> None:
    with failing_on("f2", day(4)):
        assert realtime(farm).finish() == "CLOSED"

    assert causes(farm, "f2") == {4: "processing_error"}
    assert causes(farm, "f1") == {}
    farm.check()
    settle(farm)


def test_a_field_that_fails_in_a_replay_is_missed_and_the_others_are_done(farm: World) -> None:
    farm.arrives(WEST, day(2), "other")
    with failing_on("f2", day(2)):
        farm.replay(WEST)

        assert causes(farm, "f2") == {2: "revised_scene"}
        assert causes(farm, "f1") == {}
        farm.check()
    farm.mend()
    settle(farm)


def test_all_fields_of_a_day_that_fail_in_a_replay_hold_up_no_other_day(farm: World) -> None:
    for on in (2, 3):
        farm.arrives(WEST, day(on), "other")
    with failing_on("f1", day(2)), failing_on("f2", day(2)):
        farm.replay(WEST)

        assert causes(farm, "f1") == causes(farm, "f2") == {2: "revised_scene"}
        farm.check()
    farm.mend()
    settle(farm)


def test_a_failure_that_is_permanent_waits_for_another_scene(farm: World) -> None:
    broken = farm.regions[WEST].scene(day(2)).digest
    farm.processor.unreadable = frozenset({broken})
    farm.register("f3", 4, day(1))
    for _ in range(3):
        farm.replay(WEST)
        farm.now += farm.now - farm.now.replace(hour=0)  # hours: longer than any pause

    farm.replay(WEST)
    with read_transaction(farm.engine) as connection:
        waiting = region_backlog(connection, farm.bbox_id(WEST), DEADLINES, THE_END).waiting
    assert [on for _, on in waiting] == [day(2)]

    farm.arrives(WEST, day(2), "replaced")

    assert causes(farm, "f3") == {2: "revised_scene"}
    settle(farm)


@pytest.mark.parametrize("failing", ["f1", "f2"])
def test_rows_of_two_kernels_in_one_object(farm: World, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One field could not be recomputed by the new version: the others go on from their own rows.

    Its rows are copied out of objects without columns that those of the new version have.
    """
    observe = FailingProcessor.observe

    def without_one(self, aoi, scene, subjects, rules, work):  # type: ignore[no-untyped-def]
        seen = observe(self, aoi, scene, subjects, rules, work)
        names = seen.table["field"].to_pylist()
        if failing not in names:
            return seen
        rest = seen.table.filter([name != failing for name in names])
        return type(seen)(rest, {failing: "it can't be seen"})

    farm.pin(WEST, OTHER_VERSION)
    monkeypatch.setattr(FailingProcessor, "observe", without_one)
    farm.replay(WEST)
    monkeypatch.setattr(FailingProcessor, "observe", observe)
    has = {name: row["ndvi_quantiles"] is not None for name, row in farm.rows(WEST, day(1)).items()}
    assert has == {name: name != failing for name in has}
    assert len(has) > 1

    assert realtime(farm).finish() == "CLOSED"

    farm.check()
    settle(farm)


# --- regions and their sources -------------------------------------------------------------------------------------


def test_a_region_monitored_from_an_earlier_day_closes_the_days_before_and_misses_them(farm: World) -> None:
    farm.register("f3", 4, day(-2))

    farm.monitor(WEST, day(-1), day(8))

    assert min(farm.closed(WEST)) == day(-1)
    assert causes(farm, "f3")[-1] == "late_region"
    assert causes(farm, "f3")[0] == "late_region"
    farm.check()
    settle(farm)


def test_a_region_monitored_until_an_earlier_day_loses_its_rows_and_gets_them_back(farm: World) -> None:
    farm.monitor(WEST, day(1), day(2))
    assert {on for _, on in farm.withdrawals(WEST)} == {day(3)}
    farm.monitor(WEST, day(1), day(8))

    assert causes(farm, "f1") == {3: "late_region"}
    settle(farm)


def test_a_region_monitored_from_an_earlier_day_during_its_first_close(world: World) -> None:
    world.register("f1", 0, day(0))
    world.arrives(WEST, day(1), "first")
    run = realtime(world).until("commit")
    world.monitor(WEST, day(0), day(8))

    with pytest.raises(RetryableError, match="days close in order"):
        run.finish()

    assert not world.closed(WEST)
    settle(world)


def test_an_algorithm_that_is_pinned_already_opens_nothing(farm: World) -> None:
    with write_transaction(farm.engine) as connection:
        assert not registry.pin_algorithm(connection, WEST, CURRENT, farm.now)

    assert farm.misses(WEST) == {}


def test_a_delivery_that_was_taken_back_and_comes_again_is_heard(farm: World) -> None:
    for delivery in ("reprocessed", "first", "reprocessed"):
        farm.arrives(WEST, day(2), delivery)

    farm.check()
    settle(farm)


def test_an_answer_that_is_older_than_another_run_s_is_asked_for_again(farm: World) -> None:
    run = Ask.start(farm, WEST, day(5))
    farm.owe(WEST, day(5), Due.NOT_DUE)
    farm.ask(WEST, day(5))

    run.step()

    assert (run.ended, run.next) == ("", "fetch")
    assert run.finish() == "ANSWERED"
    with read_transaction(farm.engine) as connection:
        answered = ledger.region_day(connection, farm.bbox_id(WEST), day(5))
    assert answered is not None
    assert answered.due is Due.NOT_DUE
    settle(farm)


def test_a_correction_is_of_the_whole_season_also_when_the_planting_moves_afterwards(world: World) -> None:
    world.register("f1", 0, day(3))
    world.reshape("f1", 1, None)
    world.season("f1", day(1), None)

    assert world.expected(WEST, day(1)) == {"f1": 1}
    world.arrives(WEST, day(1), "first")
    world.close(WEST)
    settle(world)


def test_a_change_is_taken_where_an_earlier_correction_reaches(world: World) -> None:
    world.register("f1", 0, day(3))
    world.reshape("f1", 1, None)
    world.reshape("f1", 0, day(3))
    world.season("f1", day(1), None)  # now the correction is of the first and second day

    world.reshape("f1", 0, day(2))

    world.arrives(WEST, day(1), "first")
    world.close(WEST)
    settle(world)


# --- days for which the source was never asked ---------------------------------------------------------------------


@pytest.mark.parametrize(("due", "delivery"), [(Due.UNKNOWN, None), (Due.NOT_DUE, None), (Due.DUE, "first")])
def test_a_day_that_closes_unasked_is_missed_until_the_source_was_asked(
    farm: World, due: Due, delivery: str | None
) -> None:
    farm.close(WEST)
    farm.now = THE_END
    farm.owe(WEST, day(5), due)
    if delivery:
        farm.deliver(WEST, day(5), delivery)

    farm.close(WEST)

    assert causes(farm, "f1") == dict.fromkeys(range(5, 9), "late_scene")
    assert farm.rows(WEST, day(5)) == {}
    assert farm.replay(WEST) == []  # there is nothing to be worked on, however late it is
    farm.audit()
    farm.ask(WEST, day(5))
    farm.replay(WEST)
    assert farm.rows(WEST, day(5)).keys() == {"f1", "f2"}
    assert causes(farm, "f1") == dict.fromkeys(range(6, 9), "late_scene")
    settle(farm)


def test_a_region_that_is_monitored_from_an_earlier_day_waits_until_the_source_was_asked(farm: World) -> None:
    farm.close(WEST)
    farm.season("f1", day(-2), None)
    farm.deliver(WEST, day(-1), "first")

    farm.monitor(WEST, day(-2), day(4))

    farm.replay(WEST)
    assert causes(farm, "f1") == dict.fromkeys(range(-2, 1), "late_region")
    assert farm.rows(WEST, day(-1)) == {}
    farm.audit()
    farm.ask(WEST, day(-1))
    farm.replay(WEST)
    assert farm.rows(WEST, day(-1)).keys() == {"f1"}
    assert causes(farm, "f1") == {-2: "late_region", 0: "late_region"}
    settle(farm)


def test_a_close_starts_again_when_the_source_was_asked_meanwhile(farm: World) -> None:
    farm.close(WEST)
    farm.now = THE_END
    run = realtime(farm).until("commit")
    farm.arrives(WEST, day(5), "first")

    run.step()

    assert (run.ended, run.attempt) == ("", 2)
    run.finish()
    assert farm.rows(WEST, day(5)).keys() == {"f1", "f2"}
    settle(farm)
