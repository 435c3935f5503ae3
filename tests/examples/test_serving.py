"""The snippets of the page on the HTTP API run as they are written, against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.examples.recipes import ROOT
from tests.unit.satserve.conftest import on_sqlite  # noqa: F401  # a fixture
from tests.unit.satserve.serving import Served

pytestmark = pytest.mark.slow  # each snippet is a process of its own

PAGE = (ROOT / "docs/how-to/serve-results-over-http.md").read_text(encoding="utf-8")
SAID = ("mean", "POLYGON", "2025-07-03", "next time: c1.")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(service: Served, *command: str) -> str:
    env = os.environ | {"API": service.url, "KEY": service.key("S")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(SAID)))
def test_the_snippets_in_python_run_as_they_are_written(on_sqlite: Served, number: int) -> None:  # noqa: F811  # likewise
    assert SAID[number] in run(on_sqlite, sys.executable, "-W", "error", "-c", blocks("python")[number])


def test_there_is_no_snippet_besides() -> None:
    assert len(blocks("python")) == len(SAID)


def test_the_call_of_curl_gives_csv(on_sqlite: Served) -> None:  # noqa: F811  # likewise
    [call] = [block for block in blocks("sh") if block.startswith("curl")]

    lines = run(on_sqlite, "sh", "-c", call).splitlines()

    assert lines[0] == '"day","status","ndvi_mean","final","state_as_of"'
    assert len(lines) == 7
    assert all(re.match(r"2025-0[67]-\d\d,", line) for line in lines[1:])
