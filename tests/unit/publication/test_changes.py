"""Changes of many rows are listed in bounded memory, and days without any cost nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import PublicationKind
from satcommon.db.publications import NewPublication, publish
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.changes import Selection, changes
from satcommon.publication.objects import PATCH, ResultObjects
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.result_rows import SCHEMA
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine, event

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIELDS, DAYS = 25_000, 4
MOST_BYTES = 250 << 20  # ten times a day's rows


def rows(day: date, seed: int, schema: pa.Schema) -> pa.Table:
    """A day's rows with every number filled."""
    chance = np.random.default_rng(seed)

    def column(field: pa.Field) -> pa.Array:
        if pa.types.is_floating(field.type):
            return pa.array(chance.random(FIELDS))
        same = {"region": "S", "day": day, "status": "clear", "cause": "revised_algorithm", "withdrawn": False}
        if field.name == "field":
            return pa.array([f"field-{n:06d}" for n in range(FIELDS)])
        return pa.array([same.get(field.name)] * FIELDS, field.type)

    return pa.table([column(field) for field in schema], schema=schema)


@pytest.fixture
def restated(sqlite_engine: Engine, store_folder: Path) -> tuple[Engine, ResultObjects]:
    """Four days of 25,000 fields, and one patch that changes every row of them."""
    engine, objects = sqlite_engine, ResultObjects(ObjectStore(str(store_folder)))
    bounds, days = Bounds(14.0, 45.0, 14.1, 45.1), [date(2026, 5, n + 1) for n in range(DAYS)]
    with write_transaction(engine) as connection:
        registry.add_region(connection, "S", bounds, Grid.utm(bounds, 500.0), days[0], None, CURRENT, NOW)
    for n, day in enumerate(days):
        stored = objects.put_day(1, day, rows(day, n, SCHEMA), NOW)
        with write_transaction(engine) as connection:
            ledger.set_day(connection, 1, day, closed_at=NOW)
            publish(
                connection, 1, NewPublication(PublicationKind.DAY, stored, {day: FIELDS}, FIELDS, "", "closed"), NOW
            )
    patch = pa.concat_tables([rows(day, 100 + n, PATCH) for n, day in enumerate(days)])
    stored = objects.put_patch(1, patch, NOW)
    new = NewPublication(PublicationKind.PATCH, stored, dict.fromkeys(days, FIELDS), patch.num_rows, "", "all")
    with write_transaction(engine) as connection:
        publish(connection, 1, new, NOW)
    return engine, objects


@pytest.mark.slow
def test_a_hundred_thousand_changed_rows_are_listed_without_holding_them(
    restated: tuple[Engine, ResultObjects],
) -> None:
    engine, objects = restated
    with read_transaction(engine) as connection:
        region = registry.region(connection, "S")
    pool = pa.default_memory_pool()
    pool.release_unused()
    before, count, most = pool.bytes_allocated(), 0, 0

    for table in changes(engine, objects, region, DAYS, DAYS + 1, Selection()):
        count += table.num_rows
        most = max(most, pool.bytes_allocated() - before)

    numbers = sum(pa.types.is_floating(field.type) for field in SCHEMA)
    assert count == FIELDS * DAYS * numbers
    assert most < MOST_BYTES, f"{most:,} bytes at a time"


def test_first_publications_of_days_cost_no_statements(engine: Engine, store_folder: Path) -> None:
    bounds, days = Bounds(14.0, 45.0, 14.1, 45.1), [date(2026, 5, n + 1) for n in range(DAYS)]
    objects = ResultObjects(ObjectStore(str(store_folder)))
    with write_transaction(engine) as connection:
        registry.add_region(connection, "S", bounds, Grid.utm(bounds, 500.0), days[0], None, CURRENT, NOW)
        region = registry.region(connection, "S")
        for day in days:
            ledger.set_day(connection, 1, day, closed_at=NOW)
            publish(connection, 1, NewPublication(PublicationKind.DAY, None, {day: 0}, 0, "", "closed"), NOW)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    assert list(changes(engine, objects, region, 0, DAYS, Selection())) == []

    assert len([statement for statement in asked if "publication" in statement]) == 1
