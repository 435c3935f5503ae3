"""The provenance of one field-day: what the ledger and the registry have on it, as `satctl history` shows it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from sqlalchemy import Connection, select

from satcommon.db.models import Attempt, Decision, FieldRevision, Miss, Refusal, Scene, Season

Records = dict[str, list[dict[str, Any]]]  # by kind, each kind oldest first


def provenance(connection: Connection, field_id: int, bbox_id: int, day: date) -> Records:
    """The misses, attempts, scenes, refused scenes and decisions of a field-day; revisions and seasons of its field.

    Args:
        connection: to the ledger.
        field_id: the field's.
        bbox_id: the region's.
        day: of the row in question.
    """
    return _of_field_day(connection, field_id, bbox_id, day) | _of_field(connection, field_id)


def _of_field_day(connection: Connection, field_id: int, bbox_id: int, day: date) -> Records:
    of_day = [Miss.field_id == field_id, Miss.bbox_id == bbox_id, Miss.date_missed == day]
    tried = [Attempt.field_id == field_id, Attempt.bbox_id == bbox_id, Attempt.day == day]
    return {
        "misses": _records(
            connection,
            Miss.processing_time.label("opened"),
            Miss.cause,
            Miss.digest.label("opened_by"),
            Miss.attempts.label("failed_attempts"),
            Miss.resolved_time.label("resolved"),
            where=of_day,
            order=Miss.id,
        ),
        "attempts": _records(
            connection,
            Attempt.created_at.label("at"),
            Attempt.processing_type.label("by"),
            Attempt.run_id.label("run"),
            Attempt.duration_seconds.label("seconds"),
            Attempt.error_code.label("error"),
            where=tried,
            order=Attempt.attempt_id,
        ),
        "scenes": [
            scene | {"item_ids": json.loads(scene["item_ids"])}
            for scene in _records(
                connection,
                Scene.registered_at.label("registered"),
                Scene.digest,
                Scene.item_ids,
                Scene.sensed_at.label("sensed"),
                where=[Scene.bbox_id == bbox_id, Scene.day == day],
                order=Scene.registered_at,
            )
        ],
        "refused_scenes": _records(
            connection,
            Refusal.seen_at.label("seen"),
            Refusal.item_id.label("item"),
            Refusal.reason,
            Refusal.check_name.label("check"),
            Refusal.resolved_at.label("resolved"),
            where=[Refusal.bbox_id == bbox_id, Refusal.day == day],
            order=Refusal.seen_at,
        ),
        "decisions": _records(
            connection,
            Decision.decided_at.label("decided"),
            Decision.item_id.label("item"),
            Decision.verdict,
            Decision.decided_by.label("by"),
            Decision.why,
            Decision.check_name.label("check"),
            Decision.version,
            where=[Decision.bbox_id == bbox_id, Decision.day == day],
            order=Decision.decided_at,
        ),
    }


def _of_field(connection: Connection, field_id: int) -> Records:
    return {
        "revisions": _records(
            connection,
            FieldRevision.known_at.label("known"),
            FieldRevision.kind,
            FieldRevision.valid_from.label("valid_from"),
            FieldRevision.geometry_digest.label("geometry"),
            where=[FieldRevision.field_id == field_id],
            order=FieldRevision.revision_id,
        ),
        "seasons": _records(
            connection,
            Season.planting_date.label("planted"),
            Season.end_date.label("ended"),
            Season.crop_code.label("crop"),
            where=[Season.field_id == field_id],
            order=Season.planting_date,
        ),
    }


def _records(connection: Connection, *columns: Any, where: list[Any], order: Any) -> list[dict[str, Any]]:
    statement = select(*columns).where(*where).order_by(order)
    return [dict(row._mapping) for row in connection.execute(statement)]
