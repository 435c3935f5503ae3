"""The chart of the HTTP API: what is off by default, and what each value does."""

from __future__ import annotations

import pytest

from tests.deploy.charts import ENVIRONMENTS, api, of_kind, only, platform, pod_templates
from tests.deploy.test_chart_network import Pod, edges

GATEWAY = {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["fields.example.org"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_leads_to_it_from_outside_by_default(environment: str) -> None:
    kinds = {one["kind"] for one in api(environment)}

    assert kinds.isdisjoint({"Ingress", "HTTPRoute", "HorizontalPodAutoscaler"})
    assert {"Deployment", "Service", "ServiceAccount", "NetworkPolicy"} <= kinds


def test_it_is_two_pods_that_are_never_away_together() -> None:
    found = api("production")

    assert only(found, "Deployment", "satfields-api")["spec"]["replicas"] == 2
    assert only(found, "PodDisruptionBudget", "satfields-api")["spec"]["maxUnavailable"] == 1
    assert not of_kind(api("minikube"), "PodDisruptionBudget")  # one pod could never be moved


def test_an_autoscaler_takes_the_number_of_pods_over() -> None:
    found = api("production", {"autoscaling": {"enabled": True, "maxReplicas": 4}})

    assert "replicas" not in only(found, "Deployment", "satfields-api")["spec"]
    scaler = only(found, "HorizontalPodAutoscaler", "satfields-api")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)


def test_a_route_and_an_ingress_lead_to_the_service() -> None:
    ingress = {"enabled": True, "host": "fields.example.org", "tlsSecret": "tls"}
    found = api("production", {"httpRoute": GATEWAY, "ingress": ingress})

    route = only(found, "HTTPRoute", "satfields-api")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": "satfields-api", "port": 80}]
    assert route["hostnames"] == ["fields.example.org"]
    rule = only(found, "Ingress", "satfields-api")["spec"]
    assert rule["tls"] == [{"hosts": ["fields.example.org"], "secretName": "tls"}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ingress": {"enabled": True, "tlsSecret": "tls"}}, "ingress.host"),
        ({"ingress": {"enabled": True, "host": "a.example"}}, "in the clear"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"autoscaling": {"enabled": True, "maxReplicas": 1}}, "autoscaling.maxReplicas"),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, r"metrics\.key\.secret"),
        ({"replica": 1}, "replica"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        api("production", values)


def test_it_only_reads_the_objects_of_a_volume_and_keeps_its_cache_within_bounds() -> None:
    [template] = pod_templates(api("minikube")).values()
    mounts = {mount["name"]: mount for mount in template["spec"]["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}

    assert mounts["objects"]["readOnly"] is True
    assert volumes["cache"]["emptyDir"]["sizeLimit"] == "1536Mi"


def test_it_needs_a_key_unless_the_values_say_otherwise() -> None:
    def public(values: dict[str, object]) -> str:
        [template] = pod_templates(api("production", values)).values()
        env = {one["name"]: one["value"] for one in template["spec"]["containers"][0]["env"]}
        return str(env["SATFIELDS_API_PUBLIC"])

    assert (public({}), public({"public": True})) == ("false", "true")


def test_it_reaches_ledger_and_store_and_is_reached_by_its_namespace() -> None:
    policies = list(of_kind([*platform("production"), *api("production")], "NetworkPolicy").values())
    [template] = pod_templates(api("production")).values()
    served = Pod(template["metadata"]["labels"], {"http": 8080})
    worker = Pod({"app.kubernetes.io/component": "run_worker"})

    assert edges(policies, served, None) == {53, 443, 5432}
    assert edges(policies, None, served) == set()
    own = [policy for policy in policies if policy["metadata"]["name"] == "satfields-api"]
    assert 8080 in edges(own, worker, served)
    opened = api("production", {"networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}})
    [policy] = of_kind(opened, "NetworkPolicy").values()
    assert edges([policy], None, served) == {8080}


def test_its_metrics_are_found_by_annotations_and_a_monitor_where_values_say_so_with_a_key() -> None:
    key = {"secret": "satfields-api-metrics", "key": "KEY"}
    monitored = {"enabled": True, "interval": "60s", "labels": {"release": "prometheus"}}
    found = api(values={"metrics": {"annotated": True, "key": key, "serviceMonitor": monitored}})
    [template] = pod_templates(found).values()
    [plain] = pod_templates(api()).values()

    monitor = only(found, "ServiceMonitor", "satfields-api")
    [endpoint] = monitor["spec"]["endpoints"]

    assert of_kind(api(), "ServiceMonitor") == {}
    assert "prometheus.io" not in str(plain)
    assert (
        template["metadata"]["annotations"].items()
        >= {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "8080",
        }.items()
    )
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    labels = only(found, "Service", "satfields-api")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert endpoint["authorization"] == {"credentials": {"name": "satfields-api-metrics", "key": "KEY"}}
    assert (endpoint["port"], endpoint["interval"], endpoint["scrapeTimeout"]) == ("http", "60s", "10s")


def test_a_monitor_of_a_public_api_needs_no_key() -> None:
    found = api(values={"public": True, "metrics": {"serviceMonitor": {"enabled": True}}})

    [endpoint] = only(found, "ServiceMonitor", "satfields-api")["spec"]["endpoints"]
    assert "authorization" not in endpoint
