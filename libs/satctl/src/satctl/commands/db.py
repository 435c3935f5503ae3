"""`satctl db`: the schema."""

from __future__ import annotations

import click

from satctl.opening import is_there, opened_engine
from satctl.output.tables import print_facts, print_json, say
from satctl.parameters import json_option


@click.group()
def db() -> None:
    """Migrate and check the database."""


@db.command()
def upgrade() -> None:
    """Create or migrate the database.

    The migration to this code's schema is all or nothing. Of several upgrades in parallel, one migrates; the others
    wait, and find nothing to do.

    \b
    Examples:
      satctl db upgrade
      SATFIELDS_DATABASE_URL=postgresql://satfields@db/satfields satctl db upgrade
    """
    from satcommon.db.engine import shown

    from satctl.local import migrations

    with opened_engine() as engine:
        is_there(engine)  # refuses a file that is not a database
        before, after = migrations.upgrade(engine)
        database = shown(engine.url)
    if before == after:
        say(f"{database} is at revision {after} already; nothing was changed")
    else:
        say(f"{database} went from {before or 'nothing'} to revision {after}")


@db.command()
@json_option
def current(as_json: bool) -> None:
    """Compare the database with this code.

    Shows both schema revisions; exit code 1 where they differ.

    \b
    Examples:
      satctl db current
      satctl db current --json
    """
    from satcommon.db.engine import revision, shown
    from satcommon.db.models import SCHEMA_REVISION

    with opened_engine() as engine:
        at_revision = revision(engine) if is_there(engine) else None
        database = shown(engine.url)
    fits = at_revision == SCHEMA_REVISION
    if as_json:
        print_json({"database": database, "revision": at_revision, "code_revision": SCHEMA_REVISION, "fits": fits})
    else:
        facts = [
            ("database", database),
            ("its revision", at_revision or "none: not migrated"),
            ("this code's", SCHEMA_REVISION),
        ]
        print_facts(facts)
    if not fits:
        raise click.exceptions.Exit(1)
