"""What there is for reprocessing to do, read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from satcommon.contract import lane
from satcommon.environment import environment
from satcommon.run_requests import WantedRun


def backlogs_to_drain(known_regions: Collection[str], now: datetime) -> Iterator[WantedRun]:
    """The regions with misses or withdrawals that can be worked on now; what is added to them is new work."""
    from satcommon.db.engine import read_transaction
    from satcommon.pipeline.backlog import workable_backlogs

    env, known = environment(), set(known_regions)
    with read_transaction(env.engine) as connection:
        found = workable_backlogs(connection, env.deadlines, now)
    for region in sorted(known & found.keys()):
        yield WantedRun(f"replay:{region}:{found[region]}", lane("replay", region), region)
