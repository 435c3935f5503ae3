"""The commands and snippets of the page on the STAC catalogue run as they are written, against a real system."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from satcommon.environment import Environment

from tests.examples.recipes import ROOT
from tests.integration.satctl_world import closed, satctl, system  # noqa: F401  # fixtures

PAGE = (ROOT / "docs/how-to/publish-a-stac-catalogue.md").read_text(encoding="utf-8")
SAID = ("S 2025-06-04", "('=1+1', datetime.date(2025, 6, 1)", "S_2025-06-04")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_page_is_right(closed: Environment, tmp_path: Path) -> None:  # noqa: F811  # likewise
    [commands] = blocks("sh")

    told = run(tmp_path, "sh", "-e", "-c", commands)

    assert [line.split()[1:] for line in told.splitlines() if line.split()[:1] == ["S"]] == [
        ["4", "0", "0"],
        ["4", "0", "0"],
        ["0", "0", "4"],
    ]
    for snippet, said in zip(blocks("python"), SAID, strict=True):
        assert said in run(tmp_path, sys.executable, "-c", snippet)
