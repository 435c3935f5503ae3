"""Claims on work: if two sensors see the same work at the same instant, only one of them asks for a run.

Dagster's run keys belong to one sensor, and a run is on record only after the tick that asked for it. A claim covers
the time between: a row of the table of runs, under a name that is no run id. It expires, so that work is asked for
again if the tick was cut off before its runs were on record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete

from satcommon.db.engine import write_transaction
from satcommon.db.models import Run
from satcommon.db.statement_batches import upsert

CLAIM_SECONDS = 120.0  # a tick is cut off after 60 s; submitting its runs takes at most as long again
LANE = "claim"  # of these rows, in place of a run's lane


def claim(engine: Engine, names: Collection[str], now: datetime) -> set[str]:
    """Claim names; returns those that nobody else claimed within the last two minutes."""
    if not names:
        return set()
    named = {hashlib.sha256(name.encode()).hexdigest(): name for name in names}
    same = {"lane": LANE, "started_at": now, "heartbeat_at": now}
    with write_transaction(engine) as connection:
        expired = now - timedelta(seconds=CLAIM_SECONDS)
        connection.execute(delete(Run).where(Run.lane == LANE, Run.heartbeat_at < expired))
        rows = [{"run_id": key, **same} for key in sorted(named)]  # sorted, so that two claimants can't deadlock
        new = upsert(connection)(Run).values(rows).on_conflict_do_nothing().returning(Run.run_id)
        return {named[key] for key in connection.execute(new).scalars()}
