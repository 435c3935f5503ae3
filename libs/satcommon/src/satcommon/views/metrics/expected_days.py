"""How many field-days the registry expects of each region, and which part of them is settled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from satcommon.db.expectations import timelines_of_all
from satcommon.db.registry import revision


def completeness(expected: int, missed: int) -> float:
    """Settled field-days, of those that are expected; 1 where none is.

    Args:
        expected: field-days up to the watermark.
        missed: open misses, which are of such field-days, with a row or without.
    """
    return (expected - missed) / expected if expected else 1.0


class ExpectedDays:
    """Counts expected field-days; keeps the first and last day of each span of the last registry that it saw.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._known: tuple[int | None, dict[int, NDArray[np.int64]]] = (None, {})  # revision, and its spans

    def count(self, connection: Connection, until: Mapping[int, date]) -> dict[int, int]:
        """The field-days up to a day of each region, by region id.

        Args:
            connection: of a read transaction.
            until: the last day to count, by region id.
        """
        current = revision(connection)
        known, spans = self._known
        if current != known:
            spans = {
                bbox_id: np.array(
                    [(s.first.toordinal(), s.last.toordinal()) for line in lines.values() for s in line.spans], np.int64
                ).reshape(-1, 2)
                for bbox_id, lines in timelines_of_all(connection).items()
            }
            self._known = (current, spans)
        nothing = np.empty((0, 2), np.int64)
        counts = {}
        for bbox_id, last in until.items():
            first, end = spans.get(bbox_id, nothing).T
            counts[bbox_id] = int(np.maximum(np.minimum(end, last.toordinal()) - first + 1, 0).sum())
        return counts
