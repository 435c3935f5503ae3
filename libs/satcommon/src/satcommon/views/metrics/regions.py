"""Every region's freshness, completeness and backlog."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, case, func, select

from satcommon.db import ledger, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.expected import ONE_DAY
from satcommon.db.models import Miss, Publication, Refusal, Region, RegionDay
from satcommon.db.registry import aoi_of
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_day, solar_offset
from satcommon.pipeline.backlog import TRIES
from satcommon.pipeline.ready_days import ready_days_of_all
from satcommon.sources.source import Due
from satcommon.telemetry.metrics import Sample
from satcommon.views.metrics.capped import capped
from satcommon.views.metrics.expected_days import ExpectedDays, completeness

DAY_SECONDS = 86400.0
UNREADABLE = "unreadable"  # in place of a check's name, where none refused


@dataclass(frozen=True)
class _Regions:
    """The regions, and what is known of their days."""

    now: datetime
    deadlines: Deadlines
    rows: Mapping[int, Region]
    bounds: Mapping[int, Bounds]
    watermarks: Mapping[int, date]
    samples: list[Sample] = field(default_factory=list)

    def add(self, bbox_id: int, metric: str, value: float, *labels: str) -> None:
        """A figure of a region."""
        self.samples.append(Sample(f"satfields_{metric}", (self.rows[bbox_id].name, *labels), float(value)))

    def first_open(self, bbox_id: int) -> date:
        """The day that a region closes next."""
        region, last = self.rows[bbox_id], self.watermarks.get(bbox_id)
        return region.monitored_from if last is None else last + ONE_DAY

    def lag_days(self, bbox_id: int) -> int:
        """Days whose deadline has passed and that are open; a paused region has none."""
        region = self.rows[bbox_id]
        if not region.active:
            return 0
        passed = self.deadlines.last_passed(self.bounds[bbox_id], self.now)
        last = min(passed, region.monitored_until or date.max)
        return max(0, (last - self.first_open(bbox_id)).days + 1)

    def goes_on(self, bbox_id: int) -> bool:
        """Whether the region has days to come."""
        region = self.rows[bbox_id]
        return region.active and self.first_open(bbox_id) <= (region.monitored_until or date.max)

    def age(self, instant: datetime) -> float:
        """Seconds since an instant."""
        return (self.now - instant).total_seconds()


def region_samples(
    connection: Connection, deadlines: Deadlines, expected: ExpectedDays, limit: int, now: datetime
) -> list[Sample]:
    """The samples of the collector `regions`.

    Args:
        connection: of a read transaction.
        deadlines: the waiting times.
        expected: counts expected field-days, and is kept from one scrape to the next.
        limit: how many regions have series of their own: the latest, then those with the most open misses.
        now: the present.
    """
    rows = {region.bbox_id: region for region in registry.regions(connection)}
    bounds = {bbox_id: aoi_of(region).bounds for bbox_id, region in rows.items()}
    known = _Regions(now, deadlines, rows, bounds, ledger.watermarks(connection))
    missed = _backlog(connection, known)
    _completeness(connection, known, expected, missed)
    _days(connection, known)
    _withdrawn_and_refused(connection, known)
    _published(connection, known)
    urgent = sorted(rows, key=lambda bbox_id: (-known.lag_days(bbox_id), -missed[bbox_id], rows[bbox_id].name))
    samples = list(capped(known.samples, [rows[bbox_id].name for bbox_id in urgent], limit))
    active = sum(region.active for region in rows.values())
    states = (("active", active), ("paused", len(rows) - active))
    return [
        *(Sample("satfields_regions", (state,), float(count)) for state, count in states),
        *samples,
        *_ratios(samples),
    ]


def _completeness(connection: Connection, known: _Regions, expected: ExpectedDays, missed: Mapping[int, int]) -> None:
    counts = expected.count(connection, known.watermarks)
    for bbox_id in known.rows:
        count = counts.get(bbox_id, 0)
        known.add(bbox_id, "fielddays_expected", count)
        known.add(bbox_id, "fielddays_missed", missed[bbox_id])
        known.add(bbox_id, "fielddays_settled", count - missed[bbox_id])
        known.add(bbox_id, "watermark_lag_seconds", known.lag_days(bbox_id) * DAY_SECONDS)
        if known.goes_on(bbox_id):
            ended = datetime.combine(known.first_open(bbox_id), datetime.min.time(), known.now.tzinfo)
            known.add(bbox_id, "freshness_seconds", known.age(ended - solar_offset(known.bounds[bbox_id])))


def _ratios(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Settled of expected, of each region and of the united ones; 1 where nothing is expected."""
    figures = {(s.metric, s.labels[0]): s.value for s in samples if s.metric.startswith("satfields_fielddays_")}
    for (metric, region), count in figures.items():
        if metric == "satfields_fielddays_expected":
            ratio = completeness(int(count), int(figures["satfields_fielddays_missed", region]))
            yield Sample("satfields_completeness_ratio", (region,), ratio)


def _backlog(connection: Connection, known: _Regions) -> Counter[int]:
    """The open misses by what they wait for; gives their number by region id."""
    day = RegionDay
    has_scene = day.scene_digest.is_not(None)
    refused = select(Refusal.day).where(
        Refusal.bbox_id == day.bbox_id, Refusal.day == day.day, Refusal.resolved_at.is_(None)
    )
    waits = case((day.day.is_(None) | has_scene, 0), (day.answered_at.is_(None) | refused.exists(), 1), else_=0)
    due_day = case((~has_scene & (day.due == Due.DUE), day.day))
    alike = (
        Miss.bbox_id,
        Miss.cause,
        waits.label("waits"),
        due_day.label("due_day"),
        case((Miss.attempts >= TRIES, 1), else_=0).label("failed"),
    )
    statement = (
        select(*alike, func.count().label("fields"), func.min(Miss.processing_time).label("opened"))
        .outerjoin(day, (day.bbox_id == Miss.bbox_id) & (day.day == Miss.date_missed))
        .where(~Miss.processed)
        .group_by(*alike)
    )
    counts: Counter[tuple[int, str, str]] = Counter()
    oldest: dict[tuple[int, str, str], datetime] = {}
    for row in connection.execute(statement):
        awaited = row.due_day is not None and not known.deadlines.given_up(
            row.due_day, known.bounds[row.bbox_id], known.now
        )
        waits_for = "source" if row.waits or awaited else "input" if row.failed else "replay"
        key = (row.bbox_id, row.cause.value, waits_for)
        counts[key] += row.fields
        oldest[key] = min(row.opened, oldest.get(key, row.opened))
    of_region: Counter[int] = Counter()
    for (bbox_id, *labels), count in counts.items():
        of_region[bbox_id] += count
        known.add(bbox_id, "backlog_fielddays", count, *labels)
        known.add(bbox_id, "backlog_age_seconds", known.age(oldest[bbox_id, labels[0], labels[1]]), *labels)
    return of_region


def _days(connection: Connection, known: _Regions) -> None:
    """The days of each region that want something, as `region_status` tells them of one region."""
    day = RegionDay
    closed = day.closed_at.is_not(None)
    awaits = closed & (day.due == Due.DUE) & day.scene_digest.is_(None)
    lateness = timedelta(days=known.deadlines.lateness_days + 2)
    states: dict[str, Counter[int]] = defaultdict(Counter)
    for row in connection.execute(select(day.bbox_id, day.day).where(awaits, day.day >= known.now.date() - lateness)):
        late = not known.deadlines.given_up(row.day, known.bounds[row.bbox_id], known.now)
        states["waiting_for_source"][row.bbox_id] += late
    figures = select(
        day.bbox_id,
        func.max(day.answered_at).label("answered"),
        func.sum(case((closed & day.answered_at.is_(None), 1), else_=0)).label("unasked"),
        func.sum(case((~closed & (day.tries > 0), 1), else_=0)).label("failed"),
    ).group_by(day.bbox_id)
    for row in connection.execute(figures):
        states["never_asked"][row.bbox_id] += row.unasked
        states["failed"][row.bbox_id] += row.failed
        if row.answered is not None:
            known.add(row.bbox_id, "answer_age_seconds", known.age(row.answered))
    active = [region for region in known.rows.values() if region.active]
    of_name = {region.name: bbox_id for bbox_id, region in known.rows.items()}
    ready = {
        of_name[name]: {each.day for each in days}
        for name, days in ready_days_of_all(connection, active, known.deadlines, known.now)
    }
    open_days = dict(ledger.open_days(connection))
    for bbox_id, region in known.rows.items():
        states["closable"][bbox_id] = len(ready.get(bbox_id, ()))
        first, last = known.first_open(bbox_id), solar_day(known.now, known.bounds[bbox_id]) - ONE_DAY
        last = min(last, region.monitored_until or date.max)
        over = [row for each, row in open_days.get(bbox_id, {}).items() if first <= each <= last]
        answered = sum(row.answered for row in over)
        states["never_asked"][bbox_id] += max(0, (last - first).days + 1) - answered
        states["waiting_for_source"][bbox_id] += sum(
            row.due is Due.DUE and row.scene_digest is None and row.day not in ready.get(bbox_id, ()) for row in over
        )
        for state in ("closable", "waiting_for_source", "never_asked", "failed"):
            known.add(bbox_id, "regiondays", states[state][bbox_id], state)


def _withdrawn_and_refused(connection: Connection, known: _Regions) -> None:
    withdrawn = {row.bbox_id: row.field_days for row in ledger.withdrawals_of_all(connection)}
    for bbox_id in known.rows:
        known.add(bbox_id, "withdrawals", withdrawn.get(bbox_id, 0))
    refused = (
        select(
            Refusal.bbox_id,
            Refusal.check_name,
            func.count().label("items"),
            func.min(Refusal.seen_at).label("seen"),
        )
        .where(Refusal.resolved_at.is_(None))
        .group_by(Refusal.bbox_id, Refusal.check_name)
    )
    oldest: dict[int, datetime] = {}
    for row in connection.execute(refused):
        known.add(row.bbox_id, "quarantined", row.items, row.check_name or UNREADABLE)
        oldest[row.bbox_id] = min(row.seen, oldest.get(row.bbox_id, row.seen))
    for bbox_id, seen in oldest.items():
        known.add(bbox_id, "quarantine_age_seconds", known.age(seen))


def _published(connection: Connection, known: _Regions) -> None:
    statement = select(
        Publication.bbox_id,
        Publication.kind,
        func.count().label("publications"),
        func.sum(Publication.row_count).label("rows"),
    ).group_by(Publication.bbox_id, Publication.kind)
    for row in connection.execute(statement):
        known.add(row.bbox_id, "publications_total", row.publications, row.kind.value)
        known.add(row.bbox_id, "published_rows_total", row.rows, row.kind.value)
