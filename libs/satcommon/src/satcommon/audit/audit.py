"""The audit: every expected field-day is settled or missed, by three independent sources.

Expected comes from the registry (spans of fields, seasons, monitored days), settled from the rows of the published
objects, missed from the open misses. The audit trusts no counter that a run wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import shapely
from sqlalchemy import Connection, Engine, select

from satcommon.db import ledger, missed_days
from satcommon.db.answers import refusals, stands_for
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import timelines
from satcommon.db.expected import Timeline
from satcommon.db.membership import found_in, rectangles
from satcommon.db.models import FieldRevision, Membership, Publication, Region, Scene
from satcommon.db.publications import publications
from satcommon.errors import DamagedObjectError, ObjectMissingError
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import PublishedDays, published_days
from satcommon.stats.observation import NOT_ASKED
from satcommon.storage.object_store import ObjectStore

_COLUMNS = ["field", "scene_digest", "geometry_digest", "algorithm_version"]
_SHOWN = 20  # problems that are spelled out; all are counted


@dataclass
class Report:
    """What the audit of a region found, in field-days.

    `problems` names what breaks the promise: a field-day that is neither settled nor missed; a row that is neither
    expected nor listed to be withdrawn, or both; an object, or a day's scene, that is gone or differs; a gap between
    days; membership that contradicts geometry.
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
    publications: int = 0  # in the log
    versions: dict[date, int] = field(default_factory=dict)  # of the days that were audited
    unreadable: list[date] = field(default_factory=list)  # days that a repair publishes without rows
    lost_publications: list[int] = field(default_factory=list)  # whose object is gone or differs
    lost_scenes: list[date] = field(default_factory=list)  # days whose scene is gone: a repair has it fetched again

    @property
    def clean(self) -> bool:
        """Whether nothing is lost."""
        return self.problem_count == 0

    def summary(self) -> dict[str, object]:
        """The counts and the problems, without what only a repair needs."""
        inner = ("versions", "lost", "lost_publications", "lost_scenes", "unlisted", "unreadable")
        return {name: value for name, value in vars(self).items() if name not in inner} | {"clean": self.clean}

    def problem(self, text: str) -> None:
        """Count a problem, and spell out the first ones."""
        self.problem_count += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(text)


def audit(engine: Engine, store: ObjectStore, region: Region, progress: Callable[[], None]) -> Report:
    """Compare the three sources for a region; reads the rows of every day, and looks for every object of the log.

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
        published = published_days(connection, region.bbox_id, date.min, last)
        publications_of_region = publications(connection, region.bbox_id)
        lines = timelines(connection, region.bbox_id)
        misses: dict[date, set[int]] = defaultdict(set)
        for miss in missed_days.misses(connection, region.bbox_id, date.min, date.max):
            misses[miss.date_missed].add(miss.field_id)
        withdrawn = ledger.withdrawals(connection, region.bbox_id, date.min, date.max)
        closed = sorted(day for day, row in days.items() if row.closed_at is not None)
        report.first_day, report.watermark = closed[0], last
        first = min(region.monitored_from, closed[0])
        if (last - first).days + 1 != len(closed):
            report.problem(f"{region.name}: days between {first} and {last} are not closed")
        refused = refusals(connection, region.bbox_id, closed[0], last)
        report.refused = {str(day): items for day, items in list(refused.items())[:_SHOWN]}
        objects = ResultObjects(store)
        _log(store, region, publications_of_region, report)
        _scenes(store, region, ledger.current_scenes(connection, region.bbox_id, date.min, date.max), report)
        for day in closed:
            rows = _rows(objects, published, days[day], f"{region.name} {day}", report)
            _day(region, days[day], rows, lines, misses.pop(day, set()), withdrawn, report)
            progress()
        for day, fields in misses.items():
            report.problem(f"{region.name} {day}: {len(fields)} misses on a day that is not closed")
    return report


def _log(store: ObjectStore, region: Region, log: Sequence[Publication], report: Report) -> None:
    """Every object that the log names is there; those of current rows are read besides."""
    stored = store.put_times(f"results/{region.bbox_id}/")
    report.publications = len(log)
    for number, publication in enumerate(log, start=1):
        if publication.sequence != number:
            report.problem(f"{region.name}: publication {number} is missing from the log")
            break
    for publication in log:
        key = publication.object_key
        if key is not None and key not in stored and publication.removed_at is None:
            report.lost_publications.append(publication.sequence)
            report.problem(
                f"{region.name} {publication.first_day}..{publication.last_day}: the object {key} of publication "
                f"{publication.sequence} ({publication.kind.value}) is gone"
            )


def _scenes(store: ObjectStore, region: Region, scenes: Mapping[date, Scene], report: Report) -> None:
    """The scene of every day is there: what is late on the day needs it."""
    stored = store.listing(f"scenes/{region.bbox_id}/")
    for day, scene in scenes.items():
        if scene.object_key not in stored:
            report.lost_scenes.append(day)
            report.problem(f"{region.name} {day}: the object {scene.object_key} of the day's scene is gone")


def _day(
    region: Region,
    day: ledger.Day,
    rows: dict[str, dict[str, str]] | None,
    lines: dict[int, Timeline],
    missed: set[int],
    withdrawn: set[tuple[int, date]],
    report: Report,
) -> None:
    where = f"{region.name} {day.day}"
    assert day.version is not None, "a closed day is published"
    report.versions[day.day] = day.version
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
    objects: ResultObjects, published: PublishedDays, day: ledger.Day, where: str, report: Report
) -> dict[str, dict[str, str]] | None:
    """The published rows by field; None if an object is gone or damaged."""
    for layer in published.layers.get(day.day, ()):
        if layer.sequence in report.lost_publications:
            return None
        try:
            objects.check(layer)
        except DamagedObjectError:
            report.lost_publications.append(layer.sequence)
            report.problem(f"{where}: the object {layer.object_key} of {layer.name} is not the one that was published")
            return None
        except ObjectMissingError:  # within the moment since the log was compared with the store
            report.problem(f"{where}: the object {layer.object_key} of {layer.name} is gone")
            return None
    rows = {row["field"]: row for row in published.rows(objects, day.day, _COLUMNS).to_pylist()}
    if len(rows) != day.row_count:
        report.problem(f"{where}: {len(rows)} fields have rows, {day.row_count} were published")
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
