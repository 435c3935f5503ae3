"""The encoding that a Shapefile's `.cpg` names, in whichever of its many spellings."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from satcommon.errors import InputError
from satcommon.problems import shown

# dBase's language drivers, as `LDID/87` names them, by the code page of each.
_LANGUAGE_DRIVERS = {
    437: (1, 9, 11, 13, 15, 17, 21, 24, 27),
    850: (2, 10, 14, 16, 18, 20, 22, 26, 29, 37, 55),
    852: (31, 34, 35, 64, 100, 135),
    1252: (3, 87, 88, 89),
    10000: (4,),
    865: (8, 23, 102),
    932: (19, 123),
    863: (28, 108),
    860: (36,),
    866: (38, 101),
    936: (77, 122),
    949: (78, 121),
    950: (79, 120),
    874: (80, 124),
    861: (103,),
    737: (106, 134),
    857: (107, 136),
    1250: (200,),
    1251: (201,),
    1254: (202,),
    1253: (203,),
    1257: (204,),
}
_PAGE_OF = {driver: page for page, drivers in _LANGUAGE_DRIVERS.items() for driver in drivers}
_NAMED_PAGES = {65001: "utf-8", 20127: "ascii", 10000: "mac-roman", 20866: "koi8-r", 21866: "koi8-u", 54936: "gb18030"}
_ISO = re.compile(r"(?:iso)?[-_ ]*8859[-_ ]*(\d{1,2})")
_PAGE = re.compile(r"(?:ansi|oem|cp|ms|win|windows|codepage|code page|ibm)?[-_ ]*(\d{3,5})")
_LANGUAGE_DRIVER = re.compile(r"ldid[/ ]*(\d+)")
_GDAL_NAMES = {"mac-roman": "MACINTOSH"}


def encoding_of(path: Path, text: bytes) -> str:
    """The encoding that a `.cpg` names, as GDAL knows it.

    Args:
        path: the Shapefile, for messages.
        text: of the `.cpg`.

    Raises:
        InputError: the spelling is not known, or is of an encoding that no dBase file has.
    """
    said = text.decode("utf-8-sig", errors="replace").strip("\0 \t\r\n")
    codec = _codec(said.lower())
    if codec is None:
        raise InputError(
            f"{path}: its .cpg names the encoding {shown(said)}, which is not known here; write the right one into it, "
            "as UTF-8, ISO-8859-1, 1252 or Big5"
        )
    name = codec.name
    if name in _GDAL_NAMES:
        return _GDAL_NAMES[name]
    return f"ISO-8859-{name[len('iso8859-') :]}" if name.startswith("iso8859-") else name.upper().replace("_", "-")


def _codec(said: str) -> codecs.CodecInfo | None:
    if found := _LANGUAGE_DRIVER.fullmatch(said):
        page = _PAGE_OF.get(int(found[1]))
        return _looked_up(_NAMED_PAGES.get(page, f"cp{page}")) if page else None
    if found := _ISO.fullmatch(said):
        return _looked_up(f"iso8859-{int(found[1])}")
    if found := _PAGE.fullmatch(said):
        page = int(found[1])
        iso = f"iso8859-{page - 28590}" if 28591 <= page <= 28606 else f"cp{page}"  # Windows numbers them so
        return _looked_up(_NAMED_PAGES.get(page, iso))
    return _looked_up(said) or _looked_up(said.replace(" ", ""))


def _looked_up(name: str) -> codecs.CodecInfo | None:
    """A codec of text in which ASCII stands for itself, as in every dBase file."""
    try:
        codec = codecs.lookup(name)
        return codec if b"az09".decode(codec.name) == "az09" and codec.name != "utf-7" else None
    except (LookupError, UnicodeError, ValueError):
        return None
