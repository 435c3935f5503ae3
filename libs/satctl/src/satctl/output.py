"""What commands print: tables for people, JSON for programs, both on stdout; all else goes to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import click
from rich import box
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

_PIPED_WIDTH = 250  # columns of a table that no terminal bounds: rich would fold it at 80
_NAMED = 10  # names in one line of text


def print_json(data: Any) -> None:
    """Write JSON to stdout; days and instants in ISO 8601."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):  # an instant is one, too
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Write a table to stdout; numbers to the right, None as a dash."""
    rows = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for i, column in enumerate(columns):
        kinds = {type(row[i]) for row in rows} - {type(None)}
        numbers = bool(kinds) and kinds <= {int, float}
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Write names and values to stdout, a line each."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(name, _cell(value))
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
        return f"[{', '.join(f'{one:,.2f}' if isinstance(one, float) else str(one) for one in value)}]"
    return str(value.value if isinstance(value, Enum) else value)


def console() -> Console:
    """The console of stdout, as wide as its terminal; names are printed as they are, never taken for markup."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """Write a line of result for people."""
    click.echo(text)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {text}", err=True)


def names(of: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(of) - _NAMED
    return ", ".join(of[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def age(span: timedelta) -> str:
    """A span of time in its two largest units."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {rest} min" if hours else f"{rest} min"


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A bar on stderr while the block runs, where stderr is a terminal; the block calls what it gets, once a step.

    Without a total the bar only shows that work goes on.
    """
    with _bar(what, total, counts=total is not None) as (bar, task):
        yield lambda: bar.advance(task)


@contextmanager
def moving(what: str) -> Iterator[Callable[[int, int], None]]:
    """Such a bar for work that tells how much of it is done, of how much, once it knows."""
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
