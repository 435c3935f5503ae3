"""Single cells of files behind ranges are those of the same files read whole, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import obstore
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from obstore.store import MemoryStore
from rasterio.io import DatasetReader, MemoryFile
from satcommon.geo.grid import Grid
from satcommon.raster.band_stack import BandStack
from satcommon.raster.declared import DeclaredBand, DeclaredMetadata
from satcommon.raster.geotiff import open_geotiff
from satcommon.raster.harmonise import can_read_cells, read_cells, read_layers
from satcommon.raster.header import read_header
from satcommon.raster.stack_cells import StackCells
from satcommon.storage.ranges import Ranges

ROWS, COLUMNS = 48, 64
WHOLE = Grid("EPSG:32633", 465_181.05223, 5_080_254.63350, 9.9947922, 9.9974485, COLUMNS, ROWS)  # no round numbers
SENSED = datetime(2016, 1, 7, 10, 12, 43, tzinfo=UTC)
FLIPS = {"north up": (1, 1), "south up": (1, -1), "mirrored": (-1, 1)}


def bands(seed: int) -> dict[str, tuple[NDArray[Any], dict[str, Any]]]:
    """Bands of many kinds, with the keys of their files: nodata, undeclared zeros, floats, coarse cells, classes."""
    random = np.random.default_rng(seed)
    gap = random.random((ROWS, COLUMNS)) < 0.3
    red = random.integers(900, 2500, (ROWS, COLUMNS)).astype(np.uint16)
    nir = np.where(gap, 0, random.integers(2000, 6000, (ROWS, COLUMNS))).astype(np.uint16)
    swir = random.integers(0, 3, (ROWS // 2, COLUMNS // 2)).astype(np.uint16) * 1500
    kelvin = random.uniform(270, 310, (ROWS, COLUMNS)).astype(np.float32)
    kelvin[random.random((ROWS, COLUMNS)) < 0.1] = np.nan
    classes = random.choice([0, 3, 4, 5, 8, 9, 11], (ROWS // 2, COLUMNS // 2)).astype(np.uint8)
    return {
        "red": (np.where(gap, 0, red).astype(np.uint16), {}),
        "nir": (nir, {"nodata": 0}),
        "swir16": (swir, {"nodata": 0}),
        "lwir11": (kelvin, {"nodata": -9999.0}),
        "scl": (classes, {}),
    }


def encoded(cells: NDArray[Any], flips: tuple[int, int], **keys: Any) -> bytes:
    """A tiled GeoTIFF of a band on the whole raster; flipped, it shows the same in another order."""
    across, down = flips
    step = ROWS // len(cells)
    east, south = (COLUMNS * WHOLE.xres if across < 0 else 0.0), (ROWS * WHOLE.yres if down < 0 else 0.0)
    transform = Affine(
        across * WHOLE.xres * step, 0, WHOLE.left + east, 0, -down * WHOLE.yres * step, WHOLE.top - south
    )
    profile = {"height": len(cells), "width": cells.shape[1], "dtype": cells.dtype, "crs": WHOLE.crs}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=1, transform=transform, **profile, **tiles, **keys) as dataset:
            dataset.write(cells[::down, ::across], 1)
        return bytes(memory.getbuffer())


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def stacked(opened: ExitStack, flips: tuple[int, int], seed: int = 1) -> tuple[BandStack, list[Ranges], Any]:
    store, ranges, files = MemoryStore(), [], {}
    declared = {}
    for number, (name, (cells, keys)) in enumerate(bands(seed).items(), start=1):
        obstore.put(store, name, encoded(cells, flips, **keys))
        ranges.append(Ranges(store, name, lambda _: nullcontext(), name))
        ranges[-1].begin()
        files[name] = opened.enter_context(open_geotiff(name, ranges[-1].opener))
        scale = None if name in ("lwir11", "scl") else 1e-4
        declared[number] = DeclaredBand(name, scale, None if scale is None else 0.0)
    stack = BandStack(files, "item")
    known = DeclaredMetadata(platform="sentinel-2b", sensed_at=SENSED, bands=declared, names_all=True)
    return stack, ranges, read_header(cast("DatasetReader", stack), "item", known)


@pytest.mark.parametrize("flips", FLIPS.values(), ids=FLIPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_single_cells_are_those_of_the_whole(flips: tuple[int, int], data: st.DataObject) -> None:
    right, down = data.draw(st.integers(-30, 30)), data.draw(st.integers(-30, 30))
    grid = replace(
        WHOLE,
        left=WHOLE.left + right * WHOLE.xres,
        top=WHOLE.top - down * WHOLE.yres,
        width=data.draw(st.integers(1, 70)),
        height=data.draw(st.integers(1, 70)),
    )
    cells = np.array(data.draw(st.lists(st.integers(0, grid.width * grid.height - 1), max_size=60)), np.int32)
    with ExitStack() as opened:
        stack, ranges, header = stacked(opened, flips, seed=data.draw(st.integers(0, 5)))
        whole = read_layers(cast("DatasetReader", stack), header, grid, "item", 10**9)

        def at(rows: Any, columns: Any) -> DatasetReader:
            return cast("DatasetReader", StackCells(stack, ranges, rows, columns, range(1, 6)))

        assert can_read_cells(header, grid)
        single = read_cells(at, header, grid, cells, "item")

    assert list(single.bands) == list(whole.bands)
    for name, values in whole.bands.items():
        np.testing.assert_array_equal(single.bands[name], values.ravel()[cells][None])
    np.testing.assert_array_equal(single.classes, whole.classes.ravel()[cells][None])


def test_each_block_is_read_once_whatever_the_number_of_cells_in_it(opened: ExitStack) -> None:
    stack, ranges, _ = stacked(opened, (1, 1))
    rows, columns = np.array([0, 15, 3, 3, 40]), np.array([0, 15, 7, 7, 63])

    cells = StackCells(stack, ranges, rows, columns, [])

    assert cells.blocks == 2 * len(ranges)
    red = bands(1)["red"][0]
    np.testing.assert_array_equal(cells.read(1, None)[0], red[rows, columns])  # type: ignore[arg-type]


def test_what_is_warped_or_needs_its_whole_mask_is_not_read_by_cells(opened: ExitStack) -> None:
    _, _, header = stacked(opened, (1, 1))

    assert not can_read_cells(header, replace(WHOLE, left=WHOLE.left + 3))
    assert not can_read_cells(header, replace(WHOLE, crs="EPSG:32634"))
    assert not can_read_cells(replace(header, classes=("mask", 5)), WHOLE)
