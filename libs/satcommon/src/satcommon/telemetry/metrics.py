"""The metrics of `satctl metrics` and of `satserve`: tables, from which both, their documentation and tests come.

Names follow Prometheus' conventions: base units, `_total` for what only grows. A field-day is one word in them, since
`days` would be read as a unit. Ages are told instead of instants: the clock that compares is then the exporter's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

OTHER = "other"  # the label of all regions, or webhooks, beyond SATFIELDS_METRICS_REGIONS


class Kind(StrEnum):
    """Prometheus' type of a metric."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Rest(StrEnum):
    """How the figures of several regions become that of `OTHER`."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Metric(NamedTuple):
    """A metric: `collector` is the part of the exporter that gives it, and whose failure takes it away; or `API`."""

    name: str
    collector: str
    help: str
    labels: tuple[str, ...] = ()
    rest: Rest = Rest.SUM
    kind: Kind = Kind.GAUGE

    @property
    def unit(self) -> str:
        """The unit that its name ends with; a count, a state and what is 1 for its labels' sake have none."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes", "ratio") else ""


class Sample(NamedTuple):
    """A value of a metric; labels are in the order of the table."""

    metric: str
    labels: tuple[str, ...]
    value: float


REGIONS, AUDITS, ATTEMPTS, WEBHOOKS, DATABASE, STORE, MACHINE, RUNS, DAGSTER, EXPORTER = (
    "regions",
    "audits",
    "attempts",
    "webhooks",
    "database",
    "store",
    "machine",
    "runs",
    "dagster",
    "exporter",
)
API = "api"  # each process of the HTTP API counts its own requests
_INSTIGATOR = ("location", "kind", "name")

METRICS = (
    # --- regions ---------------------------------------------------------------------------------------------------
    Metric("satfields_regions", REGIONS, "Registered regions.", ("state",)),
    Metric(
        "satfields_freshness_seconds",
        REGIONS,
        "Time since the end of the last closed day; before the first, since the day before it began. "
        "Of active regions whose monitoring goes on.",
        ("region",),
        Rest.MAX,
    ),
    Metric(
        "satfields_watermark_lag_seconds",
        REGIONS,
        "Days whose deadline has passed and that are not closed, as time: 86400 each.",
        ("region",),
        Rest.MAX,
    ),
    Metric(
        "satfields_regiondays",
        REGIONS,
        "Days of a region that want something: closable (late by us), waiting_for_source (over, due and without "
        "scene), never_asked (over, and the source was not asked), failed (could not be processed).",
        ("region", "state"),
    ),
    Metric("satfields_fielddays_expected", REGIONS, "Field-days up to the watermark, by the registry.", ("region",)),
    Metric("satfields_fielddays_settled", REGIONS, "Expected field-days without an open miss.", ("region",)),
    Metric("satfields_fielddays_missed", REGIONS, "Open misses.", ("region",)),
    Metric(
        "satfields_completeness_ratio",
        REGIONS,
        "Settled field-days, of those that are expected.",
        ("region",),
        Rest.MIN,
    ),
    Metric(
        "satfields_backlog_fielddays",
        REGIONS,
        "Open misses by what they wait for: replay (late by us), source (the scene is not there, was never asked for "
        "or is in quarantine), input (failed for good: waits for a new field, scene or version). None: no series.",
        ("region", "cause", "waits_for"),
    ),
    Metric(
        "satfields_backlog_age_seconds",
        REGIONS,
        "Age of the oldest open miss. None: no series.",
        ("region", "cause", "waits_for"),
        Rest.MAX,
    ),
    Metric("satfields_withdrawals", REGIONS, "Published rows that are still to be taken out.", ("region",)),
    Metric(
        "satfields_quarantined",
        REGIONS,
        "Acquisitions that are refused, by the radiometric check that did; unreadable: none did. None: no series.",
        ("region", "check"),
    ),
    Metric(
        "satfields_quarantine_age_seconds",
        REGIONS,
        "Age of the oldest refusal. None: no series.",
        ("region",),
        Rest.MAX,
    ),
    Metric(
        "satfields_publications_total",
        REGIONS,
        "Publications by kind: day, patch (corrections), rebase.",
        ("region", "kind"),
        kind=Kind.COUNTER,
    ),
    Metric(
        "satfields_published_rows_total",
        REGIONS,
        "Rows of publications by kind; those of patches are the changes.",
        ("region", "kind"),
        kind=Kind.COUNTER,
    ),
    Metric(
        "satfields_answer_age_seconds",
        REGIONS,
        "Time since the source last gave a new answer. Before the first: no series.",
        ("region",),
        Rest.MAX,
    ),
    # --- audits and what maintenance measured ----------------------------------------------------------------------
    Metric(
        "satfields_audit_clean", AUDITS, "Whether the last audit found nothing lost.", ("region", "depth"), Rest.MIN
    ),
    Metric(
        "satfields_audit_age_seconds",
        AUDITS,
        "Time since the last audit; before the first plain one, since the region's registration.",
        ("region", "depth"),
        Rest.MAX,
    ),
    Metric("satfields_audit_problems", AUDITS, "Problems that the last audit found.", ("region", "depth")),
    Metric(
        "satfields_audit_fielddays",
        AUDITS,
        "Field-days as the last audit counted them: expected, settled (rows that were read), missed.",
        ("region", "depth", "state"),
    ),
    Metric("satfields_objects", AUDITS, "Objects of the store, as the last `satctl gc` listed them.", ("kind",)),
    Metric("satfields_objects_bytes", AUDITS, "Their size.", ("kind",)),
    Metric("satfields_objects_age_seconds", AUDITS, "Time since they were listed.", ("kind",)),
    # --- attempts --------------------------------------------------------------------------------------------------
    Metric("satfields_attempts", ATTEMPTS, "Field-days processed within the last hour.", ("type", "outcome")),
    Metric(
        "satfields_attempt_duration_seconds",
        ATTEMPTS,
        "The longest of them, from the run's start to its commit.",
        ("type",),
    ),
    # --- webhooks --------------------------------------------------------------------------------------------------
    Metric(
        "satfields_webhook_regions",
        WEBHOOKS,
        "Regions of a webhook: told (all), behind (changes wait), failing (and tried again), dead (given up).",
        ("webhook", "state"),
    ),
    Metric(
        "satfields_webhook_lag_seconds",
        WEBHOOKS,
        "Age of the oldest publication that a webhook was not told; 0 without one.",
        ("webhook",),
        Rest.MAX,
    ),
    Metric(
        "satfields_webhook_waiting_publications",
        WEBHOOKS,
        "Publications that a webhook is still to be told, in all of its regions.",
        ("webhook",),
    ),
    Metric(
        "satfields_webhook_failing_seconds",
        WEBHOOKS,
        "Time since a webhook that is tried again first failed. None: no series.",
        ("webhook",),
        Rest.MAX,
    ),
    # --- database, store, machine ----------------------------------------------------------------------------------
    Metric("satfields_database_connections", DATABASE, "Connections to PostgreSQL's server, of all its clients."),
    Metric("satfields_database_connections_limit", DATABASE, "How many it allows."),
    Metric("satfields_database_size_bytes", DATABASE, "Size of the ledger."),
    Metric("satfields_database_transaction_age_seconds", DATABASE, "Age of PostgreSQL's oldest open transaction."),
    Metric(
        "satfields_clock_offset_seconds",
        DATABASE,
        "The database's clock less this machine's, as far as the time of the question allows; 0 within that.",
    ),
    Metric("satfields_store_response_seconds", STORE, "Time in which the object store tells of one key."),
    Metric("satfields_disk_free_bytes", MACHINE, "Free space, where ledger or objects are on a disk.", ("folder",)),
    Metric("satfields_disk_size_bytes", MACHINE, "Size of that disk.", ("folder",)),
    Metric(
        "satfields_certificate_remaining_seconds",
        MACHINE,
        "Time until the first certificate of a file ends (SATFIELDS_METRICS_CERTIFICATES).",
        ("file",),
    ),
    # --- runs ------------------------------------------------------------------------------------------------------
    Metric("satfields_runs", RUNS, "Runs that have not ended, without the queued ones.", ("job", "status")),
    Metric("satfields_runs_queued", RUNS, "Runs in the queue."),
    Metric("satfields_runs_queue_age_seconds", RUNS, "Time since the oldest queued run was asked for; 0 without one."),
    Metric("satfields_runs_limit", RUNS, "How many runs may be in progress. Without a limit: no series."),
    Metric("satfields_runs_silent", RUNS, "Runs in progress without a sign of life."),
    Metric("satfields_run_age_seconds", RUNS, "Time since the oldest run in progress started.", ("job",)),
    Metric(
        "satfields_run_heartbeat_age_seconds",
        RUNS,
        "Age of the oldest last heartbeat of runs in progress; 0 without one.",
    ),
    Metric("satfields_runs_ended", RUNS, "Runs that ended within the last 24 hours.", ("job", "status")),
    Metric("satfields_run_last_duration_seconds", RUNS, "Duration of the last run that ended.", ("job",)),
    Metric("satfields_run_last_wait_seconds", RUNS, "Its time from being asked for to its start.", ("job",)),
    # --- the rest of Dagster ---------------------------------------------------------------------------------------
    Metric("satfields_location_loaded", DAGSTER, "Whether a code location is loaded.", ("location",)),
    Metric("satfields_daemon_healthy", DAGSTER, "Whether Dagster calls a daemon that it needs healthy.", ("daemon",)),
    Metric(
        "satfields_daemon_heartbeat_age_seconds",
        DAGSTER,
        "Time since its last heartbeat. Before the first: no series.",
        ("daemon",),
    ),
    Metric("satfields_instigator_running", DAGSTER, "Whether a sensor or schedule is switched on.", _INSTIGATOR),
    Metric(
        "satfields_tick_age_seconds", DAGSTER, "Time since its last tick. Before the first: no series.", _INSTIGATOR
    ),
    Metric("satfields_tick_failed", DAGSTER, "Whether its last tick failed.", _INSTIGATOR),
    Metric("satfields_tick_interval_seconds", DAGSTER, "Time between two of its ticks, as it is set.", _INSTIGATOR),
    # --- the exporter's own ----------------------------------------------------------------------------------------
    Metric("satfields_up", EXPORTER, "Whether a collector answered in time at this scrape.", ("collector",)),
    Metric("satfields_collector_duration_seconds", EXPORTER, "How long it took.", ("collector",)),
    Metric(
        "satfields_collector_success_age_seconds",
        EXPORTER,
        "Time since it last answered; before the first time, since the exporter's start.",
        ("collector",),
    ),
    Metric("satfields_collector_errors_total", EXPORTER, "How often it did not.", ("collector",), kind=Kind.COUNTER),
    Metric("satfields_scrape_duration_seconds", EXPORTER, "How long all collectors together took."),
    Metric("satfields_exporter_info", EXPORTER, "1; the version is the label.", ("version",)),
)
API_METRICS = (
    Metric(
        "satserve_requests_total",
        API,
        "Requests that were answered; route is the template, unmatched without one.",
        ("route", "method", "status"),
        kind=Kind.COUNTER,
    ),
    Metric(
        "satserve_request_seconds",
        API,
        "Time until the last byte was handed over.",
        ("route",),
        kind=Kind.HISTOGRAM,
    ),
    Metric("satserve_series_files_built_total", API, "Columns that were sorted by field.", kind=Kind.COUNTER),
)
BY_NAME = {metric.name: metric for metric in METRICS}
COLLECTORS = tuple(dict.fromkeys(metric.collector for metric in METRICS if metric.collector != EXPORTER))
