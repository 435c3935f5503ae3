"""Runs that give no sign of life, and a queue that stands still: by Dagster's records and the ledger's heartbeats.

After a power cut, runs stay STARTED, STARTING or CANCELING without a process. Each holds its lane and a slot until
a sensor of ours or Dagster's run monitoring ends it; what is told here is which they are, and until when that takes.
"""

from __future__ import annotations

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
_MISSED_BEATS = 3  # after so many, a run counts as silent; a busy SQLite keeps one or two waiting
_NOT_UP = ("NOT_STARTED", "STARTING")
_COMING_UP = timedelta(seconds=60)  # in which a run's process starts and beats for the first time, on a busy machine


@dataclass(frozen=True)
class SilentRun:
    """A run that is in progress by Dagster's records, and gives no sign of life.

    Args:
        run_id: whole.
        since: its last heartbeat, or else Dagster's last record of it.
        ends_by: when it should have been ended by itself; None where nothing does that.
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
        """The run in a sentence, with the remedy."""
        of = f" of region {self.region}" if self.region else ""
        return (
            f"run {self.run_id[:SHOWN]} ({self.job}{of}, {self.status}): no sign of life since "
            f"{moment(self.since, now)}; {self.remedy}"
        )

    def is_overdue(self, now: datetime) -> bool:
        """Whether what should have ended it did not."""
        return self.ends_by is None or self.ends_by < now


@dataclass(frozen=True)
class RunsReport:
    """How Dagster's runs stand.

    Args:
        unknown: why nothing is known of them; None where it is.
        slots: runs at a time; None without a limit.
        in_progress: how many are neither queued nor over.
        queued_since: of the run that waits longest.
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
    """How the runs stand, by Dagster at an address and the ledger's heartbeats.

    Raises:
        RetryableError: Dagster does not answer within so many seconds.
    """
    unfinished = graphql.unfinished(url, seconds)
    beats = heartbeats(engine, [run.run_id for run in unfinished.in_progress])
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
    """The rules by which a run counts as silent, and by which it is ended."""

    settings: Settings
    monitoring: dict[str, Any]  # Dagster's, empty where it is off
    now: datetime

    @property
    def beats(self) -> timedelta:
        """After which a missing heartbeat is told of."""
        return timedelta(seconds=min(_MISSED_BEATS * self.settings.heartbeat_seconds, self.settings.stale_seconds))

    def judge(self, run: graphql.Run, beat: datetime | None) -> SilentRun | None:
        """What is to be told of a run that is in progress; None where it lives, or is none of ours, which beat."""
        from satcommon.contract import LANE_TAG, LOCATIONS, REGION

        since = beat or run.updated_at or run.created_at or self.now
        patience = self.beats if beat else max(self.beats, _COMING_UP)
        if run.location not in (*LOCATIONS, None) or self.now - since < patience:
            return None
        ends_by = self._ends_by(run, since)
        region = run.tags.get(LANE_TAG, "").partition(":")[2] or run.tags.get(f"dagster/partition/{REGION}")
        end = command("runs", "end", run.run_id[:SHOWN])
        if ends_by is None:
            remedy = f"nothing ends it by itself; {end} does"
        elif ends_by < self.now:
            remedy = (
                f"it should have been ended {age(self.now - ends_by)} ago: do the daemon and the sensors run? {end} "
                "ends it"
            )
        else:
            remedy = f"it is ended by itself within {_within(ends_by - self.now)}, and its work asked for again"
        return SilentRun(run.run_id, run.job, run.location, region or None, run.status, since, ends_by, remedy)

    def _ends_by(self, run: graphql.Run, since: datetime) -> datetime | None:
        # Our sensors look at those that had begun, Dagster's monitoring at all; each at intervals of its own.
        within: list[float] = []
        if run.status not in _NOT_UP:
            within.append(self.settings.stale_seconds + 2 * self.settings.sensor_seconds)
        name = {"CANCELING": "cancel_timeout_seconds"}.get(run.status, "start_timeout_seconds")
        limit = self.monitoring.get(name, 180)  # Dagster's own default of both
        if self.monitoring and run.status != "STARTED" and limit > 0:
            within.append(limit + self.monitoring.get("poll_interval_seconds", 120))
        return since + timedelta(seconds=min(within)) if within else None


def _standstill(unfinished: graphql.Unfinished, silent: list[SilentRun], silence: _Silence) -> str | None:
    """Why the queue does not move; None where it does."""
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
            "start it anew"
        )
    return None


def _within(span: timedelta) -> str:
    return age(span + timedelta(minutes=1))  # in whole minutes, upwards


def _monitoring(configuration: str | None) -> dict[str, Any]:
    """Dagster's run monitoring, by its instance's configuration; empty where it is off."""
    monitoring = (yaml.safe_load(configuration or "") or {}).get("run_monitoring") or {}
    return dict(monitoring) if monitoring.get("enabled") else {}
