"""What a materialization shows of a replay: the field that it changed most, before and after."""

from __future__ import annotations

import base64
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import MetadataValue

if TYPE_CHECKING:
    from satcommon.pipeline.replay import ReplayResult

FIELDS = 50  # of a run, among which the picture's is chosen: a replay may concern all of a region's


class _Day(NamedTuple):
    """Smoothed NDVI of a field before and after, and whether anything in its row changed."""

    before: float | None
    after: float | None
    changed: bool


class Changes:
    """What a run's chunks changed. Where the picture fails, a message replaces it; the run goes on."""

    def __init__(self) -> None:
        self._fields: dict[str, dict[date, _Day]] = defaultdict(dict)
        self._failure: Exception | None = None

    def add(self, computed: ReplayResult) -> None:
        """Add the rows that a committed chunk has kept."""
        try:
            self._add(computed)
        except Exception as error:  # noqa: BLE001  # shown in the picture's place
            self._failure = error

    def _add(self, computed: ReplayResult) -> None:
        """Keep the first numbers before and the last after: a later chunk may compute a day again."""
        for day, (before, after) in computed.pictured.items():
            rows_before = {row["field"]: row for row in before.to_pylist()}
            for row in after.to_pylist():
                name = row["field"]
                if name not in self._fields and len(self._fields) == FIELDS:
                    continue
                was = rows_before.get(name)
                earlier = self._fields[name].get(day)
                self._fields[name][day] = _Day(
                    before=earlier.before if earlier else was and _ndvi(was),
                    after=_ndvi(row),
                    changed=was != row or (earlier is not None and earlier.changed),
                )

    def metadata(self, region: str) -> dict[str, Any]:
        """The picture, for the metadata of a region's materialization; nothing where no row changed."""
        try:
            if self._failure is not None:
                raise self._failure
            return self._metadata(region)
        except Exception as error:  # noqa: BLE001  # shown in the picture's place
            return {"before and after": f"no picture: {type(error).__name__}: {error}"}

    def _metadata(self, region: str) -> dict[str, Any]:
        from satcommon.views.season_chart import Line, season_chart

        changed = {name: sum(day.changed for day in days.values()) for name, days in self._fields.items()}
        name = min(changed, key=lambda field: (-changed[field], field), default="")
        if not changed.get(name):
            return {}
        days = sorted(self._fields[name])
        before, after = ([getattr(self._fields[name][day], which) for day in days] for which in ("before", "after"))
        had_rows = any(ndvi is not None for ndvi in before)
        png = season_chart(
            f"{name}, region {region}: {changed[name]} of {len(days)} replayed days changed",
            [
                Line("smoothed NDVI before" if had_rows else "before: none", days, before, former=True),
                Line("after", days, after),
            ],
            span=(days[0], days[-1]),
        )
        picture = f"![NDVI before and after](data:image/png;base64,{base64.b64encode(png).decode()})"
        return {"before and after": MetadataValue.md(picture), "field in the picture": name}


def _ndvi(row: dict[str, Any]) -> float | None:
    from satcommon.stats.field_state import NDVI_SCALE

    e4 = row["ndvi_smoothed_e4"]
    return None if e4 is None else e4 / NDVI_SCALE
