"""How many threads encode and decode a scene's file."""

from __future__ import annotations

import os

MOST_THREADS = 4


def threads() -> int:
    """As many as this process may use, up to a number beyond which one file is read no faster."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
