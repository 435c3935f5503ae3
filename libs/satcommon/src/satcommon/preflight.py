"""`python -m satcommon.preflight`: check before a process starts that it can work here with these settings.

A roll-out checks each new image with it: a wrong setting, a database of another revision, an unreachable bucket or a
missing algorithm version stops the roll-out, not the service.
"""

from __future__ import annotations

import sys

from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.referenced_scenes import referenced_scenes
from satcommon.environment import environment
from satcommon.errors import AlgorithmError, SatfieldsError, SettingError
from satcommon.messages import counted
from satcommon.sources.source import STAC
from satcommon.stats.algorithm import algorithm


def check() -> str:
    """Check the settings, the ledger, the store and the active regions; returns a line that says so.

    Where a region has scenes by reference, every location needs the configuration of their catalogue.

    Raises:
        AlgorithmError: an active region's version is not supported here.
        SettingError: the catalogue of scenes by reference is not configured.
        SatfieldsError: a setting, the ledger or the store can't be used; the message says what to do.
    """
    env = environment()  # the settings are valid, the ledger is there and of this code's revision
    with read_transaction(env.engine) as connection:
        regions = registry.regions(connection, active=True)
        referenced = referenced_scenes(connection)
    for region in regions:
        try:
            algorithm(region.algorithm_version)
        except AlgorithmError as error:
            raise AlgorithmError(f"region {region.name}: {error}") from error
    if referenced:
        if env.settings.scene_source != STAC or env.settings.stac is None:
            first = referenced[0]
            raise SettingError(
                f"region {first.region}: the pixels of {counted(first.scenes, 'scene')} are in a catalogue's files; "
                "set SATFIELDS_SCENE_SOURCE=stac, and SATFIELDS_STAC to that catalogue, in each location"
            )
        from satcommon.sources import stac_config  # only where it is needed

        stac_config.load(env.settings.stac)
    env.store().exists("preflight")
    return f"settings, ledger and store are there, and each active region's version ({len(regions)})"


if __name__ == "__main__":
    try:
        print(f"ready: {check()}")  # noqa: T201  # a command's output
    except SatfieldsError as error:
        sys.exit(f"not ready: {error}")
