"""Beside a Dagster of its official chart: what is not Dagster's, and nothing of ours in its way."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.deploy.charts import (
    CHARTS,
    LOCATIONS,
    NAMESPACE,
    Manifest,
    manifests,
    of_kind,
    only,
    pod_templates,
    run_helm,
)

FILES = CHARTS.parent / "joining"


def rendered(release: str, chart: str, *files: str, **values: Manifest) -> list[Manifest]:
    given = [f"--values={CHARTS.parent / file}" for file in files]
    done = run_helm("template", release, str(CHARTS / chart), f"--namespace={NAMESPACE}", *given, values=values or None)
    if done.returncode:
        raise ValueError(done.stderr)
    return manifests(done.stdout)


def platform(**values: Manifest) -> list[Manifest]:
    return rendered("satfields", "platform", "joining/platform.yaml", **values)


def test_the_platform_brings_what_is_not_dagsters() -> None:
    found = platform()

    assert {(one["kind"], one["metadata"]["name"]) for one in found} == {
        ("ConfigMap", "satfields-settings"),
        ("ConfigMap", "satfields-algorithms"),
        ("CronJob", "satfields-satctl"),
        ("Deployment", "satfields-metrics"),
        ("Service", "satfields-metrics"),
        ("Job", "satfields-migrate"),
        ("ServiceAccount", "satfields-satctl"),
    }
    url = only(found, "ConfigMap", "satfields-settings")["data"]["SATFIELDS_DAGSTER_URL"]
    assert url == "http://dagster-dagster-webserver:80"  # the official chart's RELEASE-dagster-webserver
    for key, template in pod_templates(found).items():
        assert "initContainers" not in template["spec"], key  # Dagster's database is its own chart's
        assert "satfields-dagster" not in json.dumps(template), key


@pytest.mark.parametrize("name", LOCATIONS)
def test_a_code_server_and_its_runs_have_what_the_official_configuration_names(name: str) -> None:
    found = rendered(name, "code-location", f"values/{name}.yaml", "joining/location.yaml")
    (template,) = pod_templates(found).values()
    container = template["spec"]["containers"][0]
    told = json.loads(container["env"][0]["value"])["k8s"]

    password = {
        "name": "DAGSTER_PG_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "dagster-postgresql-secret", "key": "postgresql-password"}},
    }
    assert password in container["env"]
    assert password in told["run_k8s_config"]["container_config"]["env"]
    assert told["env_secrets"] == ["satfields-ledger"]
    assert told["env_config_maps"] == ["satfields-settings"]
    assert of_kind(found, "NetworkPolicy") == {}


def test_the_official_charts_workspace_asks_the_locations_services() -> None:
    told = yaml.safe_load((FILES / "dagster.yaml").read_text())
    servers = told["dagsterWebserver"]["workspace"]["servers"]

    services = {
        name: [(one["metadata"]["name"], one["spec"]["ports"][0]["port"]) for one in of_kind(found, "Service").values()]
        for name in LOCATIONS
        for found in [rendered(name, "code-location", f"values/{name}.yaml", "joining/location.yaml")]
    }
    assert {one["name"]: [(one["host"], one["port"])] for one in servers} == services
    # Without both it makes a workspace of its example, or none.
    assert told["dagsterWebserver"]["workspace"]["enabled"] is True
    assert told["dagster-user-deployments"] == {"enabled": True, "enableSubchart": False}


@pytest.mark.parametrize(
    "values", [{"networkPolicy": {"enabled": True}}, {"postgresql": {"enabled": True}}, {"dagster": {"url": ""}}]
)
def test_what_would_shut_the_other_dagster_in_is_refused(values: Manifest) -> None:
    with pytest.raises(ValueError, match=r"dagster\.enabled is false"):
        platform(**values)
