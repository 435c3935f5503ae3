import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform_bounds
from satcommon.geo.grid import Bounds, Grid

LATTICE = Grid("EPSG:32633", 465_181.05223, 5_080_254.63350, 9.9947922, 9.9974485, 7, 5)  # cells are not square

longitudes, latitudes = st.floats(-179.9, 179.0), st.floats(-80, 80)
sizes = st.floats(0.0005, 0.05)


@given(west=longitudes, south=latitudes, width=sizes, height=sizes, resolution=st.sampled_from([10.0, 20.0, 100.0]))
def test_a_utm_grid_covers_its_rectangle_and_no_row_or_column_more(
    west: float, south: float, width: float, height: float, resolution: float
) -> None:
    bounds = Bounds(west, south, west + width, south + height)

    grid = Grid.utm(bounds, resolution)

    left, bottom, right, top = transform_bounds("EPSG:4326", grid.crs, *bounds, densify_pts=101)
    west_edge, south_edge, east_edge, north_edge = grid.extent
    assert west_edge <= left < west_edge + resolution
    assert north_edge - resolution < top <= north_edge
    assert east_edge - resolution < right <= east_edge
    assert south_edge <= bottom < south_edge + resolution
    assert (grid.left / resolution, grid.top / resolution) == (grid.left // resolution, grid.top // resolution)


@pytest.mark.parametrize(
    ("longitude", "latitude", "crs"),
    [
        (14.5, 45.8, "EPSG:32633"),
        (-93.6, 42.0, "EPSG:32615"),
        (149.0, -31.0, "EPSG:32755"),  # the southern hemisphere
        (-58.4, -34.6, "EPSG:32721"),
        (179.9, 65.0, "EPSG:32660"),  # both sides of the antimeridian
        (-179.9, 65.0, "EPSG:32601"),
        (-179.9, -17.0, "EPSG:32701"),
        (12.0, 1.0, "EPSG:32633"),  # a zone begins at its western edge
    ],
)
def test_the_zone_is_that_of_the_centre(longitude: float, latitude: float, crs: str) -> None:
    grid = Grid.utm(Bounds(longitude - 0.05, latitude - 0.05, longitude + 0.05, latitude + 0.05), 10.0)

    assert grid.crs == crs
    assert 0 < grid.width < 1300
    assert 0 < grid.height < 1300


def test_the_rectangle_that_ends_at_the_antimeridian_has_a_grid() -> None:
    grid = Grid.utm(Bounds(179.9, 65.0, 180.0, 65.1), 10.0)

    assert grid.crs == "EPSG:32660"
    assert grid.width < 1000


def test_north_of_the_equator_and_south_of_it_have_their_own_false_northing() -> None:
    assert Grid.utm(Bounds(14, -0.2, 14.1, -0.1), 10.0).top > 9_000_000
    assert Grid.utm(Bounds(14, 0.1, 14.1, 0.2), 10.0).top < 30_000


@given(west=st.floats(14.0, 15.0), south=st.floats(45.0, 46.0), width=sizes, height=sizes)
def test_a_grid_cut_from_an_anchor_grid_aligns_with_it_to_a_millionth_of_a_cell(
    west: float, south: float, width: float, height: float
) -> None:
    bounds = Bounds(west, south, west + width, south + height)

    grid = LATTICE.covering(bounds)

    assert (grid.crs, grid.xres, grid.yres) == (LATTICE.crs, LATTICE.xres, LATTICE.yres)
    columns, rows = (grid.left - LATTICE.left) / LATTICE.xres, (LATTICE.top - grid.top) / LATTICE.yres
    assert columns == pytest.approx(round(columns), abs=1e-6)
    assert rows == pytest.approx(round(rows), abs=1e-6)
    left, bottom, right, top = transform_bounds("EPSG:4326", grid.crs, *bounds, densify_pts=101)
    slack = 1e-6
    assert grid.extent[0] - slack <= left < grid.extent[0] + grid.xres
    assert grid.extent[1] - slack <= bottom < grid.extent[1] + grid.yres
    assert grid.extent[2] - grid.xres < right <= grid.extent[2] + slack
    assert grid.extent[3] - grid.yres < top <= grid.extent[3] + slack


def test_an_anchor_grid_in_degrees_is_cut_too() -> None:
    degrees = Grid("EPSG:4326", -180.0, 90.0, 0.25, 0.5, 1440, 360)

    grid = degrees.covering(Bounds(10.1, 45.2, 10.6, 45.9))

    assert grid == Grid("EPSG:4326", 10.0, 46.0, 0.25, 0.5, 3, 2)


def test_extent_and_transform_speak_of_the_same_corners() -> None:
    left, bottom, right, top = LATTICE.extent

    assert LATTICE.transform @ (0, 0) == (left, top)
    assert LATTICE.transform @ (LATTICE.width, LATTICE.height) == pytest.approx((right, bottom))


@given(
    left=st.floats(-1e7, 1e7),
    top=st.floats(-1e7, 1e7),
    xres=st.floats(1e-3, 1e3),
    yres=st.floats(1e-3, 1e3),
    width=st.integers(1, 50_000),
    height=st.integers(1, 50_000),
)
def test_a_grid_written_as_json_is_read_back_to_the_bit(
    left: float, top: float, xres: float, yres: float, width: int, height: int
) -> None:
    grid = Grid("EPSG:32633", left, top, xres, yres, width, height)

    again = Grid.from_json(grid.to_json())

    assert again == grid
    assert again.digest == grid.digest


@pytest.mark.parametrize(
    ("bounds", "longitude"),
    [
        (Bounds(14, 45, 15, 46), 14.5),
        (Bounds(179, -17, -179.5, -16), 179.75),  # across the antimeridian
        (Bounds(179.5, -17, -179, -16), -179.75),
        (Bounds(299, -34, 301, -33), -60),  # longitudes from 0 to 360
        (Bounds(0, -90, 360, 90), 180),
    ],
)
def test_the_centre_of_a_rectangle_lies_on_it(bounds: Bounds, longitude: float) -> None:
    assert bounds.centre == (longitude, (bounds.south + bounds.north) / 2)


@given(west=st.floats(-180, 178), width=st.floats(0.1, 2), turn=st.sampled_from([0, 360]), wrapped=st.booleans())
def test_rectangles_overlap_however_their_longitudes_are_written(
    west: float, width: float, turn: int, *, wrapped: bool
) -> None:
    east = west + width
    region = Bounds(west, 10, min(east, 180), 11)
    raster = Bounds(west + turn, 10.5, east + turn - (360 if wrapped and not turn and east > 180 else 0), 12)

    assert region.overlaps(raster)
    assert raster.overlaps(region)
    assert not region.overlaps(Bounds(east + 1 + turn, 10.5, east + 2 + turn, 12))
    assert not region.overlaps(raster._replace(south=11, north=12))


def test_rectangles_that_share_an_edge_do_not_overlap() -> None:
    assert not Bounds(179, 0, 180, 1).overlaps(Bounds(-180, 0, -179, 1))
    assert not Bounds(14, 0, 15, 1).overlaps(Bounds(15, 0, 16, 1))


def test_equal_grids_have_equal_digests_and_others_other_ones() -> None:
    whole, floats = Grid("EPSG:32633", 0, 10, 10, 10, 3, 4), Grid("EPSG:32633", 0.0, 10.0, 10.0, 10.0, 3, 4)
    shifted = Grid("EPSG:32633", math.nextafter(0.0, 1.0), 10.0, 10.0, 10.0, 3, 4)

    assert whole == floats
    assert whole.digest == floats.digest
    assert shifted.digest != floats.digest
