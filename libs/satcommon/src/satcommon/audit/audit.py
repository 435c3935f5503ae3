"""The audit: every expected field-day is settled or missed, by three independent sources.

Expected comes from the registry (spans of fields, seasons, monitored days), settled from the rows of the published
objects, missed from the open misses. The audit trusts no counter that a run wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import shapely
from sqlalchemy import Connection, Engine, select

from satcommon.db import ledger
from satcommon.db.answers import refusals, stands_for
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import timelines
from satcommon.db.expected import Timeline
from satcommon.db.membership import found_in, rectangles
from satcommon.db.models import FieldRevision, Membership, Region
from satcommon.errors import ObjectMissingError
from satcommon.stats import result_rows
from satcommon.stats.observation import NOT_ASKED
from satcommon.storage.object_store import ObjectStore

_COLUMNS = ["field", "scene_digest", "geometry_digest", "algorithm_version"]
_SHOWN = 20  # problems that are spelled out; all are counted


@dataclass
class Report:
    """What the audit of a region found, in field-days.

    `problems` names what breaks the promise: a field-day that is neither settled nor missed; a row that is neither
    expected nor listed to be withdrawn, or both; an object that is gone or differs; a gap between days; membership that
    contradicts geometry.
    """

    region: str
    first_day: date | None = None
    watermark: date | None = None
    expected: int = 0
    settled: int = 0
    missed: int = 0
    withdrawn: int = 0
    days_never_asked: int = 0  # closed days; every field expected on them is missed
    days_refused: int = 0  # closed days with a refused acquisition
    provisional: int = 0  # settled field-days of these days: their scene lacks what was refused
    refused: dict[str, dict[str, str]] = field(default_factory=dict)  # of the first of these days, reasons by item
    states: int = 0  # recomputed by the deep audit
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)
    lost: list[tuple[int, date]] = field(default_factory=list)  # (field id, day): what a repair opens as missed
    unlisted: list[tuple[int, date]] = field(default_factory=list)  # what a repair lists to be withdrawn
    keys: dict[date, str] = field(default_factory=dict)  # of the objects that were audited
    unreadable: list[date] = field(default_factory=list)  # days whose object a repair replaces with an empty one

    @property
    def clean(self) -> bool:
        """Whether nothing is lost."""
        return self.problem_count == 0

    def summary(self) -> dict[str, object]:
        """The counts and the problems, without what only a repair needs."""
        inner = ("keys", "lost", "unlisted", "unreadable")
        return {name: value for name, value in vars(self).items() if name not in inner} | {"clean": self.clean}

    def problem(self, text: str) -> None:
        """Count a problem, and spell out the first ones."""
        self.problem_count += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(text)


def audit(engine: Engine, store: ObjectStore, region: Region, progress: Callable[[], None]) -> Report:
    """Compare the three sources for a region; reads every published object. `progress` is called once a day.

    Args:
        engine: of the ledger.
        store: of the results.
        region: the region.
        progress: called once a day.
    """
    report = Report(region.name)
    with read_transaction(engine) as connection:
        _membership(connection, region, report)
        last = ledger.watermark(connection, region.bbox_id)
        if last is None:
            return report
        days = ledger.region_days(connection, region.bbox_id, date.min, last)
        lines = timelines(connection, region.bbox_id)
        misses: dict[date, set[int]] = defaultdict(set)
        for miss in ledger.misses(connection, region.bbox_id, date.min, date.max):
            misses[miss.date_missed].add(miss.field_id)
        withdrawn = ledger.withdrawals(connection, region.bbox_id, date.min, date.max)
        closed = sorted(day for day, row in days.items() if row.closed_at is not None)
        report.first_day, report.watermark = closed[0], last
        first = min(region.monitored_from, closed[0])
        if (last - first).days + 1 != len(closed):
            report.problem(f"{region.name}: days between {first} and {last} are not closed")
        refused = refusals(connection, region.bbox_id, closed[0], last)
        report.refused = {str(day): items for day, items in list(refused.items())[:_SHOWN]}
        for day in closed:
            _day(store, region, days[day], lines, misses.pop(day, set()), withdrawn, report)
            progress()
        for day, fields in misses.items():
            report.problem(f"{region.name} {day}: {len(fields)} misses on a day that is not closed")
    return report


def _day(
    store: ObjectStore,
    region: Region,
    day: ledger.Day,
    lines: dict[int, Timeline],
    missed: set[int],
    withdrawn: set[tuple[int, date]],
    report: Report,
) -> None:
    where = f"{region.name} {day.day}"
    assert day.object_key is not None, "a closed day has an object"
    report.keys[day.day] = day.object_key
    rows = _rows(store, day, day.object_key, where, report)
    if rows is None:
        report.unreadable.append(day.day)
        rows = {}
    scene = stands_for(day)
    report.days_never_asked += scene == NOT_ASKED
    report.days_refused += day.refused
    for field_id, line in lines.items():
        span = line.at(day.day)
        row = rows.pop(line.external_id, None)
        if span is None:
            if field_id in missed:
                report.problem(f"{where} {line.external_id}: missed, but not expected")
            if row is not None:
                report.withdrawn += 1
                if (field_id, day.day) not in withdrawn:
                    report.unlisted.append((field_id, day.day))
                    report.problem(f"{where} {line.external_id}: a row that is not expected, and not to be withdrawn")
            continue
        report.expected += 1
        if (field_id, day.day) in withdrawn:
            report.problem(f"{where} {line.external_id}: expected, and to be withdrawn")
        current = row is not None and (row["scene_digest"], row["geometry_digest"], row["algorithm_version"]) == (
            scene,
            span.geometry_digest,
            region.algorithm_version,
        )
        if field_id in missed:
            report.missed += 1
        elif current:
            report.settled += 1
            report.provisional += day.refused
        else:
            report.lost.append((field_id, day.day))
            if day.day in report.unreadable:
                continue  # reported once for the whole day
            state = "has no row" if row is None else "has a row of other inputs"
            report.problem(f"{where} {line.external_id}: expected, {state}, and is not missed")
    for stranger in rows:
        report.problem(f"{where} {stranger}: a row of a field that was never in the region")


def _rows(
    store: ObjectStore, day: ledger.Day, key: str, where: str, report: Report
) -> dict[str, dict[str, str]] | None:
    """The published rows by field; None if the object is gone or damaged."""
    try:
        data = store.get(key)
    except ObjectMissingError:
        report.problem(f"{where}: the published object {key} is gone")
        return None
    if result_rows.digest(data) != day.object_digest:
        report.problem(f"{where}: the object {key} is not the one that was published")
        return None
    rows = {row["field"]: row for row in result_rows.decode(data, _COLUMNS).to_pylist()}
    if len(rows) != day.row_count:
        report.problem(f"{where}: the object holds {len(rows)} fields, {day.row_count} were published")
    return rows


def _membership(connection: Connection, region: Region, report: Report) -> None:
    """Compare the stored membership with geometry."""
    shapes = connection.execute(
        select(FieldRevision.revision_id, FieldRevision.geometry).where(FieldRevision.geometry.is_not(None))
    ).all()
    box = {region.bbox_id: rectangles(connection)[region.bbox_id]}
    computed = {shapes[o.geometry].revision_id for o in found_in([shapely.from_wkb(s.geometry) for s in shapes], box)}
    stored = set(
        connection.execute(select(Membership.revision_id).where(Membership.bbox_id == region.bbox_id)).scalars()
    )
    for revision in sorted(computed ^ stored):
        state = "not stored" if revision in computed else "stored, but its polygon is elsewhere"
        report.problem(f"{region.name}: membership of revision {revision} is {state}")
