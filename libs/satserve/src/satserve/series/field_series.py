"""A field's series: its rows of a span of days in a region, each with whether it is final."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from satcommon.db.models import Field, Region
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import Published, published
from satcommon.publication.row_columns import readable, with_slots
from satcommon.stats.result_rows import column
from sqlalchemy import Connection

from satserve.series.half_years import HalfYears
from satserve.series.snapshots import HalfYear, Snapshot

_OF_STATE, _OF_REFUSALS = "days_since_clear", "planting_date"  # for `state_as_of`; for `final`, if days are refused


@dataclass(frozen=True)
class SeriesInputs:
    """What a series is read from, of one snapshot of the ledger.

    Args:
        field: by external id.
        first: first day of the span.
        last: last day of the span.
        snapshot: what gives the rows.
        newest: whether the snapshot is the present one.
        told: what is known of their finality.
    """

    field: str
    first: date
    last: date
    snapshot: Snapshot
    newest: bool
    told: Published

    @property
    def version(self) -> str:
        """Another one where any value, or whether it is final, may be another."""
        halves = [(half, self.snapshot.versions[half]) for half in self.halves]
        withdrawn = sorted(day for day, names in self.told.withdrawn.items() if self.field in names)
        known = (self.field, self.first, self.last, halves, self.told.first_miss, self.told.refused, withdrawn)
        return hashlib.sha256(repr(known).encode()).hexdigest()[:32]

    @cached_property
    def halves(self) -> list[HalfYear]:
        """The half years of the span that have days."""
        first, last = HalfYear.of(self.first), HalfYear.of(self.last)
        return [half for half in self.snapshot.halves if first <= half <= last]

    @property
    def is_whole(self) -> bool:
        """Whether all days of these half years are within the span."""
        return self.first <= self.snapshot.first and self.snapshot.last <= self.last


def series_inputs(
    connection: Connection,
    snapshot: Snapshot,
    region: Region,
    field: Field,
    span: tuple[date, date],
    as_of: datetime | None,
) -> SeriesInputs:
    """Read what a series is read from, besides the snapshot.

    Args:
        connection: of a read transaction.
        snapshot: of the region, as of the instant.
        region: the region.
        field: the field.
        span: first and last day.
        as_of: the instant; None for now.
    """
    told = published(connection, region, *span, field, as_of, snapshot.days)
    return SeriesInputs(field.external_id, *span, snapshot, as_of is None, told)


def read_series(
    inputs: SeriesInputs, half_years: HalfYears, objects: ResultObjects, columns: Sequence[str]
) -> pa.Table:
    """A field's rows, by day, as `satctl export` gives them: `day`, the columns, `final` and `state_as_of`.

    Args:
        inputs: what is read from.
        half_years: rows that are sorted by field.
        objects: of the store.
        columns: of the rows.

    Raises:
        ObjectMissingError: an object is lost, or was removed meanwhile; read the inputs again.
        DamagedObjectError: an object is not the one that was put.
    """
    needed = (_OF_STATE, _OF_REFUSALS) if inputs.told.refused else (_OF_STATE,)
    names = list(dict.fromkeys([*with_slots(columns), *needed]))
    if inputs.halves and inputs.newest:
        rows = half_years.rows(inputs.snapshot, inputs.halves, inputs.field, names)
    else:
        rows = _by_day(inputs, objects, names)
    if not inputs.is_whole:
        is_asked = pc.and_(pc.greater_equal(rows["day"], inputs.first), pc.less_equal(rows["day"], inputs.last))
        rows = rows.filter(is_asked)
    gone = [day for day, fields in inputs.told.withdrawn.items() if inputs.field in fields]
    if gone:
        rows = rows.filter(pc.invert(pc.is_in(rows["day"], value_set=pa.array(gone, pa.date32()))))
    return readable(_finished(rows, inputs)).select(["day", *columns, "final", "state_as_of"])


def _by_day(inputs: SeriesInputs, objects: ResultObjects, names: Sequence[str]) -> pa.Table:
    """The rows of the past, of which no files are made: few ask for one instant."""
    days = [day for half in inputs.halves for day in inputs.snapshot.halves[half] if inputs.first <= day <= inputs.last]
    parts = [inputs.snapshot.days.rows(objects, day, ["day", *names], [inputs.field]) for day in days]
    empty = pa.schema([column(name) for name in ["day", *names]]).empty_table()
    return pa.concat_tables([empty, *parts]).combine_chunks()


def _finished(rows: pa.Table, inputs: SeriesInputs) -> pa.Table:
    """Rows with `final` and `state_as_of`: `row_columns.completed`, of one field and many days."""
    if inputs.told.refused:
        pairs = zip(rows["planting_date"].to_pylist(), rows["day"].to_pylist(), strict=True)
        final = pa.array([inputs.told.is_final(inputs.field, planting, day) for planting, day in pairs], pa.bool_())
    elif inputs.field in inputs.told.first_miss:  # a tenth of the time: only misses count
        final = pc.less(rows["day"], inputs.told.first_miss[inputs.field])
    else:
        final = pa.array([True] * rows.num_rows, pa.bool_())
    day, since = rows["day"].combine_chunks(), rows["days_since_clear"].combine_chunks()
    as_of = pc.subtract(day.view(pa.int32()), since).view(pa.date32())  # a cast is a computation, a view is none
    return rows.append_column("final", final).append_column("state_as_of", as_of)
