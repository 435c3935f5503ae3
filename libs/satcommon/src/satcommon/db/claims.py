"""Claims on what is asked for: of two sensors that see the same work in one instant, one asks for it.

Dagster's run keys are a sensor's own, and a run is on record only after the tick that asked for it. A claim stands in
between, as a row of the table of runs under a name that is no run's id, and expires: where the asking tick was cut off
before its runs were on record, the work is asked for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete

from satcommon.db.batches import upsert
from satcommon.db.engine import write_transaction
from satcommon.db.models import Run

CLAIM_SECONDS = 120.0  # a tick is cut off after 60 s; submitting the runs that it asked for takes as long at most
_LANE = "claim"  # of these rows, where a run has its lane


def claim(engine: Engine, names: Collection[str], now: datetime) -> set[str]:
    """Claim names; gives those that nobody has claimed within the last two minutes."""
    if not names:
        return set()
    named = {hashlib.sha256(name.encode()).hexdigest(): name for name in names}
    same = {"lane": _LANE, "started_at": now, "heartbeat_at": now}
    with write_transaction(engine) as connection:
        expired = now - timedelta(seconds=CLAIM_SECONDS)
        connection.execute(delete(Run).where(Run.lane == _LANE, Run.heartbeat_at < expired))
        rows = [{"run_id": key, **same} for key in sorted(named)]  # in one order: two can't wait for each other
        new = upsert(connection)(Run).values(rows).on_conflict_do_nothing().returning(Run.run_id)
        return {named[key] for key in connection.execute(new).scalars()}
