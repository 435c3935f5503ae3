"""What metrics say of webhooks is what their deliveries are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from satcommon.db import webhooks as hooks
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Delivery, Publication
from satcommon.storage.object_store import ObjectStore
from satcommon.views.metrics.webhooks import webhook_samples
from sqlalchemy import Engine, event, func, select, update

from tests.unit.webhooks.receiver import NOW, REGIONS, SECRET, Log

HOUR = timedelta(hours=1)


@pytest.fixture
def log(sqlite_engine: Engine, store_folder: Path) -> Log:
    made = Log(sqlite_engine, ObjectStore(str(store_folder)))
    made.begin()
    return made


def add(log: Log, name: str, **values: Any) -> None:
    """A webhook of all regions that knows nothing yet; its deliveries are given these values."""
    new = hooks.NewWebhook(name, "https://example.org", SECRET, None, (), None, first_publications=True)
    with write_transaction(log.engine) as connection:
        hooks.add(connection, new, {}, NOW)
        if values:
            hook = hooks.webhook(connection, name)
            connection.execute(update(Delivery).where(Delivery.webhook_id == hook.webhook_id).values(**values))


def samples(log: Log, limit: int = 10) -> dict[tuple[str, ...], float]:
    with read_transaction(log.engine) as connection:
        found = webhook_samples(connection, limit, log.now + HOUR)
    return {(each.metric.removeprefix("satfields_webhook_"), *each.labels): each.value for each in found}


def test_each_webhook_is_told_behind_failing_or_dead(log: Log) -> None:
    add(log, "new")
    add(log, "told", position=10**6)
    add(log, "gone", dead_at=log.now, failing_since=log.now - 9 * HOUR)
    add(log, "slow", failing_since=log.now - HOUR)
    add(log, "anew", position=10**6, resync="restored")
    states = {"new": "behind", "told": "told", "gone": "dead", "slow": "failing", "anew": "behind"}

    with read_transaction(log.engine) as connection:
        published = connection.execute(select(func.count()).select_from(Publication)).scalar_one()

    found = samples(log)

    for name, state in states.items():
        assert {each: found["regions", name, each] for each in ("told", "behind", "failing", "dead")} == {
            **dict.fromkeys(("told", "behind", "failing", "dead"), 0.0),
            state: float(len(REGIONS)),
        }
    assert found["waiting_publications", "told"] == found["waiting_publications", "anew"] == 0
    assert found["waiting_publications", "new"] == published > 0
    assert found["lag_seconds", "told"] == 0
    assert found["lag_seconds", "new"] >= HOUR.total_seconds()
    assert {key: value for key, value in found.items() if key[0] == "failing_seconds"} == {
        ("failing_seconds", "slow"): 2 * HOUR.total_seconds()
    }


def test_many_webhooks_are_few_series_and_one_query(log: Log) -> None:
    for number in range(12):
        add(log, f"hook-{number:02}")
    queries: list[str] = []
    event.listen(log.engine, "before_cursor_execute", lambda *given: queries.append(given[2]))

    found = samples(log, limit=3)

    assert {key[1] for key in found} == {"hook-00", "hook-01", "hook-02", "other"}
    assert found["regions", "other", "behind"] == 9 * len(REGIONS)
    assert found["waiting_publications", "other"] == 9 * found["waiting_publications", "hook-00"]
    assert len([query for query in queries if "webhook_deliveries" in query]) == 1
