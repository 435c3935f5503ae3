"""Fields and their seasons: registered once, then only revised; nothing is overwritten silently."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, bindparam, insert, select, update

from satcommon.db import membership, registry
from satcommon.db.expectations import expectations_change
from satcommon.db.models import Cause, Field, FieldRevision, Membership, Region, RevisionKind, Season
from satcommon.db.records import all_in, first, select_all
from satcommon.db.revising import (
    ALWAYS,
    Change,
    Revisions,
    Seasons,
    checked_season,
    in_force,
    insert_polygons,
    revise,
    revisions_of,
    seasons_of,
)
from satcommon.errors import InputError
from satcommon.geo.geometry import Overlap, digest, digests, same_place
from satcommon.geo.grid import Bounds
from satcommon.geo.normal_form import normal
from satcommon.problems import Problem, Problems

_PIECE = 5000  # fields written between two reports of progress
_ONE_SEASON = timedelta(days=183)  # a planting day moved further is another season, no correction


@dataclass(frozen=True)
class NewField:
    """A field to be registered. `where` names its file and feature in messages, `feature` is its number in the file.

    A planting day or crop that is None or assumed is not the file's word on this field: an existing field keeps its
    own. Only a new field needs a planting day.
    """

    external_id: str
    name: str
    geometry: BaseGeometry
    planting: date | None
    end: date | None = None
    crop_code: str | None = None
    where: str = ""
    feature: int = 0
    planting_assumed: bool = False
    crop_assumed: bool = False


@dataclass(frozen=True)
class Update:
    """What a registration may do to existing fields.

    Args:
        changed_from: the day from which another polygon holds; None: it was wrong, since the season's planting.
        new_season: a later planting day, even an assumed one, begins a season, even if the current one has no end.
    """

    changed_from: date | None = None
    new_season: bool = False


@dataclass(frozen=True)
class Registered:
    """What a registration did, by external id; a field may be in several lists."""

    created: list[str]
    unchanged: list[str]
    homeless: list[str]  # registered, but in no region
    corrected: list[str] = dataclasses.field(default_factory=list)
    changed: list[str] = dataclasses.field(default_factory=list)
    season_begun: list[str] = dataclasses.field(default_factory=list)
    season_revised: list[str] = dataclasses.field(default_factory=list)
    renamed: list[str] = dataclasses.field(default_factory=list)
    refused: list[Problem] = dataclasses.field(default_factory=list)


def fields(connection: Connection, external_ids: Collection[str] | None = None) -> list[Field]:
    """All fields, or some, by external id."""
    statement = select_all(Field).order_by(Field.external_id)
    return list(all_in(connection, statement, Field.external_id, external_ids))


def field(connection: Connection, external_id: str) -> Field:
    """The field of an external id.

    Raises:
        InputError: there is none.
    """
    matching = fields(connection, [external_id])
    if not matching:
        raise InputError(f"there is no field {external_id!r}; `satctl fields list` shows what there is")
    return matching[0]


def home(connection: Connection, field_id: int, day: date) -> str | None:
    """The name of the field's home region on a day: where its polygon of that day has its largest part."""
    region = home_region(connection, field_id, day)
    return None if region is None else region.name


def home_region(connection: Connection, field_id: int, day: date) -> Region | None:
    """The field's home region on a day."""
    return first(connection, _HOME, {"field": field_id, "day": day})


_POLYGON = (
    select(FieldRevision.revision_id)
    .where(
        FieldRevision.field_id == bindparam("field"),
        FieldRevision.geometry.is_not(None),
        FieldRevision.valid_from <= bindparam("day"),
    )
    .order_by(FieldRevision.revision_id.desc())
    .limit(1)
)
_HOME = (
    select_all(Region)
    .join(Membership, Membership.bbox_id == Region.bbox_id)
    .where(Membership.revision_id == _POLYGON.scalar_subquery(), Membership.home)
)


def register_fields(
    connection: Connection,
    new: Sequence[NewField],
    now: datetime,
    updating: Update | None = None,
    *,
    skip_refused: bool = False,
    step: Callable[[int, int], None] = lambda _done, _total: None,
) -> Registered:
    """Register fields, all or none. An existing field with the same content costs nothing.

    Polygons must be valid; their normal form is stored. A field is expected from its planting on, even on closed days,
    which are opened as missed. Other content of an existing field is a revision of it.

    Args:
        connection: of a write transaction.
        new: the fields.
        now: when they became known.
        updating: how to revise existing fields; None refuses one with other content.
        skip_refused: skip and list refused fields; otherwise one of them is an error.
        step: reports progress: called with the number of new fields written, and their total.

    Raises:
        InputError: an identity occurs twice, a field can't be revised like that, or longitudes and latitudes look
            swapped; nothing was changed.
    """
    _check_identities(new)
    shapes = normal([field.geometry for field in new])
    new = [replace(field, geometry=shape) for field, shape in zip(new, shapes, strict=True)]
    by_identity = {field.external_id: field for field in new}
    registry.lock(connection)
    known = fields(connection, list(by_identity))
    problems = Problems()
    changes = _changes(connection, known, by_identity, updating, problems)
    known_ids = {row.external_id for row in known}
    created = [f for f in new if f.external_id not in known_ids and problems.of(f.feature, _has_season, f)]
    if not skip_refused:
        problems.raise_if_any()
    rectangles = membership.rectangles(connection)
    reshaped = [by_identity[change.field.external_id] for change in changes if change.geometry is not None]
    _refuse_swapped([*created, *reshaped], rectangles)
    overlaps = membership.found_in([field.geometry for field in created], rectangles)
    if created:
        _create(connection, created, overlaps, now, step)
    homeless = revise(connection, changes, now)
    at_home = {overlap.geometry for overlap in overlaps}
    homeless |= {field.external_id for i, field in enumerate(created) if i not in at_home}

    return _registered(new, created, changes, homeless, problems.found)


def _registered(
    new: Sequence[NewField],
    created: Sequence[NewField],
    changes: Sequence[Change],
    homeless: Collection[str],
    refused: list[Problem],
) -> Registered:
    def named(chosen: Callable[[Change], bool]) -> list[str]:
        return sorted(change.field.external_id for change in changes if chosen(change))

    return Registered(
        created=[field.external_id for field in created],
        unchanged=named(lambda c: not c),
        homeless=[field.external_id for field in new if field.external_id in homeless],
        corrected=named(lambda c: c.geometry is not None and c.changed_from is None),
        changed=named(lambda c: c.geometry is not None and c.changed_from is not None),
        season_begun=named(lambda c: c.begins),
        season_revised=named(lambda c: c.moves_season or c.recrops),
        renamed=named(lambda c: c.renames),
        refused=refused,
    )


def _check_identities(new: Sequence[NewField]) -> None:
    first: dict[str, NewField] = {}
    for field in new:
        other = first.setdefault(field.external_id, field)
        if other is not field:
            raise InputError(
                f"{field.where}: identity {field.external_id!r} is also that of {other.where}; "
                "give each field an external_id of its own"
            )


def _refuse_swapped(placed: Sequence[NewField], rectangles: Mapping[int, Bounds]) -> None:
    if membership.look_swapped([field.geometry for field in placed], rectangles):
        raise InputError(
            f"{placed[0].where}: is in no region, but would be in one if longitude and latitude were swapped, and so "
            "would every polygon that is new; swap them, or add the region that they are in first"
        )


def _has_season(new: NewField) -> bool:
    if new.planting is None:
        raise InputError(
            f"{new.where}: has no planting_date, and there is no field {new.external_id!r} that has one; give the day "
            "as YYYY-MM-DD, name its column with --planted-column, or say --planted DAY for all"
        )
    checked_season(new.planting, new.end, new.where)
    return True


def _changes(
    connection: Connection,
    known: Sequence[Field],
    given: Mapping[str, NewField],
    updating: Update | None,
    problems: Problems,
) -> list[Change]:
    """The changes of existing fields to their new content."""
    ids = [row.field_id for row in known]
    seasons, revisions = seasons_of(connection, ids), revisions_of(connection, ids)
    new_digests = digests([given[row.external_id].geometry for row in known]) if known else []
    changes = []
    for row, new_digest in zip(known, new_digests, strict=True):
        field, i = given[row.external_id], row.field_id
        change = problems.of(field.feature, _change, field, new_digest, row, seasons[i], revisions[i], updating)
        if change is not None:
            changes.append(change)
    return changes


def _holds_already(revisions: Revisions, geometry: BaseGeometry, new_digest: str, since: date) -> bool:
    """Whether a field has this polygon on every day from a day on; its latest polygon may hold from later on."""
    return all(
        r.geometry_digest == new_digest or same_place(geometry, shapely.from_wkb(r.geometry))
        for r in in_force(revisions, since, lambda r: r.geometry is not None)
    )


def _change(
    new: NewField,
    new_digest: str,
    row: Field,
    seasons: Seasons,
    revisions: Revisions,
    updating: Update | None,
) -> Change:
    """What a field is to become.

    A name that is only the identity changes nothing, nor do an end, a planting day or a crop that are not given.
    """
    how = updating or Update()
    current = seasons[-1]
    after = current.planting_date if how.new_season else None if new.planting_assumed else current.end_date
    begins = new.planting is not None and after is not None and new.planting > after
    planting = current.planting_date
    if new.planting is not None and (begins or not new.planting_assumed):
        planting = new.planting
    same = _holds_already(revisions, new.geometry, new_digest, how.changed_from or planting)
    given_crop = None if new.crop_assumed else new.crop_code
    change = Change(
        row,
        seasons,
        name=row.name if new.name == new.external_id else new.name,
        planting=planting,
        end=new.end if begins else new.end or current.end_date,
        crop_code=new.crop_code if begins else given_crop or current.crop_code,
        begins=begins,
        geometry=None if same else new.geometry,
        changed_from=how.changed_from,
    )
    if updating is None:
        return _same_or_refused(new, change)
    if not begins and abs(planting - current.planting_date) > _ONE_SEASON:
        raise InputError(
            f"{new.where}: field {new.external_id!r} was planted on {current.planting_date}; a planting on "
            f"{planting} is another season: begin it with --new-season, or `satctl fields revise "
            f"{new.external_id} --planted` if the day was wrong"
        )
    return change.checked(f"{new.where}: field {new.external_id!r}")


def _same_or_refused(new: NewField, change: Change) -> Change:
    current = change.seasons[-1]
    differs = [
        what
        for what, is_so in (
            ("name", change.renames),
            ("planting_date", change.planting != current.planting_date),
            ("season_end", change.end != current.end_date),
            ("crop", change.crop_code != current.crop_code),
            ("geometry", change.geometry is not None),
        )
        if is_so
    ]
    if differs:
        raise InputError(
            f"{new.where}: field {new.external_id!r} exists with another {' and '.join(differs)}; "
            f"a change of a field is a revision: `satctl fields revise {shlex.quote(new.external_id)} --help`"
        )
    return change


def _create(
    connection: Connection,
    created: Sequence[NewField],
    overlaps: Sequence[Overlap],
    now: datetime,
    step: Callable[[int, int], None],
) -> None:
    polygons = [new.geometry for new in created]
    names, wkbs = digests(polygons), shapely.to_wkb(polygons)
    ids: list[int] = []
    for start in range(0, len(created), _PIECE):
        step(start, len(created))
        piece = slice(start, start + _PIECE)
        ids += _insert_fields(connection, created[piece], names[piece], wkbs[piece], now)
    with expectations_change(connection, {o.region for o in overlaps}, ids, Cause.LATE_FIELD, now):
        _insert_seasons(connection, ids, created)
        said = [(i, RevisionKind.REGISTERED, ALWAYS) for i in ids]
        revisions = insert_polygons(connection, said, wkbs, names, now)
        membership.join(connection, revisions, overlaps)
    registry.moved(connection)
    step(len(created), len(created))


def _insert_fields(
    connection: Connection, created: Sequence[NewField], names: Sequence[str], wkbs: Sequence[bytes], now: datetime
) -> list[int]:
    rows = [
        {
            "external_id": new.external_id,
            "name": new.name,
            "geometry": wkb,
            "geometry_digest": name,
            "created_at": now,
            "known_at": now,
            "planting_date": new.planting,
            "active": True,
        }
        for new, name, wkb in zip(created, names, wkbs, strict=True)
    ]
    statement = insert(Field).returning(Field.field_id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def _insert_seasons(connection: Connection, ids: Sequence[int], created: Sequence[NewField]) -> None:
    seasons = [
        {"field_id": i, "planting_date": new.planting, "end_date": new.end, "crop_code": new.crop_code}
        for i, new in zip(ids, created, strict=True)
    ]
    connection.execute(insert(Season), seasons)


def activate_field(connection: Connection, external_id: str, day: date, now: datetime, *, active: bool) -> bool:
    """End a field's validity on a day, or resume it: from that day on the field is not, or is, expected.

    Args:
        connection: of a write transaction.
        external_id: the field's.
        day: from which it holds.
        now: when it became known.
        active: resume the validity; False ends it.

    Returns:
        False if that already holds for every day from then on; nothing was changed.

    Raises:
        InputError: there is no such field.
    """
    registry.lock(connection)
    known = field(connection, external_id)
    revisions = revisions_of(connection, [known.field_id])[known.field_id]
    from_then_on = in_force(revisions, day, lambda r: r.kind in _ACTIVITY)
    if all((r.kind is not RevisionKind.DEACTIVATED) == active for r in from_then_on):
        return False
    kind = RevisionKind.REACTIVATED if active else RevisionKind.DEACTIVATED
    with _change_of(connection, known.field_id, now):
        connection.execute(
            insert(FieldRevision).values(field_id=known.field_id, kind=kind, valid_from=day, known_at=now)
        )
        connection.execute(update(Field).where(Field.field_id == known.field_id).values(active=active))
    registry.moved(connection)
    return True


def revise_geometry(
    connection: Connection, external_id: str, geometry: BaseGeometry, changed_from: date | None, now: datetime
) -> bool:
    """Replace a field's polygon.

    Args:
        connection: of a write transaction.
        external_id: the field's.
        geometry: validated.
        changed_from: the day from which it holds; None corrects it since the current season's planting.
        now: when it became known.

    Returns:
        False if the polygon is already the same on every day from then on; nothing was changed.

    Raises:
        InputError: there is no such field.
    """
    [geometry] = normal([geometry])
    registry.lock(connection)
    known = field(connection, external_id)
    since = changed_from or known.planting_date
    revisions = revisions_of(connection, [known.field_id])[known.field_id]
    # A correction also covers days that an earlier planting may add; a change covers only those from its day on.
    last = next(row.kind for row in reversed(revisions) if row.geometry_digest is not None)
    says_more = changed_from is None and last is RevisionKind.CHANGED
    if not says_more and _holds_already(revisions, geometry, digest(geometry), since):
        return False
    seasons = seasons_of(connection, [known.field_id])[known.field_id]
    revise(connection, [replace(Change.of(known, seasons), geometry=geometry, changed_from=changed_from)], now)
    return True


def revise_season(
    connection: Connection, external_id: str, planting: date | None, end: date | None, now: datetime
) -> bool:
    """Move the current season's planting day, or set its end.

    Args:
        connection: of a write transaction.
        external_id: the field's.
        planting: of the current season; None leaves it.
        end: last day of the current season; None leaves it.
        now: when it became known.

    Returns:
        False if both are already so; nothing was changed.

    Raises:
        InputError: there is no such field, the season is impossible, or another season has that planting day.
    """
    registry.lock(connection)
    known = field(connection, external_id)
    seasons = seasons_of(connection, [known.field_id])[known.field_id]
    as_it_is = Change.of(known, seasons)
    change = replace(as_it_is, planting=planting or as_it_is.planting, end=end or as_it_is.end)
    if not change:
        return False
    revise(connection, [change.checked(f"field {external_id!r}")], now)
    return True


def begin_season(
    connection: Connection, external_id: str, planting: date, end: date | None, crop_code: str | None, now: datetime
) -> bool:
    """Begin a season after the current one, which ends on the day before if it has no end of its own.

    Args:
        connection: of a write transaction.
        external_id: the field's.
        planting: of the new season.
        end: its last day; None leaves it open.
        crop_code: of its crop; None: not known.
        now: when it became known.

    Returns:
        False if the current season is already so; nothing was changed.

    Raises:
        InputError: there is no such field, the season is impossible, or shares days with the one before.
    """
    registry.lock(connection)
    known = field(connection, external_id)
    seasons = seasons_of(connection, [known.field_id])[known.field_id]
    current = seasons[-1]
    if (planting, end, crop_code) == (current.planting_date, current.end_date, current.crop_code):
        return False
    change = Change(known, seasons, known.name, planting, end, crop_code, begins=True)
    revise(connection, [change.checked(f"field {external_id!r}")], now)
    return True


_ACTIVITY = (RevisionKind.REGISTERED, RevisionKind.DEACTIVATED, RevisionKind.REACTIVATED)


def _change_of(connection: Connection, field_id: int, now: datetime) -> AbstractContextManager[None]:
    """A change of one field, in all regions that it was ever in."""
    bbox_ids = membership.regions_of(connection, [field_id])
    return expectations_change(connection, bbox_ids, [field_id], Cause.REVISED_FIELD, now)
