"""The root logger's handler, from the start of each interpreter of the image: `root_log.pth` imports this.

Dagster's loggers have a handler and pass on what they wrote. When PostgreSQL does not answer, its client warns on the
root logger, which gives itself a handler if it has none: from then on each line would be written twice.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonLine(logging.Formatter):
    """The form that `--log-format=json` has."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line."""
        return json.dumps(
            {
                "event": super().format(record),
                "logger": record.name,
                "level": record.levelname.lower(),
                "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            }
        )


def unwritten(record: logging.LogRecord) -> bool:
    """Whether no other handler than the root's takes a record."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger is not logging.root:
        if logger.handlers:
            return False
        logger = logger.parent
    return True


_handler = logging.StreamHandler()
_handler.setFormatter(JsonLine())
_handler.addFilter(unwritten)
logging.root.addHandler(_handler)
