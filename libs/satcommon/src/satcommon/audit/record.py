"""Keeping what an audit found, for those who watch: whether it was clean, when, and what it counted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from satcommon.audit.audit import Report
from satcommon.db.engine import write_transaction
from satcommon.db.measurements import DEEP, PLAIN, measured

FIGURES = ("clean", "problems", "expected", "settled", "missed")


def record(engine: Engine, bbox_id: int, report: Report, now: datetime, *, deep: bool = False) -> None:
    """Keep an audit's figures in place of those of the last one; a deep one is a plain one too.

    Args:
        engine: of the ledger.
        bbox_id: the region.
        report: of its audit.
        now: when it ended.
        deep: whether every state was recomputed.
    """
    found = (report.clean, report.problem_count, report.expected, report.settled, report.missed)
    with write_transaction(engine) as connection:
        for depth in (PLAIN, DEEP) if deep else (PLAIN,):
            values = {f"audit/{depth}/{name}": float(value) for name, value in zip(FIGURES, found, strict=True)}
            measured(connection, bbox_id, values, now)
