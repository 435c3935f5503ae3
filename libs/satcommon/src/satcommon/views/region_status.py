"""A region's status: what is closed, what is missed, and who is late, the source or Satfields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, case, func, select

from satcommon.db import answers, ledger, missed_days
from satcommon.db.answers import Absence
from satcommon.db.deadlines import Deadlines
from satcommon.db.expectations import timelines
from satcommon.db.expected import ONE_DAY
from satcommon.db.models import Cause, Miss, Region, RegionDay, Withdrawal
from satcommon.db.records import all_of, select_all
from satcommon.db.registry import aoi_of
from satcommon.geo.solar import solar_day
from satcommon.pipeline.backlog import TRIES
from satcommon.pipeline.ready_days import ready_days_of
from satcommon.sources.source import Due


@dataclass(frozen=True)
class ClosedDay:
    """A closed day and its published rows; `absence` tells why it has no scene, where one could be expected."""

    day: date
    due: Due
    absence: Absence | None
    scene: bool
    rows: int
    missed: int
    closed_at: datetime


@dataclass(frozen=True)
class MissedDays:
    """The open misses of one cause, in field-days.

    `waiting_for_scene` of them are on days that still wait for their due scene, or for which the source was never
    asked: the source or ingest is late, not the replay. `failed` ones have used up their tries, and wait for a new
    field, scene or version.
    """

    cause: Cause
    field_days: int
    waiting_for_scene: int
    failed: int
    first_day: date
    last_day: date
    opened_at: datetime
    oldest_age_seconds: float


@dataclass(frozen=True)
class Awaited:
    """A day that is over and lacks its due scene, which is awaited until `until`."""

    day: date
    closed: bool
    until: datetime


@dataclass(frozen=True)
class NotTaken:
    """A refused acquisition.

    Without a scene, its day is missed; with one, the day's rows come from that scene and are not final.
    """

    day: date
    item: str
    reason: str
    has_scene: bool


@dataclass(frozen=True)
class Deadline:
    """When the next day closes without its scene."""

    day: date
    at: datetime


@dataclass(frozen=True)
class FailedDay:
    """An open day that could not be processed: how often it was tried, and the last error."""

    day: date
    tries: int
    error: str


@dataclass(frozen=True)
class RegionStatus:
    """A region's status.

    Args:
        region: its name.
        active: False while it is paused: then it asks for no day and closes none.
        monitored_from: first monitored day.
        monitored_until: last monitored day; None where it is open.
        algorithm_version: that it is pinned to.
        watermark: last closed day.
        final_through: last day up to which nothing is to be redone, and no acquisition was refused.
        lag_days: monitored days that are over and not closed.
        expected_on: the watermark, else the first monitored day.
        expected_fields: fields expected on that day; None where they were not counted.
        closed_days: the last closed days.
        backlog: the open misses, by cause.
        withdrawals: rows still to be taken out.
        source_late: days that are over and lack their due scene: open ones until their deadline, closed ones within the
            allowed lateness.
        not_planned: days within the allowed lateness that a satellite passes over, and for which the acquisition plan
            has no datatake.
        lost_upstream: closed days whose due scene did not come within the allowed lateness.
        us_late: open days that could be closed now.
        never_asked: days that are over, open or closed, for which the source was never asked.
        refused: refused acquisitions of monitored days.
        failed_days: open days that could not be processed.
        next_deadline: of the first open day that waits.
    """

    region: str
    active: bool
    monitored_from: date
    monitored_until: date | None
    algorithm_version: str
    watermark: date | None
    final_through: date | None
    lag_days: int
    expected_on: date
    expected_fields: int | None
    closed_days: list[ClosedDay]
    backlog: list[MissedDays]
    withdrawals: int
    source_late: list[Awaited]
    not_planned: list[date]
    lost_upstream: list[date]
    us_late: list[date]
    never_asked: list[date]
    refused: list[NotTaken]
    failed_days: list[FailedDay]
    next_deadline: Deadline | None


def region_status(
    connection: Connection, region: Region, deadlines: Deadlines, last_days: int, now: datetime, *, fields: bool = True
) -> RegionStatus:
    """The status of a region.

    Args:
        connection: of a read transaction.
        region: the region.
        deadlines: the waiting times.
        last_days: how many closed days to list.
        now: the present.
        fields: count those that are expected, which takes longer the more there are.
    """
    bounds = aoi_of(region).bounds
    last = ledger.watermark(connection, region.bbox_id)
    first_open = ledger.next_day(connection, region)
    over = _over(region, first_open, solar_day(now, bounds))
    ready = [d.day for d in ready_days_of(connection, region, deadlines, now)] if region.active else []
    known = ledger.region_days(connection, region.bbox_id, first_open, date.max)
    waiting = max([first_open, *(day + ONE_DAY for day in ready)])
    waits = region.active and (region.monitored_until is None or waiting <= region.monitored_until)
    asked = waiting in known and known[waiting].answered_at is not None
    grace = region.created_at + timedelta(hours=0 if asked else deadlines.deadline_hours)  # of `ready_days_of`
    expected_on = last or region.monitored_from
    unclosed = [
        Awaited(day, closed=False, until=deadlines.closes_at(day, bounds))
        for day in over
        if day not in ready and day in known and known[day].due is Due.DUE and known[day].scene_digest is None
    ]
    without_scene = ledger.days_without_scene(connection, region.bbox_id)
    absent = {day: answers.absence(row, day, bounds, deadlines, now) for day, row in without_scene.items()}
    awaited = [
        Awaited(day, closed=True, until=deadlines.gives_up_at(day, bounds))
        for day, row in without_scene.items()
        if row.due is Due.DUE and row.closed_at is not None and not deadlines.given_up(day, bounds, now)
    ]
    unasked = answers.days_never_asked(connection, region, date.min, date.max)
    refused = _not_taken(connection, region)
    without = {item.day for item in refused if not item.has_scene}
    missed = _backlog(connection, region, {item.day for item in awaited}.union(unasked, without), now)
    not_final = [*(misses.first_day for misses in missed), *(item.day for item in refused)]
    return RegionStatus(
        region=region.name,
        active=region.active,
        monitored_from=region.monitored_from,
        monitored_until=region.monitored_until,
        algorithm_version=region.algorithm_version,
        watermark=last,
        final_through=min([last, *(day - ONE_DAY for day in not_final)]) if last else None,
        lag_days=len(over),
        expected_on=expected_on,
        expected_fields=_expected_fields(connection, region, expected_on) if fields else None,
        closed_days=_closed_days(connection, region, last_days, absent),
        backlog=missed,
        withdrawals=connection.execute(
            select(func.count()).select_from(Withdrawal).where(Withdrawal.bbox_id == region.bbox_id)
        ).scalar_one(),
        source_late=[*awaited, *unclosed],
        not_planned=[
            day
            for day, why in absent.items()
            if why is Absence.NOT_PLANNED and not deadlines.given_up(day, bounds, now)
        ],
        lost_upstream=[day for day, why in absent.items() if why is Absence.LOST_UPSTREAM],
        us_late=ready,
        never_asked=[*unasked, *(day for day in over if day not in known or known[day].answered_at is None)],
        refused=refused,
        failed_days=[FailedDay(day, row.tries, row.error or "") for day, row in sorted(known.items()) if row.tries > 0],
        next_deadline=Deadline(waiting, max(deadlines.closes_at(waiting, bounds), grace)) if waits else None,
    )


def _expected_fields(connection: Connection, region: Region, day: date) -> int:
    return sum(line.at(day) is not None for line in timelines(connection, region.bbox_id).values())


def _not_taken(connection: Connection, region: Region) -> list[NotTaken]:
    first, last = region.monitored_from, region.monitored_until or date.max
    refused = answers.refusals(connection, region.bbox_id, first, last)
    days = ledger.region_days(connection, region.bbox_id, min(refused), max(refused)) if refused else {}
    return [
        NotTaken(day, item, reason, has_scene=days[day].scene_digest is not None)
        for day, items in refused.items()
        for item, reason in items.items()
    ]


def _over(region: Region, first_open: date, today: date) -> Sequence[date]:
    """The open monitored days that have ended."""
    end = today if region.monitored_until is None else min(today, region.monitored_until + ONE_DAY)
    return [date.fromordinal(day) for day in range(first_open.toordinal(), end.toordinal())]


def _closed_days(
    connection: Connection, region: Region, last_days: int, absent: Mapping[date, Absence | None]
) -> list[ClosedDay]:
    statement = (
        select_all(RegionDay)
        .where(RegionDay.bbox_id == region.bbox_id, RegionDay.closed_at.is_not(None))
        .order_by(RegionDay.day.desc())
        .limit(last_days)
    )
    days = all_of(connection, statement)
    missed = (
        select(Miss.date_missed, func.count().label("fields"))
        .where(Miss.bbox_id == region.bbox_id, ~Miss.processed, Miss.date_missed.in_([row.day for row in days]))
        .group_by(Miss.date_missed)
    )
    counts = {row.date_missed: row.fields for row in connection.execute(missed)}
    return [_closed_day(day, absent.get(day.day), counts.get(day.day, 0)) for day in reversed(days)]


def _closed_day(day: RegionDay, absence: Absence | None, missed: int) -> ClosedDay:
    assert day.row_count is not None, "a closed day has an object"
    assert day.closed_at is not None
    return ClosedDay(day.day, day.due, absence, day.scene_digest is not None, day.row_count, missed, day.closed_at)


def _backlog(connection: Connection, region: Region, awaited: set[date], now: datetime) -> list[MissedDays]:
    statement = (
        select(
            Miss.cause,
            Miss.date_missed,
            func.count().label("fields"),
            func.sum(case((Miss.attempts >= TRIES, 1), else_=0)).label("failed"),
        )
        .where(Miss.bbox_id == region.bbox_id, ~Miss.processed)
        .group_by(Miss.cause, Miss.date_missed)
    )
    days = connection.execute(statement).all()
    missed = []
    for backlog in missed_days.backlog_by_cause(connection, region.bbox_id):
        of_cause = [day for day in days if day.cause == backlog.cause]
        missed.append(
            MissedDays(
                cause=backlog.cause,
                field_days=backlog.field_days,
                waiting_for_scene=sum(day.fields for day in of_cause if day.date_missed in awaited),
                failed=sum(day.failed for day in of_cause if day.date_missed not in awaited),
                first_day=backlog.first_day,
                last_day=backlog.last_day,
                opened_at=backlog.opened_at,
                oldest_age_seconds=(now - backlog.opened_at).total_seconds(),
            )
        )
    return missed
