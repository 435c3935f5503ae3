"""The demo, as the README's first command runs it: real code servers, daemon, sensors and runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

COMMAND = [sys.executable, "-m", "satctl", "demo"]


def test_the_demo_puts_late_data_right_and_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "demo"

    done = subprocess.run([*COMMAND, "--home", home], capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT CLEAN" not in done.stdout
    assert {path.name for path in home.glob("*.png")} == {"region-A.png", "region-B.png"}
    assert _started_for(home) == []


def test_a_demo_that_is_interrupted_ends_what_it_started(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = subprocess.Popen([*COMMAND, "--home", home], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: (home / "dagster.log").exists() and len(_started_for(home)) > 3)

    demo.send_signal(signal.SIGTERM)

    assert demo.wait(60) != 0
    assert _started_for(home) == []


def _started_for(home: Path) -> list[str]:
    """The command lines of living processes, this one's ancestors aside, whose environment names the home folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("SATFIELDS_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def _wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(1)
