"""Regions from a user's file, all or nothing: one message names every problem of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from satcommon.errors import InputError
from satcommon.geo.geometry import rectangle
from satcommon.geo.grid import Bounds
from satcommon.problems import Problems
from satcommon.vector.attributes import Feature, Roles
from satcommon.vector.columns import Columns
from satcommon.vector.formats import read_features
from satcommon.vector.polygons import checked_polygons


@dataclass(frozen=True)
class NewRegion:
    """A region to be registered; `warning` says what was not taken as it came."""

    name: str
    bounds: Bounds
    monitored_from: date | None = None
    warning: str | None = None


def read_regions(path: Path, *, layer: str | None = None) -> list[NewRegion]:
    """The regions of a file: `name`, the rectangle, and `monitored_from` where the file has it.

    Args:
        path: the file, of one of `formats`.
        layer: of a GeoPackage with several.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    roles = Roles(path, Columns(), ("name", "monitored_from"))
    features = read_features(path, roles.choose, layer=layer)
    problems = Problems()
    for number, reason in features.strays.items():
        problems.add(f"{path}: feature {number}: {reason}", number)
    polygons = checked_polygons(features, range(len(features.numbers)), repair=False)
    regions: list[NewRegion] = []
    seen: dict[str, str] = {}
    for i, polygon in enumerate(polygons.polygons):
        feature = Feature(features, roles, i)
        name = problems.of(feature.number, feature.region_name)
        monitored_from = problems.of(feature.number, feature.day, "monitored_from")
        if i in polygons.wrong:
            problems.add(f"{feature.where}: {polygons.wrong[i]}", feature.number)
        if name and name in seen:
            problems.add(f"{feature.where}: the name is also that of {seen[name]}; give each region its own")
        elif name:
            seen[name] = feature.where.removeprefix(f"{path}: ")
        if not name or i in polygons.wrong:
            continue
        region = problems.of(0, _region, name, polygon, monitored_from, feature.where)
        if region:
            regions.append(region)
    problems.raise_if_any()
    return regions


def _region(name: str, polygon: BaseGeometry, monitored_from: date | None, where: str) -> NewRegion:
    bounds = Bounds(*polygon.bounds)
    if bounds.east - bounds.west > 180:
        raise InputError(f"{where}: crosses the antimeridian; a region across it is two regions")
    warning = None
    if not rectangle(bounds).equals(polygon):
        warning = f"{where}: the polygon is no rectangle of longitudes and latitudes; its bounds were taken"
    return NewRegion(name, bounds, monitored_from, warning)


def checked_bounds(west: float, south: float, east: float, north: float, where: str) -> Bounds:
    """A rectangle in degrees of WGS 84.

    Args:
        west: longitude of the left edge.
        south: latitude of the lower edge.
        east: longitude of the right edge.
        north: latitude of the upper edge.
        where: what the message begins with.

    Raises:
        InputError: it is no rectangle, or not on the globe.
    """
    bounds = Bounds(west, south, east, north)
    text = " ".join(f"{edge:g}" for edge in bounds)
    if not all(math.isfinite(edge) for edge in bounds):
        raise InputError(f"{where}: the bounds {text} are not numbers; expected west south east north in degrees")
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        swapped = max(abs(west), abs(east)) <= 90 and max(abs(south), abs(north)) <= 180
        hint = "; latitude and longitude look swapped" if swapped else ""
        raise InputError(
            f"{where}: the bounds {text} are off the globe; expected west south east north in degrees "
            f"(longitude -180..180, latitude -90..90){hint}"
        )
    if south >= north:
        raise InputError(f"{where}: south {south:g} is not below north {north:g}; expected west south east north")
    if west >= east:
        raise InputError(
            f"{where}: west {west:g} is not left of east {east:g}; expected west south east north "
            "(a region across the antimeridian is two regions)"
        )
    return bounds
