"""`satctl regions`: named rectangles, each with its grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from satcommon.algorithm import CURRENT
from satcommon.boundaries import NewRegion, checked_bounds, read_fields, read_regions
from satcommon.db import registry
from satcommon.db.engine import reading, writing
from satcommon.db.fields import register_fields
from satcommon.db.models import FieldRevision, Membership, Region, RegionDay
from satcommon.db.registry import activate_region, add_region
from satcommon.errors import InputError
from satcommon.grid import Bounds, Grid
from sqlalchemy import Connection, Row, func, select

from satctl.checkout import seed_files
from satctl.grids import grids_of
from satctl.opening import opened
from satctl.output import counted, names, print_facts, print_json, print_table, say, warn
from satctl.parameters import DAY, FILE, json_option, layer_option
from satctl.region_revision import algorithms, monitor, pin


@click.group()
def regions() -> None:
    """Register and show regions."""


for _command in (monitor, pin, algorithms):
    regions.add_command(_command)


@regions.command()
@click.option("--monitored-from", type=DAY, help="First monitored day.  [default: today, UTC]")
def seed(monitored_from: date | None) -> None:
    """Register the sample regions and fields.

    A second time it changes nothing, and says so.

    \b
    Examples:
      satctl regions seed
      satctl regions seed --monitored-from 2026-05-01
    """
    region_file, field_file = seed_files()
    now = datetime.now(UTC)
    new_regions, new_fields = read_regions(region_file), read_fields(field_file)
    with opened() as env:
        grids = grids_of(env, new_regions, None)
        with writing(env.engine) as connection:
            added = _register(connection, new_regions, grids, monitored_from, None, now)
            registered = register_fields(connection, new_fields, now)
    if not added and not registered.created:
        there = f"{counted(len(new_regions), 'region')} and {counted(len(new_fields), 'field')}"
        say(f"nothing to do: all {there} of the samples are there already")
        return
    say(f"added {counted(len(added), 'region')} and {counted(len(registered.created), 'field')}")


@regions.command()
@click.argument("name", required=False)
@click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="The rectangle, in degrees of WGS 84.")
@click.option(
    "--file",
    "file",
    type=FILE,
    help="GeoJSON, GeoPackage, Shapefile or GeoParquet of regions, named by the property `name`.",
)
@click.option("--monitored-from", type=DAY, help="First monitored day.  [default: the file's, else today, UTC]")
@click.option("--monitored-until", type=DAY, help="Last monitored day.  [default: open]")
@click.option(
    "--resolution",
    type=click.FloatRange(min=0, min_open=True),
    metavar="METRES",
    help="Cell size, where the source has no grid of its own.  [default: SATFIELDS_RESOLUTION_M]",
)
@layer_option
def add(
    name: str | None,
    bounds: tuple[float, float, float, float] | None,
    file: Path | None,
    monitored_from: date | None,
    monitored_until: date | None,
    resolution: float | None,
    layer: str | None,
) -> None:
    """Register a region, or those of a file.

    NAME with --bounds is one region; with --file it chooses one of the file's, without NAME all are registered.
    The grid is the scene source's own where it has one, else square cells in the rectangle's UTM zone; it is fixed.

    \b
    Examples:
      satctl regions add A --bounds -95 40 -94 41 --monitored-from 2026-05-01
      satctl regions add --file regions.geojson
      satctl regions add B --file regions.geojson --resolution 30
    """
    if (bounds is None) == (file is None):
        raise click.UsageError("give either --bounds W S E N or --file FILE")
    if file is not None:
        new = _chosen(read_regions(file, layer=layer), name, file)
    elif name is None:
        raise click.UsageError("a region with --bounds needs a NAME")
    else:
        assert bounds is not None
        new = [NewRegion(name, checked_bounds(*bounds, where=f"region {name!r}"))]
    for region in new:
        if region.warning:
            warn(region.warning)
    now = datetime.now(UTC)
    with opened() as env:
        grids = grids_of(env, new, resolution)
        with writing(env.engine) as connection:
            added = _register(connection, new, grids, monitored_from, monitored_until, now)
    for region in new:
        if region.name in added:
            say(f"added region {region.name}: {_described(grids[region.name])}")
        else:
            say(f"region {region.name} is there already; nothing was changed")


def _chosen(found: list[NewRegion], name: str | None, file: Path) -> list[NewRegion]:
    if name is None:
        return found
    chosen = [region for region in found if region.name == name]
    if not chosen:
        raise InputError(f"{file}: there is no region {name!r}; the file has {names([r.name for r in found])}")
    return chosen


def _register(
    connection: Connection,
    new: Sequence[NewRegion],
    grids: dict[str, Grid],
    monitored_from: date | None,
    monitored_until: date | None,
    now: datetime,
) -> list[str]:
    """Register regions, all or none; gives the names of those that were not there."""
    added = []
    for region in new:
        first = monitored_from or region.monitored_from or now.date()
        if add_region(connection, region.name, region.bounds, grids[region.name], first, monitored_until, CURRENT, now):
            added.append(region.name)
            continue
        there = registry.region(connection, region.name)
        if monitored_from not in (None, there.monitored_from):
            warn(
                f"region {region.name!r} is monitored from {there.monitored_from} on; --monitored-from was not applied"
            )
    return added


@regions.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the regions.

    \b
    Examples:
      satctl regions list
      satctl regions list --json
    """
    with opened() as env, reading(env.engine) as connection:
        found = [_facts(connection, region) for region in registry.regions(connection)]
    if as_json:
        print_json(found)
        return
    if not found:
        say("there are no regions; add one with `satctl regions add`, or the samples with `satctl regions seed`")
        return
    columns = ("region", "active", "monitored from", "until", "watermark", "fields", "west south east north", "cells")
    print_table(
        columns,
        [
            (
                r["name"],
                r["active"],
                r["monitored_from"],
                r["monitored_until"],
                r["watermark"],
                r["fields"],
                _edges(r["bounds"]),
                _described(Grid(**r["grid"])),
            )
            for r in found
        ],
    )


@regions.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a region.

    \b
    Examples:
      satctl regions show A
      satctl regions show A --json
    """
    with opened() as env, reading(env.engine) as connection:
        found = _facts(connection, registry.region(connection, name))
    if as_json:
        print_json(found)
        return
    shown = found | {"bounds": _edges(found["bounds"]), "grid": _described(Grid(**found["grid"]))}
    print_facts((what.replace("_", " "), value) for what, value in shown.items())


@regions.command()
@click.argument("name")
def activate(name: str) -> None:
    """Resume a region.

    \b
    Examples:
      satctl regions activate A
    """
    _activate(name, active=True)


@regions.command()
@click.argument("name")
def deactivate(name: str) -> None:
    """Pause a region.

    While it is paused no day is asked for or closed; what is published stays.

    \b
    Examples:
      satctl regions deactivate A
    """
    _activate(name, active=False)


def _activate(name: str, *, active: bool) -> None:
    state = "active" if active else "paused"
    with opened() as env, writing(env.engine) as connection:
        if registry.region(connection, name).active == active:
            say(f"region {name} is {state} already; nothing was changed")
            return
        activate_region(connection, name, active=active)
    say(f"region {name} is {state}")


def _facts(connection: Connection, region: Row[tuple[Region]]) -> dict[str, Any]:
    here = registry.place(region)
    closed = select(func.max(RegionDay.day)).where(
        RegionDay.bbox_id == region.bbox_id, RegionDay.closed_at.is_not(None)
    )
    members = (
        select(func.count(FieldRevision.field_id.distinct()))
        .join(Membership, Membership.revision_id == FieldRevision.revision_id)
        .where(Membership.bbox_id == region.bbox_id)
    )
    return {
        "name": region.name,
        "active": region.active,
        "monitored_from": region.monitored_from,
        "monitored_until": region.monitored_until,
        "watermark": connection.execute(closed).scalar(),
        "fields": connection.execute(members).scalar_one(),
        "bounds": here.bounds._asdict(),
        "grid": json.loads(region.grid),
        "algorithm_version": region.algorithm_version,
        "created_at": region.created_at,
    }


def _edges(bounds: dict[str, float]) -> str:
    return " ".join(f"{edge:g}" for edge in Bounds(**bounds))


def _described(grid: Grid) -> str:
    return f"{grid.width:,} x {grid.height:,} of {grid.xres:g} ({grid.crs})"
