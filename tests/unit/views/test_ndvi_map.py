import io

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from satcommon.geo.grid import Grid
from satcommon.raster.layers import PixelClass
from satcommon.views.ndvi_map import CLASS_COLOURS, MARGIN, TITLE_HEIGHT, Window, detail_window, ndvi_map
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

GRID = Grid("EPSG:32615", left=400_000, top=4_500_000, xres=10, yres=10, width=3000, height=2000)  # 30 km by 20 km
Scene = tuple[dict[str, NDArray[np.uint16]], NDArray[np.uint8]]
TO_WGS84 = pyproj.Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)


def lonlat(geometry: BaseGeometry) -> BaseGeometry:
    return shapely.transform(geometry, TO_WGS84.transform, interleaved=False)


def square(east_km: float, south_km: float, side_km: float) -> Polygon:
    """A field, by its upper left corner's distances from the grid's."""
    left, top = GRID.left + 1000 * east_km, GRID.top - 1000 * south_km
    return box(left, top - 1000 * side_km, left + 1000 * side_km, top)


def scene(ndvi: float = 0.3, pixel_class: PixelClass = PixelClass.CLEAR, shape: tuple[int, int] = (200, 300)) -> Scene:
    nir = 0.4
    red = nir * (1 - ndvi) / (1 + ndvi)
    bands = {
        name: np.full(shape, round(1e4 * (value + 0.1)), np.uint16) for name, value in (("red", red), ("nir", nir))
    }
    return bands, np.full(shape, pixel_class, np.uint8)


def pixels(png: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int_)


def region_map(png: bytes, width: int = 300, height: int = 200) -> NDArray[np.int_]:
    """The left map alone, at 100 m a pixel."""
    return pixels(png)[TITLE_HEIGHT : TITLE_HEIGHT + height, MARGIN : MARGIN + width]


def test_the_region_is_drawn_to_scale_with_its_longest_side_as_asked() -> None:
    png = ndvi_map(*scene(), GRID, [], "A", max_pixels=300)

    picture = pixels(png)

    assert png.startswith(b"\x89PNG")
    assert picture.shape[1] == MARGIN + 300 + MARGIN
    assert picture.shape[0] > TITLE_HEIGHT + 200 + MARGIN
    inside = region_map(png)[:150]
    assert (inside == inside[0, 0]).all()
    assert not (pixels(png)[:TITLE_HEIGHT] == inside[0, 0]).all(axis=2).any()


def test_a_closer_look_stands_right_of_the_region_and_is_framed_in_it() -> None:
    window = Window(row=500, column=1000, height=300, width=300)
    bands, classes = scene()

    png = ndvi_map(
        bands, classes, GRID, [], "A", detail=(*scene(0.9, shape=(300, 300)), window.of(GRID)), max_pixels=300
    )

    assert pixels(png).shape[1] == MARGIN + 300 + MARGIN + 300 + MARGIN
    closer = pixels(png)[TITLE_HEIGHT : TITLE_HEIGHT + 300, MARGIN + 300 + MARGIN :]
    assert closer[150, 150, 1] > 2 * closer[150, 150, 0]
    left = pixels(png)[TITLE_HEIGHT + 50 :, MARGIN:]  # the smaller map stands in the middle of the height
    framed = np.argwhere((left[:200, :300] == closer[0, 0]).all(axis=2))
    assert framed.min(axis=0).tolist() == [50, 100]
    assert framed.max(axis=0).tolist() == [80, 130]


def test_a_vegetated_field_is_greener_than_bare_ground() -> None:
    (bands, classes), (green, _) = scene(0.15), scene(0.8)
    for name in bands:
        bands[name][:, 150:] = green[name][:, 150:]

    drawn = region_map(ndvi_map(bands, classes, GRID, [], "A", max_pixels=300))

    bare, vegetated = drawn[50, 50], drawn[50, 250]
    assert bare[0] > bare[1] > bare[2]
    assert vegetated[1] > 2 * vegetated[0]


def test_the_more_vegetation_the_darker() -> None:
    bands, classes = scene()
    ndvi = np.linspace(-0.2, 1, 300)
    bands["red"][:] = np.round(1e4 * (0.4 * (1 - ndvi) / (1 + ndvi) + 0.1))

    drawn = region_map(ndvi_map(bands, classes, GRID, [], "A", max_pixels=300))

    lightness = (drawn[50] / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) < 0.004).all()  # a step of the ramp is less than what a soft palette may round
    assert lightness[0] > 10 * lightness[-1]


def test_clouds_are_grey_thin_ones_paler_and_shadow_darker() -> None:
    colour = {
        each: region_map(ndvi_map(*scene(0.6, each), GRID, [], "A", max_pixels=300))[50, 50] for each in CLASS_COLOURS
    }

    for grey in (PixelClass.CLOUD, PixelClass.THIN_CLOUD, PixelClass.SHADOW):
        assert np.ptp(colour[grey]) < 10
    assert colour[PixelClass.THIN_CLOUD].min() > colour[PixelClass.CLOUD].max()
    assert colour[PixelClass.CLOUD].min() > 150 > colour[PixelClass.SHADOW].max()
    assert colour[PixelClass.WATER].argmax() == 2
    assert colour[PixelClass.SNOW].min() > 190
    assert colour[PixelClass.SNOW].argmax() == 2


@pytest.mark.parametrize("band", ["red", "nir"])
def test_a_clear_cell_without_a_value_is_drawn_as_no_data(band: str) -> None:
    bands, classes = scene()
    bands[band][:] = 0

    drawn = region_map(ndvi_map(bands, classes, GRID, [], "A", max_pixels=300))

    np.testing.assert_allclose(drawn[50, 50], CLASS_COLOURS[PixelClass.NODATA], atol=12)


def test_outlines_are_light_lines_in_a_dark_casing_where_the_field_ends() -> None:
    field = lonlat(square(5, 5, 4))

    drawn = region_map(ndvi_map(*scene(), GRID, [field], "A", max_pixels=300)).sum(axis=2)

    ground = drawn[20, 20]
    for row, column in ((50, 70), (90, 70), (70, 50), (70, 90)):
        around = drawn[row - 2 : row + 3, column - 2 : column + 3]
        assert around.max() > ground + 100
        assert around.min() < ground - 100
    assert drawn[70, 70] == ground
    assert drawn[70, 100] == ground


def test_holes_and_every_part_are_drawn() -> None:
    holed = Polygon(square(2, 2, 8).exterior.coords, [square(4, 4, 3).exterior.coords])
    field = lonlat(MultiPolygon([holed, square(20, 4, 3)]))

    drawn = region_map(ndvi_map(*scene(), GRID, [field], "A", max_pixels=300)).sum(axis=2)

    ground = drawn[10, 10]
    for row, column in ((50, 20), (50, 40), (50, 70), (50, 100), (50, 200), (50, 230)):
        assert drawn[row, column - 1 : column + 2].max() > ground + 100
    for column in (30, 55, 85, 150, 215):
        assert drawn[50, column] == ground


def test_decimated_arrays_are_drawn_where_the_whole_ones_are() -> None:
    bands, classes = scene(shape=(2000, 3000))
    classes[400:800, 1200:1500] = PixelClass.CLOUD
    decimated = {name: band[::10, ::10] for name, band in bands.items()}

    whole = ndvi_map(bands, classes, GRID, [], "A", max_pixels=300)

    assert ndvi_map(decimated, classes[::10, ::10], GRID, [], "A", max_pixels=300) == whole
    cloud = (region_map(whole)[:150] > 185).all(axis=2)
    assert np.argwhere(cloud).min(axis=0).tolist() == [40, 120]
    assert cloud.sum() == 40 * 30


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(lonlat(square(-50, 3, 1)), id="beside the grid"),
        pytest.param(box(80, -40, 81, -39), id="the other side of the Earth"),
        pytest.param(box(200, 95, 210, 100), id="nowhere on it"),
        pytest.param(Polygon(), id="empty"),
    ],
)
def test_what_lies_off_the_grid_changes_nothing(stranger: BaseGeometry) -> None:
    alone = ndvi_map(*scene(), GRID, [], "A", max_pixels=300)

    assert ndvi_map(*scene(), GRID, [stranger], "A", max_pixels=300) == alone
    assert detail_window(GRID, [stranger]) is None


def test_a_field_larger_than_the_region_draws_no_line_along_its_edge() -> None:
    drawn = region_map(ndvi_map(*scene(), GRID, [lonlat(square(-40, -40, 100))], "A", max_pixels=300))

    assert (drawn[:150] == drawn[0, 0]).all()


def test_without_fields_there_is_no_closer_look() -> None:
    assert detail_window(GRID, []) is None


def test_the_closer_look_is_a_square_around_the_smaller_fields() -> None:
    small = [square(20 + east, 12 + south, 0.8) for east, south in ((0, 0), (1, 0.2), (2.4, 1), (0.5, 3))]
    large = square(2, 2, 9)

    window = detail_window(GRID, [lonlat(each) for each in (large, *small)])

    assert window is not None
    left, bottom, right, top = window.of(GRID).extent
    assert window.height == window.width
    assert all(box(left, bottom, right, top).contains(each) for each in small)
    assert 3000 <= right - left < 6000


def test_the_closer_look_goes_to_the_densest_neighbourhood_of_fields_that_are_spread_out() -> None:
    crowd = [square(7 + east, 14, 0.4) for east in (0, 0.5, 1.5)]
    spread = [square(25, 3, 0.4), square(15, 1, 0.4), square(28, 18, 0.4)]

    window = detail_window(GRID, [lonlat(each) for each in (*spread, *crowd)])

    assert window is not None
    assert all(box(*window.of(GRID).extent).contains(each) for each in crowd)


def test_fields_as_wide_as_half_the_region_have_no_closer_look() -> None:
    assert detail_window(GRID, [lonlat(square(1, 1, 15)), lonlat(square(17, 2, 12))]) is None


def test_the_closer_look_is_square_on_the_ground_on_a_grid_in_degrees() -> None:
    grid = Grid("EPSG:4326", left=-95, top=61, xres=0.001, yres=0.001, width=1000, height=1000)

    window = detail_window(grid, [box(-94.51, 60.495, -94.5, 60.5)])

    assert window is not None
    assert window.width == pytest.approx(window.height / np.cos(np.radians(60.5)), rel=0.05)
    assert window.height * 0.001 * 111.195 == pytest.approx(3, abs=0.12)


@settings(deadline=None)  # the first example pays for opening PROJ's database
@given(
    corners=st.lists(
        st.tuples(st.floats(-3, 32), st.floats(-3, 22), st.floats(0.05, 5)),
        min_size=1,
        max_size=12,
    )
)
def test_the_closer_look_always_lies_on_the_grid(corners: list[tuple[float, float, float]]) -> None:
    window = detail_window(GRID, [lonlat(square(*each)) for each in corners])

    if window is not None:
        assert 0 <= window.row <= window.row + window.height <= GRID.height
        assert 0 <= window.column <= window.column + window.width <= GRID.width
        assert min(window.height, window.width) >= 300
