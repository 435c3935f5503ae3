"""Write k8s/dashboards/*.json, the dashboards for Grafana: `make dashboards`. A test holds the files against it.

A dashboard is a list of rows, a row a title and panels. What all panels share stands once here, instead of in each of
fifty objects of JSON. Prometheus has a label `job` of its own: the exporter's is `exported_job` there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "dashboards"
SCHEMA = 41  # of Grafana 12; newer ones read it
WIDTH, HEIGHT = 24, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
R = 'region=~"$region"'
L = 'location=~"$location"'


class Panel(NamedTuple):
    """A panel: what it shows, in which of Grafana's units, by pairs of query and legend.

    `kind` is one of Grafana's panel types; `limit` a value from which on it is red, or, if `low`, below which.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    limit: float | None = None
    low: bool = False


Row = tuple[str, Sequence[Panel]]

OWNERS: list[Row] = [
    (
        "Are my fields up to date?",
        [
            Panel(
                "Time since the last day",
                "Since the end of the last day that has rows. A day is promised six hours after its "
                "end: red from 30 hours on.",
                "s",
                [(f"satfields_freshness_seconds{{{R}}}", "{{region}}")],
                limit=30 * 3600,
            ),
            Panel(
                "Field-days with their final inputs",
                "Share of the expected field-days that nothing is open for.",
                "percentunit",
                [(f"satfields_completeness_ratio{{{R}}}", "{{region}}")],
            ),
            Panel(
                "Audit",
                "Whether the last audit found every field-day. 1 is clean.",
                "short",
                [(f"min by (region) (satfields_audit_clean{{{R}}})", "{{region}}")],
                "stat",
                limit=1,
                low=True,
            ),
        ],
    ),
    (
        "What is missing, and why?",
        [
            Panel(
                "Missed field-days, by what they wait for",
                "source: the scene is not there. replay: they will be recomputed. input: they failed, and need a "
                "correction.",
                "short",
                [(f"sum by (waits_for) (satfields_backlog_fielddays{{{R}}})", "{{waits_for}}")],
            ),
            Panel(
                "Days without their scene",
                "Days that are over, for which a scene is due and not there.",
                "short",
                [(f'satfields_regiondays{{state="waiting_for_source", {R}}}', "{{region}}")],
            ),
            Panel(
                "Refused scenes",
                "Scenes whose pixels contradict what is declared of them, by the check that refused them.",
                "short",
                [(f"sum by (region, check) (satfields_quarantined{{{R}}})", "{{region}} {{check}}")],
            ),
        ],
    ),
    (
        "What was corrected?",
        [
            Panel(
                "Rows corrected within a day",
                "Rows that a replay published anew. `satctl changes` lists every value.",
                "short",
                [
                    (
                        f'sum by (region) (increase(satfields_published_rows_total{{kind="patch", {R}}}[1d]))',
                        "{{region}}",
                    )
                ],
            ),
            Panel(
                "Age of the oldest miss",
                "How long the oldest missed field-day has been waiting.",
                "s",
                [(f"max by (region) (satfields_backlog_age_seconds{{{R}}})", "{{region}}")],
            ),
        ],
    ),
]

OPERATORS: list[Row] = [
    (
        "Alerts and objectives",
        [
            Panel(
                "Firing alerts",
                "Each has a page in docs/runbooks.",
                "short",
                [('ALERTS{alertname=~"Satfields.+", alertstate="firing"}', "{{alertname}} {{region}}")],
                limit=1,
            ),
            Panel(
                "Freshness: share of regions that are late by us",
                "Averages over an hour, six hours and three days, and the budget: at 14.4, 6 and 1 times the budget an "
                "alert fires.",
                "percentunit",
                [
                    ("satfields:freshness_error:avg_1h", "1 h"),
                    ("satfields:freshness_error:avg_6h", "6 h"),
                    ("satfields:freshness_error:avg_3d", "3 d"),
                    ("satfields:freshness_budget:ratio", "budget"),
                ],
            ),
            Panel(
                "Completeness",
                "Settled field-days, of those that are expected.",
                "percentunit",
                [("satfields:completeness:ratio", "all"), (f"satfields_completeness_ratio{{{R}}}", "{{region}}")],
            ),
        ],
    ),
    (
        "Days",
        [
            Panel(
                "Watermark lag",
                "Days whose deadline has passed and that are not closed. Above 0 it is late by us.",
                "s",
                [(f"topk(20, satfields_watermark_lag_seconds{{{R}}} > 0)", "{{region}}")],
                limit=86400,
            ),
            Panel(
                "Region-days that want something",
                "closable is late by us; waiting_for_source is not; never_asked: ingest has not asked; failed: the "
                "next day can't be processed.",
                "short",
                [(f"sum by (state) (satfields_regiondays{{{R}}})", "{{state}}")],
            ),
            Panel(
                "Time since the source's last answer",
                "A source that is asked and gives nothing new for long is late, or is not asked.",
                "s",
                [(f"topk(20, satfields_answer_age_seconds{{{R}}})", "{{region}}")],
            ),
        ],
    ),
    (
        "Backlog",
        [
            Panel(
                "Missed field-days by cause",
                "Open misses.",
                "short",
                [(f"sum by (cause, waits_for) (satfields_backlog_fielddays{{{R}}})", "{{cause}}, {{waits_for}}")],
            ),
            Panel(
                "Age of the oldest miss",
                "By what it waits for.",
                "s",
                [(f"max by (waits_for) (satfields_backlog_age_seconds{{{R}}})", "{{waits_for}}")],
            ),
            Panel(
                "Field-days processed within an hour",
                "By realtime and by replays.",
                "short",
                [("satfields_attempts", "{{type}} {{outcome}}")],
            ),
            Panel(
                "Rows still to be taken out",
                "Of fields that are expected no longer.",
                "short",
                [(f"sum(satfields_withdrawals{{{R}}})", "rows")],
            ),
        ],
    ),
    (
        "Trust",
        [
            Panel(
                "Refused scenes",
                "By check.",
                "short",
                [(f"sum by (check) (satfields_quarantined{{{R}}})", "{{check}}")],
            ),
            Panel(
                "Time since the last audit",
                "Each region is audited daily.",
                "s",
                [(f'topk(20, satfields_audit_age_seconds{{depth="plain", {R}}})', "{{region}}")],
                limit=30 * 3600,
            ),
            Panel(
                "Problems that audits found",
                "Anything above 0 breaks a promise.",
                "short",
                [(f"sum by (region, depth) (satfields_audit_problems{{{R}}})", "{{region}} {{depth}}")],
                limit=1,
            ),
            Panel(
                "Regions of webhooks",
                "behind is normal after a publication; failing is tried again; dead waits for somebody.",
                "short",
                [('sum by (webhook, state) (satfields_webhook_regions{state!="told"})', "{{webhook}} {{state}}")],
            ),
            Panel(
                "Publications that webhooks are still to be told",
                "Goes back to 0 within a minute of a publication; what stays waits for a receiver.",
                "short",
                [("sum by (webhook) (satfields_webhook_waiting_publications)", "{{webhook}}")],
            ),
            Panel(
                "Publications within a day",
                "day: first rows; patch: corrections; rebase: maintenance.",
                "short",
                [(f"sum by (kind) (increase(satfields_publications_total{{{R}}}[1d]))", "{{kind}}")],
            ),
        ],
    ),
]

CONTROL_PLANE: list[Row] = [
    (
        "Dagster",
        [
            Panel(
                "Locations",
                "1: loaded.",
                "short",
                [(f"satfields_location_loaded{{{L}}}", "{{location}}")],
                "stat",
                limit=1,
                low=True,
            ),
            Panel(
                "Time since the daemon's heartbeats",
                "By its parts.",
                "s",
                [("satfields_daemon_heartbeat_age_seconds", "{{daemon}}")],
                limit=300,
            ),
            Panel(
                "Ticks: age over interval",
                "Above 1 a tick is late; a sensor's may take longer than its interval.",
                "short",
                [
                    (
                        f"satfields_tick_age_seconds{{{L}}} / satfields_tick_interval_seconds{{{L}}}",
                        "{{location}} {{name}}",
                    )
                ],
            ),
            Panel(
                "Failed ticks, and what is switched off",
                "1: the last tick failed, or the sensor or schedule is off.",
                "short",
                [
                    (f"satfields_tick_failed{{{L}}} > 0", "{{location}} {{name}} failed"),
                    (f"1 - (satfields_instigator_running{{{L}}} < 1)", "{{location}} {{name}} off"),
                ],
                limit=1,
            ),
        ],
    ),
    (
        "Runs",
        [
            Panel(
                "Runs in progress",
                "By job, and how many may be.",
                "short",
                [("sum by (exported_job) (satfields_runs)", "{{exported_job}}"), ("satfields_runs_limit", "limit")],
            ),
            Panel(
                "Queue",
                "Runs that wait for a slot.",
                "short",
                [("satfields_runs_queued", "queued"), ("satfields_runs_silent", "silent")],
            ),
            Panel(
                "Oldest queued run, oldest heartbeat",
                "Time for which they wait, or have given no sign of life.",
                "s",
                [("satfields_runs_queue_age_seconds", "queued"), ("satfields_run_heartbeat_age_seconds", "heartbeat")],
                limit=2 * 3600,
            ),
            Panel(
                "Runs that ended within 24 hours",
                "By status.",
                "short",
                [("sum by (exported_job, status) (satfields_runs_ended) > 0", "{{exported_job}} {{status}}")],
            ),
            Panel(
                "Duration of the last run",
                "And its time in the queue.",
                "s",
                [
                    ("satfields_run_last_duration_seconds", "{{exported_job}}"),
                    ("satfields_run_last_wait_seconds", "{{exported_job}} wait"),
                ],
            ),
        ],
    ),
    (
        "Database, store, machine",
        [
            Panel(
                "Connections",
                "To PostgreSQL, of those it allows.",
                "percentunit",
                [("satfields_database_connections / satfields_database_connections_limit", "used")],
                limit=0.8,
            ),
            Panel("Size of the ledger", "The database alone.", "bytes", [("satfields_database_size_bytes", "ledger")]),
            Panel(
                "Oldest transaction, clock offset",
                "A transaction of minutes keeps PostgreSQL from cleaning up.",
                "s",
                [
                    ("satfields_database_transaction_age_seconds", "transaction"),
                    ("satfields_clock_offset_seconds", "clock"),
                ],
            ),
            Panel("Store's response", "For one key.", "s", [("satfields_store_response_seconds", "store")]),
            Panel(
                "Objects",
                "As the last `satctl gc` listed them.",
                "bytes",
                [("satfields_objects_bytes", "{{kind}}")],
            ),
            Panel(
                "Free disk",
                "Of ledger and objects, where they are on a disk.",
                "percentunit",
                [("satfields_disk_free_bytes / satfields_disk_size_bytes", "{{folder}}")],
                limit=0.1,
                low=True,
            ),
            Panel(
                "Certificates",
                "Time until the first of a file ends.",
                "s",
                [("satfields_certificate_remaining_seconds", "{{file}}")],
                limit=14 * 86400,
                low=True,
            ),
        ],
    ),
    (
        "The exporter",
        [
            Panel(
                "Collectors",
                "1: answered in time.",
                "short",
                [("satfields_up", "{{collector}}")],
                "stat",
                limit=1,
                low=True,
            ),
            Panel(
                "How long they take",
                "Against SATFIELDS_METRICS_TIMEOUT_SECONDS.",
                "s",
                [
                    ("satfields_collector_duration_seconds", "{{collector}}"),
                    ("satfields_scrape_duration_seconds", "all"),
                ],
            ),
        ],
    ),
]

BOARDS = {
    "field-owners": ("Satfields: field owners", OWNERS, "region", "satfields_fielddays_expected"),
    "operators": ("Satfields: operators", OPERATORS, "region", "satfields_fielddays_expected"),
    "control-plane": ("Satfields: control plane", CONTROL_PLANE, "location", "satfields_location_loaded"),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard, as Grafana reads it."""
    title, rows, variable, metric = BOARDS[name]
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in rows:
        panels.append(
            {"type": "row", "title": heading, "collapsed": False, "panels": []} | _place(0, top, WIDTH, 1, len(panels))
        )
        top += 1
        for first in range(0, len(row), 3):
            line = row[first : first + 3]
            width = WIDTH // len(line)
            panels += [
                _panel(panel) | _place(at * width, top, width, HEIGHT, len(panels) + at)
                for at, panel in enumerate(line)
            ]
            top += HEIGHT
    return {
        "uid": f"satfields-{name}",
        "title": title,
        "tags": ["satfields"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-2d", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_datasource(), _variable(variable, metric)]},
        "panels": panels,
    }


def _place(x: int, y: int, width: int, height: int, number: int) -> dict[str, Any]:
    return {"id": number + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: Panel) -> dict[str, Any]:
    good, bad = ("red", "green") if panel.low else ("green", "red")
    steps: list[dict[str, Any]] = [{"color": good if panel.limit is not None else "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": bad, "value": panel.limit})
    custom = {"custom": {"thresholdsStyle": {"mode": "line"}}} if panel.limit and panel.kind == "timeseries" else {}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}, **custom},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def text(name: str) -> str:
    """A dashboard's file."""
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for board in BOARDS:
        (FOLDER / f"{board}.json").write_text(text(board), encoding="utf-8")
