from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window
from satcommon.errors import SceneError
from satcommon.raster.band_stack import BandStack
from satcommon.raster.geotiff import open_geotiff

LATTICE = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def file(
    opened: ExitStack, path: Path, cells: Any, metres: int, crs: str = "EPSG:32633", move: float = 0.0, **tags: str
) -> Any:
    transform = LATTICE @ Affine.scale(metres / 10) @ Affine.translation(move, 0)
    height, width = cells.shape
    profile = {"height": height, "width": width, "dtype": cells.dtype, "crs": crs, "transform": transform}
    with rasterio.open(path, "w", driver="GTiff", count=1, nodata=0, **profile) as dataset:
        dataset.write(cells, 1)
        dataset.update_tags(**tags)
    return opened.enter_context(open_geotiff(path))


@pytest.mark.parametrize("window", [Window(0, 0, 12, 6), Window(5, 1, 4, 3), Window(7, 4, 1, 1)])
def test_coarse_cells_become_the_fine_cells_that_they_cover(window: Window, opened: ExitStack, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    fine, coarse = (random.integers(1, 99, shape).astype(np.uint16) for shape in ((6, 12), (3, 6)))
    coarsest = random.integers(0, 9, (1, 2)).astype(np.uint8)
    files = {
        "coarsest": file(opened, tmp_path / "c.tif", coarsest, 60),
        "fine": file(opened, tmp_path / "a.tif", fine, 10),
        "coarse": file(opened, tmp_path / "b.tif", coarse, 20),
    }
    stack = BandStack(files, "item")
    expected = [coarsest.repeat(6, 0).repeat(6, 1), fine, coarse.repeat(2, 0).repeat(2, 1)]

    assert (stack.width, stack.height, stack.count, stack.transform) == (12, 6, 3, LATTICE)
    for prefetched in (False, True):
        if prefetched:
            stack.prefetch([window], 10**6)
        for number, whole in enumerate(expected, start=1):
            rows, columns = window.toslices()
            np.testing.assert_array_equal(stack.read(number, window), whole[rows, columns])
            np.testing.assert_array_equal(stack.read_masks(number, window) != 0, whole[rows, columns] != 0)


def test_blocks_of_a_coarse_band_are_told_in_fine_cells(opened: ExitStack, tmp_path: Path) -> None:
    fine, coarse = np.ones((6, 12), np.uint16), np.full((3, 6), 7, np.uint16)
    files = {"a": file(opened, tmp_path / "a.tif", fine, 10), "b": file(opened, tmp_path / "b.tif", coarse, 20)}
    stack = BandStack(files, "item")

    cells = [stack.read(2, window) for _, window in stack.block_windows(2)]

    assert sum(one.size for one in cells) == 72
    assert all((one == 7).all() for one in cells)


def test_a_tag_counts_where_the_files_agree(opened: ExitStack, tmp_path: Path) -> None:
    cells = np.ones((6, 12), np.uint16)
    files = {
        "a": file(opened, tmp_path / "a.tif", cells, 10, PLATFORM="one", PROCESSING_BASELINE="05.00"),
        "b": file(opened, tmp_path / "b.tif", cells, 10, PLATFORM="other"),
    }

    stack = BandStack(files, "item")

    assert (stack.get_tag_item("PLATFORM"), stack.get_tag_item("PROCESSING_BASELINE")) == (None, "05.00")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"crs": "EPSG:32634"}, "item: b is in EPSG:32634, other bands are in EPSG:32633"),
        ({"move": 0.5}, "item: b has 6 x 3 cells of 20 from .* expected rasters that share their corners"),
        ({"metres": 25}, "expected rasters that share their corners"),
    ],
)
def test_files_that_share_no_lattice_are_refused(
    other: dict[str, Any], reason: str, opened: ExitStack, tmp_path: Path
) -> None:
    files = {
        "a": file(opened, tmp_path / "a.tif", np.ones((6, 12), np.uint16), 10),
        "b": file(opened, tmp_path / "b.tif", np.ones((3, 6), np.uint16), **{"metres": 20} | other),
    }

    with pytest.raises(SceneError, match=reason):
        BandStack(files, "item")
