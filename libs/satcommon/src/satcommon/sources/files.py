"""The files of a source of scenes, in a folder or (see `bucket`) under a prefix of a bucket."""

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

_FOUND = "lost+found"  # a file system's own, which none but root may list
_LAST_SECOND = 4_102_444_800  # of the year 2099: a file system may hold times that no datetime does


@dataclass(frozen=True)
class File:
    """A file as it was found.

    Args:
        version: another one where the content may be another.
        size: in bytes.
        modified: UTC.
    """

    version: tuple[object, ...]
    size: int
    modified: datetime

    def settled(self, now: datetime, seconds: float) -> bool:
        """Whether it was not modified within some seconds of now, before or, by a clock that differs, after."""
        return abs((now - self.modified).total_seconds()) >= seconds


class Files(Protocol):
    """Files by their path from the root. A file that changes while it is read is an error, never read as a mixture."""

    where: str

    def scan(self) -> dict[str, File | str]:
        """GeoTIFFs, JSON files and masks (see `is_ours`), but for hidden ones, by path, or why one can't be taken.

        Raises:
            SettingError: there is no such place.
            StoreError: it can't be reached.
        """

    def find(self, name: str) -> File | None:
        """A file, if there is one.

        Raises:
            SceneError: it can't be taken.
            StoreError: it can't be reached.
        """

    def read(self, name: str) -> bytes:
        """The content of a file that is no raster.

        Raises:
            SceneError: it is gone, or larger than `MOST_TEXT_BYTES`.
            StoreError: it can't be reached.
        """

    def digest(self, name: str, file: File) -> str:
        """SHA-256 of the content, 64 hexadecimal digits; raises what `header` raises."""

    def header(self, name: str, file: File) -> AbstractContextManager[DatasetReader]:
        """The file, open as GeoTIFF, for its header.

        Raises:
            SceneError: it is gone or changed.
            StoreError: it can't be reached.
            one of `geotiff.UNREADABLE`.
        """

    def pixels(self, name: str, file: File, most_bytes: int) -> AbstractContextManager[DatasetReader]:
        """The same, for its pixels; where it must be held in memory, of at most some bytes."""


def changed(name: str) -> SceneError:
    """What to raise for a file that is no longer the one that was found; unread, it stays news, and is tried again."""
    return SceneError(f"{name}: was changed while it was read; it is listed again once it keeps still")


class FolderFiles:
    """A folder with its subfolders. Links that lead out of it are refused, links to folders left alone.

    Args:
        folder: where the files are, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)

    def scan(self) -> dict[str, File | str]:
        """See `Files`; a folder that can't be listed is told under its name and a slash."""
        if not self.folder.is_dir():
            raise SettingError(
                f"SATFIELDS_SCENE_FOLDER={self.folder}: is no folder; create it, or name the one that the scenes are in"
            )
        found: dict[str, File | str] = {}
        pending = [(str(self.folder), "")]
        while pending:
            parent, within = pending.pop()
            try:
                with os.scandir(parent) as listed:
                    entries = [entry for entry in listed if not entry.name.startswith(".") and entry.name != _FOUND]
            except OSError as error:
                found[within] = f"{within}: can't be listed ({error.strerror}); let this process read the folder"
                continue
            for entry in entries:
                name = within + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{name}/"))
                elif is_ours(name):
                    try:
                        found[name] = self._file(name, entry.stat, linked=entry.is_symlink())
                    except SceneError as error:
                        found[ascii(name)[1:-1]] = str(error)
        return found

    def find(self, name: str) -> File | None:
        """See `Files`."""
        path = self.folder / name
        return self._file(name, path.stat, linked=True) if os.path.lexists(path) else None

    def read(self, name: str) -> bytes:
        """See `Files`."""
        with self._open(name) as content:
            check_size(name, os.fstat(content.fileno()).st_size)
            return content.read(MOST_TEXT_BYTES)

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
            found = look()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise SceneError(f"{name}: can't be read ({error}); remove it") from error
        if not stat.S_ISREG(found.st_mode) or not inside:  # whoever reads a pipe would wait for ever
            raise SceneError(f"{name}: is a pipe, or a link that leads out of the folder; put the file itself here")
        check_name(name)
        modified = datetime.fromtimestamp(min(max(found.st_mtime_ns // 10**9, 0), _LAST_SECOND), UTC)
        return File((found.st_mtime_ns, found.st_size), found.st_size, modified)


def is_ours(name: str) -> bool:
    """Whether a file counts: a GeoTIFF, a JSON file that may be a STAC item, a mask that GDAL would read beside one."""
    return name.lower().endswith((*RASTERS, ITEM, *_MASKS_OF_RASTERS))


def check_name(name: str) -> None:
    """Refuses a name that no message or ledger could show."""
    if not name.isprintable():
        raise SceneError(f"{name!a}: bears a name that can't be shown; rename it")


def check_size(name: str, size: int) -> None:
    """Refuses a file that is no raster and yet large."""
    if size > MOST_TEXT_BYTES:
        raise SceneError(f"{name}: has {size:,} bytes; expected text of at most {MOST_TEXT_BYTES:,}; cut it")
