"""Cursors of changes: how far a reader has come in the publication log of each region, as one opaque string.

Positions are sequences, never instants: two commits can have one instant, and a commit can come later than a reader
that looked at the clock. With each sequence goes a mark of its publication: after the restore of an older backup,
sequences are given again to other publications, which a reader of the former ones must not skip.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, tuple_

from satcommon.db.models import Publication, Region, Registry
from satcommon.db.statement_batches import batches
from satcommon.errors import InputError

Positions = Mapping[int, int]
"""The sequence of the last publication that was read, by region id; regions that are not named begin at 0."""

_PREFIX = "c1."


def newest(connection: Connection) -> Positions:
    """The positions after all that is committed."""
    statement = select(Publication.bbox_id, func.max(Publication.sequence).label("position"))
    return {row.bbox_id: row.position for row in connection.execute(statement.group_by(Publication.bbox_id))}


def at(connection: Connection, instant: datetime) -> Positions:
    """The positions after all that was committed by an instant."""
    statement = select(Publication.bbox_id, func.max(Publication.sequence).label("position"))
    statement = statement.where(Publication.committed_at <= instant).group_by(Publication.bbox_id)
    return {row.bbox_id: row.position for row in connection.execute(statement)}


def encode(connection: Connection, positions: Positions) -> str:
    """The cursor of some positions.

    Each region is told by its id and the instant of its registration: a removed region's id may be given again.
    """
    marks = marks_of(connection, positions)
    regions = [
        [bbox_id, created, positions[bbox_id], marks.get(bbox_id, 0)]
        for bbox_id, created in _regions(connection)
        if bbox_id in positions
    ]
    text = json.dumps([installation(connection), regions], separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    return _PREFIX + base64.urlsafe_b64encode(packed + zlib.crc32(packed).to_bytes(4)).decode().rstrip("=")


def decode(connection: Connection, cursor: str, among: Collection[int] | None = None) -> Positions:
    """The positions of a cursor.

    Args:
        connection: of a read transaction.
        cursor: that was given.
        among: ids of the only regions that are looked at; None for all.

    Raises:
        InputError: it is damaged, of another installation, or names publications that are not (or no longer) here.
    """
    try:
        if not cursor.startswith(_PREFIX):
            raise ValueError
        text = cursor.removeprefix(_PREFIX)
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        packed, check = data[:-4], data[-4:]
        if zlib.crc32(packed).to_bytes(4) != check:
            raise ValueError
        of_installation, named = json.loads(zlib.decompress(packed))
        marked = {(int(bbox_id), int(created)): (int(position), mark) for bbox_id, created, position, mark in named}
    except (ValueError, TypeError, binascii.Error, zlib.error) as error:
        raise InputError(
            f"cursor {cursor[:40]!r}: is damaged or cut off; give it whole, as `satctl changes` ended with it, "
            "or begin at an instant"
        ) from error
    if of_installation != installation(connection):
        raise InputError(
            f"cursor {cursor[:40]!r}: is of another installation; give one that `satctl changes` printed here, "
            "or begin at an instant"
        )
    here = {
        region[0]: marked[region]
        for region in _regions(connection)
        if region in marked and (among is None or region[0] in among)
    }
    positions = {bbox_id: position for bbox_id, (position, _) in here.items()}
    marks = marks_of(connection, positions)
    if any(mark != marks.get(bbox_id, 0) for bbox_id, (_, mark) in here.items()):
        raise InputError(
            f"cursor {cursor[:40]!r}: is ahead of what is published here: the database was restored from a backup that "
            "is older than the cursor, and what the cursor's reader has had since was taken back; read all rows anew "
            "(`satctl export`), then begin at the instant before that"
        )
    return positions


def marks_of(connection: Connection, positions: Positions) -> dict[int, int]:
    """What tells a region's publication from any other of its sequence; none where there is no such publication."""
    key = tuple_(Publication.bbox_id, Publication.sequence)
    columns = (Publication.bbox_id, Publication.object_key, Publication.run_id, Publication.committed_at)
    return {
        row.bbox_id: zlib.crc32(f"{row.object_key} {row.run_id} {row.committed_at.isoformat()}".encode())
        for batch in batches(list(positions.items()))
        for row in connection.execute(select(*columns).where(key.in_(batch)))
    }


def installation(connection: Connection) -> str:
    """What tells this database from every other."""
    return connection.execute(select(Registry.installation)).scalar_one()


def _regions(connection: Connection) -> list[tuple[int, int]]:
    rows = connection.execute(select(Region.bbox_id, Region.created_at).order_by(Region.bbox_id))
    return [(row.bbox_id, int(row.created_at.timestamp() * 1000)) for row in rows]
