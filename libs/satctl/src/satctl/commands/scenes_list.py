"""`satctl scenes list` and `show`: the acquisitions of days, and one of them with its picture."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError, PermanentError
from satcommon.views.acquisitions import KnownAcquisition, acquisitions

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.sink import STDOUT, file_name, force_option, sink
from satctl.output.tables import print_facts, print_json, print_table, say
from satctl.parameters import DAY, json_option, wide_option

if TYPE_CHECKING:
    from satcommon.environment import Environment
    from satcommon.sources.source import AreaOfInterest

_RECENT = timedelta(days=30)
_PIXELS = 1000  # of a picture's longer side


@click.command(name="list")
@click.argument("region", shell_complete=region_names)
@click.option("--from", "first", type=DAY, help="First day.  [default: 30 days before the last]")
@click.option("--to", "last", type=DAY, help="Last day.  [default: today, UTC]")
@wide_option
@json_option
def list_scenes(region: str, first: date | None, last: date | None, wide: bool, as_json: bool) -> None:
    """List the acquisitions of a region's days.

    "state" is used (its pixels are in the day's scene), refused (in quarantine) or rejected (left out for good).
    "decision" is what somebody decided of it last.

    \b
    Examples:
      satctl scenes list A
      satctl scenes list A --from 2025-06-01 --to 2025-06-30 --json
    """
    last = last or datetime.now(UTC).date()
    first = first or last - _RECENT
    if last < first:
        raise InputError(f"--to {last} is before --from {first}")
    with opened() as env, read_transaction(env.engine) as connection:
        known = list(acquisitions(connection, registry.region(connection, region), first, last))
    if as_json:
        print_json([each._asdict() for each in known])
    elif not known:
        say(f"region {region} has no acquisition from {first} to {last}")
    else:
        columns = ("day", "item", "state", "check", "decision")
        print_table(columns, [[getattr(each, name) for name in columns] for each in known], wide=wide)


@click.command()
@click.argument("region", shell_complete=region_names)
@click.argument("day", type=DAY)
@click.argument("item")
@click.option(
    "--layer",
    type=click.Choice(["truecolor", "ndvi"]),
    help="What the picture shows.  [default: truecolor where it has the bands]",
)
@click.option("--output", metavar="FILE", help="Where to write it; - is stdout.  [default: REGION-DAY.png]")
@force_option
def show(region: str, day: date, item: str, layer: str | None, output: str | None, force: bool) -> None:
    """Show an acquisition: its state, what was found and expected, and a picture of it within the region.

    It is read from the source as it is there now, also where a radiometric check refuses it. True colour shows a wrong
    scale or offset: land is too bright or too dark. What can't be read has no picture; exit code 1.

    \b
    Examples:
      satctl scenes show A 2025-06-12 T15TVG.tif
      satctl scenes show A 2025-06-12 T15TVG.tif --layer ndvi --output doubt.png
    """
    with opened() as env:
        with read_transaction(env.engine) as connection:
            registered = registry.region(connection, region)
            of_day = list(acquisitions(connection, registered, day, day))
        known = next((each for each in of_day if each.item == item), None)
        if known is None:
            others = ", ".join(each.item for each in of_day) or "none"
            raise InputError(f"region {region!r} knows no acquisition {item} of {day}; known of that day: {others}")
        target = output or file_name(region, f"-{day}.png")
        if target != STDOUT:
            print_facts([(name, value) for name, value in known._asdict().items() if value is not None])
        picture = _picture(env, registry.aoi_of(registered), known, layer)
    with sink(target, force=force) as file:
        file.write(picture)
    click.echo(f"drew {item} to {target}", err=True)


def _picture(env: Environment, aoi: AreaOfInterest, known: KnownAcquisition, layer: str | None) -> bytes:
    """The picture of an acquisition.

    Raises:
        InputError: the source has it no longer.
        PermanentError, RetryableError: it can't be read, or not be reached.
    """
    from satcommon.views.scene_picture import Layer, acquisition_picture

    source = env.source()
    listing = source.list(aoi, known.day, known.day, datetime.now(UTC))
    found = next((each for each in listing.acquisitions.get(known.day, ()) if each.item_id == known.item), None)
    if found is None and known.item in listing.refused:
        raise PermanentError(f"no picture: {listing.refused[known.item]}")
    if found is None:
        raise InputError(f"no picture of {known.item}: the source lists it no longer")
    return acquisition_picture(source, aoi, found, Layer(layer) if layer else None, _PIXELS)
