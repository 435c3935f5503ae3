"""What a folder's files say, read once for each version of a file.

A year's history lists the folder once a day: a listing costs one `stat` for each file, and what was read of a file is
kept for as long as its time of modification and size stay the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, TypeVar

from satcommon.errors import SceneError, SettingError
from satcommon.raster.declared import DeclaredMetadata
from satcommon.raster.geotiff import ADVICE, failing
from satcommon.raster.header import Header, read_header
from satcommon.sources import calendar, folder_config, stac_item
from satcommon.sources.calendar import Calendar
from satcommon.sources.files import ITEM, MASKS, RASTERS, File, Files, Scan
from satcommon.sources.folder_config import FolderConfig
from satcommon.sources.refused import Glance, glance

_Kept = TypeVar("_Kept")
_NO_CONFIG = FolderConfig()


class FolderReader:
    """Reads and remembers what the files of a folder or bucket say.

    Args:
        files: the files.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._kept: dict[tuple[str, str], tuple[object, Any]] = {}

    def scan(self) -> Scan:
        """The files that are there; forgets those that are gone.

        Raises:
            SettingError: the folder does not exist.
            StoreError: the bucket can't be reached.
        """
        scan = self.files.scan()
        for kind, name in list(self._kept):
            if kind != "setting" and name not in scan:
                self._kept.pop((kind, name), None)
        return scan

    def find(self, name: str) -> Scan:
        """A raster, and what counts beside it, without a scan of the folder.

        Raises:
            SceneError: the raster is gone, or one of the files can't be taken.
            StoreError: the bucket can't be reached.
        """
        names = (name, item_of(name), *(name + mask for mask in MASKS))
        scan: Scan = {name: file for name in names if (file := self.files.find(name))}
        if name not in scan:
            raise SceneError(f"{name}: can't be read: it is gone; list it again")
        return scan

    def header(
        self, name: str, scan: Scan, config: FolderConfig, further: tuple[str, ...] = ()
    ) -> tuple[DeclaredMetadata, Header]:
        """What is declared of a file beside it, and its header.

        Args:
            name: of the file.
            scan: the files that are there.
            config: `satfields.toml`.
            further: bands of `layers.FURTHER` that are wanted.

        Raises:
            SceneError: the file can't be taken.
            StoreError: the bucket can't be reached.
        """
        if mask := next((name + mask for mask in MASKS if name + mask in scan), None):
            raise SceneError(
                f"{name}: has a mask in a file beside it, {PurePosixPath(mask).name}; only a mask within the file is "
                "read: write it with `gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES`, or remove the mask's file"
            )
        declared, digest = self._declared(name, scan, config)
        digest = declared.digest_with(further) if further else digest
        file = file_of(scan, name)

        def read() -> Header | str:
            try:
                with failing(name, ADVICE), self.files.header(name, file) as dataset:
                    return read_header(dataset, name, declared, further)
            except SceneError as error:
                return _lasting(error)

        header = self._keep(" ".join(("header", *further)), name, (file.version, digest), read)
        if isinstance(header, str):
            raise SceneError(header)
        return declared, header

    def declared(self, name: str, scan: Scan, config: FolderConfig) -> DeclaredMetadata:
        """What is declared of a file: by its STAC item first, then by the rule of `satfields.toml`.

        Raises:
            SceneError: the item can't be read.
            StoreError: the bucket can't be reached.
        """
        return self._declared(name, scan, config)[0]

    def glance(self, name: str, file: File) -> Glance:
        """What a file that can't be taken says of its place and time.

        Raises:
            SceneError: this process may not read the file.
            StoreError: the bucket can't be reached.
        """

        def look() -> Glance:
            try:
                with failing(name, ADVICE), self.files.header(name, file) as dataset:
                    return glance(dataset)
            except SceneError as error:
                _lasting(error)
                return Glance()

        return self._keep("glance", name, file.version, look)

    def digest(self, name: str, file: File, declared: DeclaredMetadata, further: tuple[str, ...] = ()) -> str:
        """The digest of a file's bytes and of what is declared beside it.

        Args:
            name: of the file.
            file: its version.
            declared: beside it.
            further: bands of `layers.FURTHER` that are wanted.

        Raises:
            SceneError: the file is gone or changed.
            StoreError: the bucket can't be reached.
        """
        with failing(name, ADVICE):
            content = self._keep("digest", name, file.version, lambda: self.files.digest(name, file))
        return declared.upon(content, further)

    def config(self) -> FolderConfig:
        """`satfields.toml`, as it is now.

        Raises:
            SettingError: it can't be read, or is wrong.
            StoreError: the bucket can't be reached.
        """
        where = f"{self.files.where}/{folder_config.NAME}"
        return self._setting(folder_config.NAME, lambda content: folder_config.parse(content, where)) or _NO_CONFIG

    def calendar(self, name: str) -> Calendar:
        """The calendar file that `satfields.toml` names.

        Raises:
            SettingError: it is missing, or wrong.
            StoreError: the bucket can't be reached.
        """
        where = f"{self.files.where}/{name}"
        days = self._setting(name, lambda content: calendar.parse(content, where))
        if days is None:
            raise SettingError(
                f"{self.files.where}/{folder_config.NAME}: calendar_file = {name!r}: there is no such file; "
                "put it there"
            )
        return days

    def _declared(self, name: str, scan: Scan, config: FolderConfig) -> tuple[DeclaredMetadata, str]:
        """What is declared of a file, and the digest of that."""
        item = item_of(name)
        version = file_of(scan, item).version if item in scan else None

        def read() -> tuple[DeclaredMetadata, str]:
            declared = config.declared(name)
            if version is not None:
                declared = stac_item.parse(self.files.read(item), item, PurePosixPath(name).name).over(declared)
            return declared, declared.digest

        return self._keep("declared", name, (version, config), read)

    def _setting(self, name: str, parse: Callable[[bytes], _Kept]) -> _Kept | None:
        try:
            file = self.files.find(name)
            if file is None:
                return None
            return self._keep("setting", name, file.version, lambda: parse(self.files.read(name)))
        except SceneError as error:
            raise SettingError(f"{self.files.where}/{error}") from error

    def _keep(self, kind: str, name: str, version: object, make: Callable[[], _Kept]) -> _Kept:
        """What was made of this version of a file, or is made now."""
        known = self._kept.get((kind, name))
        if known is None or known[0] != version:
            known = version, make()
            self._kept[kind, name] = known
        kept: _Kept = known[1]
        return kept


def rasters(scan: Scan) -> list[str]:
    """The names of the rasters that can be read, in order."""
    return sorted(name for name, file in scan.items() if isinstance(file, File) and name.lower().endswith(RASTERS))


def item_of(name: str) -> str:
    """The name of the STAC item beside a raster."""
    return name[: name.rindex(".")] + ITEM


def file_of(scan: Scan, name: str) -> File:
    """The file of a name.

    Raises:
        SceneError: it can't be taken.
    """
    file = scan[name]
    if isinstance(file, str):
        raise SceneError(file)
    return file


def _lasting(error: SceneError) -> str:
    """The message of an error that stays for as long as the file's version does; any other is raised."""
    if isinstance(error.__cause__, PermissionError):  # letting this process read the file leaves its version as it is
        raise error
    return str(error)
