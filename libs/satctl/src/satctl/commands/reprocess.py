"""`satctl reprocess`: draining a region's backlog."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click
from satcommon.db import fields as field_registry
from satcommon.db import ledger, missed_days, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.errors import InputError
from satcommon.messages import counted

from satctl.completion import field_ids, region_names
from satctl.dagster_api import graphql
from satctl.dagster_api.launches import how_it_ended, wait_until_ended
from satctl.opening import opened
from satctl.output.replay_plans import print_plans
from satctl.output.tables import say
from satctl.parameters import DAY, url_option


@click.command()
@click.argument("region", shell_complete=region_names)
@click.option(
    "--field",
    "external_ids",
    multiple=True,
    metavar="ID",
    help="Only this field's failures; repeatable.",
    shell_complete=field_ids,
)
@click.option("--from", "first", type=DAY, help="First day of the failures to retry.")
@click.option("--to", "last", type=DAY, help="Last day of the failures to retry.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option("--wait", is_flag=True, help="Wait until the run ends; exit code 1 if it failed.")
@url_option
def reprocess(
    region: str,
    external_ids: tuple[str, ...],
    first: date | None,
    last: date | None,
    dry_run: bool,
    wait: bool,
    url: str,
) -> None:
    """Drain a region's backlog now, in a Dagster run, and retry what failed for good.

    Field-days that failed three times wait for a new field revision, scene or version. This command retries them: all
    of the region, or those of some fields and days.

    \b
    Examples:
      satctl reprocess A --dry-run
      satctl reprocess A --wait
      satctl reprocess A --field north-forty --from 2026-05-01 --to 2026-05-31
    """
    from satcommon.contract import REGION, REPLAY_JOB, lane
    from satcommon.pipeline.backlog import plan as plan_region

    now = datetime.now(UTC)
    with opened() as env:
        with read_transaction(env.engine) as connection:
            bbox_id = registry.region(connection, region).bbox_id
            ids = [field_registry.field(connection, external_id).field_id for external_id in external_ids] or None
            planned = plan_region(connection, bbox_id, env.deadlines, now)
        if first and last and last < first:
            raise InputError(f"--to {last} is before --from {first}")
        print_plans([planned], wide=False)
        if dry_run:
            return
        with write_transaction(env.engine) as connection:
            ledger.lock_region(connection, bbox_id)
            again = missed_days.forget_failures(connection, bbox_id, ids, first or date.min, last or date.max)
        if again:
            say(f"{counted(again, 'failed field-day')} will be tried again")
    tags = {"dagster/partition": region, f"dagster/partition/{REGION}": region} | lane("replay", region)
    run_id = graphql.launch(url, "reprocessing", REPLAY_JOB, tags, {})
    page = f"{graphql.public(url)}/runs/{run_id}"
    say(f"launched {REPLAY_JOB} for region {region}: {page}")
    if wait:
        say(how_it_ended(wait_until_ended(url, run_id, REPLAY_JOB), page))
