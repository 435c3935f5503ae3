"""What stays up: priorities, servers that are several, and those that grow with their work."""

from __future__ import annotations

import pytest

from tests.deploy.charts import (
    ENVIRONMENTS,
    LOCATIONS,
    NAMESPACE,
    ROOT,
    Manifest,
    everything,
    location,
    of_kind,
    only,
    platform,
    pod_templates,
)
from tests.deploy.test_chart_features import option, server

CONTROL, RUNS = f"satfields-control-{NAMESPACE}", f"satfields-runs-{NAMESPACE}"
SCALED: Manifest = {"autoscaling": {"enabled": True, "maxReplicas": 9, "cpu": "300m"}}


def priorities(found: list[Manifest]) -> dict[str, str | None]:
    return {name: pod["spec"].get("priorityClassName") for name, pod in pod_templates(found).items()}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_runs_wait_for_comes_before_runs(environment: str) -> None:
    found = everything(environment)
    classes = of_kind(found, "PriorityClass")
    named = priorities(found)

    assert classes[RUNS]["value"] < 0 <= classes[CONTROL]["value"]
    assert classes[CONTROL]["globalDefault"] is False
    assert classes[CONTROL].get("preemptionPolicy", "PreemptLowerPriority") == "PreemptLowerPriority"
    assert named.keys() >= {"Deployment/satfields-daemon", *(f"Deployment/satfields-{name}" for name in LOCATIONS)}
    servers = {name for name in named if name.startswith(("Deployment/", "StatefulSet/"))}
    assert {name: named[name] for name in servers} == dict.fromkeys(servers, CONTROL)


def test_the_reference_names_each_server_of_the_class() -> None:
    words = {"api": "the HTTP API", "postgresql": "PostgreSQL"} | dict.fromkeys(LOCATIONS, "code servers")
    found = [*everything("minikube"), *platform(values={"viewer": {"enabled": True}})]
    page = (ROOT / "docs" / "reference" / "kubernetes.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| `satfields-control-NAMESPACE` |")]

    servers = {name.partition("/satfields-")[2] for name, named in priorities(found).items() if named == CONTROL}
    assert set(row.split("|")[2].strip().split(", ")) == {words.get(name, name) for name in servers}


def test_a_migration_before_an_upgrade_needs_no_class_that_the_upgrade_brings() -> None:
    assert priorities(platform())["Job/satfields-migrate"] is None


@pytest.mark.parametrize(
    ("chosen", "made", "name"),
    [
        ({"name": "important"}, set(), "important"),
        ({"create": False}, set(), None),
        ({"value": 100}, {CONTROL}, CONTROL),
    ],
)
def test_the_priority_of_servers_is_the_values_to_say(chosen: Manifest, made: set[str], name: str | None) -> None:
    found = platform(values={"priorityClass": chosen})

    assert of_kind(found, "PriorityClass").keys() - {RUNS} == made
    assert priorities(found)["Deployment/satfields-webserver"] == name
    if made:
        assert of_kind(found, "PriorityClass")[CONTROL]["value"] == chosen["value"]


@pytest.mark.parametrize(
    ("chosen", "name"), [({}, CONTROL), ({"name": "important"}, "important"), ({"enabled": False}, None)]
)
def test_the_priority_of_a_locations_servers_is_its_values_to_say(chosen: Manifest, name: str | None) -> None:
    assert set(priorities(location(values={"priorityClass": chosen})).values()) == {name}


def test_servers_have_no_lower_priority_than_runs() -> None:
    with pytest.raises(ValueError, match="priorityClass"):
        platform(values={"priorityClass": {"value": -1}})


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (3, 1)])
def test_of_several_webservers_one_is_always_left(replicas: int, budgets: int) -> None:
    found = platform(values={"webserver": {"replicas": replicas}})
    pod = pod_templates(found)["Deployment/satfields-webserver"]
    (spread,) = pod["spec"]["topologySpreadConstraints"]

    assert only(found, "Deployment", "satfields-webserver")["spec"]["replicas"] == replicas
    assert spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert [one["spec"]["maxUnavailable"] for one in of_kind(found, "PodDisruptionBudget").values()] == [1] * budgets


def test_code_servers_grow_only_where_values_say_that_a_metrics_server_is_there() -> None:
    found = location(values=SCALED)
    scaler = only(found, "HorizontalPodAutoscaler", "satfields-realtime")["spec"]

    assert of_kind(location(), "HorizontalPodAutoscaler") == {}
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "satfields-realtime"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 9)
    assert scaler["metrics"][0]["resource"]["target"] == {"type": "AverageValue", "averageValue": "300m"}
    assert "replicas" not in only(found, "Deployment", "satfields-realtime")["spec"]  # an upgrade would set it back
    assert of_kind(found, "PodDisruptionBudget").keys() == {"satfields-realtime"}


def test_more_servers_by_an_autoscaler_are_no_new_ones() -> None:
    scaled, fixed = (option(server(location(values=values)), "fixed-server-id") for values in (SCALED, {}))

    assert scaled == fixed


def test_an_autoscalers_bounds_must_fit_together() -> None:
    with pytest.raises(ValueError, match=r"autoscaling\.minReplicas is 7, more than autoscaling\.maxReplicas, 3"):
        location(values={"autoscaling": {"enabled": True, "minReplicas": 7, "maxReplicas": 3}})
