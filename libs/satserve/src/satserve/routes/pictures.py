"""Pictures to be laid on a map: a day's scene, and fields coloured by a column, on a scale for all days."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from satcommon.db import ledger
from satcommon.db.registry import MAX_DAY, MIN_DAY, aoi_of
from satcommon.errors import ObjectMissingError, SceneError, SettingError
from satcommon.views.field_picture import coloured_fields
from satcommon.views.scene_picture import Layer, scene_picture
from starlette.responses import Response

from satserve.caller import Calling
from satserve.problem import Problem, wrong
from satserve.requests import AsOf, ColumnName, DayText, RegionName, day_of, instant_of, is_number
from satserve.routes.days import read_day, rows_of
from satserve.routes.responses import document, media_types, problems, tag_of, unchanged, whole
from satserve.service import Serving, visible_region

router = APIRouter(prefix="/regions/{region}", tags=["Pictures"])

MAX_ABSOLUTE = 1e12  # of a scale's ends: their difference is a number, too
End = Annotated[float, Query(ge=-MAX_ABSOLUTE, le=MAX_ABSOLUTE)]
PNG = ("png", "image/png")
MAX_PIXELS = 1024
SAMPLED_DAYS = 5  # for a scale, besides the last one
_DRAWN = 1  # number of the way in which pictures are drawn: part of their tags


class PictureList(BaseModel):
    """The days of a region that have a picture."""

    region: str = Field(examples=["A"])
    days: list[date]


class Scale(BaseModel):
    """The ends of a column's scale, and the days whose values they are of."""

    region: str = Field(examples=["A"])
    column: str = Field(examples=["ndvi_mean"])
    low: float | None = Field(description="percentile 2; null where there is no value", examples=[0.18])
    high: float | None = Field(description="percentile 98; null where there is no value", examples=[0.83])
    days: list[date]


@router.get("/pictures", response_model=PictureList, responses=problems(404), summary="Days with a picture")
def pictures(request: Request, service: Serving, caller: Calling, region: RegionName) -> Response:
    """The days that have a scene, and so a picture."""
    with service.reading() as connection:
        found = visible_region(connection, region, caller)
        scenes = ledger.current_scenes(connection, found.bbox_id, MIN_DAY, MAX_DAY)
    return document(request, {"region": region, "days": sorted(scenes)})


@router.get(
    "/days/{day}/picture",
    responses=problems(404) | {200: media_types(PNG)},
    response_model=None,
    response_class=Response,
    summary="A day's scene as a picture",
)
def picture(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    day: DayText,
    layer: Annotated[Layer, Query(description="In true colour, or NDVI.", examples=["ndvi"])] = Layer.TRUE_COLOUR,
) -> Response:
    """The scene that a region's day has now, as a PNG of at most 1024 x 1024 pixels.

    Its corners are the region's; rows and columns are even in Web Mercator. Transparent where the scene has no pixels.
    """
    its_day = day_of(day)
    with service.reading() as connection:
        found = visible_region(connection, region, caller)
        scene = ledger.current_scene(connection, found.bbox_id, its_day)
    if scene is None:
        raise Problem(404, "Not found", f"region {region!r} has no scene of {its_day}; its days are under pictures")
    bounds, scenes = aoi_of(found).bounds, service.environment.scenes()
    tag = tag_of("picture", _DRAWN, scene.digest, layer.value, bounds)
    same = unchanged(request, tag)
    if same is not None:
        return same

    def draw() -> bytes:
        with scenes.open(scene.object_key) as reader:
            lacking = [band for band in layer.bands if band not in reader.bands]
            if lacking:
                raise Problem(404, "Not found", f"the scene of {its_day} has no band {lacking[0]}; try another layer")
            return scene_picture(reader, bounds, layer, MAX_PIXELS)

    try:
        body = service.pictures.get((tag,), draw)
    except (SceneError, SettingError) as error:
        raise Problem(404, "Not found", f"the scene of {its_day} can't be read by this service now") from error
    return whole(body, tag, PNG[1], kind=PNG[0])


@router.get(
    "/days/{day}/columns/{column}/picture",
    responses=problems(404, 410) | {200: media_types(PNG)},
    response_model=None,
    response_class=Response,
    summary="One column of a day as a picture",
)
def column_picture(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    day: DayText,
    low: Annotated[End, Query(description="The value of the scale's first colour.", examples=[0.0])],
    high: Annotated[End, Query(description="The value of its last colour.", examples=[1.0])],
    column: ColumnName,
    dark: Annotated[bool, Query(description="For a dark map.", examples=[False])] = False,  # a parameter of the request
    as_of: AsOf = None,
) -> Response:
    """The fields that lie in a region now, coloured by a numeric column: a PNG of at most 2048 x 2048 pixels.

    Its corners are the region's; rows and columns are even in Web Mercator. The colours are those of viridis; cloudy
    fields and those without a value are grey, and it is transparent where there is no field.
    """
    if not is_number(column):
        raise wrong("column", column, "the name of a numeric column", "see /columns", 404)
    if not low < high:
        raise wrong("high", high, f"more than low, {low:g}")
    instant = instant_of(as_of)
    its_day = read_day(service, caller, region, day_of(day), instant)
    with service.reading() as connection:
        index = service.indexes.get(connection)
    tag = tag_of("column picture", _DRAWN, its_day.version, index.revision, column, low, high, dark, as_of)
    same = unchanged(request, tag)
    if same is not None:
        return same

    def draw() -> bytes:
        rows = rows_of(service, caller, its_day, instant, [column, "status"])
        fields = service.numbered.get(index, its_day.region.bbox_id, aoi_of(its_day.region).bounds)
        rows = rows.take(pc.index_in(fields.external_ids, value_set=rows["field"].combine_chunks()))
        values = rows[column].cast(pa.float64()).to_numpy()
        cloudy = pc.equal(rows["status"], "cloudy").fill_null(False).to_numpy()  # noqa: FBT003  # Arrow's signature
        return coloured_fields(fields.numbers, values, cloudy, (low, high), dark=dark)

    return whole(service.pictures.get((tag,), draw), tag, PNG[1], kind=PNG[0])


@router.get(
    "/columns/{column}/scale",
    responses=problems(404, 410),
    response_model=Scale,
    summary="The scale of a column",
)
def column_scale(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    column: ColumnName,
    as_of: AsOf = None,
) -> Response:
    """Ends of a scale on which a numeric column's values can be compared from day to day.

    They are percentiles 2 and 98 of all values of at most six days: five of those with a scene, evenly spread, and the
    last one that is closed.
    """
    if not is_number(column):
        raise wrong("column", column, "the name of a numeric column", "see /columns", 404)
    instant = instant_of(as_of)
    for again in (True, False):
        with service.reading() as connection:
            found = visible_region(connection, region, caller)
            snapshot = service.snapshots.get(connection, found.bbox_id, instant)
            scenes = ledger.current_scenes(connection, found.bbox_id, snapshot.first, snapshot.last)
        days = sampled(sorted(snapshot.days.layers.keys() & scenes.keys()), snapshot.days.layers)
        try:
            values = [snapshot.days.rows(service.objects, day, ["field", column])[column] for day in days]
            break
        except ObjectMissingError:  # removed since the log was read: a newer one gives the rows
            if not again:
                raise
    return document(request, {"region": region, "column": column, **_ends(values), "days": days})


def sampled(days: Sequence[date], closed: Collection[date]) -> list[date]:
    """Some days, evenly spread, and the last of the closed ones."""
    places = np.linspace(0, len(days) - 1, min(SAMPLED_DAYS, len(days))).round().astype(int)
    return sorted({days[place] for place in places} | ({max(closed)} if closed else set()))


def _ends(values: Sequence[pa.ChunkedArray]) -> dict[str, float | None]:
    known = np.concatenate([np.zeros(0), *(each.cast(pa.float64()).to_numpy() for each in values)])
    known = known[np.isfinite(known)]
    low, high = np.percentile(known, [2, 98]).tolist() if len(known) else (None, None)
    return {"low": low, "high": high}
