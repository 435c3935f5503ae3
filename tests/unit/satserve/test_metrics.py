"""What Prometheus reads of the HTTP API."""

from __future__ import annotations

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from satcommon.telemetry.metrics import API_METRICS
from satserve import metrics
from satserve.routes import health

from tests.unit.satserve.serving import Served


def test_it_serves_the_metrics_of_the_reference_with_their_types_and_labels() -> None:
    metrics.count_request("/regions", "GET", 200, 0.1)
    metrics.count_built(1)

    families = list(text_string_to_metric_families(metrics.exposition()[0].decode()))

    told = {family.name: family for family in families if not family.name.endswith("_created")}
    assert told.keys() == {metric.name.removesuffix("_total") for metric in API_METRICS}
    for metric in API_METRICS:
        family = told[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)
        assert family.samples[0].labels.keys() - {"le"} == set(metric.labels)


def test_an_unexpected_error_counts_as_500_is_logged_once_and_answered_like_all_others(
    on_sqlite: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def counted(status: str) -> float:
        families = text_string_to_metric_families(metrics.exposition()[0].decode())
        labels = {"route": "/health/ready", "method": "GET", "status": status}
        samples = [sample for family in families for sample in family.samples if sample.labels == labels]
        return sum(each.value for each in samples if each.name == "satserve_requests_total")

    def broken(_connection: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(health, "require_current", broken)
    before, given_up = counted("500"), counted("499")
    server = logging.getLogger("uvicorn.error")  # whose lines go no further
    monkeypatch.setattr(server, "handlers", [*server.handlers, caplog.handler])
    with caplog.at_level(logging.INFO):
        answer = on_sqlite.get("/health/ready")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "planted" not in answer.text
    assert answer.headers.get("x-content-type-options") == "nosniff"
    assert (counted("500") - before, counted("499") - given_up) == (1, 0)
    assert [each.name for each in caplog.records if each.levelname == "ERROR"] == ["satserve.guards"]
