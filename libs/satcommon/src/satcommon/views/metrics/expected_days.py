"""How many field-days the registry expects of each region, read anew only when the registry has changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from satcommon.db.expectations import timelines_of_all
from satcommon.db.registry import revision


class ExpectedDays:
    """Counts expected field-days; keeps the first and last day of each span of the last registry that it saw."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._spans: dict[int, NDArray[np.int64]] = {}

    def count(self, connection: Connection, until: Mapping[int, date]) -> dict[int, int]:
        """The field-days up to a day of each region, by region id.

        Args:
            connection: of a read transaction.
            until: the last day to count, by region id.
        """
        current = revision(connection)
        if current != self._revision:
            self._spans = {
                bbox_id: np.array(
                    [(s.first.toordinal(), s.last.toordinal()) for line in lines.values() for s in line.spans], np.int64
                ).reshape(-1, 2)
                for bbox_id, lines in timelines_of_all(connection).items()
            }
            self._revision = current
        nothing = np.empty((0, 2), np.int64)
        counts = {}
        for bbox_id, last in until.items():
            first, end = self._spans.get(bbox_id, nothing).T
            counts[bbox_id] = int(np.maximum(np.minimum(end, last.toordinal()) - first + 1, 0).sum())
        return counts
