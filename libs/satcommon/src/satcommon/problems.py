"""Everything that is wrong with a user's input, in one message: whoever corrects a file wants the whole list."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from satcommon.errors import InputError

_SHOWN = 20  # problems that are spelled out; all are counted
_NUMBERED = 10  # features listed by number besides the first with the same problem
_SHOWN_CHARACTERS = 60  # of a value

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Problem(NamedTuple):
    """What is wrong with a feature, in a line that names it and its file; `feature` is its number in the file."""

    feature: int
    reason: str


class Problems:
    """Problems, in the order in which they were found."""

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
    """The first 20 kinds of problem, one line each, and the count of the rest."""
    lines = told_once([problem.reason for problem in problems])
    more = [f"... and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def told_once(lines: Sequence[str]) -> list[str]:
    """Merge lines that differ only in their feature: the first one, then the number and list of the others."""
    alike: dict[str, list[str]] = {}
    for line in lines:
        alike.setdefault(_NAMES.sub("", _FEATURE.sub("", line)), []).append(line)
    return [f"{same[0]}{_others(same[1:])}" for same in alike.values()]


_FEATURE = re.compile(r'feature \d+( \("(?:[^"\\]|\\.)*"\))?')
_NAMES = re.compile("'[^']*'")  # of the feature, again


def _others(lines: Sequence[str]) -> str:
    numbers = [found[0].split()[1] for line in lines if (found := _FEATURE.search(line))]
    if not numbers:
        return "" if not lines else f"\n  the same {len(lines):,} more times"
    rest = f" and {len(numbers) - _NUMBERED:,} more" if len(numbers) > _NUMBERED else ""
    features = "feature" if len(numbers) == 1 else "features"
    return f"\n  the same of {len(numbers):,} more {features}: {', '.join(numbers[:_NUMBERED])}{rest}"


def shown(value: Any) -> str:
    """A value of a file as a message shows it: text and numbers as they are, anything else by its kind."""
    if isinstance(value, str):
        clipped = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
        return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(clipped, ensure_ascii=False))
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)[:_SHOWN_CHARACTERS]
    if isinstance(value, (dict, list)):  # never written out: it may be large or deeply nested
        return "an object" if isinstance(value, dict) else "a list"
    return str(value)[:_SHOWN_CHARACTERS]


def _escaped(character: str) -> str:
    """A character that would change a terminal's direction or colours, escaped as in JSON."""
    return json.dumps(character)[1:-1]
