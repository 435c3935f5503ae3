"""The cluster of kubectl's current context, asked and told by the commands that an operator has."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMESPACE = os.environ.get("NAMESPACE", "satfields-e2e")
LOCATIONS = ("ingest", "realtime", "reprocessing")
PATIENCE = 300.0  # seconds: for a cluster of one busy node
VALUES = f"--values {ROOT / 'tests/cluster/values.yaml'}"


def run(*command: str, check: bool = True, **variables: str) -> str:
    """What a command prints, both streams; where it fails, that is the failure's message."""
    environment = {**os.environ, "NAMESPACE": NAMESPACE, **variables}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


def make(*arguments: str, platform: str = "", check: bool = True) -> str:
    """`make`, with what the tests' platform is given besides."""
    given = f"{VALUES} {os.environ.get('PLATFORM_ARGS', '')} {platform}"
    return run("make", "--no-print-directory", *arguments, f"PLATFORM_ARGS={given}", check=check)


def kubectl(*arguments: str, check: bool = True) -> str:
    """`kubectl` in the tests' namespace."""
    return run(*shlex.split(os.environ.get("KUBECTL", "kubectl")), "--namespace", NAMESPACE, *arguments, check=check)


def helm(*arguments: str) -> str:
    """`helm` in the tests' namespace."""
    return run(*shlex.split(os.environ.get("HELM", "helm")), "--namespace", NAMESPACE, *arguments)


def upgrade(location: str, *values: str) -> None:
    """Begin an upgrade of a location's release, with other values than it has; not waited for."""
    arguments = shlex.split(os.environ.get("HELM_ARGS", ""))
    helm("upgrade", location, "k8s/charts/code-location", "--reuse-values", *arguments, *values)


def satctl(*arguments: str, given: str = "") -> str:
    """satctl, in a Job, with a text as standard input; only its own output."""
    done = subprocess.run(
        [str(ROOT / "k8s/satctl"), *arguments],
        env={**os.environ, "NAMESPACE": NAMESPACE},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"satctl {shlex.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def webserver() -> Iterator[str]:
    """The URL of the webserver, as `make forward_k8s` has it, on a port of this test's own."""
    command = [*shlex.split(os.environ.get("KUBECTL", "kubectl")), "--namespace", NAMESPACE, "port-forward"]
    forward = subprocess.Popen(
        [*command, "service/satfields-webserver", ":80"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert forward.stdout is not None
        said = forward.stdout.readline()  # Forwarding from 127.0.0.1:PORT -> 3000
        assert " -> " in said, said + forward.stdout.read()
        yield f"http://{said.split()[2]}"
    finally:
        forward.terminate()
        forward.communicate()


def served(path: str, key: str = "") -> tuple[int, str]:
    """Status and text of the HTTP API's answer, asked by its Service's name from a pod of it."""
    ask = (
        "import sys, urllib.error, urllib.request as r\n"
        "q = r.Request('http://satfields-api' + sys.argv[1], headers={'authorization': 'Bearer ' + sys.argv[2]})\n"
        "try: a = r.urlopen(q, timeout=60)\n"
        "except urllib.error.HTTPError as error: a = error\n"
        "print(a.status, a.read().decode(), sep='\\n', end='')"
    )
    said = kubectl("exec", "deployment/satfields-api", "--", "python", "-c", ask, path, key)
    status, _, text = said.partition("\n")
    return int(status), text


def sql(statement: str, database: str = "satfields") -> list[list[str]]:
    """Rows of a statement, asked within PostgreSQL's pod, as the database's owner."""
    user, password = ("dagster", "DAGSTER") if database == "dagster" else ("satfields", "LEDGER")
    ask = (
        f'PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)" PGPASSWORD=${password}_PASSWORD '
        f'psql --host 127.0.0.1 --user {user} {database} -v ON_ERROR_STOP=1 -qtAc "$0"'
    )
    said = kubectl("exec", "satfields-postgresql-0", "--", "sh", "-c", ask, statement)
    return [line.split("|") for line in said.splitlines()]


def objects(kind: str, selector: str = "") -> list[dict[str, Any]]:
    """All objects of a kind, or those with labels."""
    arguments = ["--selector", selector] if selector else []
    found: list[dict[str, Any]] = json.loads(kubectl("get", kind, *arguments, "--output", "json"))["items"]
    return found


def pods(component: str = "") -> dict[str, str]:
    """Names and UIDs of the running pods that serve: of one component, or of all."""
    selector = f"app.kubernetes.io/name=satfields-{component}" if component else "app.kubernetes.io/part-of=satfields"
    found = objects("pods", f"{selector},app.kubernetes.io/component!=satctl")
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in found if "deletionTimestamp" not in p["metadata"]}


def runs(location: str = "") -> list[dict[str, Any]]:
    """Pods of runs."""
    return objects("pods", f"satfields/run=yes,dagster/code-location={location}" if location else "satfields/run=yes")


def wait_for(what: str, condition: Callable[[], object], seconds: float = PATIENCE, pause: float = 1.0) -> None:
    """Wait until a condition holds; what it raises in between is no answer yet."""
    end, trouble = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if condition():
                return
            trouble = ""
        except AssertionError as error:
            trouble = f": {error}"
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:g} s{trouble}\n{run('k8s/pod_status.sh', check=False)}")


def settled(days: int) -> bool:
    """Whether so many days are closed, nothing is missed or to be taken out, and no run is queued or under way."""
    ((closed, missed, withdrawn),) = sql(
        "SELECT (SELECT count(*) FROM region_days WHERE closed_at IS NOT NULL),"
        "(SELECT count(*) FROM missed_fields WHERE NOT processed), (SELECT count(*) FROM withdrawals)"
    )
    ((active,),) = sql("SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')", "dagster")
    assert (int(closed), missed, withdrawn, active) == (days, "0", "0", "0"), (
        f"{closed} of {days} days closed, {missed} field-days missed, {withdrawn} to be taken out, {active} runs"
    )
    return True


def available(location: str) -> int:
    """Code servers of a location that answer."""
    return int(
        json.loads(kubectl("get", "deployment", f"satfields-{location}", "--output", "json"))["status"].get(
            "availableReplicas", 0
        )
    )
