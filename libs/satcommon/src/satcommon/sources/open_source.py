"""The source of scenes that the settings name; each kind of source is a module, imported only where it is used."""

from __future__ import annotations

from satcommon.errors import SettingError
from satcommon.settings import Settings
from satcommon.sources.source import FOLDER, STAC, SceneSource


def open_source(settings: Settings) -> SceneSource:
    """The source that the settings name.

    Raises:
        SettingError: they name none.
    """
    if settings.scene_source is None:
        folder = " (SATFIELDS_SCENE_FOLDER is set)" if settings.scene_folder is not None else ""
        raise SettingError(
            "SATFIELDS_SCENE_SOURCE is not set, and this needs imagery: set it to `folder`, with the folder or bucket "
            f"of the GeoTIFFs in SATFIELDS_SCENE_FOLDER{folder}, to `stac`, with a catalogue in SATFIELDS_STAC, or to "
            "`simulated` for invented scenes"
        )
    if settings.scene_source == FOLDER:
        from satcommon.sources.folder import FolderSource

        assert settings.scene_folder is not None
        return FolderSource(settings.scene_folder)
    if settings.scene_source == STAC:
        from satcommon.sources.stac import StacSource

        assert settings.stac is not None
        return StacSource.named(settings.stac)
    from satcommon.sources.simulated import SimulatedSource

    return SimulatedSource.from_settings(settings)
