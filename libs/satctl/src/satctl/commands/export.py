"""`satctl export`: published rows as one file, a region's or a field's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError
from satcommon.messages import counted

from satctl.completion import field_ids, region_names
from satctl.opening import opened
from satctl.output.sink import STDOUT, force_option
from satctl.output.tables import progress
from satctl.parameters import DAY, as_of_option, grouped

if TYPE_CHECKING:
    import pyarrow as pa
    from satcommon.publication.objects import ResultObjects
    from satcommon.publication.reader import Published
    from sqlalchemy import Connection

    from satctl.output.fields_of_rows import Polygons

SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".geoparquet": "geoparquet",
    ".gpkg": "gpkg",
    ".geojson": "geojson",
    ".json": "geojson",
    ".xlsx": "xlsx",
}


class _Selection(NamedTuple):
    """The options that choose rows: of a region or of a field, and of a span of days."""

    region: str | None
    field: str | None
    first: date | None
    last: date | None
    as_of: datetime | None
    columns: tuple[str, ...]
    statuses: tuple[str, ...]
    field_details: bool


_selection_options = grouped(
    "selection",
    _Selection,
    click.argument("region", required=False, shell_complete=region_names),
    click.option(
        "--field",
        metavar="EXTERNAL_ID",
        help="One field in its home region, instead of a region.",
        shell_complete=field_ids,
    ),
    click.option(
        "--from", "first", type=DAY, help="First day.  [default: the first closed day; of a field, its planting day]"
    ),
    click.option("--to", "last", type=DAY, help="Last day.  [default: the watermark; of a field, its season's end]"),
    as_of_option,
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="NAME",
        help="Only this column, besides region, day and field; repeatable.",
    ),
    click.option("--status", "statuses", multiple=True, metavar="STATUS", help="Only rows of this status; repeatable."),
    click.option("--field-details", is_flag=True, help="Also write field_name, crop_code and area_ha, after field."),
)


@click.command()
@_selection_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(dict.fromkeys(SUFFIXES.values()))),
    help="Format of the file.  [default: by its suffix; csv on stdout]",
)
@click.option("--output", required=True, metavar="FILE", help="File to write; - is stdout.")
@click.option("--all-columns", is_flag=True, help="Also write columns that are empty in every row.")
@force_option
def export(selection: _Selection, kind: str | None, output: str, all_columns: bool, force: bool) -> None:
    """Write a region's or a field's rows to CSV, Parquet, GeoParquet, GeoPackage, GeoJSON or Excel.

    Rows are sorted by day, then by field. Two columns are computed during the export. `final` is false where a row may
    still change: its field has an open miss on or before that day, or a scene since its planting was refused.
    `state_as_of` is the day of the newest observation in the row's state (smoothed and integrated NDVI); it is empty
    before the season's first observation.

    Columns that are empty in every row are left out, unless --all-columns is given; a file without rows has them all.
    Those of further indices are written where a row's algorithm version asked for them.

    With --as-of, rows are those that were published at an instant, to the byte, and `final` is as it was then; rows
    that were to be taken out, and were not yet, are among them.

    With --field-details, or where --column names one of them, rows have the field's name and the crop of their season,
    as registered now (with --as-of, too), and the area in hectares of the polygon that they were computed with.

    Files say what each column is (`satctl columns`): Parquet and GeoParquet in each column's metadata (`description`,
    `unit`, `units` as UDUNITS writes it), GeoPackage in `gpkg_data_columns`, Excel in a second sheet. CSV and GeoJSON
    have no place for it.

    Formats with geometry have the polygon that the row was computed with, in WGS 84. Days are dates, also within lists.
    Lists are lists in Parquet and GeoJSON, and JSON text in all others, which have no lists. In CSV, text that a
    spreadsheet would run as a formula begins with an apostrophe; in Excel such a cell is marked as text. A sheet of
    Excel holds 1,048,575 rows.

    \b
    Examples:
      satctl export A --from 2026-05-01 --to 2026-05-31 --output may.csv
      satctl export --field north-40 --output north-40.gpkg
      satctl export A --output A.parquet --format geoparquet
      satctl export A --as-of 2026-06-01T08:00:00Z --output settled.csv
      satctl export A --column ndvi_mean --status clear --output A.csv
      satctl export A --field-details --output A.xlsx
      satctl export A --format geojson --output - | jq .features[0]
    """
    from satcommon.publication.objects import ResultObjects

    from satctl.output.fields_of_rows import FieldDetails, Polygons
    from satctl.output.spool import Spool
    from satctl.output.workbook import check_row_count
    from satctl.output.writers import WITH_GEOMETRY, check_output, open_writer

    if (selection.region is None) == (selection.field is None):
        raise click.UsageError("give either a REGION or --field EXTERNAL_ID")
    _check_statuses(selection.statuses)
    chosen = kind or _by_suffix(output)
    check_output(chosen, output, force=force)
    with opened() as env:
        objects = ResultObjects(env.store())
        with read_transaction(env.engine) as connection:
            days = _published(connection, selection)
        polygons, with_geometry = Polygons(env.engine), chosen in WITH_GEOMETRY
        details = FieldDetails(env.engine, polygons) if _wants_details(selection) else None
        with Spool(partial(_schema, details=details is not None, geometry=with_geometry)) as rows:
            with progress(f"exporting {selection.region or selection.field}", total=len(days.days.layers)) as advance:
                for day in days.days.layers:
                    table = _of_status(
                        _of_day(days, objects, day, polygons if with_geometry else None), selection.statuses
                    )
                    rows.add(table if details is None else details.added(table))
                    advance()
            if chosen == "xlsx":
                check_row_count(output, rows.row_count)
            schema = rows.schema if all_columns or selection.columns else rows.filled_schema()
            schema = _of_columns(schema, selection)
            with open_writer(chosen, output, schema, force=force) as write:
                for table in rows.tables(schema):
                    write(table)
    without = len(days.days.layers) - rows.tables_with_rows
    more = (
        f" ({counted(without, 'closed day')} of the span {'has' if without == 1 else 'have'} none)" if without else ""
    )
    click.echo(
        f"wrote {counted(rows.row_count, 'row')} of {counted(rows.tables_with_rows, 'day')} to {output}{more}", err=True
    )


def _check_statuses(statuses: Sequence[str]) -> None:
    from satcommon.stats.result_rows import Status

    for status in statuses:
        if status not in list(Status):
            raise InputError(f"--status {status}: there is no such status; expected one of {', '.join(Status)}")


def _of_status(rows: pa.Table, statuses: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows["status"], value_set=pa.array(statuses))) if statuses else rows


def _wants_details(selection: _Selection) -> bool:
    from satcommon.stats.data_dictionary import OF_FIELD

    return selection.field_details or not OF_FIELD.keys().isdisjoint(selection.columns)


def _of_columns(schema: pa.Schema, selection: _Selection) -> pa.Schema:
    """The chosen columns, in the order of the rows; with them what a row is of, and its polygon."""
    import pyarrow as pa
    from satcommon.stats.data_dictionary import OF_FIELD

    columns = selection.columns
    unknown = [name for name in columns if name not in schema.names]
    if unknown:
        raise InputError(
            f"--column {unknown[0]}: these rows have no such column; expected one of {', '.join(schema.names)}"
        )
    always = ("region", "day", "field", "geometry", *(OF_FIELD if selection.field_details else ()))
    return pa.schema([each for each in schema if each.name in (*always, *columns)]) if columns else schema


def _by_suffix(output: str) -> str:
    if output == STDOUT:
        return "csv"
    suffix = Path(output).suffix
    if suffix.lower() not in SUFFIXES:
        raise InputError(
            f"--output {output}: the suffix {suffix!r} names no format; "
            f"expected one of {', '.join(SUFFIXES)}, or name the format with --format"
        )
    return SUFFIXES[suffix.lower()]


def _published(connection: Connection, selection: _Selection) -> Published:
    from satcommon.publication.reader import checked_span, published
    from satcommon.views.season import field_days

    if selection.region is not None:
        region = registry.region(connection, selection.region)
        span = checked_span(connection, region, selection.first, selection.last, selection.as_of)
        return published(connection, region, *span, as_of=selection.as_of)
    assert selection.field is not None
    days = field_days(connection, selection.field, selection.first, selection.last, selection.as_of)
    return published(connection, days.region, days.first, days.last, days.field, selection.as_of)


# --- rows ----------------------------------------------------------------------------------------------------------


def _schema(names: Iterable[str], *, details: bool, geometry: bool) -> pa.Schema:
    import pyarrow as pa
    from satcommon.publication.row_columns import DETAILS, row_schema

    columns = list(row_schema(names))
    more = [pa.field("geometry", pa.binary())] if geometry else []
    return pa.schema([*columns[:3], *(DETAILS if details else ()), *columns[3:], *more])


def _of_day(published_days: Published, objects: ResultObjects, day: date, polygons: Polygons | None) -> pa.Table:
    """A day's rows, with the columns that are computed during the export."""
    from satcommon.publication.row_columns import completed, readable

    table = readable(completed(published_days.rows(objects, day), day, published_days))
    if polygons is not None:
        table = table.append_column("geometry", polygons.of(table["geometry_digest"].to_pylist()))
    return table
