"""A region's day from the scene in the store to the published Parquet, beside what others take on the same file.

    python benchmarks/region_day.py [--quick] [--repeats 5] [--only WORLD ...] [--who NAME ...]

Every figure is a process of its own that repeats its work (slow peers do it once) and tells the median, the range, the
processor's time of all threads, which others on the machine hardly disturb, and its peak of memory above what it had
after its imports. Absolute times are this machine's; what counts are the ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATISTICS = ["count", "mean", "stdev", "min", "max"]


@dataclass(frozen=True)
class Case:
    """A world: cells a side, fields, the part of a side that bears them, bands, days, and who is measured on it."""

    size: int
    fields: int
    spread: float
    who: tuple[str, ...]
    bands: int = 6
    days: int = 1


_OWN = ("ours", "decode, one thread", "decode, all threads")
_EXACT = ("exactextract by field", "exactextract by raster")
_ALL = (*_OWN, *_EXACT, "rasterstats", "plain loop")
_MEMORY = ("in memory: ours", *(f"in memory: {who}" for who in _EXACT))
FULL = {
    "1k clustered": Case(10_980, 1000, 0.05, _ALL),
    "10k spread": Case(10_980, 10_000, 1.0, (*_OWN, *_EXACT, *_MEMORY)),
    "50k spread": Case(10_980, 50_000, 1.0, (*_OWN, *_EXACT)),
    "1k on 2,745": Case(2745, 1000, 1.0, _OWN),
    "1k on 5,490": Case(5490, 1000, 1.0, _OWN),
    "1k, 2 bands": Case(2745, 1000, 1.0, _OWN, bands=2),
    "1k, 5 days": Case(2745, 1000, 1.0, _OWN, days=5),
}
QUICK = {"300 fields": Case(1098, 300, 1.0, (*_ALL, *_MEMORY))}


# --- one figure, in a process of its own ------------------------------------------------------------------------------


def measure(who: str, folder: Path, repeats: int) -> None:
    """Do it, and print seconds, the peak of memory and what else is told as JSON."""
    import world as worlds
    from satcommon.pipeline import close_day  # noqa: F401  # what a run imports before its work
    from satcommon.raster import cog  # noqa: F401

    here = worlds.load(folder)
    scene = sorted((folder / "store" / "scenes").rglob("*.tif"))[0]
    work = WORK[who](here, scene)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, processor, told = [], [], {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as room:
            started, busy = time.perf_counter(), time.process_time()
            told = work(Path(room))
            processor.append(time.process_time() - busy)
            seconds.append(told.pop("seconds", None) or time.perf_counter() - started)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak, **told}))


def _ours(here: Any, _scene: Path) -> Callable[[Path], dict[str, Any]]:
    import world as worlds
    from satcommon.db.engine import open_engine, read_transaction
    from satcommon.pipeline import close_day
    from satcommon.pipeline.inputs import read
    from satcommon.stats import observation
    from satcommon.stats.coverage_cache import CoverageCache

    parts: dict[str, float] = defaultdict(float)
    _timed(CoverageCache, "get", "coverage", parts)
    _timed(observation, "_gathered", "read and gather", parts)
    _timed(observation, "_seen", "statistics", parts)
    _timed(close_day, "carry", "state", parts)

    def work(room: Path) -> dict[str, Any]:
        shutil.copyfile(here.folder / "ledger.db", room / "ledger.db")
        engine = open_engine(f"sqlite:///{room / 'ledger.db'}")
        processor = close_day.Processor(engine, here.store)
        parts.clear()
        scene_bytes = 0
        started = time.perf_counter()
        for day in worlds.days_of(here.days):
            with _clock("ledger", parts), read_transaction(engine) as connection:
                inputs = read(connection, 1, day, worlds.DEADLINES, worlds.NOW)
            assert inputs is not None
            with _clock("compute", parts):
                computed = processor.compute(inputs)
            with _clock("write", parts):
                put = processor.put(inputs, computed)
            with _clock("ledger", parts):
                done = close_day.commit(engine, inputs, computed, put, "bench", worlds.NOW)
            assert done is close_day.Outcome.CLOSED
            scene_bytes += computed.work.scene_bytes
        seconds = time.perf_counter() - started
        engine.dispose()
        own = {name: parts[name] for name in ("coverage", "read and gather", "statistics", "state")}
        rest = parts.pop("compute") - sum(own.values())
        means = {b: computed.rows[f"{b}_mean"].to_pylist()[:1000] for b in here.bands}
        return {"seconds": seconds, "parts": {**parts, "rows": rest}, "bytes": scene_bytes, "means": means}

    return work


def _timed(owner: Any, name: str, part: str, parts: dict[str, float]) -> None:
    whole = getattr(owner, name)

    def timed(*args: Any, **named: Any) -> Any:
        with _clock(part, parts):
            return whole(*args, **named)

    setattr(owner, name, timed)


@contextmanager
def _clock(part: str, parts: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    parts[part] += time.perf_counter() - started


def _decode(threads: int) -> Callable[[Any, Path], Callable[[Path], dict[str, Any]]]:
    def prepared(here: Any, scene: Path) -> Callable[[Path], dict[str, Any]]:
        import numpy as np
        import rasterio
        from rasterio.windows import Window
        from satcommon.raster.scene_reader import SceneReader

        coverage = here.coverage()
        with SceneReader(scene) as reader:
            runs = reader.layout_of(coverage.cells).runs(1 << 20)
        del coverage

        def some(own: list[Any]) -> None:
            buffer = np.empty(1 << 20, np.uint16)
            with rasterio.open(scene) as dataset:
                for run in own:
                    tile = buffer[: run.height * run.width].reshape(1, run.height, run.width)
                    for band in dataset.indexes:
                        dataset.read([band], window=Window(run.left, run.top, run.width, run.height), out=tile)

        def work(_room: Path) -> dict[str, Any]:
            started = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(some, [runs[n::threads] for n in range(threads)]))
            return {"seconds": (time.perf_counter() - started) * here.days}

        return work

    return prepared


def _exactextract(strategy: str) -> Callable[[Any, Path], Callable[[Path], dict[str, Any]]]:
    def prepared(here: Any, scene: Path) -> Callable[[Path], dict[str, Any]]:
        import rasterio
        from exactextract import exact_extract
        from exactextract.raster import RasterioRasterSource

        fields = here.frame()

        def work(_room: Path) -> dict[str, Any]:
            with rasterio.open(scene) as dataset:
                sources = [RasterioRasterSource(dataset, n, name=band) for n, band in enumerate(here.bands, 1)]
                table = exact_extract(sources, fields, STATISTICS, strategy=strategy, output="pandas")
            return {
                "means": {b: [None if v != v else v for v in table[f"{b}_mean"].tolist()[:1000]] for b in here.bands}
            }

        return work

    return prepared


def _rasterstats(here: Any, scene: Path) -> Callable[[Path], dict[str, Any]]:
    from rasterstats import zonal_stats

    fields = here.frame()

    def work(_room: Path) -> dict[str, Any]:
        for n in range(1, len(here.bands) + 1):
            zonal_stats(fields, str(scene), band=n, stats="count mean std min max")
        return {}

    return work


def _plain_loop(here: Any, scene: Path) -> Callable[[Path], dict[str, Any]]:
    import numpy as np
    import rasterio
    from rasterio.mask import raster_geometry_mask

    shapes = list(here.frame().geometry)

    def work(room: Path) -> dict[str, Any]:
        with rasterio.open(scene) as dataset:
            for i, shape in enumerate(shapes):
                outside, _, window = raster_geometry_mask(dataset, [shape], crop=True)
                told = {}
                for n, band in enumerate(here.bands, 1):
                    raster = dataset.read(n, window=window)
                    pixels = raster[~outside & (raster != 0)].astype(float).tolist()
                    told[band] = {"count": len(pixels)}
                    if pixels:
                        told[band] |= {"mean": np.mean(pixels), "std": np.std(pixels), "min": min(pixels)}
                (room / f"{i}.json").write_text(json.dumps(told))
        return {}

    return work


def _memory(strategy: str | None) -> Callable[[Any, Path], Callable[[Path], dict[str, Any]]]:
    """The statistics alone: bands are in memory, and of ours the coverage too, which is the same every day."""

    def prepared(here: Any, scene: Path) -> Callable[[Path], dict[str, Any]]:
        import rasterio
        from exactextract import exact_extract
        from exactextract.raster import NumPyRasterSource
        from satcommon.stats.statistics import weighted

        with rasterio.open(scene) as dataset:
            rasters = {band: dataset.read(n) for n, band in enumerate(here.bands, 1)}
        coverage, fields = here.coverage(), here.frame()
        told = {"nodata": 0, "srs_wkt": fields.crs.to_wkt()}
        sources = [NumPyRasterSource(raster, *here.grid.extent, name=b, **told) for b, raster in rasters.items()]

        def peer(_room: Path) -> dict[str, Any]:
            exact_extract(sources, fields, STATISTICS, strategy=strategy, output="pandas")
            return {}

        def ours(_room: Path) -> dict[str, Any]:
            for raster in rasters.values():
                flat = raster.ravel()
                for entries, piece in coverage.pieces(1 << 16):
                    values = flat.take(coverage.cells[entries])
                    valid = values != 0
                    weighted(values[valid].astype(float), piece.weights.where(valid))
            return {}

        return peer if strategy else ours

    return prepared


_STRATEGIES = {"by field": "feature-sequential", "by raster": "raster-sequential"}
WORK: dict[str, Callable[[Any, Path], Callable[[Path], dict[str, Any]]]] = {
    "ours": _ours,
    "decode, one thread": _decode(1),
    "decode, all threads": _decode(os.cpu_count() or 1),
    **{f"exactextract {how}": _exactextract(strategy) for how, strategy in _STRATEGIES.items()},
    "rasterstats": _rasterstats,
    "plain loop": _plain_loop,
    "in memory: ours": _memory(None),
    **{f"in memory: exactextract {how}": _memory(strategy) for how, strategy in _STRATEGIES.items()},
}


# --- the table --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Make the worlds, measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small world, to see that everything still runs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=sorted(QUICK | FULL), help="names of worlds")
    parser.add_argument("--who", nargs="*", choices=sorted(WORK), help="who is measured, of those that a world has")
    parser.add_argument("--one", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options.one[0], Path(options.one[1]), options.repeats)
    if options.make:
        import world as worlds

        case = (QUICK | FULL)[options.make[0]]
        worlds.make(Path(options.make[1]), case.size, case.fields, case.spread, case.bands, case.days)
        return None
    cases = {n: c for n, c in (QUICK if options.quick else FULL).items() if not options.only or n in options.only}
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print("| world | who | s, median | range | x ours | processor s, median | x ours | peak, MiB |")
    print("|---" * 8 + "|")
    split = []
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as room:
            folder = Path(room) / "world"
            _run("--make", name, str(folder))
            found = {}
            for who in (w for w in case.who if w in (options.who or case.who)):
                slow = who in {"rasterstats", "plain loop"} or (who in _EXACT and case.fields > _FEW)
                repeats = 1 if slow else options.repeats
                found[who] = _run("--one", who, str(folder), "--repeats", str(repeats))
                base = "in memory: ours" if who.startswith("in memory") and "in memory: ours" in found else "ours"
                _print_row(name, who, found[who], found.get(base))
            if "ours" in found:
                split.append(_split(name, found))
    if split:
        print("\n| world | " + " | ".join(PARTS) + " | of the decode limit |")
        print("|---" * (len(PARTS) + 2) + "|")
        print("\n".join(split))
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")
    return None


_FEW = 1000  # fields on which a slow peer is measured more than once
PARTS = ("ledger", "coverage", "read and gather", "statistics", "state", "rows", "write")


def _print_row(name: str, who: str, found: dict[str, Any], base: dict[str, Any] | None) -> None:
    """A row of figures; without ratios where ours were not measured."""
    told = [name, who]
    for kind in ("seconds", "processor"):
        median = statistics.median(found[kind])
        told.append(f"{median:.2f}")
        if kind == "seconds":
            told.append(f"{min(found[kind]):.2f} to {max(found[kind]):.2f}")
        told.append(f"{median / statistics.median(base[kind]):.2f}" if base else "")
    print(f"| {' | '.join(told)} | {found['peak']:.0f} |", flush=True)


def _split(name: str, found: dict[str, Any]) -> str:
    """Parts of our last repetition, and how near reading comes to decoding alone; means are compared on the way."""
    ours = found["ours"]
    if _EXACT[0] in found:  # by raster, exactextract 0.3 takes nodata of these sources for values
        worst = max(
            abs(a * 1e-4 - 0.1 - b) / abs(b) if a and a > 100 else abs(a - b) / abs(b)
            for band in ours["means"]
            for a, b in zip(found[_EXACT[0]]["means"][band], ours["means"][band], strict=True)
            if a is not None and b is not None
        )
        assert worst < 1e-9, f"means differ from exactextract's by {worst}"
        print(f"| {name} | means of 1,000 fields differ from exactextract's by at most | {worst:.1e} | | | | | |")
    whole = sum(ours["parts"].values())
    decoding = found.get("decode, all threads")
    limit = f"{statistics.median(decoding['seconds']) / ours['parts']['read and gather']:.0%}" if decoding else ""
    shares = " | ".join(f"{ours['parts'].get(part, 0) / whole:.0%}" for part in PARTS)
    return f"| {name} | {shares} | {limit} |"


def _run(*options: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{options} failed:\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout else {}


if __name__ == "__main__":
    main()
