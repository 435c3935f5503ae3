"""What gives a region's rows at a position of its log: read once for each position, and kept by this process."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from satcommon.db.models import Publication
from satcommon.db.publications import NEWEST, position_at
from satcommon.db.registry import MAX_DAY, MIN_DAY
from satcommon.publication.reader import PublishedDays, published_days
from sqlalchemy import Connection, bindparam, select

_KEPT = 128  # snapshots: of 500 days each has some 200 kB

_LAST = (
    select(Publication.sequence, Publication.object_key, Publication.committed_at)
    .where(Publication.bbox_id == bindparam("region"), Publication.sequence <= bindparam("position"))
    .order_by(Publication.sequence.desc())
    .limit(1)
)


@dataclass(frozen=True, order=True)
class HalfYear:
    """The days that are sorted by field together."""

    year: int
    half: int

    @classmethod
    def of(cls, day: date) -> HalfYear:
        """The one that a day is in."""
        return cls(day.year, 1 if day.month <= 6 else 2)

    @property
    def name(self) -> str:
        """A name of a file."""
        return f"{self.year}-{self.half}"


@dataclass(frozen=True)
class Snapshot:
    """What gives a region's rows at a position of its log.

    Args:
        bbox_id: the region.
        days: what gives the rows of each day.
    """

    bbox_id: int
    days: PublishedDays

    @cached_property
    def first(self) -> date:
        """The first day that is closed; after all days where none is."""
        return min(self.days.layers, default=date.max)

    @cached_property
    def last(self) -> date:
        """The last day that is closed; after all days where none is."""
        return max(self.days.layers, default=date.max)

    @cached_property
    def halves(self) -> Mapping[HalfYear, Mapping[date, str]]:
        """By half year and day, the version: names of objects, of which no two ever have one."""
        halves: dict[HalfYear, dict[date, str]] = defaultdict(dict)
        for day, layers in self.days.layers.items():
            halves[HalfYear.of(day)][day] = " ".join(layer.object_key or f"none-{layer.sequence}" for layer in layers)
        return dict(halves)

    @cached_property
    def versions(self) -> Mapping[HalfYear, str]:
        """The version of each half year."""
        return {
            half: hashlib.sha256("\n".join(f"{day} {key}" for day, key in days.items()).encode()).hexdigest()[:24]
            for half, days in self.halves.items()
        }


class Snapshots:
    """The snapshots that were asked for lately."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], Snapshot] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, connection: Connection, bbox_id: int, as_of: datetime | None = None) -> Snapshot:
        """The snapshot of a region, now or as of an instant.

        Args:
            connection: of a read transaction.
            bbox_id: the region.
            as_of: the instant; None for now.

        Raises:
            InputError: a publication that is needed was removed.
        """
        position = NEWEST if as_of is None else position_at(connection, bbox_id, as_of)
        last = connection.execute(_LAST, {"region": bbox_id, "position": position}).first()
        # The key of the last object, too: after the restore of a backup, other publications have the same numbers.
        name = (bbox_id, *last) if last else (bbox_id,)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        days = published_days(connection, bbox_id, MIN_DAY, MAX_DAY, last.sequence if last else 0)
        snapshot = Snapshot(bbox_id, days)
        with self._lock:
            self._kept[name] = snapshot
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return snapshot
