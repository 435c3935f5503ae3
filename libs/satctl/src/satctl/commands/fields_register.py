"""`satctl fields import` and `add`: fields as files or options describe them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import click
import shapely
from satcommon.db.engine import write_transaction
from satcommon.db.fields import NewField, Registered, Update, register_fields
from satcommon.errors import InputError
from satcommon.geo.polygon_checks import validated
from satcommon.messages import counted
from satcommon.problems import listed, told_once
from satcommon.vector.columns import Columns
from satcommon.vector.fields import FieldFile, read_field_file
from satcommon.vector.names import MAX_CROP, checked_identity, checked_text
from satcommon.vector.polygons import read_polygon
from satcommon.views.field_details import Consequences
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from satctl.opening import opened
from satctl.output.tables import moving, names, print_json, say, warn
from satctl.parameters import DAY, FILE, grouped, json_option, layer_option

wkt_option = click.option("--wkt", help="The polygon as WKT, in degrees of WGS 84, longitude first.")
geometry_option = click.option(
    "--geometry", "geometry_file", type=FILE, help="File with one polygon, in any format that `import` reads."
)


class _FileOptions(NamedTuple):
    """The options that name the file to import and say what to do with its invalid features."""

    file: Path
    layer: str | None
    skip_invalid: bool
    repair: bool

    def read(self, columns: Columns) -> FieldFile:
        """Read the file, with a progress bar."""
        with moving(f"reading {self.file.name}") as step:
            return read_field_file(
                self.file,
                layer=self.layer,
                columns=columns,
                skip_invalid=self.skip_invalid,
                repair=self.repair,
                step=step,
            )


_file_options = grouped(
    "source",
    _FileOptions,
    click.argument("file", type=FILE),
    layer_option,
    click.option("--skip-invalid", is_flag=True, help="Skip invalid features, and list them."),
    click.option("--repair", is_flag=True, help="Repair polygons where that changes their area by 1 % at most."),
)


def _columns(
    id_column: str | None,
    name_column: str | None,
    planted_column: str | None,
    season_end_column: str | None,
    crop_column: str | None,
    planted: date | None,
    crop: str | None,
) -> Columns:
    if crop is not None:
        crop = checked_text(crop, "crop", "--crop", MAX_CROP)
    return Columns(id_column, name_column, planted_column, season_end_column, crop_column, planted, crop)


_column_options = grouped(
    "columns",
    _columns,
    click.option(
        "--id-column",
        help="Column of the external id, or `id` for the feature ids of a GeoJSON.  "
        "[default: external_id; `id` of a fiboa GeoParquet]",
    ),
    click.option("--name-column", help="Column of the name.  [default: name]"),
    click.option("--planted-column", help="Column of the planting day.  [default: planting_date]"),
    click.option("--season-end-column", help="Column of the season's last day.  [default: season_end]"),
    click.option("--crop-column", help="Column of the crop code.  [default: crop:code, crop]"),
    click.option("--planted", type=DAY, help="Planting day of new fields without one, and of --new-season."),
    click.option("--crop", help="Crop code of new fields without one, and of new seasons."),
)


def _updating(no_update: bool, changed_from: date | None, new_season: bool) -> Update | None:
    if no_update and (changed_from is not None or new_season):
        raise click.UsageError("--changed-from and --new-season apply to updates: leave out --no-update")
    return None if no_update else Update(changed_from, new_season)


_update_options = grouped(
    "updating",
    _updating,
    click.option("--no-update", is_flag=True, help="Refuse a file that changes a registered field."),
    click.option(
        "--changed-from", type=DAY, help="Changed polygons are valid from this day on.  [default: the whole season]"
    ),
    click.option("--new-season", is_flag=True, help="A later planting day begins a season, also while one is open."),
)


@click.command(name="import")
@_file_options
@_column_options
@_update_options
@click.option("--dry-run", is_flag=True, help="Check everything and report, but change nothing.")
@json_option
def import_(source: _FileOptions, columns: Columns, updating: Update | None, dry_run: bool, as_json: bool) -> None:
    """Register the fields of a file, and update those that are registered.

    FILE is GeoJSON, GeoPackage, a Shapefile (.shp, or zipped) or GeoParquet, in any CRS; or s3://bucket/path of one,
    read with the usual AWS variables. A field has an external id or a name, a planting day (YYYY-MM-DD) if it is new,
    and may have a season's end and a crop. The import registers all fields of the file, or none.

    The import lists the columns that it does not use. A registered field with the same content is left as it is.
    Another polygon is a correction of the whole season, or a change from a day on (--changed-from). Another planting
    day or end revises the season; a planting day after its end begins a new season. Closed field-days that this changes
    are missed, and recomputed by the next replay.

    \b
    Examples:
      satctl fields import fields.geojson
      satctl fields import fields.gpkg --layer parcels --dry-run
      satctl fields import cadastre.zip --id-column PARCEL_NO \\
        --planted 2026-04-15 --skip-invalid --repair
      satctl fields import parcels.geojson --id-column id --crop-column landuse
      satctl fields import split.parquet --changed-from 2026-06-01
      satctl fields import s3://parcels/2026/fields.parquet
    """
    read = source.read(columns)
    skip = source.skip_invalid
    now = datetime.now(UTC)
    with opened() as env, moving("registering") as step, write_transaction(env.engine) as connection:
        registered = register_fields(connection, read.fields, now, updating, skip_refused=skip, step=step)
        caused = Consequences.at(connection, now)
        if dry_run:
            connection.rollback()
    skipped = sorted([*read.left, *registered.refused])
    if as_json:
        print_json(
            {
                **{key: getattr(registered, attribute) for attribute, (key, _) in _OUTCOMES.items()},
                "repaired": [problem._asdict() for problem in read.repaired],
                "left": [problem._asdict() for problem in skipped],
                "opened_field_days": caused.opened,
                "resolved_field_days": caused.resolved,
                "withdrawn_field_days": caused.withdrawn,
                "columns_not_used": read.unused,
                "dry_run": dry_run,
            }
        )
    else:
        _say_registered(registered, caused, dry_run)
        for problem in read.repaired:
            say(problem.reason)
        if read.unused:
            say(f"{counted(len(read.unused), 'column')} of the file not used: {names(read.unused)}")
    for remark in told_once(read.remarks)[:_REMARKS]:
        warn(remark)
    if skipped:
        warn(f"{counted(len(skipped), 'problem')} of skipped features:\n{listed(skipped)}")
    if registered.homeless:
        warn(f"{counted(len(registered.homeless), 'field')} in no region: {names(registered.homeless)}")


_REMARKS = 10  # shown at most
_OUTCOMES = {  # by attribute of `Registered`: the key in JSON, and the words for people
    "created": ("created", "created"),
    "corrected": ("corrected", "corrected"),
    "changed": ("changed", "changed"),
    "season_begun": ("season_begun", "began a season of"),
    "season_revised": ("season_revised", "revised the season of"),
    "renamed": ("renamed", "renamed"),
    "unchanged": ("unchanged", "unchanged"),
    "homeless": ("in_no_region", ""),
}


def _say_registered(registered: Registered, caused: Consequences, dry_run: bool) -> None:
    for attribute, (_, done) in _OUTCOMES.items():
        fields = getattr(registered, attribute)
        if done and (fields or attribute == "created"):
            verb = "would create" if dry_run and attribute == "created" else done
            say(f"{verb} {counted(len(fields), 'field')}{_named(fields)}")
    if caused != Consequences(0, 0, 0):
        say(str(caused))
    if dry_run:
        say("dry run: nothing was changed")


def _named(external_ids: list[str]) -> str:
    return f": {names(external_ids)}" if external_ids else ""


@click.command()
@click.argument("external_id")
@click.option("--name", help="Display name.  [default: EXTERNAL_ID]")
@click.option("--planted", type=DAY, required=True, help="Planting day of the current season.")
@click.option("--season-end", type=DAY, help="Last day of the season.  [default: open]")
@click.option("--crop", help="Crop code.")
@wkt_option
@geometry_option
def add(
    external_id: str,
    name: str | None,
    planted: date,
    season_end: date | None,
    crop: str | None,
    wkt: str | None,
    geometry_file: Path | None,
) -> None:
    """Register one field.

    \b
    Examples:
      satctl fields add north-40 --name "North 40" --planted 2026-04-22 \\
        --geometry north-40.geojson
      satctl fields add square --planted 2026-04-22 \\
        --wkt "POLYGON ((-94.6 40.5, -94.5 40.5, -94.5 40.6, -94.6 40.5))"
    """
    polygon = polygon_of(wkt, geometry_file)
    if polygon is None:
        raise click.UsageError("give the polygon, with --wkt or --geometry")
    checked_identity(external_id, "EXTERNAL_ID")
    if name is not None:
        name = checked_text(name, "name", "--name")
    if crop is not None:
        crop = checked_text(crop, "crop", "--crop", MAX_CROP)
    new = NewField(external_id, name or external_id, polygon, planted, season_end, crop, f"field {external_id!r}")
    now = datetime.now(UTC)
    with opened() as env, write_transaction(env.engine) as connection:
        registered = register_fields(connection, [new], now)
        caused = Consequences.at(connection, now)
    _say_registered(registered, caused, dry_run=False)
    if registered.homeless:
        warn(f"field {external_id} is in no region")


def polygon_of(wkt: str | None, file: Path | None) -> BaseGeometry | None:
    """The polygon that --wkt or --geometry gives; None where neither is given.

    Raises:
        InputError: it is not a valid polygon.
    """
    if wkt is not None and file is not None:
        raise click.UsageError("give either --wkt or --geometry, not both")
    if file is not None:
        return read_polygon(file)
    if wkt is None:
        return None
    try:
        return validated(shapely.from_wkt(wkt), "--wkt")
    except GEOSException as error:
        raise InputError(
            f"--wkt {wkt[:60]!r}: is not WKT: {error}; expected POLYGON ((longitude latitude, ...))"
        ) from error
