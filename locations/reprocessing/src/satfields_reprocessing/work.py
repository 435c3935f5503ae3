"""What there is for reprocessing to do, read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from satcommon.contract import Work, lane
from satcommon.environment import environment


def backlogs_to_drain(known_regions: Collection[str], now: datetime) -> Iterator[Work]:
    """The regions with misses or withdrawals that can be worked on now; what is added to them is new work."""
    from satcommon.db.engine import reading
    from satcommon.db.registry import regions
    from satcommon.planning import backlog

    env = environment()
    with reading(env.engine) as connection:
        for region in regions(connection):
            if region.name not in known_regions:
                continue
            todo = backlog(connection, region.bbox_id, env.deadlines, now)
            if todo.first_day is not None:
                yield Work(f"replay:{region.name}:{todo.name}", lane("replay", region.name), region.name)
