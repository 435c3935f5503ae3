"""The registry: its lock, and the regions; `db.fields` has the fields.

Every write takes the registry's lock first, then the rows of its regions in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache

import shapely
from sqlalchemy import Connection, func, insert, select, update

from satcommon.db import answers, ledger, membership
from satcommon.db.expectations import expectations_change, miss_closed_days
from satcommon.db.models import Cause, Field, FieldRevision, PublicationKind, Region, Registry, Season
from satcommon.db.publications import NewPublication, publish
from satcommon.db.records import all_of, first, select_all
from satcommon.errors import AlgorithmError, InputError
from satcommon.geo.grid import Bounds, Grid
from satcommon.sources.source import AreaOfInterest
from satcommon.stats.algorithm import algorithm

MIN_DAY, MAX_DAY = date(1972, 7, 23), date(2200, 1, 1)  # Landsat 1 was launched on the first


def aoi_of(region: Region) -> AreaOfInterest:
    """A region's row as sources and processing see it."""
    return _aoi(region.name, region.geometry, region.grid)


def area_to_read(region: Region) -> AreaOfInterest:
    """A region's row as its source is asked for imagery: with the bands that its algorithm version needs.

    Raises:
        AlgorithmError: the version is not supported here.
    """
    return replace(aoi_of(region), further=algorithm(region.algorithm_version).further_bands)


@lru_cache(maxsize=1024)  # every step of every day needs it
def _aoi(name: str, geometry: bytes, grid: str) -> AreaOfInterest:
    return AreaOfInterest(name, Bounds(*shapely.from_wkb(geometry).bounds), Grid.from_json(grid))


def regions(connection: Connection, *, active: bool = False) -> Sequence[Region]:
    """All regions, or the active ones, by name."""
    statement = select_all(Region).order_by(Region.name)
    return all_of(connection, statement.where(Region.active) if active else statement)


def region(connection: Connection, name: str) -> Region:
    """The region of a name.

    Raises:
        InputError: there is none.
    """
    named = first(connection, select_all(Region).where(Region.name == name))
    if named is None:
        known = ", ".join(repr(r.name) for r in regions(connection)) or "none yet"
        raise InputError(f"there is no region {name!r} (known: {known}); add it with `satctl regions add`")
    return named


_NOT_IN_NAMES = "|\"'\\/"  # the first splits Dagster's partition keys, the others break paths and shells


def checked_region_name(name: str) -> str:
    """A name that can be a Dagster partition key and a part of an address.

    Raises:
        InputError: it can't.
    """
    if not name or name != name.strip() or len(name) > 100:
        raise InputError(f"region name {name!r}: expected 1 to 100 characters without spaces around them")
    bad = [c for c in name if c in _NOT_IN_NAMES or not c.isprintable()]
    if bad or "..." in name:
        what = repr(bad[0]) if bad else "'...'"
        raise InputError(
            f"region name {name!r} holds {what}, which Dagster can't use in a partition key; choose another name"
        )
    if name in (".", ".."):
        raise InputError(
            f"region name {name!r}: in an address of the HTTP API that is a step in a path, which clients take out; "
            "choose another name"
        )
    return name


def add_region(
    connection: Connection,
    name: str,
    bounds: Bounds,
    grid: Grid,
    monitored_from: date,
    monitored_until: date | None,
    algorithm_version: str,
    now: datetime,
    scene_source: str | None = None,
) -> bool:
    """Register a region. Each of the nine parameters is a column of its row.

    Args:
        connection: of a transaction.
        name: unique.
        bounds: its rectangle; fixed.
        grid: of its scenes; fixed.
        monitored_from: first day.
        monitored_until: last day; None without an end.
        algorithm_version: by which its rows are computed.
        now: the time of registration.
        scene_source: identity of the source that it belongs to; None for the first one that is asked for a day.

    Returns:
        False if a region of that name and rectangle already exists; nothing was changed, not even its days.

    Raises:
        InputError: the name can't be used, the days are impossible, or the name exists with another rectangle.
        AlgorithmError: the version is not supported here.
    """
    checked_region_name(name)
    algorithm(algorithm_version)
    _checked_monitoring(name, monitored_from, monitored_until)
    lock(connection)
    existing = first(connection, select_all(Region).where(Region.name == name))
    if existing is not None:
        if shapely.from_wkb(existing.geometry).equals(shapely.box(*bounds)):
            return False
        raise InputError(
            f"region {name!r} exists with another rectangle {shapely.from_wkb(existing.geometry).bounds}; "
            "a region's extent is fixed: add one with another name"
        )
    values = {
        "name": name,
        "geometry": shapely.to_wkb(shapely.box(*bounds)),
        "created_at": now,
        "active": True,
        "monitored_from": monitored_from,
        "monitored_until": monitored_until,
        "grid": grid.to_json(),
        "scene_source": scene_source,
        "algorithm_version": algorithm_version,
    }
    bbox_id = connection.execute(insert(Region).values(values).returning(Region.bbox_id)).scalar_one()
    _join_known_fields(connection, bbox_id, bounds)
    moved(connection)
    return True


def _join_known_fields(connection: Connection, bbox_id: int, bounds: Bounds) -> None:
    polygons = connection.execute(
        select(FieldRevision.revision_id, FieldRevision.geometry).where(FieldRevision.geometry.is_not(None))
    ).all()
    revisions, shapes = [p.revision_id for p in polygons], [shapely.from_wkb(p.geometry) for p in polygons]
    membership.join(connection, revisions, membership.found_in(shapes, {bbox_id: bounds}))


def rename_region(connection: Connection, name: str, new_name: str) -> bool:
    """Rename a region.

    Returns:
        False if it already has that name; nothing was changed.

    Raises:
        InputError: there is no such region, or the new name can't be used or is another region's.
    """
    checked_region_name(new_name)
    lock(connection)
    named = region(connection, name)
    if new_name == name:
        return False
    if connection.execute(select(Region.bbox_id).where(Region.name == new_name)).first() is not None:
        raise InputError(f"there is a region {new_name!r} already; choose another name")
    connection.execute(update(Region).where(Region.bbox_id == named.bbox_id).values(name=new_name))
    moved(connection)
    return True


def _checked_monitoring(name: str, monitored_from: date, monitored_until: date | None) -> None:
    for day in (monitored_from, monitored_until):
        if day is not None and not MIN_DAY <= day <= MAX_DAY:
            raise InputError(f"region {name!r}: monitored day {day} is outside of {MIN_DAY}..{MAX_DAY}")
    if monitored_until is not None and monitored_until < monitored_from:
        raise InputError(
            f"region {name!r}: monitored until {monitored_until} is before monitored from {monitored_from}"
        )


def monitor_region(
    connection: Connection,
    name: str,
    monitored_from: date,
    monitored_until: date | None,
    now: datetime,
) -> bool:
    """Monitor a region from another day, or until another one (None: without an end).

    Newly monitored days that are closed are opened as missed. Days have no gaps, so days before the first closed one
    are closed first, without rows. On days that are no longer monitored, rows are withdrawn.

    Args:
        connection: of a write transaction.
        name: the region's.
        monitored_from: first day.
        monitored_until: last day; None without an end.
        now: when it became known.

    Returns:
        False if both are already so; nothing was changed.

    Raises:
        InputError: there is no such region, or the days are impossible.
    """
    _checked_monitoring(name, monitored_from, monitored_until)
    lock(connection)
    named = region(connection, name)
    if (monitored_from, monitored_until) == (named.monitored_from, named.monitored_until):
        return False
    with expectations_change(connection, [named.bbox_id], None, Cause.LATE_REGION, now):
        values = {"monitored_from": monitored_from, "monitored_until": monitored_until}
        connection.execute(update(Region).where(Region.bbox_id == named.bbox_id).values(values))
        first = ledger.first_closed_day(connection, named.bbox_id)
        if first is not None and monitored_from < first:
            days = [monitored_from + timedelta(days=n) for n in range((first - monitored_from).days)]
            for day in days:
                ledger.set_day(connection, named.bbox_id, day, closed_at=now)
            empty = NewPublication(PublicationKind.DAY, None, dict.fromkeys(days, 0), 0, "", Cause.LATE_REGION.value)
            publish(connection, named.bbox_id, empty, now)
    moved(connection)
    return True


def pin_algorithm(connection: Connection, name: str, version: str, now: datetime) -> bool:
    """Pin a region to another algorithm version: all closed days are to be recomputed by it.

    Where it needs other bands, the source is asked anew for all days: scenes are read again with these.

    Args:
        connection: of a write transaction.
        name: the region's.
        version: of the algorithm.
        now: when it became known.

    Returns:
        False if it is already pinned to that version; nothing was changed.

    Raises:
        InputError: there is no such region.
        AlgorithmError: the version is not supported here.
    """
    rules = algorithm(version)
    lock(connection)
    named = region(connection, name)
    ledger.lock_region(connection, named.bbox_id)
    if named.algorithm_version == version:
        return False
    connection.execute(update(Region).where(Region.bbox_id == named.bbox_id).values(algorithm_version=version))
    if rules.further_bands != further_bands(named.algorithm_version):
        answers.want_rescan(connection, named.bbox_id)
    miss_closed_days(connection, named.bbox_id, Cause.REVISED_ALGORITHM, f"algorithm {version}", now)
    moved(connection)
    return True


def further_bands(version: str) -> tuple[str, ...] | None:
    """The bands that scenes were read with; None where the version is not known any more."""
    try:
        return algorithm(version).further_bands
    except AlgorithmError:
        return None


def activate_region(connection: Connection, name: str, *, active: bool) -> None:
    """Pause or resume a region: a paused region asks for no day and closes none; what is published stays.

    Raises:
        InputError: there is no such region.
    """
    lock(connection)
    named = region(connection, name)
    connection.execute(update(Region).where(Region.bbox_id == named.bbox_id).values(active=active))
    moved(connection)


def lock(connection: Connection) -> int:
    """Take the lock of all writes to regions and fields; gives the registry's revision."""
    statement = select(Registry.revision).where(Registry.registry_id == 1).with_for_update(key_share=True)
    return connection.execute(statement).scalar_one()


def revision(connection: Connection) -> int:
    """A number that moves with every write to the registry."""
    return connection.execute(select(Registry.revision).where(Registry.registry_id == 1)).scalar_one()


def moved(connection: Connection) -> None:
    """Note that the registry was written to."""
    connection.execute(update(Registry).values(revision=Registry.revision + 1))


def registry_counts(connection: Connection) -> dict[str, int]:
    """How many regions, fields and seasons are registered."""
    counts = {
        "regions": func.count(Region.bbox_id),
        "fields": func.count(Field.field_id),
        "seasons": func.count(Season.season_id),
    }
    return {name: connection.execute(select(count)).scalar_one() for name, count in counts.items()} | {
        "registry revision": revision(connection)
    }
