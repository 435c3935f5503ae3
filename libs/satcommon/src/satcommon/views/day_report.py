"""The report of a region's closed day: counts, fractions, its version, and a picture."""

from __future__ import annotations

import base64
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from satcommon.db.deadlines import Deadlines
    from satcommon.db.models import Region
    from satcommon.sources.stored_scenes import StoredScenes
    from satcommon.storage.object_store import ObjectStore


def day_report(
    engine: Engine,
    store: ObjectStore,
    scenes: StoredScenes,
    region: Region,
    day: date,
    deadlines: Deadlines,
    now: datetime,
) -> tuple[dict[str, Any], str]:
    """The facts of a closed day by name, read from what is published, and what identifies its content.

    `statuses` and `refused` (refused acquisitions with their reasons) are dictionaries, `map` is Markdown. `no scene`
    tells why there is none, where one could be expected (`answers.Absence`).

    Args:
        engine: of the ledger.
        store: of results.
        scenes: the stored ones.
        region: the region.
        day: the day.
        deadlines: the waiting times.
        now: the present.
    """
    import pyarrow.compute as pc

    from satcommon.db import answers, ledger, missed_days
    from satcommon.db.engine import read_transaction
    from satcommon.db.registry import aoi_of
    from satcommon.errors import SatfieldsError
    from satcommon.publication.objects import ResultObjects
    from satcommon.publication.reader import published_days
    from satcommon.views.region_map import region_map

    with read_transaction(engine) as connection:
        closed = ledger.region_day(connection, region.bbox_id, day)
        refused = answers.refusals(connection, region.bbox_id, day, day).get(day)
        missed = len(missed_days.misses(connection, region.bbox_id, day, day))
        published = published_days(connection, region.bbox_id, day, day)
    assert closed is not None
    rows = published.rows(ResultObjects(store), day)
    facts: dict[str, Any] = {
        "version": closed.version,
        "rows": rows.num_rows,
        "missed": missed,
        "due": closed.due.value,
        "scene": closed.scene_digest or "none",
        "statuses": {row["values"]: row["counts"] for row in pc.value_counts(rows["status"]).to_pylist()},
    }
    if absence := answers.absence(closed, day, aoi_of(region).bounds, deadlines, now):
        facts["no scene"] = absence.words
    if refused:
        facts["refused"] = refused
    means = {"mean clear fraction": "clear_fraction", "mean NDVI": "ndvi_mean"}
    facts |= {name: mean for name, c in means.items() if (mean := pc.mean(rows[c]).as_py()) is not None}
    if closed.scene_digest is not None:
        try:
            png = base64.b64encode(region_map(engine, scenes, region, day)).decode()
            facts["map"] = f"![NDVI](data:image/png;base64,{png})"
        except SatfieldsError as error:  # the day is closed whatever its picture
            facts["map"] = f"no picture: {error}"
    return facts, str(closed.content)
