"""Where work begins: its keys are bound to every line said meanwhile, and its end is a line with its duration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from satcommon.telemetry.logs import logger


@contextmanager
def bound(**keys: Any) -> Iterator[None]:
    """Bind keys to every line of this thread while the block runs; those that are None are left out."""
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(**{key: str(value) for key, value in keys.items() if value is not None}):
        yield


@contextmanager
def work(event: str, **keys: Any) -> Iterator[dict[str, Any]]:
    """Bind keys while the block runs, and say at its end how long it took.

    Not around a generator's `yield`: its keys would be bound to what the caller does meanwhile.

    Args:
        event: what was done, as `day closed`; where the block raises, the line is a warning that it failed, with the
            error's type and message. Who handles the error logs its traceback.
        keys: of the lines.

    Yields:
        Further keys of the last line, for the block to fill in.
    """
    told: dict[str, Any] = {}
    began = time.monotonic()
    log = logger(__name__)
    with bound(**keys):
        try:
            yield told
        except Exception as error:
            failed = {"error": type(error).__name__, "reason": str(error)} | told
            log.warning(f"{event}: failed", duration_s=_seconds(began), **failed)
            raise
        log.info(event, duration_s=_seconds(began), **told)


def _seconds(began: float) -> float:
    return round(time.monotonic() - began, 3)
