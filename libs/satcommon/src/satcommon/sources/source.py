"""The protocol of a source of scenes: its calendar, its acquisitions, and their pixels on a region's grid."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.scene import Acquisition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from satcommon.raster.layers import Layers


SIMULATED, FOLDER, STAC = "simulated", "folder", "stac"  # what sources' identities begin with
BY_REFERENCE = ".json"  # what the keys of scenes end with whose pixels stay where they are


class Due(StrEnum):
    """A source's answer for a day: whether imagery is due."""

    DUE = "due"
    NOT_DUE = "not_due"
    UNKNOWN = "unknown"
    NOT_PLANNED = "not_planned"
    """Not due, since the acquisition plan has no datatake, although the satellite passes over."""

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")

    @property
    def owes_nothing(self) -> bool:
        """Whether no imagery is to come."""
        return self in (Due.NOT_DUE, Due.NOT_PLANNED)


@dataclass(frozen=True)
class AreaOfInterest:
    """The rectangle of a region and the grid on it: what a source is asked for.

    Args:
        name: of the region.
        bounds: in WGS 84.
        grid: the raster that pixels are wanted on.
        further: bands of `layers.FURTHER` that are wanted beside those of `layers.BANDS`, in their order.
    """

    name: str
    bounds: Bounds
    grid: Grid
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What a source has for a span of days.

    Args:
        acquisitions: of each solar day that has some.
        refused: what can't be taken, by name, and why.
        unsettled: what is being written, and may be of one of the days: until it is settled, an empty day is no answer.
        refused_on: the same as `refused`, by day, as far as the day is known; a folder that can't be listed may hold
            acquisitions of any day, and is refused on each day of the span.
    """

    acquisitions: dict[date, list[Acquisition]]
    refused: dict[str, str] = field(default_factory=dict)
    unsettled: tuple[str, ...] = ()
    refused_on: dict[date, dict[str, str]] = field(default_factory=dict)


class SceneSource(Protocol):
    """A source of scenes of one collection. Everything but `list` is a pure function of its arguments.

    Attributes:
        collection: what kind of imagery it gives.
        identity: names the source and where it is, as ``simulated`` or ``folder s3://bucket/prefix``; a region keeps
            that of the source that it was registered with.
    """

    collection: str
    identity: str

    def anchor_grid(self, bounds: Bounds) -> Grid | None:
        """The grid of the source's own pixels there, if it has one; the region's grid is cut from it."""

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        """Whether imagery of the area is due on a solar day."""

    def calendar(self, aoi: AreaOfInterest, first: date, last: date) -> dict[date, Due]:
        """As `due`, for each solar day in first..last; what the answers depend on is read once."""

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        """The acquisitions that touch the area, published by `now`, with solar day in first..last.

        Args:
            aoi: the area.
            first: first solar day.
            last: last solar day.
            now: the time of asking.
        """

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """The pixels of an acquisition on the area's grid, harmonised.

        Raises:
            SceneError: the item can't be read, or is not what was listed.
        """


class OpenCells(Protocol):
    """An acquisition that is open, of which single cells are read.

    Attributes:
        blocks: how many blocks of its files were decoded so far.
        bytes: their size in the files.
    """

    blocks: int
    bytes: int

    def read(self, cells: NDArray[np.integer[Any]]) -> Layers:
        """What `SceneSource.read` gives, in single cells of the grid, shape (1, cells).

        Raises:
            SceneError: a file is gone, was changed, or can't be read.
            StoreError: a file can't be reached.
        """

    def read_thinned(self, step: int) -> Layers:
        """About every n-th cell of every n-th row, for a picture."""


@runtime_checkable
class ReferableSource(SceneSource, Protocol):
    """A source whose acquisitions can stay where they are: single cells are read of exactly what was listed."""

    def reference(self, aoi: AreaOfInterest, acquisition: Acquisition) -> dict[str, Any] | None:
        """What `open_cells` needs to find an acquisition that was read, in JSON; None: its pixels must be copied."""

    def open_cells(
        self, grid: Grid, acquisition: Acquisition, reference: Mapping[str, Any]
    ) -> AbstractContextManager[OpenCells]:
        """Open an acquisition by its reference.

        Args:
            grid: of the region.
            acquisition: as it was read.
            reference: of it.

        Raises:
            SceneError: it is gone, or not what was read.
            CatalogueError, StoreError: the catalogue or a file can't be reached.
        """


def calendar_by_day(source: SceneSource, aoi: AreaOfInterest, first: date, last: date) -> dict[date, Due]:
    """`SceneSource.calendar` of a source that needs to read nothing to answer.

    Args:
        source: the source.
        aoi: the area.
        first: first solar day.
        last: last solar day.
    """
    return {day: source.due(aoi, day) for day in days_between(first, last)}


def days_between(first: date, last: date) -> list[date]:
    """The days from `first` to `last`, both included."""
    return [date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1)]
