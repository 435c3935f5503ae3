"""A region's week in stages, told in a process that may be killed at any effect: a put, a commit, or a delete.

`run` goes on at the stage that was killed, as a run that is asked for again does. Everything happens in processes that
a server forks with everything imported and nothing used: threads of the object store's would not survive a fork.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from archive import Archive
from satcommon.db import fields
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.models import (
    Attempt,
    Field,
    FieldRevision,
    Membership,
    Miss,
    Publication,
    PublicationDay,
    Scene,
    Season,
)
from satcommon.publication.objects import ResultObjects
from satcommon.publication.rebase import patched_days, rebase
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine, select
from truth import OTHER_VERSION, POLYGONS, REGIONS, THE_END, day, with_other_version
from world import Laboratory, World

WEST, EAST = REGIONS
CLOSING = datetime.fromisoformat("2026-04-07T12:00:00Z")  # all deadlines are over, allowed lateness is not


@dataclass(frozen=True)
class Stores:
    """Where a week is told: a migrated ledger, a store, a folder for notes, and the variables that it takes."""

    ledger: str
    store: str
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def laboratory(self) -> Iterator[Laboratory]:
        """Everything of it, in a process of its own."""
        os.environ.update(self.variables)
        engine = open_engine(self.ledger)
        yield Laboratory((engine, engine), self.store)
        engine.dispose()


def prepare(stores: Stores) -> None:
    """Two fields in a region of five days, and a store that holds their coverage."""
    with stores.laboratory() as laboratory:
        world = laboratory.world()
        world.monitor(EAST, day(1), day(1))
        world.monitor(WEST, day(1), day(5))
        world.register("f1", 0, day(1))
        world.register("f2", 4, day(1))


def _days_on_time(world: World) -> None:
    for n in (1, 2, 4, 5):
        world.arrives(WEST, day(n), "first")
    world.ask(WEST, day(3))


def _close(world: World) -> None:
    world.close(WEST)


def _late_field(world: World) -> None:
    new = fields.NewField("f3", "f3", POLYGONS[1], day(2))
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, [new], world.now)


def _replay(world: World) -> None:
    world.replay(WEST)


def _late_scene(world: World) -> None:
    world.arrives(WEST, day(3), "first")


def _corrections(world: World) -> None:
    world.arrives(WEST, day(1), "other")
    with write_transaction(world.engine) as connection:
        fields.revise_geometry(connection, "f1", POLYGONS[1], None, world.now)
    with write_transaction(world.engine) as connection:
        fields.activate_field(connection, "f2", day(4), world.now, active=False)


def _new_version(world: World) -> None:
    world.pin(WEST, OTHER_VERSION)
    world.pin(EAST, CURRENT)


def _rebase(world: World) -> None:
    with read_transaction(world.engine) as connection:
        patched = patched_days(connection, 0)
    for bbox_id, on in patched:
        assert rebase(world.engine, ResultObjects(world.store), bbox_id, on, lambda: world.now)


def _collect(world: World) -> None:
    """Of what was superseded nothing is kept."""
    Archive(world).collect(world.now)


STAGES: tuple[Callable[[World], None], ...] = (
    _days_on_time,
    _close,
    _late_field,
    _replay,
    _late_scene,
    _corrections,
    _replay,
    _rebase,
    _collect,
    _new_version,
    _replay,
)


def run(stores: Stores, kill_at: int | None, points: Path | None) -> None:
    """Tell the stages from the one that was not finished on; be killed at an effect, or note all effects."""
    with with_other_version(), stores.laboratory() as laboratory:
        world = World.of(laboratory, CLOSING)
        seen: list[str] = []
        progress = stores.folder / "stage"

        def reached(what: str) -> None:
            if len(seen) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.append(what)

        _watch(world.engine, reached)
        for number in range(int(progress.read_text()) if progress.exists() else 0, len(STAGES)):
            progress.write_text(str(number))
            STAGES[number](world)
        if points:
            points.write_text(json.dumps(seen))


def tell(stores: Stores, to: Path) -> None:
    """Go on to the end, and write down what the ledger says then, without ids and clocks, and what is published."""
    run(stores, None, None)
    with with_other_version(), stores.laboratory() as laboratory:
        world = World.of(laboratory, THE_END)
        world.replay(WEST)
        world.audit()
        to.write_bytes(pickle.dumps(_told(world)))


def _watch(engine: Engine, reached: Callable[[str], None]) -> None:
    put = ObjectStore.put

    def watched(self: ObjectStore, key: str, data: bytes) -> bool:
        reached(f"before a put in {key.split('/')[0]}")
        new = put(self, key, data)
        reached(f"after a put in {key.split('/')[0]}")
        return new

    delete = ObjectStore.delete

    def watched_delete(self: ObjectStore, key: str) -> None:
        reached("before a delete")
        delete(self, key)

    ObjectStore.put = watched  # type: ignore[method-assign]  # of this process, which ends
    ObjectStore.delete = watched_delete  # type: ignore[method-assign]  # likewise
    commit = engine.dialect.do_commit

    def committed(connection: Any) -> None:
        reached("before a commit")
        commit(connection)
        reached("after a commit")

    engine.dialect.do_commit = committed  # type: ignore[method-assign]


def _told(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for region in REGIONS:
        closed = world.closed(region)
        found[region] = {
            "days": [(on, d.due, d.scene_digest, d.row_count, d.version, d.tries, d.error) for on, d in closed.items()],
            "bytes": [world.canonical(region, on) for on in closed],
            "misses": world.misses(region),
            "withdrawals": world.withdrawals(region),
        }
    statements = {
        "misses ever": select(Miss.bbox_id, Miss.field_id, Miss.date_missed, Miss.processed, Miss.cause, Miss.digest),
        "attempts": select(Attempt.bbox_id, Attempt.field_id, Attempt.day, Attempt.processing_type, Attempt.error_code),
        "fields": select(Field.external_id, Field.geometry_digest, Field.planting_date, Field.active),
        "revisions": select(FieldRevision.kind, FieldRevision.valid_from, FieldRevision.geometry_digest),
        "seasons": select(Season.planting_date, Season.end_date),
        "members": select(Membership.bbox_id, Membership.overlap_ha, Membership.home),
        "scenes": select(Scene.bbox_id, Scene.day, Scene.digest),
        "log": select(Publication.bbox_id, Publication.sequence, Publication.kind, Publication.cause),
        "days of the log": select(PublicationDay.bbox_id, PublicationDay.day, PublicationDay.sequence),
    }
    with write_transaction(world.engine) as connection:
        for name, statement in statements.items():
            found[name] = sorted(map(str, connection.execute(statement)))
    return found
