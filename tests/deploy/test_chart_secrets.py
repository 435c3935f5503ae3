"""Secrets as variables or as files: each pod has its own, once, and can read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

from tests.deploy.charts import LOCATIONS, VALUES, Manifest, api, location, of_kind, platform, pod_templates
from tests.deploy.test_chart_features import context, dagster_yaml, server
from tests.deploy.test_chart_runs import instance, launched, outside, written  # noqa: F401  # fixtures

AS_FILES: Manifest = {"secrets": {"asFiles": True}}
VIEWED: Manifest = {**AS_FILES, "viewer": {"enabled": True}}
LEDGER, DAGSTER = "SATFIELDS_DATABASE_URL_FILE", "DAGSTER_POSTGRES_URL_FILE"


def files_of(container: Manifest, volumes: list[Manifest]) -> dict[str, tuple[str, str]]:
    """Of each variable that names a secret's file: the Secret, and its key."""
    secrets = {one["name"]: one["secret"]["secretName"] for one in volumes if "secret" in one}
    mounted = {one["mountPath"]: secrets[one["name"]] for one in container["volumeMounts"] if one["name"] in secrets}
    named = {one["name"]: one["value"] for one in container.get("env", []) if one["name"].endswith("_URL_FILE")}
    assert {path.rpartition("/")[0] for path in named.values()} == mounted.keys(), container["name"]
    return {name: (mounted[path.rpartition("/")[0]], path.rpartition("/")[2]) for name, path in named.items()}


def secret_variables(container: Manifest) -> list[str]:
    return [one["secretRef"]["name"] for one in container.get("envFrom", []) if "secretRef" in one]


def test_as_files_no_container_has_a_url_among_its_variables() -> None:
    found = [*platform(values=VIEWED), *api(values=AS_FILES)]
    found += [one for name in LOCATIONS for one in location(name, values=AS_FILES)]
    ledger, dagster = (
        {LEDGER: ("satfields-ledger", "SATFIELDS_DATABASE_URL")},
        {DAGSTER: ("satfields-dagster", "DAGSTER_POSTGRES_URL")},
    )
    held = {}

    for name, template in pod_templates(found).items():
        for container in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            if not name.endswith("postgresql"):
                assert secret_variables(container) == [], name
                held[f"{name.split('/')[1]} {container['name']}"] = files_of(container, template["spec"]["volumes"])

    control = ("webserver", "viewer", "daemon")
    assert held == {
        **{f"satfields-{name} {part}": dagster for name in control for part in ("wait-for-database", name)},
        **{f"satfields-{name} {part}": ledger | dagster for name in LOCATIONS for part in ("preflight", "code-server")},
        "satfields-satctl satctl": ledger | dagster,
        "satfields-metrics metrics": ledger,
        "satfields-api api": ledger,
        "satfields-migrate wait-for-database": dagster,
        "satfields-migrate dagster": dagster,
        "satfields-migrate ledger": ledger,
    }


def test_as_variables_no_container_has_a_file() -> None:
    found = [*platform(), *location(), *api()]

    for template in pod_templates(found).values():
        assert not [one for one in template["spec"]["volumes"] if "secret" in one]
    assert dagster_yaml(found)["run_launcher"]["config"]["env_secrets"] == ["satfields-ledger", "satfields-dagster"]


def test_a_run_has_the_files_too(tmp_path: Path, instance: DagsterInstance) -> None:  # noqa: F811  # the fixture
    spec = launched(instance, written(platform(values=AS_FILES), tmp_path), "realtime", AS_FILES, {}).spec.template.spec
    (container,) = spec.containers

    assert [one.secret_ref for one in container.env_from if one.secret_ref] == []
    assert {one.name for one in container.env} >= {LEDGER, DAGSTER}
    mounts = {one.name: one.mount_path for one in container.volume_mounts}
    volumes = {one.name: one.secret for one in spec.volumes if one.secret}
    assert {name: secret.secret_name for name, secret in volumes.items()} == {
        "ledger-secret": "satfields-ledger",
        "dagster-secret": "satfields-dagster",
    }
    assert all(secret.default_mode == 0o440 for secret in volumes.values())
    assert mounts["ledger-secret"] == "/etc/satfields-secrets/ledger"
    assert container.command[:2] == ["sh", "-c"]
    assert container.args[:2] == ["dagster", "api"]


def commands() -> list[list[str]]:
    """What goes before a command that needs Dagster's database, in each place."""
    found = platform(values=AS_FILES)
    serving = server(location(values={**AS_FILES, "runs": {"withEnvironment": True}}))
    pods = pod_templates(found)
    return [
        serving["command"],
        context(serving)["run_k8s_config"]["container_config"]["command"],
        dagster_yaml(found)["run_launcher"]["config"]["run_k8s_config"]["container_config"]["command"],
        *(pods[f"Deployment/satfields-{name}"]["spec"]["containers"][0]["command"] for name in ("webserver", "daemon")),
        *(one["command"] for one in pods["Job/satfields-migrate"]["spec"]["initContainers"]),
    ]


def test_a_command_finds_dagsters_url_in_its_environment_and_its_arguments_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text('postgresql://d:it\'s "$HOME"@db/dagster\n')
    shown = f"import os, sys; print(os.environ['DAGSTER_POSTGRES_URL'], '{DAGSTER}' in os.environ, sys.argv[1:])"

    (command,) = {tuple(one) for one in commands()}
    done = subprocess.run(
        [*command, sys.executable, "-c", shown, "two words", "*"],
        env={**os.environ, DAGSTER: str(file)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "postgresql://d:it's \"$HOME\"@db/dagster False ['two words', '*']\n"


def test_a_command_without_its_file_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [*commands()[0], "echo", "started"],
        env={**os.environ, DAGSTER: str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert done.stdout == ""
    assert str(tmp_path / "none") in done.stderr


@pytest.mark.parametrize("environment", ["minikube", "production"])
def test_a_backup_has_the_files_of_satctl(environment: str) -> None:
    values = {**AS_FILES, "backup": {"enabled": True, "to": "s3://b/p"}}
    template = pod_templates(platform(environment, values))["CronJob/satfields-backup"]

    assert files_of(template["spec"]["containers"][0], template["spec"]["volumes"]).keys() == {LEDGER, DAGSTER}
    assert of_kind(platform(environment, values), "CronJob").keys() >= {"satfields-backup", "satfields-satctl"}


IDENTITIES = sorted((VALUES / "production" / "identity").glob("*.yaml"))
CHARTS = ("platform", "location", "api")


def is_for(chart: str, file: Path) -> bool:
    """A file is for the chart that its name ends with, else for all."""
    named = file.stem.rpartition("-")[2]
    return named == chart or named not in CHARTS


def test_each_chart_has_an_example_of_an_identity_of_its_own() -> None:
    assert {file.stem for file in IDENTITIES} >= {f"aws-{chart}" for chart in CHARTS}


@pytest.mark.parametrize("file", IDENTITIES, ids=lambda file: file.stem)
def test_examples_of_identities_fit_the_charts_and_bring_no_keys(file: Path) -> None:
    values = yaml.safe_load(file.read_text())
    rendered = {
        "platform": platform("production", values) if is_for("platform", file) else [],
        "location": location("realtime", "production", values) if is_for("location", file) else [],
        "api": api("production", values) if is_for("api", file) else [],
    }
    found = [one for manifests in rendered.values() for one in manifests]

    accounts = {name for name, one in of_kind(found, "ServiceAccount").items() if "annotations" in one["metadata"]} | {
        template["spec"].get("serviceAccountName")
        for template in pod_templates(found).values()
        if "aws-token" in str(template)
    }
    needed = {"platform": "satfields-satctl", "location": "satfields-realtime", "api": "satfields-api"}
    assert accounts >= {needed[chart] for chart, manifests in rendered.items() if manifests}
    for template in pod_templates(found).values():
        assert [secret_variables(one) for one in template["spec"]["containers"]] == [[]]
