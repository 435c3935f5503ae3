"""What a program may import of satcommon is enough for what the pages show, and works as they are written."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from satcommon.environment import Environment

from tests.examples.recipes import ROOT, blocks
from tests.integration.satctl_world import closed, satctl, system  # noqa: F401  # fixtures

REFERENCE = ROOT / "docs/reference/python-api.md"


def public_names() -> set[tuple[str, str]]:
    spec = importlib.util.spec_from_file_location("python_api", ROOT / "docs/python_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: set[tuple[str, str]] = module.public_names()
    return found


def example() -> str:
    [code] = re.findall(r"^```python\n(from datetime.*?)^```$", REFERENCE.read_text(), re.DOTALL | re.MULTILINE)
    return code


@pytest.mark.parametrize("code", [example(), blocks("add-a-location.md", "python")[0]], ids=["example", "location"])
def test_the_pages_import_what_is_public_and_nothing_else(code: str) -> None:
    public = public_names()
    modules = {module for module, _ in public}

    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("satcommon"):
            for name in (alias.name for alias in node.names):
                assert (node.module, name) in public or f"{node.module}.{name}" in modules, f"{node.module} {name}"


def test_the_example_prints_a_regions_day(closed: Environment, tmp_path: Path) -> None:  # noqa: F811  # a fixture
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example()], env=os.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    [row] = ast.literal_eval(done.stdout)
    assert row["field"] == "=1+1"
    assert set(row) == {"field", "status", "ndvi_mean"}
