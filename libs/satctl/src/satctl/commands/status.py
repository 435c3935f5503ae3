"""`satctl status` and `satctl audit`: how every region stands, and whether nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click
from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.models import Region, RegionDay
from satcommon.errors import RetryableError
from sqlalchemy import Connection, Row, func, select

from satctl.completion import region_names
from satctl.local.home_lock import dagster_url
from satctl.opening import opened
from satctl.output.tables import age, counted, print_json, print_table, progress, say, warn
from satctl.parameters import json_option, wide_option

if TYPE_CHECKING:
    from satcommon.audit.audit import Report
    from satcommon.environment import Environment
    from satcommon.views.region_status import Standing

    from satctl.dagster_api.stuck_runs import RunsReport

_PATIENCE_SECONDS = 5  # with Dagster, whose runs are not what is asked about first

region_option = click.option(
    "--region",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this region; repeatable.",
    shell_complete=region_names,
)


def regions_of(connection: Connection, names: Sequence[str]) -> Sequence[Row[tuple[Region]]]:
    """The named regions, or all."""
    return [registry.region(connection, name) for name in names] if names else registry.regions(connection)


@click.command()
@region_option
@click.option("--days", type=click.IntRange(min=0), default=5, show_default=True, help="Closed days to list.")
@wide_option
@json_option
def status(names: tuple[str, ...], days: int, wide: bool, as_json: bool) -> None:
    """Show what is closed, missed and waited for.

    "Source late" are days that are over and whose due scene is not there; "us late" are days that could be closed and
    are not. Deadlines are those of this process's settings; the daemon's and the runs' may be others. Of Dagster's
    runs, those without a sign of life are told, and a queue that does not move.

    \b
    Examples:
      satctl status
      satctl status --region A --days 30
      satctl status --json
    """
    from satcommon.views.region_status import standing

    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        found = [standing(connection, region, env.deadlines, days, now) for region in regions_of(connection, names)]
        runs = _runs(env, now)
    if as_json:
        print_json({"at": now, "settings_of_this_process": vars(env.deadlines), "regions": found, "runs": runs})
        return
    if not found:
        say("there are no regions; add one with `satctl regions add`, or the samples with `satctl regions seed`")
        return
    _print(found, now, wide=wide)
    _tell(runs, now)
    waits = env.deadlines
    say(
        f"deadlines by this process's settings: {waits.deadline_hours:g} h (SATFIELDS_DEADLINE_HOURS), "
        f"late scenes for {counted(waits.lateness_days, 'day')} (SATFIELDS_LATENESS_DAYS)"
    )


def _runs(env: Environment, now: datetime) -> RunsReport:
    """How Dagster's runs stand; where it is out of reach, that it is: the rest is the ledger's alone."""
    from satctl.dagster_api.stuck_runs import RunsReport, runs_report

    try:
        return runs_report(dagster_url(env.settings), env.engine, env.settings, now, _PATIENCE_SECONDS)
    except RetryableError as error:
        return RunsReport(unknown=str(error))


def _tell(runs: RunsReport, now: datetime) -> None:
    if runs.unknown:
        say(f"runs: nothing is known of them; {runs.unknown}")
        return
    say(f"runs: {runs.in_progress:,} in progress, {runs.queued:,} in the queue")
    if runs.standstill:
        warn(runs.standstill)
    for one in runs.silent:
        warn(one.told(now))


def _print(found: Sequence[Standing], now: datetime, *, wide: bool) -> None:
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
                sum(one.field_days for one in s.backlog),
                s.withdrawals,
                _days([one.day for one in s.source_late]),
                _days(s.us_late),
                f"{s.next_deadline.day}, {_moment(s.next_deadline.at, now)}" if s.next_deadline else None,
            )
            for s in found
        ],
        spare=("monitored", "to withdraw", "active", "next deadline", "fields"),
        wide=wide,
    )
    if any(s.backlog for s in found):
        print_table(
            ("region", "cause", "field-days", "wait for a scene", "failed", "first day", "last day", "oldest, age"),
            [
                (
                    s.region,
                    one.cause,
                    one.field_days,
                    one.waiting_for_scene,
                    one.failed,
                    one.first_day,
                    one.last_day,
                    age(timedelta(seconds=one.oldest_age_seconds)),
                )
                for s in found
                for one in s.backlog
            ],
            "missed",
            spare=("last day", "first day"),
            wide=wide,
        )
    if any(s.closed_days for s in found):
        print_table(
            ("region", "day", "due", "scene", "rows", "missed", "closed"),
            [
                (s.region, d.day, d.due, d.scene, d.rows, d.missed, _moment(d.closed_at, now))
                for s in found
                for d in s.closed_days
            ],
            "last closed days",
            spare=("due",),
            wide=wide,
        )
    for s in found:
        if s.active and s.never_asked:
            warn(
                f"region {s.region}: the source was never asked for {_days(s.never_asked)}; is ingest running? "
                "Closed ones are missed until it is asked. Open days before the allowed lateness are filled by "
                "`satctl runs launch history`."
            )
        if s.refused:
            warn(
                f"region {s.region}: {counted(len(s.refused), 'scene')} not taken, of "
                f"{_days(sorted({one.day for one in s.refused}))}; the first: {s.refused[0].reason}. Repair or remove "
                "what is refused, and its days are redone by themselves; until then none from the "
                "first of them on is final. `satctl status --json` lists all."
            )
        for failed in s.failed_days:
            warn(f"region {s.region}: {failed.day} failed {counted(failed.tries, 'time')}: {failed.error}")


def _days(days: Sequence[date]) -> str | None:
    """How many days, and which."""
    if not days:
        return None
    first, last = min(days), max(days)
    return f"{counted(len(days), 'day')}: {first}" if len(days) == 1 else f"{len(days):,} days: {first} to {last}"


def _moment(at: datetime, now: datetime) -> str:
    return f"in {age(at - now)}" if at > now else f"{age(now - at)} ago"


@click.command()
@region_option
@click.option("--deep", is_flag=True, help="Recompute every state from the stored observations, too.")
@click.option("--repair", "repairs", is_flag=True, help="Open what is lost as missed, for the next replay.")
@wide_option
@json_option
def audit(names: tuple[str, ...], deep: bool, repairs: bool, wide: bool, as_json: bool) -> None:
    """Check that no field-day is lost.

    Of each closed day, the fields that the registry expects must have a row with current inputs in the published
    object, or an open miss. Reads every published object. Exit code 1 where something is wrong.

    \b
    Examples:
      satctl audit
      satctl audit --region A --json
      satctl audit --deep
      satctl audit --repair
    """
    from satcommon.audit.audit import audit as audit_region
    from satcommon.audit.deep_audit import check_states
    from satcommon.audit.repair import repair

    found: list[Report] = []
    with opened() as env:
        store = env.store()
        with read_transaction(env.engine) as connection:
            regions = regions_of(connection, names)
            closed = (
                select(RegionDay.bbox_id, func.count().label("days"))
                .where(RegionDay.closed_at.is_not(None))
                .group_by(RegionDay.bbox_id)
            )
            days = {row.bbox_id: row.days for row in connection.execute(closed)}
        for region in regions:
            with progress(f"auditing {region.name}", total=days.get(region.bbox_id, 0)) as advance:
                found.append(audit_region(env.engine, store, region, advance))
            if deep:
                with progress(f"recomputing {region.name}", total=days.get(region.bbox_id, 0)) as advance:
                    check_states(env.engine, store, region, found[-1], advance)
            if repairs and not found[-1].clean:
                repair(env.engine, store, region.bbox_id, found[-1], datetime.now(UTC))
    clean = all(report.clean for report in found)
    if as_json:
        print_json({"clean": clean, "regions": [report.summary() for report in found]})
    else:
        _print_audit(found, wide=wide)
    if not clean:
        raise click.exceptions.Exit(1)


def _print_audit(found: Sequence[Report], *, wide: bool) -> None:
    if not found:
        say("there are no regions, so there is nothing to audit")
        return
    columns = (
        "region",
        "first day",
        "watermark",
        "expected =",
        "settled +",
        "missed",
        "to withdraw",
        "states redone",
        "problems",
    )
    print_table(
        columns,
        [
            (
                r.region,
                r.first_day,
                r.watermark,
                r.expected,
                r.settled,
                r.missed,
                r.withdrawn,
                r.states,
                r.problem_count,
            )
            for r in found
        ],
        spare=("states redone", "to withdraw", "first day"),
        wide=wide,
    )
    for report in found:
        if report.days_never_asked:
            days = counted(report.days_never_asked, "closed day")
            say(f"  {report.region}: the source was never asked for {days}; what is expected there is missed")
        if report.days_refused:
            days = counted(report.days_refused, "closed day")
            change = (
                f"; {counted(report.provisional, 'settled field-day')} of them may change" if report.provisional else ""
            )
            say(f"  {report.region}: of {days} a scene is there and was not taken{change}:")
            for day, items in report.refused.items():
                for why in items.values():
                    say(f"    {day}: {why}")
        for problem in report.problems:
            say(f"  {problem}")
        if report.problem_count > len(report.problems):
            say(f"  ... and {report.problem_count - len(report.problems):,} more of {report.region}")
    say("nothing is lost" if all(report.clean for report in found) else "NOT CLEAN: see the problems above")
