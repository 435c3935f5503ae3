"""What commands print: tables for people, JSON for programs, both on stdout; everything else goes to stderr.

JSON has one style: keys in snake_case, days as YYYY-MM-DD, instants in UTC as YYYY-MM-DDTHH:MM:SS.ffffffZ, enumerations
by value, numbers as stored, no JSON within a string.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

_PIPED_WIDTH = 250  # width of a table without a terminal, where rich would fold at 80
_NAMED = 10  # names in one line of text


def print_json(data: Any) -> None:
    """Write JSON to stdout, in this module's style."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=_json_value))


def _json_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    *,
    spare: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """Write a table to stdout; numbers to the right, None as a dash. Lines break only between words.

    Args:
        columns: their names.
        rows: a value for each column.
        title: a line above it.
        spare: columns that are left out, in this order, until the terminal is wide enough.
        wide: leave no column out.
    """
    rows = [list(row) for row in rows]
    kept = list(range(len(columns)))
    for name in () if wide else spare:
        if _width(columns, rows, kept) <= _room():
            break
        kept.remove(columns.index(name))
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    widths = _widths(columns, rows, kept)
    for i, width in zip(kept, widths, strict=True):
        kinds = {type(row[i]) for row in rows} - {type(None)}
        numbers = bool(kinds) and kinds <= {int, float}
        table.add_column(columns[i], justify="right" if numbers else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*(_cell(row[i]) for i in kept))
    console(max(_room(), _total(widths))).print(table)
    if len(kept) < len(columns):
        click.echo(f"left out: {', '.join(n for i, n in enumerate(columns) if i not in kept)}; see --wide", err=True)


_GAP = 2  # blanks between two columns
_LONGEST_WORD = 36  # length of a word that is never broken, such as a run's id; addresses may be broken


def _width(columns: Sequence[str], rows: Sequence[Sequence[Any]], kept: Sequence[int]) -> int:
    """The least width of a table that breaks no word, very long ones excepted."""
    return _total([_longest_word([columns[i], *(_cell(row[i]) for row in rows)]) for i in kept])


def _total(widths: Sequence[int]) -> int:
    """The width of a table of such columns."""
    return sum(widths) + _GAP * (len(widths) - 1) + 2


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Any]], kept: Sequence[int]) -> list[int]:
    """The widths of columns: as wide as their cells; where the terminal is too narrow, down to their longest word."""
    cells = [[_cell(row[i]) for row in rows] for i in kept]
    least = [_longest_word([columns[i], *texts]) for i, texts in zip(kept, cells, strict=True)]
    widths = [max([narrow, *map(cell_len, texts)]) for narrow, texts in zip(least, cells, strict=True)]
    while _total(widths) > _room():
        spare = [i for i, width in enumerate(widths) if width > least[i]]
        if not spare:
            break
        widths[max(spare, key=lambda i: widths[i])] -= 1
    return widths


def _longest_word(texts: Iterable[str]) -> int:
    return min(max((cell_len(word) for text in texts for word in text.split()), default=1), _LONGEST_WORD)


def _room() -> int:
    """The columns of the terminal, or of COLUMNS; where there is neither, enough for any table."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isdigit() and int(stated):
        return int(stated)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Write names and values to stdout, a line each; numbers as they are stored."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, repr(value) if isinstance(value, float) else _cell(value))
    console().print(grid)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return f"[{', '.join(str(item) for item in value)}]"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return str(value.value if isinstance(value, Enum) else value)


def console(width: int | None = None) -> Console:
    """The console of stdout, as wide as its terminal; names are printed literally, not as markup."""
    return Console(width=width or _room(), markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """Write a line of result for people."""
    click.echo(text)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    click.echo(f"{coloured('warning:', 'yellow')} {text}", err=True)


def coloured(text: str, colour: str) -> str:
    """The text in bold and a colour, or as it is where NO_COLOR is set; click omits it without a terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=True)


def names(of: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(of) - _NAMED
    return ", ".join(of[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def age(span: timedelta) -> str:
    """A span of time in its two largest units."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def moment(at: datetime, now: datetime) -> str:
    """An instant, and its distance from now."""
    off = f"in {age(at - now)}" if at > now else f"{age(now - at)} ago"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({off})"


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A bar on stderr, if it is a terminal, while the block runs; the block calls the yielded function once a step.

    Without a total, the bar only shows activity.
    """
    with _bar(what, total, counts=total is not None) as (bar, task):
        yield lambda: bar.advance(task)


@contextmanager
def moving(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that reports how much is done, and of how much, as soon as it knows."""
    with _bar(what, None, counts=True) as (bar, task):
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _bar(what: str, total: int | None, *, counts: bool) -> Iterator[tuple[Progress, TaskID]]:
    stderr = Console(stderr=True, markup=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *((MofNCompleteColumn(),) if counts else ()),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        yield bar, bar.add_task(what, total=total)
