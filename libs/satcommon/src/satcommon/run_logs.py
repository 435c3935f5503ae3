"""Dagster's own lines in our format: what a location's server, runs and ticks say.

Dagster gives the lines of runs that configure no loggers, and those of all ticks, to a coloured logger of its own, and
offers no other way to choose than each run's configuration. So the function that makes that logger is replaced, in the
two modules that use it; a test holds Dagster's exact pin against it.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from datetime import date

from dagster import DagsterRun, _loggers
from dagster._core.definitions import instigation_logger

from satcommon.contract import ATTEMPT_TAG
from satcommon.telemetry.logs import StandardError, configure, least_level
from satcommon.telemetry.work import bound


def log_as(location: str) -> None:
    """Let this process log as the settings say; its server and runs load a location's definitions, which call this."""
    configure(location)
    for module in (_loggers, instigation_logger):
        vars(module)["create_console_logger"] = _console_logger


def of_run(run: DagsterRun, region: str | None = None, day: date | None = None) -> AbstractContextManager[None]:
    """Bind a run, and what it works on, to every line while the block runs."""
    return bound(run=run.run_id, attempt=run.tags.get(ATTEMPT_TAG), region=region, day=day)


def _console_logger(name: str, level: str | int) -> logging.Logger:
    """A logger of one run or tick, as Dagster makes one, with our lines; the higher of both levels counts."""
    made = logging.getLoggerClass()(name, level)
    made.addHandler(StandardError(least_level()))
    return made
