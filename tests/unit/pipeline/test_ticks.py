"""What the sensors read of the ledger in a tick: a number of statements that does not grow with regions or days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import shapely
from satcommon.contract import LANE_TAG
from satcommon.db import claims, fields, ledger, registry
from satcommon.db.engine import write_transaction
from satcommon.environment import environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.run_requests import WantedRun
from satcommon.settings import settings
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satfields_ingest.work import older_days_to_ask_for, scenes_to_ask_for
from satfields_realtime.work import days_to_close
from satfields_reprocessing.work import backlogs_to_drain
from sqlalchemy import Engine, event

from tests.unit.closed_days import close_days

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)
LOOKS = 1


@pytest.fixture(autouse=True)
def ledger_of_the_process(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The locations work with the test's database."""
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    settings.cache_clear()
    environment.cache_clear()
    yield
    environment().engine.dispose()
    environment.cache_clear()


WORKS: dict[str, Callable[[set[str]], Iterable[WantedRun]]] = {
    "scenes": lambda known: scenes_to_ask_for(environment(), known, NOW, LOOKS).works,
    "older days": lambda _: older_days_to_ask_for(environment(), NOW),
    "days": lambda known: days_to_close(environment(), known, NOW),
    "backlogs": lambda known: backlogs_to_drain(environment(), known, NOW),
}


def test_a_tick_reads_the_ledger_by_as_many_statements_for_many_regions_as_for_few(engine: Engine) -> None:
    few = _regions(engine, 0, 2, span=2)
    of_few = {what: _counted(works, few) for what, works in WORKS.items()}
    many = few | _regions(engine, 2, 6, span=5)

    for what, works in WORKS.items():
        asked, statements = _counted(works, many)
        assert ({_region(work) for work in of_few[what][0]}, {_region(work) for work in asked}) == (few, many), what
        assert statements == of_few[what][1], what


@pytest.mark.parametrize(
    ("longitude", "hour", "over"), [(150.0, 13, False), (150.0, 14, True), (-120.0, 23, False), (5.0, 23, False)]
)
def test_a_region_is_asked_for_the_running_day_once_it_is_over_by_its_sun(
    engine: Engine, longitude: float, hour: int, over: bool
) -> None:
    now = NOW.replace(hour=hour, minute=30)
    today = now.date()
    bounds = Bounds(longitude - 0.1, 45.0, longitude + 0.1, 45.1)
    with write_transaction(engine) as connection:
        first = today - timedelta(days=1)
        registry.add_region(connection, "R", bounds, Grid.utm(bounds, 500.0), first, None, CURRENT, LONG_AGO)
        bbox_id = registry.region(connection, "R").bbox_id

    def asked() -> set[str]:
        works = scenes_to_ask_for(environment(), {"R"}, now).works
        return {work.partition_key.keys_by_dimension["date"] for work in works if work.partition_key}

    assert asked() == {str(first)} | ({str(today)} if over else set())
    with write_transaction(engine) as connection:
        ledger.set_day(connection, bbox_id, first, due=Due.NOT_DUE, answered_at=now)
        ledger.set_day(connection, bbox_id, today, due=Due.NOT_DUE, answered_at=now)
    assert asked() == set()


def test_claims_are_one_statement_beside_the_removal_of_those_that_expired(engine: Engine) -> None:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: seen.append(told[2]))

    claimed = claims.claim(engine, [f"work {n}" for n in range(100)], NOW)

    assert len(claimed) == 100
    assert [one.split()[0] for one in seen if not one.startswith("BEGIN")] == ["DELETE", "INSERT"]


def _regions(engine: Engine, first: int, last: int, span: int) -> set[str]:
    """Regions with so many closed days, of which the last alone has an answer, and a field that is missed on each."""
    names = [f"R{n:02}" for n in range(first, last)]
    with write_transaction(engine) as connection:
        for n, name in enumerate(names, first):
            bounds = Bounds(0.05 * n, 45.0, 0.05 * n + 0.03, 45.03)
            start = NOW.date() - timedelta(days=span + 40)
            registry.add_region(connection, name, bounds, Grid.utm(bounds, 500.0), start, None, CURRENT, LONG_AGO)
            bbox_id = registry.region(connection, name).bbox_id
            close_days(connection, bbox_id, [start + timedelta(days=d) for d in range(span)], LONG_AGO)
            answer = {"due": Due.NOT_DUE, "answered_at": LONG_AGO}
            ledger.set_day(connection, bbox_id, start + timedelta(days=span - 1), **answer)
            square = shapely.box(0.05 * n + 0.005, 45.005, 0.05 * n + 0.015, 45.015)
            fields.register_fields(connection, [fields.NewField(name, name, square, start)], LONG_AGO)
    return set(names)


def _counted(works: Callable[[set[str]], Iterable[WantedRun]], known: set[str]) -> tuple[list[WantedRun], int]:
    """What there is to do, and the number of statements that told it."""
    seen: list[str] = []
    engine = environment().engine

    def note(*told: object) -> None:
        seen.append(str(told[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        found = list(works(known))
        return found, len(seen)
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _region(work: WantedRun) -> str:
    return work.tags[LANE_TAG].partition(":")[2]
