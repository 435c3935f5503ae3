"""Revisions of fields, many at a time: each region is locked once, and all misses are opened together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, bindparam, insert, update

from satcommon.db import membership, registry
from satcommon.db.expectations import expectations_change
from satcommon.db.models import Cause, Field, FieldRevision, RevisionKind, Season
from satcommon.db.records import all_in, select_all
from satcommon.errors import InputError
from satcommon.geo.geometry import digests

ALWAYS = date(1900, 1, 1)  # a field's first polygon holds on all days
Seasons = Sequence[Season]
Revisions = Sequence[FieldRevision]


@dataclass(frozen=True)
class Change:
    """The new content of a field. Content like the old changes nothing.

    Args:
        field: as it is.
        seasons: its seasons as they are, by planting; the last one is the current one.
        name: the new one.
        planting: of the current season, or of the one that begins.
        end: likewise.
        crop_code: likewise.
        begins: a season begins after the current one.
        geometry: validated; None leaves the polygon as it is.
        changed_from: the day from which the polygon holds; None: a correction, since the season's planting.
    """

    field: Field
    seasons: Seasons
    name: str
    planting: date
    end: date | None
    crop_code: str | None
    begins: bool = False
    geometry: BaseGeometry | None = None
    changed_from: date | None = None

    @classmethod
    def of(cls, field: Field, seasons: Seasons) -> Change:
        """A change that changes nothing."""
        current = seasons[-1]
        return cls(field, seasons, field.name, current.planting_date, current.end_date, current.crop_code)

    @property
    def renames(self) -> bool:
        """Whether the name differs."""
        return bool(self.name != self.field.name)

    @property
    def moves_season(self) -> bool:
        """Whether the days of the current season differ."""
        current = self.seasons[-1]
        return not self.begins and (self.planting, self.end) != (current.planting_date, current.end_date)

    @property
    def recrops(self) -> bool:
        """Whether the current season's crop differs."""
        return not self.begins and self.crop_code != self.seasons[-1].crop_code

    @property
    def moves_days(self) -> bool:
        """Whether expected days are added, removed, or get another polygon."""
        return self.begins or self.moves_season or self.geometry is not None

    def __bool__(self) -> bool:
        return self.moves_days or self.renames or self.recrops

    def checked(self, where: str) -> Change:
        """The change itself.

        Raises:
            InputError: a season is impossible, or shares days with the one before.
        """
        checked_season(self.planting, self.end, where)
        before = self.seasons if self.begins else self.seasons[:-1]
        if before:
            planted, ended = before[-1].planting_date, before[-1].end_date
            if self.planting <= (ended or planted):
                until = f" and ends on {ended}" if ended else ""
                raise InputError(
                    f"{where}: the season before it was planted on {planted}{until}; a season planted on "
                    f"{self.planting} shares days with it: end that one first (`satctl fields revise --season-end`)"
                )
        return self


def checked_season(planting: date, end: date | None, where: str) -> None:
    """Refuse an impossible season.

    Raises:
        InputError: saying what is impossible.
    """
    if not registry.MIN_DAY <= planting <= registry.MAX_DAY:
        raise InputError(f"{where}: planting date {planting} is outside of {registry.MIN_DAY}..{registry.MAX_DAY}")
    if end is not None and end < planting:
        raise InputError(f"{where}: the season ends on {end}, before its planting on {planting}")


def seasons_of(connection: Connection, field_ids: Collection[int]) -> dict[int, Seasons]:
    """The seasons of fields, each by planting."""
    statement = select_all(Season).order_by(Season.planting_date)
    return _by_field(all_in(connection, statement, Season.field_id, field_ids))


def revisions_of(connection: Connection, field_ids: Collection[int]) -> dict[int, Revisions]:
    """All revisions of fields, each field's in the order in which they became known."""
    statement = select_all(FieldRevision).order_by(FieldRevision.revision_id)
    return _by_field(all_in(connection, statement, FieldRevision.field_id, field_ids))


_OfField = TypeVar("_OfField", Season, FieldRevision)


def _by_field(records: Sequence[_OfField]) -> dict[int, Sequence[_OfField]]:
    by_field: dict[int, list[_OfField]] = defaultdict(list)
    for record in records:
        by_field[record.field_id].append(record)
    return {**by_field}


def in_force(revisions: Revisions, day: date, says: Callable[[FieldRevision], bool]) -> Revisions:
    """A field's revisions that hold on some day from `day` on.

    Args:
        revisions: of one field.
        day: the first that counts.
        says: whether a revision is of the kind that is asked for.
    """
    chosen = [row for row in revisions if says(row)]
    starts = {max(day, ALWAYS), *(row.valid_from for row in chosen if row.valid_from > day)}
    holding = [next(row for row in reversed(chosen) if row.valid_from <= start) for start in sorted(starts)]
    # A correction reaches back to its season's planting: it may overlay revisions that were not repeated after it.
    reaching = [
        row
        for i, row in enumerate(chosen)
        if row.kind is RevisionKind.CORRECTED
        and row.valid_from > day
        and not any(later.valid_from <= day for later in chosen[i + 1 :])
    ]
    return [*holding, *reaching]


def revise(connection: Connection, changes: Sequence[Change], now: datetime) -> set[str]:
    """Make changes of fields, at most one a field. The caller holds the registry's lock.

    Returns:
        External ids of fields whose new polygon is in no region.
    """
    changes = [change for change in changes if change]
    if not changes:
        return set()
    reshaped = [change for change in changes if change.geometry is not None]
    polygons = [change.geometry for change in reshaped]
    entered = membership.found_in(polygons, membership.rectangles(connection))
    ids = [change.field.field_id for change in changes if change.moves_days]
    bbox_ids = membership.regions_of(connection, ids) | {o.region for o in entered}
    with expectations_change(connection, bbox_ids, ids, Cause.REVISED_FIELD, now):
        _write_seasons(connection, changes)
        if reshaped:
            wkbs, names = shapely.to_wkb(polygons), digests(polygons)
            said = [
                (change.field.field_id, RevisionKind.CORRECTED, change.planting)
                if change.changed_from is None
                else (change.field.field_id, RevisionKind.CHANGED, change.changed_from)
                for change in reshaped
            ]
            revisions = insert_polygons(connection, said, wkbs, names, now)
            membership.join(connection, revisions, entered)
            _update_fields(
                connection,
                [
                    {"f": change.field.field_id, "geometry": wkb, "geometry_digest": name}
                    for change, wkb, name in zip(reshaped, wkbs, names, strict=True)
                ],
            )
    _update_fields(connection, [{"f": c.field.field_id, "name": c.name} for c in changes if c.renames])
    _update_fields(connection, [{"f": i, "known_at": now} for i in ids])
    registry.moved(connection)
    at_home = {o.geometry for o in entered}
    return {change.field.external_id for i, change in enumerate(reshaped) if i not in at_home}


def _write_seasons(connection: Connection, changes: Sequence[Change]) -> None:
    begun = [change for change in changes if change.begins]
    moved = [change for change in changes if change.moves_season or change.recrops]

    def values(change: Change) -> dict[str, Any]:
        return {"planting_date": change.planting, "end_date": change.end, "crop_code": change.crop_code}

    if begun:
        connection.execute(insert(Season), [{"field_id": c.field.field_id, **values(c)} for c in begun])
    if moved:
        statement = update(Season).where(Season.season_id == bindparam("s"))
        connection.execute(statement, [{"s": c.seasons[-1].season_id, **values(c)} for c in moved])
    _update_fields(connection, [{"f": c.field.field_id, "planting_date": c.planting} for c in (*begun, *moved)])


def _update_fields(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(update(Field).where(Field.field_id == bindparam("f")), rows)


def insert_polygons(
    connection: Connection,
    said: Sequence[tuple[int, RevisionKind, date]],
    wkbs: Sequence[bytes],
    names: Sequence[str],
    now: datetime,
) -> list[int]:
    """Write revisions of fields' polygons; returns their ids in the same order.

    Args:
        connection: of a write transaction.
        said: of each, the field's id, the kind of revision, and the day from which it holds.
        wkbs: the polygons, in WGS 84.
        names: their digests.
        now: when it became known.
    """
    rows = [
        {
            "field_id": field_id,
            "kind": kind,
            "valid_from": since,
            "known_at": now,
            "geometry": wkb,
            "geometry_digest": name,
        }
        for (field_id, kind, since), wkb, name in zip(said, wkbs, names, strict=True)
    ]
    statement = insert(FieldRevision).returning(FieldRevision.revision_id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())
