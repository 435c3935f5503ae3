"""All fields in memory, by external id: read anew when the registry has changed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from satcommon.db import registry
from satcommon.db.models import Field, FieldRevision, Membership, Region, Season
from sqlalchemy import Connection, func, select

SCHEMA = pa.schema(
    [
        pa.field("external_id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("active", pa.bool_()),
        pa.field("planting_date", pa.date32()),
        pa.field("season_end", pa.date32()),
        pa.field("crop_code", pa.string()),
        pa.field("area_ha", pa.float64()),
        pa.field("regions", pa.list_(pa.string())),
        pa.field("geometry", pa.binary()),
    ]
)
"""A field as a feature: its current season, the area of its latest polygon on the ellipsoid, and the regions that this
polygon lies in, its home first, of those that the caller may see."""

PROPERTIES = ("external_id", "name", "active", "planting_date", "season_end", "crop_code", "area_ha")
"""The properties that a filter may name."""


@dataclass(frozen=True)
class FieldIndex:
    """The fields as of a revision of the registry.

    Args:
        revision: of the registry.
        fields: by external id: columns of `SCHEMA` but `regions`.
        bounds: of each field: west, south, east, north; shape (fields, 4).
        regions: of each field: the ids of its regions, its home first.
        names: of regions, by id.
    """

    revision: int
    fields: pa.Table
    bounds: np.ndarray
    regions: Sequence[tuple[int, ...]]
    names: Mapping[int, str]

    def seen(self, regions: frozenset[int] | None) -> np.ndarray:
        """Whether each field lies in one of some regions; in any or none, for None."""
        if regions is None:
            return np.ones(len(self.regions), bool)
        return np.array([not regions.isdisjoint(of_field) for of_field in self.regions], bool)

    def positions(self, external_ids: Sequence[str]) -> list[int]:
        """Where some fields are; those that are not known are left out."""
        found = pc.index_in(pa.array(external_ids, pa.string()), value_set=self.fields["external_id"])
        return [position for position in found.to_pylist() if position is not None]

    def rows(self, positions: Sequence[int], regions: frozenset[int] | None) -> pa.Table:
        """Fields at some positions, with the regions that may be seen."""
        names = [[self.names[r] for r in self.regions[i] if regions is None or r in regions] for i in positions]
        table = self.fields.take(pa.array(positions, pa.int64()))
        at = SCHEMA.get_field_index("regions")
        return table.add_column(at, SCHEMA.field(at), pa.array(names, SCHEMA.field(at).type))

    def within(self, bbox: Sequence[float], positions: np.ndarray) -> np.ndarray:
        """Those of some positions whose polygon meets a rectangle; one whose west is east of its east crosses 180°."""
        west, south, east, north = bbox
        boxes = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        found = np.zeros(len(positions), bool)
        b = self.bounds[positions]
        for left, right in boxes:
            near = (b[:, 0] <= right) & (b[:, 2] >= left) & (b[:, 1] <= north) & (b[:, 3] >= south)
            inside = (b[:, 0] >= left) & (b[:, 2] <= right) & (b[:, 1] >= south) & (b[:, 3] <= north)
            across = np.flatnonzero(near & ~inside)  # only of these the polygon must be looked at
            wkb = self.fields["geometry"].take(pa.array(positions[across])).to_numpy()
            found |= inside
            found[across] |= shapely.intersects(shapely.from_wkb(wkb), shapely.box(left, south, right, north))
        return positions[found]


class FieldIndexes:
    """The index of the present, for all requests of this process."""

    def __init__(self) -> None:
        self._current: FieldIndex | None = None
        self._lock = threading.Lock()

    def get(self, connection: Connection) -> FieldIndex:
        """The index of the registry as a transaction sees it."""
        revision = registry.revision(connection)
        current = self._current
        if current is not None and current.revision == revision:
            return current
        with self._lock:  # one reads, the others wait for it
            if self._current is None or self._current.revision != revision:
                self._current = _read(connection, revision)
            return self._current


def _read(connection: Connection, revision: int) -> FieldIndex:
    latest = (
        select(FieldRevision.field_id, func.max(FieldRevision.revision_id).label("revision_id"))
        .where(FieldRevision.geometry.is_not(None))
        .group_by(FieldRevision.field_id)
        .subquery()
    )
    here = (
        select(latest.c.field_id, Membership.bbox_id, Membership.area_ha)
        .join(Membership, Membership.revision_id == latest.c.revision_id)
        .order_by(latest.c.field_id, Membership.home.desc(), Membership.overlap_ha.desc(), Membership.bbox_id)
    )
    regions: dict[int, list[int]] = defaultdict(list)
    areas: dict[int, float] = {}
    for row in connection.execute(here):
        regions[row.field_id].append(row.bbox_id)
        areas[row.field_id] = row.area_ha
    season = (Season.field_id == Field.field_id) & (Season.planting_date == Field.planting_date)
    statement = select(
        Field.field_id,
        Field.external_id,
        Field.name,
        Field.active,
        Field.planting_date,
        Field.geometry,
        Season.end_date,
        Season.crop_code,
    ).outerjoin(Season, season)
    # In the order of Python's text, which is no database's.
    rows = sorted(connection.execute(statement), key=lambda row: row.external_id)
    columns = {
        "external_id": [row.external_id for row in rows],
        "name": [row.name for row in rows],
        "active": [row.active for row in rows],
        "planting_date": [row.planting_date for row in rows],
        "season_end": [row.end_date for row in rows],
        "crop_code": [row.crop_code for row in rows],
        "area_ha": [areas.get(row.field_id) for row in rows],
        "geometry": [row.geometry for row in rows],
    }
    without_regions = SCHEMA.remove(SCHEMA.get_field_index("regions"))
    names = {row.bbox_id: row.name for row in connection.execute(select(Region.bbox_id, Region.name))}
    bounds = shapely.bounds(shapely.from_wkb(np.array(columns["geometry"], dtype=object))) if rows else np.zeros((0, 4))
    return FieldIndex(
        revision,
        pa.table(columns, schema=without_regions),
        bounds,
        [tuple(regions.get(row.field_id, ())) for row in rows],
        names,
    )


def in_season(fields: pa.Table, first: object | None, last: object | None) -> pa.Array:
    """Whether the season of each field has a day of a span; an open end is None."""
    meets = pa.array(np.ones(fields.num_rows, bool))
    if last is not None:
        meets = pc.and_(meets, pc.less_equal(fields["planting_date"], pa.scalar(last, pa.date32())))
    if first is not None:
        ended = pc.less(fields["season_end"], pa.scalar(first, pa.date32())).fill_null(False)  # noqa: FBT003  # Arrow's signature
        meets = pc.and_(meets, pc.invert(ended))
    return meets
