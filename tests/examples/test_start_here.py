"""Start here, as a newcomer follows it: every block of the page in order, in a clone and a home of its own.

The clone's files are links to this one's, whose `.venv` is installed. `satctl up` gets ports that nothing listens on:
other tests run at the same time. All else is run as it is printed.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from satcommon.geo.grid import Grid
from satctl.local.laptop import free_port, wait_for

from tests.examples.shell_blocks import ROOT, blocks
from tests.unit.geotiffs import write

BLOCKS = [block.text for block in blocks(ROOT / "docs/start-here.md")]
INSTALL, WHERE, REGISTER, UP, SEASON, LOOK, CORRECT = BLOCKS
FIRST, LAST, EVERY = date(2016, 3, 7), date(2016, 12, 31), timedelta(days=10)
SHOWN = date(2016, 6, 5)  # whose number the page asks for: one of the passes
PLANTED = date(2016, 3, 15)
GRID = Grid("EPSG:32615", 360_000.0, 4_489_000.0, 20.0, 20.0, 260, 260)  # covers the page's region


@dataclass
class Terminal:
    """A shell in which a newcomer gives one block after the other: what a block exports, the next ones have."""

    folder: Path
    exported: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SATFIELDS_", "DAGSTER_"))}
        self.environment = kept | {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}

    def run(self, block: str, code: int = 0) -> str:
        """What a block prints; it ends with the first command that fails."""
        script = "\n".join([*self.exported, block])
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.folder / "clone",
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == code, f"{block}\n{done.stdout}"
        self.exported += [line for line in block.splitlines() if line.startswith("export ")]
        return done.stdout

    @contextmanager
    def serving(self, block: str) -> Iterator[None]:
        """Run a block in a second terminal while the block runs, from when it says that it is up."""
        log = self.folder / "up.log"
        script = "\n".join([*self.exported, f"exec {block}"])
        with log.open("w") as output:
            up = subprocess.Popen(
                ["sh", "-e", "-c", script],
                cwd=self.folder / "clone",
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        try:
            assert wait_for(lambda: " is up" in log.read_text() or up.poll() is not None, 300), log.read_text()
            assert up.poll() is None, log.read_text()
            yield
        finally:
            up.terminate()  # SIGINT is ignored by whatever a script started in the background
            up.wait(60)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    clone = tmp_path / "clone"
    for folder in (clone, tmp_path / "home", tmp_path / "tmp"):
        folder.mkdir()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in {".venv", *(Path(line).parts[0] for line in listed.splitlines())}:
        (clone / name).symlink_to(ROOT / name)
    return Terminal(tmp_path)


def deliver(folder: Path) -> None:
    """A pass every ten days: NDVI rises until the middle of the season, then falls; some days are half cloudy."""
    days = [FIRST + number * EVERY for number in range((LAST - FIRST) // EVERY + 1)]
    assert SHOWN in days
    for number, day in enumerate(days):
        nir = np.full((GRID.height, GRID.width), 1500 + 2500 * np.sin(np.pi * number / len(days)), "uint16")
        clear = np.ones_like(nir)
        clear[:, : GRID.width // 2] = number % 3 > 0 or day == SHOWN
        bands = {"red": np.full_like(nir, 500), "nir": nir, "clear": clear}
        file = write(folder / f"{day}T101200.tif", bands, grid=GRID, crs=GRID.crs, scale={"red": 1e-4, "nir": 1e-4})
        os.utime(file, (0, 1_500_000_000))  # nobody is writing it any more


def draw(file: Path) -> None:
    """Three fields in the page's region, the first of which is the one that it looks at."""
    names = ["north-40", "creek", "hill"]
    shapes = [shapely.box(-94.635 + 0.01 * n, 40.505, -94.628 + 0.01 * n, 40.515) for n in range(len(names))]
    table = {"external_id": names, "planting_date": [str(PLANTED)] * len(names)}
    geopandas.GeoDataFrame(table, geometry=shapes, crs="EPSG:4326").to_file(file, driver="GPKG")


def attempts(history: str) -> list[str]:
    """By whom a number was computed, as `satctl history` prints it."""
    table = history.split("\nattempts")[1].split("\nscenes")[0]
    return re.findall(r"^ *\d{4}-\d\d-\d\d \S+ +(\w+)", table, re.MULTILINE)


@pytest.mark.nightly
def test_a_newcomer_gets_a_season_of_their_own_fields(terminal: Terminal) -> None:
    clone, home = terminal.folder / "clone", terminal.folder / "home"
    deliver(home / "scenes")
    draw(clone / "fields.gpkg")

    terminal.run(INSTALL)
    doctor = terminal.run(WHERE, code=1)
    registered = terminal.run(REGISTER)
    with terminal.serving(UP.replace("satctl up", f"satctl up --port {free_port()} --api-port {free_port()}")):
        computed = terminal.run(SEASON)
        looked = terminal.run(LOOK)
        corrected = terminal.run(CORRECT)

    assert re.findall(r"^ *(\w[\w ]*?) +failed ", doctor, re.MULTILINE) == ["dagster"]  # which the page says to ignore
    assert "30 files" in doctor
    assert "would create 3 fields" in registered
    assert "\ncreated 3 fields" in registered
    assert "nothing is lost" in computed
    assert (clone / "north-40-season.png").stat().st_size > 1000
    rows = {(row["field"], row["day"]): row for row in csv.DictReader((clone / "season.csv").read_text().splitlines())}
    assert len(rows) == 3 * ((LAST - PLANTED).days + 1)
    assert rows["north-40", str(SHOWN)]["status"] == "clear"
    assert attempts(looked) == ["realtime"]
    assert attempts(corrected) == ["realtime", "reprocessing"]
    assert re.findall(r"^ *(?:planting_date|final) +(\S+)", looked, re.MULTILINE) == ["2016-03-15", "yes"]
    assert re.findall(r"^ *(?:planting_date|final) +(\S+)", corrected, re.MULTILINE) == ["2016-04-01", "yes"]
