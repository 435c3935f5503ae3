"""`satctl history`: the provenance of one number, from the ledger and the publication log."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click
from satcommon.db import fields as field_registry
from satcommon.db import registry
from satcommon.db.answers import Absence
from satcommon.db.engine import read_transaction
from satcommon.db.models import Field
from satcommon.errors import InputError
from satcommon.messages import command
from sqlalchemy import Connection

from satctl.completion import field_ids, region_names
from satctl.opening import opened
from satctl.output.tables import moment, print_facts, print_json, print_table, say
from satctl.parameters import DAY, as_of_option, json_option

if TYPE_CHECKING:
    from satcommon.publication.row_history import PublishedRow

_PUBLICATION = ("sequence", "committed at", "cause", "run", "status", "NDVI", "smoothed e4", "integral e4")
ABSENCES = {
    Absence.LATE: "late; it is due, and awaited within the allowed lateness",
    Absence.NOT_PLANNED: "not planned; a satellite passes over, and the acquisition plan has no datatake here",
    Absence.LOST_UPSTREAM: "lost upstream; it was due, and did not come within the allowed lateness",
}
_DIGEST = re.compile("[0-9a-f]{64}")


@click.command()
@click.argument("external_id", metavar="FIELD", shell_complete=field_ids)
@click.argument("day", type=DAY)
@click.option("--region", help="Name of the region.  [default: the field's home]", shell_complete=region_names)
@as_of_option
@json_option
def history(external_id: str, day: date, region: str | None, as_of: datetime | None, as_json: bool) -> None:
    """Show how a field's row of a day came about: publications, inputs, misses, attempts, scenes, decisions.

    The publications are those that gave, changed or took out the row, oldest first, each with its values, cause, run
    and instant; --json has all columns of each. With --as-of, the row is the one that was published then.

    Where there is no row, it says why, and what happens next and when: the field is not planted yet, its season is
    over, it is deactivated or outside the region; the region is not monitored; the day waits for its scene, its
    deadline or a replay. Numbers are shown as stored, instants in UTC. An index that is null for want of a band is
    named with the band.

    \b
    Examples:
      satctl history north-forty 2026-05-12
      satctl history line-quarter 2026-05-12 --region A --json
      satctl history north-forty 2026-05-12 --as-of 2026-06-01T08:00:00Z
    """
    from satcommon.publication.objects import ResultObjects
    from satcommon.views.lacking_bands import lacking_bands
    from satcommon.views.row_story import row_story

    now = datetime.now(UTC)
    with opened() as env:
        with read_transaction(env.engine) as connection:
            field = field_registry.field(connection, external_id)
            its_region = registry.region(connection, region or _home(connection, field, day))
        objects, asked = ResultObjects(env.store()), (env.deadlines, now)
        story = row_story(env.engine, objects, field, its_region, day, as_of, asked)
        with read_transaction(env.engine) as connection:
            lacking = lacking_bands(connection, env.store(), its_region.bbox_id, day, story.row) if story.row else {}
    stands, row, given, records = story.stands, story.row, story.given, story.records
    told = {"field": external_id, "region": its_region.name, "day": day}
    if as_json:
        more = vars(stands) if stands else {"as_of": as_of}
        told |= {**more, "row": row, "lacking_bands": lacking, "publications": story.publications}
        print_json({**told, **records})
        return
    if stands:
        say(f"{external_id} in region {its_region.name} on {day}: {stands.state.value.replace('_', ' ')}")
        say(f"  why: {stands.why}")
        if stands.absence:
            say(f"  no scene: {ABSENCES[stands.absence]}")
        if stands.next_step:
            say(f"  next: {stands.next_step}" + (f", {moment(stands.at, now)}" if stands.at else ""))
    else:
        state = "no row" if row is None else "final" if row["final"] else "not final"
        say(f"{external_id} in region {its_region.name} on {day}, as of {as_of:%Y-%m-%d %H:%M:%S} UTC: {state}")
    if row:
        print_facts((name, value) for name, value in row.items() if value is not None)
        for index, bands in lacking.items():
            say(f"  {index} is null: the day's scene has no band {' and no '.join(bands)}")
    if given:
        print_table(_PUBLICATION, [_cells(each) for each in given], "publications")
    for title in ("misses", "attempts", "scenes", "refused_scenes", "decisions", "revisions", "seasons"):
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


def _cells(published_row: PublishedRow) -> tuple[Any, ...]:
    row = published_row.row.to_pylist()[0] if published_row.row is not None else None
    names = ("status", "ndvi_mean", "ndvi_smoothed_e4", "ndvi_integral_e4")
    values = [row[name] for name in names] if row else [published_row.why_not or "taken out", *[None] * 3]
    told = (published_row.sequence, f"{published_row.committed_at:%Y-%m-%d %H:%M:%S}")
    return (*told, published_row.cause, published_row.run_id[:8], *values)
