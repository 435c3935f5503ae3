"""What a command works with: the settings' database, checked before anything is asked of it, and closed after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satcommon.db.engine import engine_of, require_current, shown
from satcommon.environment import Environment
from satcommon.errors import DatabaseVersionError, SettingError
from satcommon.settings import settings
from sqlalchemy import Engine

_SQLITE = b"SQLite format 3\0"  # how a database file begins; one that was only just made is empty


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
            raise DatabaseVersionError(
                f"There is no database {shown(engine.url)} (SATFIELDS_DATABASE_URL) yet. Run `satctl db upgrade`."
            )
        require_current(engine)
        yield Environment(settings(), engine)


@contextmanager
def opened_engine() -> Iterator[Engine]:
    """The engine alone, whatever state its database is in."""
    engine = engine_of(settings())
    try:
        yield engine
    finally:
        engine.dispose()


def is_there(engine: Engine) -> bool:
    """False for a SQLite file that is still to be made: reading it would make an empty one.

    Raises:
        SettingError: there is a file, and it is something else.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return True
    file = Path(engine.url.database)
    if not file.exists():
        return False
    if not file.is_file() or _head(file) not in (_SQLITE, b""):
        raise SettingError(f"SATFIELDS_DATABASE_URL: {file} is no SQLite database; name another file, or move it away")
    return True


def _head(file: Path) -> bytes:
    with file.open("rb") as opened_file:
        return opened_file.read(len(_SQLITE))
