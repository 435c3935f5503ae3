"""`satctl status`: the state of every region, and Dagster's runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from satcommon.db.answers import Absence
from satcommon.db.engine import read_transaction
from satcommon.errors import RetryableError
from satcommon.messages import command, counted

from satctl.commands.webhooks import webhook_states
from satctl.local.home_lock import dagster_url
from satctl.opening import opened
from satctl.output.tables import age, print_json, print_table, say, warn
from satctl.parameters import json_option, region_option, regions_of, wide_option

if TYPE_CHECKING:
    from satcommon.db.deadlines import Deadlines
    from satcommon.environment import Environment
    from satcommon.views.region_status import ClosedDay, RegionStatus

    from satctl.dagster_api.stuck_runs import RunsReport

_PATIENCE_SECONDS = 5  # to wait for Dagster, whose runs are the smaller part of the answer


@click.command()
@region_option
@click.option("--days", type=click.IntRange(min=0), default=5, show_default=True, help="Closed days to list.")
@click.option(
    "--watch",
    type=click.FloatRange(min=1),
    is_flag=False,
    flag_value=10.0,
    metavar="[SECONDS]",
    help="Show it again and again, every 10 seconds or so many, until Ctrl-C.",
)
@wide_option
@json_option
def status(names: tuple[str, ...], days: int, watch: float | None, wide: bool, as_json: bool) -> None:
    """Show what is closed, what is missed, and what each region waits for.

    "Source late" days are over, and their due scene has not come; "us late" days could be closed, and are not. On "not
    planned" days a satellite passes over, and the acquisition plan has no datatake (within the lateness); the due scene
    of "lost upstream" days did not come within the allowed lateness.
    Deadlines follow this process's settings; those of the daemon and the runs may differ. Also lists Dagster's runs
    that give no sign of life, and warns of a queue that does not move, and of webhooks that fail or are dead.

    \b
    Examples:
      satctl status
      satctl status --region A --days 30
      satctl status --watch 30 --days 1
      satctl status --json
    """
    if watch is None:
        _read(names, days).show(wide=wide, as_json=as_json)
        return
    if as_json:
        raise click.UsageError("--watch shows tables; use --json without it, again and again")
    try:
        while True:
            found: _Seen | RetryableError
            try:
                found = _read(names, days)
            except RetryableError as error:  # it may be back at the next look
                found = error
            click.clear()
            say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, every {watch:g} s; Ctrl-C ends it")
            if isinstance(found, RetryableError):
                warn(str(found))
            else:
                found.show(wide=wide, as_json=False)
            time.sleep(watch)
    except KeyboardInterrupt:
        say("ended")


def _read(names: tuple[str, ...], days: int) -> _Seen:
    """The state of regions and runs now."""
    from satcommon.views.region_status import region_status

    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        statuses = [
            region_status(connection, region, env.deadlines, days, now) for region in regions_of(connection, names)
        ]
        return _Seen(now, env.deadlines, statuses, _runs(env, now), webhook_states(connection))


@dataclass(frozen=True)
class _Seen:
    """The state of regions and runs at an instant."""

    now: datetime
    waits: Deadlines
    statuses: Sequence[RegionStatus]
    runs: RunsReport
    webhooks: Sequence[dict[str, Any]]

    def show(self, *, wide: bool, as_json: bool) -> None:
        """Print it."""
        if as_json:
            settings = vars(self.waits)
            regions = {"regions": self.statuses, "runs": self.runs, "webhooks": self.webhooks}
            print_json({"at": self.now, "settings_of_this_process": settings, **regions})
            return
        if not self.statuses:
            say("there are no regions; add one with `satctl regions add`, or the samples with `satctl regions seed`")
            return
        _print(self.statuses, self.now, wide=wide)
        _print_runs(self.runs, self.now)
        _warn_of_webhooks(self.webhooks, self.now)
        say(
            f"deadlines by this process's settings: {self.waits.deadline_hours:g} h (SATFIELDS_DEADLINE_HOURS), "
            f"late scenes for {counted(self.waits.lateness_days, 'day')} (SATFIELDS_LATENESS_DAYS)"
        )


def _runs(env: Environment, now: datetime) -> RunsReport:
    """Dagster's runs; or why they are unknown, since the rest of the status needs only the ledger."""
    from satctl.dagster_api.stuck_runs import RunsReport, runs_report

    try:
        return runs_report(dagster_url(env.settings), env.engine, env.settings, now, _PATIENCE_SECONDS)
    except RetryableError as error:
        return RunsReport(unknown=str(error))


def _print_runs(runs: RunsReport, now: datetime) -> None:
    if runs.unknown:
        say(f"runs: unknown; {runs.unknown}")
        return
    say(f"runs: {runs.in_progress:,} in progress, {runs.queued:,} in the queue")
    if runs.standstill:
        warn(runs.standstill)
    for run in runs.silent:
        warn(run.described(now))


def _print(statuses: Sequence[RegionStatus], now: datetime, *, wide: bool) -> None:
    _print_regions(statuses, now, wide=wide)
    if any(s.backlog for s in statuses):
        _print_missed(statuses, wide=wide)
    _print_absent(statuses)
    if any(s.closed_days for s in statuses):
        _print_closed_days(statuses, now, wide=wide)
    for s in statuses:
        _warn_of(s)


def _print_regions(statuses: Sequence[RegionStatus], now: datetime, *, wide: bool) -> None:
    columns = (
        "region",
        "active",
        "monitored",
        "watermark",
        "final through",
        "lag, days",
        "fields",
        "missed field-days",
    )
    print_table(
        (*columns, "to withdraw", "source late", "us late", "next deadline"),
        [
            (
                s.region,
                s.active,
                f"{s.monitored_from}..{s.monitored_until or ''}",
                s.watermark,
                s.final_through,
                s.lag_days,
                s.expected_fields,
                sum(part.field_days for part in s.backlog),
                s.withdrawals,
                _days([late.day for late in s.source_late]),
                _days(s.us_late),
                f"{s.next_deadline.day}, {_moment(s.next_deadline.at, now)}" if s.next_deadline else None,
            )
            for s in statuses
        ],
        spare=("monitored", "to withdraw", "active", "next deadline", "fields"),
        wide=wide,
    )


def _print_absent(statuses: Sequence[RegionStatus]) -> None:
    rows = [
        (s.region, why.words, _days(days))
        for s in statuses
        for why, days in ((Absence.NOT_PLANNED, s.not_planned), (Absence.LOST_UPSTREAM, s.lost_upstream))
        if days
    ]
    if rows:
        print_table(("region", "why", "days"), rows, "no imagery")


def _scene(day: ClosedDay) -> str:
    """Whether a day has a scene, and why not."""
    return "yes" if day.scene else day.absence.words if day.absence else "no"


def _print_missed(statuses: Sequence[RegionStatus], *, wide: bool) -> None:
    print_table(
        ("region", "cause", "field-days", "wait for a scene", "failed", "first day", "last day", "oldest, age"),
        [
            (
                s.region,
                part.cause,
                part.field_days,
                part.waiting_for_scene,
                part.failed,
                part.first_day,
                part.last_day,
                age(timedelta(seconds=part.oldest_age_seconds)),
            )
            for s in statuses
            for part in s.backlog
        ],
        "missed",
        spare=("last day", "first day"),
        wide=wide,
    )


def _print_closed_days(statuses: Sequence[RegionStatus], now: datetime, *, wide: bool) -> None:
    print_table(
        ("region", "day", "due", "scene", "rows", "missed", "closed"),
        [
            (s.region, d.day, d.due.words, _scene(d), d.rows, d.missed, _moment(d.closed_at, now))
            for s in statuses
            for d in s.closed_days
        ],
        "last closed days",
        spare=("due",),
        wide=wide,
    )


def _warn_of(status: RegionStatus) -> None:
    """Warn of days never asked for, refused scenes, and days that failed."""
    if status.active and status.never_asked:
        warn(
            f"region {status.region}: the source was never asked for {_days(status.never_asked)}; is ingest running? "
            "Closed ones stay missed until then. `satctl runs launch backfill` fills open days before the "
            "allowed lateness."
        )
    if status.refused:
        days = _days(sorted({refusal.day for refusal in status.refused}))
        warn(
            f"region {status.region}: {counted(len(status.refused), 'scene')} refused, of {days}; the first: "
            f"{status.refused[0].reason}. Repair or remove what is refused, and its days are recomputed automatically; "
            "until then no day from the first of them on is final. `satctl scenes quarantine` lists all."
        )
    for failed in status.failed_days:
        warn(f"region {status.region}: {failed.day} failed {counted(failed.tries, 'time')}: {failed.error}")


def _warn_of_webhooks(hooks: Sequence[dict[str, Any]], now: datetime) -> None:
    for hook in hooks:
        if hook["state"] == "dead":
            warn(
                f"webhook {hook['name']} is dead: given up {_moment(hook['dead_since'], now)} for "
                f"{counted(len(hook['dead_regions']), 'region')}: {hook['error']}. Mend the receiver, then "
                f"{command('webhooks', 'resume', hook['name'])}"
            )
        elif hook["state"] == "failing":
            warn(
                f"webhook {hook['name']} has been failing: first {_moment(hook['failing_since'], now)}: {hook['error']}"
            )


def _days(days: Sequence[date]) -> str | None:
    """How many days, and which."""
    if not days:
        return None
    first, last = min(days), max(days)
    return f"{counted(len(days), 'day')}: {first}" if len(days) == 1 else f"{len(days):,} days: {first} to {last}"


def _moment(at: datetime, now: datetime) -> str:
    return f"in {age(at - now)}" if at > now else f"{age(now - at)} ago"
