"""What a GeoTIFF does not declare, and what is found in its pixels."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.indices import layers as indices
from satcommon.raster.layers import PixelClass
from satcommon.sources.folder import FolderSource
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.source import AreaOfInterest

from tests.unit.geotiffs import (
    AOI,
    COLUMNS,
    GRID,
    NAME,
    NOW,
    PLAIN,
    ROWS,
    Raster,
    full,
    items,
    layers_of,
    listed,
    only,
    write,
)

SCALE = {"red": 1e-4, "nir": 1e-4, "swir16": 1e-4}


def blanked(raster: Raster, columns: int = 3) -> Raster:
    """The raster with 0 in its first columns."""
    raster = raster.copy()
    raster[:, :columns] = 0
    return raster


# Zeros


@pytest.mark.parametrize("nodata", [None, float("nan"), -9999.0])
def test_floats_that_are_zero_in_all_bands_are_not_observed(nodata: float | None, tmp_path: Path) -> None:
    bands = {name: blanked(full(value, "float32")) for name, value in {"red": 0.05, "nir": 0.4, "lwir11": 290}.items()}
    write(tmp_path / NAME, bands, scale=1.0, nodata=nodata)

    layers = layers_of(tmp_path)

    assert layers.classes[0, :4].tolist() == [0, 0, 0, 1]
    assert [int(band[0, 2]) for band in layers.bands.values()] == [0, 0, 0]
    assert [int(band[0, 3]) for band in layers.bands.values()] == [1500, 5000, 29_000]


def test_tiles_that_were_never_written_are_not_observed(tmp_path: Path) -> None:
    profile = {"width": 64, "height": 16, "blockxsize": 16, "blockysize": 16, "tiled": True, "sparse_ok": True}
    georeference = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(
        tmp_path / NAME, "w", driver="GTiff", count=2, dtype="float32", **profile, **georeference
    ) as dataset:
        dataset.descriptions = ("red", "nir")
        dataset.write(np.full((2, 16, 16), 0.25, np.float32), window=Window(16, 0, 16, 16))
    grid = Grid("EPSG:32633", 500_000, 5_000_000, 10, 10, 64, 16)
    aoi = AreaOfInterest("A", Bounds(*transform_bounds(grid.crs, "EPSG:4326", *grid.extent)), grid)

    layers = layers_of(tmp_path, aoi)

    assert layers.classes[0].reshape(4, 16)[:, 0].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(("band", "index"), [("red", "ndvi"), ("nir", "ndvi"), ("swir16", "ndmi"), ("lwir11", "lst_c")])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_a_zero_of_one_band_is_no_value_of_that_band(band: str, index: str, dtype: str, tmp_path: Path) -> None:
    bands = {"red": 500, "nir": 4000, "swir16": 2000, "lwir11": 30_000}
    rasters = {name: full(value, dtype) for name, value in bands.items()}
    rasters[band] = blanked(rasters[band])
    write(tmp_path / NAME, rasters, scale=SCALE | {"lwir11": 3.41802e-3}, offset={"lwir11": 149.0})

    layers = layers_of(tmp_path)

    assert (layers.classes == PixelClass.CLEAR).all()  # observed by the other bands
    assert layers.bands[band][0, :4].astype(bool).tolist() == [False, False, False, True]
    found = indices({name: values.ravel() for name, values in layers.bands.items()})
    assert found[index][1].reshape(ROWS, COLUMNS)[0, :4].tolist() == [False, False, False, True]
    untouched = {"ndvi", "ndmi", "lst_c"} - {index} - ({"ndmi"} if band == "nir" else set())
    assert all(found[name][1].all() for name in untouched)


def test_zeros_are_values_where_another_nodata_value_is_stated(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"red": blanked(full(500)), "nir": full(4000)}, nodata=65535)

    assert layers_of(tmp_path).bands["red"][0, :4].tolist() == [1000, 1000, 1000, 1500]


# Masks by other names


@pytest.mark.parametrize("name", ["dataMask", "data_mask", "DATAMASK"])
@pytest.mark.parametrize("valid", [1, 255])
def test_a_data_mask_counts_beside_a_mask_of_clouds(name: str, valid: int, tmp_path: Path) -> None:
    clouds = full(0)
    clouds[0, :5] = [1, 0, 0, 1, 0]
    write(tmp_path / NAME, PLAIN | {"CLM": clouds, name: blanked(full(valid), 2)}, scale=SCALE)

    layers = layers_of(tmp_path)

    assert layers.classes[0, :5].tolist() == [0, 0, 1, 2, 1]
    assert layers.bands["red"][0, :3].tolist() == [0, 0, 1500]


@pytest.mark.parametrize(
    ("kind", "codes", "shows"),
    [
        ("QA60", [0, 1024, 2048], [1, 2, 3]),
        ("CLM", [0, 1, 255], [1, 2, 0]),
        ("CLP", [0, 102, 255], [1, 2, 2]),
        ("pixel_qa", [322, 352, 1], [1, 2, 0]),
        ("SCL_20m", [4, 9, 0], [1, 2, 0]),
        ("Scene_Classification", [4, 9, 0], [1, 2, 0]),
        ("mask", [255, 255, 0], [1, 1, 0]),  # GDAL's convention
        ("mask", [0, 1, 7], [1, 2, 7]),
    ],
)
def test_masks_are_known_by_their_archives_names(kind: str, codes: list[int], shows: list[int], tmp_path: Path) -> None:
    band = full(codes[0])
    band[0, : len(codes)] = codes
    write(tmp_path / NAME, PLAIN | {kind: band}, scale=SCALE)

    assert layers_of(tmp_path).classes[0, : len(codes)].tolist() == shows


def test_the_convention_of_a_mask_is_told_by_the_whole_file(tmp_path: Path) -> None:
    mask = full(0)
    mask[-1, -1] = 255
    write(tmp_path / NAME, PLAIN | {"mask": mask}, scale=SCALE)

    assert layers_of(tmp_path).classes.sum() == 1


def test_a_mask_of_two_conventions_is_refused(tmp_path: Path) -> None:
    mask = full(255)
    mask[0, 0] = 1
    write(tmp_path / NAME, PLAIN | {"mask": mask}, scale=SCALE)

    with pytest.raises(SceneError, match=r"the band mask holds 255.*datamask or cloud"):
        layers_of(tmp_path)


@pytest.mark.parametrize(
    "name", ["BQA", "UDM2", "cloud_probability", "MSK_CLDPRB", "state_1km", "s2cloudless mask", "QC"]
)
def test_a_band_that_may_be_a_mask_and_is_not_known_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {name: full(0)}, scale=SCALE)

    listing = listed(tmp_path)

    assert not listing.acquisitions
    assert f"band '{name.lower()}' may tell clouds or missing data" in listing.refused[NAME]


@pytest.mark.parametrize("name", ["QA_RADSAT", "B10", "AOT", "cirrus", "water vapour", "nbart_contiguity"])
def test_a_band_that_is_no_mask_is_left_alone(name: str, tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {name: full(0)}, scale=SCALE)

    assert (layers_of(tmp_path).classes == PixelClass.CLEAR).all()


def test_a_mask_that_an_item_alone_names_is_refused_where_it_is_not_known(tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {"": full(0)}, scale=SCALE)
    bands = [{"name": "red"}, {"name": "nir"}, {"name": "UDM2"}]
    item = {"properties": {}, "assets": {"all": {"href": f"./{NAME}", "bands": bands}}}
    (tmp_path / NAME).with_suffix(".json").write_text(json.dumps(item))

    assert "band 'udm2' may tell clouds or missing data" in listed(tmp_path).refused[NAME]

    write(tmp_path / NAME, PLAIN | {"SCL": full(9)}, scale=SCALE)
    assert (layers_of(tmp_path).classes == PixelClass.CLOUD).all()


@pytest.mark.parametrize(
    ("name", "empty"),
    [("2022-06-01T101243.tif", True), ("2022-01-24T101243.tif", False), ("2024-03-01T101243.tif", False)],
)
def test_a_qa60_of_the_years_in_which_it_was_not_filled_is_refused_without_clouds(
    name: str, *, empty: bool, tmp_path: Path
) -> None:
    write(tmp_path / name, PLAIN | {"QA60": full(0)}, scale=SCALE)
    source = FolderSource(tmp_path)
    ((item,),) = source.list(AOI, date(2022, 1, 1), date(2024, 12, 31), NOW).acquisitions.values()

    with pytest.raises(SceneError, match="its QA60 is 0 throughout") if empty else nullcontext():
        assert (source.read(AOI, item).classes == PixelClass.CLEAR).all()


def test_an_unknown_mask_does_not_count_beside_a_known_one_or_a_rule_without_it(tmp_path: Path) -> None:
    write(tmp_path / "a" / NAME, PLAIN | {"UDM2": full(0), "scl": full(9)}, scale=SCALE)
    write(tmp_path / "b" / NAME, PLAIN | {"UDM2": full(0)}, scale=SCALE)
    (tmp_path / "b" / "satfields.toml").write_text('[[files]]\nmatch = "*"\n[files.bands]\n1 = "red"\n2 = "nir"\n')

    assert (layers_of(tmp_path / "a").classes == PixelClass.CLOUD).all()
    assert (layers_of(tmp_path / "b").classes == PixelClass.CLEAR).all()


def test_the_fmask_of_an_hls_file_is_hls_s_own(tmp_path: Path) -> None:
    name = "HLS.S30.T33TVL.2016-01-07T101243.v2.0.tif"
    write(tmp_path / name, PLAIN | {"Fmask": full(2)}, scale=SCALE)

    assert (layers_of(tmp_path).classes == PixelClass.CLOUD).all()


def test_files_that_newer_rules_read_otherwise_are_named_by_them(tmp_path: Path) -> None:
    write(tmp_path / "zeros" / NAME)
    write(tmp_path / "both" / NAME, PLAIN | {"QA60": full(0)}, scale=SCALE)
    write(tmp_path / "none" / NAME, PLAIN | {"scl": full(4)}, scale=SCALE, nodata=0)
    write(tmp_path / "offset" / NAME, offset=-0.1)

    found = {path.name: only(path).reading for path in tmp_path.iterdir()}

    assert found == {"zeros": "zeros", "both": "zeros-masks", "none": "", "offset": ""}


# Files beside a file


@pytest.mark.parametrize("ending", [".msk", ".MSK"])
def test_a_file_with_a_mask_beside_it_is_refused_until_the_mask_is_within(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a" / NAME)
    item = only(tmp_path)
    source = FolderSource(tmp_path)
    beside = path.with_name(NAME + ending)
    beside.write_bytes(path.read_bytes())

    told = listed(tmp_path).refused

    assert told.keys() == {f"a/{NAME}"}
    assert f"a mask in a file beside it, {NAME}{ending}" in told[f"a/{NAME}"]
    assert "gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES" in told[f"a/{NAME}"]
    with pytest.raises(SceneError, match="has a mask in a file beside it"):
        source.read(AOI, item)
    assert source.anchor_grid(AOI.bounds) is None
    beside.unlink()
    assert only(tmp_path) == item


def test_other_files_beside_a_file_are_kept_from_being_read(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    before, item = layers_of(tmp_path), only(tmp_path)
    band = "<PAMRasterBand band='1'><NoDataValue>500</NoDataValue><Offset>0.5</Offset><Scale>2</Scale></PAMRasterBand>"
    path.with_name(NAME + ".aux.xml").write_text(f"<PAMDataset><SRS>EPSG:3857</SRS>{band}</PAMDataset>")
    path.with_suffix(".tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    write(tmp_path / (NAME + ".ovr.tif"), {"red": full(9)}).rename(path.with_name(NAME + ".ovr"))

    after = layers_of(tmp_path)

    assert only(tmp_path) == item
    assert [band.tobytes() for band in after.bands.values()] == [band.tobytes() for band in before.bands.values()]


# Rasters that run the other way, and around the globe


def around(grid: Grid, bounds: Bounds | None = None) -> AreaOfInterest:
    """A region of a grid's own extent, or of a rectangle."""
    return AreaOfInterest("A", bounds or Bounds(*transform_bounds(grid.crs, "EPSG:4326", *grid.extent)), grid)


def ramp(rows: int = ROWS, columns: int = COLUMNS) -> dict[str, Raster]:
    """Bands each cell of which has another value."""
    cells = np.arange(rows * columns, dtype=np.uint16).reshape(rows, columns)
    return {"red": cells + 1, "nir": cells + 4000}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("south_up", [False, True])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 3), (-4, -3)])
def test_a_raster_gives_the_same_cells_whichever_way_it_runs(
    mirrored: bool, south_up: bool, dx: int, dy: int, tmp_path: Path
) -> None:
    rows, columns = slice(None, None, -1 if south_up else 1), slice(None, None, -1 if mirrored else 1)
    write(tmp_path / "plain" / NAME, ramp())
    path = write(tmp_path / "turned" / NAME, {name: band[rows, columns] for name, band in ramp().items()})
    with rasterio.open(path, "r+") as dataset:
        flip = Affine.translation(COLUMNS * mirrored, ROWS * south_up)
        dataset.transform = GRID.transform @ flip @ Affine.scale(1 - 2 * mirrored, 1 - 2 * south_up)
    grid = replace(GRID, left=GRID.left + dx * GRID.xres, top=GRID.top - dy * GRID.yres)

    anchor_grid = FolderSource(tmp_path / "turned").anchor_grid(AOI.bounds)
    plain, turned = (layers_of(tmp_path / folder, around(grid)) for folder in ("plain", "turned"))

    assert anchor_grid is not None
    assert anchor_grid.matches(GRID)
    assert plain.classes.any()
    assert plain.bands["red"].tobytes() == turned.bands["red"].tobytes()
    assert plain.classes.tobytes() == turned.classes.tobytes()


def test_rotation_by_a_rounding_error_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / NAME, ramp())
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(GRID.xres, 1e-13, GRID.left, -1e-13, -GRID.yres, GRID.top)

    assert FolderSource(tmp_path).anchor_grid(AOI.bounds) == GRID
    assert layers_of(tmp_path).bands["red"].tolist() == (ramp()["red"] + 1000).tolist()


@pytest.mark.parametrize("west", [299.9, -60.1])
def test_longitudes_from_0_to_360_are_taken(west: float, tmp_path: Path) -> None:
    own = Grid("EPSG:4326", west, -33.9, 0.001, 0.001, COLUMNS, ROWS)
    write(tmp_path / NAME, ramp(), grid=own, crs=own.crs)
    bounds = Bounds(-60.0995, -33.9115, -60.0855, -33.9005)

    grid = FolderSource(tmp_path).anchor_grid(bounds)

    assert grid is not None
    assert grid.left == pytest.approx(-60.1)
    aoi = AreaOfInterest("A", bounds, grid.covering(bounds))
    layers = layers_of(tmp_path, aoi)
    assert layers.bands["red"].tolist() == (ramp()["red"] + 1000).tolist()
    warped = layers_of(tmp_path, around(Grid.utm(bounds, 100), bounds))
    assert warped.classes.any()


@pytest.mark.parametrize("west", [-1.0, -0.25])
@pytest.mark.parametrize("utm", [False, True])
def test_a_globe_of_longitudes_from_0_to_360_has_no_seam(west: float, utm: bool, tmp_path: Path) -> None:
    own = Grid("EPSG:4326", 0, 51, 0.25, 0.25, 1440, 8)
    bands: dict[str, Raster] = {
        name: np.full((8, 1440), value, np.uint16) for name, value in (("red", 500), ("nir", 4000))
    }
    write(tmp_path / NAME, bands, grid=own, crs=own.crs)
    bounds = Bounds(west, 49.5, west + 1, 50.5)
    anchor_grid = FolderSource(tmp_path).anchor_grid(bounds)
    assert anchor_grid is not None
    grid = Grid.utm(bounds, 5000) if utm else anchor_grid.covering(bounds)

    layers = layers_of(tmp_path, around(grid, bounds))

    assert (layers.classes == PixelClass.CLEAR).all()
    assert (layers.bands["nir"] == 5000).all()


@pytest.mark.parametrize("side", ["west", "east"])
@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:32701", "EPSG:3832"])
def test_rasters_across_the_antimeridian_are_taken_on_both_sides(side: str, crs: str, tmp_path: Path) -> None:
    bounds = Bounds(179.97, -16.83, 180, -16.8) if side == "west" else Bounds(-180, -16.83, -179.97, -16.8)
    left, bottom, right, top = transform_bounds("EPSG:4326", crs, 179.95, -16.85, -179.95, -16.78)
    own = Grid(crs, left, top, (right - left) / 60, (top - bottom) / 60, 60, 60)
    name = "2016-01-07T221243.tif"
    write(tmp_path / name, ramp(60, 60), grid=own, crs=crs)
    source = FolderSource(tmp_path)

    anchor_grid = source.anchor_grid(bounds)

    assert anchor_grid == own
    for grid in (own.covering(bounds), Grid.utm(bounds, 100)):
        aoi = around(grid, bounds)
        (item,) = items(tmp_path, aoi)
        observed = source.read(aoi, item).classes != PixelClass.NODATA
        assert observed.mean() > 0.95
    ((day, _),) = listed(tmp_path, aoi).acquisitions.items()
    assert day == date(2016, 1, 8 if side == "west" else 7)  # solar, at the region's centre


def test_a_tile_of_the_sinusoidal_grid_at_the_edge_of_the_map_is_taken(tmp_path: Path) -> None:
    crs = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    side = 1_111_950.5197
    own = Grid(crs, 20_015_109.354 - side, 0, side / 240, side / 240, 240, 240)  # h35v09: south and west of (0, 180)
    bands = {name: values // 8 + 1 for name, values in ramp(240, 240).items()}
    write(tmp_path / NAME, bands, grid=own, crs=crs)
    at_the_edge, far, beyond = Bounds(179, -2, 180, -1), Bounds(-179, -2, -178, -1), Bounds(-170, -6, -169, -5)

    grid = FolderSource(tmp_path).anchor_grid(at_the_edge)

    assert grid is not None
    assert (grid.xres, grid.width) == (own.xres, 240)
    assert layers_of(tmp_path, around(grid.covering(at_the_edge), at_the_edge)).classes.mean() > 0.9
    assert not items(tmp_path, around(Grid.utm(far, 1000), far))
    assert not items(tmp_path, around(Grid.utm(beyond, 1000), beyond))


def test_a_file_that_lies_elsewhere_is_told_with_the_shorter_way_around_the_globe(tmp_path: Path) -> None:
    own = Grid("EPSG:32760", 809_600, 8_142_200, 100, 100, COLUMNS, ROWS)
    write(tmp_path / NAME, grid=own, crs=own.crs)
    bounds = Bounds(-179.5, -16.9, -179.4, -16.8)

    told = listed(tmp_path, around(Grid.utm(bounds, 100), bounds)).refused[NAME]

    assert int(told.split("about ")[1].split(" km")[0]) < 100


# One file in parts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    values=arrays(np.uint16, (2, ROWS, COLUMNS), elements=st.integers(1, 12_000)),
    owner=arrays(np.uint8, (ROWS, COLUMNS), elements=st.integers(0, 3)),
    order=st.permutations(range(4)),
)
def test_a_file_cut_into_disjoint_files_gives_the_scene_of_the_whole(
    values: Raster, owner: Raster, order: list[int], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    write(whole / "2016-01-07T101243.tif", dict(zip(PLAIN, values, strict=True)))
    for number, part in enumerate(order):
        cut = {name: np.where(owner == part, band, 0) for name, band in zip(PLAIN, values, strict=True)}
        write(parts / f"2016-01-07T10124{number}.tif", cut)

    scenes = [mosaic_scene(FolderSource(folder), AOI, items(folder)) for folder in (whole, parts)]

    (one, other) = (scene.layers for scene in scenes if scene)
    assert [band.tobytes() for band in one.bands.values()] == [band.tobytes() for band in other.bands.values()]
    assert one.classes.tobytes() == other.classes.tobytes()
