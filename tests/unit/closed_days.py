"""Days closed without rows, for what reads no rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from satcommon.db import ledger
from satcommon.db.models import PublicationKind
from satcommon.db.publications import NewPublication, publish
from sqlalchemy import Connection


def close_days(connection: Connection, bbox_id: int, days: Sequence[date], now: datetime, **values: Any) -> None:
    """Close days in one publication without an object.

    Args:
        connection: of a write transaction.
        bbox_id: the region.
        days: the days.
        now: when they are closed.
        values: further columns of the days.
    """
    for day in days:
        ledger.set_day(connection, bbox_id, day, closed_at=now, **values)
    publish(
        connection, bbox_id, NewPublication(PublicationKind.DAY, None, dict.fromkeys(days, 0), 0, "", "closed"), now
    )
