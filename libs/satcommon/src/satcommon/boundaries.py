"""Regions and fields from a user's file, all or nothing: every problem of the file is in one message."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from satcommon.db.fields import NewField, checked_season
from satcommon.db.registry import checked_region_name
from satcommon.errors import InputError
from satcommon.features import Feature, read_features
from satcommon.geometry import rectangle
from satcommon.grid import Bounds
from satcommon.problems import Problems, shown

MAX_NAME, MAX_CROP = 200, 64  # characters, as the columns have them
_JOINERS = "\u200c\u200d"  # not printable by themselves, and part of words in several scripts
_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class NewRegion:
    """A region to be registered; `warning` says what was not taken as it came."""

    name: str
    bounds: Bounds
    monitored_from: date | None = None
    warning: str | None = None


@dataclass(frozen=True)
class _Season:
    planting: date
    end: date | None


def read_fields(path: Path, *, layer: str | None = None) -> list[NewField]:
    """The fields of a GeoJSON or GeoPackage, polygons in WGS 84.

    A feature has `planting_date` and `external_id` or `name`, and may have `season_end` and `crop:code` (or `crop`).
    Without `external_id` the identity is made of the name, so that it stays the same whatever the features' order.

    Args:
        path: the file.
        layer: of a GeoPackage with several.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    problems = Problems()
    fields: list[NewField] = []
    seen: dict[str, str] = {}
    for feature in read_features(path, problems, layer=layer):
        named = problems.of(_identity, feature)
        season = problems.of(_season, feature)
        polygon = problems.of(feature.polygon)
        crop = problems.of(_crop, feature)
        if named and named[0] in seen:
            problems.add(
                f"{feature.where}: identity {shown(named[0])} is also that of {seen[named[0]]}; "
                "give each field an external_id of its own"
            )
        elif named:
            seen[named[0]] = feature.where.removeprefix(f"{path}: ")
        if named and season and polygon is not None:
            fields.append(NewField(*named, polygon, season.planting, season.end, crop or None, feature.where))
    problems.raise_if_any()
    return fields


def read_regions(path: Path, *, layer: str | None = None) -> list[NewRegion]:
    """The regions of a GeoJSON or GeoPackage: `name`, the rectangle, and `monitored_from` where the file has it.

    Args:
        path: the file.
        layer: of a GeoPackage with several.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    problems = Problems()
    regions: list[NewRegion] = []
    seen: dict[str, str] = {}
    for feature in read_features(path, problems, layer=layer):
        name = problems.of(_region_name, feature)
        monitored_from = problems.of(_day, feature, "monitored_from")
        polygon = problems.of(feature.polygon)
        if name and name in seen:
            problems.add(f"{feature.where}: the name is also that of {seen[name]}; give each region its own")
        elif name:
            seen[name] = feature.where.removeprefix(f"{path}: ")
        if name and polygon is not None:
            bounds = Bounds(*polygon.bounds)
            warning = None
            if not rectangle(bounds).equals(polygon):
                warning = (
                    f"{feature.where}: the polygon is no rectangle of longitudes and latitudes; its bounds were taken"
                )
            regions.append(NewRegion(name, bounds, monitored_from, warning))
    problems.raise_if_any()
    return regions


def read_polygon(path: Path, *, layer: str | None = None) -> BaseGeometry:
    """The one polygon of a file, whatever its attributes.

    Raises:
        InputError: there are several, or what is wrong with it.
    """
    problems = Problems()
    features = list(read_features(path, problems, layer=layer, single=True))
    problems.raise_if_any()
    if len(features) != 1:
        raise InputError(f"{path}: the file has {len(features)} features; expected one, the polygon")
    return features[0].polygon()


def checked_bounds(west: float, south: float, east: float, north: float, where: str) -> Bounds:
    """A rectangle in degrees of WGS 84.

    Raises:
        InputError: it is none, or not on the globe.
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


def checked_identity(value: str, where: str) -> str:
    """An external id that every database, file and terminal can hold.

    Raises:
        InputError: it is none.
    """
    text = checked_text(value, "external_id", where)
    if text != value:
        raise InputError(f"{where}: external_id {shown(value)} has spaces around it; expected none")
    return text


def checked_text(value: str, what: str, where: str, most: int = MAX_NAME) -> str:
    """A name without spaces around it, which every database, file and terminal can hold.

    Raises:
        InputError: it is empty, too long, or has characters that can't be printed.
    """
    text = value.strip()
    if not text or len(text) > most:
        raise InputError(f"{where}: {what} {shown(value)} has {len(text)} characters; expected 1 to {most}")
    bad = [c for c in text if not c.isprintable() and c not in _JOINERS]
    if bad:
        raise InputError(f"{where}: {what} {shown(value)} holds {bad[0]!r}; expected printable characters")
    return text


# --- attributes ----------------------------------------------------------------------------------------------------


def _identity(feature: Feature) -> tuple[str, str]:
    """External id and name; each stands in for the other."""
    name = _attribute(feature, "name", MAX_NAME)
    external_id = _attribute(feature, "external_id", MAX_NAME) or _slug(name or "")
    if not external_id:
        raise InputError(
            f"{feature.where}: has neither an external_id nor a name with a letter or digit; {_has(feature)}: "
            "give each field an external_id that stays the same"
        )
    return external_id, name or external_id


def _slug(name: str) -> str:
    """An identity made of a name: letters, digits and marks of any script, in lower case, hyphens between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "-".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split())


def _season(feature: Feature) -> _Season:
    planting = _day(feature, "planting_date")
    if planting is None:
        raise InputError(f"{feature.where}: has no planting_date; {_has(feature)}: give the day as YYYY-MM-DD")
    end = _day(feature, "season_end")
    checked_season(planting, end, feature.where)
    return _Season(planting, end)


def _crop(feature: Feature) -> str:
    return _attribute(feature, "crop:code", MAX_CROP) or _attribute(feature, "crop", MAX_CROP) or ""


def _region_name(feature: Feature) -> str:
    name = _attribute(feature, "name", MAX_NAME)
    if name is None:
        raise InputError(f"{feature.where}: has no name; {_has(feature)}: give the region a name")
    try:
        return checked_region_name(name)
    except InputError as error:
        raise InputError(f"{feature.where}: {error}") from error


def _day(feature: Feature, attribute: str) -> date | None:
    value = feature.attributes.get(attribute)
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        if value.time() == time():
            return value.date()
    elif isinstance(value, date):
        return value
    elif isinstance(value, str) and _ISO_DAY.fullmatch(value.strip()):
        try:
            return date.fromisoformat(value.strip())
        except ValueError as error:
            raise InputError(
                f"{feature.where}: {attribute} {shown(value)} is not in the calendar; expected a day as YYYY-MM-DD"
            ) from error
    raise InputError(f"{feature.where}: {attribute} {shown(value)} is no day; expected YYYY-MM-DD")


def _attribute(feature: Feature, attribute: str, most: int) -> str | None:
    """A text, or a whole number as text; None where there is none."""
    value = feature.attributes.get(attribute)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InputError(f"{feature.where}: {attribute} is {shown(value)}; expected text or a whole number")
    return checked_text(value, attribute, feature.where, most)


def _has(feature: Feature) -> str:
    """What a feature has, for a message about what it lacks."""
    names = [name for name, value in feature.attributes.items() if value is not None]
    return f"it has {', '.join(names[:10])}" if names else "it has no attributes"
