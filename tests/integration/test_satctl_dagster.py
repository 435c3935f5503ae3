"""`satctl locations` and `satctl runs`: against nothing, and against a real webserver with the real locations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance
from satcommon import contract
from satcommon.contract import LANE_TAG, REGION
from satcommon.settings import settings
from satctl.local.laptop import free_port, stop, wait_for
from satctl.main import main

Satctl = Callable[..., Result]

BOUNDS = ["-94.3", "40.3", "-94.0", "40.6"]
TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=8)
START_SECONDS = 120.0  # for two code servers and a webserver, on a busy machine

_WORKSPACE = """
load_from:
  - python_module: {module_name: satfields_ingest.definitions, location_name: ingest}
  - python_module: {module_name: satfields_realtime.definitions, location_name: realtime}
  - python_file: {relative_path: broken.py, location_name: broken}
"""
_INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}  # launches without a daemon
"""


def run(*arguments: str, code: int = 0) -> Result:
    settings.cache_clear()
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def registered() -> None:
    """A migrated database with region S."""
    run("db", "upgrade")
    run("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")


# --- without Dagster -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["locations", "list"],
        ["locations", "reload", "ingest"],
        ["runs", "list"],
        ["runs", "launch", "backfill", "--region", "S", "--until", str(TODAY - timedelta(days=1))],
    ],
    ids=" ".join,
)
def test_without_dagster_its_setting_and_the_way_to_start_it_are_named(
    command: list[str], registered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", "http://127.0.0.1:1")

    said = run(*command, code=1).stderr

    assert "Dagster does not answer at http://127.0.0.1:1" in said
    assert "`make up`" in said
    assert "SATFIELDS_DAGSTER_URL" in said


@pytest.mark.parametrize("url", ["localhost:3002", "ftp://localhost", "http://"])
def test_an_address_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"--url='{url}': expected the address" in run("runs", "list", "--url", url, code=2).stderr

    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", url)
    assert f"SATFIELDS_DAGSTER_URL='{url}': expected the address" in run("locations", "list", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["close_day", "--region", "S", "--day", str(FIRST)], "there is no job 'close_day' to launch; expected"),
        (["close_days", "--region", "S"], "close_days takes --day DAY"),
        (["close_days", "--region", "S", "--day", str(FIRST), "--until", str(FIRST)], "close_days takes --day DAY"),
        (["backfill", "--region", "S", "--day", str(FIRST)], "backfill takes --until DAY"),
        (["close_days", "--day", str(FIRST)], "Missing option '--region'"),
        (["close_days", "--region", "T", "--day", str(FIRST)], "there is no region 'T' (known: 'S')"),
        (["close_days", "--region", "S", "--day", "2200-01-01"], "the day is not over"),
        (["close_days", "--region", "S", "--day", "2024-12-31"], "Dagster's window begins on 2025-01-01"),
        (["fetch_scenes", "--region", "S", "--day", "2025-01-01"], f"is monitored from {FIRST} to further notice"),
        (["backfill", "--region", "S", "--until", "2200-01-01"], "the day is not over"),
        (["backfill", "--region", "S", "--until", "2025-01-01"], f"the first open day of region 'S' is {FIRST}"),
        (["backfill", "--region", "T", "--until", str(FIRST)], "there is no region 'T'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_that_could_only_fail_is_not_launched(
    arguments: list[str], message: str, registered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "FIRST_PARTITION", date(2025, 1, 1))  # the window of a process is fixed at its start

    assert message in run("runs", "launch", *arguments, "--url", "http://127.0.0.1:1", code=2).stderr


def test_the_former_name_of_the_backfill_job_is_taken_with_a_note(registered: None) -> None:
    said = run("runs", "launch", "history", "--region", "S", "--until", "2025-01-01", code=2).stderr

    assert "warning: the job 'history' is called 'backfill' now" in said
    assert f"the first open day of region 'S' is {FIRST}" in said


# --- with Dagster --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A webserver with two of the real locations and a broken one; gives the home folder and the URL."""
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "workspace.yaml").write_text(_WORKSPACE)
    (folder / "broken.py").write_text("raise RuntimeError('not today')")
    home = folder / "home"
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text(_INSTANCE)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SATFIELDS_")}
    environment |= {"SATFIELDS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    environment["SATFIELDS_SCENE_SOURCE"] = "simulated"
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(folder / "workspace.yaml"), "-p", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1"], env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"

            def answers() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                return CliRunner().invoke(main, ["runs", "list", "--url", url]).exit_code == 0

            assert wait_for(answers, START_SECONDS), (folder / "log").read_text()
            yield home, url
        finally:
            stop(process)


@pytest.fixture
def dagster(served: tuple[Path, str], clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the webserver; `satctl` works on its home."""
    home, url = served
    monkeypatch.setenv("SATFIELDS_HOME", str(home))
    monkeypatch.setenv("SATFIELDS_DAGSTER_URL", url)
    return url


@pytest.mark.slow
def test_a_broken_location_is_told_from_those_that_are_loaded(dagster: str) -> None:
    found = json.loads(run("locations", "list", "--json", code=1).stdout)

    assert {one["name"]: one["state"] for one in found} == {
        "ingest": "loaded",
        "realtime": "loaded",
        "broken": "broken",
    }
    assert "RuntimeError: not today" in run("locations", "list", code=1).stdout


@pytest.mark.slow
def test_a_location_is_reloaded_or_it_is_said_why_not(dagster: str) -> None:
    assert run("locations", "reload", "ingest").stdout == "reloaded ingest\n"
    assert "'broken' was not loaded: RuntimeError: not today" in run("locations", "reload", "broken", code=1).stderr
    assert "no code location 'nowhere' (known: " in run("locations", "reload", "nowhere", code=2).stderr


@pytest.mark.slow
def test_runs_are_launched_waited_for_and_listed(dagster: str, served: tuple[Path, str]) -> None:
    home, _ = served
    run("db", "upgrade")
    for name in ("S", "T"):
        run("regions", "add", name, "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        instance.add_dynamic_partitions(REGION, ["S"])  # and not T, as before ingest's sensor saw it

    fetched = run("runs", "launch", "fetch_scenes", "--region", "S", "--day", str(FIRST), "--wait")
    closed = run("runs", "launch", "close_days", "--region", "S", "--day", str(FIRST), "--wait", "--json")
    last = FIRST + timedelta(days=4)
    filled = run("runs", "launch", "backfill", "--region", "S", "--until", str(last), "--wait")
    failed = run("runs", "launch", "close_days", "--region", "T", "--day", str(FIRST), "--wait", code=1)

    assert "launched fetch_scenes for region S: " in fetched.stdout
    assert "it ended as SUCCESS" in fetched.stdout
    assert json.loads(closed.stdout)["status"] == "SUCCESS"
    assert "it ended as SUCCESS" in filled.stdout
    assert "error: the run ended as FAILURE" in failed.stderr
    status = json.loads(run("status", "--region", "S", "--json").stdout)["regions"][0]
    assert date.fromisoformat(status["watermark"]) == last
    listed = json.loads(run("runs", "list", "--json").stdout)
    assert [(one["job"], one["location"], one["status"], one["tags"][LANE_TAG]) for one in listed] == [
        ("close_days", "realtime", "FAILURE", "realtime:T"),
        ("backfill", "realtime", "SUCCESS", "backfill:S"),
        ("close_days", "realtime", "SUCCESS", "realtime:S"),
        ("fetch_scenes", "ingest", "SUCCESS", "ingest:S"),
    ]
    assert listed[-1]["tags"]["dagster/partition"] == f"{FIRST}|S"
    assert [one["job"] for one in json.loads(run("runs", "list", "--status", "failure", "--json").stdout)] == [
        "close_days"
    ]
    assert f"{FIRST}|S" in run("runs", "list", "--limit", "2", "--status", "SUCCESS").stdout
