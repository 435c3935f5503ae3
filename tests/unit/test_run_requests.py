"""How runs are asked for: a few works by themselves, many in batches, at a constant number of queries, each once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from unittest.mock import patch

import pytest
from dagster import DagsterInstance, DagsterRun, RunRequest, RunsFilter
from dagster._core.test_utils import create_run_for_test
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from satcommon.batch_runs import regions_of, works_of
from satcommon.contract import ATTEMPT_TAG, LANE_TAG, PROGRESS_TAG, WORK_TAG, lane, partition
from satcommon.db import claims
from satcommon.run_requests import (
    FEW,
    LOOKED_AT,
    LOOKS,
    SLOTS,
    UNFINISHED,
    WORKS_A_BATCH,
    WantedRun,
    run_requests,
)
from satcommon.settings import settings
from sqlalchemy import Engine

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=2)  # than any pause; batches that end now are remembered
JOB = "fetch_batch"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance in memory."""
    with DagsterInstance.ephemeral() as found:
        yield found


def test_a_few_works_have_a_run_each_with_its_partition(instance: DagsterInstance) -> None:
    works = _fetches(FEW)

    asked = _tick(instance, works)

    assert [(r.job_name, r.partition_key) for r in asked] == [("fetch", work.partition_key) for work in works]
    assert [r.tags[LANE_TAG] for r in asked] == [work.lane for work in works]


def test_more_regions_are_one_run_each_after_the_other_up_to_a_number(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_BATCH_REGIONS", "8")
    works = [work for n in range(10) for work in _days(f"R{n}", 3)]

    first, second = _tick(instance, works)

    assert {first.job_name, second.job_name} == {JOB}
    assert [_told(r) for r in (first, second)] == [[w.name for w in works[:24]], [w.name for w in works[24:]]]
    assert first.tags[PROGRESS_TAG] == "0/8"
    assert first.tags[LANE_TAG] != second.tags[LANE_TAG]
    assert _tick(instance, works) == []  # they are under way


def test_many_days_of_one_region_are_one_run_in_that_region_s_lane(instance: DagsterInstance) -> None:
    works = _days("A", 33)

    (run,) = _tick(instance, works)

    assert (run.job_name, run.tags[LANE_TAG], _told(run)) == (JOB, "ingest:A", [work.name for work in works])


def test_no_more_batches_wait_than_there_are_slots_and_one_that_ends_makes_room(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_BATCH_REGIONS", "2")
    works = _fetches(2 * SLOTS + 10)

    assert len(_tick(instance, works)) == SLOTS
    assert _tick(instance, works) == []
    ended = instance.get_runs()[-1]
    instance.report_run_failed(ended)
    _begin(instance, ended, 2)
    (one,) = _tick(instance, [work for work in works if work.name not in _names(ended)])

    assert _told(one) == [work.name for work in works[2 * SLOTS : 2 * SLOTS + 2]]


def test_background_batches_leave_a_slot_to_the_others(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_BATCH_REGIONS", "2")
    works = [WantedRun(f"replay:{n}", lane("replay", f"R{n}"), f"R{n}") for n in range(3 * SLOTS)]

    assert len(_tick(instance, works)) == SLOTS - 1


def test_a_batch_is_bounded_by_its_works_too(instance: DagsterInstance) -> None:
    works = [work for n in range(3) for work in _days(f"R{n}", WORKS_A_BATCH // 2)]

    first, second = _tick(instance, works)

    assert [len(_told(r)) for r in (first, second)] == [WORKS_A_BATCH, WORKS_A_BATCH // 2]


def test_of_a_batch_that_was_killed_what_it_had_come_to_pauses_and_the_rest_is_asked_for_at_once(
    instance: DagsterInstance,
) -> None:
    works = _fetches(10)
    (batch,) = _tick(instance, works)
    (run,) = instance.get_runs()
    _begin(instance, run, 4)
    instance.report_run_failed(run)
    left = works[3:]  # three are settled, the fourth killed it

    (rest,) = _tick(instance, left)
    assert _told(rest) == [work.name for work in works[4:]]
    assert {entry.get("attempt", 1) for entry in works_of(instance.get_runs()[0])} == {1}
    (suspect,) = _tick(instance, left, LATER)

    assert batch.run_key != rest.run_key
    assert (suspect.partition_key, suspect.tags[ATTEMPT_TAG]) == (works[3].partition_key, "2")


def test_the_pause_grows_from_batch_to_batch(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_RETRY_PAUSE_SECONDS", "30")
    settings.cache_clear()
    works, now, pauses = _fetches(FEW + 1), datetime.now(UTC), []  # by which Dagster stamps ends
    for _ in range(4):
        while not (asked := _tick(instance, works, now)):
            now += timedelta(seconds=10)
        run = instance.get_runs()[0]
        _begin(instance, run, len(works))
        instance.report_run_failed(run)
        pauses.append(now)

    spans = [(b - a).total_seconds() for a, b in pairwise(pauses)]
    assert len(asked) == 1
    assert [30, 30, 60] <= spans <= [60, 70, 130]


def test_a_region_of_which_a_run_is_under_way_is_in_no_batch_and_the_other_way_round(instance: DagsterInstance) -> None:
    create_run_for_test(instance, tags=lane("ingest", "R0003"))
    works = _fetches(10)

    (batch,) = _tick(instance, works)
    assert _told(batch) == [work.name for work in works if "R0003" not in work.name]
    newer = WantedRun("fetch:R0001:newer", lane("ingest", "R0001"), partition("R0001", date(2026, 5, 2)), "fetch")
    other_kind = WantedRun("close:R0001", lane("realtime", "R0001"), partition("R0001", date(2026, 5, 2)), "fetch")

    assert [r.run_key for r in _tick(instance, [newer, other_kind])] == ["close:R0001#1"]


def test_a_tick_asks_dagster_as_often_for_many_regions_as_for_few(instance: DagsterInstance) -> None:
    counts = []
    for works in ([], _fetches(3), _fetches(60), [w for n in range(300) for w in _days(f"R{n}", 30)]):
        with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as queries:
            list(run_requests(instance, works, NOW, batch_job=JOB))
        counts.append(queries.call_count)

    assert counts[:3] == [0, 4, 4]  # batches under way, and ended; runs of the works, and in their lanes
    assert counts[3] == 2 + 2 * LOOKS


def test_a_tick_looks_at_a_bounded_number_of_works(instance: DagsterInstance) -> None:
    lane_tags = lane("replay", "A")
    create_run_for_test(instance, tags=lane_tags)
    works = (WantedRun(f"replay:{n}", lane_tags) for n in range((LOOKS + 1) * LOOKED_AT))

    assert list(run_requests(instance, works, NOW, batch_job=JOB)) == []
    assert len(list(works)) == LOOKED_AT


def test_two_sensors_that_see_the_same_work_in_one_instant_ask_for_it_once(
    instance: DagsterInstance, engine: Engine
) -> None:
    works = _fetches(15)

    first = list(run_requests(instance, works[:3], NOW, engine, batch_job=JOB))
    (second,) = run_requests(instance, works, NOW, engine, batch_job=JOB)  # no run is on record yet

    assert [r.partition_key for r in first] == [w.partition_key for w in works[:3]]
    assert _told(second) == [work.name for work in works[3:]]


def test_what_a_killed_batch_left_is_asked_for_although_it_was_claimed_just_now(
    instance: DagsterInstance, engine: Engine
) -> None:
    works = _fetches(10)
    _tick(instance, works, engine=engine)
    run = instance.get_runs()[0]
    instance.report_run_failed(run)

    (again,) = _tick(instance, works, engine=engine)

    assert _told(again) == [work.name for work in works]


def test_a_claim_expires_where_its_tick_was_cut_off(engine: Engine) -> None:
    expires = NOW + timedelta(seconds=claims.CLAIM_SECONDS)

    assert claims.claim(engine, ["a", "b"], NOW) == {"a", "b"}
    assert claims.claim(engine, ["b", "c"], expires) == {"c"}
    assert claims.claim(engine, ["a", "b", "c"], expires + timedelta(seconds=1)) == {"a", "b"}


def test_of_background_work_one_of_a_lane_is_asked_for(instance: DagsterInstance) -> None:
    works = [WantedRun("replay:A:1", lane("replay", "A")), WantedRun("replay:A:2", lane("replay", "A"))]

    assert [r.run_key for r in run_requests(instance, works, NOW, batch_job=JOB)] == ["replay:A:1#1"]


def test_a_schedule_s_works_are_a_batch_however_few(instance: DagsterInstance) -> None:
    (run,) = run_requests(instance, _fetches(1), NOW, batch_job=JOB, few=0)

    assert (run.job_name, run.partition_key) == (JOB, None)


@examples(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), regions=st.integers(1, 16), a_batch=st.integers(1, 7))
def test_whatever_becomes_of_runs_each_work_is_done_once_and_none_is_lost(
    seed: int, regions: int, a_batch: int
) -> None:
    """Two sensors tick in turn; runs end well, fail in some regions, or are killed anywhere, even before they begin."""
    chance = random.Random(seed)
    todo = {work.name: work for n in range(regions) for work in _days(f"R{n:02}", chance.randint(1, 3))}
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patched, DagsterInstance.ephemeral() as instance:
        patched.setenv("SATFIELDS_BATCH_REGIONS", str(a_batch))
        settings.cache_clear()
        now = NOW
        for _ in range(300):
            _tick(instance, list(todo.values()), now)
            now += timedelta(minutes=1)
            under_way = instance.get_runs(RunsFilter(statuses=UNFINISHED))
            busy = [region for run in under_way if works_of(run) for region in regions_of(run)]
            assert len(busy) == len(set(busy))
            if under_way:
                done += _end(instance, chance.choice(under_way), todo, chance)
            elif not todo:
                break
        settings.cache_clear()

    assert todo == {}
    assert len(done) == len(set(done))


def _end(instance: DagsterInstance, run: DagsterRun, todo: dict[str, WantedRun], chance: random.Random) -> list[str]:
    """Let a run end somehow; gives the works that it did."""
    names = _names(run) or [run.tags[WORK_TAG]]
    regions = list(dict.fromkeys(entry["region"] for entry in works_of(run)))
    begun = chance.choice([0, len(regions), chance.randint(0, len(regions))]) if regions else chance.randint(0, 1)
    if regions:
        _begin(instance, run, begun)
    reached = [e["work"] for e in works_of(run) if e["region"] in regions[:begun]] if regions else names * begun
    done = [name for name in reached if chance.random() < 0.7 and todo.pop(name, None)]
    instance.report_run_failed(run)
    return done


def _days(region: str, count: int) -> list[WantedRun]:
    return [_fetch(region, date(2026, 1, 1) + timedelta(days=n)) for n in range(count)]


def _fetches(count: int) -> list[WantedRun]:
    return [_fetch(f"R{n:04}", date(2026, 5, 1)) for n in range(count)]


def _fetch(region: str, day: date) -> WantedRun:
    return WantedRun(f"fetch:{region}:{day}:answer", lane("ingest", region), partition(region, day), "fetch")


def _tick(
    instance: DagsterInstance, works: Sequence[WantedRun], now: datetime = NOW, engine: Engine | None = None
) -> list[RunRequest]:
    """Ask, and put the runs on record as the daemon does."""
    asked = list(run_requests(instance, works, now, engine, batch_job=JOB))
    keys = {run.tags.get("dagster/run_key") for run in instance.get_runs()}
    for request in asked:
        assert request.run_key not in keys  # Dagster would never run it
        tags = dict(request.tags) | {"dagster/run_key": str(request.run_key)}
        create_run_for_test(
            instance,
            job_name=request.job_name,
            tags=tags,
            run_config=request.run_config,
        )
    return asked


def _begin(instance: DagsterInstance, run: DagsterRun, regions: int) -> None:
    """Let a batch have come to so many regions."""
    instance.add_run_tags(run.run_id, {PROGRESS_TAG: f"{regions}/{len(regions_of(run))}"})


def _told(request: RunRequest) -> list[str]:
    config: Iterable[dict[str, str]] = request.run_config["ops"]["region_after_region"]["config"]["works"]
    return [entry["work"] for entry in config]


def _names(run: DagsterRun) -> list[str]:
    return [entry["work"] for entry in works_of(run)]
