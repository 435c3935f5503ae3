"""The polygons of a file's features, checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.geo.polygon_checks import Checked, checked
from satcommon.vector.attributes import Feature, Roles
from satcommon.vector.columns import Columns
from satcommon.vector.formats import read_features
from satcommon.vector.table import Features

_MULTIPOLYGON = 6  # GEOS's type id


def checked_polygons(features: Features, positions: range, *, repair: bool) -> Checked:
    """The polygons of some features, sound and in WGS 84.

    Args:
        features: of a file.
        positions: of the features wanted; positions in the result count from the first of them.
        repair: mend polygons where that changes their area by 1 % at most.
    """
    polygons = checked(features.geometries[positions.start : positions.stop], repair=repair)
    # Programs differ in whether they write one polygon as a MultiPolygon; it is the same field.
    kinds, counts = shapely.get_type_id(polygons.polygons), shapely.get_num_geometries(polygons.polygons)
    for i in np.flatnonzero((kinds >= _MULTIPOLYGON) & (counts == 1)):
        polygons.polygons[i] = shapely.get_geometry(polygons.polygons[i], 0)
    unread = {i - positions.start: reason for i, reason in features.broken.items() if i in positions}
    return replace(polygons, wrong=polygons.wrong | unread)


def read_polygon(path: Path, *, layer: str | None = None) -> BaseGeometry:
    """The one polygon of a file, whatever its attributes.

    Args:
        path: the file, of one of `formats`.
        layer: of a GeoPackage with several.

    Raises:
        InputError: the file has several features, or its polygon can't be used.
    """
    roles = Roles(path, Columns(), ("name", "external_id"))
    features = read_features(path, roles.choose, layer=layer, single=True)
    for number, reason in features.strays.items():
        raise InputError(f"{path}: feature {number}: {reason}")
    if len(features.numbers) != 1:
        raise InputError(f"{path}: the file has {len(features.numbers)} features; expected one, the polygon")
    polygons = checked_polygons(features, range(1), repair=False)
    for reason in polygons.wrong.values():
        raise InputError(f"{Feature(features, roles, 0).where}: {reason}")
    polygon: BaseGeometry = polygons.polygons[0]
    return polygon
