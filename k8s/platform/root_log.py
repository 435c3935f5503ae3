"""What is written to the log, from the start of each interpreter of the image: `root_log.pth` imports this.

Dagster's loggers have a handler and pass on what they wrote. When PostgreSQL does not answer, its client warns on the
root logger, which gives itself a handler if it has none: from then on each line would be written twice.

Dagster formats its lines itself, so secrets of the environment are replaced in what has been formatted.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from satcommon.telemetry.redaction import HIDDEN, secrets_of

_SURE = 8  # letters: a shorter secret would be found within other words


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


class WithoutSecrets:
    """A text stream into which no known secret is written, neither as it is nor as JSON escapes it.

    Args:
        stream: that is written to.
        secrets: the known ones.
    """

    def __init__(self, stream: TextIO, secrets: set[str]) -> None:
        self._stream = stream
        forms = secrets | {json.dumps(secret)[1:-1] for secret in secrets}
        self._forms = sorted(forms, key=len, reverse=True)  # one may hold another

    def write(self, text: str) -> int:
        """Write text; returns its own length, as streams do."""
        written = text
        for form in self._forms:
            written = written.replace(form, HIDDEN)
        self._stream.write(written)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines, which end as they are given."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_secrets = {secret for secret in secrets_of() if len(secret) >= _SURE}
sys.stdout, sys.stderr = WithoutSecrets(sys.stdout, _secrets), WithoutSecrets(sys.stderr, _secrets)
_handler = logging.StreamHandler()
_handler.setFormatter(JsonLine())
_handler.addFilter(unwritten)
logging.root.addHandler(_handler)
