"""A region's day: its rows, or one column of all its fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from satcommon.db.expectations import geometries
from satcommon.db.models import Region
from satcommon.errors import ObjectMissingError
from satcommon.publication.reader import Published, published
from satcommon.publication.row_columns import completed, described, readable, with_slots
from starlette.responses import Response

from satserve.caller import Caller, Calling
from satserve.encodings import ARROW, CSV, FLATGEOBUF, GEOJSON, GEOMETRY, JSON, PARQUET, json_bytes, plain_values
from satserve.problem import Problem, wrong
from satserve.requests import (
    DERIVED,
    AsOf,
    ColumnName,
    Columns,
    DayText,
    FormatName,
    RegionName,
    chosen_format,
    columns_of,
    day_of,
    instant_of,
    is_column,
)
from satserve.routes.columns import Row
from satserve.routes.responses import media_types, problems, table_answer, tag_of, unchanged, whole
from satserve.service import Service, Serving, visible_region

router = APIRouter(prefix="/regions/{region}/days/{day}", tags=["Rows"])

FORMATS = (JSON, CSV, PARQUET, ARROW, GEOJSON, FLATGEOBUF)
COLUMN_FORMATS = (JSON, ARROW)
_NEEDED = ("field", "day", "planting_date", "days_since_clear")


class Rows(BaseModel):
    """The rows of a region's day."""

    region: str = Field(examples=["A"])
    day: date
    as_of: datetime | None = None
    rows: list[Row] = Field(description="the columns, `final` and `state_as_of`, by field")


class OneColumn(BaseModel):
    """A column of a day: four lists of one length."""

    region: str = Field(examples=["A"])
    day: date
    column: str = Field(examples=["ndvi_mean"])
    field: list[str]
    value: list[object]
    final: list[bool]
    state_as_of: list[date | None]


@dataclass(frozen=True)
class RegionDay:
    """A region's day, as one snapshot has it."""

    region: Region
    day: date
    told: Published

    @property
    def version(self) -> tuple[object, ...]:
        """What the rows and their derived columns depend on."""
        layers = self.told.days.layers.get(self.day, ())
        keys = [layer.object_key or layer.sequence for layer in layers]
        missed = sorted((name, day) for name, day in self.told.first_miss.items() if day <= self.day)
        gone = sorted(self.told.withdrawn.get(self.day, ()))
        return (self.region.name, self.day, keys, missed, self.told.refused, gone)


@router.get(
    "",
    responses=problems(404, 410) | {200: media_types(*FORMATS) | {"model": Rows}},
    response_model=None,
    summary="A region's day",
)
def day_rows(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    day: DayText,
    parameter_name: Columns = None,
    as_of: AsOf = None,
    f: FormatName = None,
) -> Response:
    """The rows of all fields of a region's day, by field, each with `final` and `state_as_of`.

    GeoJSON and FlatGeobuf have the polygon that each row was computed with.
    """
    kind = chosen_format(f, request.headers.get("accept", ""), FORMATS)
    columns, instant = None if parameter_name is None else columns_of(parameter_name), instant_of(as_of)
    its_day = read_day(service, caller, region, day_of(day), instant)
    tag = tag_of("day", its_day.version, kind, columns, as_of)
    same = unchanged(request, tag)
    if same is not None:
        return same
    with_geometry = kind in (GEOJSON[0], FLATGEOBUF[0])
    read = None if columns is None else [*columns, *(["geometry_digest"] if with_geometry else [])]
    rows = rows_of(service, caller, its_day, instant, read)
    names = rows.column_names if columns is None else ["region", "day", "field", *columns, "final", "state_as_of"]
    if with_geometry:
        digests = rows["geometry_digest"].to_pylist()
        with service.reading() as connection:
            known = geometries(connection, {digest for digest in digests if digest is not None})
        rows = rows.append_column(GEOMETRY, pa.array([known.get(digest) for digest in digests], pa.binary()))
        names = [*names, GEOMETRY]
    head = {"region": region, "day": its_day.day, "as_of": instant}
    return table_answer(rows.select(names), next(each for each in FORMATS if each[0] == kind), tag, head)


@router.get(
    "/columns/{column}",
    responses=problems(404, 410) | {200: media_types(*COLUMN_FORMATS) | {"model": OneColumn}},
    response_model=None,
    summary="One column of a day",
)
def day_column(
    request: Request,
    service: Serving,
    caller: Calling,
    region: RegionName,
    day: DayText,
    column: ColumnName,
    as_of: AsOf = None,
    f: FormatName = None,
) -> Response:
    """One column of all fields of a region's day, compact, as for a map.

    `field`, `value`, `final`, and `state_as_of`: the day of the newest observation in the field's state.
    """
    kind = chosen_format(f, request.headers.get("accept", ""), COLUMN_FORMATS)
    if not is_column(column):
        raise wrong("column", column, "the name of a column", "see /columns", 404)
    instant = instant_of(as_of)
    its_day = read_day(service, caller, region, day_of(day), instant)
    tag = tag_of("column", its_day.version, kind, column, as_of)
    same = unchanged(request, tag)
    if same is not None:
        return same
    rows = rows_of(service, caller, its_day, instant, [column])
    if kind == ARROW[0]:
        known = rows.select(["field", column, *DERIVED])
        plain = known.cast(described(known.schema)).rename_columns(["field", "value", *DERIVED])
        return table_answer(plain, ARROW, tag, {})
    told = {"region": region, "day": its_day.day, "column": column, "field": plain_values(rows["field"])}
    told |= {"value": plain_values(rows[column]), **{name: plain_values(rows[name]) for name in DERIVED}}
    return whole(json_bytes(told), tag, JSON[1])


def read_day(service: Service, caller: Caller, name: str, day: date, instant: datetime | None) -> RegionDay:
    """A closed day of a region.

    Args:
        service: of the request.
        caller: who asks.
        name: of the region.
        day: the day.
        instant: as of which; None for now.

    Raises:
        Problem: there is no such region that the caller may see, or the day was not closed then.
    """
    with service.reading() as connection:
        region = visible_region(connection, name, caller)
        told = published(connection, region, day, day, as_of=instant)
    if day not in told.days.layers:
        when = "" if instant is None else f" as of {instant:%Y-%m-%dT%H:%M:%SZ}"
        raise Problem(404, "Not found", f"region {name!r} has no closed day {day}{when}; /regions tells its days")
    return RegionDay(region, day, told)


def rows_of(
    service: Service, caller: Caller, its_day: RegionDay, instant: datetime | None, columns: list[str] | None
) -> pa.Table:
    """The rows as `satctl export` gives them.

    Where an object was removed meanwhile, they are read by the log of now.

    Args:
        service: of the request.
        caller: who asks.
        its_day: as `read_day` gave it.
        instant: as of which.
        columns: besides those that tell which row it is; None for all that they have.
    """
    names = None if columns is None else list(dict.fromkeys(["region", *_NEEDED, *with_slots(columns)]))
    try:
        rows = its_day.told.rows(service.objects, its_day.day, names)
    except ObjectMissingError:
        its_day = read_day(service, caller, its_day.region.name, its_day.day, instant)
        rows = its_day.told.rows(service.objects, its_day.day, names)
    return readable(completed(rows, its_day.day, its_day.told))
