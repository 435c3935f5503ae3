"""One process at a time runs Dagster on a home folder: two daemons there would launch each run twice."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satcommon.errors import InputError, SettingError
from satcommon.settings import Settings

LOCK = "up.lock"


@contextmanager
def locked_home(home: Path, port: int) -> Iterator[None]:
    """Create and lock a home folder while the block runs. The system releases the lock however this process ends.

    Args:
        home: the folder.
        port: of the UI, for the message to a second process.

    Raises:
        InputError: another process holds it; the message has its process id and address.
        SettingError: it is not a folder, or can't be written to.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / LOCK).open("a+")
    except OSError as error:
        raise SettingError(
            f"SATFIELDS_HOME={str(home)!r} can't be used: {error.strerror}; name a folder that this user may write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"Dagster runs on {home} already: {file.read().strip() or 'a process that is starting'}. Use that one, "
                "end it first, or name another folder with SATFIELDS_HOME"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, {_address(port)}\n")
        file.flush()
        yield


def dagster_url(chosen: Settings) -> str:
    """The address of Dagster's webserver: the setting's, else that of `satctl up` on the home, else the default."""
    file = chosen.home / LOCK
    if "dagster_url" in chosen.model_fields_set or not os.access(file, os.R_OK):
        return chosen.dagster_url
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return opened.read().strip().rpartition(", ")[2] or chosen.dagster_url
    return chosen.dagster_url  # the file is of a process that has ended


def _address(port: int) -> str:
    return f"http://localhost:{port}"
