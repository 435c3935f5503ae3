"""What Dagster makes of the rendered configuration: its own validation, and the Jobs of runs by its own launcher."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import kubernetes_validate
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_k8s import K8sRunLauncher
from dagster_k8s import launcher as launchers

from tests.deploy.charts import (
    ENVIRONMENTS,
    LOCATIONS,
    NAMESPACE,
    VALUES,
    Manifest,
    location,
    of_kind,
    only,
    platform,
    pod_templates,
)
from tests.deploy.test_chart_features import BUCKET, EXTRAS, PLACED, context, option, server
from tests.deploy.test_charts import VERSIONS

in_every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster as in a pod, but for a token of Kubernetes'."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql://nobody@localhost/nothing")
    monkeypatch.setattr(launchers, "load_kubernetes_config", lambda **_: None)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as found:
        yield found


def written(found: list[Manifest], folder: Path) -> str:
    """A DAGSTER_HOME of what is rendered."""
    for name, text in only(found, "ConfigMap", "satfields-instance")["data"].items():
        (folder / name).write_text(text)
    return str(folder)


def launched(
    instance: DagsterInstance, home: str, name: str, location_values: Manifest, tags: dict[str, str]
) -> kubernetes.client.V1Job:
    """The Job that Dagster's launcher would give to Kubernetes for a run of a location."""
    launcher = InstanceRef.from_dir(home).run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    launcher.register_instance(instance)
    made: list[Any] = []
    launcher._api_client.create_namespaced_job_with_retries = lambda body, namespace: made.append((body, namespace))

    found = location(name, "minikube", location_values)
    origin = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("anything", "anything", None),
        container_image=option(server(found, f"satfields-{name}"), "container-image"),
        entry_point=["dagster"],
        container_context={"k8s": context(server(found, f"satfields-{name}"))},
    )
    run = DagsterRun(job_name="day", tags=tags, job_code_origin=JobPythonOrigin("day", origin))
    instance.add_run(run)
    launcher._launch_k8s_job_with_args("dagster-run-1", ["dagster", "api", "execute_run", "..."], run)
    ((job, namespace),) = made
    assert namespace == NAMESPACE
    return job


@in_every_environment
def test_dagster_accepts_its_configuration(environment: str, tmp_path: Path) -> None:
    home = written(platform(environment), tmp_path)

    config, _ = dagster_instance_config(home)
    ref = InstanceRef.from_dir(home)

    assert config["telemetry"] == {"enabled": False}
    assert type(ref.run_launcher).__name__ == "K8sRunLauncher"
    assert type(ref.run_coordinator).__name__ == "QueuedRunCoordinator"
    assert type(ref.compute_log_manager).__name__ == "NoOpComputeLogManager"
    assert type(ref.local_artifact_storage).__name__ == "LocalArtifactStorage"


def test_dagster_accepts_every_feature(tmp_path: Path) -> None:
    values = {
        **BUCKET,
        "algorithms": "a = 1",
        "imagePullSecrets": [{"name": "registry"}],
        "runs": {"labels": {"team": "x"}, "ttlSeconds": 2592000, "maxRetries": 0, "startTimeoutSeconds": 1000001},
        "retentionDays": 1,
    }
    home = written(platform(values=values), tmp_path)

    dagster_instance_config(home)
    assert (
        InstanceRef.from_dir(home).run_launcher.run_k8s_config["job_spec_config"]["ttl_seconds_after_finished"]
        == 2592000
    )


def test_dagster_reads_the_workspace(tmp_path: Path) -> None:
    home = written(platform(), tmp_path)

    origins = WorkspaceFileTarget([f"{home}/workspace.yaml"]).create_origins()

    assert [(one.location_name, one.host, one.port) for one in origins] == [
        (name, f"satfields-{name}", 4000) for name in LOCATIONS
    ]


@pytest.mark.parametrize("name", LOCATIONS)
def test_a_run_is_a_job_of_its_locations_image_without_rights(
    name: str, instance: DagsterInstance, tmp_path: Path
) -> None:
    home = written(platform(), tmp_path)

    job = launched(instance, home, name, {"image": {"tag": "7"}}, {})
    spec = job.spec.template.spec
    (container,) = spec.containers

    assert container.image == f"satfields/{name}:7"
    assert (job.spec.backoff_limit, job.spec.ttl_seconds_after_finished) == (0, 3600)
    assert spec.service_account_name == "satfields-run"
    assert spec.automount_service_account_token is False
    assert spec.service_account_name in of_kind(platform(), "ServiceAccount")
    assert spec.service_account_name not in str(of_kind(platform(), "RoleBinding"))
    assert_restricted(spec)
    assert container.termination_message_policy == "FallbackToLogsOnError"
    base = yaml.safe_load((VALUES / f"{name}.yaml").read_text())["runs"]["resources"]
    assert container.resources.limits == base["limits"]
    assert container.resources.requests == {"cpu": "100m", "memory": "256Mi"}


def test_kubernetes_knows_every_field_of_a_runs_job(instance: DagsterInstance, tmp_path: Path) -> None:
    job = launched(instance, written(platform(values={**EXTRAS, "runs": PLACED}), tmp_path), "realtime", {}, {})
    with kubernetes.client.ApiClient() as client:
        plain = client.sanitize_for_serialization(job)

    kubernetes_validate.validate({"apiVersion": "batch/v1", "kind": "Job", **plain}, VERSIONS[-1], strict=True)


def assert_restricted(spec: Any) -> None:
    (container,) = spec.containers
    assert (spec.security_context.run_as_non_root, spec.security_context.run_as_user) == (True, 10001)
    assert spec.security_context.seccomp_profile.type == "RuntimeDefault"
    assert container.security_context.allow_privilege_escalation is False
    assert container.security_context.read_only_root_filesystem is True
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.security_context.privileged is None
    assert spec.host_network is None


def test_a_run_has_what_its_code_server_has(instance: DagsterInstance, tmp_path: Path) -> None:
    job = launched(instance, written(platform(), tmp_path), "realtime", {}, {})
    (container,) = job.spec.template.spec.containers
    serving = server(location())

    maps = [one.config_map_ref.name for one in container.env_from if one.config_map_ref]
    secrets = [one.secret_ref.name for one in container.env_from if one.secret_ref]
    assert maps == [one["configMapRef"]["name"] for one in serving["envFrom"] if "configMapRef" in one]
    assert secrets == [one["secretRef"]["name"] for one in serving["envFrom"] if "secretRef" in one]
    mounts = {one.name: one.mount_path for one in container.volume_mounts}
    assert mounts.items() >= {one["name"]: one["mountPath"] for one in serving["volumeMounts"]}.items()
    assert {one.name for one in container.volume_mounts} == {one.name for one in job.spec.template.spec.volumes}


def test_a_tag_may_ask_for_more_memory(instance: DagsterInstance, tmp_path: Path) -> None:
    wanted = {"container_config": {"resources": {"limits": {"memory": "9Gi"}}}}
    tags = {"dagster-k8s/config": json.dumps({**wanted, "merge_behavior": "SHALLOW"})}

    spec = launched(instance, written(platform(), tmp_path), "realtime", {}, tags).spec.template.spec

    assert spec.containers[0].resources.limits == {"memory": "9Gi"}
    assert spec.priority_class_name == f"satfields-runs-{NAMESPACE}"
    assert spec.automount_service_account_token is False
    assert_restricted(spec)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("container_config", "env_from", [{"secret_ref": {"name": "satfields-postgresql"}}]),
        ("container_config", "env", [{"name": "PATH", "value": "/tmp"}]),
        ("container_config", "volume_mounts", [{"name": "x", "mount_path": "/x"}]),
        ("container_config", "security_context", {"privileged": True}),
        ("container_config", "image", "other"),
        ("container_config", "command", ["sh"]),
        ("container_config", "working_dir", "/tmp"),
        ("container_config", "lifecycle", {"post_start": {"exec": {"command": ["sh"]}}}),
        ("pod_spec_config", "priority_class_name", "system-node-critical"),
        ("pod_spec_config", "priorityClassName", "system-node-critical"),
        ("pod_spec_config", "priority", 2000001000),
        ("pod_spec_config", "preemption_policy", "PreemptLowerPriority"),
        ("pod_spec_config", "node_selector", {"disk": "ssd"}),
        ("pod_spec_config", "node_name", "control-plane"),
        ("pod_spec_config", "tolerations", [{"operator": "Exists"}]),
        ("pod_spec_config", "affinity", {"node_affinity": {}}),
        ("pod_spec_config", "scheduler_name", "other"),
        ("pod_spec_config", "runtime_class_name", "other"),
        ("pod_spec_config", "active_deadline_seconds", 9),
        ("pod_spec_config", "enable_service_links", True),
        ("pod_spec_config", "image_pull_secrets", [{"name": "x"}]),
        ("pod_spec_config", "volumes", [{"name": "x", "host_path": {"path": "/"}}]),
        ("pod_spec_config", "service_account_name", "satfields-daemon"),
        ("pod_spec_config", "automount_service_account_token", True),
        ("pod_spec_config", "security_context", {"run_as_user": 0}),
        ("pod_spec_config", "host_network", True),
        ("pod_spec_config", "init_containers", [{"name": "x", "image": "x"}]),
        ("pod_template_spec_metadata", "labels", {"app.kubernetes.io/component": "daemon"}),
        ("pod_template_spec_metadata", "annotations", {"x": "y"}),
        ("job_metadata", "namespace", "other"),
        ("job_spec_config", "backoff_limit", 9),
    ],
)
def test_a_tag_may_not_reach_for_more(
    part: str, field: str, value: object, instance: DagsterInstance, tmp_path: Path
) -> None:
    tags = {"dagster-k8s/config": json.dumps({part: {field: value}})}

    snake = re.sub("(?<!^)([A-Z])", lambda found: f"_{found[1]}", field).lower()
    with pytest.raises(Exception, match=f"violated the allowed list: {part}.{snake}"):
        launched(instance, written(platform(), tmp_path), "realtime", {}, tags)


def test_a_tag_can_not_take_the_limits_away_from_below_the_ceiling() -> None:
    (limits,) = only(platform(values={"ceiling": {"cpu": 3, "memory": "9Gi"}}), "LimitRange", "satfields-ceiling")[
        "spec"
    ]["limits"]

    assert (limits["type"], limits["max"]) == ("Container", {"cpu": 3, "memory": "9Gi"})
    assert "memory" in limits["default"]  # of a container whose tag states none
    assert limits["defaultRequest"].keys() == {"cpu", "memory"}


def test_no_device_is_given_but_by_the_values() -> None:
    def held(**values: Any) -> Any:
        return only(platform(values=values), "ResourceQuota", "satfields-devices")["spec"]["hard"]

    assert set(held().values()) == {0}
    assert held()["requests.nvidia.com/gpu"] == 0
    given = held(devices={"nvidia.com/gpu": 2, "amd.com/gpu": None, "example.com/fpga": 0})
    assert (given["requests.nvidia.com/gpu"], given["requests.example.com/fpga"]) == (2, 0)
    assert "requests.amd.com/gpu" not in given
    with pytest.raises(ValueError, match="devices"):
        platform(values={"devices": {"gpu": 1}})


def test_runs_give_way_to_everything_else() -> None:
    found = platform()
    made = only(found, "PriorityClass", f"satfields-runs-{NAMESPACE}")
    others = [pod["spec"] for pod in pod_templates([*found, *location()]).values()]

    assert -10 <= made["value"] < 0
    assert (made["preemptionPolicy"], made["globalDefault"]) == ("Never", False)
    assert [spec for spec in others if spec.get("priorityClassName") == made["metadata"]["name"]] == []


@pytest.mark.parametrize(
    ("chosen", "name"),
    [({"create": False, "name": "low"}, "low"), ({"name": "low"}, "low"), ({"create": False}, None)],
)
def test_the_priority_of_runs_is_the_platforms_to_say(
    chosen: Manifest, name: str | None, instance: DagsterInstance, tmp_path: Path
) -> None:
    runs = {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "spot"}], "priorityClass": chosen}
    found = platform(values={"runs": runs, "priorityClass": {"create": False}})

    spec = launched(instance, written(found, tmp_path), "ingest", {}, {}).spec.template.spec

    assert (spec.node_selector, spec.priority_class_name) == ({"disk": "ssd"}, name)
    assert [one.key for one in spec.tolerations] == ["spot"]
    assert of_kind(found, "PriorityClass").keys() == ({name} if chosen.get("create", True) else set())


def test_runs_have_what_values_add_to_every_pod(instance: DagsterInstance, tmp_path: Path) -> None:
    job = launched(instance, written(platform(values=EXTRAS), tmp_path), "realtime", {}, {})
    spec = job.spec.template.spec
    (container,) = spec.containers

    env = {one.name: one.value for one in container.env}
    assert env.items() >= {"PGSSLROOTCERT": "/etc/satfields-database/root.pem", "HTTPS_PROXY": "proxy"}.items()
    mounts = {one.name: one.mount_path for one in container.volume_mounts}
    assert mounts.items() >= {"database-ca": "/etc/satfields-database", "more": "/more"}.items()
    assert mounts.keys() == {one.name for one in spec.volumes}
    assert job.spec.template.metadata.annotations == EXTRAS["podAnnotations"]
    assert spec.enable_service_links is False
