"""What a process works with, by its settings: the ledger's engine, the object store and the source of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import engine_of, require_current
from satcommon.settings import Settings, settings

if TYPE_CHECKING:
    from satcommon.sources.source import SceneSource
    from satcommon.sources.stored_scenes import StoredScenes
    from satcommon.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Environment:
    """Settings, and what they name."""

    settings: Settings
    engine: Engine

    @property
    def deadlines(self) -> Deadlines:
        """The waiting times."""
        return Deadlines.of(self.settings)

    def store(self) -> ObjectStore:
        """The object store.

        Raises:
            SettingError, StoreError: it can't be used.
        """
        from satcommon.storage.object_store import ObjectStore

        return ObjectStore(self.settings.store, self.settings.store_timeout_seconds)

    def scenes(self) -> StoredScenes:
        """The stored scenes; the source is opened only for those by reference.

        Raises:
            SettingError, StoreError: the store can't be used.
        """
        from satcommon.sources.stored_scenes import StoredScenes

        return StoredScenes(self.store(), self.source)

    def source(self) -> SceneSource:
        """The source of scenes; one a process, since it caches what it read of its files."""
        return self._source

    @cached_property
    def _source(self) -> SceneSource:
        from satcommon.sources.open_source import open_source  # here: a code location loads without numpy

        return open_source(self.settings)


@cache
def environment() -> Environment:
    """The environment of this process.

    Raises:
        SettingError: a variable is wrong.
        DatabaseUnavailableError: the database can't be reached.
        DatabaseVersionError: it is not migrated, or newer than this code.
    """
    chosen = settings()
    engine = engine_of(chosen)
    require_current(engine)
    return Environment(chosen, engine)


def utc_now() -> datetime:
    """The clock of the outermost layer."""
    return datetime.now(UTC)
