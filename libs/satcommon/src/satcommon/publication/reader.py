"""Reading what is published of a region: its days' objects, and which of their rows are final."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from sqlalchemy import Connection, func, select

from satcommon.db import answers, ledger
from satcommon.db.models import Field, Miss, Region
from satcommon.errors import InputError
from satcommon.stats import result_rows
from satcommon.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Published:
    """What is published of a region's days, from one snapshot.

    Args:
        keys: of the days' objects, in day order.
        first_miss: each field's first open miss, by external id.
        refused: days, ascending, with refused acquisitions.
        withdrawn: by day, fields whose row is no longer expected and waits to be taken out.
        field: the only field to give rows of; None for all.
    """

    keys: Mapping[date, str]
    first_miss: Mapping[str, date]
    refused: Sequence[date]
    withdrawn: Mapping[date, set[str]]
    field: str | None

    def is_final(self, field: str, planting: date, day: date) -> bool:
        """Whether a row is final, as far as is known.

        That is: its field has no open miss on the day or before, and no acquisition was refused since planting.
        """
        following = bisect_left(self.refused, planting)
        taken = following == len(self.refused) or self.refused[following] > day
        return taken and day < self.first_miss.get(field, date.max)

    def rows(self, store: ObjectStore, day: date, columns: list[str] | None = None) -> pa.Table:
        """The expected rows of a day, by field; `columns` have `field` among them."""
        table = result_rows.read(store, self.keys[day], columns)
        if self.field is not None:
            table = result_rows.only(table, [self.field])
        return result_rows.without(table, sorted(self.withdrawn.get(day, ())))


def published(connection: Connection, region: Region, first: date, last: date, field: Field | None = None) -> Published:
    """What is published of a span of days, for all fields or for one.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the span.
        last: last day of the span.
        field: the only field; None for all.
    """
    chosen = [] if field is None else [Field.field_id == field.field_id]
    opened = (
        select(Field.external_id, func.min(Miss.date_missed).label("day"))
        .join(Field, Field.field_id == Miss.field_id)
        .where(Miss.bbox_id == region.bbox_id, ~Miss.processed, *chosen)
        .group_by(Field.external_id)
    )
    listed = ledger.withdrawals(connection, region.bbox_id, first, last)
    names = ledger.external_ids(connection, {field_id for field_id, _ in listed})
    withdrawn: dict[date, set[str]] = defaultdict(set)
    for field_id, day in listed:
        withdrawn[day].add(names[field_id])
    return Published(
        keys=dict(sorted(ledger.published_keys(connection, region.bbox_id, first, last).items())),
        first_miss={row.external_id: row.day for row in connection.execute(opened)},
        refused=list(answers.refusals(connection, region.bbox_id, date.min, last)),
        withdrawn=withdrawn,
        field=None if field is None else field.external_id,
    )


def closed_span(connection: Connection, region: Region) -> tuple[date, date]:
    """The region's first and last closed day.

    Raises:
        InputError: it has none yet.
    """
    first, last = ledger.first_closed_day(connection, region.bbox_id), ledger.watermark(connection, region.bbox_id)
    if first is None or last is None:
        raise InputError(f"region {region.name!r} has no closed day yet; `satctl status` tells what it waits for")
    return first, last


def checked_span(connection: Connection, region: Region, first: date | None, last: date | None) -> tuple[date, date]:
    """The span asked for, which must be closed; it defaults to the region's first and last closed days.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day asked for; None for the first closed one.
        last: last day asked for; None for the last closed one.

    Raises:
        InputError: no day is closed, one asked for is not, or the last is before the first.
    """
    earliest, latest = closed_span(connection, region)
    first, last = first or earliest, last or latest
    for option, day in (("--from", first), ("--to", last)):
        if not earliest <= day <= latest:
            raise InputError(f"{option} {day}: region {region.name!r} is closed from {earliest} to {latest}")
    if last < first:
        raise InputError(f"--to {last} is before --from {first}; expected a span of days")
    return first, last
