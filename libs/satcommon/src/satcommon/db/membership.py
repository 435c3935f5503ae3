"""Which regions a field's polygon belongs to, and which of them is its home."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, bindparam, insert, select, update

from satcommon.db.models import FieldRevision, Membership, Region
from satcommon.db.statement_batches import rows_in
from satcommon.geo.geometry import Overlap, overlaps
from satcommon.geo.grid import Bounds


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


def look_swapped(polygons: Sequence[BaseGeometry], regions: Mapping[int, Bounds]) -> bool:
    """Whether no polygon is near a region, and each would be if longitude and latitude were swapped."""
    if not polygons or not regions:
        return False
    west, south, east, north = shapely.bounds(np.asarray(polygons, dtype=object)).T
    regions_tree = shapely.STRtree(shapely.box(*np.asarray(list(regions.values()), dtype=float).T))
    if regions_tree.query(shapely.box(west, south, east, north), predicate="intersects").size:
        return False
    near, _ = regions_tree.query(shapely.box(south, west, north, east), predicate="intersects")
    return len(np.unique(near)) == len(polygons)


def fields_in(connection: Connection, bounds: Bounds) -> bool:
    """Whether a polygon of any field intersects a rectangle."""
    polygons = connection.execute(select(FieldRevision.geometry).where(FieldRevision.geometry.is_not(None))).scalars()
    shapes = shapely.from_wkb(np.asarray(list(polygons), dtype=object))
    return bool(shapely.intersects(shapes, shapely.box(*bounds)).any())


def choose_homes(connection: Connection, revisions: Collection[int]) -> None:
    """Choose the homes of revisions' polygons again, after a region was removed."""
    statement = select(Membership.revision_id, Membership.bbox_id, Membership.overlap_ha)
    largest: dict[int, tuple[float, int]] = {}
    for row in rows_in(connection, statement, Membership.revision_id, revisions):
        largest[row.revision_id] = min(largest.get(row.revision_id, (0.0, 0)), (-row.overlap_ha, row.bbox_id))
    homes = [{"r": revision_id, "b": bbox_id} for revision_id, (_, bbox_id) in largest.items()]
    if homes:
        here = update(Membership).where(Membership.revision_id == bindparam("r"))
        connection.execute(here.values(home=Membership.bbox_id == bindparam("b")), homes)


def join(connection: Connection, revisions: Sequence[int], found: Sequence[Overlap]) -> None:
    """Write overlaps of revisions' polygons, and choose each one's home: the first region of the largest overlap."""
    rows = {
        (revisions[o.geometry], o.region): {
            "revision_id": revisions[o.geometry],
            "bbox_id": o.region,
            "area_ha": o.whole_ha,
            "overlap_ha": o.area_ha,
            "home": False,
        }
        for o in found
    }
    if not rows:
        return
    statement = select(Membership.revision_id, Membership.bbox_id, Membership.overlap_ha, Membership.home)
    joined = {revision_id for revision_id, _ in rows}
    known = {(r.revision_id, r.bbox_id): r for r in rows_in(connection, statement, Membership.revision_id, joined)}
    largest: dict[int, tuple[float, int]] = {}
    sizes = {key: row.overlap_ha for key, row in known.items()} | {key: row["overlap_ha"] for key, row in rows.items()}
    for (revision_id, bbox_id), size in sizes.items():
        largest[revision_id] = min(largest.get(revision_id, (0.0, 0)), (-size, bbox_id))
    homes = {(revision_id, bbox_id) for revision_id, (_, bbox_id) in largest.items()}
    for key in homes & rows.keys():
        rows[key]["home"] = True
    connection.execute(insert(Membership), list(rows.values()))
    moved = [
        {"r": r, "b": b, "home": (r, b) in homes} for (r, b), row in known.items() if row.home != ((r, b) in homes)
    ]
    if moved:
        here = update(Membership).where(Membership.revision_id == bindparam("r"), Membership.bbox_id == bindparam("b"))
        connection.execute(here, moved)
