"""Repairing what an audit found: it goes back on the list, and the replay puts it right."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from satcommon import results
from satcommon.audit import Report
from satcommon.db import ledger
from satcommon.db.engine import writing
from satcommon.db.ledger import OpenMiss
from satcommon.db.models import Cause
from satcommon.objects import ObjectStore


def repair(engine: Engine, store: ObjectStore, bbox_id: int, report: Report, now: datetime) -> None:
    """Open lost field-days as missed and list stray rows to be withdrawn, in one transaction.

    A day whose object is gone or spoilt gets one without rows, so that a replay has something to write into. What an
    audit finds besides (gaps between closed days, membership) is no matter of field-days, and stays as it is.
    """
    data = results.encode(results.empty())
    keys = {day: results.new_key(bbox_id, day) for day in report.unreadable}
    for key in keys.values():
        store.put(key, data)
    with writing(engine) as connection:
        ledger.lock_region(connection, bbox_id)
        for day, key in keys.items():
            ledger.set_day(connection, bbox_id, day, object_key=key, object_digest=results.digest(data), row_count=0)
        lost = [OpenMiss(f, day, Cause.PROCESSING_ERROR, f"audit {now.isoformat()}") for f, day in report.lost]
        ledger.open_misses(connection, bbox_id, lost, now)
        ledger.withdraw(connection, bbox_id, report.unlisted, now)
