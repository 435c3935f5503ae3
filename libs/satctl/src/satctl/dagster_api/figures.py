"""Figures of Dagster for those who watch it: runs by job, locations, daemons, ticks. Each is one query of GraphQL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from satcommon import contract
from satcommon.db.heartbeat import heartbeats
from satcommon.settings import Settings
from satcommon.telemetry.metrics import Sample
from sqlalchemy import Engine

from satctl.dagster_api import graphql
from satctl.dagster_api.stuck_runs import runs_report_of

BY_HAND = "__ASSET_JOB"  # the job of materializations that somebody asks for in the UI
JOBS = (*contract.JOBS, BY_HAND)
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_DAY_SECONDS = 86400.0
_TICKS = "ticks(limit: 2) { timestamp status }"  # the last one may be under way

_DAGSTER = f"""
query Figures {{
  workspaceOrError {{
    ... on Workspace {{
      locationEntries {{ name loadStatus locationOrLoadError {{
        __typename
        ... on RepositoryLocation {{ repositories {{
          sensors {{ name minIntervalSeconds sensorState {{ status {_TICKS} }} }}
          schedules {{ name futureTicks(limit: 2) {{ results {{ timestamp }} }} scheduleState {{ status {_TICKS} }} }}
        }} }}
      }} }}
    }}
  }}
  instance {{ daemonHealth {{ allDaemonStatuses {{ daemonType required healthy lastHeartbeatTime }} }} }}
}}
"""


def _ended_query() -> str:
    """The number of runs that ended lately, by job and status, and the last of each job."""
    parts = []
    for number, _ in enumerate(JOBS):
        job = f"pipelineName: $job{number}"
        parts += [
            f"n{number}_{status}: runsOrError(filter: {{{job}, statuses: [{status}], updatedAfter: $since}}, limit: 1)"
            " { ... on Runs { count } }"
            for status in ENDED
        ]
        parts.append(
            f"last{number}: runsOrError(filter: {{{job}, statuses: [{', '.join(ENDED)}]}}, limit: 1)"
            " { ... on Runs { results { creationTime startTime endTime } } }"
        )
    variables = ", ".join(f"$job{number}: String" for number, _ in enumerate(JOBS))
    return f"query Ended($since: Float, {variables}) {{ {' '.join(parts)} }}"


def dagster_samples(url: str, seconds: int) -> Iterator[Sample]:
    """The samples of the collector `dagster`.

    Raises:
        RetryableError: Dagster does not answer in that time.
    """
    answer, now = graphql.execute(url, _DAGSTER, seconds=seconds), time.time()
    for entry in answer["workspaceOrError"].get("locationEntries", []):
        loaded = entry["locationOrLoadError"] or {"__typename": graphql.LOADING}
        is_loaded = entry["loadStatus"] == "LOADED" and loaded["__typename"] == graphql.LOADED
        yield Sample("satfields_location_loaded", (entry["name"],), float(is_loaded))
        for repository in loaded.get("repositories", []):
            yield from _instigators(entry["name"], repository, now)
    for daemon in answer["instance"]["daemonHealth"]["allDaemonStatuses"]:
        name, beat = (daemon["daemonType"].lower(),), daemon["lastHeartbeatTime"]
        if daemon["required"]:
            yield Sample("satfields_daemon_healthy", name, float(bool(daemon["healthy"])))
        if daemon["required"] and beat is not None:
            yield Sample("satfields_daemon_heartbeat_age_seconds", name, max(0.0, now - beat))


def _instigators(location: str, repository: Mapping[str, Any], now: float) -> Iterator[Sample]:
    for sensor in repository["sensors"]:
        interval = float(sensor["minIntervalSeconds"])
        yield from _ticks((location, "sensor", sensor["name"]), sensor["sensorState"], interval, now)
    for schedule in repository["schedules"]:
        coming = [tick["timestamp"] for tick in schedule["futureTicks"]["results"]]
        interval = coming[1] - coming[0] if len(coming) > 1 else 0.0
        yield from _ticks((location, "schedule", schedule["name"]), schedule["scheduleState"], interval, now)


def _ticks(labels: tuple[str, ...], state: Mapping[str, Any], interval: float, now: float) -> Iterator[Sample]:
    yield Sample("satfields_instigator_running", labels, float(state["status"] == "RUNNING"))
    yield Sample("satfields_tick_interval_seconds", labels, interval)
    ticks = state["ticks"]
    if ticks:
        yield Sample("satfields_tick_age_seconds", labels, max(0.0, now - ticks[0]["timestamp"]))
    ended = [tick["status"] for tick in ticks if tick["status"] != "STARTED"]
    if ended:
        yield Sample("satfields_tick_failed", labels, float(ended[0] == "FAILURE"))


def run_samples(url: str, engine: Engine, chosen: Settings, now: datetime, seconds: int) -> Iterator[Sample]:
    """The samples of the collector `runs`.

    Args:
        url: of Dagster's webserver.
        engine: of the ledger, whose heartbeats tell which runs are alive.
        chosen: the settings.
        now: the present.
        seconds: for each of two queries.

    Raises:
        RetryableError: Dagster does not answer in that time.
    """
    unfinished = graphql.unfinished(url, seconds)
    beats = heartbeats(engine, [run.run_id for run in unfinished.in_progress])
    report = runs_report_of(unfinished, beats, chosen, now)
    yield Sample("satfields_runs_queued", (), float(report.queued))
    yield Sample("satfields_runs_queue_age_seconds", (), _age(report.queued_since, now))
    if report.slots is not None:
        yield Sample("satfields_runs_limit", (), float(report.slots))
    yield Sample("satfields_runs_silent", (), float(len(report.silent)))
    yield Sample("satfields_run_heartbeat_age_seconds", (), _age(min(beats.values(), default=None), now))
    for job in JOBS:
        of_job = [run for run in unfinished.in_progress if run.job == job]
        for status in graphql.IN_PROGRESS:
            yield Sample("satfields_runs", (job, status.lower()), float(sum(r.status == status for r in of_job)))
        started = min((run.started_at for run in of_job if run.started_at), default=None)
        yield Sample("satfields_run_age_seconds", (job,), _age(started, now))
    variables = {"since": now.timestamp() - _DAY_SECONDS} | {f"job{i}": job for i, job in enumerate(JOBS)}
    answer = graphql.execute(url, _ended_query(), variables, seconds)
    for i, job in enumerate(JOBS):
        for status in ENDED:
            yield Sample("satfields_runs_ended", (job, status.lower()), float(answer[f"n{i}_{status}"]["count"]))
        for run in answer[f"last{i}"]["results"]:
            if run["startTime"] is not None and run["endTime"] is not None:
                yield Sample("satfields_run_last_duration_seconds", (job,), run["endTime"] - run["startTime"])
                yield Sample("satfields_run_last_wait_seconds", (job,), run["startTime"] - run["creationTime"])


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
