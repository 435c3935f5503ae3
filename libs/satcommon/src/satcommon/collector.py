"""Collecting rubbish: objects that no key names, a day after they were put or their key moved away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, select

from satcommon.db.batches import batches
from satcommon.db.engine import reading, writing
from satcommon.db.models import RegionDay, RetiredObject, Scene
from satcommon.objects import ObjectStore

KEPT_FOR = timedelta(days=1)  # longer than any run may wait between its put and its commit


def rubbish(engine: Engine, store: ObjectStore, now: datetime) -> list[str]:
    """The keys that can be removed: of results and scenes that nothing names, long enough ago.

    A run that is still under way has put its object within `KEPT_FOR`; a reader that read a key has it for as long.
    """
    stored = {**store.put_times("results/"), **store.put_times("scenes/")}
    with reading(engine) as connection:
        named = set(connection.execute(select(RegionDay.object_key).where(RegionDay.object_key.is_not(None))).scalars())
        named |= set(connection.execute(select(Scene.object_key)).scalars())
        retired = {
            row.object_key: row.retired_at for row in connection.execute(select(*RetiredObject.__table__.columns))
        }
    return sorted(
        key
        for key, put_at in stored.items()
        if key not in named and now - max(put_at, retired.get(key, put_at)) >= KEPT_FOR
    )


def collect(engine: Engine, store: ObjectStore, keys: list[str], progress: Callable[[], None]) -> None:
    """Remove objects that `rubbish` named; `progress` is called for each."""
    for key in keys:
        store.delete(key)
        progress()
    with writing(engine) as connection:
        for batch in batches(keys):
            connection.execute(delete(RetiredObject).where(RetiredObject.object_key.in_(batch)))
