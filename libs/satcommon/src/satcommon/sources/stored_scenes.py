"""Scenes in the object store: copied ones, and those by reference, whose pixels their source still has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from satcommon.errors import ObjectMissingError, SceneError, SettingError
from satcommon.raster.scene_reader import SceneReader
from satcommon.sources.referenced_scene import ReferencedScene
from satcommon.sources.source import BY_REFERENCE

if TYPE_CHECKING:
    from satcommon.sources.source import SceneSource
    from satcommon.storage.object_store import ObjectStore


class StoredScenes:
    """Opens scenes by key.

    Args:
        store: where they are.
        source: opens the source of those by reference, at the first one; None: there is none, and such can't be read.
    """

    def __init__(self, store: ObjectStore, source: Callable[[], SceneSource] | None = None) -> None:
        self._store, self._source = store, source or _no_source

    def open(self, key: str) -> SceneReader | ReferencedScene:
        """A reader of a scene, to be used as a context manager.

        Raises:
            SceneError: a scene by reference is gone, or no such.
            StoreError: the store can't be reached.
        """
        if not key.endswith(BY_REFERENCE):
            return SceneReader(self._store.file_of(key))
        path = f"{self._store.url.rstrip('/')}/{key}"
        try:
            content = self._store.get(key)
        except ObjectMissingError as error:
            raise SceneError(f"{path}: can't be read, it is gone; ask for the day again with ingest") from error
        return ReferencedScene(path, content, self._source)

    def bands(self, key: str) -> tuple[str, ...]:
        """The names of a scene's bands; those of one by reference are told without its source.

        Raises:
            SceneError: the scene can't be read.
            StoreError: the store can't be reached.
        """
        scene = self.open(key)
        if isinstance(scene, ReferencedScene):
            return scene.bands
        with scene:
            return scene.bands


def _no_source() -> SceneSource:
    raise SettingError("a scene by reference is read from its source, and this process was given none")
