"""What k8s/compose promises, as far as it can be told without Docker: `make lint` holds it against the schema, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from satcommon.settings import Settings, unknown_variables

from tests.deploy.charts import LOCATIONS

FOLDER = Path(__file__).parents[2] / "k8s" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE))
OFFERED = dict(re.findall(r"^#?(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE))
OURS = {"satctl", "satserve", "platform", *LOCATIONS}


def filled(text: str, variables: dict[str, str]) -> str:
    """The text as Compose reads it with these variables."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2] or ""
        if default.startswith(":-"):
            return variables.get(name) or default[2:]
        assert variables.get(name), name
        return variables[name]

    return re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", value, text)


def services(variables: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services with these variables; an entry of an environment without a value is that of its variable."""
    found = yaml.safe_load(filled(TEXT, variables))["services"]
    for service in found.values():
        told = service.get("environment", {}).items()
        values = {name: variables.get(name) if value is None else value for name, value in told}
        service["environment"] = {name: value for name, value in values.items() if value is not None}
    return dict(found)


def image_name(service: dict[str, Any]) -> str:
    return re.sub(r"^.*/|:.*$", "", service["image"])


def test_the_example_has_each_variable_that_is_asked_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT)) | set(
        re.findall(r"^  (\w+):$", TEXT.partition("x-dagster")[0], re.MULTILINE)
    )

    assert set(OFFERED) == asked


def test_every_image_of_ours_is_there_and_those_of_others_say_their_version() -> None:
    found = services(EXAMPLE)
    ours = {image_name(service) for service in found.values() if service["image"].startswith(EXAMPLE["IMAGES"])}
    others = [service["image"] for service in found.values() if image_name(service) not in OURS]

    assert ours == OURS
    assert all(re.search(r":v?\d", image) for image in others), others


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"SATFIELDS_SCENE_SOURCE": "folder", "SATFIELDS_SCENE_FOLDER": "s3://satfields/scenes"},
        {
            "SATFIELDS_SCENE_SOURCE": "stac",
            "SATFIELDS_STAC": "earth-search",
            "SATFIELDS_PARTITIONS_START": "2026-03-01",
        },
    ],
    ids=["simulated", "folder", "stac"],
)
def test_each_environment_is_one_of_valid_settings(chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, service in services(EXAMPLE | chosen).items():
        if image_name(service) not in OURS - {"platform"}:
            continue
        told = service["environment"]
        with monkeypatch.context() as patch:
            for variable, value in told.items():
                patch.setenv(variable, value)
            settings = Settings()

        assert unknown_variables(told) == {}, name
        assert settings.store == "s3://satfields/store"
        assert settings.scene_source == (EXAMPLE | chosen)["SATFIELDS_SCENE_SOURCE"]
        assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} <= set(told), name


def test_nothing_of_ours_starts_before_both_databases_are_migrated() -> None:
    for name, service in services(EXAMPLE).items():
        if image_name(service) in OURS and not name.startswith("migrate-"):
            waits = {
                other
                for other, how in service["depends_on"].items()
                if how["condition"] == "service_completed_successfully"
            }
            assert waits == {"migrate-ledger", "migrate-dagster"}, name


def test_hosts_that_are_named_are_services() -> None:
    found = services(EXAMPLE)
    hosts = {
        host
        for service in found.values()
        for value in service["environment"].values()
        for host in re.findall(r"^(?:http|postgresql)://(?:[^@/]*@)?([\w-]+)", value)
    }

    assert hosts == {"postgresql", "s3", "webserver"}
    assert hosts <= set(found)


def test_the_workspace_asks_the_three_locations() -> None:
    servers = [entry["grpc_server"] for entry in yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"]]

    assert servers == [{"host": name, "port": 4000, "location_name": name} for name in LOCATIONS]


def test_dagster_takes_its_configuration() -> None:
    config, _ = dagster_instance_config(str(FOLDER))

    assert config["storage"]["custom"]["class"] == "PooledPostgresStorage"
    for service in services(EXAMPLE).values():
        if image_name(service) in {"platform", *LOCATIONS}:
            assert service["environment"]["DAGSTER_POSTGRES_URL"].endswith("@postgresql/dagster")


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in services(EXAMPLE).values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_of_ours_can_write_to_their_tmp_alone() -> None:
    for name, service in services(EXAMPLE).items():
        if image_name(service) in OURS:
            assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"]), name
