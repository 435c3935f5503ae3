"""What holds for everything that the charts render, in every environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate.utils
import pytest

from tests.deploy.charts import (
    CHARTS,
    ENVIRONMENTS,
    LOCATIONS,
    NAMESPACE,
    Manifest,
    api,
    everything,
    location,
    of_kind,
    only,
    overlays,
    platform,
    pod_templates,
    run_helm,
)
from tests.deploy.test_chart_features import EXTRAS
from tests.deploy.test_chart_ui import INGRESS

VERSIONS = ("1.36", "1.37")  # the newest that the package has
RELEASES = [("platform", "platform"), ("api", "api"), *(("code-location", name) for name in LOCATIONS)]
HOLD_A_TOKEN = {"Deployment/satfields-webserver", "Deployment/satfields-daemon"}
API_INGRESS: Manifest = {"enabled": True, "host": "fields.example.org", "tlsSecret": "fields-tls", "className": "nginx"}
CREDENTIALS: Manifest = {"networkPolicy": {"credentialsTo": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}}
ALL_FEATURES = [
    *platform(
        "minikube", {"algorithms": "a", "imagePullSecrets": [{"name": "registry"}], "webserver": {"readOnly": True}}
    ),
    *location("realtime", "production", {"volume": {"claim": "objects"}, "runs": {"withEnvironment": True}, **EXTRAS}),
    *api("production", {**EXTRAS, "autoscaling": {"enabled": True}, "ingress": API_INGRESS}),
    *location("ingest", "production", {"autoscaling": {"enabled": True}}),
    *location("ingest", "minikube", {"secrets": {"asFiles": True}, "runs": {"withEnvironment": True}}),
    *platform("production", {"secrets": {"asFiles": True}, "backup": {"enabled": True, "to": "s3://b/p"}}),
    *platform("production", INGRESS),
    *platform("production", {**EXTRAS, "serviceAccountAnnotations": {"run": {"role": "x"}}, **CREDENTIALS}),
    *platform("production", {"metrics": {"dashboards": {"enabled": True}}}),
]

in_every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def every_container(environment: str) -> Iterator[tuple[str, Manifest]]:
    for name, template in pod_templates(everything(environment)).items():
        yield from ((f"{name} {container['name']}", container) for container in containers(template))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


@in_every_environment
@pytest.mark.parametrize(("chart", "release"), RELEASES)
def test_helm_finds_nothing_to_say(chart: str, release: str, environment: str) -> None:
    files = [f"--values={file}" for file in overlays(chart, environment, release)]

    done = run_helm("lint", "--strict", str(CHARTS / chart), *files)

    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = kubernetes_validate.utils.schema_contents  # two megabytes, for each object again
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", cache(read))
    found = [one for environment in ENVIRONMENTS for one in everything(environment)]

    checked = {kubernetes_validate.validate(one, version, strict=True) for one in [*found, *ALL_FEATURES]}

    assert checked == {version}


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = only(platform(), "Service", "satfields-webserver") | {"sepc": {}}

    with pytest.raises(kubernetes_validate.ValidationError, match="sepc"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@in_every_environment
def test_nothing_is_made_twice_or_elsewhere(environment: str) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in everything(environment)]

    assert len(names) == len(set(names))
    assert {one["metadata"].get("namespace", NAMESPACE) for one in everything(environment)} == {NAMESPACE}
    assert {kind for kind, _ in names}.isdisjoint({"ClusterRole", "ClusterRoleBinding", "Namespace"})
    assert all(NAMESPACE in name for kind, name in names if kind == "PriorityClass")  # it is the whole cluster's


@in_every_environment
def test_a_selector_finds_its_own_pods_and_no_others(environment: str) -> None:
    found = everything(environment)
    templates = pod_templates(found)

    for kind in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget"):
        for name, one in of_kind(found, kind).items():
            wanted = one["spec"]["selector"]
            wanted = wanted.get("matchLabels", wanted)
            chosen = [key for key, pod in templates.items() if wanted.items() <= pod["metadata"]["labels"].items()]
            assert [key.split("/")[1] for key in chosen] == [name]


@in_every_environment
def test_every_pod_keeps_the_restricted_standard(environment: str) -> None:
    for name, template in pod_templates(everything(environment)).items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["enableServiceLinks"] is False, f"{name}: SATFIELDS_WEBSERVER_PORT would be taken for a setting"
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys(), name
        kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
        assert kinds <= {"emptyDir", "configMap", "persistentVolumeClaim"}, name
    for name, container in every_container(environment):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert not [port for port in container.get("ports", []) if "hostPort" in port], name


@in_every_environment
def test_every_container_says_what_it_needs_and_why_it_ended(environment: str) -> None:
    for name, container in every_container(environment):
        resources = container["resources"]
        assert resources["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in resources["limits"], name
        assert "cpu" not in resources["limits"], f"{name}: a limit of cpu throttles where a request shares"
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name


@in_every_environment
def test_what_runs_on_is_probed(environment: str) -> None:
    for name, template in pod_templates(everything(environment)).items():
        if name.startswith(("Deployment/", "StatefulSet/")):
            for container in template["spec"]["containers"]:
                wanted = {"startupProbe", "livenessProbe"} | ({"readinessProbe"} if "ports" in container else set())
                assert container.keys() >= wanted, name
                assert min(container[probe]["timeoutSeconds"] for probe in wanted) >= 5, name
        else:
            assert template["spec"]["restartPolicy"] == "Never", name


@in_every_environment
def test_only_who_makes_or_ends_jobs_holds_a_token(environment: str) -> None:
    found = everything(environment)

    held = {name for name, pod in pod_templates(found).items() if pod["spec"]["automountServiceAccountToken"]}

    assert held == HOLD_A_TOKEN
    assert not any(one["automountServiceAccountToken"] for one in of_kind(found, "ServiceAccount").values())
    accounts = {pod["spec"].get("serviceAccountName") for pod in pod_templates(found).values()} - {None}
    assert accounts <= of_kind(found, "ServiceAccount").keys()


def test_the_api_allows_what_jobs_of_runs_need() -> None:
    found = everything("production")
    jobs, status, pods = ("batch", "jobs"), ("batch", "jobs/status"), ("", "pods")

    allowed = {
        name: {
            (group, resource): set(rule["verbs"])
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        for name, role in of_kind(found, "Role").items()
    }

    assert allowed == {
        "satfields-daemon": {
            jobs: {"create", "get", "list", "delete"},
            status: {"get"},
            pods: {"get", "list"},
            ("", "pods/log"): {"get"},
            ("", "events"): {"list"},
        },
        "satfields-webserver": {jobs: {"get", "list", "delete"}, status: {"get"}, pods: {"get", "list"}},
    }
    for name, binding in of_kind(found, "RoleBinding").items():
        assert binding["roleRef"]["name"] == name
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]


@in_every_environment
def test_no_secret_is_rendered_or_written_out(environment: str) -> None:
    found = everything(environment)

    assert of_kind(found, "Secret") == {}
    assert not [text for text in leaves(found) if re.search(r"://[^/\s:@]+:[^@\s$]+@", str(text))]
    for name, container in every_container(environment):
        literal = [one["name"] for one in container.get("env", []) if "value" in one]
        assert not [one for one in literal if re.search("PASSWORD|SECRET|TOKEN|KEY|URL", one)], name


def test_only_who_works_on_the_ledger_holds_its_secret() -> None:
    holders: dict[str, set[str]] = {}
    for name, container in every_container("minikube"):
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                holders.setdefault(source["secretRef"]["name"], set()).add(name.split("/")[1])

    servers = {f"satfields-{name} {part}" for name in LOCATIONS for part in ("preflight", "code-server")}
    assert holders["satfields-ledger"] == servers | {
        "satfields-satctl satctl",
        "satfields-migrate ledger",
        "satfields-metrics metrics",
        "satfields-api api",
    }
    assert holders["satfields-postgresql"] == {"satfields-postgresql postgresql"}
