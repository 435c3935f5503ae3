"""The demo, as the README's first command runs it, and what an operator sees after it: the UI in a real browser.

What the browser saw is kept in the folder PICTURES; `PICTURES=docs/pictures make test-slow` renews those of the docs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from satctl.local.laptop import free_port, wait_for

from tests.e2e.demo import Demo, run_demo, started_for

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("e2e") / "demo")


@pytest.fixture(scope="module")
def url(demo: Demo) -> Iterator[str]:
    """The UI on what the demo left."""
    port = free_port()
    log = demo.home / "up.log"
    environment = {**os.environ, "SATFIELDS_HOME": str(demo.home), "SATFIELDS_SIMULATED_HELD": str(demo.home / "held")}
    with log.open("w") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "satctl", "up", "--port", str(port), "--no-seed"],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        assert wait_for(lambda: " is up" in log.read_text() or up.poll() is not None, 120), log.read_text()
        assert up.poll() is None, log.read_text()
        yield f"http://localhost:{port}"
    finally:
        up.terminate()  # SIGINT is ignored by whatever a script started in the background
        up.wait(60)


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert executable, f"no browser found; expected one of {', '.join(BROWSERS)} (Debian's package: chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


@pytest.fixture
def page(browser_page: Page, url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page that begins anew; what it shows at the end is kept."""
    expect.set_options(timeout=PATIENCE_MS)
    yield browser_page
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    name = request.node.name.removeprefix("test_").replace("_", "-")
    browser_page.screenshot(path=folder / f"ui-{name}.png", animations="disabled")


def picture_of(page: Page, label: str) -> tuple[int, int]:
    """Open a picture in the metadata, and give its size as the browser decoded it."""
    row = page.locator("tr", has=page.get_by_text(label, exact=True)).first
    row.get_by_text(re.compile("Show Markdown")).click()
    image = page.locator("img[src^='data:image/png']").first
    expect(image).to_be_visible()
    size = image.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    return size[0], size[1]


def test_the_demo_puts_late_data_right_and_leaves_no_process(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.output
    assert "NOT CLEAN" not in demo.output
    assert {path.name for path in demo.home.glob("*.png")} == {"region-A.png", "region-B.png"}
    assert started_for(demo.home) == []


def test_locations(page: Page, url: str) -> None:
    page.goto(f"{url}/locations")

    for location in ("ingest", "realtime", "reprocessing"):
        expect(page.locator(f"a[href='/locations/{location}/']")).to_be_visible()
    expect(page.get_by_text("Loaded", exact=True)).to_have_count(3)


def test_lineage(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/reprocessed_field_metrics?view=lineage&lineageScope=upstream&lineageDepth=5")

    for asset in ("scenes", "field_registry", "field_metrics", "reprocessed_field_metrics"):
        expect(page.get_by_text(asset, exact=True).last).to_be_visible()


def test_day(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/field_metrics?view=events")

    width, height = picture_of(page, "map")

    assert width > 300
    assert height > 200


def test_correction(page: Page, url: str, demo: Demo) -> None:
    held = demo.output.split(" of region A closed without its scene")[0][-10:]
    page.goto(f"{url}/assets/field_metrics?view=partitions&partition={held}%7CA")

    expect(page.get_by_text("corrected by run", exact=True)).to_be_visible()
    expect(page.get_by_text("View all historical events (2)")).to_be_visible()


def test_before_and_after(page: Page, url: str) -> None:
    page.goto(f"{url}/assets/reprocessed_field_metrics?view=events")

    assert picture_of(page, "before and after") == (640, 320)
