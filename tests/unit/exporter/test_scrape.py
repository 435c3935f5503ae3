"""A scrape: what is down takes only its own figures away, nothing waits for ever, and two scrapes are one."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed
from prometheus_client.parser import text_string_to_metric_families
from satcommon.telemetry.metrics import BY_NAME, COLLECTORS, EXPORTER, METRICS, Kind, Sample
from satctl.exporter.scrape import Scraper, families

REGION = 'a "b"\\c\nd é'


def page(scraper: Scraper) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(scraper)
    return generate_latest(registry).decode()


def values(scraper: Scraper) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(s.metric, s.labels): s.value for s in scraper.samples()}


def of(metric: str, *labels: str) -> list[Sample]:
    return [Sample(f"satfields_{metric}", labels, 3.0)]


def test_a_collector_that_fails_takes_only_its_own_figures_away() -> None:
    def down() -> Iterable[Sample]:
        raise OSError("no route")

    scraper = Scraper({"regions": down, "database": lambda: of("database_size_bytes")}, 5, cache=0)

    found = [values(scraper) for _ in range(2)][-1]

    assert found["satfields_database_size_bytes", ()] == 3.0
    assert (found["satfields_up", ("regions",)], found["satfields_up", ("database",)]) == (0.0, 1.0)
    assert found["satfields_collector_errors_total", ("regions",)] == 2.0
    assert found["satfields_collector_errors_total", ("database",)] == 0.0
    assert ("satfields_collector_duration_seconds", ("regions",)) not in found


def test_a_collector_that_hangs_is_left_alone_until_it_ends_and_the_others_answer() -> None:
    release, calls = threading.Event(), []

    def hangs() -> Iterable[Sample]:
        calls.append(1)
        release.wait(30)
        return of("database_size_bytes")

    scraper = Scraper({"database": hangs, "regions": lambda: of("withdrawals", "A")}, 0.2, cache=0)
    try:
        first, second = values(scraper), values(scraper)
    finally:
        release.set()

    assert len(calls) == 1
    for found in (first, second):
        assert (found["satfields_up", ("database",)], found["satfields_up", ("regions",)]) == (0.0, 1.0)
    scraper._states["database"].thread.join(30)  # type: ignore[union-attr]
    assert values(scraper)["satfields_up", ("database",)] == 1.0


def test_scrapes_that_meet_are_one_and_the_next_within_the_cache_too() -> None:
    calls, both, now = [], threading.Barrier(3), [0.0]

    def slow() -> Iterable[Sample]:
        calls.append(1)
        return of("database_size_bytes")

    scraper = Scraper({"database": slow}, 5, cache=5, clock=lambda: now[0])
    found: list[list[Sample]] = []

    def scrape() -> None:
        both.wait(30)
        found.append(scraper.samples())

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    both.wait(30)
    for thread in threads:
        thread.join()

    assert len(calls) == 1
    assert found[0] is found[1]
    now[0] = 4.9
    scraper.samples()
    assert len(calls) == 1
    now[0] = 5.0
    scraper.samples()
    assert len(calls) == 2


def one_of_each() -> list[Sample]:
    return [Sample(metric.name, tuple(REGION for _ in metric.labels), 1.5) for metric in METRICS]


def test_the_page_is_read_back_as_it_was_meant_whatever_a_region_is_called() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given())  # type: ignore[arg-type]

    read = list(text_string_to_metric_families(generate_latest(registry).decode()))

    samples = {sample.name: sample for family in read for sample in family.samples}
    assert samples.keys() == BY_NAME.keys()
    for name, metric in BY_NAME.items():
        assert samples[name].labels == dict.fromkeys(metric.labels, REGION)
    assert {family.name: family.type for family in read} == {
        name.removesuffix("_total"): metric.kind.value for name, metric in BY_NAME.items()
    }


class _Given:
    def collect(self) -> Iterable[object]:
        return families(one_of_each())


def test_openmetrics_tells_the_unit_that_a_name_ends_with_and_changes_no_name() -> None:
    asked = [metric for metric in METRICS if metric.collector != EXPORTER]
    samples = [Sample(metric.name, ("x",) * len(metric.labels), 1.0) for metric in asked]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Scraper({"all": lambda: samples}, 5))
    text = openmetrics.generate_latest(registry).decode()

    units = dict(re.findall(r"^# UNIT (\w+) (\w+)$", text, re.MULTILINE))
    assert units == {metric.name: metric.unit for metric in METRICS if metric.unit}
    assert set(units.values()) == {"seconds", "bytes", "ratio"}
    assert {sample.name for family in parsed(text) for sample in family.samples} == BY_NAME.keys()


def test_names_follow_prometheus_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"satfields_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.help.endswith("."), metric.name
        assert ("region" in metric.labels) <= (metric.labels[:1] == ("region",)), metric.name
    assert len(BY_NAME) == len(METRICS)
    assert set(COLLECTORS) < {metric.collector for metric in METRICS}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_finds_no_fault() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given())  # type: ignore[arg-type]

    done = subprocess.run(["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True)

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
