"""`satctl audit`: the check that nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from satcommon.db.engine import read_transaction
from satcommon.db.models import RegionDay
from satcommon.errors import RetryableError, SettingError
from satcommon.messages import counted
from sqlalchemy import func, select

from satctl.opening import opened
from satctl.output.tables import print_json, print_table, progress, say, warn
from satctl.parameters import json_option, region_option, regions_of, wide_option

if TYPE_CHECKING:
    from satcommon.audit.audit import Report
    from sqlalchemy import Engine


@click.command()
@region_option
@click.option("--deep", is_flag=True, help="Also recompute every state from the stored observations.")
@click.option("--repair", "repairs", is_flag=True, help="Record what is lost as missed, for the next replay.")
@wide_option
@json_option
def audit(names: tuple[str, ...], deep: bool, repairs: bool, wide: bool, as_json: bool) -> None:
    """Check that no field-day is lost.

    On each closed day, every field that the registry expects must have a published row with current inputs, or an
    open miss. Reads the rows of every day, and looks for every object of the publication log. Exit code 1
    if something is wrong.

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

    reports: list[Report] = []
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
                reports.append(audit_region(env.engine, store, region, advance))
            if deep:
                with progress(f"recomputing {region.name}", total=days.get(region.bbox_id, 0)) as advance:
                    check_states(env.engine, store, region, reports[-1], advance)
            _keep(env.engine, region.bbox_id, reports[-1], deep=deep)
            if repairs and not reports[-1].clean:
                repair(env.engine, region.bbox_id, reports[-1], datetime.now(UTC))
    clean = all(report.clean for report in reports)
    if as_json:
        print_json({"clean": clean, "regions": [report.summary() for report in reports]})
    else:
        _print_audit(reports, wide=wide)
    if not clean:
        raise click.exceptions.Exit(1)


def _keep(engine: Engine, bbox_id: int, report: Report, *, deep: bool) -> None:
    """Keep the outcome for `satctl metrics`; who may only read the database can audit it all the same."""
    from satcommon.audit.record import record

    try:
        record(engine, bbox_id, report, datetime.now(UTC), deep=deep)
    except (RetryableError, SettingError) as error:
        warn(f"the outcome is not kept for `satctl metrics`: {error}")


def _print_audit(reports: Sequence[Report], *, wide: bool) -> None:
    if not reports:
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
            for r in reports
        ],
        spare=("states redone", "to withdraw", "first day"),
        wide=wide,
    )
    for report in reports:
        if report.days_never_asked:
            days = counted(report.days_never_asked, "closed day")
            say(f"  {report.region}: the source was never asked for {days}; what is expected there is missed")
        if report.days_refused:
            days = counted(report.days_refused, "closed day")
            change = (
                f"; {counted(report.provisional, 'settled field-day')} of them may change" if report.provisional else ""
            )
            say(f"  {report.region}: of {days} a scene was refused{change}:")
            for day, items in report.refused.items():
                for why in items.values():
                    say(f"    {day}: {why}")
        for problem in report.problems:
            say(f"  {problem}")
        if report.problem_count > len(report.problems):
            say(f"  ... and {report.problem_count - len(report.problems):,} more of {report.region}")
    say("nothing is lost" if all(report.clean for report in reports) else "NOT CLEAN: see the problems above")
