"""GeoTIFFs: opened as nothing else, and errors of damaged ones turned into messages."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's errors reach callers of rasterio.warp and of blocks as these
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from satcommon.errors import SceneError

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

#: What reading a damaged file may raise; a flipped bit of a header can ask for any amount of memory.
UNREADABLE = (RasterioError, CPLE_BaseError, OSError, ValueError, ArithmeticError, MemoryError)

ADVICE = "fetch it again or remove it"

# Megabytes of decoded blocks that GDAL keeps, for this process and its children. Ours are read once and in order: the
# default, a twentieth of the machine's memory, only costs memory, and several times the time for its fresh pages.
os.environ.setdefault("GDAL_CACHEMAX", "32")


def open_geotiff(path: Path | str, opener: Callable[..., Any] | None = None, driver: str = "GTiff") -> DatasetReader:
    """A file as a rasterio dataset; only as GeoTIFF, since GDAL's other formats may name files elsewhere.

    Args:
        path: as GDAL knows it.
        opener: opens the path instead of GDAL, for reading.
        driver: GDAL's, of another format whose files are whole in themselves.

    Raises:
        one of `UNREADABLE`.
    """
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused with a message of our own
        return rasterio.open(path, driver=driver, opener=opener)


@contextmanager
def failing(name: str, advice: str) -> Iterator[None]:
    """Turn the errors of a damaged file into a SceneError that names it and says what to do."""
    try:
        yield
    except UNREADABLE as error:
        raise SceneError(f"{name}: can't be read as a GeoTIFF ({error}); {advice}") from error


def crs_text(crs: CRS) -> str:
    """A CRS as ``EPSG:32633`` where an authority has a code for exactly this one, otherwise as WKT."""
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt())


def check_georeference(dataset: DatasetReader, name: str, warp: Callable[[str], str], assign: str) -> None:
    """Refuse a file that no geotransform and coordinate reference system place on Earth.

    Args:
        dataset: the file.
        name: of the file, for messages.
        warp: what to do with one that is placed by ground control points; is told their system.
        assign: what to do with one that has no system.

    Raises:
        SceneError: saying what it has instead, and what to do.
    """
    if dataset.crs:
        return
    points, crs = dataset.gcps
    if points:
        system = crs_text(crs) if crs else "no stated system"
        raise SceneError(
            f"{name}: is placed by {len(points)} ground control points (in {system}), not by a geotransform; "
            f"{warp(system if crs else 'EPSG:...')}"
        )
    raise SceneError(f"{name}: has no coordinate reference system; {assign}")
