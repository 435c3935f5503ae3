"""What a command works with: the settings' database, checked before anything is asked of it, and closed after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satcommon.db.engine import open_engine, require_current
from satcommon.environment import Environment
from satcommon.errors import DatabaseVersionError
from satcommon.settings import settings
from sqlalchemy import Engine


@contextmanager
def opened() -> Iterator[Environment]:
    """The environment, with a database that fits this code.

    Raises:
        SettingError: a variable is wrong.
        DatabaseUnavailableError: the database can't be reached.
        DatabaseVersionError: it is not there yet, not migrated, or newer than this code.
    """
    with opened_engine() as engine:
        if not is_there(engine):
            shown = engine.url.render_as_string(hide_password=True)
            raise DatabaseVersionError(f"There is no database {shown} yet. Run `satctl db upgrade`.")
        require_current(engine)
        yield Environment(settings(), engine)


@contextmanager
def opened_engine() -> Iterator[Engine]:
    """The engine alone, whatever state its database is in."""
    chosen = settings()
    engine = open_engine(chosen.database_url, chosen.database_timeout_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


def is_there(engine: Engine) -> bool:
    """False for a SQLite file that is still to be made: reading it would make an empty one."""
    file = engine.url.database
    return engine.dialect.name != "sqlite" or not file or file == ":memory:" or Path(file).exists()
