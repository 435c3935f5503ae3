"""The CRS of a file, and its geometries transformed to WGS 84."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shapely

from satcommon.errors import InputError
from satcommon.problems import shown
from satcommon.vector.table import Geometries


def to_wgs84(geometries: Geometries, name: Any, path: Path) -> tuple[Geometries, dict[int, str]]:
    """Geometries in WGS 84, longitude first; those that are in WGS 84 already stay bit for bit as they are.

    Args:
        geometries: None where there is none.
        name: of the CRS, in any form that PROJ knows.
        path: the file, for messages.

    Returns:
        The geometries, None where one can't be transformed; and why not, by position.

    Raises:
        InputError: the CRS is not known, or can't be that of these geometries.
    """
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError, ProjError

    try:
        crs = CRS.from_user_input(name)
        wgs84 = CRS("EPSG:4326")
        # Also CRS84, and either with heights.
        if crs.equals(wgs84, ignore_axis_order=True) or crs.to_2d().equals(wgs84, ignore_axis_order=True):
            return geometries, {}
        if crs.name.lower().startswith("undefined"):  # GeoPackage's words for "not known"
            raise InputError(f"{path}: its CRS is undefined; assign one (ogr2ogr -a_srs EPSG:...) and try again")
        transform = Transformer.from_crs(crs, wgs84, always_xy=True).transform
    except (CRSError, ProjError) as error:
        raise InputError(
            f"{path}: its CRS {shown(name)} can't be transformed to WGS 84: {_shortened(error)}; "
            "convert the file (ogr2ogr -t_srs EPSG:4326)"
        ) from error
    flat = shapely.force_2d(geometries)
    before, of = shapely.get_coordinates(flat, return_index=True)
    finite = np.isfinite(before).all(axis=1)
    if crs.is_projected and finite.any() and (np.abs(before[finite]) <= (180, 90)).all():
        raise InputError(
            f"{path}: its CRS is {crs.name}, in {crs.axis_info[0].unit_name}s, but all coordinates look like degrees; "
            "assign the CRS that they are in (ogr2ogr -a_srs EPSG:4326)"
        )
    after = np.column_stack(transform(before[:, 0], before[:, 1]))
    lost = finite & ~np.isfinite(after).all(axis=1)
    moved = shapely.set_coordinates(flat, after)
    broken = {}
    positions, first = np.unique(of[lost], return_index=True)
    for i, (x, y) in zip(positions.tolist(), before[lost][first].tolist(), strict=True):
        broken[i] = f"coordinate ({x:g}, {y:g}) is nowhere in the file's CRS ({crs.name}); check it"
        moved[i] = None
    return moved, broken


def _shortened(error: Exception) -> str:
    return str(error)[:300]  # PROJ repeats what it was given, which may be a page of it
