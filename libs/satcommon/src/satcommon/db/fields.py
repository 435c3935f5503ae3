"""Fields and their seasons: registered once, and revised ever after; nothing is overwritten in silence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Row, insert, select, update

from satcommon.db import membership, registry
from satcommon.db.batches import rows_in
from satcommon.db.expectations import expectations_change
from satcommon.db.models import Cause, Field, FieldRevision, Membership, Region, RevisionKind, Season
from satcommon.errors import InputError
from satcommon.geometry import digest, same_place
from satcommon.problems import Problems

ALWAYS = date(1900, 1, 1)  # a field's first polygon holds for all days


@dataclass(frozen=True)
class NewField:
    """A field to be registered. `where` names its file and feature in messages, `feature` is its number in the file."""

    external_id: str
    name: str
    geometry: BaseGeometry
    planting: date
    end: date | None = None
    crop_code: str | None = None
    where: str = ""
    feature: int = 0


@dataclass(frozen=True)
class Registered:
    """What a registration did, by external id."""

    created: list[str]
    unchanged: list[str]
    homeless: list[str]  # accepted, in no region


def fields(connection: Connection, external_ids: Collection[str] | None = None) -> list[Row[tuple[Field]]]:
    """All fields, or some, by external id."""
    statement = select(*Field.__table__.columns).order_by(Field.external_id)
    return list(rows_in(connection, statement, Field.external_id, external_ids))


def field(connection: Connection, external_id: str) -> Row[tuple[Field]]:
    """The field of an external id.

    Raises:
        InputError: there is none.
    """
    found = fields(connection, [external_id])
    if not found:
        raise InputError(f"there is no field {external_id!r}; `satctl fields list` shows what there is")
    return found[0]


def home(connection: Connection, field_id: int, day: date) -> str | None:
    """The name of the field's home region on a day: where its polygon of that day has its largest part."""
    polygon = (
        select(FieldRevision.revision_id)
        .where(
            FieldRevision.field_id == field_id,
            FieldRevision.geometry.is_not(None),
            FieldRevision.valid_from <= day,
        )
        .order_by(FieldRevision.revision_id.desc())
        .limit(1)
    )
    statement = (
        select(Region.name)
        .join(Membership, Membership.bbox_id == Region.bbox_id)
        .where(Membership.revision_id == polygon.scalar_subquery(), Membership.home)
    )
    return connection.execute(statement).scalar()


def checked_season(planting: date, end: date | None, where: str) -> None:
    """Refuse an impossible season.

    Raises:
        InputError: saying what is impossible.
    """
    if not registry.MIN_DAY <= planting <= registry.MAX_DAY:
        raise InputError(f"{where}: planting date {planting} is outside of {registry.MIN_DAY}..{registry.MAX_DAY}")
    if end is not None and end < planting:
        raise InputError(f"{where}: the season ends on {end}, before its planting on {planting}")


def register_fields(connection: Connection, new: Sequence[NewField], now: datetime) -> Registered:
    """Register fields, all or none. A field that is there already with the same content costs nothing.

    Polygons are expected to be validated. A field is expected from its planting on, also on days that are closed:
    those are opened as missed.

    Raises:
        InputError: an identity is there twice, or exists with other content; nothing was changed.
    """
    seen: dict[str, NewField] = {}
    for one in new:
        if one.external_id in seen:
            other = seen[one.external_id].where
            raise InputError(
                f"{one.where}: identity {one.external_id!r} is also that of {other}; "
                "give each field an external_id of its own"
            )
        checked_season(one.planting, one.end, one.where)
        seen[one.external_id] = one
    registry.lock(connection)
    there = {row.external_id: row for row in fields(connection, list(seen))}
    ends = _season_ends(connection, [row.field_id for row in there.values()])
    problems = Problems()
    for external_id, row in there.items():
        problems.of(seen[external_id].feature, _same_or_refused, seen[external_id], row, ends[row.field_id])
    problems.raise_if_any()
    created = [one for one in new if one.external_id not in there]
    if created:
        polygons = [one.geometry for one in created]
        found = membership.found_in(polygons, membership.rectangles(connection))
        digests = [digest(polygon) for polygon in polygons]
        ids = _insert_fields(connection, created, digests, now)
        with expectations_change(connection, {o.region for o in found}, ids, Cause.LATE_FIELD, now):
            revisions = _insert_first_revisions(connection, ids, created, digests, now)
            membership.join(connection, revisions, polygons, found)
        registry.moved(connection)
        at_home = {o.geometry for o in found}
        homeless = [one.external_id for i, one in enumerate(created) if i not in at_home]
    return Registered([one.external_id for one in created], sorted(there), homeless if created else [])


def _season_ends(connection: Connection, field_ids: Collection[int]) -> dict[int, date | None]:
    """The end of each field's current season."""
    is_current = (Field.field_id == Season.field_id) & (Field.planting_date == Season.planting_date)
    statement = select(Season.field_id, Season.end_date).join(Field, is_current)
    return {row.field_id: row.end_date for row in rows_in(connection, statement, Season.field_id, field_ids)}


def _same_or_refused(one: NewField, row: Row[tuple[Field]], end: date | None) -> None:
    differs = [
        what
        for what, same in (
            ("planting_date", one.planting == row.planting_date),
            ("season_end", one.end in (None, end)),
            ("geometry", same_place(one.geometry, shapely.from_wkb(row.geometry))),
        )
        if not same
    ]
    if differs:
        raise InputError(
            f"{one.where}: field {one.external_id!r} exists with another {' and '.join(differs)}; "
            f"a change of a field is a revision: `satctl fields revise {one.external_id} --help`"
        )


def _insert_fields(
    connection: Connection, created: Sequence[NewField], digests: Sequence[str], now: datetime
) -> list[int]:
    rows = [
        {
            "external_id": one.external_id,
            "name": one.name,
            "geometry": shapely.to_wkb(one.geometry),
            "geometry_digest": name,
            "created_at": now,
            "known_at": now,
            "planting_date": one.planting,
            "active": True,
        }
        for one, name in zip(created, digests, strict=True)
    ]
    statement = insert(Field).returning(Field.field_id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def _insert_first_revisions(
    connection: Connection, ids: Sequence[int], created: Sequence[NewField], digests: Sequence[str], now: datetime
) -> list[int]:
    pairs = list(zip(ids, created, strict=True))
    connection.execute(
        insert(Season),
        [
            {"field_id": i, "planting_date": one.planting, "end_date": one.end, "crop_code": one.crop_code}
            for i, one in pairs
        ],
    )
    return list(
        connection.execute(
            insert(FieldRevision).returning(FieldRevision.revision_id, sort_by_parameter_order=True),
            [
                {
                    "field_id": i,
                    "kind": RevisionKind.REGISTERED,
                    "valid_from": ALWAYS,
                    "known_at": now,
                    "geometry": shapely.to_wkb(one.geometry),
                    "geometry_digest": name,
                }
                for (i, one), name in zip(pairs, digests, strict=True)
            ],
        ).scalars()
    )


def activate_field(connection: Connection, external_id: str, day: date, now: datetime, *, active: bool) -> bool:
    """End a field's validity on a day, or begin it again: from that day on it is not, or is, expected.

    Returns:
        False where it is so already on every day from then on; nothing was changed.

    Raises:
        InputError: there is no such field.
    """
    registry.lock(connection)
    found = field(connection, external_id)
    from_then_on = _in_force(connection, found.field_id, day, lambda r: r.kind in _ACTIVITY)
    if all((r.kind is not RevisionKind.DEACTIVATED) == active for r in from_then_on):
        return False
    kind = RevisionKind.REACTIVATED if active else RevisionKind.DEACTIVATED
    with _change_of(connection, found.field_id, now):
        connection.execute(
            insert(FieldRevision).values(field_id=found.field_id, kind=kind, valid_from=day, known_at=now)
        )
        connection.execute(update(Field).where(Field.field_id == found.field_id).values(active=active))
    registry.moved(connection)
    return True


def revise_geometry(
    connection: Connection, external_id: str, geometry: BaseGeometry, changed_from: date | None, now: datetime
) -> bool:
    """Give a field another polygon.

    Args:
        connection: of a writing transaction.
        external_id: the field's.
        geometry: validated.
        changed_from: the day from which it holds; None corrects it since the current season's planting.
        now: when it became known.

    Returns:
        False where the polygon is the same on every day from then on; nothing was changed.

    Raises:
        InputError: there is no such field.
    """
    registry.lock(connection)
    found = field(connection, external_id)
    since = changed_from or found.planting_date
    from_then_on = _in_force(connection, found.field_id, since, lambda r: r.geometry is not None)
    if all(same_place(geometry, shapely.from_wkb(r.geometry)) for r in from_then_on):
        return False
    kind = RevisionKind.CORRECTED if changed_from is None else RevisionKind.CHANGED
    wkb, name = shapely.to_wkb(geometry), digest(geometry)
    entered = membership.found_in([geometry], membership.rectangles(connection))
    with _change_of(connection, found.field_id, now, {o.region for o in entered}):
        revision_id = connection.execute(
            insert(FieldRevision)
            .values(
                field_id=found.field_id,
                kind=kind,
                valid_from=since,
                known_at=now,
                geometry=wkb,
                geometry_digest=name,
            )
            .returning(FieldRevision.revision_id)
        ).scalar_one()
        membership.join(connection, [revision_id], [geometry], entered)
        connection.execute(
            update(Field)
            .where(Field.field_id == found.field_id)
            .values(geometry=wkb, geometry_digest=name, known_at=now)
        )
    registry.moved(connection)
    return True


def revise_season(
    connection: Connection, external_id: str, planting: date | None, end: date | None, now: datetime
) -> bool:
    """Move the current season's planting day, or set its end.

    Returns:
        False where both are so already; nothing was changed.

    Raises:
        InputError: there is no such field, the season is impossible, or another season has that planting day.
    """
    registry.lock(connection)
    found = field(connection, external_id)
    season = connection.execute(
        select(*Season.__table__.columns).where(
            Season.field_id == found.field_id, Season.planting_date == found.planting_date
        )
    ).one()
    planting, end = planting or season.planting_date, end or season.end_date
    if (planting, end) == (season.planting_date, season.end_date):
        return False
    checked_season(planting, end, f"field {external_id!r}")
    others = select(Season.season_id).where(
        Season.field_id == found.field_id, Season.planting_date == planting, Season.season_id != season.season_id
    )
    if connection.execute(others).first():
        raise InputError(f"field {external_id!r}: another season was planted on {planting}")
    with _change_of(connection, found.field_id, now):
        connection.execute(
            update(Season).where(Season.season_id == season.season_id).values(planting_date=planting, end_date=end)
        )
        connection.execute(
            update(Field).where(Field.field_id == found.field_id).values(planting_date=planting, known_at=now)
        )
    registry.moved(connection)
    return True


_ACTIVITY = (RevisionKind.REGISTERED, RevisionKind.DEACTIVATED, RevisionKind.REACTIVATED)


def _in_force(
    connection: Connection, field_id: int, day: date, says: Callable[[Row[tuple[FieldRevision]]], bool]
) -> list[Row[tuple[FieldRevision]]]:
    """The words about a field that hold on some day from `day` on."""
    statement = select(*FieldRevision.__table__.columns).where(FieldRevision.field_id == field_id)
    told = [row for row in connection.execute(statement.order_by(FieldRevision.revision_id)) if says(row)]
    days = {max(day, ALWAYS), *(row.valid_from for row in told if row.valid_from > day)}
    in_force = [next(row for row in reversed(told) if row.valid_from <= one) for one in sorted(days)]
    # A correction reaches back to its season's planting: it may lie over what was not said again after it.
    reaching = [
        row
        for i, row in enumerate(told)
        if row.kind is RevisionKind.CORRECTED
        and row.valid_from > day
        and not any(later.valid_from <= day for later in told[i + 1 :])
    ]
    return [*in_force, *reaching]


def _change_of(
    connection: Connection, field_id: int, now: datetime, entered: Collection[int] = ()
) -> AbstractContextManager[None]:
    """A change of one field, in all regions that it was ever in or enters."""
    bbox_ids = membership.regions_of(connection, [field_id]) | set(entered)
    return expectations_change(connection, bbox_ids, [field_id], Cause.REVISED_FIELD, now)
