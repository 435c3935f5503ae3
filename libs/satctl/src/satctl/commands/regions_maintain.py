"""`satctl regions source`, `rename` and `remove`: a region's source, name and removal."""

from __future__ import annotations

import click
from satcommon.db import region_source, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.region_removal import remove_region
from satcommon.errors import InputError
from satcommon.messages import counted
from satcommon.settings import absolute_or_bucket
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import SIMULATED

from satctl.completion import region_names
from satctl.opening import opened
from satctl.output.tables import say


@click.command()
@click.argument("name", shell_complete=region_names)
@click.option(
    "--set",
    "new",
    metavar="SOURCE",
    help="`current` (the source that the settings name), `simulated`, or the folder or s3://bucket/prefix of GeoTIFFs.",
)
def source(name: str, new: str | None) -> None:
    """Show the source that a region belongs to, or record that its files have moved.

    No other source is asked for the region's days. If its files have moved to another folder or bucket, --set records
    the new one; published rows stay. A region with imagery never moves between simulated scenes and a folder.

    \b
    Examples:
      satctl regions source A
      satctl regions source A --set current
      satctl regions source A --set s3://imagery/2026
    """
    with opened() as env:
        if new is None:
            with read_transaction(env.engine) as connection:
                known = registry.region(connection, name).scene_source
            say(f"region {name} belongs to the source {known or 'that is asked first; none was yet'}")
            return
        if new == "current":
            identity = env.source().identity
        elif new == SIMULATED:
            identity = SIMULATED
        else:
            try:
                identity = FolderSource(absolute_or_bucket(new)).identity
            except ValueError as error:
                raise InputError(f"--set {new!r}: {error}") from error
        with write_transaction(env.engine) as connection:
            changed = region_source.set_source(connection, name, identity)
    said = f"region {name} belongs to the source {identity}"
    say(said if changed else f"{said} already; nothing was changed")


@click.command()
@click.argument("name", shell_complete=region_names)
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give a region another name; its days, fields and rows stay.

    Dagster's partitions carry the name: those of the new name appear at a sensor's next tick. End the region's runs
    first.

    \b
    Examples:
      satctl regions rename A Adams
      satctl regions rename "Taylor County" taylor
    """
    with opened() as env, write_transaction(env.engine) as connection:
        changed = registry.rename_region(connection, name, new_name)
    say(f"region {name} is now {new_name}" if changed else f"region {name} has that name already; nothing was changed")


@click.command()
@click.argument("name", shell_complete=region_names)
@click.option("--dry-run", is_flag=True, help="Report what would be removed; change nothing.")
def remove(name: str, dry_run: bool) -> None:
    """Remove a region without published rows, with its days, scenes and misses; its name is free again.

    Fields stay. A region with published rows is not removed: pause it with `satctl regions deactivate`.

    \b
    Examples:
      satctl regions remove A --dry-run
      satctl regions remove A
    """
    with opened() as env, write_transaction(env.engine) as connection:
        removed = remove_region(connection, name)
        if dry_run:
            connection.rollback()
    said = "would remove" if dry_run else "removed"
    say(f"{said} region {name}: {counted(removed.days, 'day')}, {counted(removed.scenes, 'scene')}; its fields stay")
