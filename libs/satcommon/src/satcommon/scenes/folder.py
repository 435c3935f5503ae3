"""Acquisitions from a folder of GeoTIFFs, one a file, wherever they come from.

Files may appear, change and vanish at any time, and a year's history lists the folder once a day: a listing costs one
`stat` a file, and what was read of a file is kept for as long as its time of modification and size stay the same.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from satcommon.errors import SceneError, SettingError
from satcommon.scenes.geotiff import ADVICE, Header, failing, open_geotiff, read_header
from satcommon.scenes.harmonise import read_layers
from satcommon.scenes.source import Acquisition, Due, Listing, Place, solar_day

if TYPE_CHECKING:
    from satcommon.grid import Bounds, Grid
    from satcommon.scenes.layers import Layers

_SUFFIXES = (".tif", ".tiff")
_Version = tuple[int, int]  # time of modification in nanoseconds, and size


@dataclass(frozen=True)
class _File:
    path: Path
    version: _Version


@dataclass(frozen=True)
class FolderSource:
    """A folder, with its subfolders, of GeoTIFFs. What is hidden (``.name``) and links that lead out are left alone.

    - Time: from the name, as ``2016-01-07T101243`` or ``S2A_MSIL2A_20160107T101243_N0201_R022_T33TVL_...``, else from
      TIFFTAG_DATETIME; UTC.
    - Platform: tag PLATFORM, else ``unknown``. Baseline: from a name with ``_N0400``, else tag PROCESSING_BASELINE.
    - Bands: by description (`geotiff.BAND_NAMES`); red and nir at least. Value * scale + offset is reflectance, or
      kelvin for the thermal band; integers need a scale. Sentinel-2's baseline 04.00 means offset -0.1.
    - Classes: a band described as one of `masks.CLASS_NAMES`. Without one, all that is not nodata counts as clear.
    - The same file is one acquisition under its path in the folder; its digest is of its bytes.

    Args:
        folder: where the files are, or will be.
    """

    folder: Path
    _headers: dict[str, tuple[_Version, Header | str]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, tuple[_Version, str]] = field(default_factory=dict, repr=False, compare=False)

    collection = "imagery"

    def lattice(self, bounds: Bounds) -> Grid | None:
        """The raster of the first file, by name, that can be taken and overlaps the rectangle, if there is one."""
        files, _ = self._scan()
        for name in sorted(files):
            header = self._header(name, files[name])
            if isinstance(header, Header) and header.grid and header.overlaps(bounds):
                return header.grid
        return None

    def due(self, place: Place, day: date) -> Due:  # noqa: ARG002 - the protocol's signature
        """Unknown: a folder has no calendar."""
        return Due.UNKNOWN

    def list(self, place: Place, first: date, last: date, now: datetime) -> Listing:
        """The files over the place with solar day in first..last; a day without one is left out.

        A file is published at its time of modification, but never after `now`: what is there is published.
        What can't be taken is refused under its name, whatever its day; so is every file that lies elsewhere, where
        no file at all lies over the place.

        Raises:
            SettingError: if there is no such folder.
        """
        files, refused = self._scan()
        acquisitions: dict[date, list[Acquisition]] = defaultdict(list)
        elsewhere: dict[str, str] = {}
        somewhere = False
        for name in sorted(files):
            header = self._header(name, files[name])
            if isinstance(header, str):
                refused[name] = header
            elif not header.overlaps(place.bounds):
                elsewhere[name] = _lies_elsewhere(name, header, place)
            else:
                somewhere = True
                day = solar_day(header.sensed_at, place.bounds)
                if first <= day <= last:
                    try:
                        item = self._acquisition(name, files[name], header, now)
                    except OSError as error:
                        refused[name] = f"{name}: can't be read ({error}); let this process read it, or remove it"
                    else:
                        acquisitions[day].append(item)
        return Listing(dict(acquisitions), refused if somewhere else refused | elsewhere)

    def read(self, place: Place, acquisition: Acquisition) -> Layers:
        """The file's pixels on the place's grid; see `harmonise.read_layers`.

        Raises:
            SceneError: where the file is gone, is not the one that was listed, or can't be read.
        """
        name, path = acquisition.item_id, self.folder / acquisition.item_id
        with failing(name, ADVICE):
            file = _file(path, path.stat())
            if file is None or self._digest(name, file) != acquisition.digest:
                raise SceneError(f"{name}: is not the file that was listed ({acquisition.digest[:12]}); list it again")
            header = self._header(name, file)
            if isinstance(header, str):
                raise SceneError(header)
            with open_geotiff(path) as dataset:
                layers = read_layers(dataset, header, place.grid, name)
            if _file(path, path.stat()) != file:
                raise SceneError(f"{name}: was changed while it was read; list it again")
        return layers

    def _acquisition(self, name: str, file: _File, header: Header, now: datetime) -> Acquisition:
        modified = datetime.fromtimestamp(file.version[0] // 10**9, UTC)
        return Acquisition(
            item_id=name,
            digest=self._digest(name, file),
            platform=header.platform,
            overpass=header.overpass,
            tile=header.tile,
            baseline=header.baseline,
            sensed_at=header.sensed_at,
            published_at=min(modified, now),
        )

    def _scan(self) -> tuple[dict[str, _File], dict[str, str]]:
        """The GeoTIFFs by their path in the folder, and what was refused; forgets what is gone."""
        if not self.folder.is_dir():
            raise SettingError(
                f"SATFIELDS_SCENE_FOLDER={self.folder}: is no folder; create it, or name the one that the scenes are in"
            )
        root = self.folder.resolve()
        files: dict[str, _File] = {}
        refused: dict[str, str] = {}
        pending = [(str(root), "")]
        while pending:
            parent, within = pending.pop()
            try:
                with os.scandir(parent) as found:
                    entries = [entry for entry in found if not entry.name.startswith(".")]
            except OSError as error:
                refused[within] = f"{within}: can't be listed ({error.strerror}); let this process read the folder"
                continue
            for entry in entries:
                name = within + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{name}/"))
                elif name.lower().endswith(_SUFFIXES):
                    try:
                        files[name] = _check(entry, name, root)
                    except SceneError as error:
                        refused[ascii(name)[1:-1]] = str(error)
        for kept in (self._headers, self._digests):
            for gone in kept.keys() - files.keys():
                kept.pop(gone, None)
        return files, refused

    def _header(self, name: str, file: _File) -> Header | str:
        """The file's header, or why it can't be taken."""
        version, header = self._headers.get(name, (None, None))
        if version != file.version or header is None:
            try:
                header = read_header(file.path, name)
            except SceneError as error:
                header = str(error)
            self._headers[name] = file.version, header
        return header

    def _digest(self, name: str, file: _File) -> str:
        version, digest = self._digests.get(name, (None, ""))
        if version != file.version:
            with file.path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            self._digests[name] = file.version, digest
        return digest


def _check(entry: os.DirEntry[str], name: str, root: Path) -> _File:
    try:
        inside = not entry.is_symlink() or Path(entry.path).resolve(strict=True).is_relative_to(root)
        file = _file(Path(entry.path), entry.stat())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise SceneError(f"{name}: can't be read ({error}); remove it") from error
    if file is None or not inside:
        raise SceneError(f"{name}: is a pipe, or a link that leads out of the folder; put the file itself here")
    if not name.isprintable():
        raise SceneError(f"{name!a}: bears a name that can't be shown; rename it")
    return file


def _file(path: Path, found: os.stat_result) -> _File | None:
    """The file as it is now; None for what is no ordinary file, as a pipe, whose reader would wait for ever."""
    return _File(path, (found.st_mtime_ns, found.st_size)) if stat.S_ISREG(found.st_mode) else None


def _lies_elsewhere(name: str, header: Header, place: Place) -> str:
    west, south, east, north = header.bounds
    return (
        f"{name}: covers longitude {west:.3f} to {east:.3f} and latitude {south:.3f} to {north:.3f}, about "
        f'{_distance_km(header.bounds, place.bounds):,.0f} km from region "{place.name}"; '
        "put scenes of the region here, or register the region that the scenes cover"
    )


def _distance_km(a: Bounds, b: Bounds) -> float:
    """From centre to centre on a sphere (haversine)."""
    (x1, y1), (x2, y2) = (map(math.radians, ((r.west + r.east) / 2, (r.south + r.north) / 2)) for r in (a, b))
    h = math.sin((y2 - y1) / 2) ** 2 + math.cos(y1) * math.cos(y2) * math.sin((x2 - x1) / 2) ** 2
    return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(h)))
