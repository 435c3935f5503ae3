"""`satctl export`: a region's published rows as one file."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from satcommon.db import ledger, registry
from satcommon.db.engine import reading
from satcommon.db.fields import fields
from satcommon.db.models import Region, RegionDay
from satcommon.errors import InputError, StoreError
from sqlalchemy import Connection, Row, func, select

from satctl.opening import opened
from satctl.output import counted, progress
from satctl.parameters import DAY

if TYPE_CHECKING:
    import pyarrow as pa
    from satcommon.objects import ObjectStore

FORMATS = {".csv": "csv", ".parquet": "parquet", ".geojson": "geojson", ".json": "geojson"}
_STDOUT = "-"


@dataclass(frozen=True)
class Published:
    """What is published of a region's days, from one snapshot.

    Args:
        keys: of the days' objects, in day order.
        first_miss: each field's first open miss, by external id; what lies before it is final.
        withdrawn: fields whose row of a day waits to be taken out, since nobody expects it any more.
        polygons: WKB of the fields' current geometry, by external id.
    """

    keys: dict[date, str]
    first_miss: dict[str, date]
    withdrawn: dict[date, set[str]]
    polygons: dict[str, bytes]


@click.command()
@click.argument("region")
@click.option("--from", "first", type=DAY, help="First day.  [default: the first closed one]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: the watermark]")
@click.option(
    "--format", "kind", type=click.Choice(sorted(set(FORMATS.values()))), help="[default: by the suffix, else csv]"
)
@click.option("--output", required=True, metavar="FILE", help="Where to write; - is stdout.")
@click.option("--force", is_flag=True, help="Overwrite the file where it exists.")
def export(region: str, first: date | None, last: date | None, kind: str | None, output: str, force: bool) -> None:
    """Write a region's rows to CSV, Parquet or GeoJSON.

    Rows are in the order of days, then fields. The column `final` is false where the field has an open miss on or
    before that day: such a row will be recomputed. GeoJSON has one feature a row, with the field's current polygon. In
    CSV lists are JSON, and text that a spreadsheet would take for a formula begins with an apostrophe.

    \b
    Examples:
      satctl export A --from 2026-05-01 --to 2026-05-31 --output may.csv
      satctl export A --output A.parquet
      satctl export A --from 2026-05-31 --to 2026-05-31 --format geojson --output - | jq .features[0]
    """
    from satctl.writers import open_writer

    chosen = kind or FORMATS.get(Path(output).suffix.lower(), "csv")
    with opened() as env:
        store = env.store()
        with reading(env.engine) as connection:
            found = registry.region(connection, region)
            published = _published(connection, found, *_span(connection, found, first, last))
        rows = 0
        with (
            _sink(output, force) as sink,
            open_writer(chosen, sink, published.polygons) as write,
            progress(f"exporting {region}", total=len(published.keys)) as advance,
        ):
            for day, key in published.keys.items():
                table = day_rows(store, key, day, published)
                write(table)
                rows += table.num_rows
                advance()
    click.echo(f"wrote {counted(rows, 'row')} of {counted(len(published.keys), 'day')} to {output}", err=True)


def _span(
    connection: Connection, region: Row[tuple[Region]], first: date | None, last: date | None
) -> tuple[date, date]:
    """The days asked for, all of them closed."""
    statement = select(func.min(RegionDay.day)).where(
        RegionDay.bbox_id == region.bbox_id, RegionDay.closed_at.is_not(None)
    )
    earliest = connection.execute(statement).scalar()
    latest = ledger.watermark(connection, region.bbox_id)
    if earliest is None or latest is None:
        raise InputError(f"region {region.name!r} has no closed day yet; `satctl status` tells what it waits for")
    first, last = first or earliest, last or latest
    if last < first:
        raise InputError(f"--to {last} is before --from {first}; expected a span of days")
    for option, day in (("--from", first), ("--to", last)):
        if not earliest <= day <= latest:
            raise InputError(f"{option} {day}: region {region.name!r} is closed from {earliest} to {latest}")
    return first, last


def _published(connection: Connection, region: Row[tuple[Region]], first: date, last: date) -> Published:
    keys = ledger.published_keys(connection, region.bbox_id, first, last)
    known = {row.field_id: row for row in fields(connection)}
    first_miss: dict[str, date] = {}
    for miss in ledger.misses(connection, region.bbox_id, date.min, last):  # by day
        first_miss.setdefault(known[miss.field_id].external_id, miss.date_missed)
    withdrawn: dict[date, set[str]] = defaultdict(set)
    for field_id, day in ledger.withdrawals(connection, region.bbox_id, first, last):
        withdrawn[day].add(known[field_id].external_id)
    return Published(
        keys=dict(sorted(keys.items())),
        first_miss=first_miss,
        withdrawn=withdrawn,
        polygons={row.external_id: row.geometry for row in known.values()},
    )


def day_rows(store: ObjectStore, key: str, day: date, published: Published) -> pa.Table:
    """The expected rows of a day, with the column `final`."""
    import pyarrow as pa
    from satcommon import results

    table = results.read(store, key, results.SCHEMA.names)
    table = results.without(table, sorted(published.withdrawn.get(day, ())))
    final = [day < published.first_miss.get(name, date.max) for name in table["field"].to_pylist()]
    return table.append_column("final", pa.array(final, pa.bool_()))


@contextmanager
def _sink(output: str, force: bool) -> Iterator[IO[bytes]]:
    """Where bytes go. A file appears whole, or not at all."""
    if output == _STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    if path.exists() and (not force or not path.is_file()):
        raise InputError(f"--output {path}: exists already; name another file, or overwrite it with --force")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = unfinished.open("wb")
    except OSError as error:
        raise InputError(f"--output {path}: can't be written: {error.strerror}") from error
    try:
        with file:
            yield file
        unfinished.replace(path)
    except OSError as error:  # no space left, say
        raise StoreError(f"--output {path}: could not be written: {error.strerror}; nothing was left there") from error
    finally:
        unfinished.unlink(missing_ok=True)
