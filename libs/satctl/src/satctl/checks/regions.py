"""Checks of the active regions: algorithm version, source, refused scenes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from satcommon.db import answers, registry
from satcommon.db.engine import read_transaction
from satcommon.db.referenced_scenes import referenced_scenes
from satcommon.db.region_source import refusal
from satcommon.errors import SatfieldsError
from satcommon.messages import command, counted
from satcommon.sources.open_source import open_source
from satcommon.sources.source import SIMULATED
from satcommon.vector.regions import read_regions

from satctl.checks.findings import LISTED, Finding, State, System
from satctl.local.checkout import seed_files
from satctl.output.tables import names


def algorithms(system: System) -> Iterator[Finding]:
    """Each active region is pinned to a supported algorithm version."""
    from satcommon.stats import algorithm as versions

    known = versions.algorithms()  # fails where the file that SATFIELDS_ALGORITHMS names can't be read
    with read_transaction(system.engine) as connection:
        regions = registry.regions(connection, active=True)
    well = True
    for region in regions:
        try:
            versions.algorithm(region.algorithm_version)
        except SatfieldsError as error:
            well = False
            yield Finding("algorithms", State.FAILED, f"region {region.name}: {error}")
    if well:
        said = f"{counted(len(regions), 'active region')}, each with a supported algorithm version"
        yield Finding("algorithms", State.OK, f"{said} (known: {names(list(known))})")


def sources(system: System) -> Iterator[Finding]:
    """Each active region belongs to the configured source, and only the samples have simulated scenes."""
    with read_transaction(system.engine) as connection:
        regions = registry.regions(connection, active=True)
    configured = open_source(system.settings).identity
    simulated = any((region.scene_source or configured) == SIMULATED for region in regions)
    samples = {(region.name, region.bounds) for region in read_regions(seed_files()[0])} if simulated else set()
    well = True
    for region in regions:
        refused = refusal(region, configured)
        sample = (region.name, registry.aoi_of(region).bounds) in samples
        if refused:
            yield Finding("sources", State.FAILED, refused)
        elif (region.scene_source or configured) == SIMULATED and not sample:
            said = (
                f"region {region.name}: its scenes are simulated, so its numbers are invented; for real ones set "
                "SATFIELDS_SCENE_SOURCE=folder and SATFIELDS_SCENE_FOLDER (or stac and SATFIELDS_STAC), and register "
                "it again under another name"
            )
            yield Finding("sources", State.FAILED, said)
        elif (region.scene_source or configured) == SIMULATED and system.engine.dialect.name == "postgresql":
            said = f"region {region.name}: a sample with simulated scenes; deactivate it unless this is a demo"
            yield Finding("sources", State.WARNING, said)
        else:
            continue
        well = False
    if well:
        yield Finding(
            "sources", State.OK, f"{counted(len(regions), 'active region')}, each with the source {configured}"
        )


def scenes_by_reference(system: System) -> Iterator[Finding]:
    """Where scenes are kept by reference, the latest of each region can be opened in its archive."""
    from satcommon.sources.stored_scenes import StoredScenes
    from satcommon.storage.object_store import ObjectStore

    with read_transaction(system.engine) as connection:
        referenced = referenced_scenes(connection)
    if not referenced:
        return
    store = ObjectStore(system.settings.store, system.settings.store_timeout_seconds)
    source = open_source(system.settings)
    scenes = StoredScenes(store, lambda: source)
    well = True
    for region, _, key in referenced:
        try:
            with scenes.open(key):
                pass
        except SatfieldsError as error:
            well = False
            yield Finding("by reference", State.FAILED, f"region {region}: its latest scene can't be opened: {error}")
    if well:
        count = counted(sum(of_region.scenes for of_region in referenced), "scene")
        said = f"{count} in {counted(len(referenced), 'active region')}; the latest of each can be opened"
        yield Finding("by reference", State.OK, said)


def refused_scenes(system: System) -> Iterator[Finding]:
    """Scenes that ingest refused, by the ledger: also for their pixels, which the check of the files does not read."""
    well = True
    with read_transaction(system.engine) as connection:
        for region in registry.regions(connection, active=True):
            first, last = region.monitored_from, region.monitored_until or date.max
            refusals = answers.refusals(connection, region.bbox_id, first, last)
            reasons = [f"{day}: {why}" for day, items in refusals.items() for why in items.values()]
            if reasons:
                well = False
                more = f"; and {len(reasons) - LISTED:,} more" if len(reasons) > LISTED else ""
                said = f"region {region.name}: {counted(len(reasons), 'scene')} refused: "
                step = (
                    "; repair or remove what is refused, and its days are recomputed automatically; or decide on it: "
                    + command("scenes", "quarantine", "--region", region.name)
                )
                yield Finding("not taken", State.WARNING, said + "; ".join(reasons[:LISTED]) + more + step)
    if well:
        yield Finding("not taken", State.OK, "no monitored day has a refused scene")
