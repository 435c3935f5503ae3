"""Work on many at once, done again without those that fail alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.errors import RetryableError, SceneError
from satcommon.pipeline.isolate_failures import isolate_failures


@given(st.integers(0, 40), st.sets(st.integers(0, 39)))
def test_all_but_those_that_fail_alone_are_done_in_order(count: int, bad: set[int]) -> None:
    items = list(range(count))
    bad &= set(items)
    calls = []

    def work(some: Sequence[int]) -> list[int]:
        calls.append(len(some))
        if bad.intersection(some):
            raise SceneError(f"{sorted(bad.intersection(some))} can't be read")
        return list(some)

    done, failed = isolate_failures(items, work)

    assert [item for part in done for item in part] == [item for item in items if item not in bad]
    assert failed == {item: f"[{item}] can't be read" for item in bad}
    assert len(calls) <= 1 + 2 * len(bad) * max(1, count.bit_length())


def test_what_is_no_item_s_trouble_ends_the_work() -> None:
    def work(some: Sequence[int]) -> None:
        raise (ValueError if len(some) > 1 else RetryableError)("out of reach")

    with pytest.raises(RetryableError):
        isolate_failures([1, 2], work)


def test_an_error_that_is_not_ours_is_told_with_its_type() -> None:
    def work(some: Sequence[int]) -> list[int]:
        return [1 // one for one in some]

    assert isolate_failures([0, 1], work) == ([[1]], {0: "ZeroDivisionError: integer division or modulo by zero"})
