"""A STAC catalogue on loopback: an API that is not ours (rustac), files behind ranges, a proxy that breaks answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import Request, urlopen

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_config import StacConfig

from tests.unit.geotiffs import GRID, Raster

COLLECTION = "s2"
ID = "S2B_T33TVL_20160107T101243_L2A"
SENSED = "2016-01-07T10:12:43Z"
ASSETS = {"B04": "red", "B08": "nir", "B11": "swir16"}
TEN = GRID.transform  # cells of the finest bands
ROWS, COLUMNS = 12, 16  # even, so that coarser bands have whole cells
Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[Answer], Answer | None]


class Handler(BaseHTTPRequestHandler):
    """What the servers here have in common: HTTP/1.1, and silence."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and content in one segment, or each answer waits for an acknowledgement

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def broken(self, answer: Answer, fault: Fault | None) -> None:
        """Answer, broken by a fault."""
        broken = fault(answer) if fault else answer
        if broken is None:  # nothing comes, until the asker has gone
            time.sleep(1.5)
            self.close_connection = True
            return
        self.close_connection = "Content-Length" in broken[1]  # and the rest of the body never comes
        self.answer(*broken)

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that do not trust it
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        server.shutdown()


class Files:
    """A folder behind HTTP, with ranges, ETags and conditions, as object stores have them.

    Attributes:
        requests: methods and paths, with their range.
        token: the signature that a link must have; None: none.
        down: whether every request is refused, as by an archive in trouble.
        before: called before each request is answered, with its method and path.
        faults: what the next answers to GET are broken by.
        always: what the answers to GET after those are broken by.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.token: str | None = None
        self.down = False
        self.before: Callable[[str], None] = lambda _: None
        self.faults: list[Fault] = []
        self.always: Fault | None = None

    @contextmanager
    def served(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """The address; with a context, one of HTTPS."""
        outer = self

        class Ranged(Handler):
            def do_GET(self) -> None:
                answer = outer.ask(self.command, self.path, dict(self.headers))
                fault = (outer.faults.pop(0) if outer.faults else outer.always) if self.command == "GET" else None
                self.broken(answer, fault)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        with serving(Ranged, tls=tls) as url:
            yield url

    def ask(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        parts = urlsplit(target)
        stated = {name.lower(): value for name, value in headers.items()}
        self.requests.append(f"{method} {parts.path} {stated.get('range', '')}".strip())
        self.before(f"{method} {parts.path}")
        if self.down:
            return 503, {}, b"later"
        if self.token is not None and parse_qs(parts.query).get("sig") != [self.token]:
            return 403, {}, b"no"
        path = self.folder / unquote(parts.path).lstrip("/")
        if not path.is_file():
            return 404, {}, b"none"
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        tags = {"ETag": etag, "Accept-Ranges": "bytes", "Last-Modified": "Thu, 07 Jan 2016 12:00:00 GMT"}
        if stated.get("if-match", etag) != etag:
            return 412, {}, b""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", stated.get("range", ""))
        if not found:
            return 200, tags, content
        start, end = int(found[1]), int(found[2] or len(content) - 1) + 1
        if start >= len(content):
            return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
        piece = content[start:end]
        tags["Content-Range"] = f"bytes {start}-{start + len(piece) - 1}/{len(content)}"
        return 206, tags, piece


def band(
    path: Path, values: Raster, metres: int = 10, driver: str = "GTiff", *, shift: float = 0.0, **profile: Any
) -> Path:
    """A file of one band; a coarser one has fewer cells on the same corner, which may be shifted by some fine cells."""
    step = metres // 10
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver=driver,
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        dtype=values.dtype,
        nodata=0,
        crs=GRID.crs,
        transform=TEN @ Affine.translation(shift, 0) @ Affine.scale(step),
        **profile or {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
    ) as dataset:
        dataset.write(values, 1)
    return path


def pixels(seed: int = 1) -> dict[str, Raster]:
    """Bands of a scene by asset: red and near infrared at 10 m, shortwave infrared and classes at 20 m."""
    random = np.random.default_rng(seed)
    fine, coarse = (ROWS, COLUMNS), (ROWS // 2, COLUMNS // 2)
    return {
        "B04": random.integers(1300, 1900, fine).astype(np.uint16),
        "B08": random.integers(3500, 5500, fine).astype(np.uint16),
        "B11": random.integers(2000, 3500, coarse).astype(np.uint16),
        "SCL": random.choice([4, 4, 4, 5, 8, 9, 3], coarse).astype(np.uint8),
    }


def item(
    folder: Path,
    base: str,
    item_id: str = ID,
    *,
    values: dict[str, Raster] | None = None,
    sensed: str = SENSED,
    collection: str = COLLECTION,
    baseline: str = "05.00",
    checksum: bool = False,
    **properties: Any,
) -> dict[str, Any]:
    """An item, whose files are written; it may state their checksums."""
    values = pixels() if values is None else values
    for key, cells in values.items():
        band(folder / item_id / f"{key}.tif", cells, 20 if cells.shape[0] < ROWS else 10)
    extent = (GRID.left, GRID.top - ROWS * GRID.yres, GRID.left + COLUMNS * GRID.xres, GRID.top)
    west, south, east, north = transform_bounds(GRID.crs, "EPSG:4326", *extent)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    scaling = {"raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": sensed,
            "created": "2016-01-08T00:00:00Z",
            "platform": "sentinel-2b",
            "s2:processing_baseline": baseline,
            "grid:code": "MGRS-33TVL",
            **properties,
        },
        "links": [],
        "assets": {
            key: {"href": f"{base}/{item_id}/{key}.tif"}
            | ({} if key == "SCL" else scaling)
            | ({"file:checksum": _checksum(folder / item_id / f"{key}.tif")} if checksum else {})
            for key in values
        },
    }


def _checksum(path: Path) -> str:
    return "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def config(where: str, **keys: Any) -> StacConfig:
    """A configuration of the collection here: an API, or with another key what that names."""
    content = {
        "collections": [{"id": COLLECTION, "assets": ASSETS, "mask": {"asset": "SCL", "kind": "scl"}}],
        "requests": {"timeout_seconds": 1.0, "pause_seconds": 0.001, "tries": 4, "page_size": 3},
    }
    named = {} if {"catalogue", "items"} & keys.keys() else {"endpoint": where}
    return StacConfig.model_validate(content | named | keys)


def source(where: str, **keys: Any) -> StacSource:
    return StacSource(config(where, **keys))


def collection(name: str = COLLECTION) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": "of the tests",
        "license": "CC0-1.0",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


@contextmanager
def api(folder: Path, items: list[dict[str, Any]], address: str | None = None) -> Iterator[str]:
    """A STAC API that has the items: rustac's. `address` is that of a proxy before it, for its links."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({one["collection"] for one in items} | {COLLECTION})
    stated = []
    for name in names:
        (folder / f"collection-{name}.json").write_text(json.dumps(collection(name)))
        stated.append(str(folder / f"collection-{name}.json"))
    if items:
        (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        stated.append(str(folder / "items.json"))
    port = free_port()
    rustac = Path(sysconfig.get_path("scripts")) / "rustac"
    own = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [rustac, "serve", "--addr", address or own, "--bind", own, *stated],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"NO_COLOR": "1"},
    )
    try:
        _wait_for(f"http://{own}/", process)
        yield f"http://{own}"
    finally:
        process.kill()  # it has nothing to save, and waits for open connections when it is asked to end
        process.wait()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, "rustac ended while it started"
        try:
            urlopen(url, timeout=1).close()
        except (URLError, OSError):
            time.sleep(0.01)
        else:
            return
    raise AssertionError("rustac does not answer")


class Proxy:
    """Passes requests on, and breaks answers.

    Attributes:
        faults: what the next answers are broken by; each gets the true answer. None: it is passed on.
        always: what the answers after those are broken by.
        matched: the number of matches that answers state.
        asked: how many requests came.
    """

    def __init__(self) -> None:
        self.upstream = ""
        self.faults: list[Fault | None] = []
        self.always: Fault | None = None
        self.matched: int | None = None
        self.asked = 0
        self.port = free_port()

    @contextmanager
    def served(self) -> Iterator[str]:
        outer = self

        class Passing(Handler):
            def do_GET(self) -> None:
                outer.asked += 1
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                fault = outer.faults.pop(0) if outer.faults else outer.always
                answer = outer.passed_on(self.command, self.path, body)
                self.broken(answer, fault)

            do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        with serving(Passing, self.port) as url:
            yield url

    def passed_on(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {"Content-Type": "application/json"} if body else {}
        with urlopen(Request(self.upstream + path, data=body, method=method, headers=headers)) as response:
            content = response.read()
        if self.matched is not None:
            content = json.dumps(json.loads(content) | {"numberMatched": self.matched}).encode()
        return 200, {"Content-Type": "application/json"}, content


class Faults:
    """Ways in which requests to real catalogues, and for their files, fail."""

    @staticmethod
    def status_500(_: Answer) -> Answer:
        return 500, {}, b"oops"

    @staticmethod
    def too_many(_: Answer) -> Answer:
        return 429, {"Retry-After": "0"}, b""

    @staticmethod
    def silence(_: Answer) -> None:
        return None

    @staticmethod
    def cut(answer: Answer) -> Answer:
        stated = {**answer[1], "Content-Length": str(len(answer[2]))}
        return answer[0], stated, answer[2][: len(answer[2]) // 2]

    @staticmethod
    def unsatisfiable(_: Answer) -> Answer:
        """Says that a range lies behind the end of a file, whose size is what it was."""
        return 416, {}, b""

    @staticmethod
    def redirected(_: Answer) -> Answer:
        return 302, {"Location": "/again"}, b""

    @staticmethod
    def no_json(_: Answer) -> Answer:
        return 200, {}, b"<html>busy</html>"

    @staticmethod
    def missing_page(answer: Answer) -> Answer:
        """An empty page that is the last, though items are left."""
        page = json.loads(answer[2])
        return 200, {}, json.dumps(page | {"features": [], "links": []}).encode()

    @staticmethod
    def looping_next(answer: Answer) -> Answer:
        """A page whose link to the next leads to itself."""
        page = json.loads(answer[2])
        links = [link for link in page["links"] if link["rel"] != "next"]
        asked = next((link for link in page["links"] if link["rel"] == "next"), None)
        if asked is None:
            return answer
        body = {key: value for key, value in asked["body"].items() if key != "skip"}
        return 200, {}, json.dumps(page | {"links": [*links, asked | {"body": body}]}).encode()
