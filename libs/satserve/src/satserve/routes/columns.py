"""The data dictionary: what each column of a row is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from satcommon.stats.data_dictionary import meaning_of
from satcommon.stats.result_rows import SCHEMA
from starlette.responses import Response

from satserve.caller import Calling
from satserve.routes.answers import document, problems

router = APIRouter(tags=["Rows"])

_DERIVED = (
    ("final", "bool", "whether no late data known now can still change the row"),
    ("state_as_of", "date32[day]", "day of the newest observation in the row's state; null before the season's first"),
)


class Column(BaseModel):
    """A column of rows."""

    name: str = Field(examples=["ndvi_mean"])
    type: str = Field(description="Arrow's type", examples=["double"])
    unit: str | None = Field(description="null where it has none", examples=["1"])
    meaning: str
    range: tuple[float | None, float | None] | None = Field(
        description="least and greatest value, where there are such"
    )


class ColumnList(BaseModel):
    """The columns of rows."""

    columns: list[Column]


@router.get("/columns", response_model=ColumnList, responses=problems(), summary="Data dictionary")
def columns(request: Request, caller: Calling) -> Response:  # noqa: ARG001  # who has no key is told so
    """Each column of every row: name, type, unit, meaning and range.

    Rows of algorithm versions that ask for further indices and bands have columns of these besides.
    """
    told: list[dict[str, Any]] = []
    for column in SCHEMA:
        meaning = meaning_of(column.name)
        told.append({"name": column.name, "type": str(column.type), **meaning._asdict()})
    told += [{"name": n, "type": t, "unit": None, "meaning": m, "range": None} for n, t, m in _DERIVED]
    return document(request, {"columns": told})


def parameters(names: Sequence[str]) -> dict[str, Any]:
    """Columns as parameters of CoverageJSON and EDR."""
    told: dict[str, Any] = {}
    for name in names:
        meaning = meaning_of(name)
        label = {"en": meaning.meaning}
        told[name] = {"type": "Parameter", "description": label, "observedProperty": {"label": {"en": name}}}
        if meaning.unit:
            told[name]["unit"] = {"label": {"en": meaning.unit}, "symbol": meaning.unit}
    return told
