"""`satctl regions seed` and `add`: rectangles as files or options describe them, each with its grid and source."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click
from satcommon.db import membership, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import register_fields
from satcommon.db.registry import add_region
from satcommon.errors import InputError
from satcommon.geo.grid import Bounds, Grid
from satcommon.messages import counted
from satcommon.problems import told_once
from satcommon.sources.simulated import SimulatedSource
from satcommon.stats.algorithm import CURRENT
from satcommon.vector.fields import read_fields
from satcommon.vector.regions import NewRegion, checked_bounds, read_regions
from sqlalchemy import Connection

from satctl.grids import described, edges, grids_of
from satctl.local.checkout import seed_files
from satctl.opening import opened
from satctl.output.tables import names, say, warn
from satctl.parameters import DAY, FILE, layer_option

MANY = 20  # regions of a file that are registered without a question


@click.command()
@click.option("--monitored-from", type=DAY, help="First monitored day.  [default: today, UTC]")
def seed(monitored_from: date | None) -> None:
    """Register the sample regions and fields.

    Their scenes are simulated, unless SATFIELDS_SCENE_SOURCE names another source. A second time it changes nothing,
    and says so.

    \b
    Examples:
      satctl regions seed
      satctl regions seed --monitored-from 2026-05-01
    """
    region_file, field_file = seed_files()
    now = datetime.now(UTC)
    new_regions, new_fields = read_regions(region_file), read_fields(field_file)
    with opened() as env:
        # The samples are simulated, unless another source is named.
        chosen = env.source() if env.settings.scene_source else SimulatedSource.from_settings(env.settings)
        grids = grids_of(chosen, new_regions, None, env.settings.resolution_m, force=True)
        with write_transaction(env.engine) as connection:
            added = _register(connection, new_regions, grids, monitored_from, None, now, chosen.identity)
            registered = register_fields(connection, new_fields, now)
    if not added and not registered.created:
        there = f"{counted(len(new_regions), 'region')} and {counted(len(new_fields), 'field')}"
        say(f"nothing to do: all {there} of the samples are there already")
        return
    say(f"added {counted(len(added), 'region')} and {counted(len(registered.created), 'field')}")


@click.command()
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
@click.option("--force", is_flag=True, help="Also where the rectangle shares nothing with any imagery or field.")
@click.option("--yes", is_flag=True, help=f"Do not ask about a file of more than {MANY} regions.")
@click.option("--dry-run", is_flag=True, help="Do everything, and take it back at the end.")
def add(
    name: str | None,
    bounds: tuple[float, float, float, float] | None,
    file: Path | None,
    monitored_from: date | None,
    monitored_until: date | None,
    resolution: float | None,
    layer: str | None,
    force: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Register a region, or those of a file.

    NAME with --bounds is one region; with --file it chooses one of the file's, without NAME all are registered.
    The grid is the scene source's own where it has one, else square cells in the rectangle's UTM zone; it is fixed.
    The region belongs to the source that SATFIELDS_SCENE_SOURCE names now, and no other is asked for its days.
    A rectangle that shares nothing with any imagery of the source is refused, as one in which there is no field that
    would be there with longitude and latitude swapped; --force takes it.

    \b
    Examples:
      satctl regions add A --bounds -95 40 -94 41 --monitored-from 2026-05-01
      satctl regions add A --bounds -95 40 -94 41 --dry-run
      satctl regions add --file regions.geojson
      satctl regions add B --file regions.geojson --resolution 30
    """
    new = _given(name, bounds, file, layer)
    for warning in told_once([region.warning for region in new if region.warning]):
        warn(warning)
    if file is not None and name is None and len(new) > MANY and not yes and not dry_run:
        _ask_about(new, file)
    now = datetime.now(UTC)
    with opened() as env:
        chosen = env.source()
        with read_transaction(env.engine) as connection:
            there = {region.name for region in registry.regions(connection)}
            if not force:
                _refuse_swapped(connection, [region for region in new if region.name not in there])
        grids: dict[str, Grid] = {}
        for region in new:
            known = force or region.name in there  # one that is there has its grid, and is only compared
            grids |= grids_of(chosen, [region], resolution, env.settings.resolution_m, force=known)
        with write_transaction(env.engine) as connection:
            added = _register(connection, new, grids, monitored_from, monitored_until, now, chosen.identity)
            if dry_run:
                connection.rollback()
    for region in new:
        if region.name in added:
            said = "would add" if dry_run else "added"
            say(f"{said} region {region.name}: {described(grids[region.name])}, scenes of {chosen.identity}")
        else:
            say(f"region {region.name} is there already; nothing was changed")
    if dry_run:
        say("dry run: nothing was changed")


def _ask_about(new: Sequence[NewRegion], file: Path) -> None:
    """A file of fields taken for one of regions makes a region of each field."""
    what = f"{file} has {counted(len(new), 'region')}: {names([region.name for region in new])}"
    if not sys.stdin.isatty():
        raise InputError(f"{what}; say --yes if that many are to be registered, or choose one by its NAME")
    click.confirm(f"{what}. Register them?", abort=True, err=True)


def _refuse_swapped(connection: Connection, new: Sequence[NewRegion]) -> None:
    for region in new:
        west, south, east, north = region.bounds
        turned = Bounds(south, west, north, east)
        if abs(west) > 90 or abs(east) > 90:
            continue  # no latitudes
        if not membership.fields_in(connection, region.bounds) and membership.fields_in(connection, turned):
            raise InputError(
                f"region {region.name!r}: no field lies in {edges(region.bounds)}, and with longitude and "
                f"latitude swapped some would; expected --bounds {edges(turned)}, or say --force"
            )


def _given(
    name: str | None, bounds: tuple[float, float, float, float] | None, file: Path | None, layer: str | None
) -> list[NewRegion]:
    """The regions that the options of `add` describe."""
    if (bounds is None) == (file is None):
        raise click.UsageError("give either --bounds W S E N or --file FILE")
    if file is not None:
        return _chosen(read_regions(file, layer=layer), name, file)
    if name is None:
        raise click.UsageError("a region with --bounds needs a NAME")
    assert bounds is not None
    return [NewRegion(name, checked_bounds(*bounds, where=f"region {name!r}"))]


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
    source: str,
) -> list[str]:
    """Register regions, all or none; gives the names of those that were not there."""
    added = []
    for region in new:
        first = monitored_from or region.monitored_from or now.date()
        grid = grids[region.name]
        if add_region(connection, region.name, region.bounds, grid, first, monitored_until, CURRENT, now, source):
            added.append(region.name)
            continue
        there = registry.region(connection, region.name)
        if monitored_from not in (None, there.monitored_from):
            warn(
                f"region {region.name!r} is monitored from {there.monitored_from} on; --monitored-from was not applied"
            )
    return added
