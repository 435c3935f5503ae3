"""`satctl export`: a region's published rows as one file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click
from satcommon.db import registry
from satcommon.db.engine import reading
from satcommon.db.fields import fields

from satctl.opening import opened
from satctl.output import counted, progress
from satctl.parameters import DAY
from satctl.sink import force_option, sink

FORMATS = {".csv": "csv", ".parquet": "parquet", ".geojson": "geojson", ".json": "geojson"}


@click.command()
@click.argument("region")
@click.option("--from", "first", type=DAY, help="First day.  [default: the first closed one]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: the watermark]")
@click.option(
    "--format", "kind", type=click.Choice(sorted(set(FORMATS.values()))), help="[default: by the suffix, else csv]"
)
@click.option("--output", required=True, metavar="FILE", help="Where to write; - is stdout.")
@force_option
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
            sink(output, force=force) as file,
            open_writer(chosen, file, polygons) as write,
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
