"""Garbage collection: unreferenced objects, a day after they were put or last named by a key, and old attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, select

from satcommon.db import attempts
from satcommon.db.batches import batches
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Attempt, RegionDay, RetiredObject, Scene
from satcommon.db.records import all_of, select_all
from satcommon.storage.object_store import ObjectStore

KEPT_FOR = timedelta(days=1)  # longer than any run waits between its put and its commit
_ATTEMPTS = 10_000  # per transaction, so that nobody waits long


def unreferenced_objects(engine: Engine, store: ObjectStore, now: datetime) -> list[str]:
    """The keys of results and scenes that nothing has named for `KEPT_FOR`.

    A run under way has put its object within that time, and a reader can open a key for as long after reading it.
    """
    stored = {**store.put_times("results/"), **store.put_times("scenes/")}
    with read_transaction(engine) as connection:
        named = set(connection.execute(select(RegionDay.object_key).where(RegionDay.object_key.is_not(None))).scalars())
        named |= set(connection.execute(select(Scene.object_key)).scalars())
        retired = {row.object_key: row.retired_at for row in all_of(connection, select_all(RetiredObject))}
    return sorted(
        key
        for key, put_at in stored.items()
        if key not in named and now - max(put_at, retired.get(key, put_at)) >= KEPT_FOR
    )


def collect_garbage(engine: Engine, store: ObjectStore, keys: list[str], progress: Callable[[], None]) -> None:
    """Remove unreferenced objects.

    Args:
        engine: of the ledger.
        store: of scenes and results.
        keys: of `unreferenced_objects`.
        progress: called for each object.
    """
    for key in keys:
        store.delete(key)
        progress()
    with write_transaction(engine) as connection:
        for batch in batches(keys):
            connection.execute(delete(RetiredObject).where(RetiredObject.object_key.in_(batch)))


def old_attempts(engine: Engine, before: datetime) -> int:
    """The number of attempts written before an instant."""
    with read_transaction(engine) as connection:
        statement = select(func.count()).select_from(Attempt).where(Attempt.created_at < before)
        return connection.execute(statement).scalar_one()


def remove_attempts(engine: Engine, before: datetime, now: datetime) -> int:
    """Remove the attempts written before an instant; returns their number.

    Whole months are dropped, other attempts deleted in batches. It also makes the partitions of the next months.
    """
    removed = attempts.drop_months(engine, before)
    old = Attempt.created_at < before
    oldest = select(Attempt.attempt_id).where(old).order_by(Attempt.created_at).limit(_ATTEMPTS)
    while True:
        with write_transaction(engine) as connection:
            deleted = connection.execute(delete(Attempt).where(old, Attempt.attempt_id.in_(oldest))).rowcount
        removed += deleted
        if deleted < _ATTEMPTS:
            break
    attempts.make_months(engine, now)
    return removed
