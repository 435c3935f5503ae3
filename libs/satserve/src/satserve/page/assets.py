"""The page's files, read once: their bytes, also compressed, under one digest of all of them.

One digest for all: modules import each other by relative address, so a change of one must change the address of each
that imports it. No bundler rewrites them.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

STATIC = Path(__file__).with_name("static")
THIRD_PARTY = "third_party"  # a folder of files that `make page` fetches; not in the repository
NEEDED = ("maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css")
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True)
class Asset:
    """A file.

    Args:
        content: its bytes.
        media_type: what it is.
    """

    content: bytes
    media_type: str

    @cached_property
    def compressed(self) -> bytes:
        """Its bytes, compressed with gzip; the same each time."""
        return gzip.compress(self.content, 9, mtime=0)


class Assets:
    """The files of the page.

    Args:
        folder: where they are.

    Attributes:
        files: by path below the folder, with slashes.
        missing: names of third-party files that are not there.
        digest: of all files.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES and path.is_file())
        self.files: Mapping[str, Asset] = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths
        }
        self.missing = [name for name in NEEDED if f"{THIRD_PARTY}/{name}" not in self.files]
        digest = hashlib.sha256()
        for name, asset in self.files.items():
            digest.update(f"{name} {hashlib.sha256(asset.content).hexdigest()}\n".encode())
        self.digest = digest.hexdigest()[:16]
        self._index = (folder / _INDEX).read_text()

    @cached_property
    def page(self) -> Asset:
        """The page itself, whose links lead to files of this digest."""
        there = "false" if self.missing else "true"
        text = self._index.replace("$ASSETS", f"map/assets/{self.digest}").replace("$HAS_MAP", there)
        if self.missing:
            style = '    <link rel="stylesheet" href="map/assets/' + self.digest + f'/{THIRD_PARTY}/maplibre-gl.css">\n'
            text = text.replace(style, "")
        return Asset(text.encode(), "text/html; charset=utf-8")
