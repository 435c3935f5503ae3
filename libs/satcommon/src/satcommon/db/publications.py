"""The publication log: what was published of a region, in the order of its commits; nothing is overwritten.

A day's rows are those of its last base (a publication of all its rows), and over them the patches after it. As of an
instant they are the same, of what was committed until then. `satcommon.publication` reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.orm import aliased

from satcommon.db.models import Publication, PublicationDay, PublicationKind, RegionDay
from satcommon.db.records import all_of, first, select_all, typed
from satcommon.db.statement_batches import batches, for_each, insert_rows

MAX_OBJECT_AGE = timedelta(hours=12)  # of an object at its commit; garbage collection waits longer than that
MOST_PATCHES = 8  # over a day's base: with these, reading a day of 10,000 fields takes a fifth longer
NEWEST = 2**31 - 1  # a position after every publication


class Layer(NamedTuple):
    """One of the publications that give a day's rows."""

    bbox_id: int
    day: date
    sequence: int
    kind: PublicationKind
    object_key: str | None
    object_digest: str | None
    cause: str
    run_id: str
    committed_at: datetime
    removed_at: datetime | None

    @property
    def name(self) -> str:
        """The publication, for messages."""
        return f"publication {self.sequence} ({self.kind.value}, {self.committed_at:%Y-%m-%d %H:%M:%S} UTC)"


@dataclass(frozen=True)
class StoredObject:
    """An object that no publication names yet."""

    key: str
    digest: str
    at: datetime  # when it was put


@dataclass(frozen=True)
class NewPublication:
    """What is to be published.

    Args:
        kind: what the object holds.
        stored: the object; None for a day without rows.
        days: the days that it changes or gives anew, each with the number of rows that the day has then.
        row_count: of the object.
        run_id: of the run; empty for a command.
        cause: why, in a few words.
    """

    kind: PublicationKind
    stored: StoredObject | None
    days: Mapping[date, int]
    row_count: int
    run_id: str
    cause: str


_LAST = (
    select_all(Publication)
    .where(Publication.bbox_id == bindparam("region"))
    .order_by(Publication.sequence.desc())
    .limit(1)
)
_LATER_BASE = aliased(PublicationDay)
_ALL_LAYERS = (
    select(
        PublicationDay.bbox_id,
        PublicationDay.day,
        PublicationDay.sequence,
        *(getattr(Publication, name) for name in Layer._fields[3:]),
    )
    .join(
        Publication,
        (Publication.bbox_id == PublicationDay.bbox_id) & (Publication.sequence == PublicationDay.sequence),
    )
    .where(
        PublicationDay.bbox_id == bindparam("region"),
        PublicationDay.day >= bindparam("first"),
        PublicationDay.day <= bindparam("last"),
        PublicationDay.sequence <= bindparam("position"),
    )
    .order_by(PublicationDay.day, PublicationDay.sequence)
)
_LAYERS = _ALL_LAYERS.where(
    ~select(1)
    .where(
        _LATER_BASE.bbox_id == PublicationDay.bbox_id,
        _LATER_BASE.day == PublicationDay.day,
        _LATER_BASE.sequence > PublicationDay.sequence,
        _LATER_BASE.sequence <= bindparam("position"),
        _LATER_BASE.is_base,
    )
    .exists(),
)


def publish(connection: Connection, bbox_id: int, new: NewPublication, now: datetime) -> int:
    """Append a publication, and move the versions of the days that it changes; gives its sequence.

    A rebase moves no version: the days' rows are the same. An instant before that of the publication before becomes
    that one's, so that instants have the order of sequences.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        new: what is published.
        now: the time of the commit.
    """
    before = first(connection, _LAST, {"region": bbox_id})
    sequence = before.sequence + 1 if before else 1
    connection.execute(
        insert(Publication).values(
            bbox_id=bbox_id,
            sequence=sequence,
            kind=new.kind,
            object_key=new.stored.key if new.stored else None,
            object_digest=new.stored.digest if new.stored else None,
            first_day=min(new.days),
            last_day=max(new.days),
            row_count=new.row_count,
            run_id=new.run_id,
            cause=new.cause[:200],
            committed_at=max(now, before.committed_at) if before else now,
        )
    )
    same = {"bbox_id": bbox_id, "sequence": sequence, "is_base": new.kind.is_base}
    insert_rows(connection, PublicationDay, [{"day": day} for day in new.days], same)
    if new.kind is not PublicationKind.REBASE:
        _move_versions(connection, bbox_id, sequence, new.days)
    return sequence


def _move_versions(connection: Connection, bbox_id: int, sequence: int, days: Mapping[date, int]) -> None:
    for_each(
        connection,
        RegionDay,
        {"d": "day", "n": "row_count"},
        [{"d": day, "n": count} for day, count in days.items()],
        lambda given: (
            update(RegionDay)
            .where(RegionDay.bbox_id == bbox_id, RegionDay.day == given["d"])
            .values(version=sequence, row_count=given["n"])
        ),
    )


def layers(
    connection: Connection, bbox_id: int, first_day: date, last_day: date, position: int = NEWEST
) -> dict[date, Sequence[Layer]]:
    """What gives the rows of a span's days: of each published day its base, then the patches over it, in their order.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first_day: first day of the span.
        last_day: last day of the span.
        position: the sequence up to which publications count.
    """
    given = {"region": bbox_id, "first": first_day, "last": last_day, "position": position}
    found = typed(connection.execute(_LAYERS, given), Layer)
    return {day: [Layer(*layer) for layer in of_day] for day, of_day in groupby(found, key=lambda layer: layer.day)}


def versions(connection: Connection, bbox_id: int, first_day: date, last_day: date) -> dict[date, int]:
    """The versions of a span's published days.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first_day: first day of the span.
        last_day: last day of the span.
    """
    statement = select(RegionDay.day, RegionDay.version).where(
        RegionDay.bbox_id == bbox_id,
        RegionDay.day >= first_day,
        RegionDay.day <= last_day,
        RegionDay.version.is_not(None),
    )
    return {row.day: row.version for row in connection.execute(statement)}


def publications(connection: Connection, bbox_id: int, after: int = 0, position: int = NEWEST) -> Sequence[Publication]:
    """A region's publications, in order.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        after: the sequence after which they begin.
        position: the sequence up to which they count.
    """
    statement = select_all(Publication).where(
        Publication.bbox_id == bbox_id, Publication.sequence > after, Publication.sequence <= position
    )
    return all_of(connection, statement.order_by(Publication.sequence))


def correcting_publications(
    connection: Connection, bbox_id: int, after: int, position: int, *, new: bool = False
) -> Sequence[Publication]:
    """A region's publications that may have changed what was published before, in order.

    They are all but rebases, and but the first ones of days: of a region without corrections, none.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        after: the sequence after which they begin.
        position: the sequence up to which they count.
        new: also the first ones of days.
    """
    statement = select_all(Publication).where(
        Publication.bbox_id == bbox_id,
        Publication.sequence > after,
        Publication.sequence <= position,
        Publication.kind != PublicationKind.REBASE,
    )
    if not new:
        earlier = (
            select(1)
            .where(
                PublicationDay.bbox_id == Publication.bbox_id,
                PublicationDay.day.between(Publication.first_day, Publication.last_day),
                PublicationDay.sequence < Publication.sequence,
            )
            .exists()
        )
        statement = statement.where(earlier)
    return all_of(connection, statement.order_by(Publication.sequence))


def days_of(connection: Connection, publication: Publication) -> Sequence[date]:
    """The days of a publication, ascending."""
    statement = select(PublicationDay.day).where(
        PublicationDay.bbox_id == publication.bbox_id,
        PublicationDay.day.between(publication.first_day, publication.last_day),
        PublicationDay.sequence == publication.sequence,
    )
    return connection.execute(statement.order_by(PublicationDay.day)).scalars().all()


def layer_of(publication: Publication, day: date) -> Layer:
    """A publication as a layer of one of its days."""
    return Layer(publication.bbox_id, day, *(getattr(publication, name) for name in Layer._fields[2:]))


def all_layers(connection: Connection, bbox_id: int, day: date, position: int = NEWEST) -> Sequence[Layer]:
    """Every publication of a day, in order, also those that no longer give its rows.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        day: the day.
        position: the sequence up to which publications count.
    """
    given = {"region": bbox_id, "first": day, "last": day, "position": position}
    return [Layer(*row) for row in connection.execute(_ALL_LAYERS, given)]


def span(connection: Connection, bbox_id: int, position: int) -> tuple[date | None, date | None]:
    """The first and last day that is published up to a position; None before the first publication."""
    statement = select(func.min(PublicationDay.day), func.max(PublicationDay.day)).where(
        PublicationDay.bbox_id == bbox_id, PublicationDay.sequence <= position
    )
    first_day, last_day = connection.execute(statement).one()
    return first_day, last_day


def first_commit(connection: Connection, bbox_id: int) -> datetime | None:
    """When a region's first publication was committed; None before it."""
    statement = select(func.min(Publication.committed_at)).where(Publication.bbox_id == bbox_id)
    return connection.execute(statement).scalar()


def position_at(connection: Connection, bbox_id: int, instant: datetime) -> int:
    """The sequence of the last publication that was committed by an instant; 0 before the first."""
    statement = select(func.max(Publication.sequence)).where(
        Publication.bbox_id == bbox_id, Publication.committed_at <= instant
    )
    return connection.execute(statement).scalar() or 0


def remove(connection: Connection, bbox_id: int, sequences: Collection[int], now: datetime) -> None:
    """Note that publications are not to be read any more; garbage collection removes their objects a day later.

    Args:
        connection: of a write transaction that holds the region's lock.
        bbox_id: the region.
        sequences: of the publications, which no current day needs.
        now: the present.
    """
    for batch in batches(sequences):
        chosen = (Publication.bbox_id == bbox_id, Publication.sequence.in_(batch), Publication.removed_at.is_(None))
        connection.execute(update(Publication).where(*chosen).values(removed_at=now))


def superseded(connection: Connection, bbox_id: int, before: datetime) -> list[int]:
    """The publications that no reader as of an instant or later needs: each of their days has a later base by then.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        before: the instant.
    """
    position = position_at(connection, bbox_id, before)
    base = (
        select(PublicationDay.day, func.max(PublicationDay.sequence).label("sequence"))
        .where(PublicationDay.bbox_id == bbox_id, PublicationDay.sequence <= position, PublicationDay.is_base)
        .group_by(PublicationDay.day)
        .subquery()
    )
    needed = (
        select(1)
        .select_from(PublicationDay)
        .outerjoin(base, base.c.day == PublicationDay.day)
        .where(
            PublicationDay.bbox_id == bbox_id,
            PublicationDay.day.between(Publication.first_day, Publication.last_day),
            PublicationDay.sequence == Publication.sequence,
            base.c.sequence.is_(None) | (base.c.sequence <= PublicationDay.sequence),
        )
        .exists()
    )
    statement = select(Publication.sequence).where(
        Publication.bbox_id == bbox_id, Publication.sequence <= position, Publication.removed_at.is_(None), ~needed
    )
    return list(connection.execute(statement.order_by(Publication.sequence)).scalars())
