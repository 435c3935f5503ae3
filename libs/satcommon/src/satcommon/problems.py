"""Everything that is wrong with what a user gave, for one message: who mends a file wants the whole list."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from satcommon.errors import InputError

_SHOWN = 20  # problems that are spelled out; all are counted
_SHOWN_CHARACTERS = 60  # of a value

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Problem(NamedTuple):
    """What is wrong with a feature, in a line that names it and its file; `feature` is its number in the file."""

    feature: int
    reason: str


class Problems:
    """Problems, in the order in which they were met."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def __len__(self) -> int:
        return len(self.found)

    def add(self, line: str, feature: int = 0) -> None:
        """Note a problem."""
        self.found.append(Problem(feature, line))

    def of(
        self, feature: int, read: Callable[_Given, _Found], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> _Found | None:
        """What a reader gives for a feature; None where it refuses, which is noted."""
        try:
            return read(*args, **kwargs)
        except InputError as error:
            self.add(str(error), feature)
            return None

    def raise_if_any(self) -> None:
        """End here if there are problems.

        Raises:
            InputError: with the first 20 of them, and the count of the rest.
        """
        if len(self.found) == 1:
            raise InputError(self.found[0].reason)
        if self.found:
            raise InputError(f"{len(self.found):,} problems; nothing was taken:\n{listed(self.found)}")


def listed(problems: Sequence[Problem]) -> str:
    """The first 20 problems, a line each, and the count of the rest."""
    lines = [problem.reason for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"... and {len(problems) - _SHOWN:,} more")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value of a file as a message shows it: text and numbers as they are, of anything else its kind."""
    if isinstance(value, str):
        clipped = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
        return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(clipped, ensure_ascii=False))
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)[:_SHOWN_CHARACTERS]
    if isinstance(value, (dict, list)):  # never spelled out: it may be large, or nested without end
        return "an object" if isinstance(value, dict) else "a list"
    return str(value)[:_SHOWN_CHARACTERS]


def _escaped(character: str) -> str:
    """What would turn a terminal's direction or colours, as JSON writes it."""
    return json.dumps(character)[1:-1]
