"""Which cells of a grid a polygon covers, and how much of each: exact, computed once, cached.

Coverage depends on geometry, grid and rule alone, so it is kept in the object store, in packs under a key that names
grid and rule. A pack is written once and never changed; writers that race write the same coverage twice, harmlessly.
Many small packs are joined by whoever writes one more. The cache is never the truth: delete it, and it is rebuilt.

A pack is an Arrow file: Parquet's levels and dictionaries make it no smaller and five times as slow to read.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from satcommon.errors import ObjectMissingError
from satcommon.geo.grid import Grid
from satcommon.raster.tile_layout import Layout
from satcommon.stats.algorithm import Algorithm
from satcommon.stats.statistics import Weights
from satcommon.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_MANY_PACKS = 16  # from so many on some are joined: a process reads all of them before its first day
_LISTINGS = 3  # of packs, while others are joined


Part = tuple[NDArray[np.integer], NDArray[np.float32]]


@dataclass(frozen=True)
class Coverage:
    """Covered cells of n polygons, one after the other.

    Args:
        offsets: shape (n + 1,); the cells of polygon i are offsets[i]:offsets[i + 1].
        cells: shape (entries,); numbers of cells, ascending within a polygon.
        fractions: shape (entries,); covered part of each cell, above 0 up to 1; the weight of the cell. In float32, as
            exactextract computes them; sums are taken of `weights`.
    """

    offsets: NDArray[np.int64]
    cells: NDArray[np.integer]
    fractions: NDArray[np.floating]
    _layouts: dict[tuple[int, ...], Layout] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Coverage:
        """Join (cells, fractions) of single polygons."""
        offsets = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(cells) for cells, _ in parts], out=offsets[1:])
        if not parts:
            return cls(offsets, np.empty(0, np.int32), np.empty(0, np.float32))
        return cls(offsets, np.concatenate([c for c, _ in parts]), np.concatenate([f for _, f in parts]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def fits(self, grid: Grid) -> bool:
        """Whether all cells are cells of a grid."""
        return not len(self.cells) or bool(self.cells.min() >= 0 and self.cells.max() < grid.width * grid.height)

    @cached_property
    def weights(self) -> Weights:
        """The weights of the cells."""
        return Weights(self.offsets, self.fractions.astype(np.float64))

    def part(self, first: int, last: int) -> Coverage:
        """The polygons from `first` to before `last`, without a copy."""
        offsets = self.offsets[first : last + 1]
        chosen = slice(int(offsets[0]), int(offsets[-1]))
        return Coverage(offsets - offsets[0], self.cells[chosen], self.fractions[chosen])

    def pieces(self, entries: int) -> Iterator[tuple[slice, Coverage]]:
        """The polygons in pieces of about so many entries, each with the slice of entries that it is."""
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + entries, "right")) - 1
            last = min(max(last, first + 1), len(self))
            yield slice(int(self.offsets[first]), int(self.offsets[last])), self.part(first, last)
            first = last

    def layout(self, shape: tuple[int, int], tile_shape: tuple[int, int]) -> Layout:
        """The cells by tile of a raster; found out once."""
        key = (*shape, *tile_shape)
        if key not in self._layouts:
            self._layouts[key] = Layout.of(self.cells, shape, tile_shape)
        return self._layouts[key]


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

    from satcommon.geo.geometry import projected
    from satcommon.geo.normal_form import in_order

    # What is stored is in order since ledgers keep normal forms; one from before must give the same bits, too.
    ordered = in_order(shapely.from_wkb(list(geometries)))
    shapes = [_shrunk(geometry, rules.inward_buffer_m) for geometry in ordered]
    polygons = [projected(geometry, grid.crs) for geometry in shapes]
    # A template without memory and without nodata: exactextract drops the cells of a raster that hold nodata.
    wkt = _wkt(grid.crs)
    template = NumPyRasterSource(np.broadcast_to(np.uint8(0), (grid.height, grid.width)), *grid.extent, srs_wkt=wkt)
    # exactextract silently skips a polygon off the grid, so only those that touch it are asked for.
    inside = [i for i, polygon in enumerate(polygons) if polygon.intersects(shapely.box(*grid.extent))]
    number = np.int32 if grid.width * grid.height < 1 << 31 else np.int64
    found: list[Part] = [(np.empty(0, number), np.empty(0, np.float32))] * len(polygons)
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
        found[i] = (cells[kept][order].astype(number), fractions[kept][order].astype(np.float32))
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
        self._packs: dict[str, int] = {}  # those read or written, with how many polygons each has
        self._known: list[Coverage] = []
        self._starts: list[int] = [0]  # of each of them, in the count of all polygons, and their number
        self._at: dict[str, int] = {}  # where each polygon is, in that count
        self._last: tuple[list[str], Coverage] = ([], Coverage.of([]))

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
        if self._last[0] == digests:  # day after day the same
            return self._last[1], {}
        if any(digest not in self._at for digest in digests):
            self._load()
        missing = [digest for digest in dict.fromkeys(digests) if digest not in self._at]
        failed: dict[str, str] = {}
        if missing:
            there = geometries_of(missing)
            # In the order of asking, in which they'll be asked for again: then a pack is taken as it is.
            fresh, failed = self._compute({digest: there[digest] for digest in missing if digest in there})
            if fresh:
                self._add(list(fresh), Coverage.of(list(fresh.values())))
                self._save(list(fresh))
        found = self._taken(np.array([self._at.get(digest, -1) for digest in digests], np.int64))
        if not failed:
            self._last = (list(digests), found)
        return found, failed

    def _taken(self, numbers: NDArray[np.int64]) -> Coverage:
        """The coverage of polygons by their number; empty at -1. Neighbours are taken together, without a copy."""
        packs = np.searchsorted(self._starts, numbers, "right") - 1
        cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(packs) != 0)) + 1
        runs: list[tuple[Coverage, int, int]] = []
        for first, end in pairwise([0, *cuts.tolist(), len(numbers)]):
            if first < end and packs[first] >= 0:
                start = self._starts[packs[first]]
                runs.append((self._known[packs[first]], int(numbers[first]) - start, int(numbers[end - 1]) - start + 1))
        if len(runs) == 1 and not len(cuts):
            known, first, end = runs[0]
            return known.part(first, end)
        sizes = np.concatenate([*(np.diff(known.offsets) for known in self._known), [0]])[numbers]  # the last is of -1
        entries = [(known, slice(known.offsets[first], known.offsets[end])) for known, first, end in runs]
        joined = Coverage.of([(known.cells[some], known.fractions[some]) for known, some in entries])
        return Coverage(np.concatenate(([0], np.cumsum(sizes))), joined.cells, joined.fractions)

    def _add(self, digests: Sequence[str], coverage: Coverage) -> None:
        for number, digest in enumerate(digests, self._starts[-1]):
            self._at.setdefault(digest, number)
        self._known.append(coverage)
        self._starts.append(self._starts[-1] + len(coverage))

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
        for _ in range(_LISTINGS):
            unread = [key for key in self._store.list(self._prefix) if key not in self._packs]
            there = [self._read(key) for key in unread]
            pa.default_memory_pool().release_unused()  # as much again as the coverage itself, after decompressing it
            if all(there):
                return  # else it was joined to another one meanwhile, or deleted

    def _read(self, key: str) -> bool:
        """Read a pack; False where it is gone."""
        try:
            digests, coverage = _decoded(self._store.get(key))
        except ObjectMissingError:
            return False
        except (pa.ArrowInvalid, OSError, KeyError):
            fits = False
        else:
            fits = coverage.fits(self.grid)
        if not fits:  # spoilt: it is no truth, and computed again
            self._packs[key] = 0
            return True
        self._packs[key] = len(coverage)
        self._add(digests, coverage)
        return True

    def _save(self, digests: list[str]) -> None:
        """Write a pack of polygons, and of those of packs that have become too many, which are deleted."""
        smallest_first = sorted(self._packs.items(), key=lambda pack: pack[1])
        joined: list[str] = []
        if len(smallest_first) >= _MANY_PACKS:
            total = 0
            for key, polygons in smallest_first:
                if len(joined) >= _MANY_PACKS // 2 and polygons > total:
                    break  # one that is larger than all that are joined stays: it would be written again and again
                joined.append(key)
                total += polygons
        own = set(digests)
        for key in joined:
            with suppress(ObjectMissingError, pa.ArrowInvalid, OSError, KeyError):
                own |= self._at.keys() & set(_decoded(self._store.get(key))[0])
        everything = sorted(own, key=self._at.__getitem__)
        key = f"{self._prefix}{uuid.uuid4().hex}.arrow"
        self._store.put(key, _encoded(everything, self._taken(np.array([self._at[digest] for digest in everything]))))
        self._packs[key] = len(everything)
        for one in joined:
            self._store.delete(one)
            del self._packs[one]


def _encoded(digests: Sequence[str], coverage: Coverage) -> bytes:
    """A pack. Cells are stored as steps from entry to entry: nearly all are 1."""
    offsets = pa.array(coverage.offsets)
    columns = [
        pa.array(digests, pa.string()),
        pa.LargeListArray.from_arrays(offsets, pa.array(np.diff(coverage.cells, prepend=coverage.cells.dtype.type(0)))),
        pa.LargeListArray.from_arrays(offsets, pa.array(coverage.fractions)),
    ]
    table = pa.table(columns, names=["digest", "cells", "fractions"])
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _decoded(pack: bytes) -> tuple[list[str], Coverage]:
    table = pa.ipc.open_file(pa.BufferReader(pack)).read_all()
    lists, fractions = table["cells"].combine_chunks(), table["fractions"].combine_chunks()
    steps = lists.values.to_numpy()
    coverage = Coverage(lists.offsets.to_numpy(), np.cumsum(steps, dtype=steps.dtype), fractions.values.to_numpy())
    return table["digest"].to_pylist(), coverage
