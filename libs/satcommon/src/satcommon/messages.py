"""What messages are built of: numbers with their noun, and commands as a shell takes them."""

from __future__ import annotations

import shlex


def command(*arguments: str) -> str:
    """A command of satctl to be typed, in backticks: names with spaces or signs of the shell are quoted."""
    return f"`{shlex.join(['satctl', *arguments])}`"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: "1 day", "1,200 days"; the plural is the singular with an s where none is given."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
