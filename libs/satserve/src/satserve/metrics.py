"""Counts and durations of requests by route, as Prometheus reads them."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OWN = CollectorRegistry()
_REQUESTS = Counter(
    "satserve_requests_total", "Requests that were answered.", ("route", "method", "status"), registry=_OWN
)
_SECONDS = Histogram(
    "satserve_request_seconds",
    "Seconds until the last byte was handed over.",
    ("route",),
    buckets=_BUCKETS,
    registry=_OWN,
)
_SERIES_FILES = Counter("satserve_series_files_built_total", "Columns that were sorted by field.", registry=_OWN)


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
