"""Why a field-day has its row, or has none, and what will happen when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, select

from satcommon.db import answers, ledger, missed_days
from satcommon.db.answers import Absence
from satcommon.db.deadlines import Deadlines
from satcommon.db.expectations import timelines
from satcommon.db.expected import ONE_DAY
from satcommon.db.models import Cause, Field, FieldRevision, Miss, Region, RevisionKind, Season
from satcommon.db.registry import aoi_of
from satcommon.geo.solar import solar_day
from satcommon.messages import command, counted
from satcommon.pipeline.backlog import FIRST_PAUSE, TRIES
from satcommon.pipeline.ready_days import ready_days_of
from satcommon.sources.source import Due
from satcommon.stats.observation import NOT_ASKED, NOT_TAKEN


class State(StrEnum):
    """The status of a field-day."""

    SETTLED = "settled"  # a row that stands
    PROVISIONAL = "provisional"  # a row that stands, on a day with a refused acquisition
    TO_BE_REDONE = "to_be_redone"  # a row, and an open miss
    TO_BE_WITHDRAWN = "to_be_withdrawn"  # a row of a field-day that is no longer expected
    MISSED = "missed"  # no row, and an open miss
    WAITING = "waiting"  # the region's day is not closed yet
    NOT_EXPECTED = "not_expected"  # no row, and none will come
    LOST = "lost"  # no row and no miss of an expected field-day: what `satctl audit` looks for


class Reason(StrEnum):
    """The reason for the status."""

    ROW_IS_CURRENT = "row_is_current"
    NOT_MONITORED = "not_monitored"
    NOT_PLANTED_YET = "not_planted_yet"
    SEASON_IS_OVER = "season_is_over"
    DEACTIVATED = "deactivated"
    OUTSIDE_REGION = "outside_region"
    REGION_IS_PAUSED = "region_is_paused"
    DAY_IS_NOT_OVER = "day_is_not_over"
    EARLIER_DAY_IS_OPEN = "earlier_day_is_open"
    DAY_FAILED = "day_failed"
    CAN_BE_CLOSED = "can_be_closed"
    NEVER_ASKED = "never_asked"
    SCENE_PARTLY_TAKEN = "scene_partly_taken"
    SCENE_NOT_TAKEN = "scene_not_taken"
    WAITS_FOR_SCENE = "waits_for_scene"
    WAITS_FOR_REPLAY = "waits_for_replay"
    PAUSES_AFTER_FAILURE = "pauses_after_failure"
    FAILED_FOR_GOOD = "failed_for_good"
    NOT_ON_RECORD = "not_on_record"


@dataclass(frozen=True)
class FieldDay:
    """The status of a field-day, and its reason.

    Args:
        state: whether there is a row, and whether it stands.
        reason: why, for programs.
        why: the same in a sentence.
        next_step: what will happen, or what to do; None where nothing is to happen.
        at: when it happens at the latest, by the clock; None where no clock says.
        absence: why the day has no scene, where one could be expected.
    """

    state: State
    reason: Reason
    why: str
    next_step: str | None = None
    at: datetime | None = None
    absence: Absence | None = None


def field_day(
    connection: Connection,
    field: Field,
    region: Region,
    day: date,
    deadlines: Deadlines,
    now: datetime,
    *,
    has_row: bool,
) -> FieldDay:
    """The status of a field's day in a region, and the reason.

    Args:
        connection: of a read transaction.
        field: the field.
        region: the region.
        day: the day.
        deadlines: the waiting times.
        now: the present.
        has_row: whether the published object of the day holds a row of the field.
    """
    of_day = ledger.region_day(connection, region.bbox_id, day)
    absence = answers.absence(of_day, day, aoi_of(region).bounds, deadlines, now)
    told = _field_day(connection, field, region, day, deadlines, now, has_row=has_row)
    return replace(told, absence=absence)


def _field_day(
    connection: Connection,
    field: Field,
    region: Region,
    day: date,
    deadlines: Deadlines,
    now: datetime,
    *,
    has_row: bool,
) -> FieldDay:
    line = timelines(connection, region.bbox_id, [field.field_id]).get(field.field_id)
    expected = line is not None and line.at(day) is not None
    if not expected:
        reason, why, next_step = _unexpected(connection, field, region, day)
        if has_row:
            return FieldDay(State.TO_BE_WITHDRAWN, reason, why, "the next replay takes the row out")
        return FieldDay(State.NOT_EXPECTED, reason, why, next_step)
    miss = next(
        (row for row in missed_days.misses(connection, region.bbox_id, day, day) if row.field_id == field.field_id),
        None,
    )
    if miss is not None:
        return _missed(connection, field, region, miss, deadlines, now, has_row=has_row)
    refused = answers.refusals(connection, region.bbox_id, day, day).get(day, {})
    if has_row and refused:
        reasons = "; ".join(refused.values())
        why = f"the row is of the day's scene; beside that something is there and was not taken: {reasons}"
        step = "a replay redoes it once what is refused is repaired; once it is removed, the row is final"
        return FieldDay(State.PROVISIONAL, Reason.SCENE_PARTLY_TAKEN, why, step)
    if has_row:
        return FieldDay(State.SETTLED, Reason.ROW_IS_CURRENT, "the row is of the inputs as they are known now")
    watermark = ledger.watermark(connection, region.bbox_id)
    if watermark is not None and day <= watermark:
        why = f"the day is closed, the field is expected, and there is neither a row nor an open miss of {day}"
        return FieldDay(State.LOST, Reason.NOT_ON_RECORD, why, f"{command('audit', '--repair')} opens it as missed")
    return _waiting(connection, region, day, deadlines, now)


# --- not expected --------------------------------------------------------------------------------------------------


def _unexpected(connection: Connection, field: Field, region: Region, day: date) -> tuple[Reason, str, str | None]:
    """The first condition of an expected field-day that does not hold: region, season, activity, polygon."""
    if not region.monitored_from <= day <= (region.monitored_until or date.max):
        until = f"to {region.monitored_until}" if region.monitored_until else "on"
        monitor = command("regions", "monitor", region.name)
        why = f"region {region.name!r} is monitored from {region.monitored_from} {until}"
        return Reason.NOT_MONITORED, why, f"{monitor} changes the monitored days"
    seasons = connection.execute(
        select(Season.planting_date, Season.end_date)
        .where(Season.field_id == field.field_id)
        .order_by(Season.planting_date)
    ).all()
    before = [season for season in seasons if season.planting_date <= day]
    if not before:
        planting = seasons[0].planting_date
        return Reason.NOT_PLANTED_YET, f"the field is planted on {planting}, later", f"rows begin on {planting}"
    if before[-1].end_date is not None and before[-1].end_date < day:
        why = f"the season {before[-1].planting_date}..{before[-1].end_date} was over"
        later = [season.planting_date for season in seasons if season.planting_date > day]
        plant = f"{command('fields', 'plant', field.external_id)} begins the next one"
        return Reason.SEASON_IS_OVER, why, f"the next one begins on {later[0]}" if later else plant
    revisions = connection.execute(
        select(FieldRevision.kind, FieldRevision.valid_from)
        .where(FieldRevision.field_id == field.field_id, FieldRevision.valid_from <= day)
        .order_by(FieldRevision.revision_id)
    ).all()
    activity = [revision for revision in revisions if revision.kind in _ACTIVITY]
    if activity and activity[-1].kind is RevisionKind.DEACTIVATED:
        again = f"{command('fields', 'activate', field.external_id)} expects it again"
        return Reason.DEACTIVATED, f"the field is deactivated from {activity[-1].valid_from} on", again
    why = f"the field's polygon of {day} does not lie in region {region.name!r}"
    return Reason.OUTSIDE_REGION, why, f"{command('fields', 'show', field.external_id)} tells its regions"


_ACTIVITY = (RevisionKind.REGISTERED, RevisionKind.DEACTIVATED, RevisionKind.REACTIVATED)


# --- missed --------------------------------------------------------------------------------------------------------


def _missed(
    connection: Connection,
    field: Field,
    region: Region,
    miss: Miss,
    deadlines: Deadlines,
    now: datetime,
    *,
    has_row: bool,
) -> FieldDay:
    """An open miss: what it waits for, as the planner sees it."""
    state = State.TO_BE_REDONE if has_row else State.MISSED
    day, bounds = miss.date_missed, aoi_of(region).bounds
    of_day = ledger.region_day(connection, region.bbox_id, day)
    why = f"missed as {miss.cause.value} since {miss.processing_time:%Y-%m-%d %H:%M} UTC"
    if miss.cause is Cause.CARRY:
        why += ": the observation stands, the state is to be carried on from the days before"
    stands = answers.stands_for(of_day)
    if stands == NOT_ASKED:
        step = f"a replay redoes it once ingest has asked: if that does not, {command('doctor')} tells whether it is up"
        return FieldDay(state, Reason.NEVER_ASKED, f"{why}; the source was never asked for {day}", step)
    if stands == NOT_TAKEN:
        refused = "; ".join(answers.refusals(connection, region.bbox_id, day, day)[day].values())
        quarantine = command("scenes", "quarantine", "--region", region.name)
        step = f"a replay redoes it once what is refused is repaired or removed, or somebody decides: see {quarantine}"
        return FieldDay(state, Reason.SCENE_NOT_TAKEN, f"{why}; a scene is there and was not taken: {refused}", step)
    if answers.waits(stands, day, bounds, deadlines, now):
        gives_up = deadlines.gives_up_at(day, bounds)
        step = "a replay redoes it once the due scene is there, and settles it as no_scene if it never comes"
        return FieldDay(state, Reason.WAITS_FOR_SCENE, why, step, gives_up)
    if miss.attempts >= TRIES:
        again = command("reprocess", region.name, "--field", field.external_id, "--from", str(day), "--to", str(day))
        step = f"it waits for another field, scene or version; {again} tries it again"
        return FieldDay(state, Reason.FAILED_FOR_GOOD, f"{why}; it failed {counted(miss.attempts, 'time')}", step)
    again_at = miss.tried_at + FIRST_PAUSE * 2 ** (miss.attempts - 1) if miss.attempts else now
    if now < again_at:
        why = f"{why}; it failed {counted(miss.attempts, 'time')}"
        return FieldDay(state, Reason.PAUSES_AFTER_FAILURE, why, "a replay tries it again", again_at)
    step = f"the next replay of the region redoes it; {command('reprocess', region.name)} asks for that now"
    return FieldDay(state, Reason.WAITS_FOR_REPLAY, why, step)


# --- not closed yet ------------------------------------------------------------------------------------------------


def _waiting(connection: Connection, region: Region, day: date, deadlines: Deadlines, now: datetime) -> FieldDay:
    """A day after the watermark."""
    bounds, watermark = aoi_of(region).bounds, ledger.watermark(connection, region.bbox_id)
    after = f"the region's days are closed through {watermark}" if watermark else "the region has no closed day yet"
    if not region.active:
        why = f"{after}, and the region is paused"
        return _waits(Reason.REGION_IS_PAUSED, why, f"{command('regions', 'activate', region.name)} resumes it")
    if day >= solar_day(now, bounds):
        why = f"{after}, and {day} is not over there"
        step = "it closes when the source has answered for it, and without its scene at the deadline"
        return _waits(Reason.DAY_IS_NOT_OVER, why, step, deadlines.closes_at(day, bounds))
    days = ledger.region_days(connection, region.bbox_id, ledger.next_day(connection, region), day)
    of_day = days.get(day)
    if of_day is not None and of_day.tries:
        why = f"{after}; {day} failed {counted(of_day.tries, 'time')}: {of_day.error}"
        step = f"it is tried again, and closed with its fields missed after {counted(TRIES, 'time')}"
        return _waits(Reason.DAY_FAILED, why, step)
    ready = [each.day for each in ready_days_of(connection, region, deadlines, now)]
    if day in ready:
        close = command("runs", "launch", "close_days", "--region", region.name, "--day", str(day))
        return _waits(
            Reason.CAN_BE_CLOSED, f"{after}; {day} can be closed", f"realtime's next run closes it; {close} does so now"
        )
    first_open = _first_open(ready, ledger.next_day(connection, region))
    closes_at = max(deadlines.closes_at(day, bounds), region.created_at + timedelta(hours=_grace(of_day, deadlines)))
    if first_open < day:
        why = f"{after}; days close in their order, and {first_open} is still open"
        step = "it closes after the days before it, and without its scene at the deadline"
        return _waits(Reason.EARLIER_DAY_IS_OPEN, why, step, closes_at)
    if of_day is None or of_day.answered_at is None:
        why = f"{after}; the source was never asked for {day}"
        step = f"ingest asks for it: if it does not, {command('doctor')} tells whether it is up"
        return _waits(Reason.NEVER_ASKED, why, step, closes_at)
    why = f"{after}; the scene of {day} is {'due' if of_day.due is Due.DUE else 'not there'}"
    return _waits(
        Reason.WAITS_FOR_SCENE, why, "it closes when its scene is there, and without it at the deadline", closes_at
    )


def _first_open(ready: Sequence[date], first: date) -> date:
    return ready[-1] + ONE_DAY if ready else first


def _grace(of_day: ledger.Day | None, deadlines: Deadlines) -> float:
    """The hours after a region's registration for which a day that was never asked for stays open (`ready_days_of`)."""
    return 0.0 if of_day is not None and of_day.answered_at is not None else deadlines.deadline_hours


def _waits(reason: Reason, why: str, next_step: str, at: datetime | None = None) -> FieldDay:
    return FieldDay(State.WAITING, reason, why, next_step, at)
