"""Repairing what an audit found: it goes back on the list, and a replay corrects it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Engine

from satcommon.audit.audit import Report
from satcommon.db import ledger
from satcommon.db.engine import write_transaction
from satcommon.db.ledger import OpenMiss
from satcommon.db.models import Cause
from satcommon.pipeline.inputs import expected_fields
from satcommon.stats import result_rows
from satcommon.storage.object_store import ObjectStore


def repair(engine: Engine, store: ObjectStore, bbox_id: int, report: Report, now: datetime) -> None:
    """Open lost field-days as missed and list stray rows to be withdrawn, in one transaction.

    A day whose object is gone or damaged gets an empty one, for a replay to fill. Other findings of an audit (gaps
    between closed days, membership) do not concern field-days and stay.

    Args:
        engine: of the ledger.
        store: of scenes and results.
        bbox_id: the region.
        report: of the audit.
        now: when the loss became known.
    """
    data = result_rows.encode(result_rows.empty())
    keys = {day: result_rows.new_key(bbox_id, day, data) for day in report.unreadable}
    for key in keys.values():
        store.put(key, data)
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, bbox_id)
        current = ledger.published_keys(connection, bbox_id, date.min, date.max)
        same = {day for day, key in report.keys.items() if current.get(day) == key}  # others were replaced meanwhile
        for day, key in keys.items():
            if day in same:
                digest = result_rows.digest(data)
                ledger.set_day(connection, bbox_id, day, object_key=key, object_digest=digest, row_count=0)
        lost = {(f, day) for f, day in report.lost if day in same}
        for day in same.intersection(keys):
            lost |= {(f.field_id, day) for f in expected_fields(connection, bbox_id, day)}
        misses = [OpenMiss(f, day, Cause.PROCESSING_ERROR, f"audit {now.isoformat()}") for f, day in sorted(lost)]
        ledger.open_misses(connection, bbox_id, misses, now)
        ledger.withdraw(connection, bbox_id, [(f, day) for f, day in report.unlisted if day in same], now)
