import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from rasterio.warp import transform_bounds
from satcommon.errors import SceneError, SettingError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import BANDS, PixelClass
from satcommon.raster.product import Level
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import AreaOfInterest, Due

from tests.unit.geotiffs import (
    AOI,
    COLUMNS,
    FIRST,
    GRID,
    LAST,
    NAME,
    NOW,
    PLAIN,
    ROWS,
    full,
    items,
    layers_of,
    listed,
    unchecked,
    write,
)

# Pixels aligned with the grid


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=arrays.arrays(np.uint16, (2, ROWS, COLUMNS)), offset=st.sampled_from([0.0, -0.1]))
def test_integers_of_a_ten_thousandth_are_copied_exactly(
    values: NDArray[np.uint16], offset: float, tmp_path: Path
) -> None:
    layers = unchecked(write(tmp_path / NAME, {"red": values[0], "nir": values[1]}, offset=offset))

    expected = values.astype(int) + (0 if offset else 1000)
    expected[values == 0] = 0  # nothing there, in a file that states no nodata value
    expected[expected > 65535] = 0
    np.testing.assert_array_equal(np.stack(list(layers.bands.values())), expected)
    np.testing.assert_array_equal(layers.classes, expected.any(axis=0))


@given(shift=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_file_aligned_with_the_grid_keeps_its_cells(shift: tuple[int, int], tmp_path: Path) -> None:
    down, right = shift
    numbers = np.arange(1, ROWS * COLUMNS + 1, dtype=np.uint16).reshape(ROWS, COLUMNS)
    moved = replace(GRID, left=GRID.left + right * GRID.xres, top=GRID.top - down * GRID.yres)
    write(tmp_path / NAME, {"red": numbers, "nir": numbers}, grid=moved)
    wide = replace(AOI, bounds=Bounds(14.5, 45.8, 14.6, 45.9))

    layers = layers_of(tmp_path, wide)

    expected = np.zeros((ROWS + 40, COLUMNS + 40), int)
    expected[20 + down : 20 + down + ROWS, 20 + right : 20 + right + COLUMNS] = numbers.astype(int) + 1000
    np.testing.assert_array_equal(layers.bands["red"], expected[20 : 20 + ROWS, 20 : 20 + COLUMNS])
    np.testing.assert_array_equal(layers.classes != PixelClass.NODATA, layers.bands["nir"] > 0)


def test_every_band_is_found_by_its_name_or_alias(tmp_path: Path) -> None:
    names = ["Thermal", "SWIR2", "B11", " B08", "b04", "Green", "B02", "coastal"]
    bands = {name: full(1000 + n) for n, name in enumerate(names)} | {"Thermal": full(3000)}
    write(tmp_path / NAME, bands, scale=dict.fromkeys(names, 1e-4) | {"Thermal": 0.1})

    layers = layers_of(tmp_path)

    assert list(layers.bands) == list(BANDS)
    values = [int(band[0, 0]) for band in layers.bands.values()]
    assert values == [2006, 2005, 2004, 2003, 2002, 2001, 30_000]


@pytest.mark.parametrize(
    ("platform", "red", "nir"),
    [
        ("", "B04", "B08"),
        ("", "B04_10m", "B08_10m"),
        ("", "red", "nir08"),
        ("", "B04", "B8A"),
        ("", "sur_refl_b01", "sur_refl_b02"),
        ("sentinel-2b", "B4", "B8"),
        ("landsat-8", "SR_B4", "SR_B5"),
        ("LANDSAT_9", "B4", "B5"),
        ("landsat-9", "Band 4", "Band 5"),
        ("landsat-7", "SR_B3", "SR_B4"),
        ("landsat-5", "B3", "B4"),
        ("hls-l30", "B04", "B05"),
        ("hls-s30", "B04", "B8A"),
    ],
)
def test_red_and_near_infrared_are_found_by_the_archives_names(
    platform: str, red: str, nir: str, tmp_path: Path
) -> None:
    write(tmp_path / NAME, {red: full(500), nir: full(4000)}, **({"PLATFORM": platform} if platform else {}))

    layers = layers_of(tmp_path)

    assert [int(band[0, 0]) for band in layers.bands.values()] == [1500, 5000]


def test_a_narrow_near_infrared_counts_only_where_there_is_no_other(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"B8A": full(1), "B04": full(500), "B08": full(4000)})

    assert [int(band[0, 0]) for band in layers_of(tmp_path).bands.values()] == [1500, 5000]


def test_a_number_is_the_band_of_the_sensor_that_has_it(tmp_path: Path) -> None:
    name = "HLS.L30.T33TVL.2016007T101243.v2.0.tif"
    bands = {"B04": full(500), "B05": full(4000), "B06": full(1500), "B07": full(800), "B11": full(2900)}
    write(tmp_path / name, bands)

    (item,) = items(tmp_path)
    layers = layers_of(tmp_path)

    assert (item.platform, item.tile) == ("hls-l30", "T33TVL")
    assert list(layers.bands) == ["red", "nir", "swir16", "swir22"]


def test_landsat_s_names_without_a_platform_are_nobody_s(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"SR_B4": full(500), "SR_B5": full(4000)})

    assert "no band is described as nir or red; found 'sr_b4', 'sr_b5'; set" in listed(tmp_path).refused[NAME]


def test_scale_and_offset_of_each_band_are_honoured(tmp_path: Path) -> None:
    bands = {"red": full(10_000), "nir": full(20_000), "lwir11": full(44_000)}
    scale = {"red": 2.75e-5, "nir": 5e-5, "lwir11": 0.00341802}
    write(tmp_path / NAME, bands, scale=scale, offset={"red": -0.2, "nir": 0.01, "lwir11": 149.0})

    layers = layers_of(tmp_path)

    kelvin = 44_000 * 0.00341802 + 149
    assert [int(layers.bands[b][0, 0]) for b in bands] == [1750, 11_100, round(100 * kelvin)]


def test_floats_are_reflectance_and_kelvin(tmp_path: Path) -> None:
    bands = {"red": full(0.05, "float32"), "nir": full(-0.02, "float32"), "lwir11": full(293.15, "float32")}
    write(tmp_path / NAME, bands, scale=1.0)

    layers = layers_of(tmp_path)

    assert [int(layers.bands[b][0, 0]) for b in bands] == [1500, 800, 29_315]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf, -9999.0, -0.1, 1e20])
def test_what_is_no_reflectance_is_nodata(nothing: float, tmp_path: Path) -> None:
    red, nir = full(0.05, "float32"), full(0.4, "float32")
    red[0, 0] = red[0, 1] = nir[0, 1] = nothing
    write(tmp_path / NAME, {"red": red, "nir": nir}, scale=1.0)

    layers = layers_of(tmp_path)

    assert layers.bands["red"][0, :3].tolist() == [0, 0, 1500]
    assert layers.bands["nir"][0, :3].tolist() == [5000, 0, 5000]
    assert layers.classes[0, :3].tolist() == [PixelClass.CLEAR, PixelClass.NODATA, PixelClass.CLEAR]


def test_the_files_nodata_value_is_honoured_but_not_in_its_mask(tmp_path: Path) -> None:
    red, nir, clear = full(500), full(4000), full(1)
    red[0, 0] = red[0, 1] = nir[0, 1] = clear[0, 2] = 0
    write(tmp_path / NAME, {"red": red, "nir": nir, "clear": clear}, nodata=0)

    layers = layers_of(tmp_path)

    assert layers.bands["red"][0, :3].tolist() == [0, 0, 1500]
    assert layers.bands["nir"][0, :3].tolist() == [5000, 0, 5000]
    assert layers.classes[0, :3].tolist() == [PixelClass.CLEAR, PixelClass.NODATA, PixelClass.CLOUD]


def test_a_mask_within_the_file_is_honoured(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    mask = np.full((ROWS, COLUMNS), 255, np.uint8)
    mask[0, 0] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)

    layers = layers_of(tmp_path)

    assert layers.classes[0, :2].tolist() == [PixelClass.NODATA, PixelClass.CLEAR]
    assert layers.bands["nir"][0, :2].tolist() == [0, 5000]


@pytest.mark.parametrize(
    ("kind", "codes", "shows"),
    [
        ("MASK", [0, 1], [1, 2]),
        ("SCL", [0, 4, 6, 999], [0, 1, 6, 7]),
        ("QA_PIXEL", [1, 21824, 22280, 0], [0, 1, 2, 7]),
        ("Fmask", [0, 2, 255], [1, 4, 0]),
        ("hls_fmask", [64, 66, 255], [1, 2, 0]),
    ],
)
def test_codes_of_a_class_band_are_translated(kind: str, codes: list[int], shows: list[int], tmp_path: Path) -> None:
    band = full(codes[0])
    band[0, : len(codes)] = codes
    write(tmp_path / NAME, PLAIN | {kind: band}, scale={"red": 1e-4, "nir": 1e-4})

    layers = layers_of(tmp_path)

    assert layers.classes[0, : len(codes)].tolist() == shows
    assert (layers.bands["red"][0, : len(codes)] > 0).tolist() == [code != PixelClass.NODATA for code in shows]


def test_of_two_class_bands_the_more_telling_counts(tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {"cloud": full(0), "scl": full(11)}, scale={"red": 1e-4, "nir": 1e-4})

    assert (layers_of(tmp_path).classes == PixelClass.SNOW).all()


# Pixels that do not align


def shifted(x: float, y: float, crs: str = GRID.crs) -> AreaOfInterest:
    """A place around the middle of GRID, on a grid that is off by parts of a cell."""
    left, bottom, right, top = transform_bounds(GRID.crs, crs, *GRID.extent)
    half = ((right - left) / 4, (top - bottom) / 4)
    return replace(AOI, grid=Grid(crs, left + half[0] + x, top - half[1] - y, half[0] / 3, half[1] / 3, 6, 6))


@pytest.mark.parametrize("aoi", [shifted(3.3, 4.4), shifted(0, 0, "EPSG:32632"), shifted(0, 0, "EPSG:3035")])
def test_warping_keeps_an_even_surface_even(aoi: AreaOfInterest, tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {"clear": full(1)}, scale={"red": 1e-4, "nir": 1e-4})

    layers = layers_of(tmp_path, aoi)

    assert (layers.bands["red"] == 1500).all()
    assert (layers.bands["nir"] == 5000).all()
    assert (layers.classes == PixelClass.CLEAR).all()


def test_bands_are_warped_between_cells_and_classes_to_the_nearest(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(1, COLUMNS + 1, dtype=np.uint16) * 100, (ROWS, 1))
    codes = np.tile(np.arange(COLUMNS, dtype=np.uint16) % 2 * 7 + 4, (ROWS, 1))  # vegetation and snow by turns
    write(tmp_path / NAME, {"red": ramp, "nir": ramp + 1, "scl": codes}, scale={"red": 1e-4, "nir": 1e-4})
    aoi = replace(AOI, grid=replace(GRID, left=GRID.left + 0.3 * GRID.xres, width=COLUMNS - 2))

    layers = layers_of(tmp_path, aoi)

    np.testing.assert_array_equal(layers.bands["red"][3], 1000 + ramp[3, : COLUMNS - 2] + 30)
    np.testing.assert_array_equal(layers.classes[3] == PixelClass.SNOW, codes[3, : COLUMNS - 2] == 11)


def test_nodata_is_not_mixed_into_what_is_warped(tmp_path: Path) -> None:
    red, nir = full(500), full(4000)
    red[:, 7:] = nir[:, 7:] = 0
    write(tmp_path / NAME, {"red": red, "nir": nir}, nodata=0)
    aoi = replace(AOI, grid=replace(GRID, left=GRID.left + 0.4 * GRID.xres))

    layers = layers_of(tmp_path, aoi)

    assert set(np.unique(layers.bands["red"])) == {0, 1500}
    np.testing.assert_array_equal(layers.classes != PixelClass.NODATA, layers.bands["red"] > 0)


def test_a_rotated_raster_is_warped(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    with rasterio.open(path, "r+") as dataset:
        middle = GRID.left + 75, GRID.top - 60
        turn = Affine.translation(*middle) @ Affine.rotation(30) @ Affine.scale(10, -10) @ Affine.translation(-7.5, -6)
        dataset.transform = turn

    layers = layers_of(tmp_path)

    assert layers.bands["red"][ROWS // 2, COLUMNS // 2] == 1500
    assert layers.classes[0, 0] == PixelClass.NODATA
    assert FolderSource(tmp_path).anchor_grid(AOI.bounds) is None


# Names, times, passes


@pytest.mark.parametrize(
    ("name", "tag", "sensed_at"),
    [
        ("2016-01-07T101243.tif", "", (2016, 1, 7, 10, 12, 43)),
        ("20160107T101243.TIF", "", (2016, 1, 7, 10, 12, 43)),
        ("north_20160107_101243_v2.tiff", "2020:01:01 00:00:00", (2016, 1, 7, 10, 12, 43)),
        ("S2A_MSIL2A_20160107T101243_N0400_R022_T33TVL_20210705T235959.tif", "", (2016, 1, 7, 10, 12, 43)),
        ("north.tif", "2016:01:07 10:12:43", (2016, 1, 7, 10, 12, 43)),
        ("LC08_L2SP_190028_20160107_20200907_02_T1.tif", "2016:01:07 09:51:00", (2016, 1, 7, 9, 51, 0)),
        ("20161307T101243_2016-01-07.tif", "2016:01:07 10:12:43", (2016, 1, 7, 10, 12, 43)),
    ],
)
def test_the_time_comes_from_the_name_or_else_from_the_tag(
    name: str, tag: str, sensed_at: tuple[int, ...], tmp_path: Path
) -> None:
    write(tmp_path / name, offset=-0.1, **({"TIFFTAG_DATETIME": tag} if tag else {}))

    (item,) = items(tmp_path)

    assert item.item_id == name
    assert item.sensed_at == datetime(*sensed_at, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "tags", "told"),
    [
        ("2016-01-07T101243.tif", {}, ("unknown", "")),
        ("2016-01-07T101243_N0301.tif", {"PLATFORM": "sentinel-2"}, ("sentinel-2", "03.01")),
        ("2016-01-07T101243.tif", {"PROCESSING_BASELINE": "05.09"}, ("unknown", "05.09")),
        ("T33TVL_20160107T101243_N0400.tif", {"PROCESSING_BASELINE": "4.0"}, ("unknown", "04.00")),
    ],
)
def test_platform_and_baseline_are_told_by_name_or_tag(
    name: str, tags: dict[str, str], told: tuple[str, str], tmp_path: Path
) -> None:
    write(tmp_path / name, offset=-0.1 if told[1] >= "04" else 0.0, **tags)

    (item,) = items(tmp_path)

    assert (item.platform, item.baseline) == told


def test_of_one_pass_the_surface_counts_and_not_the_top_of_the_atmosphere(tmp_path: Path) -> None:
    write(tmp_path / "S2B_MSIL1C_20160107T101243_N0511_R022_T33TVL_20240601T150000.tif", offset=-0.1)
    write(tmp_path / "S2B_MSIL2A_20160107T101243_N0510_R022_T33TVL_20240601T160000.tif", offset=-0.1)

    levels = {item.item_id[4:10]: item.level for item in items(tmp_path)}

    assert levels == {"MSIL1C": Level.TOP_OF_ATMOSPHERE, "MSIL2A": Level.SURFACE}


def test_a_pass_delivered_twice_is_one_piece_of_one_pass(tmp_path: Path) -> None:
    write(tmp_path / "2015-12-08T100409.tif")
    write(tmp_path / "2015-12-08T101125.tif")
    write(tmp_path / "2015-12-18T101125.tif")

    twice, once = listed(tmp_path).acquisitions.values()

    assert len({(item.overpass, item.tile) for item in twice}) == 1
    assert once[0].overpass != twice[0].overpass


def test_files_side_by_side_are_pieces_of_one_pass(tmp_path: Path) -> None:
    write(tmp_path / "2016-01-07T101243_west.tif")
    write(tmp_path / "2016-01-07T101247_east.tif", grid=replace(GRID, left=GRID.left + 50))
    write(tmp_path / "S2A_20160107T101251_T33TVL.tif", grid=replace(GRID, left=GRID.left + 90))

    west, east, tile = items(tmp_path)

    assert west.overpass == east.overpass == tile.overpass
    assert west.tile != east.tile
    assert tile.tile == "T33TVL"


def test_night_and_day_are_two_passes(tmp_path: Path) -> None:
    write(tmp_path / "2016-01-07T101243.tif")
    write(tmp_path / "2016-01-07T203000.tif")

    assert len({item.overpass for item in items(tmp_path)}) == 2


def test_a_folder_has_no_calendar() -> None:
    assert FolderSource(Path("scenes")).due(AOI, FIRST) is Due.UNKNOWN


def test_the_anchor_grid_is_the_first_good_files_over_the_area(tmp_path: Path) -> None:
    write(tmp_path / "a" / NAME, grid=replace(GRID, left=GRID.left + 5_000))
    (tmp_path / "b.tif").write_text("no raster")
    write(tmp_path / "c" / NAME)
    write(tmp_path / "d" / NAME, grid=replace(GRID, xres=20.0))
    source = FolderSource(tmp_path)

    assert source.anchor_grid(AOI.bounds) == GRID
    assert source.anchor_grid(Bounds(-94, 41, -93, 42)) is None


def test_a_crs_without_a_code_is_kept_as_wkt(tmp_path: Path) -> None:
    middle = (AOI.bounds.west + AOI.bounds.east) / 2
    own = f"+proj=laea +lat_0={AOI.bounds.south} +lon_0={middle} +datum=WGS84 +units=m"
    write(tmp_path / NAME, crs=own, grid=replace(GRID, left=-75, top=100))
    source = FolderSource(tmp_path)

    anchor_grid = source.anchor_grid(AOI.bounds)

    assert anchor_grid is not None
    assert "Lambert" in anchor_grid.crs
    aoi = replace(AOI, grid=anchor_grid)
    (item,) = items(tmp_path, aoi)
    assert (source.read(aoi, item).bands["red"] == 1500).all()


# What changes under a listing


def test_files_may_come_change_and_go_between_listings(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)

    def found() -> dict[str, tuple[str, str]]:
        listing = source.list(AOI, FIRST, LAST, NOW)
        return {i.item_id: (i.platform, i.digest) for day in listing.acquisitions.values() for i in day}

    none = found()
    write(tmp_path / NAME, PLATFORM="a")
    one = found()
    write(tmp_path / NAME, PLATFORM="another")
    changed = found()
    (tmp_path / NAME).unlink()
    gone = found()

    assert none == gone == {}
    assert [platform for platform, _ in (one[NAME], changed[NAME])] == ["a", "another"]
    assert one[NAME][1] != changed[NAME][1]


def test_an_unchanged_file_is_not_opened_again(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    source = FolderSource(tmp_path)
    before = source.list(AOI, FIRST, LAST, NOW)
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert source.list(AOI, FIRST, LAST, NOW) == before


def test_the_digest_is_of_the_bytes_alone(tmp_path: Path) -> None:
    content = write(tmp_path / "a" / NAME).read_bytes()
    copy = tmp_path / "b" / NAME
    copy.parent.mkdir()
    copy.write_bytes(content)
    os.utime(copy, (1_000_000_000, 1_000_000_000))

    one, other = items(tmp_path)

    assert one.digest == other.digest
    assert one.item_id != other.item_id


def test_what_is_there_is_published_by_now(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    early = datetime(2016, 1, 8, tzinfo=UTC)

    (item,) = items(tmp_path)
    ((then,),) = FolderSource(tmp_path).list(AOI, FIRST, LAST, early).acquisitions.values()

    assert item.published_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert then.published_at == early


def test_a_day_lists_its_own_files(tmp_path: Path) -> None:
    write(tmp_path / "2016-01-07T101243.tif")
    write(tmp_path / "2016-01-07T233000.tif")  # past solar midnight, at 14.6 degrees east
    source = FolderSource(tmp_path)

    days = {n: source.list(AOI, day, day, NOW).acquisitions for n in (7, 8) if (day := date(2016, 1, n))}

    assert [item.item_id for item in days[7][date(2016, 1, 7)]] == ["2016-01-07T101243.tif"]
    assert [item.item_id for item in days[8][date(2016, 1, 8)]] == ["2016-01-07T233000.tif"]


def test_a_file_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    source = FolderSource(tmp_path)
    (item,) = items(tmp_path)
    write(path, PLAIN | {"red": full(501)})

    with pytest.raises(SceneError, match=f"{NAME}: is not the file that was listed"):
        source.read(AOI, item)
    path.unlink()
    with pytest.raises(SceneError, match=f"{NAME}: can't be read"):
        source.read(AOI, item)


def test_a_missing_folder_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"SATFIELDS_SCENE_FOLDER=.*nowhere"):
        listed(tmp_path / "nowhere")
    with pytest.raises(SettingError, match=r"SATFIELDS_SCENE_FOLDER=.*nowhere"):
        FolderSource(tmp_path / "nowhere").anchor_grid(AOI.bounds)


def test_links_are_followed_within_the_folder_only(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    write(outside / NAME)
    write(folder / ".data" / NAME)
    (folder / "within.tif").symlink_to(folder / ".data" / NAME)
    (folder / "leaving.tif").symlink_to(outside / NAME)
    (folder / "leaving").symlink_to(outside, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    (folder / "broken.tif").symlink_to(folder / "nothing")
    (folder / "loop.tif").symlink_to(folder / "loop.tif")

    listing = listed(folder)

    assert listing.refused.keys() == {"leaving.tif", "broken.tif", "loop.tif", "within.tif"}
    assert "leads out of the folder" in listing.refused["leaving.tif"]
    assert "unknown time" in listing.refused["within.tif"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)

    assert "pipe" in listed(tmp_path).refused[NAME]


@pytest.mark.parametrize(
    ("baseline", "offset", "taken"), [("N0511", 0.0, False), ("N0511", -0.1, True), ("N0209", 0.0, True)]
)
def test_a_sentinel_2_baseline_with_an_offset_is_not_taken_without_it(
    tmp_path: Path, baseline: str, offset: float, taken: bool
) -> None:
    name = f"S2B_MSIL2A_20160107T101243_{baseline}_R022_T33TVL_20160107T150000.tif"
    write(tmp_path / name, scale={"red": 1e-4, "nir": 1e-4}, offset={"red": offset, "nir": offset})

    listing = FolderSource(tmp_path).list(AOI, FIRST, LAST, NOW)

    assert bool(listing.acquisitions) is taken
    assert all("state `offset = 0` in satfields.toml" in why for why in listing.refused.values())
    assert len(listing.refused) == (0 if taken else 1)


def test_what_is_being_written_is_told_where_it_may_be_of_the_day(tmp_path: Path) -> None:
    for name in ("2016-01-07T101243.tif", "2016-03-01T101243.tif"):
        write(tmp_path / name)
        os.utime(tmp_path / name, (NOW.timestamp(), NOW.timestamp()))

    found = FolderSource(tmp_path).list(AOI, date(2016, 1, 7), date(2016, 1, 7), NOW)

    assert (found.acquisitions, found.unsettled) == ({}, ("2016-01-07T101243.tif",))
