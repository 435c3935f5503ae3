"""The data dictionary: what each column of a row is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, GetJsonSchemaHandler, RootModel
from pydantic_core import CoreSchema
from satcommon.db.models import Region
from satcommon.errors import AlgorithmError
from satcommon.publication.row_columns import column_meaning, row_schema
from satcommon.stats.algorithm import algorithm
from satcommon.stats.data_dictionary import meaning_of
from satcommon.stats.result_rows import further_columns
from starlette.responses import Response

from satserve.caller import Calling
from satserve.routes.responses import document, problems
from satserve.service import Serving, visible_region

router = APIRouter(tags=["Rows"])


class Column(BaseModel):
    """A column of rows."""

    name: str = Field(examples=["ndvi_mean"])
    type: str = Field(description="Arrow's type", examples=["double"])
    unit: str | None = Field(description="in words; null where it has none", examples=["degrees Celsius"])
    units: str | None = Field(description="the unit as UDUNITS writes it", examples=["degC"])
    meaning: str
    range: tuple[float | None, float | None] | None = Field(
        description="least and greatest value, where there are such"
    )
    since: str = Field(
        description="the algorithm version that has it first, or the rule by which a version asks for it",
        examples=["1"],
    )


class ColumnList(BaseModel):
    """The columns of rows."""

    columns: list[Column]


@router.get("/columns", response_model=ColumnList, responses=problems(404), summary="Data dictionary")
def columns(
    request: Request,
    service: Serving,
    caller: Calling,  # who has no key is told so
    region: Annotated[
        str | None,
        Query(
            max_length=100,
            description="With the columns of the further indices and bands of this region's algorithm version.",
            examples=["A"],
        ),
    ] = None,
) -> Response:
    """Each column of every row: name, type, unit, meaning and range.

    Types are those of Parquet and Arrow answers. Rows of algorithm versions that ask for further indices and bands have
    columns of these besides: name a region to have them, too.
    """
    further: Sequence[str] = ()
    if region is not None:
        with service.reading() as connection:
            further = further_columns_of(visible_region(connection, region, caller))
    return document(request, {"columns": [_column(each) for each in row_schema(further)]})


def further_columns_of(region: Region) -> Sequence[str]:
    """The columns of the further indices and bands that a region's algorithm version asks for."""
    try:
        rules = algorithm(region.algorithm_version)
    except AlgorithmError:  # of a file that this process has not: its further columns can be named
        return []
    return further_columns(rules.indices, rules.further_bands)


def _column(column: pa.Field) -> dict[str, Any]:
    meaning = column_meaning(column)
    assert meaning is not None, column
    return {"name": column.name, "type": str(column.type), "units": meaning.units, **meaning._asdict()}


class Row(RootModel[dict[str, Any]]):
    """A row: a field on a day in a region. Further indices and bands have columns of their own."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The columns of every row, with what the data dictionary says of them; a request may ask for some only."""
        columns = {column.name: _json_schema(column) for column in row_schema()}
        return {"type": "object", "description": cls.__doc__, "properties": columns}


def _json_schema(column: pa.Field) -> dict[str, Any]:
    meaning = column_meaning(column)
    assert meaning is not None, column
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    value: dict[str, Any] = dict(_JSON_TYPES[str(kind)])
    least, greatest = meaning.range or (None, None)
    value |= {name: limit for name, limit in (("minimum", least), ("maximum", greatest)) if limit is not None}
    if pa.types.is_list(column.type):
        value = {"type": "array", "items": value}
    said = {"description": meaning.meaning, "x-unit": meaning.unit, "x-units": meaning.units}
    return {"anyOf": [value, {"type": "null"}], **{key: text for key, text in said.items() if text}}


_JSON_TYPES: dict[str, dict[str, str]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "double": {"type": "number"},
    "int32": {"type": "integer"},
    "int64": {"type": "integer"},
    "date32[day]": {"type": "string", "format": "date"},
    "timestamp[ms, tz=UTC]": {"type": "string", "format": "date-time"},
}


def parameters(names: Sequence[str]) -> dict[str, Any]:
    """Columns as parameters of CoverageJSON and EDR."""
    found: dict[str, Any] = {}
    for name in names:
        meaning = meaning_of(name)
        label = {"en": meaning.meaning}
        found[name] = {
            "type": "Parameter",
            "description": label,
            "observedProperty": {"id": name, "label": {"en": name}},
        }
        if meaning.unit:
            found[name]["unit"] = {"label": {"en": meaning.unit}, "symbol": meaning.units}
    return found
