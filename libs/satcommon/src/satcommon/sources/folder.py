"""Acquisitions from a folder of GeoTIFFs, one a file, wherever they come from.

Files may appear, change and vanish at any time, and a year's history lists the folder once a day: a listing costs one
`stat` a file, and what was read of a file is kept for as long as its time of modification and size stay the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from satcommon.errors import SceneError, SettingError
from satcommon.geo.geometry import distance_km
from satcommon.geo.solar import solar_day
from satcommon.raster.declared import DeclaredMetadata
from satcommon.raster.geotiff import ADVICE, failing
from satcommon.raster.harmonise import read_layers
from satcommon.raster.header import Header, may_be_of, read_header
from satcommon.raster.plausible import check_pixels
from satcommon.raster.scene import Acquisition
from satcommon.sources import calendar, folder_config, stac_item
from satcommon.sources.files import ITEM, MASKS, RASTERS, File, Files
from satcommon.sources.open_files import open_files
from satcommon.sources.refused import Glance, glance, told_day
from satcommon.sources.source import FOLDER, AreaOfInterest, Due, Listing, days_between

if TYPE_CHECKING:
    from satcommon.geo.grid import Bounds, Grid
    from satcommon.raster.layers import Layers
    from satcommon.sources.calendar import Calendar
    from satcommon.sources.folder_config import Mapping

_Kept = TypeVar("_Kept")
_NO_MAPPING = folder_config.Mapping()


@dataclass(frozen=True)
class Survey:
    """What a folder has at a place, whatever the day.

    Args:
        there: names of the files that overlap the place.
        elsewhere: the files that do not, by name: their bounds in WGS 84.
        refused: what can't be taken, by name, and why.
    """

    there: list[str]
    elsewhere: dict[str, Bounds]
    refused: dict[str, str]


class FolderSource:
    """A folder, with its subfolders, of GeoTIFFs, or a prefix of a bucket. What is hidden (``.name``) is left alone.

    What is stated of a file stands in this order: the STAC item beside it (same stem, ``.json``), the rule of
    `satfields.toml` that matches it, the file itself. docs/reference/folder-source.md tells all of it.

    - Time, platform, tile, level, tier: from the name (`product`), else from tags; UTC.
    - Baseline: from item, tag, name and folders' names, which must agree.
    - Bands: by description (`band_names`); red and nir at least. Value * scale + offset is reflectance, or kelvin for
      the thermal band; integers need a scale, and Sentinel-2's since baseline 04.00 their offset of -0.1 (`offsets`).
    - Classes: a band described as one of `masks.CLASS_NAMES`. Without one, all that is not nodata counts as clear.
    - The same file is one acquisition under its path in the folder; its digest is of its bytes, and of what is stated
      beside it.

    Args:
        folder: where the files are, or will be; a path or ``s3://bucket/prefix``.
        files: how they are read; default: as `folder` says.
    """

    collection = "imagery"

    def __init__(self, folder: Path | str, files: Files | None = None) -> None:
        self.identity = f"{FOLDER} {str(folder).rstrip('/') or '/'}"
        self._files = files or open_files(folder)
        self._kept: dict[tuple[str, str], tuple[object, Any]] = {}

    def anchor_grid(self, bounds: Bounds) -> Grid | None:
        """The raster of the first file, by name, that can be taken and overlaps the rectangle, if there is one."""
        rules, found = self._mapping(), self._scan()
        for name in _rasters(found):
            try:
                _, header = self._stated(name, found, rules)
            except SceneError:
                continue
            if header.overlaps(bounds) and (grid := header.grid_around(bounds)):
                return grid
        return None

    def survey(self, bounds: Bounds) -> Survey:
        """What the folder has at a rectangle; reads the header of every file that was not read before.

        Raises:
            SettingError: there is no such folder, or its `satfields.toml` is wrong.
            StoreError: the bucket can't be reached.
        """
        rules, found = self._mapping(), self._scan()
        there, elsewhere = [], {}
        refused = {name: why for name, why in found.items() if isinstance(why, str) and not name.lower().endswith(ITEM)}
        for name in _rasters(found):
            try:
                _, header = self._stated(name, found, rules)
            except SceneError as error:
                refused[name] = str(error)
                continue
            if header.overlaps(bounds):
                there.append(name)
            else:
                elsewhere[name] = header.bounds
        return Survey(there, elsewhere, refused)

    def check(self) -> None:
        """Read `satfields.toml` and its calendar file, where there are such.

        Raises:
            SettingError: one of them is wrong.
        """
        calendar_file = self._mapping().calendar_file
        if calendar_file:
            self._calendar(calendar_file)

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        """What the calendar of `satfields.toml` says; unknown without one.

        Raises:
            SettingError: `satfields.toml` or its calendar file is wrong.
        """
        return self.calendar(aoi, day, day)[day]

    def calendar(self, aoi: AreaOfInterest, first: date, last: date) -> dict[date, Due]:  # noqa: ARG002 - one for all places
        """As `due`, of each day of a span, for one look at the files.

        Raises:
            SettingError: `satfields.toml` or its calendar file is wrong.
        """
        days = days_between(first, last)
        rules = self._mapping()
        if rules.calendar:
            return {day: calendar.in_cycle(rules.calendar, day) for day in days}
        if rules.calendar_file:
            dates = self._calendar(rules.calendar_file)
            return {day: calendar.in_calendar(dates, day) for day in days}
        return dict.fromkeys(days, Due.UNKNOWN)

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        """The files over the place with solar day in first..last; a day without one is left out.

        A file that is still being written, or what stands beside it, is not there yet. A file is published when its
        item says so, else at its time of modification, but never after `now`: what is there is published.
        What can't be taken is refused under its name, whatever its day; so is every file that lies elsewhere, where
        no file at all lies over the place. Where a refused file tells its day, by its item, its name or its tags, and
        does not tell that it lies elsewhere, it is refused on that day; a folder that can't be listed, and whose name
        tells no day, is so on each day.

        Raises:
            SettingError: if there is no such folder, or its `satfields.toml` is wrong.
            StoreError: the bucket can't be reached.
        """
        rules, found = self._mapping(), self._scan()
        beside = self._files.find(folder_config.NAME)
        if beside and not beside.settled(now, rules.settle_seconds):
            return Listing({}, unsettled=(folder_config.NAME,))
        refused = {name: why for name, why in found.items() if isinstance(why, str) and not name.lower().endswith(ITEM)}
        refused_on: dict[date, dict[str, str]] = defaultdict(dict)
        acquisitions: dict[date, list[Acquisition]] = defaultdict(list)
        elsewhere: dict[str, str] = {}
        unsettled: list[str] = []
        somewhere = False
        for name in _rasters(found):
            parts = [found[name], found.get(_item_of(name))]
            if not all(part.settled(now, rules.settle_seconds) for part in parts if isinstance(part, File)):
                if may_be_of(name, first, last):
                    unsettled.append(name)
                continue
            try:
                declared, header = self._stated(name, found, rules)
                if not header.overlaps(aoi.bounds):
                    elsewhere[name] = _lies_elsewhere(name, header, aoi)
                    continue
                somewhere = True
                day = solar_day(header.sensed_at, aoi.bounds)
                if first <= day <= last:
                    acquisitions[day].append(self._acquisition(name, _file(found, name), header, declared, now))
            except SceneError as error:
                refused[name] = str(error)
        for name, why in refused.items():
            for day in self._days_of_refused(name, found, rules, aoi, first, last):
                refused_on[day][name] = why
        shown = refused if somewhere else refused | elsewhere
        return Listing(dict(acquisitions), shown, tuple(unsettled), dict(refused_on))

    def _days_of_refused(
        self, name: str, found: dict[str, File | str], rules: Mapping, aoi: AreaOfInterest, first: date, last: date
    ) -> Sequence[date]:
        """The days on which what can't be taken is missing; none where nothing tells one, or it lies elsewhere."""
        sensed, seen = None, Glance()
        if not name.endswith("/"):
            with suppress(SceneError):
                sensed = self._claims(name, found, rules)[0].sensed_at
            with suppress(SceneError):
                seen = self._glance(name, _file(found, name))
        if not seen.may_lie_over(aoi.bounds):
            return ()
        day = told_day(name, sensed, seen.tag, aoi.bounds)
        if day is None and name.endswith("/"):
            return days_between(first, last)
        return [day] if day else ()

    def _glance(self, name: str, file: File) -> Glance:
        def look() -> Glance:
            try:
                with failing(name, ADVICE), self._files.header(name, file) as dataset:
                    return glance(dataset)
            except SceneError as error:
                if isinstance(error.__cause__, PermissionError):
                    raise  # who lets this process read the file leaves its version as it is
                return Glance()

        return self._keep("glance", name, file.version, look)

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """The file's pixels on the place's grid; see `harmonise.read_layers`.

        Raises:
            SceneError: where the file is gone, is not the one that was listed, or can't be read, or where its pixels
                can't be what is said of them.
            StoreError: the bucket can't be reached.
        """
        name, rules = acquisition.item_id, self._mapping()
        found: dict[str, File | str] = {
            one: file
            for one in (name, _item_of(name), *(name + mask for mask in MASKS))
            if (file := self._files.find(one))
        }
        if name not in found:
            raise SceneError(f"{name}: can't be read: it is gone; list it again")
        declared, header = self._stated(name, found, rules)
        file = _file(found, name)
        if self._digest(name, file, declared) != acquisition.digest:
            raise SceneError(f"{name}: is not the file that was listed ({acquisition.digest[:12]}); list it again")
        with failing(name, ADVICE), self._files.pixels(name, file, rules.most_bytes) as dataset:
            layers = read_layers(dataset, header, aoi.grid, name, rules.most_bytes)
        check_pixels(layers, name)
        return layers

    def _acquisition(
        self, name: str, file: File, header: Header, declared: DeclaredMetadata, now: datetime
    ) -> Acquisition:
        return Acquisition(
            item_id=name,
            digest=self._digest(name, file, declared),
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

    def _scan(self) -> dict[str, File | str]:
        """What there is; forgets what is gone."""
        found = self._files.scan()
        for kind, name in list(self._kept):
            if kind != "setting" and name not in found:
                self._kept.pop((kind, name), None)
        return found

    def _stated(self, name: str, found: dict[str, File | str], rules: Mapping) -> tuple[DeclaredMetadata, Header]:
        """What is stated of a file beside it, and its header.

        Raises:
            SceneError: it can't be taken.
        """
        if beside := next((name + mask for mask in MASKS if name + mask in found), None):
            raise SceneError(
                f"{name}: has a mask in a file beside it, {PurePosixPath(beside).name}; only a mask within the file is "
                "read: write it with `gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES`, or remove the mask's file"
            )
        declared, stated = self._claims(name, found, rules)
        file = _file(found, name)

        def read() -> Header | str:
            try:
                with failing(name, ADVICE), self._files.header(name, file) as dataset:
                    return read_header(dataset, name, declared)
            except SceneError as error:
                if isinstance(error.__cause__, PermissionError):
                    raise  # who lets this process read the file leaves its version as it is
                return str(error)

        header = self._keep("header", name, (file.version, stated), read)
        if isinstance(header, str):
            raise SceneError(header)
        return declared, header

    def _claims(self, name: str, found: dict[str, File | str], rules: Mapping) -> tuple[DeclaredMetadata, str]:
        """What is stated of a file beside it, and the digest of that."""
        beside = _item_of(name)
        version = _file(found, beside).version if beside in found else None

        def read() -> tuple[DeclaredMetadata, str]:
            declared = rules.declared(name)
            if version is not None:
                declared = stac_item.parse(self._files.read(beside), beside, PurePosixPath(name).name).over(declared)
            return declared, declared.digest

        return self._keep("declared", name, (version, rules), read)

    def _digest(self, name: str, file: File, declared: DeclaredMetadata) -> str:
        with failing(name, ADVICE):
            content = self._keep("digest", name, file.version, lambda: self._files.digest(name, file))
        return declared.upon(content)

    def _mapping(self) -> Mapping:
        """`satfields.toml`, as it is now."""
        where = f"{self._files.where}/{folder_config.NAME}"
        return self._setting(folder_config.NAME, lambda content: folder_config.parse(content, where)) or _NO_MAPPING

    def _calendar(self, name: str) -> Calendar:
        where = f"{self._files.where}/{name}"
        dates = self._setting(name, lambda content: calendar.parse(content, where))
        if dates is None:
            raise SettingError(
                f"{self._files.where}/{folder_config.NAME}: calendar_file = {name!r}: there is no such file; "
                "put it there"
            )
        return dates

    def _setting(self, name: str, parse: Callable[[bytes], _Kept]) -> _Kept | None:
        try:
            file = self._files.find(name)
            if file is None:
                return None
            return self._keep("setting", name, file.version, lambda: parse(self._files.read(name)))
        except SceneError as error:
            raise SettingError(f"{self._files.where}/{error}") from error

    def _keep(self, kind: str, name: str, version: object, make: Callable[[], _Kept]) -> _Kept:
        """What was made of this version of a file, or is made now."""
        known = self._kept.get((kind, name))
        if known is None or known[0] != version:
            known = version, make()
            self._kept[kind, name] = known
        kept: _Kept = known[1]
        return kept


def _rasters(found: dict[str, File | str]) -> list[str]:
    return sorted(name for name, file in found.items() if isinstance(file, File) and name.lower().endswith(RASTERS))


def _item_of(name: str) -> str:
    return name[: name.rindex(".")] + ITEM


def _file(found: dict[str, File | str], name: str) -> File:
    file = found[name]
    if isinstance(file, str):
        raise SceneError(file)
    return file


def _lies_elsewhere(name: str, header: Header, aoi: AreaOfInterest) -> str:
    west, south, east, north = header.bounds
    return (
        f"{name}: covers longitude {west:.3f} to {east:.3f} and latitude {south:.3f} to {north:.3f}, about "
        f'{distance_km(header.bounds, aoi.bounds):,.0f} km from region "{aoi.name}"; '
        "put scenes of the region here, or register the region that the scenes cover"
    )
