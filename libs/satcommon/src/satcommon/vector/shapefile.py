"""Shapefiles: the `.shp` with its siblings in a folder, or all of them in a zip, which is not extracted."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from satcommon.errors import InputError
from satcommon.vector.encoding import encoding_of
from satcommon.vector.gdal import read_layer
from satcommon.vector.table import Choose, Features

MAX_UNZIPPED_BYTES = 4 * 2**30  # a .shp and its .dbf hold 2 GiB each at most, by their formats
_MAX_MEMBERS = 10_000  # of a zip
_NEEDED = {
    ".dbf": "the attributes",
    ".shx": "the index",
    ".prj": "the CRS",
}
_CPG = ".cpg"
_OPTIONAL = (_CPG,)
# dBase stores numbers as digits. GDAL makes floats of wide ones, unless it has checked that all are whole numbers.
_OPTIONS = {"ADJUST_TYPE": "YES"}
_MAGIC = (9994).to_bytes(4, "big")
_WHAT = "Shapefile"
_PIECE = 2**20
# What `zipfile` raises for a broken archive, documented or not.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
)


def read(path: Path, choose: Choose, layer: str | None, single: bool) -> Features:  # noqa: ARG001  # every reader's signature
    """The features of a Shapefile; see `table.Reader`.

    Raises:
        InputError: the file is no Shapefile, lacks a sibling, or a layer is asked for.
    """
    if layer is not None:
        raise InputError(f"{path}: a Shapefile has no layers; leave out the layer {layer!r}")
    with path.open("rb") as file:
        _checked_magic(file.read(len(_MAGIC)), path)
    folder = path.absolute().parent
    siblings = _siblings(path, (other.name for other in folder.iterdir()), path.name)
    said = [(folder / name).read_bytes() for name in siblings if name.lower().endswith(_CPG)]
    encoding = encoding_of(path, said[0]) if said else None
    return read_layer(path, str(path), _WHAT, None, choose, encoding, _OPTIONS)


def read_zipped(path: Path, choose: Choose, layer: str | None, single: bool) -> Features:  # noqa: ARG001  # every reader's signature
    """The features of the Shapefile in a zip, which GDAL reads in place; see `table.Reader`.

    Raises:
        InputError: the zip is damaged, holds no Shapefile or several, or one without a sibling.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
            if len(members) > _MAX_MEMBERS:
                raise InputError(f"{path}: holds {len(members):,} files; expected one Shapefile")
            name = _chosen(path, members, layer)
            _checked_name(path, name)
            with archive.open(name) as file:
                _checked_magic(file.read(len(_MAGIC)), path)
            here = [member for member in members if PurePosixPath(member).parent == PurePosixPath(name).parent]
            siblings = _siblings(path, here, name)
            _checked_content(path, archive, [members[m] for m in siblings])
            said = [archive.read(member) for member in siblings if member.lower().endswith(_CPG)]
    except _BROKEN as error:
        raise InputError(f"{path}: can't be read as a zip: {error}") from error
    except RuntimeError as error:  # zipfile's, of an encrypted member
        raise InputError(f"{path}: can't be read as a zip: {error}; expected one without a password") from error
    encoding = encoding_of(path, said[0]) if said else None
    return read_layer(path, f"/vsizip/{{{path.absolute()}}}/{name}", _WHAT, None, choose, encoding, _OPTIONS)


def _chosen(path: Path, members: Mapping[str, zipfile.ZipInfo], layer: str | None) -> str:
    # macOS adds a shadow of each file, whose name begins so.
    shapes = [m for m in members if m.lower().endswith(".shp") and not PurePosixPath(m).name.startswith("._")]
    stems = {PurePosixPath(name).stem: name for name in shapes}
    named = ", ".join(repr(stem) for stem in list(stems)[:20])
    if not shapes:
        raise InputError(f"{path}: holds no .shp; expected one zipped Shapefile (other formats are read unzipped)")
    if layer is not None and layer not in stems:
        raise InputError(f"{path}: holds no Shapefile {layer!r}; expected one of {named}")
    if layer is None and len(shapes) > 1:
        raise InputError(f"{path}: holds several Shapefiles ({named}); say which one with --layer")
    return stems[layer] if layer is not None else shapes[0]


def _checked_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/") or "\\" in name or ":" in name or not name.isprintable():
        raise InputError(f"{path}: the name {name!r} leads out of the zip; zip the files without folders")


def _checked_magic(head: bytes, path: Path) -> None:
    if head != _MAGIC:
        raise InputError(f"{path}: is no Shapefile, whatever its suffix says; check the file")


def _siblings(path: Path, names: Iterable[str], shape: str) -> list[str]:
    """Of the names in a Shapefile's folder those that make it up; upper and lower case are the same."""
    stem = shape[: -len(".shp")]
    parts = {name[len(stem) :].lower(): name for name in names if name.startswith(stem)}
    missing = [f"{suffix} ({what})" for suffix, what in _NEEDED.items() if suffix not in parts]
    if missing:
        hint = "; zip or copy all files of the Shapefile together"
        if missing == [f".prj ({_NEEDED['.prj']})"]:
            hint += ", or write its CRS as one (gdalsrsinfo -o wkt_esri EPSG:...)"
        raise InputError(f"{path}: the Shapefile lacks its {', '.join(missing)}{hint}")
    return [parts[suffix] for suffix in (".shp", *_NEEDED, *_OPTIONAL) if suffix in parts]


def _checked_content(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """Decompress everything once, to be sure that sizes are as declared and below the limit, and checksums right."""
    declared = sum(member.file_size for member in members)
    if declared > MAX_UNZIPPED_BYTES:
        raise InputError(
            f"{path}: is {declared:,} bytes unzipped; expected at most {MAX_UNZIPPED_BYTES:,}; cut it into several"
        )
    for member in members:
        with archive.open(member) as file:
            while file.read(_PIECE):  # never gives more than declared; zipfile compares the checksum at the end
                pass
