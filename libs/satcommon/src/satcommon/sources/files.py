"""The files of a source of scenes, in a folder or (see the module `bucket`) under a prefix of a bucket."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from satcommon.errors import SceneError, SettingError
from satcommon.raster.geotiff import open_geotiff

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

RASTERS = (".tif", ".tiff")
ITEM = ".json"
MASKS = (".msk", ".MSK")  # what GDAL calls a mask beside a raster, after the whole of its name
_MASKS_OF_RASTERS = tuple(raster + MASKS[0] for raster in RASTERS)
MOST_TEXT_BYTES = 4_000_000  # of a file that is no raster

_LOST_AND_FOUND = "lost+found"  # a file system's own, which only root may list
_LAST_SECOND = 4_102_444_800  # of the year 2099: a file system may hold times that no datetime does


@dataclass(frozen=True)
class File:
    """A file as a scan saw it.

    Args:
        version: differs where the content may differ.
        size: in bytes.
        modified: UTC.
    """

    version: tuple[object, ...]
    size: int
    modified: datetime

    def settled(self, now: datetime, seconds: float) -> bool:
        """Whether it was last modified some seconds from now or more: before, or, by a clock that is ahead, after."""
        return abs((now - self.modified).total_seconds()) >= seconds


Scan = dict[str, File | str]  # by path from the root: the file, or why it can't be taken


class Files(Protocol):
    """Files by their path from the root. A file that changes while it is read is an error, never read as a mixture."""

    where: str

    def scan(self) -> Scan:
        """GeoTIFFs, JSON files and masks (see `is_ours`), without hidden ones.

        Raises:
            SettingError: the folder does not exist.
            StoreError: it can't be reached.
        """

    def find(self, name: str) -> File | None:
        """A file, if there is one.

        Raises:
            SceneError: it can't be taken.
            StoreError: it can't be reached.
        """

    def within(self, folder: str, ending: str) -> Scan | None:
        """The files directly in a folder whose names have an ending, without hidden ones; None if there is no folder.

        Args:
            folder: its path from the root; "" is the root.
            ending: of names, in lower case.

        Raises:
            SceneError: the folder can't be listed.
            StoreError: it can't be reached.
        """

    def read(self, name: str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
        """The content of a file that is no raster.

        Raises:
            SceneError: it is gone, or larger than `most_bytes`.
            StoreError: it can't be reached.
        """

    def digest(self, name: str, file: File) -> str:
        """SHA-256 of the content, 64 hexadecimal digits.

        Raises:
            SceneError: it is gone or changed.
            StoreError: it can't be reached.
        """

    def header(self, name: str, file: File) -> AbstractContextManager[DatasetReader]:
        """The file, open as GeoTIFF, for its header.

        Raises:
            SceneError: it is gone or changed.
            StoreError: it can't be reached.
            one of `geotiff.UNREADABLE`.
        """

    def pixels(self, name: str, file: File, most_bytes: int) -> AbstractContextManager[DatasetReader]:
        """The file, open as GeoTIFF, for its pixels.

        Args:
            name: of the file.
            file: as a scan saw it.
            most_bytes: that it may have, where it must be held in memory.

        Raises:
            SceneError: it is gone, changed or too large.
            StoreError: it can't be reached.
            one of `geotiff.UNREADABLE`.
        """


def changed(name: str) -> SceneError:
    """The error for a file that is not the one that was listed: it was not read, so the next listing tries it again."""
    return SceneError(f"{name}: was changed while it was read; it is listed again once it keeps still")


class FolderFiles:
    """A folder with its subfolders. Links that lead out of it are refused, links to folders are ignored.

    Args:
        folder: where the files are, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)

    def scan(self) -> Scan:
        """See `Files`; a folder that can't be listed stands under its name and a slash."""
        if not self.folder.is_dir():
            raise SettingError(
                f"SATFIELDS_SCENE_FOLDER={self.folder}: is no folder; create it, or name the one that the scenes are in"
            )
        scan: Scan = {}
        pending = [(str(self.folder), "")]
        while pending:
            parent, within = pending.pop()
            try:
                with os.scandir(parent) as listed:
                    entries = [
                        entry for entry in listed if not entry.name.startswith(".") and entry.name != _LOST_AND_FOUND
                    ]
            except OSError as error:
                scan[within] = f"{within}: can't be listed ({error.strerror}); let this process read the folder"
                continue
            for entry in entries:
                name = within + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{name}/"))
                elif is_ours(name):
                    try:
                        scan[name] = self._file(name, entry.stat, linked=entry.is_symlink())
                    except SceneError as error:
                        scan[ascii(name)[1:-1]] = str(error)
        return scan

    def find(self, name: str) -> File | None:
        """See `Files`."""
        path = self.folder / name
        return self._file(name, path.stat, linked=True) if os.path.lexists(path) else None

    def within(self, folder: str, ending: str) -> Scan | None:
        """See `Files`."""
        if not (self.folder / folder).is_dir():
            return None
        try:
            names = sorted(os.listdir(self.folder / folder))  # noqa: PTH208  # names alone, as `scan` has them
        except OSError as error:
            raise SceneError(f"{folder}: can't be listed ({error.strerror}); let this process read it") from error
        scan: Scan = {}
        for name in (f"{folder}/{name}".lstrip("/") for name in names if not name.startswith(".")):
            if name.lower().endswith(ending):
                try:
                    scan[name] = self._file(name, (self.folder / name).stat, linked=True)
                except SceneError as error:
                    scan[ascii(name)[1:-1]] = str(error)
        return scan

    def read(self, name: str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
        """See `Files`."""
        with self._open(name) as content:
            check_size(name, os.fstat(content.fileno()).st_size, most_bytes)
            return content.read(most_bytes)

    def digest(self, name: str, file: File) -> str:
        """See `Files`."""
        with self._open(name) as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if self.find(name) != file:
            raise changed(name)
        return digest

    @contextmanager
    def header(self, name: str, file: File) -> Iterator[DatasetReader]:
        """See `Files`."""
        with self._open(name), open_geotiff(self.folder / name) as dataset:
            yield dataset
        if self.find(name) != file:
            raise changed(name)

    def pixels(self, name: str, file: File, most_bytes: int) -> AbstractContextManager[DatasetReader]:  # noqa: ARG002 - GDAL reads the disk
        """See `Files`."""
        return self.header(name, file)

    def _open(self, name: str) -> BufferedReader:
        try:
            return (self.folder / name).open("rb")
        except OSError as error:
            raise SceneError(
                f"{name}: can't be read ({error.strerror}); let this process read it, or remove it"
            ) from error

    def _file(self, name: str, look: Callable[[], os.stat_result], *, linked: bool) -> File:
        try:
            inside = not linked or (self.folder / name).resolve(strict=True).is_relative_to(self.folder.resolve())
            status = look()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise SceneError(f"{name}: can't be read ({error}); remove it") from error
        if not stat.S_ISREG(status.st_mode) or not inside:  # reading a pipe would wait for ever
            raise SceneError(f"{name}: is a pipe, or a link that leads out of the folder; put the file itself here")
        check_name(name)
        modified = datetime.fromtimestamp(min(max(status.st_mtime_ns // 10**9, 0), _LAST_SECOND), UTC)
        return File((status.st_mtime_ns, status.st_size), status.st_size, modified)


def is_ours(name: str) -> bool:
    """Whether a file counts: a GeoTIFF, a JSON file that may be a STAC item, a mask that GDAL would read beside one."""
    return name.lower().endswith((*RASTERS, ITEM, *_MASKS_OF_RASTERS))


def check_name(name: str) -> None:
    """Refuse a name that no message or ledger could show.

    Raises:
        SceneError: it holds characters that can't be printed.
    """
    if not name.isprintable():
        raise SceneError(f"{name!a}: bears a name that can't be shown; rename it")


def check_size(name: str, size: int, most_bytes: int) -> None:
    """Refuse a large file that is no raster.

    Raises:
        SceneError: it has more bytes.
    """
    if size > most_bytes:
        raise SceneError(f"{name}: has {size:,} bytes; expected text of at most {most_bytes:,}; cut it")
