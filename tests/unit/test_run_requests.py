"""How runs are asked for: a bounded number a tick, at a constant number of queries, each work by one sensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from dagster import DagsterInstance, RunRequest
from dagster._core.test_utils import create_run_for_test
from satcommon.contract import lane, partition
from satcommon.db import claims
from satcommon.run_requests import ASKED_A_TICK, LOOKED_AT, LOOKS, UNDER_WAY, WantedRun, in_turn, run_requests
from sqlalchemy import Engine

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance in memory."""
    with DagsterInstance.ephemeral() as found:
        yield found


def test_regions_take_turns_each_with_its_own_order() -> None:
    names = [work.name for work in in_turn({"A": _works("a1", "a2", "a3"), "B": _works("b1"), "C": _works("c1", "c2")})]

    assert names == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_tick_over_three_hundred_regions_of_thirty_days_is_bounded_and_the_next_goes_on(
    instance: DagsterInstance,
) -> None:
    regions = {
        f"R{n:03}": [_fetch(f"R{n:03}", date(2026, 5, 1) + timedelta(days=d)) for d in range(30)] for n in range(300)
    }

    ticks = [_tick(instance, list(in_turn(regions))) for _ in range(3)]

    assert [len(asked) for asked, _ in ticks] == [ASKED_A_TICK] * 3
    assert [queries for _, queries in ticks] == [1, 1, 1]
    asked = [str(request.partition_key) for found, _ in ticks for request in found]
    assert asked == [partition(name, date(2026, 5, 1)) for name in sorted(regions)]


def test_what_waits_is_bounded_and_what_ends_makes_room(instance: DagsterInstance) -> None:
    works = [_fetch(f"R{n:04}", date(2026, 5, 1)) for n in range(UNDER_WAY + 50)]

    while _tick(instance, works)[0]:
        pass
    waiting = instance.get_runs()
    assert len(waiting) == UNDER_WAY
    for run in waiting[:7]:
        instance.report_run_failed(run)

    assert len(_tick(instance, works)[0]) == 7


def test_failed_works_that_pause_are_looked_past(instance: DagsterInstance) -> None:
    works = [_fetch(f"R{n:04}", date(2026, 5, 1)) for n in range(LOOKED_AT + 10)]
    for work in works[:LOOKED_AT:100]:
        _pausing(instance, work)
    names = [work.name for work in works[:LOOKED_AT:100]]

    asked, queries = _tick(instance, [w for w in works if w.name in names] + works[-1:])

    assert ([str(r.partition_key) for r in asked], queries) == ([str(works[-1].partition_key)], 1)


def test_a_tick_looks_at_a_bounded_number_of_works(instance: DagsterInstance) -> None:
    lane_tags = lane("replay", "A")
    create_run_for_test(instance, tags=lane_tags)
    works = [WantedRun(f"replay:{n}", lane_tags) for n in range((LOOKS + 1) * LOOKED_AT)]

    asked, queries = _tick(instance, works)

    assert (asked, queries) == ([], 2 * LOOKS)  # of works by name, and of lanes


def test_two_sensors_that_see_the_same_work_in_one_instant_ask_for_it_once(
    instance: DagsterInstance, engine: Engine
) -> None:
    works = [_fetch(f"R{n}", date(2026, 5, 1)) for n in range(5)]

    first = list(run_requests(instance, works[:3], NOW, engine))
    second = list(run_requests(instance, works, NOW, engine))  # no run is on record yet

    assert [r.partition_key for r in first] == [w.partition_key for w in works[:3]]
    assert [r.partition_key for r in second] == [w.partition_key for w in works[3:]]


def test_a_claim_expires_where_its_tick_was_cut_off(engine: Engine) -> None:
    expires = NOW + timedelta(seconds=claims.CLAIM_SECONDS)

    assert claims.claim(engine, ["a", "b"], NOW) == {"a", "b"}
    assert claims.claim(engine, ["b", "c"], expires) == {"c"}
    assert claims.claim(engine, ["a", "b", "c"], expires + timedelta(seconds=1)) == {"a", "b"}


def test_of_background_work_one_of_a_lane_is_asked_for(instance: DagsterInstance) -> None:
    works = [WantedRun("replay:A:1", lane("replay", "A")), WantedRun("replay:A:2", lane("replay", "A"))]

    assert [r.run_key for r in run_requests(instance, works, NOW)] == ["replay:A:1#1"]


def _works(*names: str) -> list[WantedRun]:
    return [WantedRun(name, {}) for name in names]


def _fetch(region: str, day: date) -> WantedRun:
    return WantedRun(f"fetch:{region}:{day}:answer", lane("ingest", region), partition(region, day))


def _tick(instance: DagsterInstance, works: Sequence[WantedRun]) -> tuple[list[RunRequest], int]:
    """Ask, and put the runs on record as the daemon does; gives the requests and the number of queries of runs."""
    with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as queries:
        asked = list(run_requests(instance, works, NOW))
    for request in asked:
        create_run_for_test(instance, tags=dict(request.tags))
    return asked, queries.call_count


def _pausing(instance: DagsterInstance, work: WantedRun) -> None:
    """Leave a run of a work that has just failed."""
    (asked,) = run_requests(instance, [work], NOW)
    tags: dict[str, Any] = dict(asked.tags)
    instance.report_run_failed(create_run_for_test(instance, tags=tags))
