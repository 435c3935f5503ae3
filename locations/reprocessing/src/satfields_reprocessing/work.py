"""What there is for reprocessing to do, read from the ledger. Only ticks import this module."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from satcommon.contract import REPLAY_JOB, lane
from satcommon.db.engine import read_transaction
from satcommon.pipeline.backlog import workable_backlogs
from satcommon.run_requests import WantedRun

if TYPE_CHECKING:
    from satcommon.environment import Environment


def backlogs_to_drain(env: Environment, known_regions: Collection[str], now: datetime) -> Iterator[WantedRun]:
    """The regions with misses or withdrawals that can be worked on now; what is added to them is new work."""
    with read_transaction(env.engine) as connection:
        backlogs = workable_backlogs(connection, env.deadlines, now)
    for region in sorted(set(known_regions) & backlogs.keys()):
        name = f"replay:{region}:{backlogs[region]}"
        yield WantedRun(name, lane("replay", region), region, job=REPLAY_JOB)
