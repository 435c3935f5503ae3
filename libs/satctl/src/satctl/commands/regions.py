"""`satctl regions`: named rectangles, each with its grid."""

from __future__ import annotations

import json
from typing import Any

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import FieldRevision, Membership, Region, RegionDay
from satcommon.db.registry import activate_region
from satcommon.geo.grid import Bounds, Grid
from sqlalchemy import Connection, func, select

from satctl.commands.regions_maintain import remove, rename, source
from satctl.commands.regions_register import add, seed
from satctl.commands.regions_revise import algorithms, indices, monitor, pin
from satctl.completion import region_names
from satctl.grids import described, edges
from satctl.opening import opened
from satctl.output.tables import print_facts, print_json, print_table, say
from satctl.parameters import json_option, wide_option


@click.group()
def regions() -> None:
    """Register and show regions."""


for _command in (seed, add, monitor, pin, algorithms, indices, source, rename, remove):
    regions.add_command(_command)


@regions.command(name="list")
@wide_option
@json_option
def list_(wide: bool, as_json: bool) -> None:
    """List the regions.

    \b
    Examples:
      satctl regions list
      satctl regions list --json
    """
    with opened() as env, read_transaction(env.engine) as connection:
        facts = [_facts(connection, region) for region in registry.regions(connection)]
    if as_json:
        print_json(facts)
        return
    if not facts:
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
                edges(Bounds(**r["bounds"])),
                described(Grid(**r["grid"])),
            )
            for r in facts
        ],
        spare=("cells", "west south east north", "active"),
        wide=wide,
    )


@regions.command()
@click.argument("name", shell_complete=region_names)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a region.

    \b
    Examples:
      satctl regions show A
      satctl regions show A --json
    """
    with opened() as env, read_transaction(env.engine) as connection:
        facts = _facts(connection, registry.region(connection, name))
    if as_json:
        print_json(facts)
        return
    shown = facts | {"bounds": edges(Bounds(**facts["bounds"])), "grid": described(Grid(**facts["grid"]))}
    print_facts((what.replace("_", " "), value) for what, value in shown.items())


@regions.command()
@click.argument("name", shell_complete=region_names)
def activate(name: str) -> None:
    """Resume a region.

    \b
    Examples:
      satctl regions activate A
    """
    _activate(name, active=True)


@regions.command()
@click.argument("name", shell_complete=region_names)
def deactivate(name: str) -> None:
    """Pause a region.

    While it is paused, no day is fetched or closed; published rows stay.

    \b
    Examples:
      satctl regions deactivate A
    """
    _activate(name, active=False)


def _activate(name: str, *, active: bool) -> None:
    state = "active" if active else "paused"
    with opened() as env, write_transaction(env.engine) as connection:
        if registry.region(connection, name).active == active:
            say(f"region {name} is {state} already; nothing was changed")
            return
        activate_region(connection, name, active=active)
    say(f"region {name} is {state}")


def _facts(connection: Connection, region: Region) -> dict[str, Any]:
    aoi = registry.aoi_of(region)
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
        "bounds": aoi.bounds._asdict(),
        "grid": json.loads(region.grid),
        "source": region.scene_source,
        "algorithm_version": region.algorithm_version,
        "created_at": region.created_at,
    }
