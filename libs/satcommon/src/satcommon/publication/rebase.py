"""Rebase: all rows of a day anew where it has gathered many patches, so that reading it stays cheap.

The rows stay the same, and so does the day's version: nothing that was read of it is out of date. A rebase that another
publication of the day overtakes is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, Engine, func, select

from satcommon.db import ledger, publications
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Publication, PublicationDay, PublicationKind
from satcommon.db.publications import MAX_OBJECT_AGE, MOST_PATCHES, NewPublication, StoredObject
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import PublishedDays, published_days


@dataclass(frozen=True)
class RebaseInputs:
    """A day to rebase, as it was read."""

    bbox_id: int
    day: date
    version: int
    published: PublishedDays


def patched_days(connection: Connection, most: int = MOST_PATCHES) -> list[tuple[int, date]]:
    """The days, as (region id, day), that are read through more than so many patches.

    Args:
        connection: of a read transaction.
        most: the number; at 0, days without an object are among them, too.
    """
    base = (
        select(PublicationDay.bbox_id, PublicationDay.day, func.max(PublicationDay.sequence).label("sequence"))
        .where(PublicationDay.is_base)
        .group_by(PublicationDay.bbox_id, PublicationDay.day)
        .subquery()
    )
    same_day = (PublicationDay.bbox_id == base.c.bbox_id) & (PublicationDay.day == base.c.day)
    patched = (
        select(PublicationDay.bbox_id, PublicationDay.day)
        .join(base, same_day & (PublicationDay.sequence > base.c.sequence))
        .group_by(PublicationDay.bbox_id, PublicationDay.day)
        .having(func.count() > most)
    )
    days = {(row.bbox_id, row.day) for row in connection.execute(patched)}
    if most == 0:
        without = select(base.c.bbox_id, base.c.day).join(
            Publication, (Publication.bbox_id == base.c.bbox_id) & (Publication.sequence == base.c.sequence)
        )
        days |= {(row.bbox_id, row.day) for row in connection.execute(without.where(Publication.object_key.is_(None)))}
    return sorted(days)


def rebase(engine: Engine, objects: ResultObjects, bbox_id: int, day: date, clock: Callable[[], datetime]) -> bool:
    """Rebase a day.

    Args:
        engine: of the ledger.
        objects: of the store.
        bbox_id: the region.
        day: the day.
        clock: gives the time of effects.

    Returns:
        False if another publication of the day came meanwhile; nothing was published.

    Raises:
        ObjectMissingError: an object of the day is lost.
        DamagedObjectError: an object of the day is not the one that was put.
    """
    with read_transaction(engine) as connection:
        inputs = read(connection, bbox_id, day)
    stored = put(objects, inputs, clock())
    return commit(engine, inputs, *stored, clock())


def read(connection: Connection, bbox_id: int, day: date) -> RebaseInputs:
    """Step 1: what gives the day's rows, from one snapshot."""
    version = publications.versions(connection, bbox_id, day, day)[day]
    return RebaseInputs(bbox_id, day, version, published_days(connection, bbox_id, day, day))


def put(objects: ResultObjects, inputs: RebaseInputs, now: datetime) -> tuple[StoredObject, int]:
    """Step 2: the rows as they are, in an object that no publication names yet; and their number."""
    rows = inputs.published.rows(objects, inputs.day)
    return objects.put_day(inputs.bbox_id, inputs.day, rows, now), rows.num_rows


def commit(engine: Engine, inputs: RebaseInputs, stored: StoredObject, row_count: int, now: datetime) -> bool:
    """Step 3: publish it, if the day has the version that was read.

    Args:
        engine: of the ledger.
        inputs: what was read.
        stored: the object.
        row_count: of the object.
        now: the present.
    """
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, inputs.bbox_id)
        current = publications.versions(connection, inputs.bbox_id, inputs.day, inputs.day)
        if current[inputs.day] != inputs.version or now - stored.at > MAX_OBJECT_AGE:
            return False
        new = NewPublication(PublicationKind.REBASE, stored, {inputs.day: row_count}, row_count, "", "rebase")
        publications.publish(connection, inputs.bbox_id, new, now)
    return True
