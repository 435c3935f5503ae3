"""The story of a field-day."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from satcommon.views.row_story import row_story
from starlette.responses import Response

from satserve.caller import Calling
from satserve.requests import AsOf, ExternalId, day_of, instant_of
from satserve.routes.columns import Row
from satserve.routes.responses import document, problems
from satserve.service import Serving, visible_field, visible_region

router = APIRouter(prefix="/fields", tags=["Provenance"])


class Story(BaseModel):
    """How a field's row of a day came about."""

    field: str
    region: str
    day: date
    state: str | None = Field(description="what stands now; null as of an instant", examples=["settled"])
    why: str | None = Field(description="the same in words")
    next_step: str | None = Field(description="what will happen, or what to do")
    row: Row | None = Field(description="the row, with `final` and `state_as_of`; null where there is none")
    publications: list[dict[str, Any]] = Field(description="those that gave, changed or took out the row, oldest first")
    misses: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    scenes: list[dict[str, Any]]


@router.get(
    "/{external_id:path}/history", response_model=Story, responses=problems(404, 410), summary="The story of a row"
)
def history(
    request: Request,
    service: Serving,
    caller: Calling,
    external_id: ExternalId,
    day: Annotated[str, Query(description="Day, as YYYY-MM-DD.", max_length=10, examples=["2026-05-12"])],
    region: Annotated[
        str | None, Query(description="Name of the region. Default: the field's home.", max_length=100, examples=["A"])
    ] = None,
    as_of: AsOf = None,
) -> Response:
    """How a field's row of a day came about: publications with their values, inputs, misses, attempts, scenes."""
    its_day, instant = day_of(day), instant_of(as_of)
    with service.reading() as connection:
        field, home = visible_field(service, connection, external_id, its_day, caller)
        chosen = visible_region(connection, region, caller) if region is not None else home
    story = row_story(
        service.environment.engine,
        service.objects,
        field,
        chosen,
        its_day,
        instant,
        (service.environment.deadlines, datetime.now(UTC)),
    )
    stands = _json_value(vars(story.stands)) if story.stands else dict.fromkeys(("state", "why", "next_step"))
    told = {"field": external_id, "region": chosen.name, "day": its_day, **stands, "as_of": instant}
    return document(
        request, {**told, "row": story.row, "publications": story.publications, **_json_value(dict(story.records))}
    )


def _json_value(value: Any) -> Any:
    """A value of JSON: enumerations by value."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _json_value(vars(value))
    if isinstance(value, dict):
        return {name: _json_value(each) for name, each in value.items()}
    return [_json_value(each) for each in value] if isinstance(value, list) else value
