"""`satctl runs`: Dagster's runs, listed, launched and ended through its webserver."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import click
from satcommon.errors import InputError
from satcommon.messages import command

from satctl.completion import region_names
from satctl.dagster_api import graphql
from satctl.dagster_api.launches import how_it_ended, launch_of_backfill, launch_of_day, wait_until_ended
from satctl.opening import opened
from satctl.output.tables import print_json, print_table, say, warn
from satctl.parameters import DAY, json_option, url_option, wide_option

_FORMER_BACKFILL_JOB = "history"  # accepted for one release after it was renamed
STATUSES = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "SUCCESS", "FAILURE", "CANCELING", "CANCELED")


@click.group()
def runs() -> None:
    """List and launch Dagster runs."""


@runs.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(STATUSES, case_sensitive=False),
    metavar="STATUS",
    multiple=True,
    help=f"Only this status; repeatable: {', '.join(STATUSES)}.",
)
@url_option
@wide_option
@json_option
def list_runs(limit: int, statuses: tuple[str, ...], url: str, wide: bool, as_json: bool) -> None:
    """List the latest runs, each with the first part of its id, as on Dagster's pages.

    \b
    Examples:
      satctl runs list
      satctl runs list --status FAILURE --limit 5
      satctl runs list --json
    """
    latest = graphql.runs(url, limit, list(statuses))
    if as_json:
        print_json([_facts(run, url) for run in latest])
        return
    if not latest:
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
                run.tags.get("dagster/partition") or _progress(run),
                run.status,
                f"{run.created_at:%Y-%m-%d %H:%M:%S}" if run.created_at else None,
                run.seconds,
            )
            for run in latest
        ],
        spare=("location", "seconds"),
        wide=wide,
    )


def _progress(run: graphql.Run) -> str | None:
    """How far a batch has come; None of another run."""
    from satcommon.contract import PROGRESS_TAG

    come_to = run.tags.get(PROGRESS_TAG)
    return f"{come_to} regions" if come_to else None


def _facts(run: graphql.Run, url: str) -> dict[str, Any]:
    """A run for JSON, without Dagster's internal tags, some of which hold JSON text."""
    tags = {key: value for key, value in run.tags.items() if not key.startswith(".dagster/")}
    return {**vars(run), "tags": tags, "seconds": run.seconds, "url": _page(url, run.run_id)}


@runs.command()
@click.argument("job")
@click.option("--region", required=True, help="Name of the region.", shell_complete=region_names)
@click.option("--day", type=DAY, help="Day of the partition, for fetch_scenes and close_days.")
@click.option("--until", type=DAY, help="Last day, for backfill.")
@click.option("--wait", is_flag=True, help="Wait until it ends; exit code 1 if it failed.")
@url_option
@json_option
def launch(job: str, region: str, day: date | None, until: date | None, wait: bool, url: str, as_json: bool) -> None:
    """Launch a run of a region's job.

    \b
    JOB is one of
      fetch_scenes  asks the source for a day
      close_days    closes a day, and the open ones before it
      backfill      fetches and closes all days from the first open one on

    \b
    Examples:
      satctl runs launch fetch_scenes --region A --day 2026-05-01
      satctl runs launch close_days --region A --day 2026-05-01 --wait
      satctl runs launch backfill --region A --until 2026-05-31
    """
    from satcommon.contract import BACKFILL_JOB, CLOSE_JOB, FETCH_JOB

    if job == _FORMER_BACKFILL_JOB:
        warn(f"the job {job!r} is called {BACKFILL_JOB!r} now; its former name is accepted for one more release")
        job = BACKFILL_JOB
    if job not in (FETCH_JOB, CLOSE_JOB, BACKFILL_JOB):
        raise click.UsageError(
            f"there is no job {job!r} to launch; expected {FETCH_JOB}, {CLOSE_JOB} or {BACKFILL_JOB}"
        )
    now = datetime.now(UTC)
    with opened() as env:
        if job == BACKFILL_JOB:
            if until is None or day is not None:
                raise click.UsageError(f"{BACKFILL_JOB} takes --until DAY, its last day")
            wanted = launch_of_backfill(env, region, until, now)
        else:
            if day is None or until is not None:
                raise click.UsageError(f"{job} takes --day DAY")
            wanted = launch_of_day(env, job, region, day, now)
    run_id = graphql.launch(url, wanted.location, wanted.job, wanted.tags, wanted.config)
    page = _page(url, run_id)
    if not as_json:
        say(f"launched {job} for region {region}: {page}")
    run = wait_until_ended(url, run_id, job) if wait else None
    if as_json:
        print_json({"run_id": run_id, "url": page, "status": run.status if run else None})
    if run:
        ended = how_it_ended(run, page)
        if not as_json:
            say(ended)


@runs.command()
@click.argument("run")
@url_option
def end(run: str, url: str) -> None:
    """End a run, also one whose process is gone, by the first part of its id in `satctl runs list`.

    The sensors ask for its work again. A live process is asked to end; its run counts as cancelled immediately.

    \b
    Examples:
      satctl runs end 36db8b7c
    """
    unfinished = graphql.runs(url, 1000, [*graphql.IN_PROGRESS, "QUEUED"])
    matching = [candidate for candidate in unfinished if candidate.run_id.startswith(run)]
    if len(matching) != 1:
        trouble = "there is no such run that has not ended" if not matching else f"{len(matching)} runs begin with it"
        raise InputError(f"run {run!r}: {trouble}; expected the first part of an id of {command('runs', 'list')}")
    graphql.end(url, matching[0].run_id)
    say(f"ended {matching[0].job}, run {matching[0].run_id}")


def _page(url: str, run_id: str) -> str:
    return f"{graphql.public(url)}/runs/{run_id}"
