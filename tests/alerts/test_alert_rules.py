"""Each alert fires when it should, alone, and ends with its cause: promtool, on series that are written here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.alerts.rules import FILES, FOLDER, JOB, Firing, alerts, needs_promtool, promtool, run_tests, written_test

DAY = 86400.0
REGIONS = [f"R{number:02}" for number in range(20)]
HOUR_OF_QUIET = 60


def slow(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test: promtool takes half a second for each of its own."""
    return needs_promtool(pytest.mark.slow(test))


@dataclass(frozen=True)
class Case:
    """A cause, and when its alert fires.

    Args:
        alert: with the labels that it has besides job and severity.
        series: the values that the cause changes.
        after: minutes from the cause to the alert.
    """

    alert: str
    series: Mapping[str, float | str]
    after: float


def of(metric: str, **labels: str) -> str:
    """A series' name."""
    told = ", ".join(f'{label}="{value}"' for label, value in {"job": JOB, **labels}.items())
    return f"satfields_{metric}{{{told}}}"


def healthy() -> dict[str, float]:
    """A system to which nothing happens; a metric that may have no series has none."""
    sensor = {"location": "ingest", "kind": "sensor", "name": "due_scenes"}
    schedule = {"location": "ingest", "kind": "schedule", "name": "daily_scenes"}
    series = {
        of("exporter_info", version="1"): 1.0,
        of("database_connections"): 20.0,
        of("database_connections_limit"): 100.0,
        of("database_size_bytes"): 5e9,
        of("clock_offset_seconds"): 0.0,
        of("disk_free_bytes", folder="ledger"): 4e10,
        of("disk_size_bytes", folder="ledger"): 1e11,
        of("certificate_remaining_seconds", file="/ca.pem"): 60 * DAY,
        of("runs_silent"): 0.0,
        of("runs_queue_age_seconds"): 40.0,
        of("location_loaded", location="realtime"): 1.0,
        of("daemon_healthy", daemon="sensor"): 1.0,
        of("daemon_heartbeat_age_seconds", daemon="sensor"): 20.0,
        of("tick_interval_seconds", **sensor): 30.0,
        of("tick_age_seconds", **sensor): 25.0,
        of("tick_interval_seconds", **schedule): DAY,
        of("tick_age_seconds", **schedule): DAY,
    }
    for each in (sensor, schedule):
        series |= {of("instigator_running", **each): 1.0, of("tick_failed", **each): 0.0}
    for collector in ("regions", "audits", "attempts", "webhooks", "database", "store", "machine", "runs", "dagster"):
        series[of("up", collector=collector)] = 1.0
    series[of("webhook_regions", webhook="farm", state="dead")] = 0.0
    for region in REGIONS:
        series |= {
            of("freshness_seconds", region=region): 26 * 3600.0,
            of("watermark_lag_seconds", region=region): 0.0,
            of("fielddays_expected", region=region): 1000.0,
            of("fielddays_settled", region=region): 1000.0,
            of("audit_clean", region=region, depth="plain"): 1.0,
            of("audit_age_seconds", region=region, depth="plain"): DAY,
        }
        for state in ("closable", "waiting_for_source", "never_asked", "failed"):
            series[of("regiondays", region=region, state=state)] = 0.0
    return series


A = {"region": REGIONS[0]}
REPLAY = {**A, "cause": "late_field", "waits_for": "replay"}
SCHEDULE = {"location": "ingest", "kind": "schedule", "name": "daily_scenes"}
SENSOR = {"location": "ingest", "kind": "sensor", "name": "due_scenes"}
ABSENT = "_"


def late(regions: list[str], state: str = "closable") -> dict[str, float | str]:
    """Days that are not there by the morning, wherever it is."""
    found: dict[str, float | str] = {}
    for region in regions:
        found[of("freshness_seconds", region=region)] = 44 * 3600.0
        found[of("regiondays", region=region, state=state)] = 1.0
    return found


def everything_gone() -> dict[str, float | str]:
    return dict.fromkeys(healthy(), ABSENT)


CASES = [
    Case(
        'SatfieldsExporterDown{job=""}', everything_gone(), 10
    ),  # five of them until Prometheus forgets the last value
    Case("SatfieldsDatabaseUnreachable", {of("up", collector="database"): 0}, 5),
    Case("SatfieldsConnectionsNearLimit", {of("database_connections"): 81}, 5),
    Case("SatfieldsBucketRefused", {of("up", collector="store"): 0}, 5),
    Case('SatfieldsDiskFull{folder="ledger"}', {of("disk_free_bytes", folder="ledger"): 9e9}, 5),
    Case("SatfieldsClockOff", {of("clock_offset_seconds"): -6}, 5),
    Case(
        'SatfieldsCertificateEnding{file="/ca.pem"}',
        {of("certificate_remaining_seconds", file="/ca.pem"): 13 * DAY},
        60,
    ),
    Case('SatfieldsCollectorDown{collector="audits"}', {of("up", collector="audits"): 0}, 5),
    Case("SatfieldsDagsterDown", {of("up", collector="dagster"): 0}, 5),
    Case("SatfieldsDaemonStopped", {of("daemon_heartbeat_age_seconds", daemon="sensor"): 301}, 5),
    Case("SatfieldsDaemonStopped", {of("daemon_healthy", daemon="sensor"): 0}, 5),
    Case('SatfieldsLocationBroken{location="realtime"}', {of("location_loaded", location="realtime"): 0}, 5),
    Case(
        'SatfieldsSensorFailing{location="ingest", kind="sensor", name="due_scenes"}',
        {of("tick_failed", **SENSOR): 1},
        5,
    ),
    Case(
        'SatfieldsScheduleNotTicking{location="ingest", kind="schedule", name="daily_scenes"}',
        {of("tick_age_seconds", **SCHEDULE): 30 * 3600},
        5,
    ),
    Case(
        'SatfieldsScheduleNotTicking{location="ingest", kind="sensor", name="due_scenes"}',
        {of("tick_age_seconds", **SENSOR): 1900},
        5,
    ),
    Case("SatfieldsRunStuck", {of("runs_silent"): 1}, 5),
    Case("SatfieldsRunsQueuedLong", {of("runs_queue_age_seconds"): 7300}, 5),
    Case(
        f'SatfieldsSceneQuarantined{{region="{A["region"]}", check="offset"}}',
        {of("quarantined", **A, check="offset"): 1},
        5,
    ),
    Case(
        f'SatfieldsWatermarkStuck{{region="{A["region"]}"}}',
        {of("watermark_lag_seconds", **A): DAY, of("regiondays", **A, state="failed"): 1},
        60,
    ),
    Case(
        f'SatfieldsProcessingErrors{{region="{A["region"]}"}}',
        {of("backlog_fielddays", **A, cause="processing_error", waits_for="input"): 2},
        60,
    ),
    Case(
        f'SatfieldsAuditUnclean{{region="{A["region"]}", depth="plain"}}',
        {of("audit_clean", **A, depth="plain"): 0},
        0,
    ),
    Case(
        f'SatfieldsAuditNotRun{{region="{A["region"]}"}}', {of("audit_age_seconds", **A, depth="plain"): 31 * 3600}, 60
    ),
    Case(
        f'SatfieldsCompletenessMissed{{region="{A["region"]}"}}',
        {of("backlog_age_seconds", **A, cause="late_scene", waits_for="source"): 31.1 * DAY},
        60,
    ),
    Case('SatfieldsWebhookFailing{webhook="farm"}', {of("webhook_failing_seconds", webhook="farm"): 3700}, 5),
    Case('SatfieldsWebhookDead{webhook="farm"}', {of("webhook_regions", webhook="farm", state="dead"): 2}, 5),
]
# Those that take hours, and so steps of half an hour.
SLOW_CASES = [
    Case(
        'SatfieldsSwitchedOff{location="ingest", kind="sensor", name="due_scenes"}',
        {of("instigator_running", **SENSOR): 0},
        360,
    ),
    Case(
        f'SatfieldsSourceLate{{region="{A["region"]}"}}',
        {of("regiondays", **A, state="waiting_for_source"): 3},
        360,
    ),
    Case(f'SatfieldsSourceNotAsked{{region="{A["region"]}"}}', {of("regiondays", **A, state="never_asked"): 1}, 360),
    Case(f'SatfieldsRegionBehind{{region="{A["region"]}"}}', {of("watermark_lag_seconds", **A): 2 * DAY}, 360),
    Case(  # it is six hours old when it can be compared, and then an hour more
        f'SatfieldsBacklogGrowing{{region="{A["region"]}"}}',
        {of("backlog_fielddays", **REPLAY): 5, of("backlog_age_seconds", **REPLAY): 13 * 3600},
        420,
    ),
    # One region of twenty for three days: 14.4 hours until the budget of three days is used up, and the hour.
    Case('SatfieldsFreshnessMissed{severity="ticket"}', late(REGIONS[:1]), 15.5 * 60),
]
QUIET_CASES: dict[str, dict[str, float | str]] = {
    "a region that waits for its source is late, and not by us": late(REGIONS, "waiting_for_source")
    | {of("regiondays", region=region, state="waiting_for_source"): 2 for region in REGIONS},
    "a ledger on PostgreSQL whose capacity nobody has stated": {of("database_size_bytes"): 1e15},
    "a backlog that shrinks": {
        of("backlog_fielddays", **REPLAY): "500-10x47",
        of("backlog_age_seconds", **REPLAY): 20 * 3600,
    },
    "a sensor without a tick so far": {of("tick_age_seconds", **SENSOR): ABSENT, of("tick_failed", **SENSOR): ABSENT},
}


def changed(case: Mapping[str, float | str], before: int, during: int, after: int) -> dict[str, str]:
    """Series of a healthy system, some of which are others for a while.

    Args:
        case: the other values; a text is promtool's own notation.
        before: steps of quiet.
        during: steps with the other values.
        after: steps of quiet at the end.
    """
    series: dict[str, str] = {}
    good = healthy()
    for name in good | case:
        well = f"{good[name]:.0f}" if name in good else ABSENT
        bad = case.get(name, well)
        bad = bad if isinstance(bad, str) and bad != ABSENT else f"{bad:.0f}" if isinstance(bad, float | int) else bad
        parts = [(well, before), (bad, during), (well, after)]
        series[name] = " ".join(
            value if "x" in value else f"_x{steps}" if value == ABSENT else f"{value}x{steps - 1}"
            for value, steps in parts
            if steps
        )
    return series


def planted(cases: list[Case], step: int) -> Iterator[dict[str, object]]:
    """Promtool's tests: quiet, the cause for as long as it takes and four steps, and quiet again."""
    for case in cases:
        before = 2 + int(HOUR_OF_QUIET / step) if step < 30 else 0
        before = before or (24 * 60 * 4 // step if "Freshness" in case.alert else 16)
        during, start = int(case.after / step) + 4, before * step
        series = changed(case.series, before, during, 12)
        firing = [
            Firing(start - step, []),
            *([Firing(start + case.after - step, [])] if case.after else []),
            Firing(start + case.after + step, [case.alert]),
        ]
        if "Freshness" not in case.alert:  # whose budget stays used up
            firing.append(Firing(start + (during + 11) * step, []))
        yield written_test(case.alert, f"{step}m", series, firing)


def test_every_alert_has_a_case_here() -> None:
    named = {case.alert.partition("{")[0] for case in (*CASES, *SLOW_CASES)}

    others = {"SatfieldsDatabaseFull"}  # needs a capacity: its test has one
    assert named | others == {rule["alert"] for rule in alerts()}


@needs_promtool
def test_promtool_finds_nothing_to_say_of_the_rules() -> None:
    promtool("check", "rules", *map(str, FILES))


@slow
@pytest.mark.parametrize(("step", "cases"), [(5, CASES), (30, SLOW_CASES)], ids=["minutes", "hours"])
def test_an_alert_fires_in_time_alone_and_ends_with_its_cause(step: int, cases: list[Case], tmp_path: Path) -> None:
    run_tests(tmp_path / "tests.yaml", f"{step}m", list(planted(cases, step)))


@slow
def test_a_burn_of_the_budget_pages_after_minutes_or_hours_by_its_rate(tmp_path: Path) -> None:
    page = "SatfieldsFreshnessMissed"
    tests = []
    # Three days of quiet; then, by the workbook's windows: 50 % of regions burn 14.4 % of an hour in 18 minutes, 10 %
    # burn 6 % of six hours in 3.6 hours. At 5 % nobody is woken.
    for regions, minutes in ((10, 18), (2, 216)):
        before, during = 3 * 24 * 60 // 5, 300 // 5
        start = before * 5
        firing = [Firing(start + minutes - 8, []), Firing(start + minutes + 7, [page])]
        series = changed(late(REGIONS[:regions]), before, during, 0)
        series = {name: values for name, values in series.items() if re.search("freshness|regiondays|info", name)}
        tests.append(written_test(f"{regions} regions", "5m", series, firing))

    run_tests(tmp_path / "tests.yaml", "5m", tests)


@slow
def test_what_is_no_failure_is_not_told(tmp_path: Path) -> None:
    tests = [
        written_test(name, "30m", changed(case, 0, 48, 0), [Firing(60 * hour, []) for hour in (1, 6, 12, 23)])
        for name, case in QUIET_CASES.items()
    ]

    run_tests(tmp_path / "tests.yaml", "30m", tests)


@slow
def test_a_source_whose_scenes_are_refused_is_told_as_that(tmp_path: Path) -> None:
    cause = {of("regiondays", **A, state="waiting_for_source"): 3, of("quarantined", **A, check="offset"): 3}
    firing = [Firing(23 * 60, [f'SatfieldsSceneQuarantined{{region="{A["region"]}", check="offset"}}'])]

    test = written_test("refused", "30m", changed(cause, 0, 48, 0), firing)

    run_tests(tmp_path / "tests.yaml", "30m", [test])


@slow
def test_a_database_is_full_at_85_percent_of_its_stated_capacity(tmp_path: Path) -> None:
    stated = tmp_path / "slo.yaml"
    text = (FOLDER / "slo.yaml").read_text()
    stated.write_text(text.replace("vector(0)", "vector(1e9)"))
    assert stated.read_text() != text
    files = [stated, *(file for file in FILES if file.name != stated.name)]

    tests = [
        written_test(f"{size}", "5m", changed({of("database_size_bytes"): size}, 12, 12, 0), [Firing(85, alerts)])
        for size, alerts in ((8.4e8, []), (8.6e8, ["SatfieldsDatabaseFull"]))
    ]
    for test in tests:  # the healthy one is too large for it
        for series in test["input_series"]:
            series["values"] = series["values"].replace("5000000000", "1000")

    run_tests(tmp_path / "tests.yaml", "5m", tests, files)
