"""The page of maps in a real browser, on two small regions of a season.

What the browser saw is kept in the folder PICTURES; `PICTURES=docs/pictures make test-slow` renews those of the docs.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from satcommon.db.engine import open_engine
from satcommon.environment import Environment
from satcommon.settings import PREFIX, Settings, settings
from satcommon.stats.algorithm import resolved
from satctl.local.laptop import wait_for
from satserve.page.assets import Assets

from tests.conftest import TIMEOUT_SECONDS
from tests.e2e.farm import CORRECTED, grow, grow_plain, grow_steppe
from tests.e2e.test_browser import BROWSERS, PATIENCE_MS, QUIET
from tests.unit.satserve.serving import Served, served

pytestmark = pytest.mark.slow

FIRST, LAST = date(2025, 5, 10), date(2025, 7, 31)
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # draws without a graphics card
CLEAR_DAY = "2025-07-17"
# Pauses once the picture of the second day is there, before the third is asked for: the list is still of the first.
PAUSE_AT_PICTURE = """window.paused = new Promise((done) => {
    const observer = new MutationObserver(() => {
        if (document.body.dataset.shown !== location.search || location.search.includes("day=2025-07-08")) return;
        observer.disconnect();
        document.querySelector("#play").click();
        done();
    });
    observer.observe(document.body, { attributeFilter: ["data-shown"] });
}), null"""
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@contextmanager
def simulated(folder: Path, template: Path, **given: str) -> Iterator[Environment]:
    """A system of its own, which a simulated satellite passes over every other day; with further settings."""
    shutil.copyfile(template, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {"SCENE_SOURCE": "simulated", "SIMULATED_CYCLE_DAYS": "2", **given}.items():
            environment.setenv(f"{PREFIX}{name}", value)
        settings.cache_clear()
        engine = open_engine(f"sqlite:///{folder / 'ledger.db'}", TIMEOUT_SECONDS)
        chosen = Settings(**(settings().model_dump() | {"store": str(folder / "store"), "home": folder / "home"}))
        yield Environment(chosen, engine)
    settings.cache_clear()
    engine.dispose()


@pytest.fixture(scope="module")
def farm(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulated(tmp_path_factory.mktemp("farm"), sqlite_template) as env:
        between = grow(env, FIRST, LAST)
        with served(env, between) as found:
            yield found


@pytest.fixture(scope="module")
def steppe(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """More than a year of a small region, with a further index; 9 July is cloudy, 7 July is clear."""
    folder = tmp_path_factory.mktemp("steppe")
    versions = folder / "algorithms.toml"
    versions.write_text("[edge]\nbased_on = '2'\nindices = ['ndrei']\n")
    with simulated(folder, sqlite_template, ALGORITHMS=str(versions)) as env:
        grow_steppe(env, date(2025, 7, 10), resolved("edge"))
        with served(env, datetime.now(UTC)) as found:
            yield found


@pytest.fixture(scope="module")
def plain(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Ten days of a region with more fields than are drawn as polygons."""
    with simulated(tmp_path_factory.mktemp("plain"), sqlite_template) as env:
        grow_plain(env, date(2025, 7, 8), date(2025, 7, 17))
        with served(env, datetime.now(UTC)) as found:
            yield found


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


@pytest.fixture
def on_steppe(browser: Browser, steppe: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    monkeypatch.setenv(f"{PREFIX}ALGORITHMS", str(steppe.environment.settings.algorithms))
    settings.cache_clear()
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(viewport=WIDE)
    found = Seen(context, steppe.url)
    yield found
    context.close()
    assert found.wrong == []


class Drawn:
    """The map of a page, and the pixels that it has.

    Args:
        seen: the page, shown.
        day: which it is to show then.
    """

    def __init__(self, seen: Seen, day: str) -> None:
        self._seen, self._page = seen, seen.page
        digest = re.search(r"map/assets/\w+", self._page.content())
        assert digest
        self._page.evaluate(
            """async (assets) => {
                const { FieldMap } = await import(`/${assets}/map.js`);
                const { setValues } = FieldMap.prototype;
                FieldMap.prototype.setValues = function (...given) {
                    globalThis.drawn = this;
                    setValues.apply(this, given);
                };
            }""",
            digest.group(),
        )
        self.show(day)

    def show(self, day: str) -> None:
        """Another day, by the slider; its pixels are taken."""
        slider = self._page.get_by_role("slider", name="Day")
        slider.focus()
        while (now := self._seen.asked("day")) != day:
            self._page.keyboard.press("ArrowLeft" if now > day else "ArrowRight")
            self._seen.until(lambda now=now: self._seen.asked("day") != now)  # type: ignore[misc]  # the one of now
        self._seen.shown(day=day)
        self._page.evaluate("new Promise((done) => { drawn.map.once('idle', done); drawn.map.triggerRepaint(); })")
        picture = Image.open(io.BytesIO(self._page.locator("#map").screenshot(animations="disabled")))
        self._pixels = np.asarray(picture.convert("RGB")).astype(int)

    def state(self, field: str) -> dict[str, Any]:
        """What the map knows of a field."""
        number = self._number(field)
        return dict(self._page.evaluate("(id) => drawn.map.getFeatureState({ source: 'fields', id })", number))

    def inside(self, field: str) -> NDArray[Any]:
        """The pixels about the middle of a field, `(pixels, 3)`."""
        x, y = self._ring(field).mean(axis=0).round().astype(int)
        return self._pixels[y - 9 : y + 10, x - 9 : x + 10].reshape(-1, 3)

    def rim(self, field: str) -> NDArray[Any]:
        """The pixels within three of the first side of a field, `(pixels, 3)`."""
        start, end = self._ring(field)[:2]
        places = np.linspace(start, end, 40)[5:-5].round().astype(int)
        near = [self._pixels[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3) for x, y in places]
        return np.concatenate(near)

    def colour(self, variable: str) -> NDArray[Any]:
        """A colour of the page's style."""
        text = self._page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{variable}').trim()")
        return np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)])

    def _number(self, field: str) -> int:
        return int(self._page.evaluate("(id) => drawn.fields.findIndex((each) => each.id === id)", field))

    def _ring(self, field: str) -> NDArray[Any]:
        points = "drawn.fields[n].feature.geometry.coordinates[0].slice(1).map((at) => drawn.map.project(at))"
        return np.array(self._page.evaluate(f"(n) => {points}.map(({{ x, y }}) => [x, y])", self._number(field)))


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
    seen.open(f"?day={CLEAR_DAY}")  # the last day is cloudy
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


def test_the_page_is_shown_again_to_who_has_seen_it(seen: Seen) -> None:
    seen.open()
    seen.page.goto("about:blank")

    seen.open()

    seen.page.reload()
    seen.shown()


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


def test_fields_are_coloured_hatched_where_not_final_and_outlined_where_missed(on_steppe: Seen) -> None:
    on_steppe.open("?day=2025-07-06")
    drawn = Drawn(on_steppe, "2025-07-07")
    missed = drawn.colour("--missed")

    def outlined(field: str) -> int:
        return int((np.abs(drawn.rim(field) - missed).max(axis=1) < 30).sum())

    final = drawn.state("steppe-04")
    assert (final["provisional"], final["missed"], final["cloudy"]) == (False, False, False)
    assert np.ptp(drawn.inside("steppe-04"), axis=0).max() <= 2  # one colour
    assert np.ptp(drawn.inside("steppe-04"), axis=1).min() > 60  # and no grey
    assert outlined("steppe-04") == 0
    for field in ("steppe-02", "steppe-03"):
        assert drawn.state(field)["provisional"]
        assert drawn.state(field)["missed"]
        assert np.ptp(drawn.inside(field).sum(axis=1)) > 200  # dark and light lines
        assert outlined(field) > 50


def test_a_cloudy_field_is_grey_though_its_value_is_carried_over(on_steppe: Seen) -> None:
    page = on_steppe.open("?day=2025-07-10")
    drawn = Drawn(on_steppe, "2025-07-09")
    carried = drawn.state("steppe-04")["value"]

    assert carried is not None
    assert (drawn.inside("steppe-04") == drawn.colour("--cloud")).all()
    expect(page.get_by_role("group", name="Legend")).to_contain_text("Cloudy")
    expect(field_of_list(page, "Steppe 04")).to_contain_text("cloudy")
    drawn.show("2025-07-07")
    assert drawn.state("steppe-04")["value"] == carried
    assert np.ptp(drawn.inside("steppe-04"), axis=1).min() > 60


def test_a_field_without_a_value_has_a_grey_of_its_own(on_steppe: Seen) -> None:
    on_steppe.open("?day=2025-07-07&column=ndvi_mean")
    drawn = Drawn(on_steppe, "2025-07-08")

    assert drawn.state("steppe-04")["value"] is None
    assert (drawn.inside("steppe-04") == drawn.colour("--no-value")).all()


def test_columns_of_further_indices_can_be_chosen(on_steppe: Seen) -> None:
    page = on_steppe.open("?day=2025-07-07")
    page.get_by_label("Colour by").select_option("ndrei_mean")
    on_steppe.shown(column="ndrei_mean")

    expect(page.get_by_role("group", name="Legend")).to_contain_text("NDREI, mean")
    expect(page.locator(".counts")).to_contain_text("10 of 10 fields with a value")


def test_every_page_of_a_days_misses_is_read(on_steppe: Seen) -> None:
    one_a_page = re.compile(r"limit=\d+")
    on_steppe.page.route("**/misses?*", lambda route: route.continue_(url=one_a_page.sub("limit=1", route.request.url)))
    page = on_steppe.open("?day=2025-07-07")

    expect(page.locator(".counts")).to_contain_text("2 missed")


def test_an_earlier_season_is_drawn(on_steppe: Seen) -> None:
    page = on_steppe.open("?field=steppe-01&day=2025-07-07")
    line = page.locator("svg.chart path.earlier")

    expect(line).to_have_count(1)
    expect(page.get_by_role("listitem").filter(has_text="planted 2024")).to_be_visible()
    box = line.bounding_box()
    assert box
    assert box["width"] > 100
    assert line.evaluate("(path) => getComputedStyle(path).stroke") not in ("none", "")


def test_many_fields_are_one_picture_until_few_are_in_view(browser: Browser, plain: Served) -> None:
    context = browser.new_context(viewport=WIDE)
    seen = Seen(context, plain.url)
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(urlsplit(request.url).path))

    page = seen.open("?column=ndvi_smoothed_e4")
    items = [n for n, path in enumerate(asked) if path.endswith("/collections/fields/items")]
    pictures = [n for n, path in enumerate(asked) if path.endswith("/columns/ndvi_smoothed_e4/picture")]
    assert len(pictures) == 1
    assert items[0] < pictures[0] < items[1]  # the first only counts them
    assert coloured_share(page) > 0.15
    middle = page.locator("#map").bounding_box()
    assert middle
    page.mouse.click(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    page.wait_for_timeout(200)
    assert seen.asked("field") == ""  # a field is a pixel or two: none can be meant

    page.locator("#column").select_option("ndmi_mean")
    seen.shown(column="ndmi_mean")
    assert sum(path.endswith("/columns/ndmi_mean/picture") for path in asked) == 1

    search = page.get_by_role("combobox", name="Field")
    search.fill("plain 5000")
    search.press("ArrowDown")
    search.press("Enter")
    seen.shown(field="plain-5000")
    page.get_by_role("button", name="All fields").click()
    seen.shown(field="")
    page.mouse.click(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    seen.shown(field="plain-5000")  # now it is drawn, in the middle, and can be met
    context.close()
    assert seen.wrong == []


def test_a_region_of_many_fields_says_why_there_is_no_picture(browser: Browser, plain: Served) -> None:
    context = browser.new_context(viewport=WIDE)
    seen = Seen(context, plain.url)
    page = seen.open("?column=ndvi_integral_e4")
    legend = page.get_by_role("group", name="Legend")
    scale = legend.text_content()
    assert coloured_share(page) > 0.15

    seen.open("?column=ndvi_integral_e4&as-of=2020-01-01T00:00:00Z")
    expect(page.locator("#notice")).to_contain_text("no closed day")
    assert coloured_share(page) < 0.02
    seen.open("?column=ndvi_integral_e4&day=2025-07-15")
    assert legend.text_content() == scale  # one for all days


def test_a_pause_over_the_picture_of_many_fields_shows_its_days_list(browser: Browser, plain: Served) -> None:
    context = browser.new_context(viewport=WIDE)
    seen = Seen(context, plain.url)
    page = seen.open("?column=ndvi_smoothed_e4&day=2025-07-08")
    play = page.locator("#play")

    page.evaluate(PAUSE_AT_PICTURE)
    play.click()
    page.evaluate("window.paused")

    expect(play).to_have_attribute("aria-pressed", "false")
    day = date.fromisoformat(seen.asked("day"))
    assert day == date(2025, 7, 9)
    expect(page.get_by_role("heading", name=re.compile(rf"^Plain {day.day} Jul"))).to_be_visible()
    context.close()
    assert [each for each in seen.wrong if "404" not in each] == []


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
