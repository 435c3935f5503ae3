"""Made-up regions of real shape for the benchmarks: irregular fields, a scene of six bands under clouds, a ledger.

Four fields in five hundred have about 5,000 cells, the others 5 to 200, equally often. A fifth of the scene is clouds,
which hold nodata in every band, so that peers that know no classes leave out the same cells. Bands have the noise of a
sensor: a smooth scene would decode several times as fast as a real one.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.expectations import geometries, timelines
from satcommon.db.fields import NewField, register_fields
from satcommon.db.ledger import current_scene
from satcommon.db.models import Scene
from satcommon.db.registry import add_region
from satcommon.geo.geometry import projected
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.ingest_day import ask, register
from satcommon.raster.layers import REFLECTIVE, Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.stats.coverage import Coverage
from satcommon.stats.coverage_cache import CoverageCache
from satcommon.storage.object_store import ObjectStore
from satctl.local.migrations import upgrade
from sqlalchemy import Engine, insert

FIRST = date(2026, 5, 1)
NOW = datetime(2028, 1, 1, tzinfo=UTC)
DEADLINES = Deadlines(36, 30)
CLOUD_PART = 0.2
LARGE_PART, LARGE_CELLS = 0.008, 5000
_NOISE = 2048  # cells, after which noise repeats: more than a tile of the file and what zstd looks back at


@dataclass(frozen=True)
class World:
    """A region with its fields in a ledger, and the folder of its objects."""

    folder: Path
    grid: Grid
    shapes: NDArray[np.object_]  # of the fields, in cells (column, row from the top)
    bands: tuple[str, ...] = REFLECTIVE
    days: int = 1

    @property
    def store(self) -> ObjectStore:
        """The region's objects."""
        return ObjectStore(str(self.folder / "store"))

    def engine(self) -> Engine:
        """The ledger."""
        return open_engine(f"sqlite:///{self.folder / 'ledger.db'}")

    def degrees(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """Polygons in cells as polygons in WGS 84."""
        grid = self.grid
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        metres = shapely.transform(shapes, lambda xy: [grid.left, grid.top] + xy * [grid.xres, -grid.yres])
        return np.asarray(shapely.transform(metres, to_degrees.transform, interleaved=False))

    def geometries(self) -> dict[str, bytes]:
        """The fields' polygons, WKB in WGS 84, by their digest, in the order of the fields."""
        engine = self.engine()
        with read_transaction(engine) as connection:
            lines = sorted(timelines(connection, 1).values(), key=lambda line: line.external_id)
            digests = [line.spans[0].geometry_digest for line in lines]
            found = geometries(connection, digests)
        engine.dispose()
        return {digest: found[digest] for digest in digests}

    def frame(self) -> geopandas.GeoDataFrame:
        """The fields as the peers take them, projected as ours are, so that means are equal."""
        degrees = shapely.from_wkb(list(self.geometries().values()))
        return geopandas.GeoDataFrame(geometry=[projected(one, self.grid.crs) for one in degrees], crs=self.grid.crs)

    def coverage(self) -> Coverage:
        """Of the fields, in their order, from the store or computed."""
        there = self.geometries()
        return CoverageCache(self.store, self.grid, algorithm(CURRENT)).get(list(there), lambda _: there)[0]


def grid_of(size: int) -> Grid:
    """A square grid aligned with Sentinel-2's; 10,980 cells a side are a whole tile."""
    return Grid("EPSG:32633", 399_960.0, 5_000_040.0, 10.0, 10.0, size, size)


def fields_of(count: int, size: int, spread: float, seed: int = 1) -> NDArray[np.object_]:
    """Irregular polygons in cells, none on another but for the large ones; of a grid's side, `spread` bears fields."""
    random = np.random.default_rng(seed)
    areas = np.where(random.random(count) < LARGE_PART, LARGE_CELLS, random.uniform(5, 200, count))
    side = int(np.ceil(np.sqrt(count)))
    step = spread * size / side
    place = random.permutation(side * side)[:count]
    centres = (np.stack(np.divmod(place, side), axis=1) + 0.5) * step + (1 - spread) / 2 * size
    centres += random.uniform(-0.1, 0.1, centres.shape) * step
    centres = np.clip(centres, 60, size - 60)
    corners = 12
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + random.uniform(0, 0.4, (count, corners))
    reach = random.uniform(0.6, 1.1, (count, corners))
    rings = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * reach[..., None]
    plain = shapely.polygons(rings)
    scale = np.sqrt(areas / shapely.area(plain))
    return np.asarray(shapely.polygons(rings * scale[:, None, None] + centres[:, None, :]))


def make(folder: Path, size: int, count: int, spread: float, bands: int, days: int, scenes: int | None = None) -> World:
    """A ledger with one region, which is the whole grid, its fields and their coverage, and a scene of each day.

    After so many `scenes`, they begin again: each day has one of its own in the ledger, whose object others have, too.
    """
    world = World(folder, grid_of(size), fields_of(count, size, spread), REFLECTIVE[-bands:], days)
    engine = register_all(world)
    made = min(days, days if scenes is None else scenes)
    for day in days_of(made):
        ask(engine, world.store, Noisy(bands=world.bands), 1, day, NOW)
    with write_transaction(engine) as connection:
        for n, day in list(enumerate(days_of(days)))[made:]:
            one = current_scene(connection, 1, FIRST + timedelta(days=n % made))
            assert one is not None
            own = one._asdict() | {"day": day, "digest": hashlib.sha256(f"{one.digest} {day}".encode()).hexdigest()}
            connection.execute(insert(Scene).values(**own))
            register(connection, 1, day, Due.DUE, own["digest"], NOW)
    engine.dispose()
    world.coverage()
    (folder / "world.pickle").write_bytes(pickle.dumps(world))
    return world


def register_all(world: World) -> Engine:
    """A ledger with the region and its fields, in the world's folder, which is made."""
    world.folder.mkdir(parents=True)
    to_degrees = Transformer.from_crs(world.grid.crs, "EPSG:4326", always_xy=True)
    bounds = Bounds(*to_degrees.transform_bounds(*world.grid.extent, densify_pts=101))
    engine = world.engine()
    upgrade(engine)
    with write_transaction(engine) as connection:
        add_region(connection, "A", bounds, world.grid, FIRST, None, CURRENT, NOW)
        shapes = world.degrees(world.shapes)
        named = [NewField(f"field-{i:06}", f"Field {i}", shape, FIRST) for i, shape in enumerate(shapes)]
        register_fields(connection, named, NOW)
    return engine


def load(folder: Path) -> World:
    """The world in a folder."""
    world: World = pickle.loads((folder / "world.pickle").read_bytes())
    return world


@dataclass(frozen=True)
class Noisy:
    """A source with an acquisition of every n-th day."""

    every: int = 1
    bands: tuple[str, ...] = REFLECTIVE
    collection: str = "benchmark"
    identity: str = "benchmark"

    def anchor_grid(self, _bounds: Bounds) -> Grid | None:
        """No grid of its own."""
        return None

    def due(self, _aoi: AreaOfInterest, day: date) -> Due:
        """Every n-th day."""
        return Due.NOT_DUE if (day - FIRST).days % self.every else Due.DUE

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, _now: datetime) -> Listing:
        """One item a due day."""
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return Listing({day: [_item(day)] for day in days if self.due(aoi, day) is Due.DUE})

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """Bands and classes of the whole grid."""
        return noisy_layers(aoi.grid, self.bands, acquisition.sensed_at.toordinal())


def _item(day: date) -> Acquisition:
    sensed = datetime(day.year, day.month, day.day, 10, 12, tzinfo=UTC)
    return Acquisition(f"item-{day}", f"digest-{day}", "sentinel-2", f"pass-{day}", "T33TVM", "05.11", sensed, sensed)


def noisy_layers(grid: Grid, bands: tuple[str, ...], seed: int) -> Layers:
    """Bands of parcels, slopes and noise, under clouds some fifty cells wide."""
    random = np.random.default_rng(seed)
    height, width = grid.height, grid.width
    cloud = _blobs(random, height, width, 64)
    cloudy = cloud > np.quantile(cloud[::7, ::7], 1 - CLOUD_PART)
    parcels = np.repeat(np.repeat(random.normal(0, 300, (height // 12 + 1, width // 14 + 1)), 12, 0), 14, 1)
    parcels = parcels[:height, :width].astype(np.int16)
    found = {}
    for n, band in enumerate(bands):
        noise = random.normal(0, 40, (min(_NOISE, height), min(_NOISE, width))).astype(np.int16)
        values = np.resize(np.tile(noise, (1, -(-width // noise.shape[1])))[:, :width], (height, width))
        values = values + parcels if n % 2 else values - parcels
        values += np.int16(1800 + 450 * n)
        values[cloudy] = 0
        found[band] = values.view(np.uint16)
    classes = np.where(cloudy, np.uint8(PixelClass.CLOUD), np.uint8(PixelClass.CLEAR))
    return Layers(found, classes)


def _blobs(random: np.random.Generator, height: int, width: int, size: int) -> NDArray[np.float32]:
    """Smooth random numbers: those of a coarse lattice, between which straight lines lie."""
    lattice = random.random((height // size + 2, width // size + 2)).astype(np.float32)
    rows, columns = np.arange(height) / size, np.arange(width) / size
    r, c = rows.astype(int), columns.astype(int)
    down, right = (rows - r).astype(np.float32)[:, None], (columns - c).astype(np.float32)
    upper = lattice[r] * (1 - down) + lattice[r + 1] * down
    return np.asarray(upper[:, c] * (1 - right) + upper[:, c + 1] * right)


def days_of(count: int) -> Iterator[date]:
    """The first days."""
    return (FIRST + timedelta(days=n) for n in range(count))
