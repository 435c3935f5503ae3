"""What was published of one field-day, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from satcommon.db.models import PublicationKind
from satcommon.db.publications import Layer
from satcommon.publication.objects import CAUSE, WITHDRAWN, ResultObjects
from satcommon.stats.result_rows import completed, only


@dataclass(frozen=True)
class PublishedRow:
    """A field-day's row as one publication gave it.

    Args:
        sequence: of the publication.
        committed_at: when it was committed.
        cause: why the row was (re)computed.
        run_id: of the run; empty for a command.
        row: with the columns of `stats.result_rows`; None where the publication took it out, or can't be read.
        why_not: why it can't be read; empty where it can.
    """

    sequence: int
    committed_at: datetime
    cause: str
    run_id: str
    row: pa.Table | None
    why_not: str = ""


def row_history(objects: ResultObjects, layers: Sequence[Layer], field: str) -> list[PublishedRow]:
    """The publications that gave, changed or took out a field's row of a day, oldest first.

    Args:
        objects: of the store.
        layers: all publications of the day, of `db.publications.all_layers`.
        field: by external id.

    Raises:
        ObjectMissingError: an object is lost.
        DamagedObjectError: an object is not the one that was put.
    """
    history: list[PublishedRow] = []
    for layer in layers:
        if layer.kind is PublicationKind.REBASE:
            continue
        told = (layer.sequence, layer.committed_at)
        if layer.removed_at is not None:
            why = f"removed at {layer.removed_at:%Y-%m-%d %H:%M:%S} UTC"
            history.append(PublishedRow(*told, layer.cause, layer.run_id, None, why))
        elif layer.kind is PublicationKind.PATCH:
            rows = only(objects.read_patch(layer), [field])
            if rows.num_rows:
                row = None if rows[WITHDRAWN][0].as_py() else completed(rows)
                history.append(PublishedRow(*told, rows[CAUSE][0].as_py(), layer.run_id, row))
        else:
            rows = completed(objects.read_day(layer, None, [field]))
            had_row = any(published.row is not None or published.why_not for published in history)
            if rows.num_rows or had_row:
                history.append(PublishedRow(*told, layer.cause, layer.run_id, rows if rows.num_rows else None))
    return history
