"""Heartbeats of runs: without a health check, a launcher never notices that a run was killed; the ledger does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, insert, select, update

from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Run
from satcommon.db.statement_batches import rows_in

_log = logging.getLogger(__name__)


@contextmanager
def beating(engine: Engine, run_id: str, lane: str, seconds: float) -> Iterator[None]:
    """Write heartbeats of a run, in a thread, until the block ends. It reads the clock: for the outermost layer only.

    Args:
        engine: of the ledger.
        run_id: of the run.
        lane: of the run.
        seconds: between two beats.
    """
    _beat(engine, run_id, lane)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(seconds):
            try:
                _beat(engine, run_id, lane)
            except Exception as error:  # noqa: BLE001  # the next beat may succeed; the work is not this thread's to end
                _log.warning("no heartbeat of run %s: %s", run_id, error)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def heartbeats(engine: Engine, run_ids: Collection[str]) -> dict[str, datetime]:
    """The last heartbeat of each of these runs; runs without one are left out."""
    with read_transaction(engine) as connection:
        statement = select(Run.run_id, Run.heartbeat_at)
        return {row.run_id: row.heartbeat_at for row in rows_in(connection, statement, Run.run_id, run_ids)}


def _beat(engine: Engine, run_id: str, lane: str) -> None:
    now = datetime.now(UTC)
    with write_transaction(engine) as connection:
        beaten = connection.execute(update(Run).where(Run.run_id == run_id).values(heartbeat_at=now))
        if beaten.rowcount == 0:
            connection.execute(insert(Run).values(run_id=run_id, lane=lane, started_at=now, heartbeat_at=now))
