"""What each value does, on and off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import yaml

from tests.deploy.charts import (
    CHARTS,
    ENVIRONMENTS,
    LOCATIONS,
    Manifest,
    StrictLoader,
    location,
    of_kind,
    only,
    overlays,
    platform,
    pod_templates,
)

FOLDER = {"SATFIELDS_SCENE_SOURCE": "folder", "SATFIELDS_SCENE_FOLDER": "/var/lib/satfields/scenes"}
BUCKET = {"volume": {"enabled": False}, "settings": {**FOLDER, "SATFIELDS_STORE": "s3://bucket/prefix"}}
EXTRAS: Manifest = {
    "databaseCA": {"configMap": "authority", "key": "root.pem"},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "podAnnotations": {"team": "fields"},
}
PLACED = {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "spot", "operator": "Exists"}]}


def pod(found: list[Manifest], name: str) -> Manifest:
    return next(spec for key, spec in pod_templates(found).items() if key.endswith(f"/{name}"))["spec"]


def server(found: list[Manifest], name: str = "satfields-realtime") -> Manifest:
    container: Manifest = pod(found, name)["containers"][0]
    return container


def context(container: Manifest) -> Manifest:
    """What a code server tells Dagster about its runs."""
    variable = container["env"][0]
    assert variable["name"] == "DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT"
    told: Manifest = json.loads(variable["value"])["k8s"]
    return told


def dagster_yaml(found: list[Manifest]) -> Manifest:
    told: Manifest = yaml.load(only(found, "ConfigMap", "satfields-instance")["data"]["dagster.yaml"], StrictLoader)
    return told


def settings(found: list[Manifest]) -> dict[str, str]:
    data: dict[str, str] = only(found, "ConfigMap", "satfields-settings")["data"]
    return data


def images(found: list[Manifest]) -> set[str]:
    pods = [template["spec"] for template in pod_templates(found).values()]
    return {one["image"] for spec in pods for one in [*spec.get("initContainers", []), *spec["containers"]]}


def option(container: Manifest, name: str) -> str:
    (value,) = [text.partition("=")[2] for text in container["args"] if text.startswith(f"--{name}=")]
    return str(value)


# The platform


def test_postgresql_in_the_cluster_is_a_choice() -> None:
    inside, outside = platform("minikube"), platform("minikube", {"postgresql": {"enabled": False}, "settings": FOLDER})
    made = {(one["kind"], one["metadata"]["name"]) for one in inside}
    gone = made - {(one["kind"], one["metadata"]["name"]) for one in outside}

    kinds = ("ConfigMap", "Service", "StatefulSet", "ServiceAccount", "NetworkPolicy")
    assert gone == {(kind, "satfields-postgresql") for kind in kinds}
    assert of_kind(platform("production"), "StatefulSet") == {}


def test_postgresql_has_its_size_class_and_connections() -> None:
    values = {"postgresql": {"size": "7Gi", "storageClass": "fast", "maxConnections": 77}}
    found = platform("minikube", values)

    claim = only(found, "StatefulSet", "satfields-postgresql")["spec"]["volumeClaimTemplates"][0]["spec"]
    assert (claim["resources"]["requests"]["storage"], claim["storageClassName"]) == ("7Gi", "fast")
    assert "max_connections=77" in only(found, "ConfigMap", "satfields-postgresql")["data"]["start.sh"]
    default = only(platform("minikube"), "StatefulSet", "satfields-postgresql")["spec"]["volumeClaimTemplates"][0]
    assert "storageClassName" not in default["spec"]  # the cluster's own


def test_a_volume_of_objects_outlives_its_release_and_is_a_choice() -> None:
    values = {"volume": {"accessMode": "ReadWriteMany", "storageClass": "nfs", "size": "9Gi"}}
    found = platform("minikube", values)

    claim = only(found, "PersistentVolumeClaim", "satfields-objects")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == "nfs"
    assert claim["spec"]["resources"]["requests"]["storage"] == "9Gi"
    assert of_kind(platform("minikube", BUCKET), "PersistentVolumeClaim") == {}


@pytest.mark.parametrize("enabled", [True, False])
def test_satctl_and_runs_see_the_volume_or_a_bucket(enabled: bool) -> None:
    found = platform("minikube", {} if enabled else BUCKET)
    launcher = dagster_yaml(found)["run_launcher"]["config"]
    satctl = pod(found, "satfields-satctl")

    for volumes, mounts in (
        (satctl["volumes"], satctl["containers"][0]["volumeMounts"]),
        (launcher["volumes"], launcher["volume_mounts"]),
    ):
        assert ({"name": "objects", "persistentVolumeClaim": {"claimName": "satfields-objects"}} in volumes) is enabled
        assert ({"name": "objects", "mountPath": "/var/lib/satfields"} in mounts) is enabled
        assert {one["name"] for one in mounts} == {one["name"] for one in volumes}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_location_mounts_the_claim_that_its_platform_makes(environment: str) -> None:
    claims = of_kind(platform(environment), "PersistentVolumeClaim").keys()
    spec = pod(location("realtime", environment), "satfields-realtime")

    used = {one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if "persistentVolumeClaim" in one}
    mounts = {one["mountPath"] for one in spec["containers"][0]["volumeMounts"] if one["name"] == "objects"}
    assert used == claims
    store = settings(platform(environment))["SATFIELDS_STORE"]
    assert all(store.startswith(f"{path}/") for path in mounts)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_location_asks_of_its_platform_is_there(environment: str) -> None:
    maps = of_kind(platform(environment), "ConfigMap").keys()
    launcher = dagster_yaml(platform(environment))["run_launcher"]["config"]

    for name in LOCATIONS:
        asked = server(location(name, environment), f"satfields-{name}")["envFrom"]
        assert [one["configMapRef"]["name"] for one in asked if "configMapRef" in one] == launcher["env_config_maps"]
        assert [one["secretRef"]["name"] for one in asked if "secretRef" in one] == launcher["env_secrets"]
    assert set(launcher["env_config_maps"]) <= maps


def test_policies_of_the_network_are_a_choice() -> None:
    off = {"networkPolicy": {"enabled": False}}

    assert of_kind(platform(values=off), "NetworkPolicy") == {}
    assert of_kind(location(values=off), "NetworkPolicy") == {}
    assert "satfields-default-deny" in of_kind(platform(), "NetworkPolicy")
    assert "satfields-realtime" in of_kind(location(), "NetworkPolicy")


def test_a_ui_may_be_read_only() -> None:
    locked = platform(values={"webserver": {"readOnly": True}})

    assert "--read-only" in pod(locked, "satfields-webserver")["containers"][0]["args"]
    assert "--read-only" not in pod(platform(), "satfields-webserver")["containers"][0]["args"]


@pytest.mark.parametrize(
    "text", ["", '[x]\nname = "a"\n', "# ünïcode \\ 'single' \"double\"\n\tkey = '''\n{{ x }}'''\n"]
)
def test_algorithms_arrive_as_they_were_written(text: str) -> None:
    found = platform(values={"algorithms": text})

    assert only(found, "ConfigMap", "satfields-algorithms")["data"]["algorithms.toml"] == text
    assert ("SATFIELDS_ALGORITHMS" in settings(found)) == bool(text)
    if text:
        folder, _, name = settings(found)["SATFIELDS_ALGORITHMS"].rpartition("/")
        mounts = pod(found, "satfields-satctl")["containers"][0]["volumeMounts"]
        assert (folder, name) in [(one["mountPath"], "algorithms.toml") for one in mounts]


def test_settings_arrive_as_text_that_says_the_same() -> None:
    given: dict[str, Any] = {
        "AWS_A": 1000000,
        "AWS_B": True,
        "AWS_C": 0.25,
        "AWS_D": 'a "quoted": {text}',
        "AWS_E": "007",
        "AWS_F": False,
        "AWS_G": 0,
        "SATFIELDS_HOME": "",
    }
    found = settings(platform(values={"settings": given}))

    assert {name: found[name] for name in given} == {
        "AWS_A": "1000000",
        "AWS_B": "true",
        "AWS_C": "0.25",
        "AWS_D": 'a "quoted": {text}',
        "AWS_E": "007",
        "AWS_F": "false",
        "AWS_G": "0",
        "SATFIELDS_HOME": "",
    }


def test_satctl_finds_the_ui() -> None:
    service = only(platform(), "Service", "satfields-webserver")

    port = service["spec"]["ports"][0]["port"]
    assert settings(platform())["SATFIELDS_DAGSTER_URL"] == f"http://{service['metadata']['name']}:{port}"


def test_a_change_of_settings_is_no_restart_of_dagster_and_one_of_its_configuration_is() -> None:
    def checksums(values: Manifest) -> list[str]:
        pods = pod_templates(platform("production", values))
        return [
            pods[f"Deployment/satfields-{name}"]["metadata"]["annotations"]["checksum/instance"]
            for name in ("webserver", "daemon")
        ]

    before = checksums({})

    assert checksums({"settings": {"SATFIELDS_LATENESS_DAYS": "1"}}) == before
    assert set(checksums({"locations": ["ingest"]})).isdisjoint(before)


def test_the_daemon_is_one_at_a_time() -> None:
    daemon = only(platform(), "Deployment", "satfields-daemon")["spec"]

    assert (daemon["replicas"], daemon["strategy"]) == (1, {"type": "Recreate"})


def test_databases_are_migrated_after_an_installation_and_before_an_upgrade() -> None:
    job = only(platform(), "Job", "satfields-migrate")
    spec = job["spec"]["template"]["spec"]

    assert set(job["metadata"]["annotations"]["helm.sh/hook"].split(",")) == {"post-install", "pre-upgrade"}
    assert [one["name"] for one in spec["initContainers"]] == ["wait-for-database", "dagster"]
    assert spec["containers"][0]["args"] == ["db", "upgrade"]
    # Before an upgrade the ConfigMaps are those of the release before.
    assert "configMap" not in json.dumps(spec)


def test_maintenance_comes_at_its_time_and_never_twice_at_once() -> None:
    job = only(platform(values={"maintenance": {"schedule": "5 4 * * 0"}}), "CronJob", "satfields-satctl")["spec"]

    assert (job["schedule"], job["concurrencyPolicy"]) == ("5 4 * * 0", "Forbid")
    assert job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["gc"]


def test_metrics_are_served_by_satctl_and_are_a_choice() -> None:
    found = platform()
    (container,) = pod(found, "satfields-metrics")["containers"]
    annotations = {
        key: template["metadata"]["annotations"] for key, template in pod_templates(found).items() if "metrics" in key
    }

    assert container["args"] == ["metrics", "--host=0.0.0.0", "--port=9464"]
    assert container["image"].startswith("satfields/satctl:")
    assert {"secretRef": {"name": "satfields-dagster"}} not in container["envFrom"]
    assert only(found, "Service", "satfields-metrics")["spec"]["ports"][0]["port"] == 9464
    assert [one["prometheus.io/port"] for one in annotations.values()] == ["9464"]
    off = platform(values={"metrics": {"enabled": False}})
    assert not [one for one in off if one["metadata"]["name"] == "satfields-metrics"]
    plain = json.dumps(platform(values={"metrics": {"annotated": False}}))
    assert "prometheus.io" not in plain


def test_a_monitor_of_the_prometheus_operator_is_a_choice_and_chooses_the_service() -> None:
    values = {"metrics": {"serviceMonitor": {"enabled": True, "interval": "60s", "labels": {"release": "prometheus"}}}}
    found = platform(values=values)

    monitor = only(found, "ServiceMonitor", "satfields-metrics")

    assert of_kind(platform(), "ServiceMonitor") == {}
    labels = only(found, "Service", "satfields-metrics")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "interval": "60s", "scrapeTimeout": "25s"}]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_alert_rules_are_a_choice_and_those_of_the_files_with_the_values_of_this_release() -> None:
    rules = {"enabled": True, "runbooks": "https://docs.example/runbooks/", "labels": {"release": "p"}}
    rules |= {"freshnessDueHours": 8, "databaseCapacityBytes": 1e11}
    settings = {"SATFIELDS_LATENESS_DAYS": "20"}

    found = of_kind(platform(values={"metrics": {"rules": rules}, "settings": settings}), "PrometheusRule")

    assert of_kind(platform(), "PrometheusRule") == {}
    assert {name: [group["name"] for group in one["spec"]["groups"]] for name, one in found.items()} == {
        f"satfields-{file.stem}": [group["name"] for group in yaml.safe_load(file.read_text())["groups"]]
        for file in (CHARTS.parent / "alerts").glob("*.yaml")
    }
    assert all(one["metadata"]["labels"]["release"] == "p" for one in found.values())
    rendered = [rule for one in found.values() for group in one["spec"]["groups"] for rule in group["rules"]]
    chosen = {rule["record"]: rule["expr"] for rule in rendered if "labels" in rule and "record" in rule}
    assert chosen["satfields:freshness_due:hours"] == "vector(8)"
    assert chosen["satfields:lateness:days"] == "vector(20)"
    assert chosen["satfields:database_capacity:bytes"] == "vector(1e+11)"
    assert len(chosen) == 6
    links = [rule["annotations"]["runbook_url"] for rule in rendered if "alert" in rule]
    assert {link.rpartition("/")[0] for link in links} == {"https://docs.example/runbooks"}
    given = [rule for rule in rendered if rule.get("record") not in chosen]
    assert "SatfieldsDaemonStopped" in {rule.get("alert") for rule in given}
    assert sum("{{ $value" in json.dumps(rule) for rule in given) > 10  # Prometheus' templates, not Helm's


def test_dashboards_are_a_choice_and_found_by_grafanas_sidecar() -> None:
    found = platform(values={"metrics": {"dashboards": {"enabled": True}}})

    boards = {
        name: one
        for name, one in of_kind(found, "ConfigMap").items()
        if "grafana_dashboard" in one["metadata"]["labels"]
    }

    assert not [name for name in of_kind(platform(), "ConfigMap") if "dashboard" in name]
    files = sorted((CHARTS.parent / "dashboards").glob("*.json"))
    assert sorted(boards) == [f"satfields-dashboard-{file.stem}" for file in files]
    assert {one["metadata"]["labels"]["grafana_dashboard"] for one in boards.values()} == {"1"}
    for file in files:
        (text,) = boards[f"satfields-dashboard-{file.stem}"]["data"].values()
        assert json.loads(text) == json.loads(file.read_text())


def test_every_image_of_the_platform_can_come_from_elsewhere() -> None:
    here = {"repository": "registry.example/x", "tag": "7"}
    found = platform(values={"image": here, "satctl": {"image": here}, "postgresql": {"image": here}})

    assert images(found) == {"registry.example/x:7"}
    assert images(platform()) == {"satfields/platform:0.1.0", "satfields/satctl:0.1.0", "postgres:16"}


@pytest.mark.parametrize("chart", ["platform", "code-location"])
def test_every_pod_can_be_placed_and_pull_from_a_private_registry(chart: str) -> None:
    values = {**PLACED, "imagePullSecrets": [{"name": "registry"}]}
    render = platform if chart == "platform" else location

    for key, template in pod_templates(render(values=values)).items():
        assert {name: template["spec"].get(name) for name in values} == values, key
    for key, template in pod_templates(render()).items():
        assert values.keys().isdisjoint(template["spec"]), key


def test_runs_pull_from_the_private_registry_too() -> None:
    values = {"imagePullSecrets": [{"name": "registry"}]}
    full = server(location(values={**values, "runs": {"withEnvironment": True}}))

    assert dagster_yaml(platform(values=values))["run_launcher"]["config"]["image_pull_secrets"] == [
        {"name": "registry"}
    ]
    assert "image_pull_secrets" not in dagster_yaml(platform())["run_launcher"]["config"]
    assert context(full)["image_pull_secrets"] == [{"name": "registry"}]


def test_each_number_of_runs_has_its_place_in_dagsters_configuration() -> None:
    runs = {
        "maxConcurrent": 41,
        "maxConcurrentBackground": 31,
        "maxRetries": 7,
        "ttlSeconds": 2592000,  # thirty days: printed as 2.592e+06 if it is taken for a float
        "startTimeoutSeconds": 1000001,
        "dequeueSeconds": 3,
        "monitoringSeconds": 1000003,
        "labels": {"team": "yes"},
    }
    found = dagster_yaml(platform(values={"runs": runs, "retentionDays": 1000005}))
    launcher = found["run_launcher"]["config"]
    limits = {one["key"]: one["limit"] for one in found["run_coordinator"]["config"]["tag_concurrency_limits"]}

    assert found["run_coordinator"]["config"]["max_concurrent_runs"] == 41
    assert found["run_coordinator"]["config"]["dequeue_interval_seconds"] == 3
    assert limits == {"satfields/lane": 1, "satfields/background": 31}
    assert found["run_retries"]["max_retries"] == 7
    assert launcher["run_k8s_config"]["job_spec_config"]["ttl_seconds_after_finished"] == 2592000
    assert found["run_monitoring"]["start_timeout_seconds"] == 1000001
    assert found["run_monitoring"]["poll_interval_seconds"] == 1000003
    assert launcher["labels"] == {"satfields/run": "yes", "team": "yes"}
    assert found["retention"]["schedule"]["purge_after_days"] == 1000005
    assert isinstance(found["retention"]["schedule"]["purge_after_days"], int)


def test_ticks_are_kept_for_some_days() -> None:
    found = dagster_yaml(platform(values={"retentionDays": 30}))["retention"]["sensor"]["purge_after_days"]

    assert found == {"skipped": 7, "failure": 30, "success": 30}


def test_dagster_s_storage_keeps_as_many_connections_as_the_values_say() -> None:
    storage = dagster_yaml(platform(values={"dagster": {"connections": 7}}))["storage"]["custom"]

    assert getattr(import_module(storage["module"]), storage["class"]).config_type().keys() >= storage["config"].keys()
    assert storage["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}, "connections": 7}


# Workspace and locations


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_workspace_asks_the_services_of_the_locations(environment: str) -> None:
    text = only(platform(environment), "ConfigMap", "satfields-instance")["data"]["workspace.yaml"]
    asked = {
        one["grpc_server"]["location_name"]: (one["grpc_server"]["host"], one["grpc_server"]["port"])
        for one in yaml.safe_load(text)["load_from"]
    }

    served = {}
    for name in LOCATIONS:
        found = location(name, environment)
        (service,) = of_kind(found, "Service").values()
        container = server(found, f"satfields-{name}")
        (port,) = service["spec"]["ports"]
        assert port["targetPort"] == container["ports"][0]["name"]
        assert option(container, "port") == str(container["ports"][0]["containerPort"])
        served[option(container, "location-name")] = (service["metadata"]["name"], port["port"])
    assert asked == served


def test_the_list_of_locations_is_what_dagster_asks() -> None:
    text = only(platform(values={"locations": ["one", "two-b"]}), "ConfigMap", "satfields-instance")["data"]

    hosts = [one["grpc_server"]["host"] for one in yaml.safe_load(text["workspace.yaml"])["load_from"]]
    assert hosts == ["satfields-one", "satfields-two-b"]


def test_a_location_serves_the_module_of_its_name_unless_told_otherwise() -> None:
    other = location("realtime", "minikube", {"location": "second-try"})
    named = location("realtime", "minikube", {"module": "mine.definitions"})

    assert option(server(location()), "module-name") == "satfields_realtime.definitions"
    assert option(server(other, "satfields-second-try"), "module-name") == "satfields_second_try.definitions"
    assert server(other, "satfields-second-try")["image"] == "satfields/second-try:0.1.0"
    assert option(server(named), "module-name") == "mine.definitions"


def test_a_location_runs_one_image_and_says_so_to_its_runs() -> None:
    found = location(values={"image": {"repository": "registry.example/r", "tag": "7"}})

    assert images(found) == {"registry.example/r:7"}
    assert option(server(found), "container-image") == "registry.example/r:7"


def test_a_location_is_looked_at_before_it_replaces_another() -> None:
    (preflight,) = pod(location(), "satfields-realtime")["initContainers"]
    rolling = only(location(), "Deployment", "satfields-realtime")["spec"]["strategy"]["rollingUpdate"]

    assert preflight["args"] == ["python", "-m", "satcommon.preflight"]
    assert preflight["envFrom"] == server(location())["envFrom"]
    assert preflight["volumeMounts"] == server(location())["volumeMounts"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1), (10, 1)])
def test_of_several_servers_one_is_always_left(replicas: int, budgets: int) -> None:
    found = location(values={"replicas": replicas})

    assert only(found, "Deployment", "satfields-realtime")["spec"]["replicas"] == replicas
    assert [one["spec"]["maxUnavailable"] for one in of_kind(found, "PodDisruptionBudget").values()] == [1] * budgets


def test_runs_have_the_resources_of_their_location_and_nothing_else_from_there() -> None:
    runs = {"resources": {"limits": {"memory": "3Gi"}}}
    told = context(server(location(values={"runs": runs})))["run_k8s_config"]

    assert told.keys() == {"container_config"}  # what a location's release may set, a run's tag may set, too
    assert told["container_config"].keys() == {"resources"}
    assert told["container_config"]["resources"]["limits"] == {"memory": "3Gi"}


@pytest.mark.parametrize("render", [platform, location])
def test_every_pod_has_what_values_add(render: Callable[..., list[Manifest]]) -> None:
    for key, template in pod_templates(render(values=EXTRAS)).items():
        if key == "StatefulSet/satfields-postgresql":
            continue
        assert template["metadata"]["annotations"].items() >= EXTRAS["podAnnotations"].items(), key
        names = {volume["name"] for volume in template["spec"]["volumes"]}
        for one in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            env = {variable["name"]: variable["value"] for variable in one["env"]}
            assert env.items() >= {"PGSSLROOTCERT": "/etc/satfields-database/root.pem", "HTTPS_PROXY": "proxy"}.items()
            mounts = {mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]}
            assert mounts.items() >= {"database-ca": "/etc/satfields-database", "more": "/more"}.items(), key
            assert mounts.keys() <= names, key


def test_runs_of_another_launcher_have_what_values_add() -> None:
    told = context(server(location(values={**EXTRAS, "runs": {"withEnvironment": True}})))

    assert [one["name"] for one in told["run_k8s_config"]["container_config"]["env"]] == [
        "PGSSLROOTCERT",
        "HTTPS_PROXY",
    ]
    assert {one["name"] for one in told["volumes"]} >= {"database-ca", "more"}


def test_service_accounts_have_the_annotations_of_a_cloud() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}
    accounts = of_kind(platform(values={"serviceAccountAnnotations": {"run": role}}), "ServiceAccount")

    assert {name for name, one in accounts.items() if "annotations" in one["metadata"]} == {"satfields-run"}
    assert accounts["satfields-run"]["metadata"]["annotations"] == role
    (serving,) = of_kind(location(values={"serviceAccountAnnotations": role}), "ServiceAccount").values()
    assert serving["metadata"]["annotations"] == role


def test_the_webserver_uses_no_connection_of_a_server_that_was_restarted() -> None:
    assert "--db-pool-recycle=1" in pod(platform(), "satfields-webserver")["containers"][0]["args"]


def test_runs_have_their_environment_from_the_platform_or_on_demand_from_here() -> None:
    alone = context(server(location()))
    full = context(server(location(values={"runs": {"withEnvironment": True}})))
    spec = pod(location(), "satfields-realtime")

    assert alone.keys() == {"run_k8s_config"}
    assert full["env_config_maps"] == ["satfields-settings"]
    assert full["env_secrets"] == ["satfields-ledger", "satfields-dagster"]
    assert full["volumes"] == spec["volumes"]
    assert full["volume_mounts"] == spec["containers"][0]["volumeMounts"]


def server_id(environment: str = "minikube", values: Manifest | None = None, *options: str) -> str:
    return option(server(location("realtime", environment, values, *options)), "fixed-server-id")


def test_all_servers_of_a_release_are_one_server_to_dagster() -> None:
    before = server_id()

    assert re.fullmatch(r"satfields-realtime-[0-9a-f]{12}", before)
    assert server_id("minikube", {}, "--is-upgrade") == before
    assert server_id("minikube", {"replicas": 2}) == before  # more servers of the same
    assert server_id("minikube", {"replicas": 2}) == server_id("minikube", {"replicas": 3})


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"tag": "7"}},
        {"image": {"repository": "registry.example/r"}},
        {"module": "other.definitions"},
        {"resources": {"limits": {"memory": "700Mi"}}},
        {"runs": {"resources": {"limits": {"memory": "3Gi"}}}},
        {"volume": {"claim": ""}},
        {"settings": "other"},
    ],
)
def test_another_image_or_value_is_another_server(values: Manifest) -> None:
    assert server_id("minikube", values) != server_id()


def test_more_servers_are_no_new_ones() -> None:
    one, two = (pod_templates(location(values={"replicas": n}))["Deployment/satfields-realtime"] for n in (1, 2))

    assert one == two


def test_the_makefile_deploys_what_is_tested_here() -> None:
    makefile = (CHARTS.parents[1] / "Makefile").read_text()

    assert f"locations := {' '.join(LOCATIONS)}\n" in makefile
    for environment in ENVIRONMENTS:
        assert all(file.exists() for name in LOCATIONS for file in overlays("code-location", environment, name))
