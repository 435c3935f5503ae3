"""`satctl regions seed` and `add`: rectangles as files or options describe them, each with its grid and source."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

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
from satctl.parameters import DAY, FILE, grouped, layer_option

MANY = 20  # regions of a file that are registered without asking


@click.command()
@click.option("--monitored-from", type=DAY, help="First monitored day.  [default: today, UTC]")
def seed(monitored_from: date | None) -> None:
    """Register the sample regions and fields.

    Their scenes are simulated, unless SATFIELDS_SCENE_SOURCE names another source. Where they are registered already,
    nothing is changed.

    \b
    Examples:
      satctl regions seed
      satctl regions seed --monitored-from 2026-05-01
    """
    region_file, field_file = seed_files()
    now = datetime.now(UTC)
    new_regions, new_fields = read_regions(region_file), read_fields(field_file)
    with opened() as env:
        scene_source = env.source() if env.settings.scene_source else SimulatedSource.from_settings(env.settings)
        grids = grids_of(scene_source, new_regions, None, env.settings.resolution_m, force=True)
        with write_transaction(env.engine) as connection:
            added = _register(connection, new_regions, grids, monitored_from, None, now, scene_source.identity)
            registered = register_fields(connection, new_fields, now)
    if not added and not registered.created:
        samples = f"{counted(len(new_regions), 'region')} and {counted(len(new_fields), 'field')}"
        say(f"nothing to do: all {samples} of the samples are registered already")
        return
    say(f"added {counted(len(added), 'region')} and {counted(len(registered.created), 'field')}")


class _Rectangles(NamedTuple):
    """The options that give the regions: one rectangle, or a file of them."""

    name: str | None
    bounds: tuple[float, float, float, float] | None
    file: Path | None
    layer: str | None

    def regions(self) -> list[NewRegion]:
        """The regions to register."""
        if (self.bounds is None) == (self.file is None):
            raise click.UsageError("give either --bounds W S E N or --file FILE")
        if self.file is not None:
            return _of_name(read_regions(self.file, layer=self.layer), self.name, self.file)
        if self.name is None:
            raise click.UsageError("a region with --bounds needs a NAME")
        assert self.bounds is not None
        return [NewRegion(self.name, checked_bounds(*self.bounds, where=f"region {self.name!r}"))]


_rectangle_options = grouped(
    "rectangles",
    _Rectangles,
    click.argument("name", required=False),
    click.option("--bounds", type=float, nargs=4, metavar="W S E N", help="The rectangle, in degrees of WGS 84."),
    click.option(
        "--file",
        type=FILE,
        help="GeoJSON, GeoPackage, Shapefile or GeoParquet of regions, named by the property `name`.",
    ),
    layer_option,
)


@click.command()
@_rectangle_options
@click.option("--monitored-from", type=DAY, help="First monitored day.  [default: the file's, else today, UTC]")
@click.option("--monitored-until", type=DAY, help="Last monitored day.  [default: open]")
@click.option(
    "--resolution",
    type=click.FloatRange(min=0, min_open=True),
    metavar="METRES",
    help="Cell size, where the source has no grid of its own.  [default: SATFIELDS_RESOLUTION_M]",
)
@click.option("--force", is_flag=True, help="Also register a rectangle that overlaps no imagery, or looks swapped.")
@click.option("--yes", is_flag=True, help=f"Do not ask before registering more than {MANY} regions of a file.")
@click.option("--dry-run", is_flag=True, help="Check everything and report, but change nothing.")
def add(
    rectangles: _Rectangles,
    monitored_from: date | None,
    monitored_until: date | None,
    resolution: float | None,
    force: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Register a region, or those of a file.

    NAME with --bounds is one region. With --file, NAME chooses one region of the file; without NAME all are registered.
    The grid is the scene source's own where it has one, else square cells in the rectangle's UTM zone. It stays fixed.
    The region belongs to the source that SATFIELDS_SCENE_SOURCE names now; no other is asked for its days.

    A rectangle that overlaps no imagery of the source is refused. So is one without fields where swapping longitude and
    latitude would give it some. --force registers both.

    \b
    Examples:
      satctl regions add A --bounds -95 40 -94 41 --monitored-from 2026-05-01
      satctl regions add A --bounds -95 40 -94 41 --dry-run
      satctl regions add --file regions.geojson
      satctl regions add B --file regions.geojson --resolution 30
    """
    new = rectangles.regions()
    for warning in told_once([region.warning for region in new if region.warning]):
        warn(warning)
    if rectangles.file is not None and len(new) > MANY and not yes and not dry_run:
        _confirm(new, rectangles.file)
    now = datetime.now(UTC)
    with opened() as env:
        scene_source = env.source()
        with read_transaction(env.engine) as connection:
            registered = {region.name for region in registry.regions(connection)}
            if not force:
                _refuse_swapped(connection, [region for region in new if region.name not in registered])
        grids: dict[str, Grid] = {}
        for region in new:
            lenient = force or region.name in registered  # a registered region has its grid: it is only compared
            grids |= grids_of(scene_source, [region], resolution, env.settings.resolution_m, force=lenient)
        with write_transaction(env.engine) as connection:
            added = _register(connection, new, grids, monitored_from, monitored_until, now, scene_source.identity)
            if dry_run:
                connection.rollback()
    verb = "would add" if dry_run else "added"
    for region in new:
        if region.name in added:
            say(f"{verb} region {region.name}: {described(grids[region.name])}, scenes of {scene_source.identity}")
        else:
            say(f"region {region.name} is registered already; nothing was changed")
    if dry_run:
        say("dry run: nothing was changed")


def _confirm(new: Sequence[NewRegion], file: Path) -> None:
    """Ask before a file of fields, mistaken for one of regions, makes a region of each field."""
    what = f"{file} has {counted(len(new), 'region')}: {names([region.name for region in new])}"
    if not sys.stdin.isatty():
        raise InputError(f"{what}; give --yes to register all of them, or the NAME of one")
    click.confirm(f"{what}. Register them?", abort=True, err=True)


def _refuse_swapped(connection: Connection, new: Sequence[NewRegion]) -> None:
    for region in new:
        west, south, east, north = region.bounds
        turned = Bounds(south, west, north, east)
        if abs(west) > 90 or abs(east) > 90:
            continue  # not latitudes
        if not membership.fields_in(connection, region.bounds) and membership.fields_in(connection, turned):
            raise InputError(
                f"region {region.name!r}: no field lies in {edges(region.bounds)}, but with longitude and "
                f"latitude swapped some would; expected --bounds {edges(turned)}, or give --force"
            )


def _of_name(regions: list[NewRegion], name: str | None, file: Path) -> list[NewRegion]:
    """The region of a name, or all where no name is given."""
    if name is None:
        return regions
    named = [region for region in regions if region.name == name]
    if not named:
        raise InputError(f"{file}: there is no region {name!r}; the file has {names([r.name for r in regions])}")
    return named


def _register(
    connection: Connection,
    new: Sequence[NewRegion],
    grids: dict[str, Grid],
    monitored_from: date | None,
    monitored_until: date | None,
    now: datetime,
    source: str,
) -> list[str]:
    """Register regions, all or none; returns the names of those that were not registered yet."""
    added = []
    for region in new:
        first = monitored_from or region.monitored_from or now.date()
        grid = grids[region.name]
        if add_region(connection, region.name, region.bounds, grid, first, monitored_until, CURRENT, now, source):
            added.append(region.name)
            continue
        registered = registry.region(connection, region.name)
        if monitored_from not in (None, registered.monitored_from):
            warn(
                f"region {region.name!r} is monitored from {registered.monitored_from} on; "
                "--monitored-from was not applied"
            )
    return added
