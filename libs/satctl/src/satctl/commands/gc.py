"""`satctl gc`: removing unreferenced objects, old attempts, and Dagster's old runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from satcommon.db.engine import read_transaction
from satcommon.db.publications import MOST_PATCHES
from satcommon.db.registry import regions
from satcommon.errors import DamagedObjectError, ObjectMissingError, SatfieldsError
from satcommon.messages import counted

from satctl.opening import opened
from satctl.output.tables import print_json, progress, say, warn
from satctl.parameters import json_option

if TYPE_CHECKING:
    from satcommon.settings import Settings
    from satcommon.storage.object_store import ObjectStore
    from sqlalchemy import Engine


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@json_option
@click.option(
    "--patches",
    type=click.IntRange(min=0),
    default=MOST_PATCHES,
    show_default=True,
    help="Rebase days that are read through more patches than this; 0 leaves each day one object.",
)
def gc(dry_run: bool, patches: int, as_json: bool) -> None:
    """Rebase days with many patches, and remove unreferenced result and scene objects.

    An object goes SATFIELDS_BACKUP_DAYS, at least a day, after it was put or left the publication log: until then a
    backup of the ledger may name it. Publications stay in the log for ever, unless SATFIELDS_SUPERSEDED_DAYS is set:
    then those that newer ones have replaced for so long can no longer be read.

    Also removes attempts, the audit trail of processing, SATFIELDS_ATTEMPTS_DAYS after they were written; on
    PostgreSQL, it creates the partitions of the coming months. And Dagster's runs with their events,
    SATFIELDS_DAGSTER_DAYS after they ended, if its webserver answers: nothing that is due is read from them.

    \b
    Examples:
      satctl gc --dry-run
      satctl gc
    """
    from satcommon.audit.garbage import (
        collect_garbage,
        note_objects,
        old_attempts,
        remove_attempts,
        remove_superseded,
        stored_objects,
        unreferenced_objects,
    )

    now = datetime.now(UTC)
    with opened() as env:
        store = env.store()
        rebased, failed = _rebase(env.engine, store, patches, dry_run=dry_run)
        superseded = 0
        if env.settings.superseded_days is not None:
            horizon = now - timedelta(days=env.settings.superseded_days)
            superseded = remove_superseded(env.engine, horizon, now, dry_run=dry_run)
        with progress("looking for unreferenced objects"):
            kept_for = timedelta(days=env.settings.backup_days)
            stored = stored_objects(store)
            keys = unreferenced_objects(env.engine, stored, now, kept_for)
        if not dry_run:
            with progress("removing", total=len(keys)) as advance:
                collect_garbage(store, keys, advance)
            note_objects(env.engine, {key: stored[key] for key in stored.keys() - set(keys)}, now)
        kept_from = now - timedelta(days=env.settings.attempts_days)
        with progress("attempts"):
            attempts = old_attempts(env.engine, kept_from) if dry_run else remove_attempts(env.engine, kept_from, now)
        runs, runs_kept_from = _dagster_runs(env.settings, now, dry_run=dry_run)
    found: dict[str, Any] = {
        "removed": not dry_run,
        "keys": keys,
        "attempts": attempts,
        "rebased": [{"region": region, "day": day} for region, day in rebased],
        "superseded": superseded,
        "dagster_runs": runs,
        "failed": failed,
    }
    if as_json:
        print_json(found)
    else:
        _tell(found, kept_from, runs_kept_from)
    if failed:
        raise click.exceptions.Exit(1)


def _tell(found: dict[str, Any], kept_from: datetime, runs_kept_from: datetime) -> None:
    """Say what was removed, or would be."""
    removed = "removed" if found["removed"] else "would be removed"
    for key in found["keys"]:
        say(key)
    attempted = f"{counted(found['attempts'], 'attempt')} from before {kept_from:%Y-%m-%d}"
    say(f"{counted(len(found['keys']), 'object')} and {attempted} {removed}")
    if found["dagster_runs"]:
        say(f"{counted(found['dagster_runs'], 'run')} of Dagster's from before {runs_kept_from:%Y-%m-%d} {removed}")
    if found["rebased"]:
        say(f"{counted(len(found['rebased']), 'day')} {'rebased' if found['removed'] else 'would be rebased'}")
    if found["superseded"]:
        taken = "left" if found["removed"] else "would leave"
        say(f"{counted(found['superseded'], 'superseded publication')} {taken} the log; their objects go a day later")
    for why in found["failed"]:
        warn(why)


def _dagster_runs(chosen: Settings, now: datetime, *, dry_run: bool) -> tuple[int | None, datetime]:
    """Remove Dagster's old runs; gives their number, None where it does not answer, and what is kept from when."""
    from satctl.dagster_api import graphql
    from satctl.dagster_api.old_runs import kept_from, old_runs

    before = kept_from(chosen, now)
    try:
        runs = list(old_runs(chosen.dagster_url, before))
        if not dry_run:
            with progress("Dagster's old runs", total=len(runs)) as advance:
                for run in runs:
                    graphql.delete(chosen.dagster_url, run.run_id)
                    advance()
    except SatfieldsError as error:  # a webserver that is down, or read-only, keeps nothing else from being removed
        warn(f"Dagster's old runs stay: {error}")
        return None, before
    return len(runs), before


def _rebase(
    engine: Engine, store: ObjectStore, patches: int, *, dry_run: bool
) -> tuple[list[tuple[str, date]], list[str]]:
    """Rebase days with more patches; gives (region, day) of each, and what failed: other days go on."""
    from satcommon.publication.objects import ResultObjects
    from satcommon.publication.rebase import patched_days, rebase

    with read_transaction(engine) as connection:
        days = patched_days(connection, patches)
        names = {region.bbox_id: region.name for region in regions(connection)}
    if dry_run:
        return [(names[bbox_id], day) for bbox_id, day in days], []
    objects, done, failed = ResultObjects(store), [], []
    with progress("rebasing days", total=len(days)) as advance:
        for bbox_id, day in days:
            try:
                if rebase(engine, objects, bbox_id, day, lambda: datetime.now(UTC)):
                    done.append((names[bbox_id], day))
            except (ObjectMissingError, DamagedObjectError) as error:
                failed.append(f"region {names[bbox_id]}: {error}")
            advance()
    return done, failed
