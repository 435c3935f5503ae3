"""Reading what is published of a region: the rows of its days, now or as of an instant, and which of them are final.

Every reader of published rows comes through here, realtime and replay too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import CompoundSelect, Connection, bindparam, func, literal_column, or_, select, union_all

from satcommon.db import answers, ledger
from satcommon.db.models import Field, Miss, Refusal, Region, Withdrawal
from satcommon.db.publications import NEWEST, Layer, first_commit, layers, position_at, span
from satcommon.errors import InputError, RemovedError
from satcommon.publication.objects import WITHDRAWN, ResultObjects
from satcommon.stats.result_rows import OPTIONAL, SCHEMA, completed, only, without

_FEW_ROWS = 256  # of patches: laid into the rows of the base without copying these


@dataclass(frozen=True)
class PublishedDays:
    """What gives the rows of a region's days: of each its base, then the patches over it."""

    layers: Mapping[date, Sequence[Layer]]

    def rows(
        self,
        objects: ResultObjects,
        day: date,
        columns: list[str] | None = None,
        fields: Collection[str] | None = None,
    ) -> pa.Table:
        """The rows of a day, by field; none of a day that is not published.

        Args:
            objects: of the store.
            day: the day.
            columns: to read; None for all of `SCHEMA`, and the further ones that the day's objects have.
            fields: whose rows to read; None for all.

        Raises:
            ObjectMissingError: an object is lost, or was removed meanwhile.
            DamagedObjectError: an object is not the one that was put.
        """
        found = self.layers.get(day)
        if not found:
            return completed(SCHEMA.empty_table(), columns)
        base, patches = found[0], found[1:]
        chosen = columns if columns is None or "field" in columns else ["field", *columns]
        if not patches:
            return completed(objects.read_day(base, chosen, fields), columns)
        with ThreadPoolExecutor(1) as pool:  # a base is decoded outside of Python, and takes as long as eight patches
            rows = pool.submit(objects.read_day, base, chosen, fields)
            over = [objects.read_patch(patch) for patch in patches]
        if fields is not None:
            over = [only(table, sorted(fields)) for table in over]
        return completed(overlaid(rows.result(), over), columns)


def published_days(
    connection: Connection, bbox_id: int, first: date, last: date, position: int = NEWEST
) -> PublishedDays:
    """What gives the rows of a span's days.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
        position: the sequence up to which publications count.

    Raises:
        RemovedError: a publication that is needed was removed, out of retention or lost; tells from when on none was.
    """
    found = layers(connection, bbox_id, first, last, position)
    removed = {day: layer for day, of_day in found.items() for layer in of_day if layer.removed_at is not None}
    if removed:
        day, layer = next(iter(removed.items()))
        whole = whole_since(connection, bbox_id, removed)
        raise RemovedError(
            f"{day} can't be read as it was: {layer.name} was removed at {layer.removed_at:%Y-%m-%d %H:%M:%S} UTC; "
            f"these days are whole as of {whole:%Y-%m-%dT%H:%M:%S.%fZ} and later"
        )
    return PublishedDays(found)


def whole_since(connection: Connection, bbox_id: int, days: Collection[date]) -> datetime:
    """The instant from which on no removed publication is needed for some days."""
    now = layers(connection, bbox_id, min(days), max(days))
    return max(now[day][0].committed_at for day in days)


def overlaid(base: pa.Table, patches: Sequence[pa.Table]) -> pa.Table:
    """A day's rows, by field: a later patch's row or mark wins over an earlier one and the base.

    Args:
        base: rows by field.
        patches: in their order, with the column that marks rows taken out.
    """
    if all(table.schema.equals(patches[0].schema) for table in patches):  # nearly always, and much is done once
        patches = [pa.concat_tables(patches)]
    more = {name for table in patches for name in table.column_names}.difference(base.column_names)
    columns = [*base.column_names, *(name for name in OPTIONAL if name in more)]
    over = pa.concat_tables([completed(table, [*columns, WITHDRAWN]) for table in patches])
    latest = {name: i for i, name in enumerate(over["field"].to_pylist())}
    taken_out = over[WITHDRAWN].to_pylist()
    over, base = over.select(columns), completed(base, columns)
    if len(latest) > _FEW_ROWS:
        kept = over.take(pa.array([i for i in latest.values() if not taken_out[i]], pa.int64()))
        return pa.concat_tables([without(base, list(latest)), kept]).sort_by("field").combine_chunks()
    names = base["field"].combine_chunks()
    pieces, done = [], 0
    for name, i in sorted(latest.items()):
        at = bisect_left(range(len(names)), name, key=lambda n: names[n].as_py())
        pieces.append(base.slice(done, at - done))
        done = at + (at < len(names) and names[at].as_py() == name)
        if not taken_out[i]:
            pieces.append(over.slice(i, 1))
    return pa.concat_tables([*pieces, base.slice(done)])


@dataclass(frozen=True)
class Published:
    """What is published of a region's days, from one snapshot.

    Args:
        days: what gives the rows of each day.
        first_miss: each field's first open miss, by external id.
        refused: days, ascending, with refused acquisitions.
        withdrawn: by day, fields whose row is no longer expected and waits to be taken out.
        field: the only field to give rows of; None for all.
    """

    days: PublishedDays
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

    def rows(self, objects: ResultObjects, day: date, columns: list[str] | None = None) -> pa.Table:
        """The expected rows of a day, by field; `columns` have `field` among them."""
        table = self.days.rows(objects, day, columns, None if self.field is None else [self.field])
        gone = self.withdrawn.get(day)
        return without(table, sorted(gone)) if gone else table


def published(
    connection: Connection,
    region: Region,
    first: date,
    last: date,
    field: Field | None = None,
    as_of: datetime | None = None,
    days: PublishedDays | None = None,
) -> Published:
    """What is published of a span of days, for all fields or for one.

    As of an instant, rows are those published by then, also where they waited to be taken out.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the span.
        last: last day of the span.
        field: the only field; None for all.
        as_of: the instant; None for now.
        days: what gives the rows, for who knows it; None to look it up.

    Raises:
        RemovedError: a publication that is needed was removed.
    """
    if days is None:
        position = NEWEST if as_of is None else position_at(connection, region.bbox_id, as_of)
        days = published_days(connection, region.bbox_id, first, last, position)
    if field is not None and as_of is None:
        return _published_of(connection, region, field, first, last, days)
    withdrawn: dict[date, set[str]] = defaultdict(set)
    if as_of is None:
        listed = ledger.withdrawals(connection, region.bbox_id, first, last)
        names = ledger.external_ids(connection, {field_id for field_id, _ in listed})
        for field_id, day in listed:
            withdrawn[day].add(names[field_id])
    return Published(
        days=days,
        first_miss=first_misses(connection, region, field, as_of),
        refused=list(answers.refusals(connection, region.bbox_id, date.min, last, as_of)),
        withdrawn=withdrawn,
        field=None if field is None else field.external_id,
    )


def _published_of(
    connection: Connection, region: Region, field: Field, first: date, last: date, days: PublishedDays
) -> Published:
    """What is published of one field now, by one statement: a series is asked for often."""
    given = {"region": region.bbox_id, "field": field.field_id, "first": first, "last": last}
    known: dict[str, list[date]] = {"miss": [], "refused": [], "withdrawn": []}
    for kind, day in connection.execute(_KNOWN_OF_FIELD, given):
        if day is not None:
            known[kind].append(day)
    return Published(
        days=days,
        first_miss={field.external_id: known["miss"][0]} if known["miss"] else {},
        refused=sorted(set(known["refused"])),
        withdrawn={day: {field.external_id} for day in known["withdrawn"]},
        field=field.external_id,
    )


_KNOWN_OF_FIELD: CompoundSelect[Any] = union_all(
    select(literal_column("'miss'").label("kind"), func.min(Miss.date_missed).label("day")).where(
        Miss.bbox_id == bindparam("region"), Miss.field_id == bindparam("field"), ~Miss.processed
    ),
    select(literal_column("'refused'"), Refusal.day).where(
        Refusal.bbox_id == bindparam("region"), Refusal.day <= bindparam("last"), Refusal.resolved_at.is_(None)
    ),
    select(literal_column("'withdrawn'"), Withdrawal.day).where(
        Withdrawal.bbox_id == bindparam("region"),
        Withdrawal.field_id == bindparam("field"),
        Withdrawal.day.between(bindparam("first"), bindparam("last")),
    ),
)


def first_misses(
    connection: Connection, region: Region, field: Field | None, as_of: datetime | None
) -> dict[str, date]:
    """The first miss of each field that has one open, by external id.

    Args:
        connection: of a read transaction.
        region: the region.
        field: the only field; None for all.
        as_of: the instant; None for now.
    """
    chosen = [] if field is None else [Field.field_id == field.field_id]
    if as_of is None:
        is_open = [~Miss.processed]
    else:
        is_open = [Miss.processing_time <= as_of, or_(Miss.resolved_time.is_(None), Miss.resolved_time > as_of)]
    opened = (
        select(Field.external_id, func.min(Miss.date_missed).label("day"))
        .join(Field, Field.field_id == Miss.field_id)
        .where(Miss.bbox_id == region.bbox_id, *is_open, *chosen)
        .group_by(Field.external_id)
    )
    return {row.external_id: row.day for row in connection.execute(opened)}


def closed_span(connection: Connection, region: Region, as_of: datetime | None = None) -> tuple[date, date]:
    """The region's first and last closed day, now or as of an instant.

    Raises:
        InputError: it has, or had, none yet.
    """
    if as_of is None:
        first, last = ledger.first_closed_day(connection, region.bbox_id), ledger.watermark(connection, region.bbox_id)
    else:
        first, last = span(connection, region.bbox_id, position_at(connection, region.bbox_id, as_of))
    if first is None or last is None:
        if as_of is not None and (opening := first_commit(connection, region.bbox_id)) is not None:
            raise InputError(
                f"--as-of {as_of:%Y-%m-%dT%H:%M:%SZ} is before the first publication of region {region.name!r}, "
                f"at {opening:%Y-%m-%dT%H:%M:%SZ}"
            )
        raise InputError(f"region {region.name!r} has no closed day yet; `satctl status` tells what it waits for")
    return first, last


def checked_span(
    connection: Connection, region: Region, first: date | None, last: date | None, as_of: datetime | None = None
) -> tuple[date, date]:
    """The span asked for, which must be closed; it defaults to the region's first and last closed days.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day asked for; None for the first closed one.
        last: last day asked for; None for the last closed one.
        as_of: the instant; None for now.

    Raises:
        InputError: no day is closed, one asked for is not, or the last is before the first.
    """
    earliest, latest = closed_span(connection, region, as_of)
    first, last = first or earliest, last or latest
    for option, day in (("--from", first), ("--to", last)):
        if not earliest <= day <= latest:
            raise InputError(f"{option} {day}: region {region.name!r} is closed from {earliest} to {latest}")
    if last < first:
        raise InputError(f"--to {last} is before --from {first}; expected a span of days")
    return first, last
