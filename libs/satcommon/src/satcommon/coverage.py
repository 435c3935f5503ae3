"""Which cells of a grid a polygon covers, and how much of each: exact, computed once, cached.

Coverage depends on geometry, grid and rule alone, so it is kept in the object store, in packs under a key that names
grid and rule. A pack is written once and never changed; writers that race write the same coverage twice, harmlessly.
The cache is never the truth: delete it, and it is rebuilt.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from satcommon.algorithm import Algorithm
from satcommon.errors import ObjectMissingError
from satcommon.grid import Grid
from satcommon.objects import ObjectStore

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Coverage:
    """Covered cells of n polygons, one after the other.

    Args:
        offsets: shape (n + 1,); the cells of polygon i are offsets[i]:offsets[i + 1].
        cells: shape (entries,); numbers of cells, ascending within a polygon.
        fractions: shape (entries,); covered part of each cell, above 0 up to 1; the weight of the cell.
    """

    offsets: NDArray[np.int64]
    cells: NDArray[np.int64]
    fractions: NDArray[np.float64]

    @classmethod
    def of(cls, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> Coverage:
        """Join (cells, fractions) of single polygons."""
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(cells) for cells, _ in parts], out=offsets[1:])
        cells = [np.empty(0, np.int64), *(cells for cells, _ in parts)]
        fractions = [np.empty(0, np.float64), *(fractions for _, fractions in parts)]
        return cls(offsets, np.concatenate(cells), np.concatenate(fractions))


Part = tuple[NDArray[np.int64], NDArray[np.float64]]


def cover(geometries: Sequence[bytes], grid: Grid, rules: Algorithm) -> list[Part]:
    """The exact coverage of polygons (exactextract's algorithm), in their order.

    Args:
        geometries: WKB in WGS 84.
        grid: the raster; what lies outside of it is not covered.
        rules: how far polygons are shrunk first, which cells count, and whether they count whole.

    Returns:
        For each polygon (cells, fractions), cells ascending; empty where it does not reach the grid.
    """
    import shapely
    from exactextract import exact_extract
    from exactextract.feature import JSONFeatureSource
    from exactextract.raster import NumPyRasterSource

    from satcommon.geometry import projected

    shapes = [_shrunk(geometry, rules.inward_buffer_m) for geometry in shapely.from_wkb(list(geometries))]
    polygons = [projected(geometry, grid.crs) for geometry in shapes]
    # A template without memory and without nodata: exactextract drops the cells of a raster that hold nodata.
    wkt = _wkt(grid.crs)
    template = NumPyRasterSource(np.broadcast_to(np.uint8(0), (grid.height, grid.width)), *grid.extent, srs_wkt=wkt)
    # exactextract silently skips a polygon off the grid, so only those that touch it are asked for.
    inside = [i for i, polygon in enumerate(polygons) if polygon.intersects(shapely.box(*grid.extent))]
    found: list[Part] = [(np.empty(0, np.int64), np.empty(0, np.float64))] * len(polygons)
    if not inside:
        return found
    # What exactextract makes of a GeoDataFrame, too: without pandas a run starts sooner, and its image is smaller.
    features = [{"id": i, "properties": {}, "geometry": shapely.geometry.mapping(polygons[i])} for i in inside]
    source = JSONFeatureSource(features, srs_wkt=wkt)
    for covered in exact_extract(template, source, ["cell_id", "coverage"], include_cols=["id"]):
        i, properties = covered["id"], covered["properties"]
        cells, fractions = np.asarray(properties["cell_id"], np.int64), np.asarray(properties["coverage"], np.float64)
        kept = (fractions > 0) & (fractions >= max(rules.min_cell_coverage, rules.whole_cells or 0))
        if rules.whole_cells is not None:
            fractions = np.ones_like(fractions)
        order = np.argsort(cells[kept], kind="stable")
        found[i] = (cells[kept][order], fractions[kept][order])
    return found


def _shrunk(geometry: BaseGeometry, metres: float) -> BaseGeometry:
    """A polygon of WGS 84 without its margin; empty where nothing is left.

    Measured in an azimuthal equidistant projection about the polygon's own centre, whatever the grid's CRS: the metres
    of Web Mercator are short ones, and those of a sinusoidal grid are sheared.
    """
    if not metres:
        return geometry
    import shapely
    from pyproj import Proj

    local = Proj(proj="aeqd", lon_0=geometry.centroid.x, lat_0=geometry.centroid.y, ellps="WGS84")
    inside = shapely.transform(geometry, local, interleaved=False).buffer(-metres)
    return shapely.transform(inside, lambda x, y: local(x, y, inverse=True), interleaved=False)


def _wkt(crs: str) -> str:
    from pyproj import CRS

    return CRS.from_user_input(crs).to_wkt()


class CoverageCache:
    """The coverage of a grid's polygons under the coverage rule of an algorithm version, by geometry digest."""

    def __init__(self, store: ObjectStore, grid: Grid, rules: Algorithm) -> None:
        self._store, self.grid, self._rules = store, grid, rules
        self._prefix = f"coverage/{grid.digest}/{rules.coverage_rule}/"
        self._packs: set[str] = set()
        self._known: dict[str, Part] = {}

    def get(
        self, digests: Sequence[str], geometries_of: Callable[[list[str]], Mapping[str, bytes]]
    ) -> tuple[Coverage, dict[str, str]]:
        """Coverage of polygons in the order of their digests.

        Args:
            digests: of the geometries.
            geometries_of: gives WKB for the digests that are not cached.

        Returns:
            The coverage, empty for polygons that failed; and for each of those the reason, by digest.
        """
        if any(digest not in self._known for digest in digests):
            self._load()
        missing = [digest for digest in dict.fromkeys(digests) if digest not in self._known]
        failed: dict[str, str] = {}
        if missing:
            fresh, failed = self._compute(geometries_of(missing))
            self._known |= fresh
            if fresh:
                self._save(fresh)
        nothing: Part = (np.empty(0, np.int64), np.empty(0, np.float64))
        return Coverage.of([self._known.get(digest, nothing) for digest in digests]), failed

    def _compute(self, geometries: Mapping[str, bytes]) -> tuple[dict[str, Part], dict[str, str]]:
        digests = list(geometries)
        try:
            parts = cover([geometries[d] for d in digests], self.grid, self._rules)
            return dict(zip(digests, parts, strict=True)), {}
        except Exception:  # noqa: BLE001  # one bad polygon aborts exactextract's whole call: find it below, keep the rest
            fresh, failed = {}, {}
            for digest in digests:
                try:
                    [fresh[digest]] = cover([geometries[digest]], self.grid, self._rules)
                except Exception as error:  # noqa: BLE001  # recorded for this field; the others go on
                    failed[digest] = f"coverage: {error}"
            return fresh, failed

    def _load(self) -> None:
        for key in self._store.list(self._prefix):
            if key in self._packs:
                continue
            try:
                table = pq.ParquetFile(pa.BufferReader(self._store.get(key))).read(use_threads=False)
            except (ObjectMissingError, pa.ArrowInvalid):  # gone, or spoilt: it is no truth, and computed again
                continue
            self._packs.add(key)
            lists = table["cells"].combine_chunks()
            offsets = lists.offsets.to_numpy()
            cells = np.cumsum(lists.values.to_numpy(), dtype=np.int64)
            fractions = table["fractions"].combine_chunks().values.to_numpy().astype(np.float64)
            for i, digest in enumerate(table["digest"].to_pylist()):
                first, last = int(offsets[i]), int(offsets[i + 1])
                # Cells are stored as steps from entry to entry over the whole pack.
                self._known[digest] = (cells[first:last], fractions[first:last])

    def _save(self, fresh: Mapping[str, Part]) -> None:
        digests = sorted(fresh)
        pack = Coverage.of([fresh[digest] for digest in digests])
        offsets = pa.array(pack.offsets.astype(np.int32))
        steps = pa.array(np.diff(pack.cells, prepend=0))
        table = pa.table(
            {
                "digest": digests,
                "cells": pa.ListArray.from_arrays(offsets, steps),
                # exactextract computes coverage in float32: nothing is lost
                "fractions": pa.ListArray.from_arrays(offsets, pa.array(pack.fractions.astype(np.float32))),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        key = f"{self._prefix}{uuid.uuid4().hex}.parquet"
        self._store.put(key, sink.getvalue())
        self._packs.add(key)
