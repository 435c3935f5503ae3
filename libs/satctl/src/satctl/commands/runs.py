"""`satctl locations` and `satctl runs`: what Dagster has loaded and runs, through its webserver."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction
from satcommon.errors import InputError, PermanentError
from satcommon.settings import settings

from satctl.completion import region_names
from satctl.dagster_api import graphql
from satctl.local.home_lock import dagster_url
from satctl.opening import opened
from satctl.output.tables import command, print_json, print_table, progress, say, warn
from satctl.parameters import DAY, json_option, wide_option

if TYPE_CHECKING:
    from satcommon.environment import Environment

POLL_SECONDS = 1.0  # between two looks at a run that is waited for
QUEUED_SECONDS = 60.0  # after which a queued run that is waited for is remarked upon
STATUSES = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "SUCCESS", "FAILURE", "CANCELING", "CANCELED")
_QUEUED, _SUCCESS, _ENDED = "QUEUED", "SUCCESS", ("SUCCESS", "FAILURE", "CANCELED")


def _checked_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    url = value or dagster_url(settings())
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        named = "--url" if value else "SATFIELDS_DAGSTER_URL"
        raise InputError(
            f"{named}={graphql.public(url)!r}: expected the address of Dagster's webserver, as http://localhost:3002"
        )
    return url.rstrip("/")


url_option = click.option(
    "--url",
    callback=_checked_url,
    help="Address of Dagster's webserver.  [default: SATFIELDS_DAGSTER_URL, else of `satctl up` on the home]",
)


# --- locations -----------------------------------------------------------------------------------------------------


@click.group()
def locations() -> None:
    """List and reload Dagster's code locations."""


@locations.command(name="list")
@url_option
@json_option
def list_locations(url: str, as_json: bool) -> None:
    """List the code locations.

    Exit code 1 where one is broken.

    \b
    Examples:
      satctl locations list
      satctl locations list --url https://dagster.example.org --json
    """
    states = graphql.location_states(url)
    words = {graphql.LOADED: "loaded", graphql.LOADING: "loading"}
    found = [
        {"name": name, "state": words.get(state, "broken"), "error": None if state in words else state}
        for name, state in sorted(states.items())
    ]
    if as_json:
        print_json(found)
    elif found:
        print_table(("location", "state", "error"), [tuple(one.values()) for one in found])
    else:
        say(f"Dagster at {graphql.public(url)} has no code locations")
    if any(one["state"] == "broken" for one in found):
        raise click.exceptions.Exit(1)


@locations.command()
@click.argument("name")
@url_option
def reload(name: str, url: str) -> None:
    """Load a code location anew.

    \b
    Examples:
      satctl locations reload realtime
    """
    with progress(f"reloading {name}"):
        graphql.reload_location(url, name)
    say(f"reloaded {name}")


# --- runs ----------------------------------------------------------------------------------------------------------


@click.group()
def runs() -> None:
    """List and launch Dagster runs."""


@runs.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The newest so many.")
@click.option("--status", "statuses", type=click.Choice(STATUSES, case_sensitive=False), multiple=True)
@url_option
@wide_option
@json_option
def list_runs(limit: int, statuses: tuple[str, ...], url: str, wide: bool, as_json: bool) -> None:
    """List the latest runs, each by the first part of its id, as Dagster's pages do.

    \b
    Examples:
      satctl runs list
      satctl runs list --status FAILURE --limit 5
      satctl runs list --json
    """
    found = graphql.runs(url, limit, list(statuses))
    if as_json:
        print_json([_facts(run, url) for run in found])
        return
    if not found:
        say("there are no such runs")
        return
    columns = ("run", "job", "location", "partition", "status", "created, UTC", "seconds")
    print_table(
        columns,
        [
            (
                run.run_id if wide else run.run_id[:8],
                run.job,
                run.location,
                run.tags.get("dagster/partition"),
                run.status,
                f"{run.created_at:%Y-%m-%d %H:%M:%S}" if run.created_at else None,
                run.seconds,
            )
            for run in found
        ],
        spare=("location", "seconds"),
        wide=wide,
    )


def _facts(run: graphql.Run, url: str) -> dict[str, Any]:
    """A run as JSON has it; without the tags that Dagster keeps for itself, some of which are JSON of its own."""
    tags = {key: value for key, value in run.tags.items() if not key.startswith(".dagster/")}
    return {**vars(run), "tags": tags, "seconds": run.seconds, "url": _page(url, run.run_id)}


@dataclass(frozen=True)
class Launch:
    """A run to be launched."""

    location: str
    job: str
    tags: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)


@runs.command()
@click.argument("job")
@click.option("--region", required=True, help="Name of the region.", shell_complete=region_names)
@click.option("--day", type=DAY, help="Day of the partition, for fetch_scenes and close_days.")
@click.option("--until", type=DAY, help="Last day, for history.")
@click.option("--wait", is_flag=True, help="Wait until it ends; exit code 1 where it failed.")
@url_option
@json_option
def launch(job: str, region: str, day: date | None, until: date | None, wait: bool, url: str, as_json: bool) -> None:
    """Launch a run of a region's job.

    \b
    JOB is one of
      fetch_scenes  asks the source for a day
      close_days    closes a day, and the open ones before it
      history       fetches and closes every day from the first open one on, in one run

    \b
    Examples:
      satctl runs launch fetch_scenes --region A --day 2026-05-01
      satctl runs launch close_days --region A --day 2026-05-01 --wait
      satctl runs launch history --region A --until 2026-05-31
    """
    from satcommon.contract import CLOSE_JOB, FETCH_JOB, HISTORY_JOB

    if job not in (FETCH_JOB, CLOSE_JOB, HISTORY_JOB):
        raise click.UsageError(f"there is no job {job!r} to launch; expected {FETCH_JOB}, {CLOSE_JOB} or {HISTORY_JOB}")
    now = datetime.now(UTC)
    with opened() as env:
        if job == HISTORY_JOB:
            if until is None or day is not None:
                raise click.UsageError(f"{HISTORY_JOB} takes --until DAY, its last day")
            wanted = _history(env, region, until, now)
        else:
            if day is None or until is not None:
                raise click.UsageError(f"{job} takes --day DAY")
            wanted = _of_day(env, job, region, day, now)
    run_id = graphql.launch(url, wanted.location, wanted.job, wanted.tags, wanted.config)
    page = _page(url, run_id)
    if not as_json:
        say(f"launched {job} for region {region}: {page}")
    run = _ended(url, run_id, job) if wait else None
    if as_json:
        print_json({"run_id": run_id, "url": page, "status": run.status if run else None})
    if run and run.status != _SUCCESS:
        raise PermanentError(f"the run ended as {run.status}; {page} tells why")
    if run and not as_json:
        say(f"it ended as {run.status}" + (f" after {run.seconds:.0f} s" if run.seconds is not None else ""))


@runs.command()
@click.argument("run")
@url_option
def end(run: str, url: str) -> None:
    """End a run that `satctl runs list` shows, by the first part of its id: one whose process is gone, too.

    Its work is asked for again. A living process is asked to end, and its run counts as cancelled at once.

    \b
    Examples:
      satctl runs end 36db8b7c
    """
    found = graphql.runs(url, 1000, [*graphql.IN_PROGRESS, _QUEUED])
    matching = [one for one in found if one.run_id.startswith(run)]
    if len(matching) != 1:
        trouble = "there is no such run that has not ended" if not matching else f"{len(matching)} runs begin so"
        raise InputError(f"run {run!r}: {trouble}; expected the first part of an id of {command('runs', 'list')}")
    graphql.end(url, matching[0].run_id)
    say(f"ended {matching[0].job}, run {matching[0].run_id}")


def _of_day(env: Environment, job: str, region: str, day: date, now: datetime) -> Launch:
    """A run of one region's day; Dagster takes a partition that is not there, and fails later."""
    from satcommon import contract

    with read_transaction(env.engine) as connection:
        found = registry.region(connection, region)
    if day >= now.date():
        raise InputError(f"--day {day}: the day is not over; Dagster's last partition is yesterday's, in UTC")
    if not contract.in_window(day, now):
        history = command("runs", "launch", contract.HISTORY_JOB, "--region", region, "--until", "DAY")
        raise InputError(
            f"--day {day}: Dagster's window begins on {contract.FIRST_PARTITION} (SATFIELDS_PARTITIONS_DAYS); "
            f"older days are history's: {history}"
        )
    if not found.monitored_from <= day <= (found.monitored_until or date.max):
        raise InputError(
            f"--day {day}: region {region!r} is monitored from {found.monitored_from} to "
            f"{found.monitored_until or 'further notice'}"
        )
    if not found.active:
        warn(f"region {region!r} is paused; {command('regions', 'activate', region)} resumes it")
    location, kind = {contract.FETCH_JOB: ("ingest", "ingest"), contract.CLOSE_JOB: ("realtime", "realtime")}[job]
    partition = {
        "dagster/partition": str(contract.partition(region, day)),
        f"dagster/partition/{contract.DATE}": day.isoformat(),
        f"dagster/partition/{contract.REGION}": region,
    }
    return Launch(location, job, partition | contract.lane(kind, region))


def _history(env: Environment, region: str, until: date, now: datetime) -> Launch:
    from satcommon import contract

    with read_transaction(env.engine) as connection:
        found = registry.region(connection, region)
        first = ledger.next_day(connection, found)
    if until >= now.date():
        raise InputError(f"--until {until}: the day is not over; expected a day before today, {now.date()} UTC")
    if until < first:
        raise InputError(f"--until {until}: the first open day of region {region!r} is {first}; there is nothing to do")
    if first < contract.FIRST_PARTITION:
        warn(
            f"days before {contract.FIRST_PARTITION} (SATFIELDS_PARTITIONS_DAYS) are closed and can be exported, "
            "but Dagster's window does not show them"
        )
    config = contract.history_config(region, until)
    return Launch("realtime", contract.HISTORY_JOB, contract.lane("history", region), config)


def _ended(url: str, run_id: str, job: str) -> graphql.Run:
    """The run, once it has ended. Who interrupts the waiting does not end the run."""
    remark_at = time.monotonic() + QUEUED_SECONDS
    with progress(f"waiting for {job}"):
        while True:
            found = graphql.runs(url, 1, run_ids=[run_id])
            if not found:
                raise PermanentError(f"run {run_id} is gone from Dagster: somebody deleted it")
            if found[0].status in _ENDED:
                return found[0]
            if found[0].status == _QUEUED and time.monotonic() > remark_at:
                warn("the run is still queued: another run of its lane is under way, or Dagster's daemon is not")
                remark_at = float("inf")
            time.sleep(POLL_SECONDS)


def _page(url: str, run_id: str) -> str:
    return f"{graphql.public(url)}/runs/{run_id}"
