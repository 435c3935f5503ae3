"""Which regions a field's polygon belongs to, and which of them is its home."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, insert, select, update

from satcommon.db.batches import batches, rows_in
from satcommon.db.models import FieldRevision, Membership, Region
from satcommon.geometry import Overlap, area_ha, overlaps
from satcommon.grid import Bounds


def rectangles(connection: Connection) -> dict[int, Bounds]:
    """The rectangles of all regions, by id."""
    rows = connection.execute(select(Region.bbox_id, Region.geometry))
    return {row.bbox_id: Bounds(*shapely.from_wkb(row.geometry).bounds) for row in rows}


def regions_of(connection: Connection, field_ids: Collection[int]) -> set[int]:
    """The regions that fields are in, with any of their polygons."""
    statement = select(Membership.bbox_id).join(FieldRevision, FieldRevision.revision_id == Membership.revision_id)
    return {row.bbox_id for row in rows_in(connection, statement.distinct(), FieldRevision.field_id, field_ids)}


def found_in(polygons: Sequence[BaseGeometry], regions: Mapping[int, Bounds]) -> list[Overlap]:
    """The overlaps of polygons (by position) with regions (by id)."""
    ids = list(regions)
    return [o._replace(region=ids[o.region]) for o in overlaps(polygons, list(regions.values()))]


def join(
    connection: Connection, revisions: Sequence[int], polygons: Sequence[BaseGeometry], found: Sequence[Overlap]
) -> None:
    """Enter overlaps of revisions' polygons, and choose each one's home: the largest, the first region where equal."""
    rows = [
        {
            "revision_id": revisions[o.geometry],
            "bbox_id": o.region,
            "area_ha": area_ha(polygons[o.geometry]),
            "overlap_ha": o.area_ha,
            "home": False,
        }
        for o in found
    ]
    if not rows:
        return
    connection.execute(insert(Membership), rows)
    statement = select(Membership.revision_id, Membership.bbox_id, Membership.overlap_ha)
    joined = {row["revision_id"] for row in rows}
    there = sorted(
        rows_in(connection, statement, Membership.revision_id, joined),
        key=lambda r: (r.revision_id, -r.overlap_ha, r.bbox_id),
    )
    homes = [next(group) for _, group in itertools.groupby(there, key=lambda r: r.revision_id)]
    for batch in batches(joined):
        connection.execute(update(Membership).where(Membership.revision_id.in_(batch)).values(home=False))
    for bbox_id in {home.bbox_id for home in homes}:
        for batch in batches([home.revision_id for home in homes if home.bbox_id == bbox_id]):
            at_home = update(Membership).where(Membership.bbox_id == bbox_id, Membership.revision_id.in_(batch))
            connection.execute(at_home.values(home=True))
