"""Everything that is wrong with what a user gave, for one message: who mends a file wants the whole list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from satcommon.errors import InputError

_SHOWN = 20  # problems that are spelled out; all are counted
_SHOWN_CHARACTERS = 60  # of a value

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Problems:
    """Problems, each a line that names file and feature."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Note a problem."""
        self._lines.append(line)

    def of(self, read: Callable[_Given, _Found], *args: _Given.args, **kwargs: _Given.kwargs) -> _Found | None:
        """What a reader gives; None where it refuses, which is noted."""
        try:
            return read(*args, **kwargs)
        except InputError as error:
            self.add(str(error))
            return None

    def raise_if_any(self) -> None:
        """End here if there are problems.

        Raises:
            InputError: with the first 20 of them, and the count of the rest.
        """
        if not self._lines:
            return
        if len(self._lines) == 1:
            raise InputError(self._lines[0])
        lines = [f"{len(self._lines)} problems; nothing was taken:", *self._lines[:_SHOWN]]
        if len(self._lines) > _SHOWN:
            lines.append(f"... and {len(self._lines) - _SHOWN} more")
        raise InputError("\n".join(lines))


def shown(value: Any) -> str:
    """A value of a file as a message shows it: text and numbers as they are, of anything else its kind."""
    if isinstance(value, str):
        clipped = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
        return json.dumps(clipped, ensure_ascii=False)
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)[:_SHOWN_CHARACTERS]
    if isinstance(value, (dict, list)):  # never spelled out: it may be large, or nested without end
        return "an object" if isinstance(value, dict) else "a list"
    return str(value)[:_SHOWN_CHARACTERS]
