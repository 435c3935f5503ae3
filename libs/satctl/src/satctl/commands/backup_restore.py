"""`satctl backup restore`: a ledger out of its backup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from satcommon.db.engine import shown as shown_url
from satcommon.errors import InputError
from satcommon.messages import counted
from satcommon.settings import settings

from satctl.opening import check_home, opened_engine
from satctl.output.tables import print_facts, print_json, progress, say, warn
from satctl.parameters import from_option, json_option

if TYPE_CHECKING:
    from satcommon.storage.object_store import ObjectStore
    from sqlalchemy import Engine

    from satctl.backup.folder import Backups
    from satctl.backup.manifest import Manifest
    from satctl.backup.restore import Target


@click.command()
@click.argument("name")
@from_option
@click.option("--dry-run/--yes", default=True, show_default=True, help="Only tell what would be done; or do it.")
@click.option("--replace", is_flag=True, help="Replace what is in the database, after a backup of it.")
@json_option
def restore(name: str, place: str | None, dry_run: bool, replace: bool, as_json: bool) -> None:
    """Restore a backup of the ledger into the database that the settings name.

    NAME is that of a backup, or `latest`. The database has to be empty, or --replace be given: then a backup of what is
    in it is taken first. All or nothing: killed, it leaves the database as it was. A backup of an older schema is
    migrated. Stop Satfields before, and start it after.

    What was registered after the backup is lost, and has to be registered again. What was delivered and computed since
    is found and computed again. Ends with what the store lacks, and with what nothing names any more.

    \b
    Examples:
      satctl backup restore latest
      satctl backup restore latest --yes
      satctl backup restore 20261129T013000Z-3fa9c1 --replace --yes
    """
    from satctl.backup import restore as restoring

    backups = backups_at(place, "--from")
    manifest = backups.manifest(name)
    chosen = settings()
    now = datetime.now(UTC)
    with opened_engine() as engine:
        restoring.require_restorable(engine, manifest)
        target = restoring.target_of(engine)
        if not target.empty and not replace:
            raise InputError(
                f"{shown_url(engine.url)} (SATFIELDS_DATABASE_URL) is not empty: {_content(target)}; "
                "name an empty database, or give --replace, which takes a backup of it first"
            )
        if target.revision is not None:
            restoring.require_quiet(engine, now, chosen.stale_seconds)
        if dry_run:
            _tell(engine, manifest, target, as_json=as_json)
            return
        safety = None if target.empty else _safety(engine, backups, now)
        with progress(f"restoring {manifest.name}") as advance:
            restoring.restore(engine, backups, manifest, target, now, advance)
        compared = restoring.compared(engine, store_of_settings())
    if as_json:
        print_json({"restored": manifest.name, "replaced": safety, **vars(compared)})
        return
    if safety:
        say(f"what was in the database is in backup {safety}")
    say(f"restored {manifest.name}: {counted(manifest.rows, 'row')}, as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC")
    _say_objects(compared.lacking, compared.unnamed)


def backups_at(place: str | None, option: str) -> Backups:
    """The backups at a place; those of the settings where none is named."""
    from satcommon.settings import absolute_or_bucket
    from satcommon.storage.object_store import ObjectStore

    from satctl.backup.folder import Backups

    chosen = settings()
    if place is None:
        check_home(chosen)
        return Backups(ObjectStore(chosen.backups, chosen.store_timeout_seconds, "SATFIELDS_BACKUPS"))
    try:
        return Backups(ObjectStore(absolute_or_bucket(place), chosen.store_timeout_seconds, option))
    except ValueError as error:
        raise InputError(f"{option} {place!r}: {error}") from error


def store_of_settings() -> ObjectStore:
    """The store of results and scenes, whatever state the database is in."""
    from satcommon.storage.object_store import ObjectStore

    return ObjectStore(settings().store, settings().store_timeout_seconds)


def facts_of(manifest: Manifest) -> list[tuple[str, Any]]:
    """A backup, for people."""
    return [
        ("backup", manifest.name),
        ("taken at", manifest.taken_at),
        ("of", f"{manifest.database}, revision {manifest.revision}, with the store {manifest.store}"),
        ("rows", manifest.rows),
        ("size", megabytes(manifest.size)),
        ("objects that it names", manifest.objects.count),
        ("regions, by watermark", ", ".join(f"{r.region} {r.watermark or '-'}" for r in manifest.regions) or "none"),
    ]


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:,.1f} MB"


def _content(target: Target) -> str:
    counts = (target.regions, "region"), (target.fields, "field"), (target.publications, "publication")
    return ", ".join(counted(*count) for count in counts)


def _tell(engine: Engine, manifest: Manifest, target: Target, *, as_json: bool) -> None:
    if as_json:
        print_json({"restored": None, "backup": manifest.name, "database": shown_url(engine.url), **vars(target)})
        return
    print_facts([*facts_of(manifest), ("into", shown_url(engine.url)), ("which holds", _content(target))])
    if manifest.store != settings().store:
        warn(f"the backup's objects were in {manifest.store}, and SATFIELDS_STORE is {settings().store}")
    say("nothing was changed; --yes restores it")


def _safety(engine: Engine, backups: Backups, now: datetime) -> str:
    from satctl.backup.create import create

    with progress("backing up what will be replaced") as advance:
        made = create(engine, store_of_settings(), backups, now, advance)
    return made.name


def _say_objects(lacking: list[str], unnamed: list[str]) -> None:
    from satctl.backup.verify import shown

    if lacking:
        say(f"{counted(len(lacking), 'object')} that it names are not in the store; `satctl audit --repair` opens what")
        say(f"they held as missed:\n{shown(lacking)}")
    else:
        say("every object that it names is in the store")
    if unnamed:
        say(
            f"{counted(len(unnamed), 'object')} in the store, put since or left over, are named by nothing; `satctl gc`"
        )
        say("removes them later")
    say("next: start Satfields, register what was registered since the backup, and run `satctl audit --deep`")
