"""`satctl fields import` and `add`: fields that are new."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click
import shapely
from satcommon.boundaries import MAX_CROP, checked_identity, checked_text, read_fields, read_polygon
from satcommon.db.engine import writing
from satcommon.db.fields import NewField, Registered, register_fields
from satcommon.errors import InputError
from satcommon.geometry import validated
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from satctl.field_facts import Backlog, Consequences
from satctl.opening import opened
from satctl.output import counted, names, print_json, progress, say, warn
from satctl.parameters import DAY, FILE, json_option, layer_option

wkt_option = click.option("--wkt", help="The polygon as WKT, in degrees of WGS 84, longitude first.")
geometry_option = click.option("--geometry", "geometry_file", type=FILE, help="GeoJSON or GeoPackage of one polygon.")


@click.command(name="import")
@click.argument("file", type=FILE)
@layer_option
@click.option("--dry-run", is_flag=True, help="Do everything, and take it back at the end.")
@json_option
def import_(file: Path, layer: str | None, dry_run: bool, as_json: bool) -> None:
    """Register the fields of a file, all or none.

    FILE is GeoJSON or GeoPackage. A feature has `planting_date` (YYYY-MM-DD) and `external_id` or `name`, and may have
    `season_end` and `crop:code`. A field that is there already stays as it is; one that is there with other content is
    an error: a change is a revision (`satctl fields revise`).

    \b
    Examples:
      satctl fields import fields.geojson
      satctl fields import fields.gpkg --layer parcels --dry-run
    """
    with progress(f"reading {file.name}"):
        new = read_fields(file, layer=layer)
    with opened() as env, progress(f"registering {counted(len(new), 'field')}"), writing(env.engine) as connection:
        registered = register_fields(connection, new, datetime.now(UTC))
        backlog = Backlog.of(connection, registered.created)
        if dry_run:
            connection.rollback()
    caused = backlog.since(Backlog(set(), set()))
    if as_json:
        print_json(
            {
                "created": registered.created,
                "unchanged": registered.unchanged,
                "in_no_region": registered.homeless,
                "opened_field_days": caused.opened,
                "dry_run": dry_run,
            }
        )
    else:
        _say_registered(registered, caused, dry_run)
    if registered.homeless:
        warn(f"{counted(len(registered.homeless), 'field')} in no region: {names(registered.homeless)}")


def _say_registered(registered: Registered, caused: Consequences, dry_run: bool) -> None:
    created = counted(len(registered.created), "field")
    say(f"{'would create' if dry_run else 'created'} {created}" + _named(registered.created))
    if registered.unchanged:
        say(f"unchanged {counted(len(registered.unchanged), 'field')}" + _named(registered.unchanged))
    if caused.opened:
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
    with opened() as env, writing(env.engine) as connection:
        registered = register_fields(connection, [new], datetime.now(UTC))
        backlog = Backlog.of(connection, registered.created)
    _say_registered(registered, backlog.since(Backlog(set(), set())), dry_run=False)
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
