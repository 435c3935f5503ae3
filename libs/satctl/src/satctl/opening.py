"""Opens what a command works with: the settings' database, checked before use and closed after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satcommon.db.engine import engine_of, require_current, shown
from satcommon.environment import Environment
from satcommon.errors import DatabaseVersionError, SettingError
from satcommon.settings import Settings, settings
from sqlalchemy import Engine

_SQLITE = b"SQLite format 3\0"  # how a database file begins; a new one is empty


@contextmanager
def opened() -> Iterator[Environment]:
    """The environment, with a database that fits this code.

    Raises:
        SettingError: a variable is wrong.
        DatabaseUnavailableError: the database can't be reached.
        DatabaseVersionError: it does not exist yet, is not migrated, or is newer than this code.
    """
    check_home(settings())
    with opened_engine() as engine:
        require_there(engine)
        require_current(engine)
        yield Environment(settings(), engine)


@contextmanager
def opened_engine() -> Iterator[Engine]:
    """The engine alone, whatever state its database is in.

    Raises:
        SettingError: a variable is wrong, or the home folder can't be used, and the database is in it.
    """
    chosen = settings()
    if str(chosen.home) in chosen.database_url:  # PostgreSQL needs no home folder
        check_home(chosen)
    engine = engine_of(chosen)
    try:
        yield engine
    finally:
        engine.dispose()


def check_home(chosen: Settings) -> None:
    """Refuse a home folder that can't be used, if the database or the store is in it.

    Raises:
        SettingError: it is a file, or this user may not write there.
    """
    home = chosen.home
    if not any(str(home) in named for named in (chosen.database_url, chosen.store)):
        return
    existing = next(path for path in (home, *home.parents) if path.exists())
    trouble = "is a file" if not existing.is_dir() else "can't be written to"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SettingError(
            f"SATFIELDS_HOME={str(home)!r} can't be used: {existing} {trouble}; "
            "name a folder that this user may write to"
        )


def require_there(engine: Engine) -> None:
    """Refuse a database that does not exist yet.

    Raises:
        DatabaseVersionError: it does not.
        SettingError: the file is not a SQLite database.
    """
    if not is_there(engine):
        raise DatabaseVersionError(
            f"There is no database {shown(engine.url)} (SATFIELDS_DATABASE_URL) yet. Run `satctl db upgrade`."
        )


def is_there(engine: Engine) -> bool:
    """Whether the database exists: reading a SQLite file that does not would create an empty one.

    Raises:
        SettingError: the file is not a SQLite database.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return True
    file = Path(engine.url.database)
    if not file.exists():
        return False
    if not file.is_file() or _head(file) not in (_SQLITE, b""):
        raise SettingError(
            f"SATFIELDS_DATABASE_URL: {file} is not a SQLite database; name another file, or move it away"
        )
    return True


def _head(file: Path) -> bytes:
    with file.open("rb") as opened_file:
        return opened_file.read(len(_SQLITE))
