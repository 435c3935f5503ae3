"""`satctl fields activate`, `deactivate`, `revise` and `plant`: later changes to a field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click
from satcommon.db.engine import write_transaction
from satcommon.db.fields import activate_field, begin_season, field, revise_geometry, revise_season
from satcommon.vector.names import MAX_CROP, checked_text
from satcommon.views.field_details import Consequences, FieldBacklog, facts

from satctl.commands.fields_register import geometry_option, polygon_of, wkt_option
from satctl.completion import field_ids
from satctl.opening import opened
from satctl.output.tables import say, warn
from satctl.parameters import DAY


@click.command()
@click.argument("external_id", shell_complete=field_ids)
@click.option("--on", "day", type=DAY, help="First day on which the field is expected again.  [default: today, UTC]")
def activate(external_id: str, day: date | None) -> None:
    """Expect a field again, from a day on.

    \b
    Examples:
      satctl fields activate north-40
      satctl fields activate north-40 --on 2026-06-01
    """
    _activate(external_id, day, active=True)


@click.command()
@click.argument("external_id", shell_complete=field_ids)
@click.option("--on", "day", type=DAY, help="First day on which the field is not expected.  [default: today, UTC]")
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
    with opened() as env, write_transaction(env.engine) as connection:
        before = FieldBacklog.of(connection, [external_id])
        changed = activate_field(connection, external_id, on, now, active=active)
        caused = FieldBacklog.of(connection, [external_id]).since(before)
    state = "active" if active else "inactive"
    if not changed:
        say(f"field {external_id} is {state} already; nothing was changed")
        return
    say(f"field {external_id} is {state} from {on} on; {caused}")


@click.command()
@click.argument("external_id", shell_complete=field_ids)
@click.option("--correct", is_flag=True, help="The polygon was wrong, since the season's planting.")
@click.option("--from", "changed_from", type=DAY, help="The polygon changed on this day.")
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

    A polygon is corrected (--correct) or changed from a day on (--from); a season is always corrected. Closed
    field-days that this changes are missed, and recomputed.

    \b
    Examples:
      satctl fields revise north-40 --correct --geometry north-40.geojson
      satctl fields revise north-40 --from 2026-06-01 --geometry split.geojson
      satctl fields revise north-40 --correct --planted 2026-04-20
    """
    polygon = polygon_of(wkt, geometry_file)
    if polygon is None and planted is None and season_end is None:
        raise click.UsageError("give what to revise: --geometry or --wkt, --planted, --season-end")
    if correct and changed_from is not None:
        raise click.UsageError("a polygon is either wrong (--correct) or changed (--from DAY), not both")
    if polygon is not None and not correct and changed_from is None:
        raise click.UsageError("say whether the polygon was wrong (--correct) or changed on a day (--from DAY)")
    if polygon is None and changed_from is not None:
        raise click.UsageError("--from applies to a polygon; a season is corrected: --correct")
    now = datetime.now(UTC)
    with opened() as env, write_transaction(env.engine) as connection:
        before = FieldBacklog.of(connection, [external_id])
        changed = False
        if planted is not None or season_end is not None:  # first: a corrected polygon holds from the planting on
            changed = revise_season(connection, external_id, planted, season_end, now)
        if polygon is not None:
            changed |= revise_geometry(connection, external_id, polygon, changed_from, now)
        caused = FieldBacklog.of(connection, [external_id]).since(before)
        in_regions = facts(connection, field(connection, external_id)).regions
    if not changed:
        say(f"field {external_id}: no change")
        return
    say(f"revised field {external_id}; {caused}")
    if not in_regions:
        warn(f"field {external_id} is now in no region")


@click.command()
@click.argument("external_id", shell_complete=field_ids)
@click.option("--planted", type=DAY, required=True, help="Planting day of the season that begins.")
@click.option("--season-end", type=DAY, help="Its last day.  [default: open]")
@click.option("--crop", help="Crop code.")
def plant(external_id: str, planted: date, season_end: date | None, crop: str | None) -> None:
    """Begin a field's next season.

    A season without an end ends on the day before. One that ends later must be shortened first (`satctl fields revise
    --season-end`). Closed field-days that the new season changes are missed.

    \b
    Examples:
      satctl fields plant north-40 --planted 2027-04-18
      satctl fields plant north-40 --planted 2026-10-02 --crop winter-wheat
    """
    if crop is not None:
        crop = checked_text(crop, "crop", "--crop", MAX_CROP)
    now = datetime.now(UTC)
    with opened() as env, write_transaction(env.engine) as connection:
        begun = begin_season(connection, external_id, planted, season_end, crop, now)
        caused = Consequences.at(connection, now)
    if not begun:
        say(f"field {external_id}: no change")
        return
    say(f"field {external_id} has a season from {planted} on; {caused}")
