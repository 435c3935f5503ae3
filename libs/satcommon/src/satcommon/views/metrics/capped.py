"""Figures of many regions or webhooks in few series: the first ones have their own, the others are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from satcommon.telemetry.metrics import BY_NAME, OTHER, Rest, Sample

_UNITE: dict[Rest, Callable[[list[float]], float]] = {Rest.SUM: sum, Rest.MAX: max, Rest.MIN: min}


def capped(samples: Iterable[Sample], names: Sequence[str], limit: int) -> Iterator[Sample]:
    """The samples, those of names beyond the limit united as the table says.

    Args:
        samples: whose first label is the name.
        names: of all regions or webhooks, the most urgent first. One that is called as the united ones is among these.
        limit: how many names keep series of their own.
    """
    kept = {name for name in names[:limit] if name != OTHER}
    rest: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for sample in samples:
        if sample.labels[0] in kept:
            yield sample
        else:
            rest.setdefault((sample.metric, (OTHER, *sample.labels[1:])), []).append(sample.value)
    for (metric, labels), values in rest.items():
        yield Sample(metric, labels, _UNITE[BY_NAME[metric].rest](values))
