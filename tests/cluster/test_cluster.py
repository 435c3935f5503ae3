"""The whole on a real cluster: installed, fed, revised, upgraded in the middle of a replay, killed, and removed.

`make e2e_k8s` runs it against kubectl's current context. One story: each test goes on where the one before it ended.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
import shapely
from satcommon.contract import REGISTRY_JOB
from satctl.dagster_api import graphql

from tests.cluster import kube
from tests.cluster.kube import (
    LOCATIONS,
    available,
    kubectl,
    make,
    objects,
    pods,
    runs,
    satctl,
    served,
    settled,
    sql,
    wait_for,
)
from tests.cluster.reference import rows_of_a_laptop

TAG = os.environ["TAG"]
NEXT = f"{TAG}-next"  # the same code as another release
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST = YESTERDAY - timedelta(days=1)  # of the sample regions, A and B
EARLIER = YESTERDAY - timedelta(days=90)  # of region C, whose past is caught up in one run
C = ["regions", "add", "C", "--bounds", "-94.4", "40.4", "-94.3", "40.5", "--monitored-from", str(EARLIER)]
FEW_DAYS = 2 * ((YESTERDAY - FIRST).days + 1)
DAYS = FEW_DAYS + (YESTERDAY - EARLIER).days + 1


class Late:
    """Fields that are entered long after they were planted, each in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def file(self) -> Path:
        """One more, in region C."""
        number = len(self.files)
        west = -94.395 + 0.005 * number
        feature = {
            "type": "Feature",
            "properties": {"external_id": f"late-{number}", "planting_date": str(EARLIER)},
            "geometry": shapely.geometry.mapping(shapely.box(west, 40.45, west + 0.004, 40.456)),
        }
        self.files.append(self.folder / f"late-{number}.geojson")
        self.files[-1].write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        return self.files[-1]

    def enter(self) -> None:
        """Register it in the cluster."""
        satctl("fields", "import", str(self.file()))


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Late:
    return Late(tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def began() -> float:
    """When the installation began."""
    return time.monotonic()


def test_it_is_installed_from_nothing_and_seeded(began: float) -> None:
    assert name_is_free(), (
        f"the namespace {kube.NAMESPACE} is there already; `make clean_k8s NAMESPACE={kube.NAMESPACE}`"
    )

    make("deploy", f"TAG={TAG}")
    satctl("regions", "seed", "--monitored-from", str(FIRST))

    assert all(available(location) for location in LOCATIONS)


def test_the_first_picture_does_not_wait_for_tomorrow(began: float, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = "SELECT count(*) FROM event_logs WHERE asset_key LIKE '%field_metrics%' AND event LIKE '%image/png%'"

    wait_for("the first day's picture", lambda: sql(pictures, "dagster") != [["0"]])

    seconds = time.monotonic() - began
    with capsys.disabled():
        sys.stdout.write(f"\nthe first day's picture came {seconds:.0f} s after `make deploy` began\n")


def test_days_of_scenes_go_through_ingest_and_realtime_as_jobs() -> None:
    wait_for("the first days are closed", lambda: settled(FEW_DAYS))

    assert len(runs("ingest")) >= FEW_DAYS
    assert runs("realtime")


def test_a_region_s_past_is_caught_up_in_one_run() -> None:
    satctl(*C)
    satctl("runs", "launch", "backfill", "--region", "C", "--until", str(YESTERDAY), "--wait")

    wait_for("the earlier days are closed", lambda: settled(DAYS))


def test_a_late_field_is_drained_by_reprocessing(late: Late) -> None:
    late.enter()

    wait_for("the late field's days are there", lambda: settled(DAYS))
    assert runs("reprocessing")
    assert "nothing is lost" in satctl("audit")


def phase(pod: str) -> str:
    """How far a pod has come, as Kubernetes says it."""
    return kubectl("get", "pod", pod, "--output", "jsonpath={.status.phase}")


def replaying() -> list[str]:
    """The pods of replays under way; now and then one that finds nothing to do is among them."""
    return [pod["metadata"]["name"] for pod in runs("reprocessing") if pod["status"]["phase"] == "Running"]


def test_a_location_is_upgraded_in_the_middle_of_a_replay_and_rolled_back(late: Late) -> None:
    kube.upgrade("reprocessing", "--set", "replicas=2")
    wait_for("it has two servers", lambda: available("reprocessing") == 2)
    before = {location: pods(location) for location in LOCATIONS} | {"platform": pods("webserver") | pods("daemon")}
    late.enter()
    wait_for("a replay is under way", replaying, pause=0.2)
    replays = replaying()
    kube.upgrade("reprocessing", "--set-string", f"image.tag={NEXT}")
    assert set(replays) & set(replaying()), "the replay was over before the upgrade was under way"
    servers: list[int] = []

    def new_ones_serve() -> bool:
        servers.append(available("reprocessing"))
        return servers[-1] == 2 and set(pods("reprocessing")).isdisjoint(before["reprocessing"])

    wait_for("the new release serves", new_ones_serve, pause=0.5)
    assert min(servers) == 2, f"servers that answered while the old ones were replaced: {servers}"

    wait_for("the replay is done", lambda: settled(DAYS))
    for replay in replays:
        pod = json.loads(kubectl("get", "pod", replay, "--output", "json"))
        assert pod["spec"]["containers"][0]["image"].endswith(f"/reprocessing:{TAG}"), (
            "it went on in the image that it began with"
        )
    ended = {"Succeeded", "Failed"}
    wait_for("their pods have ended", lambda: all(phase(replay) in ended for replay in replays))
    assert [phase(replay) for replay in replays] == ["Succeeded"] * len(replays)
    for name in ("ingest", "realtime"):
        assert pods(name) == before[name], "another location's pods were touched"
    assert pods("webserver") | pods("daemon") == before["platform"]

    def a_replay_is_of_the_new_release() -> bool:
        late.enter()
        wait_for("its replay is done", lambda: settled(DAYS))
        return any(p["spec"]["containers"][0]["image"].endswith(f":{NEXT}") for p in runs("reprocessing"))

    # For some seconds yet the daemon may launch what it knew of the servers before.
    wait_for("a replay is of the new release", a_replay_is_of_the_new_release)

    make("rollback-reprocessing")
    image = json.loads(kubectl("get", "deployment", "satfields-reprocessing", "--output", "json"))
    assert image["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{TAG}")
    assert "nothing is lost" in satctl("audit")


def kill_a_run(late: Late) -> None:
    late.enter()
    wait_for("a replay is under way", replaying, pause=0.2)
    kubectl("delete", "pod", *replaying(), "--grace-period=0", "--force", "--ignore-not-found")


def kill_the_daemon(late: Late) -> None:
    late.enter()
    kubectl("delete", "pod", *pods("daemon"), "--grace-period=0", "--force")


def kill_a_code_server(late: Late) -> None:
    late.enter()
    kubectl("delete", "pod", *pods("reprocessing"), "--grace-period=0", "--force")


def kill_postgresql(late: Late) -> None:
    late.enter()
    connect = "import os, psycopg2; psycopg2.connect(os.environ['DAGSTER_POSTGRES_URL'], connect_timeout=2)"
    with kube.webserver() as url:
        graphql.runs(url, 1)  # so that it holds a connection
        kubectl("delete", "pod", "satfields-postgresql-0", "--grace-period=0", "--force")
        ask = ("deployment/satfields-webserver", "--container", "webserver", "--", "python", "-c", connect)
        wait_for("PostgreSQL answers again", lambda: not kubectl("exec", *ask))

        assert graphql.runs(url, 1), "the webserver's first answer from the new server"


@pytest.mark.parametrize("kill", [kill_a_run, kill_the_daemon, kill_a_code_server, kill_postgresql])
def test_nothing_is_lost_whatever_is_killed(kill: Callable[[Late], None], late: Late) -> None:
    kill(late)

    wait_for("all is made good", lambda: settled(DAYS))


def test_every_run_had_its_own_location_s_image() -> None:
    seen = {
        (pod["metadata"]["labels"]["dagster/code-location"], pod["spec"]["containers"][0]["image"]) for pod in runs()
    }

    assert {location for location, _ in seen} == set(LOCATIONS)
    for location, image in seen:
        assert f"/{location}:" in image
    for pod in runs():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.parametrize(("region", "first"), [("A", FIRST), ("B", FIRST), ("C", EARLIER)])
def test_the_rows_are_those_of_a_laptop_where_all_was_known_in_time(
    region: str, first: date, late: Late, tmp_path: Path
) -> None:
    exported = satctl("export", region, "--format", "csv", "--output", "-")

    found = list(csv.DictReader(io.StringIO(exported)))
    setup = [["regions", "seed", "--monitored-from", str(first)], *([C] if region == "C" else [])]
    imports = [["fields", "import", str(file)] for file in late.files]
    expected = rows_of_a_laptop(tmp_path, region, YESTERDAY, [*setup, *imports])
    assert len(found) == len(expected) > 0
    assert found == expected


def test_rows_are_served_over_http_to_who_has_a_key_of_their_region() -> None:
    key = json.loads(satctl("keys", "add", "reader", "--region", "A", "--json"))["key"]
    path, day = "/regions/{}/days/{}?f=csv", str(YESTERDAY)
    exported = satctl("export", "A", "--from", day, "--to", day, "--format", "csv", "--output", "-")

    status, text = served(path.format("A", day), key)

    rows, expected = (
        [
            (
                row["field"],
                row["status"],
                *(row[name] and float(row[name]) for name in ("ndvi_mean", "ndvi_integral_e4")),
            )
            for row in csv.DictReader(io.StringIO(each))
        ]
        for each in (text, exported)
    )
    assert (status, rows) == (200, expected)
    assert len(rows) > 0
    assert served(path.format("A", day), "not-a-key")[0] == 401
    assert served(path.format("B", day), key)[0] == 404


def test_every_state_is_as_computed_again() -> None:
    assert "nothing is lost" in satctl("audit", "--deep")


def allowed(account: str) -> set[tuple[str, str]]:
    """Verbs and resources of a service account, but for what everybody may ask of an API server."""
    who = f"--as=system:serviceaccount:{kube.NAMESPACE}:satfields-{account}"
    lines = kubectl("auth", "can-i", "--list", who).splitlines()
    columns = [lines[0].index(name) for name in ("Non-Resource URLs", "Resource Names", "Verbs")]
    found = set()
    for line in lines[1:]:
        resource, verbs = line[: columns[0]].strip(), line[columns[2] :].strip("[] \n")
        if resource and not resource.startswith("selfsubject"):
            found |= {(verb, resource) for verb in verbs.split()}
    return found


def test_no_service_account_may_do_more_than_it_needs() -> None:
    jobs = {("get", "jobs.batch"), ("list", "jobs.batch"), ("delete", "jobs.batch"), ("get", "jobs.batch/status")}
    watching = {("get", "pods"), ("list", "pods")}

    assert allowed("daemon") == jobs | watching | {("create", "jobs.batch"), ("get", "pods/log"), ("list", "events")}
    assert allowed("webserver") == jobs | watching
    for account in ("run", "satctl", "postgresql", *LOCATIONS):
        assert allowed(account) == set()


HOSTILE = {
    "pod_spec_config": {
        "priorityClassName": "system-node-critical",
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    },
    "container_config": {
        "image": "docker.io/library/other:1",
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    },
}
TAGS: dict[str, dict[str, Any]] = {  # of a run each
    "hostile": HOSTILE,
    **{
        name: {"container_config": {"resources": {"requests": asked, "limits": asked}}}
        for name, asked in {
            "greedy": {"cpu": "500", "memory": "2Ti"},
            "GPU": {"nvidia.com/gpu": "1"},
            "modest": {"cpu": "300m", "memory": "700Mi"},
        }.items()
    },
}


END = (
    "mutation($id: String!) { terminateRun(runId: $id, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) { __typename } }"
)


def test_whoever_launches_runs_takes_no_more_than_the_ceiling() -> None:
    with kube.webserver() as url:
        ids = {
            name: graphql.launch(url, "ingest", REGISTRY_JOB, {"dagster-k8s/config": json.dumps(config)}, {})
            for name, config in TAGS.items()
        }

        def said(name: str) -> str:
            return kubectl("get", "events", f"--field-selector=involvedObject.name=dagster-run-{ids[name]}", "-o=yaml")

        def status(name: str) -> str:
            return graphql.runs(url, 1, run_ids=[ids[name]])[0].status

        wait_for("the modest run is done", lambda: status("modest") == "SUCCESS")
        wait_for("the hostile run is refused", lambda: status("hostile") == "FAILURE")
        wait_for("the greedy run has no pod", lambda: "maximum cpu usage per Container" in said("greedy"))
        wait_for("the GPU's run has no pod", lambda: "exceeded quota: satfields-devices" in said("GPU"))
        for name in ("greedy", "GPU"):
            graphql.execute(url, END, {"id": ids[name]})

    why = sql(
        f"SELECT event FROM event_logs WHERE run_id = '{ids['hostile']}' AND event LIKE '%allowed list%'", "dagster"
    )
    assert why, "what it may not set is told"
    (modest,) = objects("pods", f"dagster/run-id={ids['modest']}")
    (container,) = modest["spec"]["containers"]
    asked = TAGS["modest"]["container_config"]["resources"]["requests"]
    assert (container["resources"]["requests"], container["resources"]["limits"]) == (asked, asked)
    assert modest["spec"]["priority"] < 0
    assert not [one for name in ids if name != "modest" for one in objects("pods", f"dagster/run-id={ids[name]}")]
    wait_for("nothing of them is left", lambda: settled(DAYS))


SENSORS = """{
    sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "realtime"}) {
        ... on Sensors { results { minIntervalSeconds } }
    }
}"""


def test_a_changed_setting_reaches_a_locations_sensors_with_its_next_deployment() -> None:
    before = {location: pods(location) for location in LOCATIONS}

    def pauses() -> list[int]:
        with kube.webserver() as url:
            found = graphql.execute(url, SENSORS)["sensorsOrError"].get("results", [])
        return [one["minIntervalSeconds"] for one in found]

    make("deploy-realtime", f"TAG={TAG}")
    assert pods("realtime") == before["realtime"], "nothing was changed, and nothing rolled"
    make("deploy-platform", f"TAG={TAG}", platform="--set settings.SATFIELDS_SENSOR_SECONDS=7")
    make("deploy-realtime", f"TAG={TAG}")

    assert set(pods("realtime")).isdisjoint(before["realtime"])
    assert {name: pods(name) for name in ("ingest", "reprocessing")} == {
        name: before[name] for name in ("ingest", "reprocessing")
    }
    wait_for("Dagster has loaded the sensors anew", lambda: 7 in pauses(), 120)


def test_large_input_and_output_go_whole_through_a_pod() -> None:
    names = {f"far-{number:0>190}": f"Far away {number:0>180}" for number in range(20_000)}  # in no region
    features = [
        {
            "type": "Feature",
            "properties": {"external_id": external_id, "name": name, "planting_date": str(EARLIER)},
            "geometry": shapely.geometry.mapping(
                shapely.Point(10 + number % 200 / 100, 50 + number / 20_000).buffer(1e-3, 1)
            ),
        }
        for number, (external_id, name) in enumerate(names.items())
    ]

    satctl("fields", "import", "-", given=json.dumps({"type": "FeatureCollection", "features": features}))
    listed = satctl("fields", "list", "--json")

    assert len(listed) > 11 << 20  # a pod's log is cut at 10 MiB
    assert names.items() <= {one["external_id"]: one["name"] for one in json.loads(listed)}.items()


@pytest.mark.parametrize("component", ["daemon", "webserver"])
def test_a_line_of_a_log_is_written_once_and_for_programs(component: str) -> None:
    log = kubectl("logs", f"deployment/satfields-{component}", "--container", component)

    # Until it has read its options Python's warnings are plain text.
    lines = [json.loads(line) for line in dropwhile(lambda line: not line.startswith("{"), log.splitlines())]
    assert lines
    written = Counter((line["timestamp"], line["event"]) for line in lines)
    assert [line for line, times in written.items() if times > 1] == []
    assert "\x1b" not in log


NEWER = "UPDATE alembic_version SET version_num = '9999'"
UNPINNED = "UPDATE bounding_boxes SET algorithm_version = '7@0123456789ab'"


@pytest.fixture(scope="module")
def wrong_secrets() -> dict[str, list[str]]:
    """Values of ingest's release that name Secrets of a ledger that is not as it should be."""
    key = "go-template={{.data.SATFIELDS_DATABASE_URL | base64decode}}"
    url = kubectl("get", "secret", "satfields-ledger", "--output", key)
    changes = {"empty": "SELECT 1", "newer": NEWER, "pinned": UNPINNED}
    for name, change in changes.items():
        copied = "" if name == "empty" else f"pg_dump satfields | psql -q {name} > /dev/null;"
        inside = f"""
            PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)"
            export PGPASSWORD=$POSTGRES_PASSWORD PGHOST=127.0.0.1 PGUSER=postgres
            createdb --owner satfields {name}; {copied} psql -q {name} -c "$0"
        """
        kubectl("exec", "satfields-postgresql-0", "--", "sh", "-c", inside, change)
    urls = {name: url.rpartition("/")[0] + f"/{name}" for name in changes}
    urls["password"] = url.replace(url.split("@")[0], "postgresql://satfields:not-it")
    for name, wrong in urls.items():
        kubectl("create", "secret", "generic", f"wrong-{name}", f"--from-literal=SATFIELDS_DATABASE_URL={wrong}")
    settings = json.loads(kubectl("get", "configmap", "satfields-settings", "--output", "json"))["data"]
    settings |= {
        "SATFIELDS_STORE": "s3://nowhere/x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SATFIELDS_STORE_TIMEOUT_SECONDS": "3",
    }
    kubectl("create", "configmap", "wrong-settings", *(f"--from-literal={k}={v}" for k, v in settings.items()))
    return {name: ["--set", f"secrets.ledger=wrong-{name}"] for name in urls}


WRONG = {
    "secret": (["--set", "secrets.ledger=nowhere"], 'secret "nowhere" not found'),
    "tag": (["--set-string", "image.tag=none-such"], "none-such"),
    "bucket": (["--set", "settings=wrong-settings"], "the store s3://nowhere/x (SATFIELDS_STORE)"),
    "code": (["--set-string", f"image.tag={TAG}-broken"], "DagsterUserCodeLoadError"),
    "password": (None, "password authentication failed"),
    "empty": (None, "satctl db upgrade"),
    "newer": (None, "9999"),
    "pinned": (None, "7@0123456789ab"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_release_says_why_and_the_one_before_it_goes_on(what: str, wrong_secrets: dict[str, list[str]]) -> None:
    values, message = WRONG[what]
    before, others = pods("ingest"), {name: pods(name) for name in ("realtime", "reprocessing", "webserver", "daemon")}
    try:
        kube.upgrade("ingest", *(values or wrong_secrets[what]))
        wait_for(f"an operator is told {message!r}", lambda: message in " ".join(make("check_pod_status").split()), 120)

        assert available("ingest") == len(before), "the servers of the release before it answer"
        assert {name: pods(name) for name in others} == others
    finally:
        kube.helm("rollback", "ingest")
    wait_for("its pods are gone", lambda: pods("ingest") == before, 120)


def test_all_locations_are_loaded_still_and_doctor_finds_nothing_but_the_invented_region() -> None:
    with pytest.raises(AssertionError, match="region C: its scenes are simulated"):
        satctl("doctor")

    satctl("regions", "deactivate", "C")

    wait_for("the doctor finds nothing", lambda: satctl("doctor"), 120, pause=5)


def test_nothing_is_left_after_it_is_removed() -> None:
    make("clean_k8s", "YES=1")

    assert name_is_free()
    everywhere = json.loads(kubectl("get", "clusterroles,clusterrolebindings", "--output", "json"))["items"]
    assert not [one for one in everywhere if "satfields" in one["metadata"]["name"]]


def name_is_free() -> bool:
    return "NotFound" in kubectl("get", "namespace", kube.NAMESPACE, check=False)
