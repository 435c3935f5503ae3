"""A normal week makes no alert: series of the exporter's own collectors, over a simulated system's days.

A ledger, its store and the simulated source are real, and so is what is done with them every hour of a simulated clock:
ask, close, replay, and each day an audit. Scenes come late, some after the deadline, and are corrected. The collectors
of the ledger are asked at each step by the same clock. Dagster, database and machine have no such clock: their figures
are those of the healthy system of `test_alert_rules.py`, the ages of a schedule's ticks rising and falling.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import shapely
from satcommon.audit.audit import audit
from satcommon.audit.record import record
from satcommon.db import registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.environment import Environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import last_day_over
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import ask, news
from satcommon.pipeline.replay import replay
from satcommon.settings import settings
from satcommon.stats.algorithm import CURRENT
from satcommon.telemetry.metrics import BY_NAME, Sample
from satcommon.views.metrics.expected_days import ExpectedDays
from satcommon.views.metrics.measured import attempt_samples, measured_samples
from satcommon.views.metrics.regions import region_samples
from sqlalchemy import Engine

from tests.alerts.rules import JOB, Firing, needs_promtool, run_tests, written_test
from tests.alerts.test_alert_rules import healthy

START = datetime(2026, 5, 1, tzinfo=UTC)
DAY, STEP = timedelta(days=1), timedelta(hours=1)
WARM_UP, WEEK = 10 * DAY, 7 * DAY
LONGITUDES = {"east": 151.0, "greenwich": 0.0, "west": -94.0}
STEPS, EMPTY = int(WEEK / STEP), int(2 * DAY / STEP)


class Simulated:
    """Regions whose days are asked for, closed, corrected and audited as time goes on."""

    def __init__(self, engine: Engine) -> None:
        self._env = Environment(settings(), engine)
        self._expected = ExpectedDays()
        self._processor = Processor(engine, self._env.store())
        with write_transaction(engine) as connection:
            for name, west in LONGITUDES.items():
                bounds = Bounds(west, 45.0, west + 0.03, 45.03)
                grid = Grid.utm(bounds, 100.0)
                registry.add_region(connection, name, bounds, grid, START.date(), None, CURRENT, START)
                square = shapely.box(west + 0.005, 45.005, west + 0.015, 45.015)
                fields = [NewField(f"{name}{n}", name, square, START.date() - 30 * DAY) for n in range(2)]
                register_fields(connection, fields, START)

    def work(self, now: datetime) -> None:
        """What sensors and schedules have done by then."""
        env = self._env
        store, source = env.store(), env.source()
        with read_transaction(env.engine) as connection:
            regions = registry.regions(connection)
        for region in regions:
            where = registry.area_to_read(region)
            last = last_day_over(now, where.bounds)
            if last >= region.monitored_from:
                span = region.monitored_from, last
                for day in news(env.engine, source, region.bbox_id, where, *span, now):
                    ask(env.engine, store, source, region.bbox_id, day, now)
            closer = Closer(env.engine, store, region.bbox_id, env.deadlines, "run", now)
            list(closer.through(now.date(), self._processor))
            list(replay(self._processor, env.engine, region.bbox_id, env.deadlines, "run", now))
            if now.hour == 6:
                record(env.engine, region.bbox_id, audit(env.engine, store, region, lambda: None), now)

    def samples(self, now: datetime) -> list[Sample]:
        """What the collectors of the ledger give."""
        with read_transaction(self._env.engine) as connection:
            return [
                *region_samples(connection, self._env.deadlines, self._expected, 100, now),
                *measured_samples(connection, 100, now),
                *attempt_samples(connection, now),
            ]


def name_of(sample: Sample) -> str:
    """A series' name, as Prometheus has it."""
    labels = [("job", JOB), *zip(BY_NAME[sample.metric].labels, sample.labels, strict=True)]
    told = ", ".join(f'{label}="{value}"' for label, value in labels)
    return f"{sample.metric}{{{told}}}"


def dagster_and_machine() -> Iterator[tuple[str, str]]:
    """Their series of a week, in promtool's notation: constant, but for the ages of ticks."""
    metrics = {name.partition("{")[0] for name in healthy()}
    assert "satfields_tick_age_seconds" in metrics
    for name, value in healthy().items():
        if "region=" in name:
            continue
        if "tick_age" in name and "schedule" in name:
            yield name, " ".join(str(at % 24 * STEP.seconds) for at in range(STEPS))
        else:
            yield name, f"{value:.0f}x{STEPS - 1}"


@needs_promtool
@pytest.mark.slow
def test_a_week_of_late_scenes_and_corrections_makes_no_alert(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_SIMULATED_LATE_SHARE", "0.1")
    monkeypatch.setenv("SATFIELDS_SIMULATED_GAP_SHARE", "0.0")
    settings.cache_clear()
    simulated = Simulated(sqlite_engine)
    now = START
    while now < START + WARM_UP:
        simulated.work(now)
        now += STEP
    series: dict[str, list[str]] = defaultdict(list)
    for step in range(STEPS):
        simulated.work(now)
        for sample in simulated.samples(now):
            of = series[name_of(sample)]
            of += ["_"] * (step - len(of)) + [f"{sample.value:.6f}"]
        now += STEP
    patches = [series[name_of(Sample("satfields_publications_total", (name, "patch"), 0.0))] for name in LONGITUDES]
    assert any(len(set(values) - {"_"}) > 1 for values in patches)  # something was late, and put right

    # Promtool's clock begins at 1970-01-01 00:00, the week at the same time of day, which a rule asks for, two days
    # later: before, the regions' last days would have ended in negative time.
    written = dict(dagster_and_machine()) | {name: " ".join(values) for name, values in series.items()}
    written = {name: "_ " * EMPTY + values for name, values in written.items()}
    quiet = [Firing(60 * hour, []) for hour in range(EMPTY, EMPTY + STEPS)]
    run_tests(tmp_path / "tests.yaml", "1h", [written_test("a week", "1h", written, quiet)])
