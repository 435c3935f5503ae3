"""`satserve` as a program: by its settings, refused where it can't work, beside `satctl up`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from satcommon.errors import RetryableError
from satctl.local import api, laptop
from sqlalchemy import Engine

from tests.integration.satctl_world import Satctl


@pytest.fixture
def registered(system: Engine, satctl: Satctl) -> Engine:
    satctl("regions", "add", "S", "--bounds", "-94.3", "40.3", "-94.0", "40.6", "--monitored-from", "2025-06-01")
    return system


@pytest.mark.slow
def test_a_key_made_by_satctl_opens_what_it_names(registered: Engine, satctl: Satctl, tmp_path: Path) -> None:
    made = satctl("keys", "add", "field app", "--region", "S", "--expires", "12h")
    key = made.stdout.strip()
    key_id = key.split("_")[1]
    port = laptop.free_port()

    with api.serving(port, tmp_path / "api.log", {}) as url:
        assert url == f"http://127.0.0.1:{port}"
        headers = {"authorization": f"Bearer {key}", "x-forwarded-for": "10.0.0.1"}
        told = requests.get(f"{url}/regions", headers=headers, timeout=10)
        assert [each["region"] for each in told.json()["regions"]] == ["S"]
        satctl("keys", "revoke", key_id)
        assert requests.get(f"{url}/regions", headers=headers, timeout=10).status_code == 401

    assert key not in satctl("keys", "list").stdout
    assert "revoked" in satctl("keys", "list").stdout
    assert f"key {key_id} is valid until" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "would read nothing"),
        (["a", "--region", "nowhere"], "nowhere"),
        (["a", "--all-regions", "--region", "S"], "either"),
        (["a", "--all-regions", "--expires", "soon"], "90d"),
        (["a\nb", "--all-regions"], "key name"),
    ],
)
def test_a_key_that_can_not_be_is_refused(registered: Engine, satctl: Satctl, arguments: list[str], said: str) -> None:
    assert said in satctl("keys", "add", *arguments, code=2).stderr


@pytest.mark.slow
def test_a_database_that_was_never_migrated_stops_it_with_a_message_in_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_HOME", str(tmp_path))

    with pytest.raises(RetryableError, match=re.escape(str(tmp_path / "api.log"))):  # noqa: SIM117
        with api.serving(laptop.free_port(), tmp_path / "api.log", {}):
            pass
    log = (tmp_path / "api.log").read_text()
    assert "satctl db upgrade" in log
    assert "Traceback" not in log


def test_where_its_port_is_taken_the_rest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with api.serving(taken.getsockname()[1], tmp_path / "api.log", {}) as url:
            assert url is None
    assert "--api-port" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_is_json_and_none_has_a_secret(registered: Engine, tmp_path: Path, workers: int) -> None:
    port, planted, log = laptop.free_port(), "planted-Word-77", tmp_path / "log"
    given = {"SATFIELDS_LOG_FORMAT": "json", "UPSTREAM": f"https://user:{planted}@catalogue.example"}
    program = [str(Path(sys.executable).with_name("satserve")), "--port", str(port), "--workers", str(workers)]
    url = f"http://127.0.0.1:{port}"

    with log.open("wb") as output:
        process = subprocess.Popen(program, env=os.environ | given, stdout=output, stderr=subprocess.STDOUT)
        try:
            assert laptop.wait_for(lambda: answers(f"{url}/health/live"), 60, pause=0.1), log.read_text()
            with registered.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE bounding_boxes RENAME TO gone")
            assert requests.get(f"{url}/regions/{planted}", timeout=10).status_code == 500
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"no HTTP\r\n\r\n")  # which the server itself warns of
                assert client.recv(100).startswith(b"HTTP/1.1 400")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert planted not in log.read_text()
    assert {"satserve", "satserve.guards", "uvicorn.error"} <= {line["logger"] for line in lines}
    assert f"serving on {url}; Ctrl-C ends it" in {line["event"] for line in lines if line["level"] == "info"}
    (failed,) = [line for line in lines if line["event"] == "request failed"]
    assert failed["path"] == "/regions/***"
    assert "bounding_boxes" in failed["exception"]


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
