"""`python -m satcommon.preflight`: check before a process starts that it can work here with these settings.

A roll-out checks each new image with it: a wrong setting, a database of another revision, an unreachable bucket or a
missing algorithm version stops the roll-out, not the service.
"""

from __future__ import annotations

import sys

from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.environment import environment
from satcommon.errors import AlgorithmError, SatfieldsError
from satcommon.stats.algorithm import algorithm


def check() -> str:
    """Check the settings, the ledger, the store and the active regions; returns a line that says so.

    Raises:
        AlgorithmError: an active region's version is not supported here.
        SatfieldsError: a setting, the ledger or the store can't be used; the message says what to do.
    """
    env = environment()  # the settings are valid, the ledger is there and of this code's revision
    with read_transaction(env.engine) as connection:
        regions = registry.regions(connection, active=True)
    for region in regions:
        try:
            algorithm(region.algorithm_version)
        except AlgorithmError as error:
            raise AlgorithmError(f"region {region.name}: {error}") from error
    env.store().exists("preflight")
    return f"settings, ledger and store are there, and each active region's version ({len(regions)})"


if __name__ == "__main__":
    try:
        print(f"ready: {check()}")  # noqa: T201  # a command's output
    except SatfieldsError as error:
        sys.exit(f"not ready: {error}")
