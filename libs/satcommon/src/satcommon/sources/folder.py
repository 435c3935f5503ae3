"""Acquisitions from a folder of GeoTIFFs, one for each file, wherever they come from.

Files may appear, change and vanish at any time; `folder_reader` reads each version of a file once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from satcommon.errors import SceneError, SettingError
from satcommon.geo.geometry import distance_km
from satcommon.geo.solar import solar_day
from satcommon.raster.declared import DeclaredMetadata
from satcommon.raster.geotiff import ADVICE, failing
from satcommon.raster.harmonise import read_layers
from satcommon.raster.header import Header, may_be_of
from satcommon.raster.pixel_checks import check_pixels
from satcommon.raster.scene import Acquisition
from satcommon.sources import calendar, folder_config
from satcommon.sources.acquisition_plans import PlanFolder
from satcommon.sources.files import ITEM, File, Files, Scan
from satcommon.sources.folder_reader import FolderReader, file_of, item_of, rasters
from satcommon.sources.open_files import open_files
from satcommon.sources.refused import Glance, told_day
from satcommon.sources.source import FOLDER, AreaOfInterest, Due, Listing, days_between

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds, Grid
    from satcommon.raster.layers import Layers
    from satcommon.sources.folder_config import FolderConfig


@dataclass(frozen=True)
class Survey:
    """What a folder has over a rectangle, on any day.

    Args:
        over: names of the files that overlap the rectangle.
        elsewhere: the files that do not, by name: their bounds in WGS 84.
        refused: the files that can't be taken, by name, and why.
    """

    over: list[str]
    elsewhere: dict[str, Bounds]
    refused: dict[str, str]


class FolderSource:
    """A folder of GeoTIFFs with its subfolders, or a prefix of a bucket. Hidden files (``.name``) are ignored.

    What is said of a file counts in this order: the STAC item beside it (same stem, ``.json``), the rule of
    `satfields.toml` that matches it, the file itself. docs/reference/folder-source.md has all of it.

    - Time, platform, tile, level, tier: from the name (`product`), otherwise from tags; UTC.
    - Baseline: from item, tag, name and folders' names, which must agree.
    - Bands: by description (`band_names`); red and nir at least. Value * scale + offset is reflectance, or kelvin for
      the thermal band; integers need a scale, and Sentinel-2's since baseline 04.00 their offset of -0.1 (`offsets`).
    - Classes: a band described as one of `masks.CLASS_NAMES`. Without one, every cell that is not nodata is clear.
    - The same file is one acquisition under its path in the folder; its digest covers its bytes, and what is declared
      beside it.

    Args:
        folder: where the files are, or will be; a path or ``s3://bucket/prefix``.
        files: how they are read; default: as `folder` says.

    Raises:
        SettingError: the bucket's URL, or an AWS variable, can't be right.
    """

    collection = "imagery"

    def __init__(self, folder: Path | str, files: Files | None = None) -> None:
        self.identity = f"{FOLDER} {str(folder).rstrip('/') or '/'}"
        self._reader = FolderReader(files or open_files(folder))
        self._plan_folders: dict[str, PlanFolder] = {}

    def anchor_grid(self, bounds: Bounds) -> Grid | None:
        """The raster of the first file, by name, that can be taken and overlaps the rectangle, if there is one.

        Raises:
            SettingError: there is no such folder, or its `satfields.toml` is wrong.
            StoreError: the bucket can't be reached.
        """
        config, scan = self._reader.config(), self._reader.scan()
        for name in rasters(scan):
            try:
                _, header = self._reader.header(name, scan, config)
            except SceneError:
                continue
            if header.overlaps(bounds) and (grid := header.grid_around(bounds)):
                return grid
        return None

    def survey(self, bounds: Bounds) -> Survey:
        """What the folder has over a rectangle; reads the header of every file that was not read before.

        Raises:
            SettingError: there is no such folder, or its `satfields.toml` is wrong.
            StoreError: the bucket can't be reached.
        """
        config, scan = self._reader.config(), self._reader.scan()
        over, elsewhere, refused = [], {}, _refused(scan)
        for name in rasters(scan):
            try:
                _, header = self._reader.header(name, scan, config)
            except SceneError as error:
                refused[name] = str(error)
                continue
            if header.overlaps(bounds):
                over.append(name)
            else:
                elsewhere[name] = header.bounds
        return Survey(over, elsewhere, refused)

    def check(self) -> None:
        """Read `satfields.toml`, and its calendar file or plans, where there are such.

        Raises:
            SettingError: one of them is wrong.
        """
        config = self._reader.config()
        if config.calendar_file:
            self._reader.calendar(config.calendar_file)
        if (plans := self._plans(config)) and (troubles := plans.troubles()):
            raise SettingError("; ".join(troubles))

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        """What the calendar of `satfields.toml` says; unknown without one.

        Raises:
            SettingError: `satfields.toml` or its calendar file is wrong.
        """
        return self.calendar(aoi, day, day)[day]

    def calendar(self, aoi: AreaOfInterest, first: date, last: date) -> dict[date, Due]:
        """As `due`, for each day from `first` to `last`; the files are read once.

        Raises:
            SettingError: `satfields.toml` or its calendar file is wrong.
        """
        days = days_between(first, last)
        config = self._reader.config()
        if config.calendar:
            return calendar.answers(config.calendar, self._plans(config), aoi, days)
        if config.calendar_file:
            answers = self._reader.calendar(config.calendar_file)
            return {day: calendar.in_calendar(answers, day) for day in days}
        return dict.fromkeys(days, Due.UNKNOWN)

    def _plans(self, config: FolderConfig) -> PlanFolder | None:
        name = config.calendar.plans if config.calendar else None
        if name is None:
            return None
        return self._plan_folders.setdefault(name, PlanFolder(self._reader.files, name.rstrip("/")))

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        """The files over the area with solar day in first..last; a day without one is left out.

        A file that is still being written, or whose item is, is not there yet. A file is published when its item says
        so, otherwise at its time of modification, but never after `now`: what is there is published.
        A file that can't be taken is refused under its name, whatever its day. If no file lies over the area, every
        file that lies elsewhere is refused, too. A refused file is refused on the day that its item, name or tags
        state, unless it states that it lies elsewhere. A folder that can't be listed, and whose name states no day, is
        refused on every day.

        Args:
            aoi: the area.
            first: first solar day.
            last: last solar day.
            now: what is modified after that, or shortly before, is being written.

        Raises:
            SettingError: there is no such folder, or its `satfields.toml` is wrong.
            StoreError: the bucket can't be reached.
        """
        config, scan = self._reader.config(), self._reader.scan()
        config_file = self._reader.files.find(folder_config.NAME)
        if config_file and not config_file.settled(now, config.settle_seconds):
            return Listing({}, unsettled=(folder_config.NAME,))
        refused = _refused(scan)
        acquisitions: dict[date, list[Acquisition]] = defaultdict(list)
        elsewhere: dict[str, str] = {}
        unsettled: list[str] = []
        any_over = False
        for name in rasters(scan):
            parts = [scan[name], scan.get(item_of(name))]
            if not all(part.settled(now, config.settle_seconds) for part in parts if isinstance(part, File)):
                if may_be_of(name, first, last):
                    unsettled.append(name)
                continue
            try:
                declared, header = self._reader.header(name, scan, config, aoi.further)
                if not header.overlaps(aoi.bounds):
                    elsewhere[name] = _lies_elsewhere(name, header, aoi)
                    continue
                any_over = True
                day = solar_day(header.sensed_at, aoi.bounds)
                if first <= day <= last:
                    acquisitions[day].append(self._acquisition(aoi, name, scan, header, declared, now))
            except SceneError as error:
                refused[name] = str(error)
        refused_on: dict[date, dict[str, str]] = defaultdict(dict)
        for name, why in refused.items():
            for day in self._days_of_refused(name, scan, config, aoi, days_between(first, last)):
                refused_on[day][name] = why
        shown = refused if any_over else refused | elsewhere
        return Listing(dict(acquisitions), shown, tuple(unsettled), dict(refused_on))

    def _days_of_refused(
        self, name: str, scan: Scan, config: FolderConfig, aoi: AreaOfInterest, days: Sequence[date]
    ) -> Sequence[date]:
        """The days on which a refused file is missing; none where nothing tells a day, or the file lies elsewhere."""
        is_folder = name.endswith("/")
        sensed, seen = None, Glance()
        if not is_folder:
            with suppress(SceneError):
                sensed = self._reader.declared(name, scan, config).sensed_at
            with suppress(SceneError):
                seen = self._reader.glance(name, file_of(scan, name))
        if not seen.may_lie_over(aoi.bounds):
            return ()
        day = told_day(name, sensed, seen.tag, aoi.bounds)
        if day is None:
            return days if is_folder else ()
        return [day]

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """The file's pixels on the area's grid; see `harmonise.read_layers`.

        Raises:
            SceneError: the file is gone, is not the one that was listed, or can't be read.
            RadiometricError: its pixels contradict what is declared of them, and it was not accepted all the same.
            StoreError: the bucket can't be reached.
        """
        name, config = acquisition.item_id, self._reader.config()
        scan = self._reader.find(name)
        declared, header = self._reader.header(name, scan, config, aoi.further)
        file = file_of(scan, name)
        if self._reader.digest(name, file, declared, aoi.further) != acquisition.digest:
            raise SceneError(f"{name}: is not the file that was listed ({acquisition.digest[:12]}); list it again")
        with failing(name, ADVICE), self._reader.files.pixels(name, file, config.most_bytes) as dataset:
            layers = read_layers(dataset, header, aoi.grid, name, config.most_bytes)
        if not acquisition.accepted:
            said = declared.cloud.as_seen_from(aoi.bounds) if declared.cloud else None
            check_pixels(layers, name, header.classes[0] if header.classes else "", said)
        return layers

    def _acquisition(
        self, aoi: AreaOfInterest, name: str, scan: Scan, header: Header, declared: DeclaredMetadata, now: datetime
    ) -> Acquisition:
        file = file_of(scan, name)
        return Acquisition(
            item_id=name,
            digest=self._reader.digest(name, file, declared, aoi.further),
            platform=header.platform,
            overpass=header.overpass,
            tile=header.tile,
            baseline=header.baseline,
            sensed_at=header.sensed_at,
            published_at=min(declared.published_at or file.modified, now),
            reading=header.reading,
            level=header.level,
            tier=header.tier,
            processed_at=header.processed_at,
        )


def _refused(scan: Scan) -> dict[str, str]:
    """The files that can't be taken, and why; items count only beside their rasters."""
    return {name: why for name, why in scan.items() if isinstance(why, str) and not name.lower().endswith(ITEM)}


def _lies_elsewhere(name: str, header: Header, aoi: AreaOfInterest) -> str:
    west, south, east, north = header.bounds
    return (
        f"{name}: covers longitude {west:.3f} to {east:.3f} and latitude {south:.3f} to {north:.3f}, about "
        f'{distance_km(header.bounds, aoi.bounds):,.0f} km from region "{aoi.name}"; '
        "put scenes of the region here, or register the region that the scenes cover"
    )
