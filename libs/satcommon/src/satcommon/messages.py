"""What messages are built of: numbers with their noun, commands as a shell takes them, and what pydantic rejects."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError


def command(*arguments: str) -> str:
    """A command of satctl to be typed, in backticks: names with spaces or signs of the shell are quoted."""
    return f"`{shlex.join(['satctl', *arguments])}`"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: "1 day", "1,200 days"; the plural is the singular with an s where none is given."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


class Rejected(NamedTuple):
    """A value that a pydantic model rejects: the keys that lead to it, the value, and what was expected instead."""

    keys: tuple[int | str, ...]
    value: Any
    reason: str


def rejected(error: ValidationError) -> list[Rejected]:
    """What a pydantic model rejects, in our words; the keys are empty where the values contradict each other."""
    return [Rejected(problem["loc"], problem["input"], _reason(problem["msg"])) for problem in error.errors()]


def _reason(message: str) -> str:
    ours = message.removeprefix("Value error, ")  # a validator of ours has worded it
    if ours != message:
        return ours
    for theirs, expected in _EXPECTED.items():
        if message.startswith(theirs):
            return expected + message.removeprefix(theirs)
    return message[0].lower() + message[1:]


_EXPECTED = {
    "Input should be greater": "expected a number greater",
    "Input should be less": "expected a number less",
    "Input should be": "expected",
    "Input should": "expected to",
}
