"""A region's day with its scene by reference, in an archive behind HTTP, against the same scene copied into our store.

    python benchmarks/by_reference.py [--quick] [--repeats 5] [--milliseconds 30] [--compress DEFLATE]

The archive is a process on loopback that adds some milliseconds to each request. It has one tile as Sentinel-2's are
published: four bands at 10 m and two at 20 m, each a COG with blocks of 1,024 cells, and the classes at 20 m. Every
figure is a process of its own, and the two kinds take turns. Absolute times are this machine's; what counts is the
ratio.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

KINDS = {"copied": True, "by reference": False}
COARSE = ("swir16", "swir22")  # at 20 m
CLOUD, VEGETATION = 9, 4  # of SCL
ID = "S2B_T33TVM_20260501T101200_L2A"


# --- the archive ------------------------------------------------------------------------------------------------------


class Archive(BaseHTTPRequestHandler):
    """Files by ranges, with ETags; `/asked` tells, and forgets, how many requests came and how many bytes went."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    folder = Path()
    pause = 0.0
    asked: ClassVar = [0, 0]
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Answer with a range of a file."""
        if self.path == "/asked":
            with self.lock:
                told, self.asked[:] = json.dumps(self.asked).encode(), [0, 0]
            self._head(200, len(told))
            self.wfile.write(told)
            return
        time.sleep(self.pause)
        path = self.folder / self.path.lstrip("/")
        size, start, end = path.stat().st_size, 0, path.stat().st_size
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            start, end = int(found[1]), min(size, int(found[2]) + 1)
            self._head(206, end - start, {"Content-Range": f"bytes {start}-{end - 1}/{size}"}, path)
        else:
            self._head(200, size, {}, path)
        sent = 0
        if self.command == "GET":
            self.wfile.flush()
            with path.open("rb") as file:
                while start + sent < end:
                    sent += os.sendfile(self.connection.fileno(), file.fileno(), start + sent, end - start - sent)
        with self.lock:
            self.asked[:] = self.asked[0] + 1, self.asked[1] + sent

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _head(self, status: int, size: int, headers: dict[str, str] | None = None, path: Path | None = None) -> None:
        self.send_response(status)
        own = {"Content-Length": str(size), "Last-Modified": "Fri, 01 May 2026 12:00:00 GMT"} | (headers or {})
        if path is not None:
            own["ETag"] = f'"{path.stat().st_mtime_ns:x}-{path.stat().st_size:x}"'
        for name, value in own.items():
            self.send_header(name, value)
        self.end_headers()


def serve(folder: Path, milliseconds: float) -> None:
    """Serve a folder until the process is ended; the address is printed first."""
    Archive.folder, Archive.pause = folder, milliseconds / 1000
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


@contextmanager
def served(folder: Path, milliseconds: float) -> Iterator[str]:
    """The address of the archive."""
    command = [sys.executable, __file__, "--serve", str(folder), "--milliseconds", str(milliseconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


# --- the worlds -------------------------------------------------------------------------------------------------------


def make_archive(folder: Path, size: int, compress: str) -> None:
    """A tile's files: what `world.noisy_layers` has, bright where it is cloudy."""
    import numpy as np
    import world as worlds
    from affine import Affine
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy
    from satcommon.raster.layers import REFLECTIVE, PixelClass

    folder.mkdir(parents=True)
    grid = worlds.grid_of(size)
    layers = worlds.noisy_layers(grid, REFLECTIVE, 1)
    cloudy = layers.classes == PixelClass.CLOUD
    files = {"classes": np.where(cloudy, np.uint8(CLOUD), np.uint8(VEGETATION))[::2, ::2]}
    for band, values in layers.bands.items():
        values[cloudy] = 7000
        files[band] = values[::2, ::2] if band in COARSE else values
    for name, cells in files.items():
        step = size // cells.shape[0]
        shape = {"height": cells.shape[0], "width": cells.shape[1], "count": 1, "dtype": cells.dtype, "nodata": 0}
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", crs=grid.crs, transform=grid.transform @ Affine.scale(step), **shape
            ) as plain:
                plain.write(cells, 1)
            options = {"blocksize": 1024, "compress": compress, "predictor": "YES", "num_threads": "ALL_CPUS"}
            copy(memory.name, folder / f"{name}.tif", driver="COG", overview_resampling="nearest", **options)


def source_of(folder: Path, base: str, *, copied: bool) -> Any:
    """The source, whose catalogue is a file."""
    import world as worlds
    from pyproj import Transformer
    from satcommon.raster.layers import REFLECTIVE
    from satcommon.sources.stac import StacSource
    from satcommon.sources.stac_config import StacConfig

    grid = worlds.load(folder).grid
    box = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform_bounds(*grid.extent)
    stated = {"raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]}
    item = {
        "type": "Feature",
        "id": ID,
        "collection": "s2",
        "bbox": list(box),
        "properties": {
            "datetime": f"{worlds.FIRST}T10:12:00Z",
            "created": f"{worlds.FIRST}T18:00:00Z",
            "platform": "sentinel-2b",
            "s2:processing_baseline": "05.11",
            "grid:code": "MGRS-33TVM",
        },
        "assets": {band: {"href": f"{base}/{band}.tif", **stated} for band in REFLECTIVE}
        | {"classes": {"href": f"{base}/classes.tif"}},
    }
    catalogue = folder / "items.json"
    catalogue.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    collection = {
        "id": "s2",
        "assets": {band: band for band in REFLECTIVE},
        "mask": {"asset": "classes", "kind": "scl"},
    }
    content = {"catalogue": str(catalogue), "collections": [collection], "copy": copied}
    return StacSource(StacConfig.model_validate(content))


def make_world(folder: Path, size: int, fields: int) -> None:
    """A ledger with the fields, and their coverage."""
    import world as worlds

    world = worlds.World(folder, worlds.grid_of(size), worlds.fields_of(fields, size, 1.0))
    worlds.register_all(world).dispose()
    world.coverage()
    (folder / "world.pickle").write_bytes(pickle.dumps(world))


# --- one figure, in a process of its own ------------------------------------------------------------------------------


def ingest(folder: Path, base: str, kind: str) -> None:
    """Ask for the day."""
    import world as worlds
    from satcommon.pipeline.ingest_day import ask

    here = worlds.load(folder)
    source, engine = source_of(folder, base, copied=KINDS[kind]), here.engine()
    with _told(base) as told:
        answer = ask(engine, here.store, source, 1, worlds.FIRST, worlds.NOW)
    assert answer.pixels == kind, answer
    told["stored"] = sum(path.stat().st_size for path in (folder / "store" / "scenes").rglob("*.*"))
    print(json.dumps(told))


def close(folder: Path, base: str, kind: str) -> None:
    """Close the day, on a copy of the ledger."""
    import world as worlds
    from satcommon.db.engine import open_engine, read_transaction
    from satcommon.pipeline import close_day
    from satcommon.pipeline.inputs import read
    from satcommon.publication.objects import encode

    here = worlds.load(folder)
    source = source_of(folder, base, copied=KINDS[kind])
    with tempfile.TemporaryDirectory() as room:
        shutil.copyfile(folder / "ledger.db", Path(room) / "ledger.db")
        engine = open_engine(f"sqlite:///{Path(room) / 'ledger.db'}")
        with _told(base) as told:
            processor = close_day.Processor(engine, here.store, source=lambda: source)
            with read_transaction(engine) as connection:
                inputs = read(connection, 1, worlds.FIRST, worlds.DEADLINES, worlds.NOW)
            assert inputs is not None
            computed = processor.compute(inputs)
            put = processor.put(inputs, computed)
            done = close_day.commit(engine, inputs, computed, put, "bench", worlds.NOW)
        assert done is close_day.Outcome.CLOSED
    print(json.dumps(told | {"rows": hashlib.sha256(encode(computed.rows)).hexdigest()}))


@contextmanager
def _told(base: str) -> Iterator[dict[str, Any]]:
    """Seconds, the processor's, MiB above what the process had before, and what the archive was asked for."""
    told: dict[str, Any] = {}
    _asked(base)
    before = _most_memory()
    started, busy = time.perf_counter(), time.process_time()
    yield told
    told |= {"seconds": time.perf_counter() - started, "processor": time.process_time() - busy}
    told["peak"] = _most_memory() - before
    told["requests"], told["bytes"] = _asked(base)


def _most_memory() -> float:
    """MiB of memory that this process had at most; `getrusage` begins with what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def _asked(base: str) -> list[int]:
    with urlopen(f"{base}/asked") as response:
        asked: list[int] = json.loads(response.read())
    return asked


# --- the table --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Make archive and worlds, measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small tile, to see that everything still runs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--milliseconds", type=float, default=30.0, help="that the archive adds to each request")
    parser.add_argument("--compress", default="DEFLATE", help="of the archive's files; ours are always ZSTD")
    parser.add_argument("--fields", type=int, nargs="*", default=[10_000])
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=4, metavar=("STEP", "FOLDER", "BASE", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.milliseconds)
    if options.one:
        step, folder, base, kind = options.one
        return (ingest if step == "ingest" else close)(Path(folder), base, kind)
    size, counts = (1098, [300]) if options.quick else (10_980, options.fields)
    repeats = 1 if options.quick else options.repeats
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory() as room:
        archive = Path(room) / "archive"
        make_archive(archive, size, options.compress)
        held = sum(path.stat().st_size for path in archive.iterdir())
        print(f"the archive's tile: {held / 1e6:,.0f} MB, {options.compress}; {options.milliseconds:g} ms a request\n")
        print("| step | fields | kind | s, median | range | ratio | processor s | ratio | peak, MiB | requests | MB |")
        print("|---" * 11 + "|")
        with served(archive, options.milliseconds) as base:
            for fields in counts:
                compare(Path(room) / str(fields), base, size, fields, repeats)
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")
    return None


def compare(folder: Path, base: str, size: int, fields: int, repeats: int) -> None:
    """Ingest and close a day of each kind, and print what that took."""
    make_world(folder / "copied", size, fields)
    shutil.copytree(folder / "copied", folder / "by reference")
    made = pickle.loads((folder / "copied" / "world.pickle").read_bytes())
    moved = replace(made, folder=folder / "by reference")
    (folder / "by reference" / "world.pickle").write_bytes(pickle.dumps(moved))
    for step, times in (("ingest", 1), ("close", repeats)):
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for _ in range(times):
            for kind in KINDS:
                found[kind].append(_run(step, folder / kind, base, kind))
        if step == "close":
            assert len({each["rows"] for of_kind in found.values() for each in of_kind}) == 1, "rows differ"
        for kind, measured in found.items():
            _print_row(step, fields, kind, measured, found["copied"])
        if step == "ingest":
            stored = {kind: measured[0]["stored"] for kind, measured in found.items()}
    print(f"\nstored for {fields:,} fields: " + ", ".join(f"{kind} {size:,} bytes" for kind, size in stored.items()))


def _run(step: str, folder: Path, base: str, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", step, str(folder), base, kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _print_row(step: str, fields: int, kind: str, measured: list[dict[str, Any]], copied: list[dict[str, Any]]) -> None:
    told = [step, f"{fields:,}", kind]
    for key in ("seconds", "processor"):
        median = statistics.median(each[key] for each in measured)
        told.append(f"{median:.2f}")
        if key == "seconds":
            told.append(f"{min(each[key] for each in measured):.2f} to {max(each[key] for each in measured):.2f}")
        told.append(f"{median / statistics.median(each[key] for each in copied):.2f}")
    last = measured[-1]
    told += [f"{last['peak']:.0f}", f"{last['requests']:,}", f"{last['bytes'] / 1e6:,.1f}"]
    print(f"| {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
