"""Repeats failed work on many items without the items that fail on their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from satcommon.errors import AlgorithmError, RetryableError, describe

Item = TypeVar("Item")
Result = TypeVar("Result")


def isolate_failures(
    items: Sequence[Item], work: Callable[[Sequence[Item]], Result]
) -> tuple[list[Result], dict[Item, str]]:
    """Halve the items until those that fail are alone: some 2 log2 n calls for each failing item.

    Returns:
        The results of parts that together hold all other items, in order; and why each of the rest failed.

    Raises:
        RetryableError: a store or database can't be reached, which is no item's fault.
        AlgorithmError: the version is not supported here, likewise.
    """
    done: list[Result] = []
    failed: dict[Item, str] = {}
    todo = [items]
    while todo:
        some = todo.pop()
        half = len(some) // 2
        try:
            done.append(work(some))
        except (RetryableError, AlgorithmError):
            raise
        except Exception as error:  # noqa: BLE001  # recorded for the one item; the others go on
            if half:
                todo += [some[half:], some[:half]]
            else:
                failed[some[0]] = describe(error)
    return done, failed
