"""`satctl export`: a region's published rows as one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO

import click
from satcommon.db import registry
from satcommon.db.engine import reading
from satcommon.db.fields import fields
from satcommon.errors import InputError, StoreError

from satctl.opening import opened
from satctl.output import counted, progress
from satctl.parameters import DAY

FORMATS = {".csv": "csv", ".parquet": "parquet", ".geojson": "geojson", ".json": "geojson"}
_STDOUT = "-"


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
    import pyarrow as pa
    from satcommon.published import checked_span, published

    from satctl.writers import open_writer

    chosen = kind or FORMATS.get(Path(output).suffix.lower(), "csv")
    with opened() as env:
        store = env.store()
        with reading(env.engine) as connection:
            found = registry.region(connection, region)
            span = checked_span(connection, found, first, last)
            rows_of = published(connection, found, *span)
            polygons = {row.external_id: row.geometry for row in fields(connection)}
        rows = 0
        with (
            _sink(output, force) as sink,
            open_writer(chosen, sink, polygons) as write,
            progress(f"exporting {region}", total=len(rows_of.keys)) as advance,
        ):
            for day in rows_of.keys:
                table = rows_of.rows(store, day)
                final = [day < rows_of.first_miss.get(name, date.max) for name in table["field"].to_pylist()]
                table = table.append_column("final", pa.array(final, pa.bool_()))
                write(table)
                rows += table.num_rows
                advance()
    click.echo(f"wrote {counted(rows, 'row')} of {counted(len(rows_of.keys), 'day')} to {output}", err=True)


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
