"""`satctl history`: the story of one number, from the ledger and the published object."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click
from satcommon.db import fields as field_registry
from satcommon.db import ledger, registry
from satcommon.db.engine import reading
from satcommon.db.models import Attempt, FieldRevision, Miss, Scene, Season
from satcommon.errors import InputError
from sqlalchemy import Connection, select

from satctl.opening import opened
from satctl.output import print_facts, print_json, print_table, say
from satctl.parameters import DAY, json_option


@click.command()
@click.argument("external_id", metavar="FIELD")
@click.argument("day", type=DAY)
@click.option("--region", help="Name of the region; the field's home where it is not given.")
@json_option
def history(external_id: str, day: date, region: str | None, as_json: bool) -> None:
    """Tell how a field's row of a day came about: inputs, misses, attempts, scenes and revisions.

    \b
    Examples:
      satctl history north-forty 2026-05-12
      satctl history line-quarter 2026-05-12 --region A --json
    """
    with opened() as env:
        store = env.store()
        with reading(env.engine) as connection:
            field = field_registry.field(connection, external_id)
            home = region or field_registry.home(connection, field.field_id, day)
            if home is None:
                raise InputError(f"field {external_id!r} is in no region on {day}")
            place = registry.region(connection, home)
            told = _told(connection, field.field_id, place.bbox_id, day)
            closed = ledger.region_day(connection, place.bbox_id, day)
        row = _row(store, closed.object_key, external_id) if closed and closed.object_key else None
    story = {"field": external_id, "region": home, "day": day, "row": row, **told}
    if as_json:
        print_json(story)
        return
    say(f"{external_id} in region {home} on {day}: {_state(row, told['misses'])}")
    if row:
        print_facts((name, value) for name, value in row.items() if value is not None)
    for title in ("misses", "attempts", "scenes", "revisions", "seasons"):
        if told[title]:
            print_table(list(told[title][0]), [list(one.values()) for one in told[title]], title)


def _state(row: dict[str, Any] | None, misses: list[dict[str, Any]]) -> str:
    is_open = any(miss["resolved"] is None for miss in misses)
    if row is None:
        return "missed, no row yet" if is_open else "no row"
    return "a row that is to be redone" if is_open else "settled"


def _row(store: Any, key: str, external_id: str) -> dict[str, Any] | None:
    from satcommon import results

    found = results.only(results.read(store, key), [external_id]).to_pylist()
    return found[0] if found else None


def _told(connection: Connection, field_id: int, bbox_id: int, day: date) -> dict[str, list[dict[str, Any]]]:
    """What the ledger and the registry have on a field-day, oldest first."""

    def rows(*columns: Any, where: list[Any], order: Any) -> list[dict[str, Any]]:
        statement = select(*columns).where(*where).order_by(order)
        return [{name: _plain(value) for name, value in row._mapping.items()} for row in connection.execute(statement)]

    of_day = [Miss.field_id == field_id, Miss.bbox_id == bbox_id, Miss.date_missed == day]
    tried = [Attempt.field_id == field_id, Attempt.bbox_id == bbox_id, Attempt.day == day]
    return {
        "misses": rows(
            Miss.processing_time.label("opened"),
            Miss.cause,
            Miss.digest.label("opened by"),
            Miss.attempts.label("failed attempts"),
            Miss.resolved_time.label("resolved"),
            where=of_day,
            order=Miss.id,
        ),
        "attempts": rows(
            Attempt.created_at.label("at"),
            Attempt.processing_type.label("by"),
            Attempt.run_id.label("run"),
            Attempt.duration_seconds.label("seconds"),
            Attempt.error_code.label("error"),
            where=tried,
            order=Attempt.attempt_id,
        ),
        "scenes": rows(
            Scene.registered_at.label("registered"),
            Scene.digest,
            Scene.item_ids.label("items"),
            Scene.sensed_at.label("sensed"),
            where=[Scene.bbox_id == bbox_id, Scene.day == day],
            order=Scene.registered_at,
        ),
        "revisions": rows(
            FieldRevision.known_at.label("known"),
            FieldRevision.kind,
            FieldRevision.valid_from.label("valid from"),
            FieldRevision.geometry_digest.label("geometry"),
            where=[FieldRevision.field_id == field_id],
            order=FieldRevision.revision_id,
        ),
        "seasons": rows(
            Season.planting_date.label("planted"),
            Season.end_date.label("ended"),
            Season.crop_code.label("crop"),
            where=[Season.field_id == field_id],
            order=Season.planting_date,
        ),
    }


def _plain(value: Any) -> Any:
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else value
