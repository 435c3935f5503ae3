"""The grids of new regions."""

from __future__ import annotations

from collections.abc import Sequence

from satcommon.boundaries import NewRegion
from satcommon.environment import Environment
from satcommon.errors import InputError
from satcommon.grid import Grid

from satctl.output import warn

MAX_CELLS = 1_000_000_000  # six bands of so many cells are 12 GB
UTM_LATITUDES = (-80.0, 84.0)  # UTM ends there; what lies beyond wants a grid of its source


def grids_of(env: Environment, new: Sequence[NewRegion], resolution: float | None) -> dict[str, Grid]:
    """The grid of each region, by name: cut from the source's own, else made.

    Raises:
        InputError: it would have too many cells, or lie beyond UTM.
    """
    source = env.source()
    grids: dict[str, Grid] = {}
    for region in new:
        lattice = source.lattice(region.bounds)
        if lattice is None:
            grid = _utm(region, resolution or env.settings.resolution_m)
        else:
            grid = lattice.covering(region.bounds)
            if resolution is not None:
                warn(f"region {region.name!r}: the source's own grid is used; --resolution was not")
        if grid.width * grid.height > MAX_CELLS:
            raise InputError(
                f"region {region.name!r}: {grid.width:,} x {grid.height:,} cells are more than {MAX_CELLS:,}; "
                "choose a smaller rectangle or a coarser --resolution"
            )
        grids[region.name] = grid
    return grids


def _utm(region: NewRegion, resolution: float) -> Grid:
    south, north = UTM_LATITUDES
    if not south <= region.bounds.south < region.bounds.north <= north:
        raise InputError(
            f"region {region.name!r}: latitudes {region.bounds.south:g}..{region.bounds.north:g} reach beyond those of "
            f"UTM ({south:g}..{north:g}), and the source has no grid of its own there"
        )
    return Grid.utm(region.bounds, resolution)
