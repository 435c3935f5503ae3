"""The source that a region belongs to: the one it was registered with. No other is ever asked for its days."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, select, update

from satcommon.db import ledger, registry
from satcommon.db.engine import write_transaction
from satcommon.db.models import Acquisition, Region
from satcommon.errors import InputError, SettingError
from satcommon.sources.source import FOLDER, STAC

if TYPE_CHECKING:
    from satcommon.sources.source import SceneSource

_log = logging.getLogger(__name__)


def refusal(region: Region, identity: str) -> str | None:
    """Why a source may not be asked for a region's days, and the remedy; None if it may."""
    belongs_to = region.scene_source
    if belongs_to is None or belongs_to == identity or _is_any_folder(belongs_to, identity):
        return None
    setting = "SATFIELDS_STAC" if _kind(belongs_to) == STAC else "SATFIELDS_SCENE_FOLDER"
    remedy = f"set SATFIELDS_SCENE_SOURCE and {setting} to the region's own"
    if _kind(belongs_to) == _kind(identity):
        remedy += (
            f", or, where its files have moved, say `satctl regions source {shlex.quote(region.name)} --set current`"
        )
    else:
        remedy += ", or register a region with another name for the other source"
    return f"region {region.name}: belongs to the source {belongs_to!r}, and the settings name {identity!r}; {remedy}"


def require(engine: Engine, region: Region, source: SceneSource) -> None:
    """Refuse a source that is not the region's own. A region without a known source adopts the first one.

    Raises:
        SettingError: the region belongs to another source; nothing was asked or stored.
    """
    refused = refusal(region, source.identity)
    if refused:
        raise SettingError(refused)
    if region.scene_source != source.identity:
        with write_transaction(engine) as connection:
            ledger.lock_region(connection, region.bbox_id)
            now = ledger.region(connection, region.bbox_id)  # another run may have been first
            refused = refusal(now, source.identity)
            if refused:
                raise SettingError(refused)
            _set(connection, region.bbox_id, source.identity)
        _log.warning("region %s: its source was not known; from now on it belongs to %r", region.name, source.identity)


def set_source(connection: Connection, name: str, identity: str) -> bool:
    """Set the source of a region: its files have moved, or, before it has imagery, it is another source.

    Returns:
        False if it already belongs to that source; nothing was changed.

    Raises:
        InputError: there is no such region, or it has imagery of another kind of source.
    """
    registry.lock(connection)
    region = registry.region(connection, name)
    ledger.lock_region(connection, region.bbox_id)
    if region.scene_source == identity:
        return False
    other_kind = region.scene_source is not None and _kind(region.scene_source) != _kind(identity)
    if other_kind and _has_imagery(connection, region.bbox_id):
        raise InputError(
            f"region {name!r} has imagery of the source {region.scene_source!r}, and a series is never of both it and "
            f"{identity!r}; register a region with another name, or begin in another home or database"
        )
    _set(connection, region.bbox_id, identity)
    registry.moved(connection)
    return True


def _set(connection: Connection, bbox_id: int, identity: str) -> None:
    connection.execute(update(Region).where(Region.bbox_id == bbox_id).values(scene_source=identity))


def _has_imagery(connection: Connection, bbox_id: int) -> bool:
    statement = select(Acquisition.item_id).where(Acquisition.bbox_id == bbox_id).limit(1)
    return connection.execute(statement).first() is not None


def _kind(identity: str) -> str:
    return identity.split(" ", 1)[0]


def _is_any_folder(belongs_to: str, identity: str) -> bool:
    """Whether a region's source is only known to be a folder, and this one is a folder."""
    return belongs_to == FOLDER and _kind(identity) == FOLDER
