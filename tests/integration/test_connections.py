"""What makes a budget of connections hold with many machines: a run holds none while it computes, reads or puts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import write_transaction
from satcommon.db.models import Attempt, Miss
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.sources.simulated import SimulatedSource
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box
from sqlalchemy import Engine, select, text

FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 20, tzinfo=UTC)
BOUNDS, DEADLINES = Bounds(14.0, 45.0, 14.05, 45.05), Deadlines(36.0, 30)


def register(engine: Engine, name: str) -> None:
    with write_transaction(engine) as connection:
        new = fields.NewField(name, name, box(14.01, 45.01, 14.04, 45.04), FIRST)
        fields.register_fields(connection, [new], NOW)


def test_no_connection_is_held_while_a_run_computes(
    postgres_engine: Engine, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, held, seen = postgres_engine, [], set[str]()

    def watch(owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            seen.add(name)
            if engine.pool.checkedout():  # type: ignore[attr-defined]  # of this kind of pool
                held.append(name)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, watched)

    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), FIRST, None, "1", NOW)
    register(engine, "early")
    for owner, names in ((ObjectStore, ("put", "get")), (SimulatedSource, ("list", "read")), (Processor, ("observe",))):
        for name in names:
            watch(owner, name)

    store = ObjectStore(str(store_folder))
    closer = Closer(engine, store, 1, DEADLINES, "run", NOW)
    closed = list(closer.backfill(SimulatedSource(), FIRST + timedelta(days=2), lambda _day, _answer: None))
    register(engine, "late")
    replayed = list(replay(Processor(engine, store), engine, 1, DEADLINES, "run", NOW))

    assert (len(closed), len(replayed)) == (3, 1)
    assert seen == {"put", "get", "list", "read", "observe"}
    assert held == []


def test_the_query_for_open_misses_is_one_that_their_index_answers(engine: Engine) -> None:
    statement = select(Miss.id).where(Miss.bbox_id == 1, ~Miss.processed, Miss.date_missed == FIRST)
    sql = statement.compile(engine, compile_kwargs={"literal_binds": True})

    with write_transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = connection.execute(text(f"EXPLAIN {sql}")).scalars().all()
        else:
            plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]

    assert "ix_missed_fields_open_by_day" in " ".join(plan)


def test_attempts_are_removed_some_at_a_time_and_only_the_old_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from satcommon.audit import garbage
    from satcommon.db import ledger
    from satcommon.db.models import ProcessingType

    monkeypatch.setattr(garbage, "_ATTEMPTS", 2)
    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", BOUNDS, Grid.utm(BOUNDS, 100.0), FIRST, None, "1", NOW)
    register(engine, "f")
    with write_transaction(engine) as connection:
        for n in range(6):
            at = NOW - timedelta(days=n)
            run = ledger.ProcessingRun(ProcessingType.REALTIME, f"run{n}", at)
            ledger.record_attempts(connection, 1, FIRST, {1: None}, run, at)

    before = NOW - timedelta(days=1)
    assert garbage.old_attempts(engine, before) == 4
    assert garbage.remove_attempts(engine, before, NOW) == 4
    with write_transaction(engine) as connection:
        assert sorted(connection.execute(select(Attempt.run_id)).scalars()) == ["run0", "run1"]
