"""The inputs of a region's day, read from one snapshot: the first step of every run.

Objects are opened through the publications that are read here, never looked up again. The commit compares versions
with those that hold then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from weakref import ReferenceType, ref

from sqlalchemy import Connection, Engine

from satcommon.db import answers, ledger
from satcommon.db.deadlines import Deadlines
from satcommon.db.expectations import timelines
from satcommon.db.expected import ONE_DAY, Span, Timeline
from satcommon.db.models import Region
from satcommon.db.registry import aoi_of, revision
from satcommon.memory import without_collector
from satcommon.publication.reader import PublishedDays, published_days
from satcommon.sources.source import AreaOfInterest, Due, days_between
from satcommon.stats.observation import SceneInput, Subject


class Expected(NamedTuple):
    """A field that is expected on a day."""

    line: Timeline
    span: Span
    day: date

    @property
    def field_id(self) -> int:
        """Its number in the ledger."""
        return self.line.field_id

    @property
    def external_id(self) -> str:
        """Its identity."""
        return self.line.external_id

    @property
    def digest(self) -> str:
        """Identifies what its row depends on in the registry; needed only if the registry has changed."""
        return self.line.digest(self.day)

    @property
    def carried_from(self) -> date:
        """The first day whose state reaches this one."""
        return self.line.carried_from(self.day)

    @property
    def subject(self) -> Subject:
        """The field as an observation needs it."""
        return Subject(self.line.external_id, self.span.geometry_digest, self.span.inside_fraction)


@dataclass(frozen=True)
class DaySnapshot:
    """What a day is computed from besides its fields and the rows of the day before."""

    due: Due
    scene: SceneInput
    waits: bool  # no rows yet: never asked for, refused, or due and neither there nor past the allowed lateness
    version: str
    previous_version: int | None


@dataclass(frozen=True)
class DayInputs:
    """All that was read for a day, from one snapshot."""

    bbox_id: int
    aoi: AreaOfInterest
    day: date
    now: datetime
    deadlines: Deadlines
    snapshot: DaySnapshot
    fields: tuple[Expected, ...]
    earlier: PublishedDays  # the days before
    registry: int  # the revision of the registry that has `fields`


def read(connection: Connection, bbox_id: int, day: date, deadlines: Deadlines, now: datetime) -> DayInputs | None:
    """Step 1: everything that the day depends on, from one snapshot; None if the day is already closed.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        day: the day.
        deadlines: the waiting times.
        now: the present.
    """
    region = ledger.region(connection, bbox_id)
    here = ledger.region_day(connection, bbox_id, day)
    if here is not None and here.closed_at is not None:
        return None
    registry = revision(connection)
    fields = _expected(_latest.of(connection, bbox_id, registry), day)
    earliest = min((f.carried_from for f in fields), default=day)
    earlier = published_days(connection, bbox_id, min(earliest, day - ONE_DAY), day - ONE_DAY)
    snapshot = day_snapshot(connection, region, day, deadlines, now)
    return DayInputs(bbox_id, aoi_of(region), day, now, deadlines, snapshot, fields, earlier, registry)


def day_snapshot(connection: Connection, region: Region, day: date, deadlines: Deadlines, now: datetime) -> DaySnapshot:
    """What holds for a day: the due answer, the scene, the pinned algorithm, the version of the day before.

    Args:
        connection: of a read transaction.
        region: the region.
        day: the day.
        deadlines: the waiting times.
        now: the present.
    """
    return day_snapshots(connection, region, day, day, deadlines, now)[day]


def day_snapshots(
    connection: Connection, region: Region, first: date, last: date, deadlines: Deadlines, now: datetime
) -> dict[date, DaySnapshot]:
    """What holds for each day of a span, by two queries.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the span.
        last: last day of the span.
        deadlines: the waiting times.
        now: the present.
    """
    days = ledger.region_days(connection, region.bbox_id, first - ONE_DAY, last)
    scenes = ledger.current_scenes(connection, region.bbox_id, first, last)
    bounds = aoi_of(region).bounds
    inputs: dict[date, DaySnapshot] = {}
    for day in days_between(first, last):
        here, before, stored = days.get(day), days.get(day - ONE_DAY), scenes.get(day)
        due = here.due if here else Due.UNKNOWN
        scene = SceneInput(answers.stands_for(here), stored.object_key if stored else None)
        waits = answers.waits(scene.digest, day, bounds, deadlines, now)
        version = before.version if before else None
        inputs[day] = DaySnapshot(due, scene, waits, region.algorithm_version, version)
    return inputs


def expected_fields(connection: Connection, bbox_id: int, day: date) -> tuple[Expected, ...]:
    """The fields that are expected on a day, by external id."""
    return _expected(_by_name(connection, bbox_id), day)


@without_collector()
def _expected(lines: Sequence[Timeline], day: date) -> tuple[Expected, ...]:
    return tuple([Expected(line, span, day) for line in lines if (span := line.at(day)) is not None])


def _by_name(connection: Connection, bbox_id: int) -> list[Timeline]:
    return sorted(timelines(connection, bbox_id).values(), key=lambda line: line.external_id)


class _Latest:
    """The timelines of the region that was read last, valid as long as the registry's revision.

    A backfill reads them for every day. For read transactions only: a revision that a writer sees may be rolled back.
    """

    def __init__(self) -> None:
        self._known: tuple[tuple[ReferenceType[Engine], int, int], list[Timeline]] | None = None

    def of(self, connection: Connection, bbox_id: int, registry: int) -> list[Timeline]:
        asked, known = (ref(connection.engine), bbox_id, registry), self._known
        if known is None or known[0] != asked:
            self._known = known = (asked, _by_name(connection, bbox_id))  # one assignment: other threads read it, too
        return known[1]


_latest = _Latest()
