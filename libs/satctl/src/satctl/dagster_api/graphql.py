"""Dagster's GraphQL API, through the client library that dagster-graphql brings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from satcommon.errors import InputError, PermanentError, RetryableError

REPOSITORY = "__repository__"  # Dagster's name for the repository of a location's definitions
ANSWER_SECONDS = 20
LOADED, LOADING = "RepositoryLocation", "loading"  # states of a location; any other state is its error

_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
IN_PROGRESS = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING")  # statuses between the queue and the end

_LOCATIONS = """
query Locations {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name loadStatus
        locationOrLoadError { __typename ... on PythonError { message causes { message } } }
      }
    }
  }
}
"""

_RELOAD = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message causes { message } } }
    }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""

_RUN = """
runId jobName status creationTime updateTime startTime endTime
repositoryOrigin { repositoryLocationName }
tags { key value }
"""

_RUNS = f"""
query Runs($filter: RunsFilter, $limit: Int, $cursor: String) {{
  runsOrError(filter: $filter, limit: $limit, cursor: $cursor) {{
    __typename
    ... on Runs {{ results {{ {_RUN} }} }}
    ... on InvalidPipelineRunsFilterError {{ message }}
    ... on PythonError {{ message }}
  }}
}}
"""

_UNFINISHED = f"""
query Unfinished($progress: RunsFilter, $queued: RunsFilter) {{
  progress: runsOrError(filter: $progress, limit: 1000) {{ ... on Runs {{ results {{ {_RUN} }} }} }}
  queued: runsOrError(filter: $queued, limit: 1000) {{ ... on Runs {{ count results {{ creationTime }} }} }}
  instance {{
    info
    runQueueConfig {{ maxConcurrentRuns }}
    daemonHealth {{ daemonStatus(daemonType: "QUEUED_RUN_COORDINATOR") {{ lastHeartbeatTime }} }}
  }}
}}
"""

_END = """
mutation End($run: String!) {
  terminateRun(runId: $run, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) {
    __typename
    ... on TerminateRunFailure { message }
    ... on RunNotFoundError { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""

_DELETE = """
mutation Delete($run: String!) {
  deleteRun(runId: $run) {
    __typename
    ... on RunNotFoundError { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on RunConflict { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""


def execute(
    url: str, query: str, variables: dict[str, Any] | None = None, seconds: int = ANSWER_SECONDS
) -> dict[str, Any]:
    """Run a query against a webserver, which has so many seconds to answer.

    Args:
        url: of the webserver.
        query: in GraphQL.
        variables: of the query.
        seconds: to answer in.

    Raises:
        RetryableError: it does not answer.
    """
    from gql import Client, GraphQLRequest
    from gql.transport.exceptions import TransportError
    from gql.transport.requests import RequestsHTTPTransport
    from requests.exceptions import RequestException

    logging.getLogger("gql.transport.requests").setLevel(logging.WARNING)  # it logs each query and answer at INFO
    transport = RequestsHTTPTransport(f"{url.rstrip('/')}/graphql", timeout=seconds)
    try:
        return dict(Client(transport=transport).execute(GraphQLRequest(query, variable_values=variables)))
    except (RequestException, TransportError, OSError) as error:
        raise RetryableError(
            f"Dagster does not answer at {public(url)} ({type(error).__name__}); is it up (`make up`), and is "
            "SATFIELDS_DAGSTER_URL its address?"
        ) from error


def public(url: str) -> str:
    """A webserver's address without its user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def location_states(url: str) -> dict[str, str]:
    """The state of each code location: `LOADED`, `LOADING`, or the first line of its error.

    `loadStatus: LOADED` says only that loading ended; the type of `locationOrLoadError` says how.
    """
    states = {}
    for entry in execute(url, _LOCATIONS)["workspaceOrError"].get("locationEntries", []):
        loaded = entry["locationOrLoadError"]
        if entry["loadStatus"] != "LOADED" or loaded is None:
            states[entry["name"]] = LOADING
        else:
            states[entry["name"]] = LOADED if loaded["__typename"] == LOADED else _first_line(loaded)
    return states


def reload_location(url: str, name: str) -> None:
    """Reload a code location.

    Raises:
        InputError: there is no location of that name.
        PermanentError: it can't be loaded.
    """
    answer = execute(url, _RELOAD, {"name": name})["reloadRepositoryLocation"]
    if answer["__typename"] == "RepositoryLocationNotFound":
        known = ", ".join(location_states(url)) or "none"
        raise InputError(f"Dagster at {public(url)} has no code location {name!r} (known: {known})")
    loaded = answer.get("locationOrLoadError") or answer
    if loaded["__typename"] != LOADED:
        raise PermanentError(f"the code location {name!r} was not loaded: {_first_line(loaded)}")


@dataclass(frozen=True)
class Run:
    """A run as Dagster lists it."""

    run_id: str
    job: str
    location: str | None
    status: str
    created_at: datetime | None
    updated_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    tags: dict[str, str]

    @property
    def seconds(self) -> float | None:
        """How long it ran; None unless it has started and ended."""
        return (self.ended_at - self.started_at).total_seconds() if self.started_at and self.ended_at else None


def runs(url: str, limit: int, statuses: list[str] | None = None, run_ids: list[str] | None = None) -> list[Run]:
    """The latest runs, newest first.

    Args:
        url: of the webserver.
        limit: how many runs, at most.
        statuses: only runs with one of these; all where it is empty.
        run_ids: only these runs; all where it is empty.

    Raises:
        PermanentError: Dagster refused the query.
        RetryableError: it does not answer.
    """
    chosen = {name: value for name, value in (("statuses", statuses), ("runIds", run_ids)) if value}
    return _listed(url, chosen, limit)


def _listed(url: str, chosen: Mapping[str, Any], limit: int, cursor: str | None = None) -> list[Run]:
    answer = execute(url, _RUNS, {"filter": dict(chosen), "limit": limit, "cursor": cursor})["runsOrError"]
    if answer["__typename"] != "Runs":
        raise PermanentError(f"Dagster at {public(url)} lists no runs: {_first_line(answer)}")
    return [_run(run) for run in answer["results"]]


def _run(record: Mapping[str, Any]) -> Run:
    return Run(
        run_id=record["runId"],
        job=record["jobName"],
        location=(record["repositoryOrigin"] or {}).get("repositoryLocationName"),
        status=record["status"],
        created_at=_instant(record["creationTime"]),
        updated_at=_instant(record["updateTime"]),
        started_at=_instant(record["startTime"]),
        ended_at=_instant(record["endTime"]),
        tags={tag["key"]: tag["value"] for tag in record["tags"]},
    )


@dataclass(frozen=True)
class Unfinished:
    """The runs that have not ended, and the instance's limits.

    Args:
        in_progress: runs in one of the statuses `IN_PROGRESS`.
        queued: number of queued runs.
        queued_since: when the oldest queued run was created; of the newest thousand, where there are more.
        slots: how many runs may be in progress; None without a limit.
        daemon_beat: last heartbeat of the daemon that starts queued runs.
        configuration: Dagster's instance configuration, as YAML.
    """

    in_progress: list[Run]
    queued: int
    queued_since: datetime | None
    slots: int | None
    daemon_beat: datetime | None
    configuration: str | None


def unfinished(url: str, seconds: int = ANSWER_SECONDS) -> Unfinished:
    """The runs that have not ended, in one query.

    Raises:
        RetryableError: Dagster does not answer in that time.
    """
    variables = {"progress": {"statuses": list(IN_PROGRESS)}, "queued": {"statuses": ["QUEUED"]}}
    answer = execute(url, _UNFINISHED, variables, seconds)
    queued, instance = answer["queued"], answer["instance"]
    slots = (instance["runQueueConfig"] or {}).get("maxConcurrentRuns", -1)
    return Unfinished(
        in_progress=[_run(run) for run in answer["progress"]["results"]],
        queued=queued["count"],
        queued_since=_instant(min((run["creationTime"] for run in queued["results"]), default=None)),
        slots=slots if slots >= 0 else None,  # -1: no limit
        daemon_beat=_instant(instance["daemonHealth"]["daemonStatus"]["lastHeartbeatTime"]),
        configuration=instance["info"],
    )


def end(url: str, run_id: str) -> None:
    """Cancel a run, whether or not its process answers.

    Raises:
        PermanentError: Dagster refused it.
    """
    answer = execute(url, _END, {"run": run_id})["terminateRun"]
    if answer["__typename"] != "TerminateRunSuccess":
        raise PermanentError(f"Dagster at {public(url)} did not end run {run_id}: {_first_line(answer)}")


def ended_before(url: str, instant: datetime, limit: int, after: str | None = None) -> list[Run]:
    """Runs that ended before an instant and have not changed since, newest first.

    Args:
        url: of the webserver.
        instant: before which they ended.
        limit: how many, at most.
        after: the id of the run after which the list goes on.

    Raises:
        PermanentError: Dagster refused the query.
        RetryableError: it does not answer.
    """
    chosen = {"statuses": list(_ENDED), "updatedBefore": instant.timestamp()}
    return _listed(url, chosen, limit, after)


def delete(url: str, run_id: str) -> None:
    """Delete a run and its events; one that is gone already is no error.

    Raises:
        PermanentError: Dagster refused it.
    """
    answer = execute(url, _DELETE, {"run": run_id})["deleteRun"]
    if answer["__typename"] not in ("DeletePipelineRunSuccess", "RunNotFoundError"):
        raise PermanentError(f"Dagster at {public(url)} did not delete run {run_id}: {_first_line(answer)}")


def launch(url: str, location: str, job: str, tags: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """Launch a run of a job; returns the run's id.

    Args:
        url: of the webserver.
        location: the code location.
        job: name of the job.
        tags: of the run.
        config: of the run.

    Raises:
        PermanentError: Dagster refused it.
    """
    selector = {"repositoryLocationName": location, "repositoryName": REPOSITORY, "jobName": job}
    metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
    params = {"selector": selector, "mode": "default", "runConfigData": dict(config), "executionMetadata": metadata}
    answer = execute(url, _LAUNCH, {"params": params})["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise PermanentError(
            f"Dagster at {public(url)} did not launch {job!r} in location {location!r}: {_first_line(answer)}"
        )
    return str(answer["run"]["runId"])


def _first_line(answer: Mapping[str, Any]) -> str:
    """The first line of an error of Dagster's; of a Python error, the first line of its root cause."""
    causes = answer.get("causes") or answer.get("errors") or [answer]
    lines = (causes[-1].get("message") or "").strip().splitlines() or [str(answer["__typename"])]
    # The first line of a SyntaxError says where, the last line what is wrong.
    return f"{lines[-1].strip()} ({lines[0]})" if lines[0].startswith("File ") else lines[0]


def _instant(timestamp: float | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
