"""A scrape: all collectors together, each with the same time; two scrapes that meet are one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from satcommon.telemetry.logs import logger
from satcommon.telemetry.metrics import BY_NAME, METRICS, Kind, Sample

CACHE_SECONDS = 5.0  # for which a scrape's figures are given again


@dataclass
class _State:
    """What is known of a collector from one scrape to the next."""

    succeeded_at: float
    errors: int = 0
    thread: threading.Thread | None = None
    # Of the call under way, or of the last one: replaced for each, so that one that comes too late writes elsewhere.
    answer: dict[str, list[Sample]] = field(default_factory=dict)


class Scraper:
    """Asks collectors, and gives families of prometheus_client; registered with one of its registries.

    Args:
        collectors: what each does, by name.
        timeout: seconds for each.
        cache: seconds for which figures are given again.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        collectors: Mapping[str, Callable[[], Iterable[Sample]]],
        timeout: float,
        cache: float = CACHE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collectors, self._timeout, self._cache, self._clock = collectors, timeout, cache, clock
        self._states = {name: _State(clock()) for name in collectors}
        self._lock = threading.Lock()
        self._last: tuple[float, list[Sample]] | None = None

    def collect(self) -> Iterator[Metric]:
        """The families of a scrape."""
        return families(self.samples())

    def samples(self) -> list[Sample]:
        """The samples of a scrape; those who ask meanwhile wait for it and get the same."""
        with self._lock:
            if self._last is None or self._clock() - self._last[0] >= self._cache:
                samples = self._scrape()
                self._last = (self._clock(), samples)
            return self._last[1]

    def _scrape(self) -> list[Sample]:
        began = self._clock()
        for name, state in self._states.items():
            if state.thread is None or not state.thread.is_alive():  # else the last call still hangs: no second one
                state.answer = {}
                state.thread = threading.Thread(
                    target=self._call, args=(name, state.answer), name=f"collector-{name}", daemon=True
                )
                state.thread.start()
        samples: list[Sample] = []
        for name, state in self._states.items():
            assert state.thread is not None, "it was started"
            state.thread.join(max(0.0, began + self._timeout - self._clock()))
            answer = state.answer.pop("samples", None)
            samples += answer or []
            if answer is None:
                state.errors += 1
                if state.thread.is_alive():
                    logger(__name__).warning("collector gives no answer", collector=name, timeout_s=self._timeout)
            else:
                state.succeeded_at = self._clock()
            samples += self._of(name, state, up=answer is not None)
        samples.append(Sample("satfields_scrape_duration_seconds", (), self._clock() - began))
        samples.append(Sample("satfields_exporter_info", (version("satctl"),), 1.0))
        return samples

    def _of(self, name: str, state: _State, *, up: bool) -> Iterator[Sample]:
        """A collector's own figures."""
        yield Sample("satfields_up", (name,), float(up))
        yield Sample("satfields_collector_errors_total", (name,), float(state.errors))
        yield Sample("satfields_collector_success_age_seconds", (name,), self._clock() - state.succeeded_at)
        if up:
            (took,) = state.answer.pop("took")
            yield took

    def _call(self, name: str, answer: dict[str, list[Sample]]) -> None:
        began = self._clock()
        try:
            samples = list(self._collectors[name]())
        except Exception as error:  # noqa: BLE001  # shown as down; the other collectors go on
            reason = (str(error).strip().splitlines() or ["no details"])[0]
            logger(__name__).warning("collector failed", collector=name, error=type(error).__name__, reason=reason)
            return
        answer["took"] = [Sample("satfields_collector_duration_seconds", (name,), self._clock() - began)]
        answer["samples"] = samples


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """The samples as families, in the table's order; those without a sample are left out."""
    of_metric: dict[str, list[Sample]] = {}
    for sample in samples:
        of_metric.setdefault(sample.metric, []).append(sample)
    unknown = of_metric.keys() - BY_NAME.keys()
    assert not unknown, f"not in the table: {unknown}"
    for metric in METRICS:
        if metric.name in of_metric:
            kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
            for sample in of_metric[metric.name]:
                family.add_metric(sample.labels, sample.value)
            yield family
