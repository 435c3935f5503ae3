"""Coverage and membership: what they cost once they are kept, beside computing them anew.

    python benchmarks/coverage.py [--fields 50000] [--regions 500]

Coverage of fields that are spread over a whole tile: computed by exactextract, loaded from the store, and with one
field more than the store holds. Membership of twice as many fields: ours, with the area of each pair, beside the pairs
of geopandas and the loop that decodes GeoJSON for each region.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import shapely
import world as worlds
from satcommon.geo.geometry import areas_ha, overlaps
from satcommon.geo.grid import Bounds
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.stats.coverage import cover
from satcommon.stats.coverage_cache import CoverageCache

REPEATS = 5
RULES = algorithm(CURRENT)


def main() -> None:
    """Measure, and print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=50_000)
    parser.add_argument("--regions", type=int, default=500, help="at most 500")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        _coverage(Path(room) / "world", options.fields)
    _membership(2 * options.fields, options.regions)


def _coverage(folder: Path, count: int) -> None:
    worlds.make(folder, 10_980, count, 1.0, 6, 0)
    here = worlds.load(folder)
    geometries = here.geometries()
    digests = list(geometries)
    (late,) = shapely.to_wkb(here.degrees(worlds.fields_of(1, here.grid.width, 1.0, seed=2)))
    packs = set((folder / "store").rglob("*.arrow"))

    def loaded() -> CoverageCache:
        cache = CoverageCache(here.store, here.grid, RULES)
        cache.get(digests, lambda _: {})
        return cache

    def built() -> None:
        cover(list(geometries.values()), here.grid, RULES)

    def added(*, joined: bool) -> Callable[[], float]:
        def measured() -> float:
            cache = loaded()
            started = time.perf_counter()
            cache.get(["late"], lambda _: {"late": late})
            if joined:
                cache.get([*digests, "late"], lambda _: {})
            seconds = time.perf_counter() - started
            for pack in set((folder / "store").rglob("*.arrow")) - packs:
                pack.unlink()
            return seconds

        return measured

    cover([late], here.grid, RULES)  # what is imported once a process
    entries = len(loaded().get(digests, lambda _: {})[0].cells)
    size = sum(pack.stat().st_size for pack in packs)
    print(f"coverage of {count:,} fields: {entries:,} covered cells, {size / entries:.1f} bytes each in the store\n")
    _table(
        {
            "computed by exactextract": _seconds(built, 1),
            "loaded": _seconds(loaded),
            "one field added": [added(joined=False)() for _ in range(REPEATS)],
            "one field added, and all taken": [added(joined=True)() for _ in range(REPEATS)],
        }
    )


def _membership(count: int, regions: int) -> None:
    """Of polygons in degrees against regions a degree wide and half a degree high, side by side."""
    random = np.random.default_rng(1)
    boxes = [Bounds(5.0 + i % 25, 42.0 + i // 25 / 2, 6.0 + i % 25, 42.5 + i // 25 / 2) for i in range(regions)]
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    around = np.stack([np.cos(angles), np.sin(angles)], -1) * random.uniform(0.0008, 0.0015, (count, 20, 1))
    shapes = shapely.polygons(random.uniform((5.0, 42.0), (30.0, 52.0), (count, 1, 2)) + around)
    fields = geopandas.GeoDataFrame(geometry=shapes, crs=4326)
    rectangles = geopandas.GeoDataFrame(geometry=[shapely.box(*one) for one in boxes], crs=4326)
    texts = shapely.to_geojson(shapes).tolist()

    def decoding() -> None:
        box = shapely.box(*boxes[0])
        sum(box.intersects(shapely.from_geojson(text)) for text in texts)

    print(f"\nmembership of {count:,} fields in {regions} regions, once decoded\n")
    _table(
        {
            "a loop that decodes the fields for each region (one region, times their number)": [
                regions * seconds for seconds in _seconds(decoding, 1)
            ],
            "`overlaps`: pairs, and the area that each shares": _seconds(lambda: overlaps(shapes, boxes)),
            "of which geodesic areas": _seconds(lambda: areas_ha(shapes)),
            "`geopandas.sjoin`: pairs alone": _seconds(lambda: geopandas.sjoin(fields, rectangles)),
        }
    )


def _seconds(work: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found


def _table(rows: dict[str, list[float]]) -> None:
    """Medians, ranges, and how many times faster than the first row each is."""
    first = statistics.median(next(iter(rows.values())))
    print("| | s, median | range | times faster |\n|---|---|---|---|")
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        print(
            f"| {name} | {median:.4f} | {min(seconds):.4f} to {max(seconds):.4f} | {first / median:,.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
