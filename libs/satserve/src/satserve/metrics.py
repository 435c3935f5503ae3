"""Counts and durations of requests by route, as Prometheus reads them."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from satcommon.telemetry.metrics import API_METRICS

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OWN = CollectorRegistry()
_TABLE = {metric.name: (metric.name, metric.help, metric.labels) for metric in API_METRICS}
_REQUESTS = Counter(*_TABLE["satserve_requests_total"], registry=_OWN)
_SECONDS = Histogram(*_TABLE["satserve_request_seconds"], buckets=_BUCKETS, registry=_OWN)
_SERIES_FILES = Counter(*_TABLE["satserve_series_files_built_total"], registry=_OWN)


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request.

    Args:
        route: its template; never its path, of which there are too many.
        method: of HTTP.
        status: of the answer.
        seconds: that it took.
    """
    _REQUESTS.labels(route, method, str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def count_built(columns: int) -> None:
    """Count columns that were sorted by field."""
    _SERIES_FILES.inc(columns)


def exposition() -> tuple[bytes, str]:
    """The metrics of all workers, and their media type."""
    registry = _OWN
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # `main` sets it where there are several workers
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # its own
    return generate_latest(registry), CONTENT_TYPE_LATEST
