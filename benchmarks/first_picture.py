"""The page of maps in chromium: from its address to the first picture with coloured fields, then to another column.

    python benchmarks/first_picture.py [--fields 100000] [--quick]

Rows and fields are made up, those of `serving.py`. The browser draws without a graphics card, on the cores that the
server has, too. The peer is the same browser, in the same run, which gets the same bytes and parses them, and draws
nothing.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from serving import FIRST, make, make_large, served

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
COLOURED = 0.2  # of the pixels, where fields have values; a map of grey fields has none
SATURATED = 40  # between the channels of a pixel with a colour
PATIENCE_SECONDS = 300
AGAIN = 6  # openings: each of the server's workers numbers the region's polygons once
PARSED = """async ([region, day, column]) => {
    const began = performance.now();
    const get = async (path) => (await fetch(path)).json();
    let next = `/collections/fields/items?bbox=0,50,0.9,50.9&limit=10000&f=GeoJSON`;
    while (next) {
        const page = await get(next);
        next = page.links.find((link) => link.rel === "next")?.href;
    }
    const path = `/regions/${region}/days/${day}/columns`;
    await Promise.all([get(`${path}/${column}?f=json`), get(`${path}/status?f=json`)]);
    return (performance.now() - began) / 1000;
}"""


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="that it runs; its figures tell nothing")
    options = parser.parse_args()
    fields = 500 if options.quick else options.fields
    if not any(map(shutil.which, BROWSERS)):
        print(f"NOT MEASURED: there is no browser; expected one of {', '.join(BROWSERS)}")
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as room:
        make(Path(room), 0, 0, 0)
        make_large(Path(room), (fields,), 0)
        with served(Path(room)) as (port, _), opened() as page:
            measure(page, f"http://127.0.0.1:{port}", f"L{fields}")


@contextmanager
def opened() -> Iterator[Page]:
    """A window of the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS))), args=ARGUMENTS
        )
        yield browser.new_page(viewport={"width": 1280, "height": 800})
        browser.close()


def measure(page: Page, url: str, region: str) -> None:
    """Open the map of a region twice, then another column of it."""
    address = f"{url}/map?region={region}&day={FIRST}&column="
    page.goto(url)  # of the same origin
    print("| from asking to | s |\n|---|---|")
    for n in (1, 2):
        parsed = page.evaluate(PARSED, [region, str(FIRST), "ndvi_mean"])
        print(f"| all bytes parsed{', again' * (n > 1)} | {parsed:.2f} |", flush=True)
    took = []
    for _ in range(1 + AGAIN):
        began = time.perf_counter()
        page.goto(f"{address}ndvi_mean", wait_until="commit")
        took.append(until_coloured(page, began))
        page.goto("about:blank")
    print(
        f"| first coloured picture | {took[0]:.2f} |\n| again, median of {AGAIN} | {statistics.median(took[1:]):.2f} |"
    )
    page.goto(f"{address}ndvi_mean")
    until_coloured(page, time.perf_counter())
    before = pixels(page)
    began = time.perf_counter()
    page.locator("#column").select_option("ndmi_mean")
    while np.array_equal(pixels(page), before):
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise SystemExit("another column draws the same")
    print(f"| another column | {time.perf_counter() - began:.2f} |")


def until_coloured(page: Page, began: float) -> float:
    """The seconds since then until the map has the colours of values."""
    while (took := time.perf_counter() - began) < PATIENCE_SECONDS:
        seen = pixels(page).astype(int)
        if (seen.max(axis=2) - seen.min(axis=2) > SATURATED).mean() > COLOURED:
            return time.perf_counter() - began
    raise SystemExit(f"no coloured picture after {took:.0f} s")


def pixels(page: Page) -> np.ndarray:
    """Of the middle of the map."""
    picture = page.screenshot(clip={"x": 500, "y": 250, "width": 400, "height": 300})
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


if __name__ == "__main__":
    main()
