"""Repairing what an audit found: it goes back on the list, and a replay corrects it."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Engine

from satcommon.audit.audit import Report
from satcommon.db import ledger, missed_days, publications
from satcommon.db.engine import write_transaction
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause, PublicationKind
from satcommon.pipeline.inputs import expected_fields


def repair(engine: Engine, bbox_id: int, report: Report, now: datetime) -> None:
    """Open lost field-days as missed and list stray rows to be withdrawn, in one transaction.

    A day of which an object is gone or damaged is published without rows, for a replay to fill; the log says of lost
    publications that they are not to be read. A day whose scene is gone forgets what its source listed, so that the
    source is asked again, by the sensors or `satctl scenes rescan`, and the scene is stored anew. Other findings of an
    audit (gaps between closed days, membership) do not concern field-days and stay.

    Args:
        engine: of the ledger.
        bbox_id: the region.
        report: of the audit.
        now: when the loss became known.
    """
    with write_transaction(engine) as connection:
        ledger.lock_region(connection, bbox_id)
        current = publications.versions(connection, bbox_id, date.min, date.max)
        # Days with another version were replaced meanwhile.
        same = {day for day, version in report.versions.items() if current.get(day) == version}
        empty = dict.fromkeys(sorted(same.intersection(report.unreadable)), 0)
        if empty:
            new = publications.NewPublication(PublicationKind.DAY, None, empty, 0, "", Cause.PROCESSING_ERROR.value)
            publications.publish(connection, bbox_id, new, now)
        lost = {(f, day) for f, day in report.lost if day in same}
        for day in empty:
            lost |= {(f.field_id, day) for f in expected_fields(connection, bbox_id, day)}
        misses = [OpenMiss(f, day, Cause.PROCESSING_ERROR, f"audit {now.isoformat()}") for f, day in sorted(lost)]
        missed_days.open_misses(connection, bbox_id, misses, now)
        ledger.withdraw(connection, bbox_id, [(f, day) for f, day in report.unlisted if day in same], now)
        for day in report.lost_scenes:
            ledger.set_day(connection, bbox_id, day, listing=None)
        layers = publications.layers(connection, bbox_id, date.min, date.max)
        needed = {layer.sequence for of_day in layers.values() for layer in of_day}  # of days changed meanwhile
        publications.remove(connection, bbox_id, set(report.lost_publications) - needed, now)
