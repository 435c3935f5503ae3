"""`satctl up` without its Dagster: the lock on the home, Dagster's own configuration, where its webserver is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from satcommon.environment import Environment
from satcommon.errors import SettingError
from satcommon.settings import settings
from satctl.local import laptop
from satctl.local.dagster_home import FILE, dagster_home, is_own
from satctl.local.home_lock import dagster_url, locked_home

from tests.integration.satctl_world import Satctl

HOLD = """
import sys, time
from pathlib import Path
from satctl.local.home_lock import locked_home
with locked_home(Path(sys.argv[1]), 3999):
    print("held", flush=True)
    time.sleep(60)
"""


# --- the lock ------------------------------------------------------------------------------------------------------


def test_a_second_up_on_a_home_names_the_first_and_leaves_its_log_alone(tmp_path: Path, satctl: Satctl) -> None:
    home = tmp_path / "home"
    with subprocess.Popen([sys.executable, "-c", HOLD, home], stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "held\n"
            (home / "dagster.log").write_text("the first one's")

            said = satctl("up", "--port", str(laptop.free_port()), code=2).stderr

            assert f"Dagster runs on {home} already: process {first.pid}, http://localhost:3999" in said
            assert (home / "dagster.log").read_text() == "the first one's"
            assert dagster_url(settings()) == "http://localhost:3999"
        finally:
            first.kill()
    with locked_home(home, 4000):  # the system gave it back, though nobody tidied up
        pass
    assert dagster_url(settings()) == "http://localhost:3002"


def test_a_demo_does_not_empty_a_home_that_another_demo_runs_on(tmp_path: Path, satctl: Satctl) -> None:
    home = tmp_path / "demo"
    with locked_home(home, 4000):
        (home / "demo.txt").touch()

        said = satctl("demo", "--home", str(home), code=2).stderr

        assert "already: process" in said
        assert (home / "demo.txt").exists()


def test_commands_ask_the_dagster_that_runs_on_their_home(
    tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked_home(tmp_path / "home", 1):
        assert "Dagster does not answer at http://localhost:1 " in satctl("runs", "list", code=1).stderr

        monkeypatch.setenv("SATFIELDS_DAGSTER_URL", "http://localhost:2")
        settings.cache_clear()
        assert "Dagster does not answer at http://localhost:2 " in satctl("runs", "list", code=1).stderr


def test_the_log_before_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "dagster.log"
    log.write_text("before")

    with laptop.plain(log) as output:
        output.write(b"now")

    assert (log.read_text(), (tmp_path / "dagster.log.1").read_text()) == ("now", "before")


def test_the_log_has_no_colours_and_is_written_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "dagster.log"
    code = """
import logging, sys
from dagster._utils.log import configure_loggers
configure_loggers()  # as Dagster's servers do
logging.getLogger("dagster").error("red at a terminal: %s", "\xe9")
sys.stdin.read()
"""
    with (
        laptop.plain(log) as output,
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output, stderr=output) as process,
    ):
        written = laptop.wait_for(lambda: "red at a terminal: \xe9\n" in log.read_text(), 30, pause=0.1)
        assert process.stdin is not None
        process.stdin.close()

    assert written, log.read_text()
    assert " - ERROR - " in log.read_text()
    assert "\x1b" not in log.read_text()


# --- Dagster's configuration ---------------------------------------------------------------------------------------


def test_the_configuration_follows_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written() -> dict[str, object]:
        settings.cache_clear()
        found: dict[str, object] = yaml.safe_load((dagster_home(tmp_path) / FILE).read_text())
        return found

    before = written()
    monkeypatch.setenv("SATFIELDS_DAGSTER_RUNS", "8")
    monkeypatch.setenv("SATFIELDS_DAGSTER_TICKS_DAYS", "30")
    after = written()

    assert before != after
    assert after["run_coordinator"]["config"]["max_concurrent_runs"] == 8  # type: ignore[index]
    assert after["retention"]["sensor"]["purge_after_days"] == 30  # type: ignore[index]
    with DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 8  # type: ignore[union-attr]


def test_a_configuration_that_was_changed_by_hand_is_kept(tmp_path: Path) -> None:
    file = dagster_home(tmp_path) / FILE
    mine = file.read_text() + "python_logs: {managed_python_loggers: [satcommon]}\n"
    file.write_text(mine)

    dagster_home(tmp_path)

    assert file.read_text() == mine
    assert is_own(tmp_path / "dagster")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("telemetry: {enabled: true}\n", True), ("# Dagster's instance on a laptop: SQLite\na: 1\n", False)],
)
def test_an_operators_own_file_is_kept_and_one_of_an_earlier_version_is_not(
    text: str, kept: bool, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / FILE).write_text(text)

    dagster_home(tmp_path)

    assert ((tmp_path / "dagster" / FILE).read_text() == text) == kept


# --- its end -------------------------------------------------------------------------------------------------------


def test_a_process_started_in_the_background_ends_when_it_is_asked() -> None:
    code = "import time\ntry:\n    print('up', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    exit(3)"
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what it puts in the background
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=laptop._as_of_a_terminal,
        )
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    started = time.monotonic()

    laptop.stop(process)
    process.stdout.close()

    assert process.returncode == 3
    assert time.monotonic() - started < laptop.STOP_SECONDS


def test_what_does_not_end_when_it_is_asked_is_killed_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert laptop.STOP_SECONDS < 4
    monkeypatch.setattr(laptop, "STOP_SECONDS", 0.2)
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"

    laptop.stop(process)
    process.stdout.close()

    assert process.returncode == -signal.SIGKILL


# --- homes that can't be used --------------------------------------------------------------------------------------

COMMANDS = [
    ["db", "upgrade"],
    ["db", "current"],
    ["status"],
    ["regions", "seed"],
    ["up"],
    ["export", "A", "--output", "-"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("below", ["", "/home"])
def test_a_home_that_is_a_file_is_one_message(
    command: list[str], below: str, tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SATFIELDS_HOME", f"{tmp_path}/file{below}")

    said = satctl(*command, code=2).stderr

    assert said == (
        f"error: SATFIELDS_HOME='{tmp_path}/file{below}' can't be used: {tmp_path}/file is a file; "
        "name a folder that this user may write to\n"
    )


def test_who_migrates_a_database_elsewhere_needs_no_home(
    tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SATFIELDS_HOME", f"{tmp_path}/file")
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", f"sqlite:///{tmp_path}/elsewhere.db")

    satctl("db", "upgrade")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may write to, root neither."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], check=False, capture_output=True)
    if mounted.returncode:  # not root: then permissions hold
        folder.chmod(0o500)
    yield folder
    if not mounted.returncode:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("below", ["", "/home"])
def test_a_home_that_is_read_only_is_one_message(
    command: list[str], below: str, read_only: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_HOME", f"{read_only}{below}")

    said = satctl(*command, code=2).stderr

    assert said.startswith(
        f"error: SATFIELDS_HOME='{read_only}{below}' can't be used: {read_only} can't be written to; "
    )
    assert said.count("\n") == 1


def test_a_folder_of_the_home_that_is_read_only_is_named_with_its_setting(
    read_only: Path, closed: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_STORE", str(read_only))
    settings.cache_clear()
    checks = {one["check"]: one for one in json.loads(satctl("doctor", "--json", code=1).stdout)["checks"]}

    assert checks["store"]["state"] == "failed"
    assert "let this process write there, or name another folder in SATFIELDS_STORE" in checks["store"]["said"]


def test_dagsters_folder_that_is_read_only_is_named(read_only: Path) -> None:
    home = read_only.parent / "home"
    home.mkdir()
    (home / "dagster").symlink_to(read_only)

    with pytest.raises(SettingError, match=rf"SATFIELDS_HOME: {home}/dagster can't be written to: .*; let this user"):
        dagster_home(home)
