"""Searches of a real API (rustac's) through a proxy that breaks answers: complete, or failed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from satcommon.errors import CatalogueError
from satcommon.sources import polite_requests
from satcommon.sources.source import Due, Listing
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_assets import headers_for

from tests.certificates import untrusted
from tests.unit.geotiffs import AOI, FIRST, LAST, NOW
from tests.unit.stac_catalogue import Answer, Faults, Handler, Proxy, api, config, item, serving, source

DAYS = [date(2016, 1, day) for day in range(1, 11)]
FAULTS = [
    Faults.status_500,
    Faults.too_many,
    Faults.silence,
    Faults.cut,
    Faults.no_json,
    Faults.missing_page,
    Faults.looping_next,
]


def items(folder: Path) -> list[dict[str, Any]]:
    names = [(f"S2B_T33TVL_{day:%Y%m%d}T101243_L2A", f"{day}T10:12:43Z") for day in DAYS]
    return [item(folder / "files", str(folder / "files"), name, sensed=sensed, checksum=True) for name, sensed in names]


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("catalogue")
    proxy = Proxy()
    with api(folder, items(folder), f"127.0.0.1:{proxy.port}") as upstream, proxy.served():
        proxy.upstream = upstream
        yield proxy


@pytest.fixture
def asked(proxy: Proxy) -> Iterator[Proxy]:
    proxy.faults, proxy.always, proxy.matched, proxy.asked = [], None, len(DAYS), 0
    yield proxy
    proxy.faults, proxy.always, proxy.matched = [], None, None


def through(proxy: Proxy, **requests: Any) -> StacSource:
    limits = {"timeout_seconds": 0.5, "pause_seconds": 0.001, "tries": 4, "page_size": 3, "open_after": 100}
    return source(f"http://127.0.0.1:{proxy.port}", requests=limits | requests)


def days(source: StacSource) -> list[date]:
    return sorted(source.list(AOI, FIRST, LAST, NOW).acquisitions)


def test_pages_are_followed_to_the_end(asked: Proxy) -> None:
    found = through(asked).list(AOI, FIRST, LAST, NOW)

    assert sorted(found.acquisitions) == DAYS
    assert {len(each) for each in found.acquisitions.values()} == {1}
    assert (found.refused, asked.asked) == ({}, 4)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_answer_is_asked_for_again(fault: Callable[[Answer], Answer | None], page: int, asked: Proxy) -> None:
    asked.faults = [*[None] * page, fault]

    assert days(through(asked)) == DAYS
    assert asked.asked > 4


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_catalogue_that_stays_broken_gives_no_answer(
    fault: Callable[[Answer], Answer | None], page: int, asked: Proxy
) -> None:
    broken = through(asked, timeout_seconds=0.1, tries=2)
    good = [None] * page
    asked.faults, asked.always = list(good), fault
    if fault in (Faults.missing_page, Faults.looping_next):
        asked.faults = [*good, fault] * 2  # each search begins anew

    with pytest.raises(CatalogueError, match=r"127\.0\.0\.1"):
        broken.list(AOI, FIRST, LAST, NOW)
    assert broken.due(AOI, DAYS[0]) is Due.UNKNOWN


@pytest.mark.parametrize("searches", [5, pytest.param(1000, marks=pytest.mark.nightly)])
def test_with_seven_in_ten_requests_failing_every_search_answers_in_the_end_and_with_the_truth(
    searches: int, asked: Proxy
) -> None:
    asked.always = None
    truth = through(asked).list(AOI, FIRST, LAST, NOW)
    assert sorted(truth.acquisitions) == DAYS
    chance = random.Random(5)
    seldom = [1 if fault is Faults.silence else 6 for fault in FAULTS]  # each silence takes a fifth of a second
    asked.faults = [*FAULTS]  # each of the seven at least once
    asked.always = lambda answer: chance.choices(FAULTS, seldom)[0](answer) if chance.random() < 0.7 else answer

    for _ in range(searches):
        assert until_answered(through(asked, tries=8, timeout_seconds=0.2)) == truth

    assert asked.faults == []


def until_answered(source: StacSource) -> Listing:
    """What a search gives that is repeated while it fails, as a sensor does."""
    for _ in range(100):
        with suppress(CatalogueError):
            return source.list(AOI, FIRST, LAST, NOW)
    raise AssertionError("a hundred searches failed")


def test_a_catalogue_that_is_down_is_not_asked_by_every_region(asked: Proxy) -> None:
    asked.always = Faults.status_500
    regions = [through(asked, tries=2, open_after=3, open_seconds=60) for _ in range(200)]

    for region in regions:
        with pytest.raises(CatalogueError):
            region.list(AOI, FIRST, LAST, NOW)

    assert asked.asked == 3 * 2
    with pytest.raises(CatalogueError, match=r"is not asked for another \d+ s, since it was down \(HTTP 500\)"):
        regions[0].list(AOI, FIRST, LAST, NOW)


def test_a_catalogue_that_is_up_again_is_asked_when_its_pause_is_over(asked: Proxy) -> None:
    asked.faults = [Faults.status_500, Faults.status_500]
    region = through(asked, tries=2, open_after=1, open_seconds=0.2)
    with pytest.raises(CatalogueError, match="could not be asked"):
        region.list(AOI, FIRST, LAST, NOW)
    with pytest.raises(CatalogueError, match="is not asked"):
        region.list(AOI, FIRST, LAST, NOW)

    time.sleep(0.21)

    assert days(region) == DAYS
    assert asked.asked == 2 + 4


def test_a_longer_pause_than_is_waited_for_opens_the_circuit(asked: Proxy) -> None:
    asked.faults = [lambda _: (503, {"Retry-After": "3600"}, b"")]

    for reason in ("HTTP 503, Retry-After 3600 s", r"is not asked for another 3\d\d\d s"):
        with pytest.raises(CatalogueError, match=reason):
            through(asked).list(AOI, FIRST, LAST, NOW)

    assert asked.asked == 1


def test_a_refused_search_is_not_tried_again(asked: Proxy) -> None:
    asked.always = lambda _: (403, {}, b"")

    with pytest.raises(CatalogueError, match=r"refused the request \(HTTP 403\); check the environment variables"):
        through(asked).list(AOI, FIRST, LAST, NOW)

    assert asked.asked == 1


def test_an_item_that_comes_twice_with_two_contents_fails_the_search(asked: Proxy) -> None:
    def doubled(answer: Answer) -> Answer:
        page = json.loads(answer[2])
        first = page["features"][0]
        other = first | {"properties": first["properties"] | {"platform": "another"}}
        return 200, {}, json.dumps(page | {"features": [*page["features"], other]}).encode()

    asked.matched, asked.always = None, doubled

    with pytest.raises(CatalogueError, match="comes twice, with different contents, in 4 searches"):
        through(asked).list(AOI, FIRST, LAST, NOW)


def test_an_item_that_is_repeated_counts_once(asked: Proxy) -> None:
    def repeated(answer: Answer) -> Answer:
        page = json.loads(answer[2])
        return 200, {}, json.dumps(page | {"features": page["features"] * 2}).encode()

    asked.always = repeated

    assert days(through(asked)) == DAYS


def test_a_search_names_a_certificate_that_is_not_trusted_and_redirects_without_an_end(tmp_path: Path) -> None:
    class Redirecting(Handler):
        def do_POST(self) -> None:  # noqa: N802 - the name that http.server looks for
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(307, {"Location": self.path}, b"")

    limits = {"pause_seconds": 0.001, "tries": 2}
    for tls, reason in (
        (untrusted(tmp_path), "its certificate is not trusted here; set REQUESTS_CA_BUNDLE"),
        (None, "its redirects have no end"),
    ):
        with serving(Redirecting, tls=tls) as url, pytest.raises(CatalogueError, match=reason):
            source(url, requests=limits).list(AOI, FIRST, LAST, NOW)


def test_what_is_no_api_is_not_a_catalogue_without_items(asked: Proxy) -> None:
    asked.always = lambda _: (200, {}, b'{"message": "welcome"}')

    with pytest.raises(CatalogueError, match="answered something that is no list of items"):
        through(asked).list(AOI, FIRST, LAST, NOW)


def test_a_search_asks_for_the_region_its_days_and_what_the_configuration_adds(asked: Proxy) -> None:
    bodies: list[dict[str, Any]] = []
    passed_on = asked.passed_on
    asked.passed_on = lambda method, path, body: (
        bodies.append(json.loads(body or b"{}")),
        passed_on(method, path, body),
    )[1]  # type: ignore[method-assign]
    try:
        asked.matched = None
        limits = {"pause_seconds": 0.001}
        where = f"http://127.0.0.1:{asked.port}"
        source(where, query={"eo:cloud_cover": {"lt": 90}}, requests=limits).list(AOI, DAYS[6], DAYS[6], NOW)
        source(where, filter={"op": "=", "args": [{"property": "a"}, 1]}, requests=limits).list(
            AOI, DAYS[6], DAYS[6], NOW
        )
    finally:
        asked.passed_on = passed_on  # type: ignore[method-assign]

    assert bodies[0]["datetime"] == "2016-01-06T22:01:47Z/2016-01-08T00:01:47Z"  # of a place 58 minutes east
    assert bodies[0]["bbox"] == list(AOI.bounds)
    assert (bodies[0]["collections"], bodies[0]["query"]) == (["s2"], {"eo:cloud_cover": {"lt": 90}})
    assert (bodies[1]["filter-lang"], bodies[1]["filter"]["op"]) == ("cql2-json", "=")


def test_a_header_does_not_follow_a_redirect_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret")
    seen: dict[str, str | None] = {}

    class Redirecting(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server looks for
            seen[self.path] = self.headers.get("X-Api-Key")
            port = self.headers["Host"].rpartition(":")[2]
            there = {"/own": "/other", "/other": f"http://localhost:{port}/away"}.get(self.path)
            self.answer(307, {"Location": there}, b"") if there else self.answer(200, {}, b'{"features": []}')

    header = {"name": "X-Api-Key", "variable": "KEY", "hosts": ["127.0.0.1"]}
    with serving(Redirecting) as url:
        own = config(url, headers=[header])
        asking = polite_requests.PoliteRequests(own.requests, lambda address: headers_for(address, own))
        assert asking.json(f"{url}/own") == {"features": []}

    assert seen == {"/own": "secret", "/other": "secret", "/away": None}


def test_requests_keep_to_a_rate() -> None:
    waits: list[float] = []
    clock = iter([0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1, 5.0, 5.0, 5.0])
    asking = polite_requests.PoliteRequests(
        config("http://127.0.0.1:9", requests={"a_second": 4}).requests, clock=lambda: next(clock), sleep=waits.append
    )
    circuit = polite_requests.Circuit()
    for _ in range(3):
        asking._take_turn(circuit)

    assert waits == [0.25, pytest.approx(0.5)]


def test_only_the_days_that_are_asked_for_are_listed(asked: Proxy) -> None:
    asked.matched = None

    assert sorted(through(asked).list(AOI, DAYS[3], DAYS[4], NOW).acquisitions) == DAYS[3:5]
