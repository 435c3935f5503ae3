"""Checks of where files are: object store, scene folder, disks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from satcommon.errors import StoreError
from satcommon.geo.grid import Bounds
from satcommon.messages import counted
from satcommon.secret_files import secret
from satcommon.sources.open_source import open_source
from satcommon.sources.source import SIMULATED, STAC

from satctl.checks import clocks
from satctl.checks.findings import LISTED, PROBES, Finding, State, System

LITTLE_DISK, NO_DISK = 1_000_000_000, 100_000_000  # bytes: a few days of imagery; a log


def object_store(system: System) -> Iterator[Finding]:
    """The object store accepts, returns, lists and deletes an object, and its clock agrees."""
    from satcommon.storage.object_store import ObjectStore

    store = ObjectStore(system.settings.store, system.settings.store_timeout_seconds)
    key, data = f"{PROBES}/{uuid4().hex}", b"a probe of `satctl doctor`"
    before = clocks.now()
    store.put(key, data)
    after = clocks.now()
    try:
        if store.get(key) != data:
            raise StoreError(
                f"the store {store.url} (SATFIELDS_STORE) returned other bytes than were put under {key!r}"
            )
        put_at = store.put_times(f"{PROBES}/").get(key)
    finally:
        store.delete(key)
    if put_at is None or store.exists(key):
        trouble = "does not list the object that was put" if put_at is None else "keeps the object that was deleted"
        raise StoreError(f"the store {store.url} (SATFIELDS_STORE) {trouble}, {key!r}; check its permissions")
    yield Finding("store", State.OK, f"{store.url}: a probe was put, read, listed and deleted")
    # Stores report whole seconds.
    yield clocks.compare_clocks("store clock", "the store's", before - timedelta(seconds=1), put_at, after)


def scenes(system: System) -> Iterator[Finding]:
    """The source of imagery is named; the headers of a folder's files can be read, or a catalogue answers."""
    folder = system.settings.scene_folder
    if system.settings.scene_source is None:
        open_source(system.settings)  # raises, and says what to set
    if system.settings.scene_source == STAC:
        yield _catalogue(system)
        return
    if system.settings.scene_source == SIMULATED or folder is None:
        yield Finding("scenes", State.OK, "simulated (SATFIELDS_SCENE_SOURCE)")
        return
    from satcommon.sources.folder import FolderSource
    from satcommon.sources.open_files import open_files

    files = open_files(folder)
    scanned = files.scan()
    source = FolderSource(folder, files)
    source.check()
    refused = [why for why in scanned.values() if isinstance(why, str)]
    if not folder.startswith("s3://"):  # in a bucket each header would be a request
        refused = list(source.survey(Bounds(-180, -90, 180, 90)).refused.values())
    said = f"{folder} (SATFIELDS_SCENE_FOLDER): {counted(len(scanned) - len(refused), 'file')}"
    if refused:
        more = f"; and {len(refused) - LISTED:,} more" if len(refused) > LISTED else ""
        reasons = "; ".join(refused[:LISTED]) + more
        yield Finding("scenes", State.WARNING, f"{said}, and {len(refused):,} unusable: {reasons}")
    elif not scanned:
        yield Finding("scenes", State.WARNING, f"{said}; no day has a scene until files are added")
    else:
        yield Finding("scenes", State.OK, said)


def _catalogue(system: System) -> Finding:
    """The catalogue answers, and the credentials that its configuration names are set."""
    from satcommon.sources.stac import StacSource

    assert system.settings.stac is not None
    source = StacSource.named(system.settings.stac)
    unset = [name for name in source.config.variables if not secret(name)]
    found = source.check()
    said = f"{source.config.where} (SATFIELDS_STAC={system.settings.stac}): answers, and {found}"
    if unset:
        return Finding("scenes", State.WARNING, f"{said}; {', '.join(unset)} not set: files that need it can't be read")
    return Finding("scenes", State.OK, said)


def disks(system: System) -> Iterator[Finding]:
    """There is room for the home folder and for a store that is a folder."""
    home, store = system.settings.home, system.settings.store
    folders = [("disk", "SATFIELDS_HOME", home)]
    # In a cluster the store is a volume of its own; a store in the home folder is on the same disk.
    if "://" not in store and not Path(store).absolute().is_relative_to(home):
        folders.append(("store disk", "SATFIELDS_STORE", Path(store).absolute()))
    for check, name, folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        said = f"{free / 1e9:,.1f} GB free for {folder} ({name})"
        if free >= LITTLE_DISK:
            yield Finding(check, State.OK, said)
        else:
            state = State.FAILED if free < NO_DISK else State.WARNING
            yield Finding(check, state, f"{said}; make room, run `satctl gc`, or name another folder")
