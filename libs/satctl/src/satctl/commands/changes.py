"""`satctl changes`: what corrections changed, each value once, with the value before and after."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError
from satcommon.messages import counted

from satctl.completion import field_ids
from satctl.opening import opened
from satctl.output.sink import STDOUT, force_option
from satctl.output.tables import print_table, say
from satctl.parameters import INSTANT, grouped, json_option, region_option, regions_of

if TYPE_CHECKING:
    import pyarrow as pa
    from satcommon.environment import Environment
    from satcommon.publication.cursor import Positions
    from sqlalchemy import Connection

_SUFFIXES = {".csv": "csv", ".parquet": "parquet"}
_SHOWN = 200  # rows of a table for people; a file or JSON has all


class _Chosen(NamedTuple):
    """The options that choose changes."""

    since: str
    names: tuple[str, ...]
    field: str | None
    columns: tuple[str, ...]
    new: bool


_choosing = grouped(
    "chosen",
    _Chosen,
    click.option(
        "--since", required=True, metavar="CURSOR|INSTANT", help="The cursor of the last time; or an instant (UTC)."
    ),
    region_option,
    click.option("--field", metavar="EXTERNAL_ID", help="Only this field.", shell_complete=field_ids),
    click.option("--column", "columns", multiple=True, metavar="NAME", help="Only this column; repeatable."),
    click.option("--new/--no-new", help="Also list the rows of days that were published for the first time."),
)


@click.command()
@_choosing
@click.option("--output", metavar="FILE", help="Write a CSV or Parquet file, by its suffix; - is CSV on stdout.")
@force_option
@json_option
def changes(chosen: _Chosen, output: str | None, force: bool, as_json: bool) -> None:
    """List the values that corrections changed since a cursor or an instant, in the order of their publication.

    A change has the region, field, day and column, the value before and after, the cause, the run, and when it was
    committed. A value before is missing where a replay added the row, one after where the row was taken out. Cause
    `carry`: the day's own inputs stand, and a day before it was corrected.

    Ends with a cursor. Given to --since the next time, it goes on exactly there: no change is missed, and none comes
    twice, whatever is committed meanwhile. Regions that were left out by --region stay where they were.

    \b
    Examples:
      satctl changes --since 2026-06-01
      satctl changes --since "$(cat cursor)" --json > new.json
      satctl changes --since 2026-06-01T08:00:00Z --field north-40
      satctl changes --since 2026-06-01 --column ndvi_mean --output june.parquet
    """
    from satcommon.publication.changes import SCHEMA_OF_CHANGES, checked_columns

    if as_json and output is not None:
        raise click.UsageError("give either --json or --output FILE")
    columns = checked_columns(chosen.columns)
    kind = None if output is None else _kind(output)
    with opened() as env:
        listing = _Listing(env, chosen, columns)
        if output is not None:
            from satctl.output.writers import open_writer

            count = 0
            with open_writer(kind or "csv", output, SCHEMA_OF_CHANGES, force=force) as write:
                for table in listing.tables():
                    write(table)
                    count += table.num_rows
            click.echo(f"wrote {counted(count, 'change')} to {output}", err=True)
            click.echo(f"cursor: {listing.cursor}", err=output == STDOUT)
        elif as_json:
            _print_json(listing)
        else:
            _print_table(listing)


class _Listing:
    """The changes between the positions that were given and those of one snapshot."""

    def __init__(self, env: Environment, chosen: _Chosen, columns: Sequence[str]) -> None:
        from satcommon.publication import cursor
        from satcommon.publication.changes import Selection

        self._env = env
        self._selection = Selection(chosen.field, columns, chosen.new)
        with read_transaction(env.engine) as connection:
            self._regions = regions_of(connection, chosen.names)
            if chosen.field is not None:
                from satcommon.db.fields import field

                field(connection, chosen.field)  # refuses one that there is not
            self._since = positions(connection, chosen.since)
            newest = cursor.newest(connection)
            read = {region.bbox_id: newest.get(region.bbox_id, 0) for region in self._regions}
            self._until = {**self._since, **read}
            self.cursor = cursor.encode(connection, self._until)

    def tables(self) -> Iterator[pa.Table]:
        """The changes, region after region."""
        from satcommon.publication.changes import changes as changes_of
        from satcommon.publication.objects import ResultObjects

        objects = ResultObjects(self._env.store())
        for region in self._regions:
            since, until = self._since.get(region.bbox_id, 0), self._until[region.bbox_id]
            tables = changes_of(self._env.engine, objects, region, since, until, self._selection)
            yield from (table for table in tables if table.num_rows)


def positions(connection: Connection, since: str) -> Positions:
    """The positions of a cursor or an instant, as `--since` takes it."""
    from satcommon.publication import cursor

    if not since[:1].isdigit():
        return cursor.decode(connection, since)
    instant: datetime = INSTANT.convert(since, None, None)
    return cursor.at(connection, instant)


def _kind(output: str) -> str:
    if output == STDOUT:
        return "csv"
    suffix = Path(output).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"--output {output}: the suffix {suffix!r} names no format; expected .csv or .parquet")
    return _SUFFIXES[suffix]


def _print_json(listing: _Listing) -> None:
    """One document, written as it is read: changes can be many."""
    from satcommon.publication.changes import value_of

    separator = ""
    sys.stdout.write('{"changes": [')
    for table in listing.tables():
        for row in table.to_pylist():
            row |= {name: value_of(row["column"], row[name]) for name in ("before", "after")}
            row["day"] = row["day"].isoformat()
            row["committed_at"] = row["committed_at"].isoformat().replace("+00:00", "Z")
            sys.stdout.write(f"{separator}\n  {json.dumps(row, ensure_ascii=False)}")
            separator = ","
    sys.stdout.write(f'\n], "cursor": {json.dumps(listing.cursor)}}}\n')


def _print_table(listing: _Listing) -> None:
    shown: list[tuple[Any, ...]] = []
    count = 0
    for table in listing.tables():
        count += table.num_rows
        rows = table.slice(0, max(0, _SHOWN - len(shown))).to_pylist()
        shown += [
            (
                row["region"],
                row["field"],
                row["day"],
                row["column"],
                _short(row["before"]),
                _short(row["after"]),
                row["cause"],
                row["run"][:8],
                f"{row['committed_at']:%Y-%m-%d %H:%M:%S}",
            )
            for row in rows
        ]
    columns = ("region", "field", "day", "column", "before", "after", "cause", "run", "committed at")
    if shown:
        print_table(columns, shown, spare=("run", "committed at", "region", "cause"))
    if count > len(shown):
        say(f"... and {count - len(shown):,} more; --output FILE or --json gives all")
    if not count:
        say("nothing changed")
    say(f"cursor: {listing.cursor}")


def _short(text: str | None) -> str:
    """A value as a table shows it."""
    if text is None:
        return "-"
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text if len(text) <= 20 else text[:17] + "..."
