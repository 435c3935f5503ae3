"""What a check gets, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from satcommon.db.engine import engine_of
from satcommon.settings import Settings
from sqlalchemy import Engine

PROBES = "doctor"  # prefix of the objects that checks put in the store and remove again
LISTED = 5  # files or scenes named in one finding


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it.

    Args:
        check: its name.
        state: its result.
        said: the message, as the JSON of `satctl doctor` names it.
    """

    check: str
    state: State
    said: str


class System:
    """The system that the settings describe."""

    def __init__(self, chosen: Settings) -> None:
        self.settings = chosen

    @cached_property
    def engine(self) -> Engine:
        """The ledger's engine, made once.

        Raises:
            SettingError: the database's address is wrong.
        """
        return engine_of(self.settings)
