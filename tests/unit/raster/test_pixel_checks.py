"""Each radiometric check, with what it must refuse and what it must let pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from satcommon.errors import RadiometricError
from satcommon.raster.layers import NODATA, Layers, PixelClass
from satcommon.raster.pixel_checks import CHECKS, check_pixels
from satcommon.raster.region_pixels import StatedCloud

from tests.unit.geotiffs import AOI, COLUMNS, GRID, ROWS, full, items, layers_of, write

Surface = tuple[float, float, float, float, float, float]  # blue, green, red, nir, swir16, swir22

SOIL: Surface = (0.09, 0.12, 0.15, 0.2, 0.3, 0.25)
CANOPY: Surface = (0.025, 0.06, 0.03, 0.48, 0.19, 0.09)
CLOUD: Surface = (0.62, 0.61, 0.61, 0.63, 0.45, 0.36)
SNOW: Surface = (0.88, 0.87, 0.85, 0.76, 0.1, 0.08)
OLD_SNOW: Surface = (0.74, 0.72, 0.68, 0.5, 0.07, 0.06)
WATER: Surface = (0.04, 0.035, 0.02, 0.008, 0.003, 0.002)
MUDDY: Surface = (0.07, 0.11, 0.13, 0.07, 0.005, 0.003)
SHALLOW: Surface = (0.22, 0.24, 0.13, 0.02, 0.004, 0.003)
DARK_WATER: Surface = (-0.012, -0.002, -0.012, -0.016, -0.004, -0.003)
BLOOM: Surface = (0.02, 0.05, 0.025, 0.06, 0.004, 0.003)
SAND: Surface = (0.16, 0.26, 0.38, 0.46, 0.58, 0.52)
SALT: Surface = (0.56, 0.63, 0.68, 0.71, 0.52, 0.36)
BURNT: Surface = (0.032, 0.04, 0.052, 0.085, 0.16, 0.17)
HAZY_SOIL: Surface = (0.19, 0.2, 0.2, 0.22, 0.27, 0.22)
HAZY_CANOPY: Surface = (0.13, 0.14, 0.1, 0.42, 0.18, 0.09)
PASTURE: Surface = (0.05, 0.08, 0.09, 0.37, 0.25, 0.15)
HAZY_PASTURE: Surface = (0.13, 0.16, 0.16, 0.41, 0.26, 0.16)
SHRUBS_IN_SAND: Surface = (0.13, 0.19, 0.23, 0.5, 0.46, 0.39)

TRUE = {
    "soil": SOIL, "canopy": CANOPY, "cloud": CLOUD, "snow": SNOW, "old snow": OLD_SNOW, "water": WATER, "mud": MUDDY,
    "sandbank": SHALLOW, "dark water": DARK_WATER, "bloom": BLOOM, "sand": SAND, "salt": SALT, "burnt": BURNT,
    "hazy soil": HAZY_SOIL, "hazy canopy": HAZY_CANOPY, "pasture": PASTURE, "hazy pasture": HAZY_PASTURE,
    "shrubs in sand": SHRUBS_IN_SAND,
}  # fmt: skip
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
SIDE = 60


def scene(
    west: Surface,
    east: Surface | None = None,
    *,
    classes: tuple[PixelClass, PixelClass] = (PixelClass.CLEAR, PixelClass.CLEAR),
    bands: tuple[str, ...] = BANDS,
    side: int = SIDE,
) -> Layers:
    """Two surfaces, side by side, with some grain."""
    grain = 1 + 0.05 * np.random.default_rng(7).uniform(-1, 1, (side, side))
    half = np.arange(side) < side // 2
    stored = {
        name: np.rint((np.where(half, left, right) * grain * 10_000) + 1_000).clip(1, 65535).astype(np.uint16)
        for name, left, right in zip(BANDS, west, east or west, strict=True)
        if name in bands
    }
    told = np.where(half, *classes).astype(np.uint8)
    return Layers(stored, np.broadcast_to(told, (side, side)).copy())


def times(factor: float, surface: Surface) -> Surface:
    return tuple(factor * value for value in surface)  # type: ignore[return-value]


def plus(offset: float, surface: Surface) -> Surface:
    return tuple(value + offset for value in surface)  # type: ignore[return-value]


def swapped(surface: Surface, first: int, second: int) -> Surface:
    values = list(surface)
    values[first], values[second] = values[second], values[first]
    return tuple(values)  # type: ignore[return-value]


def failed(layers: Layers, mask: str = "", said: StatedCloud | None = None) -> str:
    """The name of the check that refuses a file; empty where none does."""
    try:
        check_pixels(layers, "a.tif", mask, said)
    except RadiometricError as error:
        return error.check if re.match("a.tif: .+; expected ", str(error)) else str(error)
    return ""


@pytest.mark.parametrize("bands", [BANDS, ("red", "nir")], ids=["six bands", "two bands"])
@pytest.mark.parametrize("name", TRUE)
def test_no_surface_is_refused_alone_or_beside_another(name: str, bands: tuple[str, ...]) -> None:
    assert {other: failed(scene(TRUE[name], TRUE[other], bands=bands)) for other in TRUE} == dict.fromkeys(TRUE, "")


def _lies() -> Iterator[tuple[str, Layers, str]]:
    for name, surface in (("soil", SOIL), ("canopy", CANOPY)):
        yield f"{name} ten times too dark", scene(times(0.1, surface)), "too_dark"
        yield f"{name}, red and nir swapped", scene(swapped(surface, 2, 3)), "red_and_nir_swapped"
        yield f"{name}, offset twice", scene(plus(-0.1, surface)), "offset_applied_twice"
    yield "canopy ten times too bright", scene(times(10, CANOPY)), "too_bright"
    yield "snow ten times too bright, told as such", scene(times(6, SNOW), classes=(PixelClass.SNOW,) * 2), "too_bright"
    yield "water, offset twice", scene(plus(-0.1, WATER), SOIL), "below_zero"
    yield "canopy, offset missing", scene(plus(0.1, CANOPY), plus(0.1, SOIL)), "offset_missing"
    yield "pasture, offset missing", scene(plus(0.1, PASTURE), plus(0.1, SOIL)), "offset_missing"
    yield "soil, blue and red swapped", scene(swapped(SOIL, 0, 2), swapped(CANOPY, 0, 2)), "blue_and_red_swapped"
    red_and_nir = scene(swapped(CANOPY, 2, 3), bands=("red", "nir"))
    yield "two bands, swapped", red_and_nir, "red_and_nir_swapped"
    dark = scene(times(0.1, SOIL), times(0.1, CANOPY), bands=("red", "nir"))
    yield "two bands, ten times too dark", dark, "too_dark"
    for value in (1, 1000, 65535):
        filled = scene(SOIL)
        for band in filled.bands.values():
            band[:10] = value
        yield f"fill of {value}", filled, "undeclared_fill"


@pytest.mark.parametrize(("layers", "check"), [pytest.param(*rest, id=name) for name, *rest in _lies()])
def test_what_nothing_on_earth_looks_like_is_refused(layers: Layers, check: str) -> None:
    assert failed(layers) == check


def test_a_few_cells_of_anything_are_let_pass() -> None:
    for lie in (times(0.1, SOIL), swapped(CANOPY, 2, 3), plus(0.1, CANOPY), swapped(SOIL, 0, 2)):
        assert failed(scene(lie, side=14)) == ""
        assert failed(scene(lie, side=15)) != ""


def test_clouds_that_are_clipped_and_what_is_declared_as_nodata_are_no_fill() -> None:
    clipped, edge = scene(CLOUD, SOIL), scene(SOIL)
    for band in clipped.bands.values():
        band[:, : SIDE // 2] = 11_000  # reflectance 1
    for band in edge.bands.values():
        band[:40] = NODATA
    edge.classes[:40] = PixelClass.NODATA
    assert (failed(clipped), failed(edge)) == ("", "")


CLOUDY, INVERTED = (PixelClass.CLOUD, PixelClass.CLEAR), (PixelClass.CLEAR, PixelClass.CLOUD)


@pytest.mark.parametrize("mask", ["scl", "clear"])
@pytest.mark.parametrize(
    ("west", "east", "classes", "refused"),
    [
        (CLOUD, SOIL, CLOUDY, False),
        (CLOUD, SOIL, INVERTED, True),
        (CLOUD, CANOPY, INVERTED, True),
        (SNOW, CLOUD, INVERTED, False),  # cloud over snow
        (SAND, CLOUD, INVERTED, False),
        (SALT, CLOUD, INVERTED, False),
        (CLOUD, CLOUD, (PixelClass.CLEAR,) * 2, True),
        (SNOW, OLD_SNOW, (PixelClass.CLEAR,) * 2, False),
        (SALT, SAND, (PixelClass.CLEAR,) * 2, False),
    ],
)
def test_a_mask_is_inverted_where_cloud_is_dark_and_land_white(
    west: Surface, east: Surface, classes: tuple[PixelClass, PixelClass], refused: bool, mask: str
) -> None:
    assert failed(scene(west, east, classes=classes), mask) == ("mask_inverted" if refused else "")


def test_a_region_that_is_all_cloud_by_its_mask_is_land_only_if_no_shadow_or_cirrus_can_be_meant() -> None:
    cloud = (PixelClass.CLOUD,) * 2
    assert failed(scene(SOIL, CANOPY, classes=cloud), "scl") == "mask_inverted"
    assert failed(scene(SOIL, CANOPY, classes=cloud), "clear") == ""  # a small region may lie in a cloud's margin
    assert failed(scene(SOIL, CANOPY, classes=cloud, side=220), "clear") == "mask_inverted"
    assert failed(scene(times(0.4, SOIL), times(0.4, CANOPY), classes=cloud, side=220), "clear") == ""
    assert failed(scene(HAZY_SOIL, HAZY_CANOPY, classes=cloud, side=220), "clear") == ""


def test_the_shadow_of_a_cloud_on_sand_may_be_cloud_in_a_mask_of_two_values() -> None:
    layers = scene(SAND, times(0.4, SAND), classes=INVERTED)
    assert (failed(layers, "clear"), failed(layers, "scl")) == ("", "mask_inverted")


def test_a_file_without_a_mask_may_show_nothing_but_cloud() -> None:
    assert failed(scene(CLOUD)) == ""


@pytest.mark.parametrize(
    ("share", "regions", "surface", "kind", "refused"),
    [
        (0.0, 1.0, CLOUD, PixelClass.CLOUD, True),
        (1.0, 1.0, SOIL, PixelClass.CLEAR, True),
        (0.0, 1000.0, CLOUD, PixelClass.CLOUD, True),  # none in a thousand regions, all in this one
        (0.01, 1000.0, CLOUD, PixelClass.CLOUD, False),
        (0.99, 1000.0, SOIL, PixelClass.CLEAR, False),
        (0.6, 1.0, CLOUD, PixelClass.CLOUD, False),
        (0.0, 1.0, SOIL, PixelClass.CLEAR, False),
        (1.0, 1.0, SNOW, PixelClass.SNOW, False),
    ],
)
def test_cloud_contradicts_an_item_only_where_the_whole_of_it_can_not_have_so_much(
    share: float, regions: float, surface: Surface, kind: PixelClass, refused: bool
) -> None:
    layers = scene(surface, classes=(kind, kind))
    check = failed(layers, "scl", StatedCloud(share, regions))
    assert check == ("cloud_contradicts_item" if refused else "")
    assert failed(layers, "", StatedCloud(share, regions)) == ""


def _with_item(folder: Path, percent: object, bbox: object) -> None:
    bands = {"red": full(6000), "nir": full(6200), "clear": full(0)}
    path = write(folder / "2016-01-07T101243.tif", bands, scale={"red": 1e-4, "nir": 1e-4})
    item = {
        "type": "Feature",
        "id": "a",
        "bbox": bbox,
        "properties": {"datetime": "2016-01-07T10:12:43Z", "eo:cloud_cover": percent},
        "assets": {},
    }
    path.with_suffix(".json").write_text(json.dumps(item))


def test_the_cloud_of_an_item_beside_a_file_is_held_against_its_mask(tmp_path: Path) -> None:
    bbox = list(AOI.bounds)
    with pytest.raises(RadiometricError, match=r"states eo:cloud_cover 0 for 1\.0 times its area") as refused:
        with_many_cells(tmp_path / "0", 0, bbox)
    assert refused.value.check == "cloud_contradicts_item"
    for number, (percent, box) in enumerate(
        [(100, bbox), (0, None), ("0", bbox), (0, [1, 2]), (-3, bbox), (None, bbox), (0, ["a"] * 4), (True, bbox)], 1
    ):
        with_many_cells(tmp_path / str(number), percent, box)


def with_many_cells(folder: Path, percent: object, bbox: object) -> None:
    """The item's file is read on the region's own grid, of 180 cells: as of 20 times as many here."""
    fine = replace(GRID, xres=GRID.xres / 4, yres=GRID.yres / 5, width=COLUMNS * 4, height=ROWS * 5)
    aoi = replace(AOI, grid=fine)
    _with_item(folder, percent, bbox)
    assert items(folder, aoi)
    layers_of(folder, aoi)


def test_a_large_region_is_looked_at_in_a_sample_of_its_cells() -> None:
    layers = scene(swapped(CANOPY, 2, 3), SOIL, side=1_500)
    assert failed(layers) == "red_and_nir_swapped"
    assert failed(scene(CANOPY, SOIL, side=1_500)) == ""


def test_each_check_is_told_by_another_name_and_in_words() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.found and check.means and check.limit for check in CHECKS)
