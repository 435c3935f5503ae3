"""`satctl history`: the provenance of one number, from the ledger and the published object."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import click
from satcommon.db import fields as field_registry
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction
from satcommon.db.models import Field
from satcommon.errors import InputError
from satcommon.messages import command
from satcommon.views.field_day import field_day
from satcommon.views.provenance import provenance
from sqlalchemy import Connection

from satctl.completion import field_ids, region_names
from satctl.opening import opened
from satctl.output.tables import moment, print_facts, print_json, print_table, say
from satctl.parameters import DAY, json_option

_DIGEST = re.compile("[0-9a-f]{64}")


@click.command()
@click.argument("external_id", metavar="FIELD", shell_complete=field_ids)
@click.argument("day", type=DAY)
@click.option("--region", help="Name of the region.  [default: the field's home]", shell_complete=region_names)
@json_option
def history(external_id: str, day: date, region: str | None, as_json: bool) -> None:
    """Show how a field's row of a day came about: inputs, misses, attempts, scenes and revisions.

    Where there is no row, it says why, and what happens next and when: the field is not planted yet, its season is
    over, it is deactivated or outside the region; the region is not monitored; the day waits for its scene, its
    deadline or a replay. Numbers are shown as stored, instants in UTC.

    \b
    Examples:
      satctl history north-forty 2026-05-12
      satctl history line-quarter 2026-05-12 --region A --json
    """
    now = datetime.now(UTC)
    with opened() as env:
        store = env.store()
        with read_transaction(env.engine) as connection:
            field = field_registry.field(connection, external_id)
            its_region = registry.region(connection, region or _home(connection, field, day))
            records = provenance(connection, field.field_id, its_region.bbox_id, day)
            closed = ledger.region_day(connection, its_region.bbox_id, day)
            row = _row(store, closed.object_key, external_id) if closed and closed.object_key else None
            stands = field_day(connection, field, its_region, day, env.deadlines, now, has_row=row is not None)
    if as_json:
        print_json({"field": external_id, "region": its_region.name, "day": day, **vars(stands), "row": row, **records})
        return
    say(f"{external_id} in region {its_region.name} on {day}: {stands.state.value.replace('_', ' ')}")
    say(f"  why: {stands.why}")
    if stands.next_step:
        say(f"  next: {stands.next_step}" + (f", {moment(stands.at, now)}" if stands.at else ""))
    if row:
        print_facts((name, value) for name, value in row.items() if value is not None)
    for title in ("misses", "attempts", "scenes", "refused_scenes", "revisions", "seasons"):
        if records[title]:
            names = [name.replace("_", " ") for name in records[title][0]]
            print_table(names, [[_short(value) for value in record.values()] for record in records[title]], title)


def _short(value: Any) -> Any:
    """A digest's first characters, which are enough to tell it from others."""
    return value[:12] if isinstance(value, str) and _DIGEST.fullmatch(value) else value


def _home(connection: Connection, field: Field, day: date) -> str:
    """The field's home on a day; before its first polygon and after its last, that of its latest."""
    for asked in (day, date.max):
        home = field_registry.home(connection, field.field_id, asked)
        if home is not None:
            return home
    show = command("fields", "show", field.external_id)
    raise InputError(f"field {field.external_id!r} is in no region; {show} shows where it is")


def _row(store: Any, key: str, external_id: str) -> dict[str, Any] | None:
    from satcommon.stats import result_rows

    from satctl.output.row_columns import readable_row

    return readable_row(result_rows.only(result_rows.read(store, key), [external_id]))
