"""Scenes as pictures, to be laid under a map of fields."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from satcommon.db import ledger
from satcommon.db.registry import MAX_DAY, MIN_DAY, aoi_of
from satcommon.errors import SceneError, SettingError
from satcommon.views.scene_picture import Layer, scene_picture
from starlette.responses import Response

from satserve.caller import Calling
from satserve.problem import Problem
from satserve.requests import DayText, RegionName, day_of
from satserve.routes.answers import document, media_types, problems, tag_of, unchanged, whole
from satserve.service import Serving, visible_region

router = APIRouter(prefix="/regions/{region}", tags=["Pictures"])

PNG = ("png", "image/png")
MAX_PIXELS = 1024
_DRAWN = 1  # number of the way in which pictures are drawn: part of their tags


class PictureList(BaseModel):
    """The days of a region that have a picture."""

    region: str = Field(examples=["A"])
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
