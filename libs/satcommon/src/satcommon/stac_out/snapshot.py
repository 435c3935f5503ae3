"""What is published of a region at one instant, and what identifies the content of each of its days.

A day's content follows from the day's version, the scene, which rows are final and which wait to be taken out. None of
it is a clock: whoever writes the same content, however often interrupted, writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, func, select

from satcommon.db import ledger, publications
from satcommon.db.models import Publication, PublicationDay, Region, Scene
from satcommon.db.registry import MAX_DAY, MIN_DAY
from satcommon.publication import cursor
from satcommon.publication.reader import Published, published
from satcommon.stac_out.options import Options

_FORMAT = 1  # of what is written: a change of it writes every day anew


@dataclass(frozen=True)
class PublishedDay:
    """A day as it is published.

    Args:
        day: the day.
        version: sequence of the publication that changed it last.
        created: when it was published first.
        updated: when that publication was committed.
        scene: the one that it has; None without imagery.
        content: identifies what is written of it.
    """

    day: date
    version: int
    created: datetime
    updated: datetime
    scene: Scene | None
    content: str


@dataclass(frozen=True)
class RegionSnapshot:
    """A region as it is published.

    Args:
        region: the region.
        told: its rows, and which are final.
        days: the days that have rows, ascending.
        installation: identifies the database.
        cursor: the position in the publication log, as `satctl changes` takes it.
        sequence: of the region's last publication.
        updated: when that was committed.
        watermark: the last closed day.
    """

    region: Region
    told: Published
    days: Mapping[date, PublishedDay]
    installation: str
    cursor: str
    sequence: int
    updated: datetime
    watermark: date

    @property
    def final_through(self) -> date | None:
        """The last day up to which all rows are final; None where the first day's are not."""
        open_days = [*self.told.first_miss.values(), *self.told.refused]
        last = min([self.watermark, *(day - timedelta(days=1) for day in open_days)])
        return last if self.days and last >= min(self.days) else None


def region_snapshot(connection: Connection, region: Region, options: Options) -> RegionSnapshot | None:
    """A region as it is published now; None before its first day is closed.

    Args:
        connection: of a read transaction.
        region: the region.
        options: what the items say besides.
    """
    watermark = ledger.watermark(connection, region.bbox_id)
    log = {publication.sequence: publication for publication in publications.publications(connection, region.bbox_id)}
    if watermark is None or not log:
        return None
    told = published(connection, region, MIN_DAY, MAX_DAY)
    newest = max(log)
    return RegionSnapshot(
        region,
        told,
        {day.day: day for day in _days(connection, region, told, log, options)},
        cursor.installation(connection),
        cursor.encode(connection, {region.bbox_id: newest}),
        newest,
        log[newest].committed_at,
        watermark,
    )


def _days(
    connection: Connection, region: Region, told: Published, log: Mapping[int, Publication], options: Options
) -> Iterator[PublishedDay]:
    scenes = ledger.current_scenes(connection, region.bbox_id, MIN_DAY, MAX_DAY)
    statement = select(PublicationDay.day, func.min(PublicationDay.sequence).label("sequence"))
    statement = statement.where(PublicationDay.bbox_id == region.bbox_id).group_by(PublicationDay.day)
    created = {row.day: log[row.sequence].committed_at for row in connection.execute(statement)}
    of_items = [_FORMAT, region.name, options.address, options.api, options.pictures]
    same = json.dumps(of_items)
    misses = sorted((day, field) for field, day in told.first_miss.items())
    not_final, known, refused = hashlib.sha256(), 0, 0
    for day, row in sorted(ledger.region_days(connection, region.bbox_id, MIN_DAY, MAX_DAY).items()):
        while known < len(misses) and misses[known][0] <= day:
            not_final.update(json.dumps(misses[known][1]).encode())
            known += 1
        while refused < len(told.refused) and told.refused[refused] <= day:
            not_final.update(str(told.refused[refused]).encode())
            refused += 1
        if row.version is None or not row.row_count:
            continue
        last, scene = log[row.version], scenes.get(day)
        of = [
            same,
            row.version,
            f"{last.object_key} {last.run_id} {last.committed_at.isoformat()}",  # a restore gives sequences again
            None if scene is None else scene.digest,
            not_final.hexdigest(),
            sorted(told.withdrawn.get(day, ())),
        ]
        content = hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]
        yield PublishedDay(day, row.version, created[day], last.committed_at, scene, content)


def content_of_collection(snapshot: RegionSnapshot, options: Options) -> str:
    """Identifies what is written of a region besides its days."""
    of = [_FORMAT, snapshot.cursor, asdict(options), str(snapshot.watermark), str(snapshot.final_through)]
    of += [day.content for day in snapshot.days.values()]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]
