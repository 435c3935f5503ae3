"""The story of a field's row of a day: what stands, what was published, and what the ledger has on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from satcommon.db.engine import read_transaction
from satcommon.db.models import Field, Region
from satcommon.db.publications import NEWEST, all_layers, position_at
from satcommon.publication.reader import Published, published
from satcommon.publication.row_columns import completed, readable_row
from satcommon.publication.row_history import PublishedRow, row_history
from satcommon.views.field_day import FieldDay, field_day
from satcommon.views.provenance import Records, provenance

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from satcommon.db.deadlines import Deadlines
    from satcommon.publication.objects import ResultObjects


@dataclass(frozen=True)
class RowStory:
    """How a row came about.

    Args:
        stands: the status of the field-day; None as of an instant.
        row: with `final` and `state_as_of`, also one that waits to be taken out; None where there is none.
        given: the publications that gave, changed or took out the row, oldest first.
        records: misses, attempts, scenes, decisions, revisions, seasons.
    """

    stands: FieldDay | None
    row: dict[str, Any] | None
    given: list[PublishedRow]
    records: Records

    @property
    def publications(self) -> list[dict[str, Any]]:
        """The publications as records, with all columns of the row."""
        return [_record(each) for each in self.given]


def row_story(
    engine: Engine,
    objects: ResultObjects,
    field: Field,
    region: Region,
    day: date,
    as_of: datetime | None,
    asked: tuple[Deadlines, datetime],
) -> RowStory:
    """The story of a field's row of a day.

    Args:
        engine: of the ledger.
        objects: of the store.
        field: the field.
        region: the region.
        day: the day.
        as_of: the instant; None for now.
        asked: the waiting times, and the present.

    Raises:
        InputError: a publication that is needed was removed.
        ObjectMissingError: an object is lost.
        DamagedObjectError: an object is not the one that was put.
    """
    with read_transaction(engine) as connection:
        records = provenance(connection, field.field_id, region.bbox_id, day)
        position = NEWEST if as_of is None else position_at(connection, region.bbox_id, as_of)
        layers = all_layers(connection, region.bbox_id, day, position)
        days = published(connection, region, day, day, field, as_of)
        row = _row(days, objects, day)
        stands = None
        if as_of is None:
            stands = field_day(connection, field, region, day, *asked, has_row=row is not None)
    return RowStory(stands, row, row_history(objects, layers, field.external_id), records)


def _row(days: Published, objects: ResultObjects, day: date) -> dict[str, Any] | None:
    rows = days.days.rows(objects, day, None, [str(days.field)])
    return readable_row(completed(rows, day, days)) if rows.num_rows else None


def _record(published_row: PublishedRow) -> dict[str, Any]:
    row = published_row.row
    told = {"run_id": published_row.run_id or None, "why_not": published_row.why_not or None}
    return vars(published_row) | told | {"row": None if row is None else readable_row(row)}
