"""What a process works with, by its settings: the ledger's engine, the object store and the source of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import engine_of, require_current
from satcommon.errors import SettingError
from satcommon.settings import Settings, settings

if TYPE_CHECKING:
    from satcommon.sources.source import SceneSource
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

    def source(self) -> SceneSource:
        """The source of scenes; one a process, since it caches what it read of its files."""
        return self._source

    @cached_property
    def _source(self) -> SceneSource:
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


def open_source(settings: Settings) -> SceneSource:
    """The source that the settings name.

    Raises:
        SettingError: they name none.
    """
    if settings.scene_source is None:
        folder = " (SATFIELDS_SCENE_FOLDER is set)" if settings.scene_folder is not None else ""
        raise SettingError(
            "SATFIELDS_SCENE_SOURCE is not set, and this needs imagery: set it to `folder`, with the folder or bucket "
            f"of the GeoTIFFs in SATFIELDS_SCENE_FOLDER{folder}, or to `simulated` for invented scenes"
        )
    if settings.scene_source == "folder":
        from satcommon.sources.folder import FolderSource

        assert settings.scene_folder is not None
        return FolderSource(settings.scene_folder)
    from satcommon.sources.simulated import SimulatedSource

    return SimulatedSource.from_settings(settings)
