"""`satctl plan` and `satctl reprocess`: what the backlog costs, and draining it; `satctl gc`: what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click
from satcommon.db import fields as field_registry
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.errors import InputError

from satctl.commands.runs import url_option
from satctl.commands.status import region_option, regions_of
from satctl.completion import field_ids, region_names
from satctl.dagster_api import graphql
from satctl.opening import opened
from satctl.output.tables import counted, print_json, print_table, progress, say
from satctl.parameters import DAY, json_option, wide_option

if TYPE_CHECKING:
    from satcommon.pipeline.backlog import Plan


@click.command()
@region_option
@wide_option
@json_option
def plan(names: tuple[str, ...], wide: bool, as_json: bool) -> None:
    """Show what draining the backlog costs; nothing is changed.

    Steps and days are at most: a replay ends early where the state is the published one again.

    \b
    Examples:
      satctl plan
      satctl plan --region A --json
    """
    from satcommon.pipeline.backlog import plan as plan_region

    now = datetime.now(UTC)
    with opened() as env, read_transaction(env.engine) as connection:
        found = [plan_region(connection, r.bbox_id, env.deadlines, now) for r in regions_of(connection, names)]
    if as_json:
        print_json(found)
        return
    _print(found, wide=wide)


def _print(found: Sequence[Plan], *, wide: bool) -> None:
    columns = ("region", "to redo", "waiting", "to withdraw", "fields", "first day", "last day", "steps", "scenes")
    print_table(
        (*columns, "days rewritten", "steps of the whole region"),
        [
            (
                p.region,
                _causes(p.missed),
                _causes(p.waiting),
                p.withdrawals,
                p.fields,
                p.first_day,
                p.last_day,
                p.steps_at_most,
                p.scenes_at_most,
                p.days_at_most,
                p.steps_of_all,
            )
            for p in found
        ],
        spare=("steps of the whole region", "scenes", "fields", "days rewritten", "steps"),
        wide=wide,
    )


def _causes(counts: dict[str, int]) -> str | None:
    return ", ".join(f"{count:,} {cause}" for cause, count in sorted(counts.items())) or None


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
@click.option("--from", "first", type=DAY, help="First day of the failures to be tried again.")
@click.option("--to", "last", type=DAY, help="Last day of them.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@url_option
def reprocess(
    region: str, external_ids: tuple[str, ...], first: date | None, last: date | None, dry_run: bool, url: str
) -> None:
    """Drain a region's backlog now, by a Dagster run, and try again what had failed for good.

    Field-days that failed three times wait for a new field, scene or version; this command tries them again, all of the
    region or those of some fields and days.

    \b
    Examples:
      satctl reprocess A --dry-run
      satctl reprocess A
      satctl reprocess A --field north-forty --from 2026-05-01 --to 2026-05-31
    """
    from satcommon.contract import REGION, REPLAY_JOB, lane
    from satcommon.pipeline.backlog import plan as plan_region

    now = datetime.now(UTC)
    with opened() as env:
        with read_transaction(env.engine) as connection:
            found = registry.region(connection, region)
            ids = [field_registry.field(connection, one).field_id for one in external_ids] or None
            planned = plan_region(connection, found.bbox_id, env.deadlines, now)
        if first and last and last < first:
            raise InputError(f"--to {last} is before --from {first}")
        _print([planned], wide=False)
        if dry_run:
            return
        with write_transaction(env.engine) as connection:
            ledger.lock_region(connection, found.bbox_id)
            again = ledger.forget_failures(connection, found.bbox_id, ids, first or date.min, last or date.max)
        if again:
            say(f"{counted(again, 'failed field-day')} will be tried again")
    tags = {"dagster/partition": region, f"dagster/partition/{REGION}": region} | lane("replay", region)
    run_id = graphql.launch(url, "reprocessing", REPLAY_JOB, tags, {})
    say(f"launched {REPLAY_JOB} for region {region}: {graphql.public(url)}/runs/{run_id}")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove result and scene objects that no key names, a day after they were put or their key moved away.

    Attempts, the audit trail of processing, are removed SATFIELDS_ATTEMPTS_DAYS after they were written; on PostgreSQL
    the partitions of the months to come are made.

    \b
    Examples:
      satctl gc --dry-run
      satctl gc
    """
    from satcommon.audit.garbage import collect, old_attempts, remove_attempts, rubbish

    now = datetime.now(UTC)
    with opened() as env:
        store = env.store()
        with progress("looking for objects that no key names"):
            keys = rubbish(env.engine, store, now)
        if not dry_run:
            with progress("removing", total=len(keys)) as advance:
                collect(env.engine, store, keys, advance)
        kept_from = now - timedelta(days=env.settings.attempts_days)
        with progress("attempts"):
            attempts = old_attempts(env.engine, kept_from) if dry_run else remove_attempts(env.engine, kept_from, now)
    if as_json:
        print_json({"removed": not dry_run, "keys": keys, "attempts": attempts})
        return
    for key in keys:
        say(key)
    attempted = f"{counted(attempts, 'attempt')} of before {kept_from:%Y-%m-%d}"
    say(f"{counted(len(keys), 'object')} and {attempted} {'would be removed' if dry_run else 'removed'}")
