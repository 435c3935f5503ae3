"""The scenes whose pixels stay in their archive: whoever computes their days must be able to read it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from satcommon.db.models import Region, Scene
from satcommon.sources.source import BY_REFERENCE


class Referenced(NamedTuple):
    """A region's scenes by reference: how many, and the key of the latest day's."""

    region: str
    scenes: int
    latest: str


def referenced_scenes(connection: Connection) -> list[Referenced]:
    """Of each active region that has some, by name.

    Args:
        connection: of a read transaction.
    """
    own = (Region.bbox_id == Scene.bbox_id, Region.active, Scene.object_key.endswith(BY_REFERENCE))
    latest = (
        select(Scene.bbox_id, func.count().label("scenes"), func.max(Scene.day).label("day"))
        .join(Region, own[0])
        .where(*own[1:])
        .group_by(Scene.bbox_id)
        .subquery()
    )
    statement = (
        select(Region.name, latest.c.scenes, func.max(Scene.object_key))
        .join(latest, latest.c.bbox_id == Region.bbox_id)
        .join(Scene, (Scene.bbox_id == latest.c.bbox_id) & (Scene.day == latest.c.day))
        .where(*own[1:])
        .group_by(Region.name, latest.c.scenes)
        .order_by(Region.name)
    )
    return [Referenced(*row) for row in connection.execute(statement)]
