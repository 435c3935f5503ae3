"""The page of maps in a real browser, on two small regions of a season.

What the browser saw is kept in the folder PICTURES; `PICTURES=docs/pictures make test-slow` renews those of the docs.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from satcommon.db.engine import open_engine
from satcommon.environment import Environment
from satcommon.settings import PREFIX, Settings, settings
from satctl.local.laptop import wait_for
from satserve.page.assets import Assets

from tests.conftest import TIMEOUT_SECONDS
from tests.e2e.farm import CORRECTED, grow
from tests.e2e.test_browser import BROWSERS, PATIENCE_MS, QUIET
from tests.unit.satserve.serving import Served, served

pytestmark = pytest.mark.slow

FIRST, LAST = date(2025, 5, 10), date(2025, 7, 31)
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # draws without a graphics card
CLEAR_DAY = "2025-07-17"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def farm(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("farm")
    shutil.copyfile(sqlite_template, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(f"{PREFIX}SCENE_SOURCE", "simulated")
        environment.setenv(f"{PREFIX}SIMULATED_CYCLE_DAYS", "2")
        settings.cache_clear()
        engine = open_engine(f"sqlite:///{folder / 'ledger.db'}", TIMEOUT_SECONDS)
        chosen = Settings(**(settings().model_dump() | {"store": str(folder / "store"), "home": folder / "home"}))
        env = Environment(chosen, engine)
        between = grow(env, FIRST, LAST)
    settings.cache_clear()
    with served(env, between) as found:
        yield found
    engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert not Assets().missing, "the map library is missing: make page"
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert executable, f"no browser found; expected one of {', '.join(BROWSERS)} (Debian's package: chromium)"
    quiet = [each for each in QUIET if each != "--disable-gpu"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=[*quiet, *WEBGL])
        yield started
        started.close()


class Seen:
    """A page, and what it did besides what it should.

    Args:
        context: of the browser.
        url: of the service.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page, self.url = context.new_page(), url
        self.page.set_default_timeout(PATIENCE_MS)
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url))

    def _requested(self, url: str) -> None:
        if not url.startswith((self.url, "data:", f"blob:{self.url}")):
            self.wrong.append(f"asked for {url}")
        if "sf_" in url:
            self.wrong.append(f"a key in {url}")

    def open(self, query: str = "") -> Page:
        self.page.goto(f"{self.url}/map{query}")
        self.shown()
        return self.page

    def shown(self, **expected: str) -> None:
        """Wait until the address has these, and the page shows them."""

        def is_shown() -> bool:
            has_all = all(self.asked(name.replace("_", "-")) == value for name, value in expected.items())
            return has_all and bool(self.page.evaluate("document.body.dataset.shown === (location.search || '?')"))

        self.until(is_shown)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait; Playwright's own waiting for a function needs `eval`, which the page does not allow."""
        assert wait_for(condition, PATIENCE_MS / 1000, pause=0.05), (self.page.url, self.wrong)

    def asked(self, name: str) -> str:
        """A part of the address, as the browser has it now: `page.url` is as of Playwright's last event."""
        return parse_qs(self.page.evaluate("location.search").removeprefix("?")).get(name, [""])[0]


@pytest.fixture
def seen(browser: Browser, farm: Served, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Seen]:
    """A page that begins anew; at the end nothing may have gone wrong, and what it shows is kept."""
    expect.set_options(timeout=PATIENCE_MS)
    options: dict[str, Any] = {"viewport": WIDE, **getattr(request, "param", {})}
    context = browser.new_context(**options)
    found = Seen(context, farm.url)
    yield found
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    name = request.node.name.partition("[")[0].removeprefix("test_").replace("_", "-")
    found.page.wait_for_timeout(300)  # the map draws its last frame; for the picture alone
    picture = Image.open(io.BytesIO(found.page.screenshot(animations="disabled")))
    picture.convert("RGB").quantize(192).save(folder / f"map-{name}.png", optimize=True)
    context.close()
    assert found.wrong == []


def coloured_share(page: Page) -> float:
    """The share of the map's pixels that have a colour, and are not grey or nearly so."""
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB")).astype(int)
    return float((np.ptp(picture, axis=-1) > 60).mean())


def field_of_list(page: Page, name: str) -> Any:
    return page.get_by_role("list", name=re.compile("Fields by")).get_by_role("button", name=name)


def test_fields(seen: Seen) -> None:
    page = seen.open()

    assert (seen.asked("region"), seen.asked("day")) == ("Prairie", LAST.isoformat())
    expect(page.get_by_role("group", name="Legend")).to_contain_text("NDVI, smoothed")
    expect(page.locator(".counts")).to_contain_text("71 of 71 fields with a value")
    expect(page.locator(".counts")).to_contain_text("1 not final · 1 missed")
    expect(field_of_list(page, "Prairie 20")).to_contain_text("missed: the field was corrected")
    assert wait_for(lambda: coloured_share(page) > 0.15, 20)


def test_misses_are_asked_for_by_day(farm: Served) -> None:
    every = farm.json("/regions/Prairie/misses", limit=1000)["misses"]

    assert len(every) == (LAST - FIRST).days + 1
    assert farm.json("/regions/Prairie/misses", day=LAST)["misses"] == [
        each for each in every if each["day"] == LAST.isoformat()
    ]


def test_days(seen: Seen) -> None:
    page = seen.open()
    slider = page.get_by_role("slider", name="Day")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    seen.shown(day="2025-07-30")
    expect(page.locator("#day-name")).to_have_text("30 Jul 2025")
    page.keyboard.press("Home")
    seen.shown(day=FIRST.isoformat())
    page.get_by_role("button", name="Play").click()
    seen.until(lambda: seen.asked("day") >= "2025-05-13")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("seen", [{"viewport": {"width": 1280, "height": 720}}], indirect=True)
def test_season(seen: Seen) -> None:
    page = seen.open(f"?field={CORRECTED}&day={CLEAR_DAY}&layer=truecolor")

    expect(page.get_by_role("heading", name="Prairie 07")).to_be_visible()
    chart = page.locator("svg.chart")
    expect(chart.locator("path.smoothed")).to_have_count(1)
    expect(chart.locator("path.before")).to_have_count(1)
    assert chart.locator("circle.seen").count() > 10
    assert chart.locator("rect.cloudy").count() > 3
    assert re.search(r"\d+ values corrected", chart.get_attribute("aria-label") or "")
    expect(page.get_by_role("list", name="What was published of this day").get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download CSV").click()
    rows = Path(begun.value.path()).read_text().splitlines()
    assert begun.value.suggested_filename == f"{CORRECTED}.csv"
    assert len(rows) == (LAST - FIRST).days + 2
    page.evaluate("document.getElementById('panel').scrollTo(0, 0)")


def test_click_search_and_back(seen: Seen) -> None:
    page = seen.open()
    box = page.locator("#map").bounding_box()
    assert box
    places = ((box["x"] + x, box["y"] + box["height"] * y) for y in (0.4, 0.45, 0.5) for x in range(330, 800, 30))
    for place in places:  # until a field is met
        page.mouse.move(*place)
        page.wait_for_timeout(50)
        if page.locator("#tip").is_visible():
            break
    page.mouse.click(*place)
    seen.until(lambda: seen.asked("field") != "")
    seen.shown()
    clicked = seen.asked("field")
    expect(page.get_by_role("heading", name=clicked.capitalize().replace("-", " "))).to_be_visible()

    search = page.get_by_role("combobox", name="Field")
    search.fill("prairie 1")
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_count(8)
    search.press("ArrowDown")
    search.press("Enter")
    seen.shown(field="prairie-11")
    expect(page.get_by_role("heading", name="Prairie 11")).to_be_visible()
    page.go_back()
    seen.shown(field=clicked)
    page.go_back()
    seen.shown(field="")
    expect(page.locator(".counts")).to_be_visible()


def test_as_of(seen: Seen, farm: Served) -> None:
    page = seen.open(f"?field={CORRECTED}&day={CLEAR_DAY}")
    now = page.locator("svg.chart .readout").text_content()
    page.get_by_label("As published at").fill(farm.before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    page.get_by_label("As published at").press("Enter")
    seen.until(lambda: seen.asked("as-of") != "")
    seen.shown()

    expect(page.get_by_role("list", name="What was published of this day").get_by_role("listitem")).to_have_count(1)
    assert page.locator("svg.chart .readout").text_content() != now
    assert datetime.fromisoformat(seen.asked("as-of")) <= farm.before
    page.get_by_role("button", name="Now").click()
    seen.shown(as_of="")
    expect(page.locator("svg.chart .readout")).to_have_text(now or "")


def test_regions(seen: Seen) -> None:
    page = seen.open()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Regions").click()
    seen.shown(view="regions")

    prairie = page.get_by_role("row", name=re.compile("Prairie"))
    expect(prairie).to_contain_text("the field was corrected")
    expect(prairie).to_contain_text("30 rows of")
    expect(page.get_by_role("row", name=re.compile("Valley"))).to_contain_text("100 %")
    page.get_by_role("link", name="Valley").click()
    seen.shown(region="Valley")
    expect(page.locator(".counts")).to_contain_text(re.compile(r"^34 of 34 fields"))
    page.go_back()
    expect(page.get_by_role("heading", name="Regions")).to_be_visible()


@pytest.mark.parametrize("seen", [{"viewport": PHONE, "has_touch": True}], indirect=True)
def test_phone(seen: Seen) -> None:
    page = seen.open(f"?field={CORRECTED}&day={CLEAR_DAY}")

    for query in ("", "?view=regions", f"?field={CORRECTED}"):
        seen.open(query)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = page.locator("svg.chart").bounding_box()
    assert box
    assert box["width"] <= PHONE["width"]
    page.evaluate("scrollTo(0, 0)")


@pytest.mark.parametrize("seen", [{"color_scheme": "dark"}], indirect=True)
def test_dark(seen: Seen) -> None:
    page = seen.open(f"?field={CORRECTED}&day={CLEAR_DAY}&layer=ndvi")

    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert max(red, green, blue) < 60
    expect(page.get_by_role("group", name="Legend")).to_contain_text("Scene: NDVI")


def test_by_keyboard_alone(seen: Seen) -> None:
    page = seen.open()
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(e => e.id || e.ariaLabel || e.textContent.trim() || e.className)(document.activeElement)")
        )
        if "Prairie" in reached[-1] and page.evaluate("document.activeElement.matches('.row')"):
            break
    page.keyboard.press("Enter")
    seen.until(lambda: seen.asked("field") != "")
    seen.shown()

    assert {"region", "column", "search", "as-of", "play", "day"} <= set(reached)
    expect(page.locator("svg.chart")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "panel"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("Prairie 02")
    page.keyboard.press("Enter")
    seen.shown(field="prairie-02")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select')].filter((e) => e.checkVisibility()
            && !e.textContent.trim() && !e.labels?.length && !e.ariaLabel && !e.title).map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_an_earlier_season_is_laid_over_by_its_months(seen: Seen) -> None:
    page = seen.open()
    digest = re.search(r"map/assets/\w+", page.content())
    assert digest
    season = page.evaluate(
        """async (assets) => {
            const { seasonOf } = await import(`/${assets}/series.js`);
            const { dayOf, numberOf } = await import(`/${assets}/days.js`);
            const day = ['2024-05-01', '2024-05-02', '2024-05-03', '2025-05-02', '2025-05-03', '2025-05-04'];
            const planting_date = [...Array(3).fill('2024-05-01'), ...Array(3).fill('2025-05-02')];
            const values = { planting_date, status: Array(6).fill('clear'), ndvi_mean: Array(6).fill(0.5),
                ndvi_smoothed_e4: [1000, 2000, 3000, 4000, 5000, 6000] };
            const series = { day, final: [true, true, true, true, true, false], values };
            const found = seasonOf(series, 'ndvi_mean', numberOf('2025-05-03'), []);
            return [found.earlier.map((s) => s.points.map((p) => [dayOf(p.day), p.value])), dayOf(found.openFrom)];
        }""",
        digest.group(),
    )

    assert season == [[[["2025-05-02", pytest.approx(0.2)], ["2025-05-03", pytest.approx(0.3)]]], "2025-05-04"]


def test_elsewhere_the_page_asks_for_a_key(browser: Browser, farm: Served, tmp_path: Path) -> None:
    context = browser.new_context(viewport=WIDE, extra_http_headers={"x-forwarded-for": "203.0.113.7"})
    seen = Seen(context, farm.url)
    page = seen.page
    page.goto(f"{farm.url}/map")
    dialog = page.get_by_role("dialog", name="A key is needed")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Key").fill("sf_wrong")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("The key was refused")
    dialog.get_by_label("Key").fill(farm.key("Valley"))
    dialog.get_by_label("Key").press("Enter")
    seen.shown()

    expect(page.get_by_label("Region").get_by_role("option")).to_have_text(["Valley"])
    page.get_by_text("True colour").click()
    seen.shown(layer="truecolor")
    page.reload()
    seen.shown()
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    context.close()
    assert [each for each in seen.wrong if "401" not in each] == []
