"""Log lines of our processes: JSON in a cluster, readable lines on a terminal, one formatter for all that logs.

What our code says through structlog, what libraries and Dagster say through the standard library's logging, all goes
through structlog's `ProcessorFormatter`. Installing it loads no structlog, which takes a seventh of a second: that is
done for the first line, so that code locations load as light as before.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import cache
from typing import Any, Literal, TextIO

from satcommon.errors import SettingError
from satcommon.settings import settings
from satcommon.telemetry.redaction import Redactor, secrets_of

Format = Literal["json", "console"]
OURS = ("satcommon", "satctl", "satserve", "satfields_ingest", "satfields_realtime", "satfields_reprocessing")
DAGSTER_META = "dagster_meta"  # the attribute by which Dagster's log manager tells of a run's record
_POD = "KUBERNETES_SERVICE_HOST"  # every container of Kubernetes has it


class StandardError(logging.Handler):
    """Writes lines to what is standard error now, formatted by `Formatter`."""

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.setFormatter(Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  # as in logging's own handlers: a line that can't be written ends no work
            self.handleError(record)


class Formatter(logging.Formatter):
    """One line a record; structlog is loaded for the first one.

    Args:
        form: of the lines; None: by the settings.
    """

    def __init__(self, form: Format | None = None) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return str(_structlog_formatter(self._form or chosen_format(sys.stderr)).format(record))


def configure(location: str | None = None, level: str = "info") -> None:
    """Let this process log as the settings say: once, at its start.

    A process in which somebody else has configured logging keeps that: only our own levels are set.

    Args:
        location: that the process serves or runs; a key of every line.
        level: of our own lines, unless SATFIELDS_LOG_LEVEL says otherwise.
    """
    for name in OURS:
        logging.getLogger(name).setLevel(least_level(level))
    if location is not None:
        _always["location"] = location
    servers = logging.getLogger("dagster")
    for handler in servers.handlers:  # of Dagster's servers, which add theirs before they load us
        handler.setFormatter(Formatter())
        servers.propagate = False  # else the root's handler would say it again
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(StandardError())
        logging.captureWarnings(capture=True)


def least_level(otherwise: str = "info") -> str:
    """The level from which lines are written, by the settings."""
    return str(_settings("log_level") or otherwise).upper()


def chosen_format(stream: TextIO) -> Format:
    """The format by the settings, else JSON in a pod that has no terminal."""
    stated: Format | None = _settings("log_format")
    if stated is not None:
        return stated
    return "json" if os.environ.get(_POD) and not stream.isatty() else "console"


def _settings(name: str) -> Any:
    """A setting; None where any is wrong, which the process itself will tell, in a line."""
    try:
        return getattr(settings(), name)
    except SettingError:
        return None


_always: dict[str, str] = {}  # keys of every line


@cache
def _structlog_formatter(form: Format) -> logging.Formatter:
    import structlog

    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form == "console":
        colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        renderer = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)
    processors: list[Any] = [
        _of_dagster,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # text before it is redacted; no tracebacks with local variables
        _redacted,
        renderer,
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_before(), processors=processors)


def _before() -> list[Any]:
    """What a line gets besides its event and keys, wherever it comes from."""
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


@cache
def logger(name: str) -> Any:
    """A structlog logger of this name, whose lines go through the standard library's logging.

    Its methods take an event and keys: ``logger(__name__).info("day closed", rows=812)``.
    """
    import structlog

    processors = [
        structlog.stdlib.filter_by_level,
        *_before(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    return structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


def _of_dagster(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """A record of Dagster's log manager: the message alone, and what it says of its run as keys."""
    meta = getattr(line.get("_record"), DAGSTER_META, None) or {}
    if meta:
        told = meta.get("dagster_event")
        tags = meta.get("job_tags") or {}
        line["event"] = meta.get("orig_message") or line["event"]
        keys = {
            "run": meta.get("run_id"),
            "job": meta.get("job_name"),
            "step": meta.get("step_key"),
            "region": tags.get("satfields/lane", "").partition(":")[2] or tags.get("dagster/partition/region"),
            "day": tags.get("dagster/partition/date"),
            "attempt": tags.get("satfields/attempt"),
            "dagster_event": getattr(told, "event_type_value", None),
            "exception": _error_of(told),
        }
        line |= {key: value for key, value in keys.items() if value and key not in line}
    return line | {key: value for key, value in _always.items() if key not in line}


def _error_of(event: Any) -> str | None:
    """The traceback that an event of Dagster's brings."""
    error = getattr(getattr(event, "event_specific_data", None), "error", None)
    return None if error is None else str(error.to_string())


def _redacted(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    return {str(key): _redactor().value(value) for key, value in line.items()}


@cache
def _redactor() -> Redactor:
    return Redactor(secrets_of())


def forget() -> None:
    """Read the environment's secrets anew for the next line."""
    _redactor.cache_clear()
    _always.clear()
