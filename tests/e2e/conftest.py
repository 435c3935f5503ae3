"""One finished demo, for all tests that look at what it left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

COMMAND = [sys.executable, "-m", "satctl", "demo"]


class Demo(NamedTuple):
    """A demo that ended, and what it said."""

    home: Path
    exit_code: int
    output: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("e2e") / "demo")


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
