"""Sources of scenes, opened by what names them; each kind is a module, imported only where it is used."""

from __future__ import annotations

from pathlib import Path

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


def open_other(stated: str, told_by: str) -> SceneSource:
    """Another catalogue, to be listed and not read.

    Args:
        stated: the name of a profile, a TOML file as SATFIELDS_STAC takes, a folder, or ``s3://bucket/prefix``.
        told_by: the option or variable that states it, for messages.

    Raises:
        SettingError: it is none of these, or wrong.
    """
    from satcommon.sources import stac_config

    if stated.startswith("s3://") or (stated not in stac_config.profiles() and Path(stated).is_dir()):
        from satcommon.sources.folder import FolderSource

        return FolderSource(stated)
    if not stated.endswith(".toml") and "/" in stated:
        raise SettingError(
            f"{told_by}={stated!r}: there is no such folder; expected a folder, s3://bucket/prefix, a TOML file of a "
            "catalogue, or a profile's name (`satctl scenes profiles`)"
        )
    from satcommon.sources.stac import StacSource

    config = stac_config.load(stated, told_by)
    # What is only compared needs no request for each of its files.
    return StacSource(config.model_copy(update={"pins": "item"}))
