"""Changes: each value that a publication changed, once and in order, with the value before and after.

A rebase changes nothing. A day's first publication is listed only if asked for; a row that a replay adds to a published
day is a change without a value before. A row that is taken out is one without values after.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from satcommon.db.engine import read_transaction
from satcommon.db.models import Publication, PublicationKind, Region
from satcommon.db.publications import Layer, correcting_publications, days_of, layer_of
from satcommon.errors import InputError, RemovedError
from satcommon.publication.objects import CAUSE, WITHDRAWN, ResultObjects
from satcommon.publication.reader import PublishedDays, published_days, whole_since
from satcommon.stats import result_rows
from satcommon.stats.result_rows import IDENTITY, VALUES, completed, only, schema_of

SCHEMA_OF_CHANGES = pa.schema(
    [
        pa.field("region", pa.string()),
        pa.field("field", pa.string()),
        pa.field("day", pa.date32()),
        pa.field("column", pa.string()),
        pa.field("before", pa.string()),
        pa.field("after", pa.string()),
        pa.field("cause", pa.string()),
        pa.field("run", pa.string()),
        pa.field("committed_at", pa.timestamp("us", tz="UTC")),
        pa.field("sequence", pa.int64()),
    ]
)
"""A change: `before` and `after` are text (null without a value), numbers in full precision, lists as JSON; `sequence`
is that of the publication within its region."""

_FIELDS = 2000  # of a day are compared at a time


@dataclass(frozen=True)
class Selection:
    """Which changes are listed.

    Args:
        field: of this field alone, by external id; None for all.
        columns: of these columns; none for all.
        new: also days' first publications.
    """

    field: str | None = None
    columns: Sequence[str] = ()
    new: bool = False


def checked_columns(names: Sequence[str]) -> Sequence[str]:
    """The columns asked for, if they are columns.

    Raises:
        InputError: there is no such column.
    """
    unknown = [name for name in names if name in IDENTITY or result_rows.column(name) is None]
    if unknown:
        known = ", ".join(VALUES)
        raise InputError(
            f"--column {unknown[0]}: rows have no such column; expected one of {known}, "
            "or of further indices, as evi_mean"
        )
    return names


def changes(
    engine: Engine, objects: ResultObjects, region: Region, since: int, until: int, selection: Selection
) -> Iterator[pa.Table]:
    """A region's changes, in the order of its publications, as tables of `SCHEMA_OF_CHANGES`.

    Within a publication they are ordered by day, field and column. Memory is bounded by a publication's object, the
    rows of a day, and the changes of 2,000 fields.

    Args:
        engine: of the ledger.
        objects: of the store.
        region: the region.
        since: sequence of the last publication before.
        until: sequence of the last publication.
        selection: which are listed.

    Raises:
        RemovedError: a publication that is needed was removed; tells from which instant on none was.
        ObjectMissingError: an object is lost.
        DamagedObjectError: an object is not the one that was put.
    """
    with read_transaction(engine) as connection:
        log = correcting_publications(connection, region.bbox_id, since, until, new=selection.new)
    for publication in log:
        with read_transaction(engine) as connection:
            days = days_of(connection, publication)
            if publication.removed_at is not None:
                whole = whole_since(connection, region.bbox_id, days)
                raise RemovedError(
                    f"region {region.name!r}: publication {publication.sequence} was removed at "
                    f"{publication.removed_at:%Y-%m-%dT%H:%M:%SZ}, so its changes can't be told; "
                    f"begin with --since {whole:%Y-%m-%dT%H:%M:%S.%fZ}"
                )
            before = published_days(connection, region.bbox_id, days[0], days[-1], publication.sequence - 1)
        for day in days:
            yield from _of_day(objects, publication, before, day, selection)


def _of_day(
    objects: ResultObjects,
    publication: Publication,
    before: PublishedDays,
    day: date,
    selection: Selection,
) -> Iterator[pa.Table]:
    if day not in before.layers and not selection.new:
        return
    rows, causes = _changed_rows(objects, layer_of(publication, day), before, selection.field)
    names = sorted(causes)
    columns = ["region", "field", *selection.columns] if selection.columns else None
    was = before.rows(objects, day, columns, names)
    if columns is None:
        all_names = schema_of([*was.column_names, *rows.column_names]).names
        columns = ["region", "field", *(name for name in all_names if name not in IDENTITY)]
    was, rows = completed(was, columns), completed(rows, columns)
    for start in range(0, len(names), _FIELDS):
        some = names[start : start + _FIELDS]
        yield _compared(publication, day, _among(was, some), _among(rows, some), {name: causes[name] for name in some})


def _among(table: pa.Table, fields: Sequence[str]) -> pa.Table:
    """The rows between the first and the last of some fields; both are sorted, so that nothing else is looked at."""
    names = table["field"]
    start = bisect_left(range(len(names)), fields[0], key=lambda n: names[n].as_py())
    end = bisect_right(range(len(names)), fields[-1], key=lambda n: names[n].as_py())
    return table.slice(start, end - start)


def _changed_rows(
    objects: ResultObjects, layer: Layer, before: PublishedDays, field: str | None
) -> tuple[pa.Table, dict[str, str]]:
    """The rows after a publication, and the cause of each field's change, also of fields without a row after it."""
    chosen: Collection[str] | None = None if field is None else [field]
    if layer.kind is PublicationKind.PATCH:
        patch = objects.read_patch(layer)
        patch = patch if chosen is None else only(patch, list(chosen))
        causes = dict(zip(patch["field"].to_pylist(), patch[CAUSE].to_pylist(), strict=True))
        return completed(patch.filter(pc.invert(patch[WITHDRAWN]))), causes
    rows = completed(objects.read_day(layer, None, chosen))
    gone = before.rows(objects, layer.day, ["field"], chosen)["field"].to_pylist()
    return rows, dict.fromkeys([*rows["field"].to_pylist(), *gone], layer.cause)


def _compared(
    publication: Publication, day: date, before: pa.Table, after: pa.Table, causes: dict[str, str]
) -> pa.Table:
    """The changes of some fields of a day; both tables are of these fields alone."""
    names = sorted(causes)
    indices = [pc.index_in(pa.array(names), value_set=table["field"].combine_chunks()) for table in (before, after)]
    region = next((table["region"][0].as_py() for table in (after, before) if table.num_rows), "")
    parts = []
    for column in after.column_names[2:]:
        was, now = (
            _texts(table[column].combine_chunks()).take(index)
            for table, index in zip((before, after), indices, strict=True)
        )
        same = pc.equal(was, now).fill_null(False)  # noqa: FBT003  # Arrow's signature
        both_null = pc.and_(pc.is_null(was), pc.is_null(now))
        [changed] = np.nonzero(~pc.or_(same, both_null).to_numpy(zero_copy_only=False))
        at = pa.array(changed)
        fields = pa.array(names).take(at)
        parts.append(
            {
                "field": fields,
                "column": pa.array([column] * len(at), pa.string()),
                "before": was.take(at),
                "after": now.take(at),
                "cause": pa.array([causes[name] for name in fields.to_pylist()], pa.string()),
            }
        )
    count = sum(len(part["field"]) for part in parts)
    joined = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
    joined |= {
        "region": pa.array([region] * count, pa.string()),
        "day": pa.array([day] * count, pa.date32()),
        "run": pa.array([publication.run_id] * count, pa.string()),
        "committed_at": pa.array([publication.committed_at] * count, pa.timestamp("us", tz="UTC")),
        "sequence": pa.array([publication.sequence] * count, pa.int64()),
    }
    table = pa.table([joined[name] for name in SCHEMA_OF_CHANGES.names], schema=SCHEMA_OF_CHANGES)
    return table.sort_by([("field", "ascending"), ("column", "ascending")])


def _texts(column: pa.Array) -> pa.Array:
    """Values as text: the same text for the same value only."""
    if pa.types.is_list(column.type):
        return pa.array([None if value is None else json.dumps(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, "%Y-%m-%dT%H:%M:%SZ")
    return column.cast(pa.string())


def value_of(column: str, text: str | None) -> object:
    """A change's `before` or `after` as a value: a number, a list, or the text."""
    return None if text is None else _reader_of(column)(text)


@cache
def _reader_of(column: str) -> Callable[[str], object]:
    known = result_rows.column(column)
    assert known is not None
    if pa.types.is_floating(known.type):
        return float
    if pa.types.is_integer(known.type):
        return int
    return json.loads if pa.types.is_list(known.type) else str
