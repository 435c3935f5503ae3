"""Which cells of a grid a polygon covers, and how much of each: exact, by exactextract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satcommon.geo.grid import Grid
from satcommon.raster.tile_layout import Layout
from satcommon.stats.algorithm import Algorithm
from satcommon.stats.statistics import Weights

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


Part = tuple[NDArray[np.integer], NDArray[np.float32]]


@dataclass(frozen=True)
class Coverage:
    """Covered cells of n polygons, one after the other.

    Args:
        offsets: shape (n + 1,); the cells of polygon i are offsets[i]:offsets[i + 1].
        cells: shape (entries,); numbers of cells, ascending within a polygon.
        fractions: shape (entries,); covered part of each cell, above 0 up to 1; the weight of the cell. In float32, as
            exactextract computes them; sums use `weights`, in float64.
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
        """The polygons in pieces of about `entries` entries, each with its slice of all entries."""
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + entries, "right")) - 1
            last = min(max(last, first + 1), len(self))
            yield slice(int(self.offsets[first]), int(self.offsets[last])), self.part(first, last)
            first = last

    def layout(self, shape: tuple[int, int], tile_shape: tuple[int, int]) -> Layout:
        """The cells by tile of a raster; computed once."""
        key = (*shape, *tile_shape)
        if key not in self._layouts:
            self._layouts[key] = Layout.of(self.cells, shape, tile_shape)
        return self._layouts[key]


def cover(geometries: Sequence[bytes], grid: Grid, rules: Algorithm) -> list[Part]:
    """The exact coverage of polygons (exactextract's algorithm), in their order.

    Args:
        geometries: WKB in WGS 84.
        grid: the raster; cells outside of it are not covered.
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

    # Stored polygons are in order since ledgers keep normal forms; older ones must give the same bits.
    ordered = in_order(shapely.from_wkb(list(geometries)))
    shapes = [_shrunk(geometry, rules.inward_buffer_m) for geometry in ordered]
    polygons = [projected(geometry, grid.crs) for geometry in shapes]
    # A template without memory and without nodata: exactextract drops the cells of a raster that hold nodata.
    wkt = _wkt(grid.crs)
    template = NumPyRasterSource(np.broadcast_to(np.uint8(0), (grid.height, grid.width)), *grid.extent, srs_wkt=wkt)
    # exactextract silently skips a polygon off the grid, so only those that touch it are asked for.
    inside = [i for i, polygon in enumerate(polygons) if polygon.intersects(shapely.box(*grid.extent))]
    number = np.int32 if grid.width * grid.height < 1 << 31 else np.int64
    parts: list[Part] = [(np.empty(0, number), np.empty(0, np.float32))] * len(polygons)
    if not inside:
        return parts
    # The same as a GeoDataFrame to exactextract: without pandas a run starts sooner, and its image is smaller.
    features = [{"id": i, "properties": {}, "geometry": shapely.geometry.mapping(polygons[i])} for i in inside]
    source = JSONFeatureSource(features, srs_wkt=wkt)
    for covered in exact_extract(template, source, ["cell_id", "coverage"], include_cols=["id"]):
        i, properties = covered["id"], covered["properties"]
        cells, fractions = np.asarray(properties["cell_id"], np.int64), np.asarray(properties["coverage"], np.float64)
        kept = (fractions > 0) & (fractions >= max(rules.min_cell_coverage, rules.whole_cells or 0))
        if rules.whole_cells is not None:
            fractions = np.ones_like(fractions)
        order = np.argsort(cells[kept], kind="stable")
        parts[i] = (cells[kept][order].astype(number), fractions[kept][order].astype(np.float32))
    return parts


def _shrunk(geometry: BaseGeometry, metres: float) -> BaseGeometry:
    """A polygon of WGS 84 without its margin; empty where nothing is left.

    Measured in an azimuthal equidistant projection about the polygon's own centre, whatever the grid's CRS: the metres
    of Web Mercator are shorter than true ones, and those of a sinusoidal grid are sheared.
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
