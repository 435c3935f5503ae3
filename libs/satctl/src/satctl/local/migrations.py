"""Migrates the schema, through Alembic.

Alembic's files are beside the packages (`checkout`), not inside one: a code location only compares the revision, and
refuses any but its own.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from satcommon.db.engine import revision, shown
from satcommon.errors import DatabaseVersionError, InputError
from sqlalchemy import Connection, Engine

from satctl.local.checkout import database_folder

BASE = "base"  # Alembic's word for a database without tables
LOCK_KEY = 0x5A7F1E1D  # of PostgreSQL's advisory lock: any number that nothing else in the database uses


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the database to this code's newest revision: whole or not at all.

    Several may run in parallel: one migrates, the others wait for it and find nothing to do. The folder of a new SQLite
    file is created.

    Returns:
        The revisions before and after; None before stands for an empty database.

    Raises:
        DatabaseVersionError: the database is newer than this code; nothing was changed.
        DatabaseUnavailableError: it could not be reached, or another migration held it for longer than the time-out.
        SettingError: the migrations can't be found.
    """
    config = _config(engine)
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    before = _known_revision(engine, config)
    command.upgrade(config, "head")
    return before, head()


def upgrade_within(connection: Connection, target: str) -> None:
    """Bring the database up to a revision, or ``head``, in the caller's transaction, which holds `LOCK_KEY`."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def downgrade(engine: Engine, target: str) -> None:
    """Migrate down to an older revision, or to ``base``, which drops all tables and their rows.

    Raises:
        InputError: there is no such revision, it is newer than the database, or it can't hold what is published.
        DatabaseVersionError: the database is newer than this code; nothing was changed.
    """
    config = _config(engine)
    revisions = [*_revisions(config), BASE]
    if target not in revisions:
        raise InputError(f"There is no revision {target!r}; expected one of: {', '.join(revisions)}.")
    current = _known_revision(engine, config) or BASE
    if revisions.index(target) < revisions.index(current):
        raise InputError(f"The database is at revision {current}, below {target}. Run `satctl db upgrade` to go up.")
    command.downgrade(config, target)


def head() -> str:
    """The newest revision that this code can bring a database to."""
    return _revisions(_config())[0]


def known() -> list[str]:
    """All revisions that this code knows, the newest first."""
    return _revisions(_config())


def _config(engine: Engine | None = None) -> Config:
    config = Config(database_folder(__file__) / "alembic.ini")
    config.attributes["engine"] = engine
    return config


def _revisions(config: Config) -> list[str]:
    """All revisions, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]


def _known_revision(engine: Engine, config: Config) -> str | None:
    current = revision(engine)
    revisions = _revisions(config)
    if current is None or current in revisions:
        return current
    raise DatabaseVersionError(
        f"The database {shown(engine.url)} (SATFIELDS_DATABASE_URL) is at revision {current}, newer than this code's "
        f"{revisions[0]}. Nothing was changed; upgrade the code."
    )
