"""What a GeoTIFF does not declare, and what is found in its pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from satcommon.errors import SceneError
from satcommon.grid import Bounds, Grid
from satcommon.indices import layers as indices
from satcommon.scenes.folder import FolderSource
from satcommon.scenes.layers import PixelClass
from satcommon.scenes.source import Place
from satcommon.scenes.unite import unite

from tests.unit.geotiffs import COLUMNS, NAME, PLACE, PLAIN, ROWS, Raster, full, items, layers_of, listed, only, write

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
    place = Place("A", Bounds(*transform_bounds(grid.crs, "EPSG:4326", *grid.extent)), grid)

    layers = layers_of(tmp_path, place)

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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    values=arrays(np.uint16, (2, ROWS, COLUMNS), elements=st.integers(1, 60_000)),
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

    scenes = [unite(FolderSource(folder), PLACE, items(folder)) for folder in (whole, parts)]

    (one, other) = (scene.layers for scene in scenes if scene)
    assert [band.tobytes() for band in one.bands.values()] == [band.tobytes() for band in other.bands.values()]
    assert one.classes.tobytes() == other.classes.tobytes()
