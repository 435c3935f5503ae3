"""A field's season as it is published in its home region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from satcommon.db import fields, registry
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import timelines
from satcommon.db.models import Attempt, Field, ProcessingType, Region, Season
from satcommon.errors import InputError
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import checked_span, closed_span, published
from satcommon.stats.field_state import NDVI_SCALE
from satcommon.stats.result_rows import SEEN, Status
from satcommon.storage.object_store import ObjectStore

_COLUMNS = ["field", "planting_date", "status", "ndvi_mean", "ndvi_smoothed_e4"]


@dataclass(frozen=True)
class FieldDays:
    """Where a field's days are: in its home region, first and last included."""

    field: Field
    region: Region
    first: date
    last: date


@dataclass(frozen=True)
class FieldSeason:
    """NDVI of a field, day by day; a day without a row is left out.

    Args:
        external_id: the field's.
        region: the name of its home region.
        first: the first day asked for.
        last: the last one.
        days: that have a row, ascending.
        status: of each row.
        ndvi: mean over the clear cells of each row; None where none of the field was seen clear.
        smoothed: after each day; None before the first clear observation.
        missing: closed days on which the field is expected, and that have no row.
        final_before: the first day that is missed, or whose row is not final; None where all is final.
        recomputed: days whose row a replay has written, as far as the attempts on record tell.
    """

    external_id: str
    region: str
    first: date
    last: date
    days: Sequence[date]
    status: Sequence[Status]
    ndvi: Sequence[float | None]
    smoothed: Sequence[float | None]
    missing: Sequence[date]
    final_before: date | None
    recomputed: Sequence[date]


def field_days(
    connection: Connection,
    external_id: str,
    first: date | None,
    last: date | None,
    as_of: datetime | None = None,
) -> FieldDays:
    """The closed days of a field's current season, or those asked for, in its home region of the last one.

    Args:
        connection: of a read transaction.
        external_id: the field's.
        first: first day asked for; None for the season's first.
        last: last day asked for; None for the season's last.
        as_of: the instant; None for now.

    Raises:
        InputError: there is no such field, it is in no region, or a day asked for is not closed.
    """
    field = fields.field(connection, external_id)
    home = fields.home(connection, field.field_id, last or date.max)
    if home is None:
        raise InputError(f"field {external_id!r} is in no region; `satctl fields show` tells where it lies")
    region = registry.region(connection, home)
    earliest, latest = closed_span(connection, region, as_of)
    planting, end = field.planting_date, _season_end(connection, field)
    in_season = max(planting, earliest), min(end or latest, latest)
    if in_season[1] < in_season[0] and not (first and last):
        raise InputError(
            f"field {external_id!r}: no day of its season {planting}..{end or ''} is closed in region {home!r}, "
            f"which is closed from {earliest} to {latest}; name other days with --from and --to"
        )
    return FieldDays(
        field, region, *checked_span(connection, region, first or in_season[0], last or in_season[1], as_of)
    )


def _season_end(connection: Connection, field: Field) -> date | None:
    statement = select(Season.end_date).where(
        Season.field_id == field.field_id, Season.planting_date == field.planting_date
    )
    return connection.execute(statement).scalar()


def season_of(
    engine: Engine,
    store: ObjectStore,
    external_id: str,
    first: date | None = None,
    last: date | None = None,
    as_of: datetime | None = None,
) -> FieldSeason:
    """What is published of a field's current season, or of the days asked for.

    Args:
        engine: of the ledger.
        store: of scenes and results.
        external_id: the field's.
        first: first day asked for; None for the season's first.
        last: last day asked for; None for the season's last.
        as_of: the instant; None for now.

    Raises:
        InputError: as `field_days`.
        ObjectMissingError: an object is lost, or was removed meanwhile; ask again.
    """
    with read_transaction(engine) as connection:
        span = field_days(connection, external_id, first, last, as_of)
        series = published(connection, span.region, span.first, span.last, span.field, as_of)
        replayed = _replayed(connection, span, as_of)
        expected = _expected(connection, span)
    days: list[date] = []
    rows: list[dict[str, Any]] = []
    objects = ResultObjects(store)
    for day in series.days.layers:
        for row in series.rows(objects, day, _COLUMNS).to_pylist():
            days.append(day)
            rows.append(row)
    status = [Status(row["status"]) for row in rows]
    plantings = zip(days, [row["planting_date"] for row in rows], strict=True)
    not_final = [day for day, planting in plantings if not series.is_final(external_id, planting, day)]
    missed = series.first_miss.get(external_id)
    return FieldSeason(
        external_id=external_id,
        region=span.region.name,
        first=span.first,
        last=span.last,
        days=days,
        status=status,
        ndvi=[row["ndvi_mean"] if s in SEEN else None for s, row in zip(status, rows, strict=True)],
        smoothed=[None if (e4 := row["ndvi_smoothed_e4"]) is None else e4 / NDVI_SCALE for row in rows],
        missing=[day for day in expected if day not in set(days)],
        final_before=min([*not_final, *([missed] if missed else [])], default=None),
        recomputed=[day for day in days if day in replayed],
    )


def _expected(connection: Connection, span: FieldDays) -> list[date]:
    line = timelines(connection, span.region.bbox_id, [span.field.field_id])[span.field.field_id]
    days = range(span.first.toordinal(), span.last.toordinal() + 1)
    return [day for day in map(date.fromordinal, days) if line.at(day) is not None]


def _replayed(connection: Connection, span: FieldDays, as_of: datetime | None) -> set[date]:
    """The days that a replay computed without an error; days whose attempts were removed are not among them."""
    statement = select(Attempt.day).where(
        Attempt.field_id == span.field.field_id,
        Attempt.bbox_id == span.region.bbox_id,
        Attempt.day >= span.first,
        Attempt.day <= span.last,
        Attempt.processing_type == ProcessingType.REPROCESSING,
        Attempt.error_code.is_(None),
        *([] if as_of is None else [Attempt.created_at <= as_of]),
    )
    return set(connection.execute(statement).scalars())
