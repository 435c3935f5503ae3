"""Measurements: the latest value of what is too costly for each look at the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from satcommon.db.models import Measurement
from satcommon.db.records import all_of, select_all
from satcommon.db.statement_batches import insert_rows

OF_NO_REGION = 0
PLAIN, DEEP = "plain", "deep"  # how far an audit looked


def measured(connection: Connection, bbox_id: int, values: Mapping[str, float], now: datetime) -> None:
    """Keep values in place of the last ones of their names.

    Args:
        connection: of a write transaction.
        bbox_id: the region; `OF_NO_REGION` for the whole system.
        values: by name.
        now: when they were measured.
    """
    rows = [{"name": name, "value": float(value)} for name, value in values.items()]
    same = {"bbox_id": bbox_id, "measured_at": now}

    def replace(statement: object) -> object:
        latest = {name: statement.excluded[name] for name in ("value", "measured_at")}  # type: ignore[attr-defined]
        return statement.on_conflict_do_update(index_elements=["name", "bbox_id"], set_=latest)  # type: ignore[attr-defined]

    insert_rows(connection, Measurement, rows, same, replace)


def measurements(connection: Connection) -> Sequence[Measurement]:
    """All latest values."""
    return all_of(connection, select_all(Measurement))
