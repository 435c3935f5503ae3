"""How a demo is run, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

COMMAND = [sys.executable, "-m", "satctl", "demo"]


class Demo(NamedTuple):
    """A demo that ended, and what it said."""

    home: Path
    exit_code: int
    output: str


def run_demo(home: Path, *arguments: str) -> Demo:
    done = subprocess.run(
        [*COMMAND, "--home", home, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return Demo(home, done.returncode, done.stdout)


def started_for(home: Path) -> list[str]:
    """The command lines of living processes, this one's ancestors aside, whose environment names the home folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("SATFIELDS_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found
