"""`satctl fields`: parcels and their seasons."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click
import shapely
from satcommon.boundaries import MAX_CROP, checked_identity, checked_text, read_fields, read_polygon
from satcommon.db import registry
from satcommon.db.engine import reading, writing
from satcommon.db.fields import (
    NewField,
    Registered,
    activate_field,
    field,
    register_fields,
    revise_geometry,
    revise_season,
)
from satcommon.errors import InputError
from satcommon.geometry import validated
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from satctl.field_facts import Backlog, Consequences, FieldFacts, facts, listed
from satctl.opening import opened
from satctl.output import counted, names, print_facts, print_json, print_table, progress, say, warn
from satctl.parameters import DAY, FILE, json_option, layer_option

wkt_option = click.option("--wkt", help="The polygon as WKT, in degrees of WGS 84, longitude first.")
geometry_option = click.option("--geometry", "geometry_file", type=FILE, help="GeoJSON or GeoPackage of one polygon.")


@click.group()
def fields() -> None:
    """Register, revise and show fields."""


@fields.command(name="import")
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


@fields.command()
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
    polygon = _polygon(wkt, geometry_file)
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


def _polygon(wkt: str | None, file: Path | None) -> BaseGeometry | None:
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


@fields.command(name="list")
@click.option("--region", help="Only fields in this region.")
@json_option
def list_(region: str | None, as_json: bool) -> None:
    """List the fields.

    \b
    Examples:
      satctl fields list
      satctl fields list --region A --json
    """
    with opened() as env, reading(env.engine) as connection:
        found = listed(connection, registry.region(connection, region) if region is not None else None)
    if as_json:
        print_json(found)
        return
    if not found:
        say("there are no fields here; add some with `satctl fields import`, or the samples with `satctl regions seed`")
        return
    columns = ("field", "name", "active", "planted", "until", "crop", "home", "also in", "open misses")
    print_table(
        columns,
        [
            (
                f.external_id,
                f.name,
                f.active,
                f.planting_date,
                f.season_end,
                f.crop_code,
                f.home,
                ", ".join(name for name in f.regions if name != f.home) or None,
                f.open_misses,
            )
            for f in found
        ],
    )


@fields.command()
@click.argument("external_id")
@json_option
def show(external_id: str, as_json: bool) -> None:
    """Show a field: seasons, regions, days.

    \b
    Examples:
      satctl fields show north-40
      satctl fields show north-40 --json
    """
    with opened() as env, reading(env.engine) as connection:
        found = facts(connection, field(connection, external_id))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: FieldFacts) -> None:
    print_facts(
        [
            ("field", found.external_id),
            ("name", found.name),
            ("active", found.active),
            ("area, ha", found.area_ha),
            ("registered at", f"{found.created_at:%Y-%m-%d %H:%M} UTC"),
            ("last known at", f"{found.known_at:%Y-%m-%d %H:%M} UTC"),
        ]
    )
    print_table(
        ("planted", "until", "crop"), [(s.planting_date, s.end_date, s.crop_code) for s in found.seasons], "seasons"
    )
    print_table(
        ("revision", "valid from", "known at", "geometry"),
        [
            (r.kind, r.valid_from, f"{r.known_at:%Y-%m-%d %H:%M} UTC", (r.geometry_digest or "-")[:12])
            for r in found.revisions
        ],
        "revisions",
    )
    if not found.regions:
        warn(f"field {found.external_id} is in no region")
        return
    print_table(
        ("region", "home", "overlap, ha", "of the field", "expected", "days until watermark", "open misses"),
        [
            (
                r.region,
                r.home,
                r.overlap_ha,
                f"{r.overlap_share:.1%}",
                "; ".join(f"{e.first}..{e.last or ''}" for e in r.expected) or "never",
                r.expected_days,
                "; ".join(f"{m.cause.value} {m.field_days} ({m.first_day}..{m.last_day})" for m in r.open_misses)
                or None,
            )
            for r in found.regions
        ],
        "regions",
    )


@fields.command()
@click.argument("external_id")
@click.option("--on", "day", type=DAY, help="First day on which it is expected again.  [default: today, UTC]")
def activate(external_id: str, day: date | None) -> None:
    """Expect a field again, from a day on.

    \b
    Examples:
      satctl fields activate north-40
      satctl fields activate north-40 --on 2026-06-01
    """
    _activate(external_id, day, active=True)


@fields.command()
@click.argument("external_id")
@click.option("--on", "day", type=DAY, help="First day on which it is not expected.  [default: today, UTC]")
def deactivate(external_id: str, day: date | None) -> None:
    """Expect a field no longer, from a day on.

    Rows of closed days from that day on are withdrawn.

    \b
    Examples:
      satctl fields deactivate north-40 --on 2026-09-30
    """
    _activate(external_id, day, active=False)


def _activate(external_id: str, day: date | None, *, active: bool) -> None:
    now = datetime.now(UTC)
    on = day or now.date()
    with opened() as env, writing(env.engine) as connection:
        before = Backlog.of(connection, [external_id])
        changed = activate_field(connection, external_id, on, now, active=active)
        caused = Backlog.of(connection, [external_id]).since(before)
    state = "active" if active else "inactive"
    if not changed:
        say(f"field {external_id} is {state} already; nothing was changed")
        return
    say(f"field {external_id} is {state} from {on} on; {caused}")


@fields.command()
@click.argument("external_id")
@click.option("--correct", is_flag=True, help="The polygon was wrong, since the season's planting.")
@click.option("--from", "changed_from", type=DAY, help="The polygon is another from this day on.")
@wkt_option
@geometry_option
@click.option("--planted", type=DAY, help="The current season's planting day.")
@click.option("--season-end", type=DAY, help="The current season's last day.")
def revise(
    external_id: str,
    correct: bool,
    changed_from: date | None,
    wkt: str | None,
    geometry_file: Path | None,
    planted: date | None,
    season_end: date | None,
) -> None:
    """Revise a field's polygon or season.

    A polygon is corrected (--correct) or changed from a day on (--from); a season is always corrected. What that
    changes of closed days is opened as missed, and recomputed.

    \b
    Examples:
      satctl fields revise north-40 --correct --geometry north-40.geojson
      satctl fields revise north-40 --from 2026-06-01 --geometry split.geojson
      satctl fields revise north-40 --correct --planted 2026-04-20 --season-end 2026-09-30
    """
    polygon = _polygon(wkt, geometry_file)
    if polygon is None and planted is None and season_end is None:
        raise click.UsageError("give what to revise: --geometry or --wkt, --planted, --season-end")
    if correct and changed_from is not None:
        raise click.UsageError("a polygon is either wrong (--correct) or changed (--from DAY), not both")
    if polygon is not None and not correct and changed_from is None:
        raise click.UsageError("say whether the polygon was wrong (--correct) or is another from a day on (--from DAY)")
    if polygon is None and changed_from is not None:
        raise click.UsageError("--from is of a polygon; a season is corrected: --correct")
    now = datetime.now(UTC)
    with opened() as env, writing(env.engine) as connection:
        before = Backlog.of(connection, [external_id])
        changed = False
        if planted is not None or season_end is not None:  # first: a corrected polygon holds from the planting on
            changed = revise_season(connection, external_id, planted, season_end, now)
        if polygon is not None:
            changed |= revise_geometry(connection, external_id, polygon, changed_from, now)
        caused = Backlog.of(connection, [external_id]).since(before)
        in_regions = facts(connection, field(connection, external_id)).regions
    if not changed:
        say(f"field {external_id} is so already; nothing was changed")
        return
    say(f"revised field {external_id}; {caused}")
    if not in_regions:
        warn(f"field {external_id} is now in no region")
