"""Finds runs without a sign of life, and a stuck queue, by Dagster's records and the ledger's heartbeats.

After a power cut, runs stay STARTED, STARTING or CANCELING without a process. Each holds its lane and a slot until
one of our sensors or Dagster's run monitoring ends it. The report says which runs they are, and by when that happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import yaml
from satcommon.db.heartbeat import heartbeats
from satcommon.messages import command, counted
from satcommon.settings import Settings
from sqlalchemy import Engine

from satctl.dagster_api import graphql
from satctl.output.tables import age, moment

SHOWN = 8  # characters of a run's id, as on Dagster's pages
_MISSED_BEATS = 3  # missed heartbeats that make a run silent; a busy SQLite delays one or two
_NOT_UP = ("NOT_STARTED", "STARTING")
_COMING_UP = timedelta(seconds=60)  # for a run's process to start and write its first heartbeat, on a busy machine


@dataclass(frozen=True)
class SilentRun:
    """A run that is in progress by Dagster's records, without a sign of life.

    Args:
        run_id: the whole id.
        since: its last heartbeat, or else Dagster's last record of it.
        ends_by: when it is ended automatically at the latest; None where nothing does that.
        remedy: what ends it.
    """

    run_id: str
    job: str
    location: str | None
    region: str | None
    status: str
    since: datetime
    ends_by: datetime | None
    remedy: str

    def described(self, now: datetime) -> str:
        """The run and the remedy, in a sentence."""
        of = f" of region {self.region}" if self.region else ""
        return (
            f"run {self.run_id[:SHOWN]} ({self.job}{of}, {self.status}): no sign of life since "
            f"{moment(self.since, now)}; {self.remedy}"
        )

    def is_overdue(self, now: datetime) -> bool:
        """Whether it should have been ended by now."""
        return self.ends_by is None or self.ends_by < now


@dataclass(frozen=True)
class RunsReport:
    """The state of Dagster's runs.

    Args:
        unknown: why nothing is known of them; None where they are known.
        slots: how many runs may be in progress; None without a limit.
        in_progress: how many have left the queue and not ended.
        queued_since: when the oldest queued run was created.
        silent: the runs in progress that give no sign of life.
        standstill: why the queue does not move and what to do about it; None where it moves.
    """

    unknown: str | None = None
    slots: int | None = None
    in_progress: int = 0
    queued: int = 0
    queued_since: datetime | None = None
    silent: list[SilentRun] = field(default_factory=list)
    standstill: str | None = None


def runs_report(
    url: str, engine: Engine, chosen: Settings, now: datetime, seconds: int = graphql.ANSWER_SECONDS
) -> RunsReport:
    """The state of the runs, by Dagster's webserver and the ledger's heartbeats.

    Args:
        url: of the webserver.
        engine: of the ledger.
        chosen: the settings.
        now: the present.
        seconds: that the webserver has to answer.

    Raises:
        RetryableError: Dagster does not answer within `seconds`.
    """
    unfinished = graphql.unfinished(url, seconds)
    beats = heartbeats(engine, [run.run_id for run in unfinished.in_progress])
    return runs_report_of(unfinished, beats, chosen, now)


def runs_report_of(
    unfinished: graphql.Unfinished, beats: Mapping[str, datetime], chosen: Settings, now: datetime
) -> RunsReport:
    """The state of the runs that Dagster told of.

    Args:
        unfinished: what it told.
        beats: the last heartbeat of each run that has one.
        chosen: the settings.
        now: the present.
    """
    silence = _Silence(chosen, _monitoring(unfinished.configuration), now)
    silent = [silent_run for run in unfinished.in_progress if (silent_run := silence.judge(run, beats.get(run.run_id)))]
    return RunsReport(
        slots=unfinished.slots,
        in_progress=len(unfinished.in_progress),
        queued=unfinished.queued,
        queued_since=unfinished.queued_since,
        silent=silent,
        standstill=_standstill(unfinished, silent, silence),
    )


@dataclass(frozen=True)
class _Silence:
    """When a run counts as silent, and when it is ended."""

    settings: Settings
    monitoring: dict[str, Any]  # Dagster's, empty where it is off
    now: datetime

    @property
    def beats(self) -> timedelta:
        """How old a heartbeat may be before the run counts as silent."""
        return timedelta(seconds=min(_MISSED_BEATS * self.settings.heartbeat_seconds, self.settings.stale_seconds))

    def judge(self, run: graphql.Run, beat: datetime | None) -> SilentRun | None:
        """The report of a run in progress; None where it is alive, or not one of ours, which alone write heartbeats."""
        from satcommon.contract import LANE_TAG, LOCATIONS, REGION

        since = beat or run.updated_at or run.created_at or self.now
        patience = self.beats if beat else max(self.beats, _COMING_UP)
        if run.location not in (*LOCATIONS, None) or self.now - since < patience:
            return None
        ends_by = self._ends_by(run, since)
        region = run.tags.get(LANE_TAG, "").partition(":")[2] or run.tags.get(f"dagster/partition/{REGION}")
        end = command("runs", "end", run.run_id[:SHOWN])
        if ends_by is None:
            remedy = f"nothing ends it automatically; {end} does"
        elif ends_by < self.now:
            remedy = (
                f"it should have been ended {age(self.now - ends_by)} ago: do the daemon and the sensors run? {end} "
                "ends it"
            )
        else:
            remedy = f"it is ended automatically within {_within(ends_by - self.now)}, and its work is asked for again"
        return SilentRun(run.run_id, run.job, run.location, region or None, run.status, since, ends_by, remedy)

    def _ends_by(self, run: graphql.Run, since: datetime) -> datetime | None:
        # Our sensors check runs that had started, Dagster's monitoring all; each at its own interval.
        within: list[float] = []
        if run.status not in _NOT_UP:
            within.append(self.settings.stale_seconds + 2 * self.settings.sensor_seconds)
        name = {"CANCELING": "cancel_timeout_seconds"}.get(run.status, "start_timeout_seconds")
        limit = self.monitoring.get(name, 180)  # Dagster's default for both
        if self.monitoring and run.status != "STARTED" and limit > 0:
            within.append(limit + self.monitoring.get("poll_interval_seconds", 120))
        return since + timedelta(seconds=min(within)) if within else None


def _standstill(unfinished: graphql.Unfinished, silent: list[SilentRun], silence: _Silence) -> str | None:
    """Why the queue does not move; None where it moves."""
    now, patience = silence.now, max(silence.beats, _COMING_UP)
    holding = [run for run in unfinished.in_progress if run.status != "NOT_STARTED"]  # a slot each
    dead = [run for run in silent if run.status != "NOT_STARTED"]
    if unfinished.queued_since is None or now - unfinished.queued_since < patience or len(dead) < len(holding):
        return None
    waits = f"{counted(unfinished.queued, 'run')} in it, the first since {moment(unfinished.queued_since, now)}"
    if unfinished.slots is not None and len(dead) >= unfinished.slots > 0:
        return (
            f"the queue stands still: {waits}, and a run without a sign of life holds each slot ({unfinished.slots}): "
            f"{', '.join(run.run_id[:SHOWN] for run in dead)}; it moves when the first of them is ended"
        )
    if unfinished.daemon_beat is None or now - unfinished.daemon_beat > patience:
        beat = f"since {moment(unfinished.daemon_beat, now)}" if unfinished.daemon_beat else "at all"
        return (
            f"the queue stands still: {waits}, and Dagster's daemon, which starts them, gives no sign of life {beat}; "
            "restart it"
        )
    return None


def _within(span: timedelta) -> str:
    return age(span + timedelta(minutes=1))  # in whole minutes, upwards


def _monitoring(configuration: str | None) -> dict[str, Any]:
    """Dagster's run monitoring, by its instance's configuration; empty where it is off."""
    monitoring = (yaml.safe_load(configuration or "") or {}).get("run_monitoring") or {}
    return dict(monitoring) if monitoring.get("enabled") else {}
