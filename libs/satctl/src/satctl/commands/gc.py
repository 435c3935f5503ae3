"""`satctl gc`: removing unreferenced objects and old attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from satcommon.messages import counted

from satctl.opening import opened
from satctl.output.tables import print_json, progress, say
from satctl.parameters import json_option


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove unreferenced result and scene objects, a day after they were put or lost their reference.

    Also removes attempts, the audit trail of processing, SATFIELDS_ATTEMPTS_DAYS after they were written; on
    PostgreSQL, it creates the partitions of the coming months.

    \b
    Examples:
      satctl gc --dry-run
      satctl gc
    """
    from satcommon.audit.garbage import collect_garbage, old_attempts, remove_attempts, unreferenced_objects

    now = datetime.now(UTC)
    with opened() as env:
        store = env.store()
        with progress("looking for unreferenced objects"):
            keys = unreferenced_objects(env.engine, store, now)
        if not dry_run:
            with progress("removing", total=len(keys)) as advance:
                collect_garbage(env.engine, store, keys, advance)
        kept_from = now - timedelta(days=env.settings.attempts_days)
        with progress("attempts"):
            attempts = old_attempts(env.engine, kept_from) if dry_run else remove_attempts(env.engine, kept_from, now)
    if as_json:
        print_json({"removed": not dry_run, "keys": keys, "attempts": attempts})
        return
    for key in keys:
        say(key)
    attempted = f"{counted(attempts, 'attempt')} from before {kept_from:%Y-%m-%d}"
    say(f"{counted(len(keys), 'object')} and {attempted} {'would be removed' if dry_run else 'removed'}")
