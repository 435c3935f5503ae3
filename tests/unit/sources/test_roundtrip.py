from datetime import UTC, datetime

import numpy as np
import pytest
from satcommon.geo.grid import Grid
from satcommon.raster.layers import BANDS, Layers, PixelClass
from satcommon.sources.roundtrip import through_file

GRID = Grid("EPSG:32615", 465_200.0, 4_650_000.0, 100.0, 100.0, 9, 7)
SENSED = datetime(2026, 7, 1, 16, 45, tzinfo=UTC)


def noise() -> Layers:
    random = np.random.default_rng(1)
    classes = random.integers(0, 8, (GRID.height, GRID.width)).astype(np.uint8)
    bands = {name: random.integers(1, 9000, classes.shape).astype(np.uint16) for name in BANDS}
    for band in bands.values():
        band[classes == PixelClass.NODATA] = 0
    return Layers(bands, classes)


@pytest.mark.parametrize(("offset", "least"), [(-0.1, 1), (0.0, 1001)])
def test_a_files_offset_is_taken_out_and_what_it_cannot_hold_becomes_its_least(offset: float, least: int) -> None:
    layers = noise()

    read = through_file(layers, GRID, GRID, "item", SENSED, offset)

    for name, band in layers.bands.items():
        lowest = 1 if name == "lwir11" else least
        np.testing.assert_array_equal(read.bands[name], np.where(band, np.maximum(band, lowest), 0))
    np.testing.assert_array_equal(read.classes, layers.classes)


def test_a_file_of_a_part_of_the_grid_leaves_the_rest_without_data() -> None:
    part = Grid(GRID.crs, GRID.left, GRID.top, 100.0, 100.0, 4, 7)
    layers = noise()
    west = Layers({name: band[:, :4] for name, band in layers.bands.items()}, layers.classes[:, :4])

    read = through_file(west, part, GRID, "item", SENSED, 0.0)

    np.testing.assert_array_equal(read.classes[:, :4], west.classes)
    assert not read.classes[:, 4:].any()
    assert not any(band[:, 4:].any() for band in read.bands.values())
