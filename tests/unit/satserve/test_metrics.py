"""What Prometheus reads of the HTTP API."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from satcommon.telemetry.metrics import API_METRICS
from satserve import metrics


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
