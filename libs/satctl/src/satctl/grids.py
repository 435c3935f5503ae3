"""The grids of new regions."""

from __future__ import annotations

from collections.abc import Sequence

from satcommon.errors import InputError
from satcommon.geo.grid import Bounds, Grid
from satcommon.messages import counted
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import SceneSource
from satcommon.vector.regions import NewRegion

from satctl.output.tables import warn

MAX_CELLS = 1_000_000_000  # six bands of so many cells are 12 GB
UTM_LATITUDES = (-80.0, 84.0)  # UTM ends there; beyond, only the source can give the grid


def grids_of(
    source: SceneSource, new: Sequence[NewRegion], resolution: float | None, default: float, *, force: bool = False
) -> dict[str, Grid]:
    """The grid of each region, by name: cut from the source's own grid where it has one, else made.

    Args:
        source: of the regions' scenes.
        new: the regions.
        resolution: requested cell size in metres, where the source has no grid of its own.
        default: cell size in metres where none is requested.
        force: accept a region that overlaps no imagery of the source.

    Raises:
        InputError: a region would have too many cells, lies beyond UTM, or overlaps no imagery of the source.
        SettingError, StoreError: the source can't be read.
    """
    grids: dict[str, Grid] = {}
    for region in new:
        anchor_grid = source.anchor_grid(region.bounds)
        if anchor_grid is None:
            cells = resolution or default
            _survey(source, region, cells, force=force)
            grid = _utm(region, cells)
        else:
            grid = anchor_grid.covering(region.bounds)
            if resolution is not None:
                warn(f"region {region.name!r}: the source's own grid is used; --resolution was not applied")
        if grid.width * grid.height > MAX_CELLS:
            raise InputError(
                f"region {region.name!r}: {grid.width:,} x {grid.height:,} cells are more than {MAX_CELLS:,}; "
                "choose a smaller rectangle or a coarser --resolution"
            )
        grids[region.name] = grid
    return grids


def _survey(source: SceneSource, region: NewRegion, cells: float, *, force: bool) -> None:
    """Warn why a grid is made where the source has none; refuse a rectangle if all imagery is elsewhere."""
    if not isinstance(source, FolderSource):
        return
    survey = source.survey(region.bounds)
    if survey.refused:
        name, why = next(iter(survey.refused.items()))
        warn(
            f"region {region.name!r}: {counted(len(survey.refused), 'file')} of {source.identity} can't be taken: "
            f"{why if name in why else f'{name}: {why}'}"
        )
    if survey.elsewhere and not survey.over and not force:
        name, (west, south, east, north) = next(iter(survey.elsewhere.items()))
        turned = Bounds(region.bounds.south, region.bounds.west, region.bounds.north, region.bounds.east)
        swapped = max(abs(turned.south), abs(turned.north)) <= 90 and bool(source.survey(turned).over)
        hint = (
            f"longitude and latitude look swapped: expected --bounds {edges(turned)}"
            if swapped
            else "correct the bounds, or say --force where its imagery is still to come"
        )
        rasters = f"{counted(len(survey.elsewhere), 'raster')} of {source.identity}"
        raise InputError(
            f"region {region.name!r}: the rectangle {edges(region.bounds)} shares nothing "
            f"with any of {rasters} ({name} covers longitude {west:.3f} to {east:.3f} and latitude {south:.3f} to "
            f"{north:.3f}); {hint}"
        )
    what = "is no north-up raster" if survey.over else "has no raster there yet"
    warn(
        f"region {region.name!r}: {source.identity} {what} to take the grid from; cells of {cells:g} m are made, and a "
        "region's grid is fixed"
    )


def _utm(region: NewRegion, resolution: float) -> Grid:
    south, north = UTM_LATITUDES
    if not south <= region.bounds.south < region.bounds.north <= north:
        raise InputError(
            f"region {region.name!r}: latitudes {region.bounds.south:g}..{region.bounds.north:g} reach beyond those of "
            f"UTM ({south:g}..{north:g}), and the source has no grid of its own there"
        )
    return Grid.utm(region.bounds, resolution)


def edges(bounds: Bounds) -> str:
    """West, south, east and north, as `--bounds` takes them."""
    return " ".join(f"{edge:g}" for edge in bounds)


def described(grid: Grid) -> str:
    """A grid's size, cells and CRS."""
    return f"{grid.width:,} x {grid.height:,} of {grid.xres:g} ({grid.crs})"
