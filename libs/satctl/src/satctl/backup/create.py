"""Taking a backup: first its parts, last its manifest, so that one that was killed is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

from satcommon.audit.garbage import stored_objects
from satcommon.db import ledger
from satcommon.db.engine import revision_of
from satcommon.db.models import Publication, Scene
from satcommon.db.registry import regions
from satcommon.publication import cursor
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Connection, Engine, func, select

from satctl.backup.folder import Backups
from satctl.backup.manifest import FORMAT, Manifest, Objects, Part, RegionCopy, TableCopy
from satctl.backup.snapshot import TABLES, snapshot

OBJECTS = "objects"  # the stream of the objects' list: key, size and digest of each, separated by tabs


def create(
    engine: Engine, store: ObjectStore, backups: Backups, now: datetime, progress: Callable[[], None]
) -> Manifest:
    """Take a backup of the ledger. Runs go on meanwhile; what they commit after the snapshot is not in it.

    Args:
        engine: of the ledger, whose schema is this code's.
        store: of results and scenes, which are listed, not copied.
        backups: where the backup goes.
        now: the present.
        progress: called for each part.

    Raises:
        DatabaseUnavailableError, StoreError: it was not taken; what was put of it goes a day later.
    """
    name = backups.new_name(now)
    parts: list[Part] = []
    with snapshot(engine) as taken:
        tables = {
            table.name: TableCopy(
                columns=table.columns.keys(),
                rows=taken.connection.execute(select(func.count()).select_from(table)).scalar_one(),
            )
            for table in TABLES
        }
        revision = revision_of(taken.connection)
        assert revision is not None, "commands open a migrated database alone"
        copied = _regions(taken.connection)
        named = named_objects(taken.connection)
        for stream, chunks in taken.streams.items():
            for part in backups.put_stream(name, stream, chunks):
                parts.append(part)
                progress()
    stored = stored_objects(store)
    sizes = {key: stored[key].size for key in named if key in stored}
    lines = [f"{key}\t{sizes.get(key, '')}\t{digest or ''}\n".encode() for key, digest in sorted(named.items())]
    parts += backups.put_stream(name, OBJECTS, lines)
    manifest = Manifest(
        format=FORMAT,
        name=name,
        taken_at=now,
        satctl=version("satctl"),
        database=engine.dialect.name,
        revision=revision,
        store=store.url,
        regions=copied,
        tables=tables,
        objects=Objects(
            count=len(named),
            size=sum(sizes.values()),
            lost=len(named) - len(sizes),
            digest=hashlib.sha256(b"".join(lines)).hexdigest(),
        ),
        parts=parts,
    )
    backups.complete(manifest)
    return manifest


def named_objects(connection: Connection) -> dict[str, str | None]:
    """The key of every object that the ledger names, with its digest where the log has one."""
    readable = (Publication.removed_at.is_(None), Publication.object_key.is_not(None))
    results = connection.execute(select(Publication.object_key, Publication.object_digest).where(*readable))
    scenes = connection.execute(select(Scene.object_key)).scalars()
    return {**dict.fromkeys(scenes), **{row.object_key: row.object_digest for row in results}}


def _regions(connection: Connection) -> list[RegionCopy]:
    newest = cursor.newest(connection)
    return [
        RegionCopy(
            region=region.name,
            sequence=newest.get(region.bbox_id, 0),
            watermark=ledger.watermark(connection, region.bbox_id),
        )
        for region in regions(connection)
    ]
