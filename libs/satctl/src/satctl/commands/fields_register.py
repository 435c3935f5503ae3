"""`satctl fields import` and `add`: fields as files or options describe them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
import shapely
from satcommon.db.engine import write_transaction
from satcommon.db.fields import NewField, Registered, Update, register_fields
from satcommon.errors import InputError
from satcommon.geo.polygon_checks import validated
from satcommon.messages import counted
from satcommon.problems import listed, told_once
from satcommon.vector.columns import Columns
from satcommon.vector.fields import read_field_file
from satcommon.vector.names import MAX_CROP, checked_identity, checked_text
from satcommon.vector.polygons import read_polygon
from satcommon.views.field_details import Consequences
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from satctl.opening import opened
from satctl.output.tables import moving, names, print_json, say, warn
from satctl.parameters import DAY, FILE, json_option, layer_option

Command = Callable[..., None]  # the function of a command

wkt_option = click.option("--wkt", help="The polygon as WKT, in degrees of WGS 84, longitude first.")
geometry_option = click.option(
    "--geometry", "geometry_file", type=FILE, help="File of one polygon, in any format that is imported."
)


def _with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator of several options, whose help has them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _column_options(command: Command) -> Command:
    """The options that say where a file has a field's facts; the command gets them as `columns`."""

    @wraps(command)
    def with_columns(
        id_column: str | None,
        name_column: str | None,
        planted_column: str | None,
        season_end_column: str | None,
        crop_column: str | None,
        planted: date | None,
        crop: str | None,
        **others: Any,
    ) -> None:
        if crop is not None:
            crop = checked_text(crop, "crop", "--crop", MAX_CROP)
        columns = Columns(id_column, name_column, planted_column, season_end_column, crop_column, planted, crop)
        command(columns=columns, **others)

    return _with_options(
        click.option(
            "--id-column",
            help="Column of the external id, or `id` for the features' own of a GeoJSON.  "
            "[default: external_id; `id` of a fiboa GeoParquet]",
        ),
        click.option("--name-column", help="Column of the name.  [default: name]"),
        click.option("--planted-column", help="Column of the planting day.  [default: planting_date]"),
        click.option("--season-end-column", help="Column of the season's last day.  [default: season_end]"),
        click.option("--crop-column", help="Column of the crop code.  [default: crop:code, crop]"),
        click.option("--planted", type=DAY, help="Planting day of new fields without one, and of --new-season."),
        click.option("--crop", help="Crop code of new fields without one, and of new seasons."),
    )(with_columns)


def _update_options(command: Command) -> Command:
    """The options that say what becomes of fields that are there; the command gets them as `updating`."""

    @wraps(command)
    def with_updating(no_update: bool, changed_from: date | None, new_season: bool, **others: Any) -> None:
        if no_update and (changed_from is not None or new_season):
            raise click.UsageError("--changed-from and --new-season are of updates: leave out --no-update")
        command(updating=None if no_update else Update(changed_from, new_season), **others)

    return _with_options(
        click.option(
            "--no-update", is_flag=True, help="Refuse a file that says anything new of a field that is there already."
        ),
        click.option(
            "--changed-from", type=DAY, help="Other polygons hold from this day on.  [default: the whole season]"
        ),
        click.option(
            "--new-season", is_flag=True, help="A later planting day begins a season, also while one is open."
        ),
    )(with_updating)


@click.command(name="import")
@click.argument("file", type=FILE)
@layer_option
@_column_options
@_update_options
@click.option("--skip-invalid", is_flag=True, help="Leave features that can't be taken, and list them.")
@click.option("--repair", is_flag=True, help="Mend polygons where that changes their area by 1 % at most.")
@click.option("--dry-run", is_flag=True, help="Do everything, and take it back at the end.")
@json_option
def import_(
    file: Path,
    layer: str | None,
    columns: Columns,
    updating: Update | None,
    skip_invalid: bool,
    repair: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Register the fields of a file, and revise those that are there.

    FILE is GeoJSON, GeoPackage, a Shapefile (.shp, or zipped) or GeoParquet, in any CRS; or s3://bucket/path of one,
    read with the usual AWS variables. A field has an external id or a name, a planting day (YYYY-MM-DD) if it is new,
    and may have a season's end and a crop. All are taken, or none.

    Columns that nothing is taken from are named. A field that is there with the same content costs nothing. Another
    polygon is a correction of the whole season, or a change from a day on (--changed-from). Another planting day or end
    revises the season; a planting after its end begins one. What that changes of closed days is opened as missed.

    \b
    Examples:
      satctl fields import fields.geojson
      satctl fields import fields.gpkg --layer parcels --dry-run
      satctl fields import cadastre.zip --id-column PARCEL_NO --planted 2026-04-15 --skip-invalid --repair
      satctl fields import parcels.geojson --id-column id --crop-column landuse
      satctl fields import split.parquet --changed-from 2026-06-01
      satctl fields import s3://parcels/2026/fields.parquet
    """
    with moving(f"reading {file.name}") as step:
        read = read_field_file(file, layer=layer, columns=columns, skip_invalid=skip_invalid, repair=repair, step=step)
    now = datetime.now(UTC)
    with opened() as env, moving("registering") as step, write_transaction(env.engine) as connection:
        registered = register_fields(connection, read.fields, now, updating, skip_refused=skip_invalid, step=step)
        caused = Consequences.at(connection, now)
        if dry_run:
            connection.rollback()
    left = sorted([*read.left, *registered.refused])
    if as_json:
        print_json(
            {
                **{key: getattr(registered, attribute) for attribute, (key, _) in _OUTCOMES.items()},
                "repaired": [problem._asdict() for problem in read.repaired],
                "left": [problem._asdict() for problem in left],
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
    if left:
        warn(f"{counted(len(left), 'problem')} of features that were left:\n{listed(left)}")
    if registered.homeless:
        warn(f"{counted(len(registered.homeless), 'field')} in no region: {names(registered.homeless)}")


_REMARKS = 10  # that are shown
_OUTCOMES = {  # of `Registered`: the key in JSON, and the words
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
        found = getattr(registered, attribute)
        if done and (found or attribute == "created"):
            said = f"would create {counted(len(found), 'field')}" if dry_run and attribute == "created" else None
            say((said or f"{done} {counted(len(found), 'field')}") + _named(found))
    if caused != Consequences(0, 0, 0):
        say(str(caused))
    if dry_run:
        say("dry run: nothing was changed")


def _named(external_ids: list[str]) -> str:
    return f": {names(external_ids)}" if external_ids else ""


@click.command()
@click.argument("external_id")
@click.option("--name", help="For people.  [default: EXTERNAL_ID]")
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
      satctl fields add north-40 --name "North 40" --planted 2026-04-22 --geometry north-40.geojson
      satctl fields add square --planted 2026-04-22 --wkt "POLYGON ((-94.6 40.5, -94.5 40.5, -94.5 40.6, -94.6 40.5))"
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
    """The polygon of the two options; None where neither was given.

    Raises:
        InputError: what is wrong with it.
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
            f"--wkt {wkt[:60]!r}: is no WKT: {error}; expected POLYGON ((longitude latitude, ...))"
        ) from error
