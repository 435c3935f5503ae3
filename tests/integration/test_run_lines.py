"""The lines of real runs and ticks: one format, with the keys of the run, and no secret in any of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster._loggers
import pytest
from dagster import DagsterInstance
from dagster._core.definitions.instigation_logger import InstigationLogger
from satcommon.contract import REGION, partition
from satcommon.run_logs import log_as
from satcommon.telemetry import logs
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, Satctl

DAY = datetime.now(UTC).date() - timedelta(days=2)
KEY = "planted/secret+key"
# As in a cluster: elsewhere another process copies what a step writes, 4 KiB at a time, between the lines of the run.
_INSTANCE = """
telemetry: {enabled: false}
compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}
"""


@pytest.mark.slow
def test_a_run_that_fails_tells_its_keys_and_no_secret(system: Engine, satctl: Satctl, tmp_path: Path) -> None:
    """The store can't be reached, and its address, which the error names, holds its key."""
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(DAY), "--resolution", "500")
    (tmp_path / "dagster.yaml").write_text(_INSTANCE)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(REGION, ["S"])
    planted = {
        "DAGSTER_HOME": str(tmp_path),
        "SATFIELDS_STORE": "s3://bucket/prefix",
        "SATFIELDS_STORE_TIMEOUT_SECONDS": "0.2",
        "SATFIELDS_LOG_FORMAT": "json",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:1/{quote(KEY, safe='')}",
        "AWS_ACCESS_KEY_ID": "planted-id",
        "AWS_SECRET_ACCESS_KEY": KEY,
    }
    asked = ["--select", "scenes", "-m", "satfields_ingest.definitions", "--partition", str(partition("S", DAY))]

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "dagster", "asset", "materialize", *asked],
        env=os.environ | planted,
        capture_output=True,
        text=True,
    )

    found = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("{")] == [
        "Error: Materialization failed."
    ]  # of Dagster's command
    (asked_for,) = [line for line in found if "dagster_event" not in line]
    (failed,) = [line for line in found if line.get("dagster_event") == "STEP_FAILURE"]
    assert (asked_for["event"], asked_for["error"]) == ("source asked: failed", "StoreError")
    assert failed["level"] == "error"
    assert "StoreError" in failed["exception"]
    for line in (asked_for, failed):
        assert (line["region"], line["day"], line["location"]) == ("S", str(DAY), "ingest")
        assert line["run"] == asked_for["run"]
    for secret in (KEY, "planted%2Fsecret", "planted-id"):
        assert secret not in done.stdout + done.stderr


def test_what_a_sensor_says_is_a_line_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_LOG_FORMAT", "json")
    monkeypatch.setenv("EARTHDATA_TOKEN", KEY)
    logs.forget()
    log_as("ingest")

    with InstigationLogger(instigator_name="due_scenes") as log:
        log.warning("no answer with %s", KEY)

    line: dict[str, Any] = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["location"]) == ("no answer with ***", "warning", "ingest")


def test_dagster_makes_the_logger_of_a_run_by_the_function_that_is_replaced() -> None:
    log_as("ingest")

    ((definition, config),) = dagster._loggers.default_system_loggers(None)
    made = definition.logger_fn(_Context(config))  # type: ignore[arg-type]

    assert [type(handler) for handler in made.handlers] == [logs.StandardError]
    assert made.handlers[0].level == logging.INFO


class _Context:
    def __init__(self, config: object) -> None:
        self.logger_config = config
