"""`satctl backup`: taking backups of the ledger, listing and checking them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from satcommon.messages import counted
from satcommon.settings import settings

from satctl.commands.backup_restore import backups_at, facts_of, megabytes, restore, store_of_settings
from satctl.opening import opened
from satctl.output.tables import print_facts, print_json, print_table, progress, say, warn
from satctl.parameters import from_option, json_option, place_option, wide_option

if TYPE_CHECKING:
    from satctl.backup.folder import Listed
    from satctl.backup.manifest import Manifest


@click.group()
def backup() -> None:
    """Back up the ledger, check backups, and restore one."""


backup.add_command(restore)


@backup.command()
@place_option("--to", "Where the backup goes.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Then remove all backups but the newest N.")
@click.option("--keep-days", type=click.IntRange(min=1), metavar="D", help="Then remove backups older than D days.")
@json_option
def create(place: str | None, keep: int | None, keep_days: int | None, as_json: bool) -> None:
    """Back up the ledger, while runs go on.

    The ledger says what was published, and what is to be done. The objects that it names stay in the store: the backup
    lists them, and `satctl gc` keeps them for SATFIELDS_BACKUP_DAYS. Dagster's own database is not needed to go on.

    A backup that was killed is listed as incomplete, is never restored, and is removed by a later --keep or
    --keep-days. These never remove the newest complete backup.

    \b
    Examples:
      satctl backup create
      satctl backup create --to s3://backups/satfields --keep-days 14
      satctl backup create --keep 7 --json
    """
    from satctl.backup.create import create as create_backup

    backups = backups_at(place, "--to")
    days = settings().backup_days
    if keep_days is not None and keep_days > days:
        warn(
            f"--keep-days {keep_days}: objects that older backups name are kept for SATFIELDS_BACKUP_DAYS={days} alone"
        )
    with opened() as env, progress("backing up") as advance:
        made = create_backup(env.engine, env.store(), backups, datetime.now(UTC), advance)
    removed = backups.expired(datetime.now(UTC), keep, keep_days) if keep or keep_days else []
    for name in removed:
        backups.remove(name)
    if as_json:
        print_json({"backup": _as_json(made), "place": backups.place.url, "removed": removed})
        return
    say(
        f"backup {made.name}: {counted(made.rows, 'row')} in {megabytes(made.size)}, naming "
        f"{counted(made.objects.count, 'object')}, in {backups.place.url}"
    )
    if made.objects.lost:
        warn(f"{counted(made.objects.lost, 'object')} of them were lost before; `satctl audit` tells which")
    for name in removed:
        say(f"removed {name}")


@backup.command(name="list")
@from_option
@wide_option
@json_option
def list_backups(place: str | None, wide: bool, as_json: bool) -> None:
    """List the backups, the newest first; incomplete ones, too.

    The objects that a backup names are kept until the day that is shown: restored later, it can lack some.

    \b
    Examples:
      satctl backup list
      satctl backup list --from s3://backups/satfields --json
    """
    backups = backups_at(place, "--from")
    listed = backups.listed()
    if as_json:
        print_json([_listed_as_json(found) for found in listed])
        return
    if not listed:
        say(f"there are no backups in {backups.place.url}; `satctl backup create` makes one")
        return
    columns = ("backup", "state", "database", "revision", "regions", "rows", "MB", "objects", "objects kept until")
    held = timedelta(days=settings().backup_days)
    rows = [
        (found.name, found.state, m.database, m.revision, len(m.regions), m.rows, m.size / 1e6, m.objects.count,
         (m.taken_at + held).date())
        if (m := found.manifest)
        else (found.name, found.state, *[None] * 7)
        for found in listed
    ]  # fmt: skip
    print_table(columns, rows, spare=("revision", "database", "MB", "regions"), wide=wide)


@backup.command()
@click.argument("name")
@from_option
@click.option("--deep", is_flag=True, help="Also read every result in the store, and compare its digest.")
@json_option
def verify(name: str, place: str | None, deep: bool, as_json: bool) -> None:
    """Read a backup back without restoring it, and look for every object that it names.

    Compares digests and numbers of rows, lets SQLite check its file, and compares the sizes of objects in the store.
    NAME is that of a backup, or `latest`. Exit code 1 where the backup, or an object, is lost or damaged.

    \b
    Examples:
      satctl backup verify latest
      satctl backup verify 20261129T013000Z-3fa9c1 --deep
    """
    from satctl.backup.verify import shown
    from satctl.backup.verify import verify as verify_backup

    backups = backups_at(place, "--from")
    manifest = backups.manifest(name)
    with progress(f"reading {manifest.name}") as advance:
        found = verify_backup(backups, manifest, store_of_settings(), advance, deep=deep)
    if as_json:
        print_json({"backup": manifest.name, "sound": found.sound, **vars(found)})
    else:
        print_facts(facts_of(manifest))
        for problem in found.problems:
            say(f"NOT SOUND: {problem}")
        if found.lost:
            say(f"{counted(len(found.lost), 'object')} of {found.checked:,} lost or changed:\n{shown(found.lost)}")
        if found.sound:
            say(f"sound: every part is whole, and {counted(found.checked, 'object')} are in the store")
    if not found.sound:
        raise click.exceptions.Exit(1)


def _as_json(manifest: Manifest) -> dict[str, object]:
    """A manifest without the list of its parts."""
    return {**manifest.model_dump(exclude={"parts"}), "rows": manifest.rows, "size": manifest.size}


def _listed_as_json(found: Listed) -> dict[str, object]:
    if found.manifest is None:
        return {"name": found.name, "state": found.state}
    return {"state": found.state, **_as_json(found.manifest)}
