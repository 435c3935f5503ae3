"""Why a row has no value of an index: its scene lacks bands of it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from satcommon.db.models import Scene
from satcommon.errors import AlgorithmError, SceneError
from satcommon.raster.indices import ALWAYS, INDICES
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.stats.algorithm import algorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from satcommon.storage.object_store import ObjectStore


def lacking_bands(
    connection: Connection, store: ObjectStore, bbox_id: int, day: date, row: Mapping[str, Any]
) -> dict[str, list[str]]:
    """The bands that the scene of a row lacks, by index; of indices that the row's version asks for and that are null.

    Args:
        connection: of a read transaction.
        store: of the scene, whose header is read.
        bbox_id: the region.
        day: the day.
        row: by column; nothing is told where its version is not known here, or its scene can't be read.
    """
    try:
        columns = (*ALWAYS, *algorithm(row["algorithm_version"]).indices)
    except AlgorithmError:
        return {}
    empty = [column for column in columns if row.get(f"{column}_mean") is None]
    of_row = (Scene.bbox_id == bbox_id, Scene.day == day, Scene.digest == row["scene_digest"])
    key = connection.execute(select(Scene.object_key).where(*of_row)).scalar()
    if not empty or key is None:
        return {}
    try:
        bands = StoredScenes(store).bands(key)
    except SceneError:
        return {}
    lacking = {column: [band for band in INDICES[column].bands if band not in bands] for column in empty}
    return {column: missing for column, missing in lacking.items() if missing}
