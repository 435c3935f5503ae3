"""`satctl fields`: parcels and their seasons."""

from __future__ import annotations

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.fields import field
from satcommon.views.field_details import FieldFacts, facts, listed

from satctl.commands.fields_plot import plot
from satctl.commands.fields_register import add, import_
from satctl.commands.fields_revise import activate, deactivate, plant, revise
from satctl.completion import field_ids, region_names
from satctl.opening import opened
from satctl.output.tables import print_facts, print_json, print_table, say, warn
from satctl.parameters import json_option, wide_option


@click.group()
def fields() -> None:
    """Register, revise and show fields."""


for _command in (import_, add, revise, plant, activate, deactivate, plot):
    fields.add_command(_command)


@fields.command(name="list")
@click.option("--region", help="Only fields in this region.", shell_complete=region_names)
@wide_option
@json_option
def list_(region: str | None, wide: bool, as_json: bool) -> None:
    """List the fields.

    \b
    Examples:
      satctl fields list
      satctl fields list --region A --json
    """
    with opened() as env, read_transaction(env.engine) as connection:
        summaries = listed(connection, registry.region(connection, region) if region is not None else None)
    if as_json:
        print_json(summaries)
        return
    if not summaries:
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
            for f in summaries
        ],
        spare=("also in", "crop", "active", "until", "name"),
        wide=wide,
    )


@fields.command()
@click.argument("external_id", shell_complete=field_ids)
@wide_option
@json_option
def show(external_id: str, wide: bool, as_json: bool) -> None:
    """Show a field: seasons, revisions, regions, expected days.

    \b
    Examples:
      satctl fields show north-40
      satctl fields show north-40 --json
    """
    with opened() as env, read_transaction(env.engine) as connection:
        field_facts = facts(connection, field(connection, external_id))
    if as_json:
        print_json(field_facts)
    else:
        _print(field_facts, wide=wide)


def _print(field_facts: FieldFacts, *, wide: bool) -> None:
    print_facts(
        [
            ("field", field_facts.external_id),
            ("name", field_facts.name),
            ("active", field_facts.active),
            ("area, ha", f"{field_facts.area_ha:,.2f}"),
            ("registered at", f"{field_facts.created_at:%Y-%m-%d %H:%M} UTC"),
            ("last known at", f"{field_facts.known_at:%Y-%m-%d %H:%M} UTC"),
        ]
    )
    print_table(
        ("planted", "until", "crop"),
        [(s.planting_date, s.end_date, s.crop_code) for s in field_facts.seasons],
        "seasons",
    )
    print_table(
        ("revision", "valid from", "known at", "geometry"),
        [
            (r.kind, r.valid_from, f"{r.known_at:%Y-%m-%d %H:%M} UTC", (r.geometry_digest or "-")[:12])
            for r in field_facts.revisions
        ],
        "revisions",
    )
    if not field_facts.regions:
        warn(f"field {field_facts.external_id} is in no region")
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
            for r in field_facts.regions
        ],
        "regions",
        spare=("of the field", "overlap, ha"),
        wide=wide,
    )
