"""The metrics of regions: what the status of each says, by a number of queries that knows no regions."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
import shapely
from satcommon.db import fields, ledger, missed_days, registry
from satcommon.db.answers import refuse
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.expectations import timelines
from satcommon.db.missed_days import OpenMiss
from satcommon.db.models import Cause
from satcommon.geo.grid import Bounds, Grid
from satcommon.sources.source import Due
from satcommon.stats.algorithm import CURRENT
from satcommon.telemetry.metrics import BY_NAME, OTHER, REGIONS, Rest, Sample
from satcommon.views.metrics.expected_days import ExpectedDays
from satcommon.views.metrics.regions import region_samples
from satcommon.views.region_status import RegionStatus, region_status
from sqlalchemy import Engine, event

from tests.unit.closed_days import close_days

NOW = datetime(2026, 6, 20, 9, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)
START = NOW.date() - timedelta(days=20)
DAY = timedelta(days=1)
KINDS = 7


def crowd(engine: Engine, first: int, last: int) -> None:
    """Regions of seven kinds in turn, with ten closed days or fewer, and a field or two."""
    for n in range(first, last):
        with write_transaction(engine) as connection:
            west = 0.05 * n
            bounds = Bounds(west, 45.0, west + 0.03, 45.03)
            registry.add_region(
                connection, f"R{n:02}", bounds, Grid.utm(bounds, 500.0), START, None, CURRENT, NOW - 60 * DAY
            )
            bbox_id = registry.region(connection, f"R{n:02}").bbox_id
            squares = [
                fields.NewField(
                    f"{n}-{i}", f"{n}", shapely.box(west + 0.005, 45.005, west + 0.015, 45.015), START + i * DAY
                )
                for i in range(1 + n % 2)
            ]
            fields.register_fields(connection, squares, NOW - 55 * DAY)
            closed = [START + i * DAY for i in range(10 - n % KINDS)]
            asked = {"answered_at": NOW - 9 * DAY, "due": Due.NOT_DUE}
            close_days(connection, bbox_id, closed, NOW - 8 * DAY, **asked)
            _make_trouble(connection, bbox_id, n % KINDS, closed[-1])


def _make_trouble(connection, bbox_id: int, kind: int, last) -> None:  # type: ignore[no-untyped-def]
    field = min(timelines(connection, bbox_id))
    if kind == 1:  # the source is late: a closed day whose scene is due, and an open one
        ledger.set_day(connection, bbox_id, last, due=Due.DUE)
        ledger.set_day(connection, bbox_id, NOW.date() - DAY, due=Due.DUE, answered_at=NOW)
        missed_days.open_misses(connection, bbox_id, [OpenMiss(field, last, Cause.LATE_SCENE, "d")], NOW - 3 * DAY)
    if kind == 2:  # never asked
        ledger.set_day(connection, bbox_id, last, answered_at=None)
        missed_days.open_misses(connection, bbox_id, [OpenMiss(field, last, Cause.LATE_SCENE, "d")], NOW - 2 * DAY)
    if kind == 3:  # the source lies
        refuse(connection, bbox_id, last, {"item": "item: found 1; expected 2"}, NOW - 4 * DAY, {})
        missed_days.open_misses(connection, bbox_id, [OpenMiss(field, last, Cause.LATE_SCENE, "d")], NOW - 4 * DAY)
    if kind == 4:  # errors: a field-day that failed for good, one that waits for a replay, and a day that fails
        missed = [
            OpenMiss(field, last, Cause.PROCESSING_ERROR, "d"),
            OpenMiss(field, last - DAY, Cause.LATE_FIELD, "d"),
        ]
        missed_days.open_misses(connection, bbox_id, missed, NOW - 5 * DAY)
        for _ in range(3):
            missed_days.count_failures(connection, bbox_id, [(field, last)], NOW - DAY)
        ledger.record_failure(connection, bbox_id, last + DAY, "ValueError: no")
    if kind == 5:
        registry.activate_region(connection, registry.regions(connection)[-1].name, active=False)
    if kind == 6:
        ledger.withdraw(connection, bbox_id, [(field, last)], NOW)


def scraped(
    engine: Engine, limit: int = 1000, expected: ExpectedDays | None = None
) -> dict[str, dict[tuple[str, ...], float]]:
    with read_transaction(engine) as connection:
        samples = region_samples(connection, DEADLINES, expected or ExpectedDays(), limit, NOW)
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for metric, labels, value in samples:
        assert labels not in found[metric], f"{metric}{labels} twice"
        found[metric][labels] = value
    return found


def statuses(engine: Engine) -> list[RegionStatus]:
    with read_transaction(engine) as connection:
        return [region_status(connection, r, DEADLINES, 5, NOW) for r in registry.regions(connection)]


def test_the_figures_are_those_of_each_region_s_status(engine: Engine) -> None:
    crowd(engine, 0, KINDS)

    found = scraped(engine)

    for status in statuses(engine):
        name = status.region
        days = {state: found["satfields_regiondays"][name, state] for state in STATES}
        assert days == {
            "closable": len(status.us_late),
            "waiting_for_source": len(status.source_late),
            "never_asked": len(status.never_asked),
            "failed": len(status.failed_days),
        }, name
        missed = {key[2]: n for key, n in found["satfields_backlog_fielddays"].items() if key[0] == name}
        assert missed.get("source", 0) == sum(part.waiting_for_scene for part in status.backlog), name
        assert missed.get("input", 0) == sum(part.failed for part in status.backlog), name
        assert sum(missed.values()) == sum(part.field_days for part in status.backlog), name
        assert found["satfields_fielddays_missed"][name,] == sum(missed.values())
        ages = [age for key, age in found["satfields_backlog_age_seconds"].items() if key[0] == name]
        assert max(ages, default=0) == max((part.oldest_age_seconds for part in status.backlog), default=0), name
        assert found["satfields_withdrawals"][name,] == status.withdrawals
        assert sum(n for key, n in found["satfields_quarantined"].items() if key[0] == name) == len(status.refused)
    assert found["satfields_regions"] == {("active",): KINDS - 1, ("paused",): 1}
    assert sum(found["satfields_regiondays"].values()) > 0


STATES = ("closable", "waiting_for_source", "never_asked", "failed")


def test_expected_field_days_are_the_registry_s_up_to_the_watermark(engine: Engine) -> None:
    crowd(engine, 0, 4)
    expected = ExpectedDays()

    for _ in range(2):
        found = scraped(engine, expected=expected)
        with read_transaction(engine) as connection:
            for region in registry.regions(connection):
                lines = timelines(connection, region.bbox_id).values()
                last = ledger.watermark(connection, region.bbox_id)
                assert last is not None
                count = sum((min(s.last, last) - s.first).days + 1 for line in lines for s in line.spans)
                missed = found["satfields_fielddays_missed"][region.name,]
                assert found["satfields_fielddays_expected"][region.name,] == count
                assert found["satfields_completeness_ratio"][region.name,] == (count - missed) / count
        with write_transaction(engine) as connection:  # and the same after the registry has changed
            late = fields.NewField("late", "late", shapely.box(0.005, 45.005, 0.015, 45.015), START + 3 * DAY)
            fields.register_fields(connection, [late], NOW)


def test_freshness_and_lag_count_from_the_last_closed_day_and_not_for_paused_regions(sqlite_engine: Engine) -> None:
    crowd(sqlite_engine, 0, 6)

    found = scraped(sqlite_engine)

    # The last closed day of R00 is START + 9, which ended 10 days and 9 hours ago; one of these days has not passed.
    assert found["satfields_freshness_seconds"]["R00",] == pytest.approx((10 * 24 + 9) * 3600, abs=60)
    assert found["satfields_watermark_lag_seconds"]["R00",] == 9 * 86400
    assert ("R05",) not in found["satfields_freshness_seconds"]
    assert found["satfields_watermark_lag_seconds"]["R05",] == 0


def test_a_scrape_asks_as_much_of_forty_regions_as_of_two(sqlite_engine: Engine) -> None:
    engine, seen = sqlite_engine, list[str]()
    event.listen(engine, "before_cursor_execute", lambda *told: seen.append(str(told[2])))
    counts = []
    for first, last in ((0, 2), (2, 40)):
        crowd(engine, first, last)
        expected = ExpectedDays()
        for _ in range(2):  # the second time the registry is known
            seen.clear()
            scraped(engine, expected=expected)
            counts.append(len(seen))

    assert counts[:2] == counts[2:]
    assert counts[1] < counts[0] <= 20


def test_regions_beyond_the_limit_are_one_and_the_latest_keep_their_own(sqlite_engine: Engine) -> None:
    engine = sqlite_engine
    crowd(engine, 0, 2 * KINDS)

    found, limited = scraped(engine), scraped(engine, limit=3)

    names = {labels[0] for metric, of in limited.items() if metric != "satfields_regions" for labels in of}
    lags = found["satfields_watermark_lag_seconds"]
    assert len(names) == 4
    assert min(lags[name,] for name in names - {OTHER}) >= max(
        lag for (name,), lag in lags.items() if name not in names
    )
    for metric, of in found.items():
        whole, parts = list(of.values()), list(limited[metric].values())
        if metric != "satfields_completeness_ratio":
            unite = {Rest.SUM: sum, Rest.MAX: max, Rest.MIN: min}[BY_NAME[metric].rest]
            assert unite(parts) == pytest.approx(unite(whole)), metric
    settled, expected = (limited[f"satfields_fielddays_{what}"][OTHER,] for what in ("settled", "expected"))
    assert limited["satfields_completeness_ratio"][OTHER,] == settled / expected


def test_a_region_that_is_called_other_is_counted_once(sqlite_engine: Engine) -> None:
    engine = sqlite_engine
    crowd(engine, 0, 2)
    with write_transaction(engine) as connection:
        registry.rename_region(connection, "R00", OTHER)

    of_two, of_one = scraped(engine), scraped(engine, limit=1)

    assert of_two["satfields_fielddays_expected"].keys() == {(OTHER,), ("R01",)}
    assert sum(of_one["satfields_fielddays_expected"].values()) == sum(of_two["satfields_fielddays_expected"].values())


def test_every_sample_is_of_the_table_and_has_its_labels(sqlite_engine: Engine) -> None:
    crowd(sqlite_engine, 0, KINDS)

    with read_transaction(sqlite_engine) as connection:
        samples = region_samples(connection, DEADLINES, ExpectedDays(), 3, NOW)

    assert {s.metric for s in samples} == {name for name, metric in BY_NAME.items() if metric.collector == REGIONS}
    assert all(len(s.labels) == len(BY_NAME[s.metric].labels) and isinstance(s, Sample) for s in samples)
