"""Garbage collection: unreferenced objects, a day after they were put or removed from the log, and old attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, select

from satcommon.db import attempts, ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.measurements import OF_NO_REGION, measured
from satcommon.db.models import Attempt, Publication, Scene
from satcommon.db.publications import remove, superseded
from satcommon.db.registry import regions
from satcommon.storage.object_store import Listed, ObjectStore

KEPT_FOR = timedelta(days=1)  # longer than any run waits between its put and its commit
_KINDS = ("results", "scenes")
_ATTEMPTS = 10_000  # per transaction, so that nobody waits long


def remove_superseded(engine: Engine, before: datetime, now: datetime, *, dry_run: bool) -> int:
    """Take out of the log what no reader as of an instant or later needs; gives the number of publications.

    Their rows of the log stay, so that it tells what was published and why; their objects go a day later.

    Args:
        engine: of the ledger.
        before: the instant.
        now: the present.
        dry_run: only count them.
    """
    with read_transaction(engine) as connection:
        found = {region.bbox_id: superseded(connection, region.bbox_id, before) for region in regions(connection)}
    for bbox_id, sequences in found.items():
        if sequences and not dry_run:
            with write_transaction(engine) as connection:
                ledger.lock_region(connection, bbox_id)
                remove(connection, bbox_id, sequences, now)
    return sum(map(len, found.values()))


def stored_objects(store: ObjectStore) -> dict[str, Listed]:
    """Results and scenes as the store lists them, by key."""
    return {key: listed for kind in _KINDS for key, listed in store.listing(f"{kind}/").items()}


def note_objects(engine: Engine, stored: Mapping[str, Listed], now: datetime) -> None:
    """Keep how many objects there are, and their size, for those who watch and can't list a bucket at each look.

    Args:
        engine: of the ledger.
        stored: what is left of `stored_objects`.
        now: when they were listed.
    """
    values: dict[str, float] = {}
    for kind in _KINDS:
        sizes = [listed.size for key, listed in stored.items() if key.startswith(f"{kind}/")]
        values |= {f"objects/{kind}/count": len(sizes), f"objects/{kind}/bytes": sum(sizes)}
    with write_transaction(engine) as connection:
        measured(connection, OF_NO_REGION, values, now)


def unreferenced_objects(
    engine: Engine, stored: Mapping[str, Listed], now: datetime, kept_for: timedelta = KEPT_FOR
) -> list[str]:
    """The keys of `stored_objects` that nothing has named for some time, at least `KEPT_FOR`.

    A run under way has put its object within that time, and a reader can open an object for as long after it was
    removed from the log. What a backup of the ledger names was put before it, and removed from the log after it, if at
    all; so backups younger than `kept_for` lose no object, even where an older one of them was restored.

    Args:
        engine: of the ledger.
        stored: results and scenes, by key.
        now: the present.
        kept_for: how long an object without a name is kept; never less than `KEPT_FOR`.
    """
    kept_for = max(kept_for, KEPT_FOR)
    with read_transaction(engine) as connection:
        named = set(connection.execute(select(Scene.object_key)).scalars())
        removed: dict[str, datetime] = {}
        for row in connection.execute(select(Publication.object_key, Publication.removed_at)):
            if row.removed_at is None:
                named.add(row.object_key)
            elif row.object_key is not None:
                # Days closed without rows by earlier releases share an object.
                removed[row.object_key] = max(row.removed_at, removed.get(row.object_key, row.removed_at))
    return sorted(
        key
        for key, (put_at, _) in stored.items()
        if key not in named and now - max(put_at, removed.get(key, put_at)) >= kept_for
    )


def collect_garbage(store: ObjectStore, keys: list[str], progress: Callable[[], None]) -> None:
    """Remove unreferenced objects.

    Args:
        store: of scenes and results.
        keys: of `unreferenced_objects`.
        progress: called for each object.
    """
    for key in keys:
        store.delete(key)
        progress()


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
