import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from satcommon.raster.dilation import dilated


def brute_force(chosen: np.ndarray, radius: int) -> np.ndarray:
    """Every cell looks at every other."""
    height, width = chosen.shape
    near = np.zeros_like(chosen)
    for row, column in np.ndindex(height, width):
        for other_row, other_column in zip(*np.nonzero(chosen), strict=True):
            near[row, column] |= (row - other_row) ** 2 + (column - other_column) ** 2 <= radius**2
    return near


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 9), st.data())
def test_a_set_of_cells_is_grown_by_a_disc_on_the_grid(
    height: int, width: int, radius: int, data: st.DataObject
) -> None:
    marks = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))

    cells = np.flatnonzero(marks)
    repeated = data.draw(st.permutations([*cells.tolist(), *cells[::2].tolist()]))

    grown = dilated(np.array(repeated, np.int64), radius, height, width)

    np.testing.assert_array_equal(grown, np.flatnonzero(brute_force(np.reshape(marks, (height, width)), radius)))


def test_a_cell_far_from_the_edges_is_grown_to_a_disc() -> None:
    grown = np.zeros((5, 5), int)
    grown.flat[dilated(np.array([12]), 2, 5, 5)] = 1

    assert grown.tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]


def test_a_field_in_a_large_grid_is_grown_without_a_raster_of_the_grid() -> None:
    side = 10**9  # a raster of it would have 10^18 cells

    assert len(dilated(np.array([side * (side + 1) // 2]), 1, side, side)) == 5
