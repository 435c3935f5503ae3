"""What requests say: days, instants, columns, spans, formats; each checked, and named where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import pyarrow as pa
from fastapi import Path, Query
from satcommon.db.registry import MAX_DAY, MIN_DAY
from satcommon.stats.result_rows import IDENTITY, VALUES, column, schema_of

from satserve.problem import Problem, wrong

MOST_ITEMS = 10_000
MOST_DAYS = 1_500  # of a series: four seasons
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
DERIVED = ("final", "state_as_of")

RegionName = Annotated[str, Path(description="Name of the region.", max_length=100, examples=["A"])]
ExternalId = Annotated[str, Path(description="External id of the field.", max_length=200, examples=["north-forty"])]
DayText = Annotated[str, Path(description="Day, as YYYY-MM-DD.", max_length=10, examples=["2026-05-12"])]
AsOf = Annotated[
    str | None,
    Query(
        alias="as-of",
        max_length=40,
        description="As it was published at this instant (ISO 8601, with a zone). Default: now.",
        examples=["2026-06-01T08:00:00Z"],
    ),
]
Columns = Annotated[
    str | None,
    Query(
        alias="parameter-name",
        max_length=2000,
        description="Columns, with commas between; `/columns` describes them. Default: all.",
        examples=["ndvi_mean,status"],
    ),
]
Interval = Annotated[
    str | None,
    Query(
        max_length=60,
        description="A day, or A/B of two days; `..` for an open end.",
        examples=["2026-04-01/2026-06-30"],
    ),
]
ColumnName = Annotated[str, Path(description="Name of the column.", max_length=60, examples=["ndvi_mean"])]
Limit = Annotated[
    int, Query(ge=1, le=MOST_ITEMS, description=f"Items of a page, at most {MOST_ITEMS}.", examples=[100])
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=4000,
        description="Where to go on: from the link `next` of the page before.",
        examples=["Im5vcnRoLWZvcnR5Ig"],
    ),
]
FormatName = Annotated[
    str | None,
    Query(alias="f", max_length=20, description="Format; else the header Accept says it.", examples=["json"]),
]


def day_of(text: str, parameter: str = "day") -> date:
    """A day.

    Raises:
        Problem: it is none, or far from any that is watched.
    """
    try:
        day = date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise wrong(parameter, text, "a day as YYYY-MM-DD") from None
    if not MIN_DAY <= day <= MAX_DAY:
        raise wrong(parameter, text, f"a day from {MIN_DAY} to {MAX_DAY}")
    return day


def instant_of(text: str | None, parameter: str = "as-of") -> datetime | None:
    """An instant; None for now.

    Raises:
        Problem: it is none, has no zone, or is in the future.
    """
    if text is None:
        return None
    expected = "an instant in ISO 8601 with its zone, as 2026-06-01T08:00:00Z"
    try:
        # In a query, + is a blank; +02:00 that nobody encoded is meant all the same.
        instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise wrong(parameter, text, expected) from None
    if instant.tzinfo is None:
        raise wrong(parameter, text, expected, "add Z for UTC")
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        raise wrong(parameter, text, expected) from None
    if instant > datetime.now(UTC):
        raise wrong(parameter, text, "an instant of the past", "nothing can be told of the future")
    return instant


def interval_of(text: str | None) -> tuple[date | None, date | None]:
    """First and last day of `datetime`; None for an open end.

    Raises:
        Problem: it is neither a day nor a span.
    """
    if text is None:
        return None, None
    parts = text.split("/")
    if len(parts) > 2:
        raise wrong("datetime", text, "a day, or A/B of two days")
    ends = [
        None if part in ("", "..") and len(parts) == 2 else day_of(part[:10] if _is_instant(part) else part, "datetime")
        for part in parts
    ]
    first, last = ends[0], ends[-1]
    if first and last and last < first:
        raise wrong("datetime", text, "the first day before the last")
    return first, last


def _is_instant(text: str) -> bool:
    return len(text) > 10 and text[10] == "T"


def columns_of(text: str | None, default: Sequence[str] = VALUES) -> list[str]:
    """The columns of `parameter-name`, in the order of rows; the derived ones always come, so they may be named.

    Columns of further indices and bands, too, which only rows of some algorithm versions have.

    Raises:
        Problem: there is no such column.
    """
    if text is None:
        return list(default)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in DERIVED and not is_column(name):
            raise wrong("parameter-name", name, "names of columns, with commas between", "see /columns")
    if not names:
        raise wrong("parameter-name", text, "names of columns, with commas between", "see /columns")
    return [name for name in schema_of(names).names if name in names and name not in IDENTITY]


def is_column(name: str) -> bool:
    """Whether rows can have a column of a name, besides those that tell which row it is."""
    return column(name) is not None and name not in IDENTITY


def is_number(name: str) -> bool:
    """Whether a column's values are numbers."""
    known = column(name)
    return known is not None and (pa.types.is_floating(known.type) or pa.types.is_integer(known.type))


def checked_days(first: date, last: date) -> None:
    """Refuse a span that is too long for one answer.

    Raises:
        Problem: it is.
    """
    if last - first > timedelta(days=MOST_DAYS - 1):
        raise wrong("datetime", f"{first}/{last}", f"at most {MOST_DAYS} days", "ask for it in parts")


def chosen_format(f: str | None, accept: str, formats: Sequence[tuple[str, str]]) -> str:
    """The format of an answer: of `f`, else the first that the header Accept takes.

    Args:
        f: the parameter.
        accept: the header.
        formats: name and media type of each, the default first.

    Raises:
        Problem: there is none such.
    """
    names = [name for name, _ in formats]
    if f is not None:
        for name in names:
            if f.lower() == name.lower():
                return name
        raise wrong("f", f, f"one of {', '.join(names)}")
    asked = [
        part.partition(";")[0].strip().lower()
        for part in accept.split(",")
        if "q=0" not in part.replace(" ", "") or "q=0." in part
    ]
    for kind in asked:
        for name, media_type in formats:
            if kind == media_type.partition(";")[0].lower():
                return name
    if not accept or any(kind in ("*/*", "application/*", "text/html") for kind in asked):
        return names[0]
    media_types = ", ".join(media_type for _, media_type in formats)
    raise Problem(406, "No such format", f"Accept: expected one of {media_types}; or name a format with f=")
