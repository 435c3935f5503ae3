"""What a source of scenes must offer: its calendar, its acquisitions, and their pixels on a region's grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from satcommon.errors import SettingError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.product import Level, Tier

if TYPE_CHECKING:
    from satcommon.raster.layers import Layers
    from satcommon.settings import Settings


SIMULATED, FOLDER = "simulated", "folder"  # how sources' identities begin


class Due(StrEnum):
    """A source's answer for a day: is imagery owed?"""

    DUE = "due"
    NOT_DUE = "not_due"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Place:
    """A region as a source sees it."""

    name: str
    bounds: Bounds
    grid: Grid


@dataclass(frozen=True, order=True)
class Acquisition:
    """One item of imagery.

    Args:
        item_id: unique within the source.
        digest: of its content, so that a changed item is seen; never of its time of arrival.
        platform: as ``sentinel-2``.
        overpass: names the pass of the platform (STAC's datatake); tiles and repeated deliveries of a pass share it.
        tile: names the piece of the pass; empty where a pass is one piece.
        baseline: processing baseline; a later one sorts after.
        sensed_at: mid-time of sensing, UTC; kept to the millisecond, as in published rows, whatever the source states.
        published_at: when it could first be fetched, UTC.
        reading: names rules by which it is read, where they are newer than the first version's. It is no part of a
            scene's digest, but of what a day was answered with: the item is read once more, and a scene is revised
            where its pixels come out otherwise.
        level: what its reflectance is of.
        tier: of Landsat.
        processed_at: when it was made of what was sensed, UTC; None where nothing tells.
    """

    item_id: str
    digest: str
    platform: str
    overpass: str
    tile: str
    baseline: str
    sensed_at: datetime
    published_at: datetime
    reading: str = ""
    level: Level = Level.SURFACE
    tier: Tier = Tier.UNSTATED
    processed_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensed_at", to_milliseconds(self.sensed_at))


def to_milliseconds(time: datetime) -> datetime:
    """The nearest millisecond, which is as fine as published rows keep times; halves go up."""
    return time + timedelta(microseconds=500 - (time.microsecond + 500) % 1000)


@dataclass(frozen=True)
class Listing:
    """What a source has for a span of days: the acquisitions of each solar day, and what can't be taken, by name.

    `refused_on` tells of what can't be taken the day, where anything tells that; a place that may hold acquisitions of
    any day and can't be looked into is refused on each day of the span.
    `unsettled` names what is being written, and may be of one of the days: without it, nothing there is no answer.
    """

    acquisitions: dict[date, list[Acquisition]]
    refused: dict[str, str] = field(default_factory=dict)
    unsettled: tuple[str, ...] = ()
    refused_on: dict[date, dict[str, str]] = field(default_factory=dict)


class SceneSource(Protocol):
    """A source of scenes of one collection. Everything but `list` is a pure function of its arguments.

    Attributes:
        collection: what kind of imagery it gives.
        identity: names the source and its place, as ``simulated`` or ``folder s3://bucket/prefix``; a region keeps
            that of the source that it was registered with.
    """

    collection: str
    identity: str

    def lattice(self, bounds: Bounds) -> Grid | None:
        """The grid that the source's own pixels lie on at a place, if it has one; the region's grid is cut from it."""

    def due(self, place: Place, day: date) -> Due:
        """Whether imagery of a place is owed for a solar day."""

    def calendar(self, place: Place, first: date, last: date) -> dict[date, Due]:
        """As `due`, of each solar day in first..last, for one look at what it rests on."""

    def list(self, place: Place, first: date, last: date, now: datetime) -> Listing:
        """The acquisitions that touch the place, published by `now`, with solar day in first..last."""

    def read(self, place: Place, acquisition: Acquisition) -> Layers:
        """The pixels of an acquisition on the place's grid, harmonised.

        Raises:
            SceneError: where the item can't be read as what it was listed for.
        """


def calendar_by_day(source: SceneSource, place: Place, first: date, last: date) -> dict[date, Due]:
    """The calendar of a source that looks at nothing to tell whether imagery is owed."""
    days = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
    return {day: source.due(place, day) for day in days}


def solar_day(sensed_at: datetime, bounds: Bounds) -> date:
    """The solar day at the centre of a rectangle: the date of (UTC + longitude / 15 h)."""
    return (sensed_at + timedelta(hours=bounds.centre[0] / 15)).date()


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
