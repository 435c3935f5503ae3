"""Importing 100,000 fields against 500 regions: seconds and peak memory, beside what others take for parts of it.

    python benchmarks/import_fields.py [--fields 100000] [--regions 500] [--seed 1]

Every row is a process of its own, on the same files: decoding alone (pyogrio for the GeoPackage, json for the GeoJSON),
reading and joining with geopandas.sjoin, and `satctl fields import` whole: decoding, checks, membership, commit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path

import geopandas
import numpy as np
import shapely
from satcommon.db.engine import open_engine, write_transaction
from satcommon.db.registry import add_region
from satcommon.geo.grid import Bounds, Grid
from satcommon.stats.algorithm import CURRENT
from satctl.local.migrations import upgrade

VERTICES = 20
WEST, SOUTH, WIDTH, HEIGHT = 5.0, 42.0, 25, 20  # of the regions, each a degree wide and half a degree high
JOIN = "import geopandas as g; g.sjoin(g.read_file({file!r}), g.read_file({regions!r}))"
DECODE = {
    ".gpkg": "import pyogrio.raw; pyogrio.raw.read_arrow({file!r})",
    ".geojson": "import json; json.load(open({file!r}, encoding='utf-8'))",
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=100_000)
    parser.add_argument("--regions", type=int, default=WIDTH * HEIGHT, help=f"at most {WIDTH * HEIGHT}")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        regions = [
            Bounds(WEST + i % WIDTH, SOUTH + i // WIDTH / 2, WEST + i % WIDTH + 1, SOUTH + i // WIDTH / 2 + 0.5)
            for i in range(options.regions)
        ]
        geopandas.GeoDataFrame(geometry=[shapely.box(*r) for r in regions], crs=4326).to_file(folder / "regions.gpkg")
        # In a process of its own: on Linux a child's peak is never below that of the parent that started it.
        writer = get_context("spawn").Process(target=_write, args=(folder, options.fields, options.seed))
        writer.start()
        writer.join()
        print(f"{options.fields:,} fields of {VERTICES} vertices, {len(regions)} regions, SQLite\n")
        print(f"{'':34}{'seconds':>10}{'x decode':>10}{'peak MiB':>10}{'x decode':>10}")
        for suffix, decode in DECODE.items():
            file = folder / f"fields{suffix}"
            told = {"file": str(file), "regions": str(folder / "regions.gpkg")}
            decoded = _run([sys.executable, "-c", decode.format(**told)], folder)
            joined = _run([sys.executable, "-c", JOIN.format(**told)], folder)
            _database(folder / suffix, regions)
            command = [sys.executable, "-m", "satctl", "fields", "import", str(file), "--json"]
            imported = _run(command, folder / suffix)
            again = _run(command, folder / suffix)
            for what, (seconds, mebibytes) in (
                (f"{suffix}: decode", decoded),
                ("  read and geopandas.sjoin", joined),
                ("  satctl fields import", imported),
                ("  the same again, all unchanged", again),
            ):
                ratios = seconds / decoded[0], mebibytes / decoded[1]
                print(f"{what:34}{seconds:>10.1f}{ratios[0]:>10.1f}{mebibytes:>10.0f}{ratios[1]:>10.1f}")


def _write(folder: Path, count: int, seed: int) -> None:
    """Files of polygons around random centres within the regions, of a few hectares."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((WEST, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT / 2), (count, 1, 2))
    angles = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * rng.uniform(0.0008, 0.0015, (count, VERTICES, 1))
    names = [f"f{i}" for i in range(count)]
    columns = {"external_id": names, "name": names, "planting_date": date(2026, 3, 1), "crop": "maize"}
    fields = geopandas.GeoDataFrame(columns, geometry=shapely.polygons(centres + around), crs=4326)
    for suffix in DECODE:
        fields.to_file(folder / f"fields{suffix}")


def _database(home: Path, regions: list[Bounds]) -> None:
    home.mkdir()
    engine = open_engine(f"sqlite:///{home / 'satfields.db'}")
    upgrade(engine)
    now = datetime.now(UTC)
    with write_transaction(engine) as connection:
        for i, bounds in enumerate(regions):
            grid = Grid.utm(bounds, 100.0)
            add_region(connection, f"r{i}", bounds, grid, date(2026, 3, 1), None, CURRENT, now)
    engine.dispose()


def _run(command: list[str], home: Path) -> tuple[float, float]:
    """Seconds and peak MiB of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | {"SATFIELDS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{command[-3:]} failed: {process.stderr.read().decode() if process.stderr else ''}")
    if said:
        counts = {key: len(value) for key, value in json.loads(said).items() if isinstance(value, list) and value}
        print(f"{'':34}{counts}", file=sys.stderr)
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
