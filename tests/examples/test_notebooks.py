"""The snippets of the page on notebooks run as they are written, against a real server and files of real exports."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from satcommon.settings import PREFIX, settings
from satctl.main import main

from tests.examples.recipes import ROOT
from tests.unit.satserve.conftest import on_sqlite  # noqa: F401  # a fixture
from tests.unit.satserve.serving import Served

pytestmark = pytest.mark.slow  # each snippet is a process of its own

PAGE = (ROOT / "docs/how-to/use-results-in-notebooks.md").read_text(encoding="utf-8")
SAID = {  # by the section: what its snippet prints
    "pandas": ("2025-07-03", "1e-4 day"),
    "geopandas": ("north", "dtype: float64"),
    "DuckDB": ("maize", "2025-07-0"),
    "QGIS": ("'fields'", "border", "POLYGON"),
    "Excel": ("field north", "2025-07-0"),
}


def blocks(section: str, language: str) -> list[str]:
    [text] = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(
    on_sqlite: Served,  # noqa: F811  # the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Where the page's commands wrote their files."""
    chosen = on_sqlite.environment.settings
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", on_sqlite.environment.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv(f"{PREFIX}STORE", str(chosen.store))
    monkeypatch.setenv(f"{PREFIX}SCENE_SOURCE", "simulated")
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def exports(section: str) -> None:
    for command in blocks(section, "sh"):
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("section", SAID)
def test_the_snippets_run_as_they_are_written(on_sqlite: Served, folder: Path, section: str) -> None:  # noqa: F811
    exports(section)
    [snippet] = blocks(section, "python")
    env = os.environ | {"API": on_sqlite.url, "KEY": on_sqlite.key()}

    done = subprocess.run(
        [sys.executable, "-c", snippet], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    for text in SAID[section]:
        assert text in done.stdout


def test_no_section_is_left_out() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == list(SAID)
    assert PAGE.count("```python") == len(SAID)


def test_qgis_finds_in_the_geopackage_what_each_column_is(folder: Path) -> None:
    exports("QGIS")

    with sqlite3.connect(folder / "S.gpkg") as file:
        told = dict(file.execute("SELECT column_name, description FROM gpkg_data_columns WHERE table_name = 'rows'"))
    assert told["ndvi_integral_e4"] == "sum of smoothed NDVI over the season's days so far [1e-4 days]"
    assert {"field_name", "crop_code", "area_ha", "final"} < told.keys()
