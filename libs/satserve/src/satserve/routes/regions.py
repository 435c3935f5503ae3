"""Regions as an operator asks of them: how far they are, what is missed, what was corrected."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from satcommon.db import ledger
from satcommon.db.models import Field as FieldRow
from satcommon.db.models import Miss, Publication, PublicationKind, Region
from satcommon.views.metrics.expected_days import completeness
from satcommon.views.region_status import region_status
from sqlalchemy import Connection, select, true
from starlette.responses import Response

from satserve.caller import Calling
from satserve.problem import wrong
from satserve.requests import Cursor, Limit, RegionName, day_of
from satserve.routes.responses import Link, document, link, path_of, problems
from satserve.service import Service, Serving, visible_region, visible_regions

router = APIRouter(prefix="/regions", tags=["Regions"])

_NEWEST = 5


class Missed(BaseModel):
    """The open misses of one cause."""

    cause: str = Field(examples=["late_scene"])
    field_days: int
    first_day: date
    last_day: date
    oldest_age_seconds: float


class Correction(BaseModel):
    """A publication that changed published rows."""

    sequence: int
    committed_at: datetime
    cause: str
    first_day: date
    last_day: date
    rows: int


class RegionSummary(BaseModel):
    """How far a region is."""

    region: str = Field(examples=["A"])
    active: bool
    monitored_from: date
    monitored_until: date | None
    algorithm_version: str
    watermark: date | None = Field(description="the last closed day")
    final_through: date | None = Field(description="through this day, nothing known now can still change a row")
    lag_days: int = Field(description="days that are over and not closed")
    settled_rows: int = Field(description="rows of its closed days")
    missed_field_days: int = Field(description="open misses")
    expected_field_days: int = Field(description="field-days that the registry expects up to the watermark")
    completeness: float = Field(
        description="expected field-days without an open miss, as part of all expected ones; 1 where none is expected"
    )
    backlog: list[Missed]
    newest_corrections: list[Correction]


class RegionList(BaseModel):
    """The regions."""

    regions: list[RegionSummary]
    links: list[Link]


class OpenMiss(BaseModel):
    """A field-day that is to be (re)computed."""

    field: str
    day: date
    cause: str
    opened_at: datetime
    failed_attempts: int


class Misses(BaseModel):
    """A page of open misses."""

    misses: list[OpenMiss]
    links: list[Link]


@router.get("", response_model=RegionList, responses=problems(), summary="Regions")
def regions(
    request: Request,
    service: Serving,
    caller: Calling,
    limit: Annotated[int, Query(ge=1, le=200, description="Regions of a page, at most 200.", examples=[50])] = 50,
    cursor: Cursor = None,
) -> Response:
    """The regions: watermark, completeness, backlog by cause, newest corrections; by name."""
    now = datetime.now(UTC)
    with service.reading() as connection:
        found = sorted(visible_regions(connection, caller), key=lambda region: region.name)
        found = [region for region in found if cursor is None or region.name > cursor]
        told = [_summary(service, connection, region, now) for region in found[:limit]]
    links = [link(request, "/regions", "self")]
    if len(found) > limit:
        links.append(link(request, "/regions", "next", limit=limit, cursor=found[limit - 1].name))
    return document(request, {"regions": told, "links": links})


@router.get("/{region}", response_model=RegionSummary, responses=problems(404), summary="One region")
def one_region(request: Request, service: Serving, caller: Calling, region: RegionName) -> Response:
    """A region: watermark, completeness, backlog by cause, newest corrections."""
    with service.reading() as connection:
        found = visible_region(connection, region, caller)
        told = _summary(service, connection, found, datetime.now(UTC))
    return document(request, told)


@router.get("/{region}/misses", response_model=Misses, responses=problems(404), summary="What is missed")
def misses(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    limit: Limit = 1000,
    cursor: Cursor = None,
    day: Annotated[
        str | None, Query(max_length=10, description="Of this day alone, as YYYY-MM-DD.", examples=["2026-05-12"])
    ] = None,
) -> Response:
    """The open misses of a region, in the order in which they were opened."""
    its_day = None if day is None else day_of(day)
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 18):
        raise wrong("cursor", cursor, "the cursor of a link `next`", "begin without a cursor")
    with service.reading() as connection:
        found = visible_region(connection, region, caller)
        statement = (
            select(Miss.id, FieldRow.external_id, Miss.date_missed, Miss.cause, Miss.processing_time, Miss.attempts)
            .join(FieldRow, FieldRow.field_id == Miss.field_id)
            .where(Miss.bbox_id == found.bbox_id, ~Miss.processed, Miss.id > int(cursor or 0))
            .where(Miss.date_missed == its_day if its_day is not None else true())
            .order_by(Miss.id)
            .limit(limit + 1)
        )
        rows = connection.execute(statement).all()
    told = [
        {
            "field": row.external_id,
            "day": row.date_missed,
            "cause": row.cause.value,
            "opened_at": row.processing_time,
            "failed_attempts": row.attempts,
        }
        for row in rows[:limit]
    ]
    path = path_of("regions", region, "misses")
    links = [link(request, path, "self")]
    if len(rows) > limit:
        links.append(link(request, path, "next", limit=limit, cursor=rows[limit - 1].id, day=day))
    return document(request, {"misses": told, "links": links})


def _summary(service: Service, connection: Connection, region: Region, now: datetime) -> dict[str, Any]:
    status = region_status(connection, region, service.environment.deadlines, 0, now, fields=False)
    rows = ledger.published_rows(connection, region.bbox_id, date.min, date.max)
    missed = sum(each.field_days for each in status.backlog)
    until = {} if status.watermark is None else {region.bbox_id: status.watermark}
    expected = service.expected_days.count(connection, until).get(region.bbox_id, 0)
    return {
        "region": status.region,
        "active": status.active,
        "monitored_from": status.monitored_from,
        "monitored_until": status.monitored_until,
        "algorithm_version": status.algorithm_version,
        "watermark": status.watermark,
        "final_through": status.final_through,
        "lag_days": status.lag_days,
        "settled_rows": rows,
        "missed_field_days": missed,
        "expected_field_days": expected,
        "completeness": completeness(expected, missed),
        "backlog": [
            {
                "cause": each.cause.value,
                "field_days": each.field_days,
                "first_day": each.first_day,
                "last_day": each.last_day,
                "oldest_age_seconds": each.oldest_age_seconds,
            }
            for each in status.backlog
        ],
        "newest_corrections": _corrections(connection, region.bbox_id),
    }


def _corrections(connection: Connection, bbox_id: int) -> list[dict[str, Any]]:
    statement = (
        select(
            Publication.sequence, Publication.committed_at, Publication.cause, Publication.first_day,
            Publication.last_day, Publication.row_count.label("rows"),
        )
        .where(Publication.bbox_id == bbox_id, Publication.kind == PublicationKind.PATCH)
        .order_by(Publication.sequence.desc())
        .limit(_NEWEST)
    )  # fmt: skip
    return [dict(row._mapping) for row in connection.execute(statement)]
