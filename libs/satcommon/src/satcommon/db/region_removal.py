"""Removing a region that has published nothing: registered by mistake, or with the wrong source."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from satcommon.db import ledger, membership, registry
from satcommon.db.models import Base, Membership, Region, RegionDay, Scene
from satcommon.errors import InputError


class Removed(NamedTuple):
    """What was removed with a region."""

    days: int
    scenes: int


def remove_region(connection: Connection, name: str) -> Removed:
    """Remove a region and everything that the ledger has of it. Garbage collection removes its objects.

    Fields stay; the home of those at home in it becomes the region of their next largest overlap.

    Raises:
        InputError: there is no such region, or it has published rows; nothing was changed.
    """
    registry.lock(connection)
    region = registry.region(connection, name)
    bbox_id = region.bbox_id
    ledger.lock_region(connection, bbox_id)
    published = select(func.count()).where(RegionDay.bbox_id == bbox_id, RegionDay.row_count > 0)
    days = connection.execute(published).scalar_one()
    if days:
        raise InputError(
            f"region {name!r} has published rows of {days:,} days, which are never taken back; "
            f"pause it with `satctl regions deactivate`, or rename it with `satctl regions rename`"
        )
    counts = [
        connection.execute(select(func.count()).where(table.bbox_id == bbox_id)).scalar_one()
        for table in (RegionDay, Scene)
    ]
    members = connection.execute(select(Membership.revision_id).where(Membership.bbox_id == bbox_id)).scalars().all()
    # All tables that refer to a region, in dependency order: referring rows first.
    for table in reversed(Base.metadata.sorted_tables):
        if "bbox_id" in table.columns and table.name != Region.__tablename__:
            connection.execute(delete(table).where(table.columns.bbox_id == bbox_id))
    connection.execute(delete(Region).where(Region.bbox_id == bbox_id))
    membership.choose_homes(connection, members)
    registry.moved(connection)
    return Removed(*counts)
