"""Threads: how many encode and decode a scene's file, and requests that are made together."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 4
_AT_ONCE = 8  # requests: what hides their time without a burst on the provider
_From = TypeVar("_From")
_To = TypeVar("_To")


def threads() -> int:
    """As many as this process may use, up to a number beyond which one file is read no faster."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def at_once(function: Callable[[_From], _To], of: Iterable[_From]) -> list[_To]:
    """A function of each, several together, in their order; an error is raised when the others have ended.

    Each thread has the caller's context, in which rasterio keeps what opens its files.
    """
    each = list(of)
    if len(each) < 2:
        return list(map(function, each))
    with ThreadPoolExecutor(min(_AT_ONCE, len(each))) as pool:
        futures = [pool.submit(contextvars.copy_context().run, function, item) for item in each]
    return [future.result() for future in futures]
