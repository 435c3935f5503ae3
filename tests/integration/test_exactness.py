"""GeoTIFFs in a folder and irregular parcels, through everything: each number is exactextract's of the file's own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import rasterio
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from pyproj import CRS, Transformer
from rasterio.warp import transform_bounds
from satcommon.audit.audit import audit
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine, read_transaction, write_transaction
from satcommon.db.fields import NewField
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.normal_form import DECIMALS
from satcommon.pipeline.close_region import Closer
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.sources.folder import FolderSource
from satcommon.storage.object_store import ObjectStore
from sqlalchemy import Engine

FIRST, DAYS = date(2016, 4, 1), 40
NOW = datetime(2016, 9, 1, tzinfo=UTC)  # long after: a day without a file has no overpass
# The files' raster: UTM, and cells that are not square, as some archives deliver them.
RASTER = Grid("EPSG:32633", 465_181.05, 5_080_254.63, 9.9947922, 10.2974485, 150, 120)
UTM, WGS84 = CRS(RASTER.crs), "EPSG:4326"
STATISTICS = ("mean", "min", "max", "stdev")
SEED = 20160401


@dataclass(frozen=True)
class File:
    """What was written: raw integers, reflectance = 1e-4 * raw, and where it is clear; 0 is nodata."""

    red: np.ndarray
    nir: np.ndarray
    clear: np.ndarray


@dataclass(frozen=True)
class History:
    """A closed history, and what it was computed from."""

    engine: Engine
    store: ObjectStore
    files: dict[date, File]
    parcels: geopandas.GeoDataFrame  # external_id, planting, geometry in WGS 84
    tables: dict[date, pa.Table]


def write(folder: Path, day: date, random: np.random.Generator) -> File:
    shape = (RASTER.height, RASTER.width)
    red, nir = random.integers(200, 2500, shape, np.uint16), random.integers(1500, 6000, shape, np.uint16)
    rows, columns = np.mgrid[: RASTER.height, : RASTER.width]
    clouds = np.hypot(rows - random.integers(0, 120), columns - random.integers(0, 150)) < random.integers(0, 90)
    clear = (~clouds & (random.random(shape) > 0.02)).astype(np.uint16)
    outside = columns < random.integers(-60, 40)  # the swath's edge
    red[outside] = nir[outside] = 0
    with rasterio.open(
        folder / f"{day}T101243.tif",
        "w",
        driver="GTiff",
        count=3,
        height=RASTER.height,
        width=RASTER.width,
        dtype="uint16",
        crs=RASTER.crs,
        transform=RASTER.transform,
        compress="deflate",
    ) as dataset:
        dataset.write(np.stack([red, nir, clear]))
        dataset.descriptions = ("red", "nir", "clear")
        dataset.scales = (1e-4, 1e-4, 1.0)
    return File(red, nir, clear)


def irregular_parcels(random: np.random.Generator, count: int) -> geopandas.GeoDataFrame:
    """Stars of 4 to 11 corners, from a third of a cell to a dozen cells wide, some across the raster's edge.

    Their corners are rounded as the ledger rounds them, so that both ways compute with the same polygons.
    """
    left, bottom, right, top = RASTER.extent
    shapes = []
    for n in range(count):
        x, y = random.uniform(left - 60, right + 60), random.uniform(bottom - 60, top + 60)
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(4, 12)))
        reach = random.uniform(0.4, 1, len(angles)) * (3 if n % 10 == 0 else random.uniform(15, 110))
        star = shapely.Polygon(np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)]))
        shapes.append(star if star.is_valid else star.convex_hull)
    planting = [FIRST + timedelta(days=int(random.choice([-30, 0, 0, 7]))) for _ in range(count)]
    names = [f"parcel-{n:02}" for n in range(count)]
    frame = geopandas.GeoDataFrame({"external_id": names, "planting": planting}, geometry=shapes, crs=UTM)
    frame = frame.to_crs(WGS84)
    frame.geometry = shapely.transform(frame.geometry.to_numpy(), lambda points: np.round(points, DECIMALS))
    return frame


@pytest.fixture(scope="module")
def history(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Closed once for all tests, which only read it."""
    random = np.random.default_rng(SEED)
    home = tmp_path_factory.mktemp("exactness")
    shutil.copyfile(sqlite_template, home / "satfields.db")
    engine = open_engine(f"sqlite:///{home / 'satfields.db'}")
    folder = home / "scenes"
    folder.mkdir()
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    files = {day: write(folder, day, random) for day in days if random.random() < 0.35}
    parcels = irregular_parcels(random, 60)
    bounds = Bounds(*transform_bounds(RASTER.crs, WGS84, *RASTER.extent))
    source, store = FolderSource(folder), ObjectStore(str(home / "store"))
    anchor_grid = source.anchor_grid(bounds)
    assert anchor_grid is not None
    with write_transaction(engine) as connection:
        registry.add_region(connection, "A", bounds, anchor_grid.covering(bounds), FIRST, None, "1", NOW)
        new = [NewField(p.external_id, p.external_id, p.geometry, p.planting) for p in parcels.itertuples()]
        fields.register_fields(connection, new, NOW)

    closer = Closer(engine, store, 1, Deadlines(36.0, 30), "run", NOW)
    closed = list(closer.backfill(source, days[-1], lambda *_: None))

    assert [one.inputs.day for one in closed] == days
    with read_transaction(engine) as connection:
        published, objects = published_days(connection, 1, days[0], days[-1]), ResultObjects(store)
    yield History(engine, store, files, parcels, {day: published.rows(objects, day) for day in days})
    engine.dispose()


def directly(file: File, parcels: geopandas.GeoDataFrame) -> pd.DataFrame:
    """exactextract's numbers of the file's own pixels, without any code of ours."""
    red, nir = file.red * 1e-4, file.nir * 1e-4
    observed = (file.red > 0) | (file.nir > 0)
    ndvi = np.full(red.shape, -9.0)
    np.divide(nir - red, nir + red, out=ndvi, where=observed)
    ndvi[~observed | (file.clear != 1)] = -9.0
    shapes = parcels.to_crs(UTM)[["external_id", "geometry"]]

    def extract(values: np.ndarray, nodata: float | None, operations: list[str]) -> pd.DataFrame:
        raster = NumPyRasterSource(values, *RASTER.extent, nodata=nodata, srs_wkt=UTM.to_wkt())
        found = exact_extract(raster, shapes, operations, include_cols=["external_id"], output="pandas")
        return found.set_index("external_id")

    numbers = extract(ndvi, -9.0, list(STATISTICS))
    seen = extract(np.where(observed, 1.0, -9.0), -9.0, ["count"])["count"]
    clear = extract(np.where(observed & (file.clear == 1), 1.0, -9.0), -9.0, ["count"])["count"]
    return numbers.assign(clear_fraction=clear / seen.where(seen > 0))


def test_every_number_of_every_parcel_is_exactextracts(history: History) -> None:
    compared = 0
    assert len(history.files) > 10
    for day, file in history.files.items():
        rows = history.tables[day].to_pandas().set_index("field")
        theirs = directly(file, history.parcels).astype(float).reindex(rows.index)

        for ours, name in [(f"ndvi_{s}", s) for s in STATISTICS] + [("clear_fraction", "clear_fraction")]:
            found, expected = rows[ours].to_numpy(float), theirs[name].to_numpy(float)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, equal_nan=True, err_msg=f"{day} {ours}")
            compared += int(np.isfinite(expected).sum())
    assert compared > 2000
    some = pd.concat([table.to_pandas() for table in history.tables.values()])
    assert set(some["status"]) == {"clear", "partial", "cloudy", "outside_swath", "no_overpass", "too_small"}
    assert (some["inside_fraction"] < 1).any()


def test_a_day_without_a_file_has_no_overpass_and_no_number(history: History) -> None:
    for day, table in history.tables.items():
        if day not in history.files:
            assert set(table["status"].to_pylist()) == {"no_overpass"}
            assert table["ndvi_mean"].null_count == table["observed_fraction"].null_count == table.num_rows


def test_every_parcel_has_one_row_a_day_from_its_planting_on_and_the_audit_is_clean(history: History) -> None:
    with read_transaction(history.engine) as connection:
        region = registry.region(connection, "A")
    rectangle = shapely.box(*registry.aoi_of(region).bounds)
    touching = {p.external_id for p in history.parcels.itertuples() if rectangle.intersects(p.geometry)}
    assert len(touching) < len(history.parcels)  # some parcels lie outside of the region
    for day, table in history.tables.items():
        planted = {p.external_id for p in history.parcels.itertuples() if p.planting <= day}
        assert table["field"].to_pylist() == sorted(touching & planted)

    report = audit(history.engine, history.store, region, lambda: None)

    assert report.clean, report.problems
    rows = sum(table.num_rows for table in history.tables.values())
    assert (report.expected, report.settled, report.missed) == (rows, rows, 0)


def test_the_state_is_that_of_the_clear_views_so_far(history: History) -> None:
    last = history.tables[FIRST + timedelta(days=DAYS - 1)].to_pandas().set_index("field")
    everything = pd.concat([table.to_pandas() for table in history.tables.values()]).set_index("field")
    for name, row in last.iterrows():
        own = everything.loc[[name]].sort_values("day")
        seen = own[own["status"].isin(["clear", "partial"]) & own["ndvi_mean"].notna()]
        newest_first = [round(value * 1e4) for value in seen["ndvi_mean"][::-1][:8]]
        assert list(row["state_ndvi_e4"][: len(newest_first)]) == newest_first
        assert row["ndvi_integral_e4"] == own["ndvi_smoothed_e4"].fillna(0).sum()


def test_every_parcel_is_projected_as_pyproj_projects_it(history: History) -> None:
    transformer = Transformer.from_crs(WGS84, UTM, always_xy=True)
    shapes = shapely.transform(history.parcels.geometry.to_numpy(), transformer.transform, interleaved=False)

    assert shapely.equals_exact(shapes, history.parcels.to_crs(UTM).geometry.to_numpy(), tolerance=0).all()
