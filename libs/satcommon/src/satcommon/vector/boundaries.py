"""Regions and fields from a user's file, all or nothing: every problem of the file is in one message."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from satcommon.db.fields import NewField
from satcommon.db.registry import checked_region_name
from satcommon.db.revising import checked_season
from satcommon.errors import InputError
from satcommon.geo.geometry import Checked, checked, digests, rectangle
from satcommon.geo.grid import Bounds
from satcommon.problems import Problem, Problems, listed, shown
from satcommon.vector.columns import Columns
from satcommon.vector.formats import read_features
from satcommon.vector.table import Features

MAX_NAME, MAX_CROP = 200, 64  # characters, as the columns have them
_JOINERS = "\u200c\u200d"  # not printable by themselves, and part of words in several scripts
_OWN_NAMES = Columns()
_FIELD_ROLES = ("external_id", "name", "planting_date", "season_end", "crop")
_PIECE = 5000  # features that are checked at a time
_LAST_EXACT = 2**53 - 1  # from the next whole number on a float may stand for several
# An instant at midnight is a day, in whatever zone it is written: it is the day as its writer saw it. Also as GDAL
# writes one where a format has none, `2016/03/01 00:00:00`; the year comes first.
_DAY = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?")


@dataclass(frozen=True)
class NewRegion:
    """A region to be registered; `warning` says what was not taken as it came."""

    name: str
    bounds: Bounds
    monitored_from: date | None = None
    warning: str | None = None


@dataclass(frozen=True)
class FieldFile:
    """The fields of a file, and what is to be told about it.

    Args:
        fields: those that can be taken.
        left: what is wrong with the others; empty unless invalid ones were to be left.
        repaired: what was done to polygons.
        remarks: what is odd, and was taken all the same.
        unused: columns of the file that nothing is taken from.
    """

    fields: list[NewField]
    left: list[Problem]
    repaired: list[Problem]
    remarks: list[str]
    unused: list[str]


Step = Callable[[int, int], None]  # how much of the work is done, of how much


def read_fields(path: Path, *, layer: str | None = None, columns: Columns = _OWN_NAMES) -> list[NewField]:
    """The fields of a file, polygons in WGS 84: all of them, or an error.

    A feature has an external id or a name, and may have a planting date, a season's end and a crop.
    Without an external id the identity is made of the name, so that it stays the same whatever the features' order.

    Args:
        path: the file, of a format of `features.reading`.
        layer: of a GeoPackage with several.
        columns: which columns tell what.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    return read_field_file(path, layer=layer, columns=columns).fields


def read_field_file(
    path: Path,
    *,
    layer: str | None = None,
    columns: Columns = _OWN_NAMES,
    skip_invalid: bool = False,
    repair: bool = False,
    step: Step = lambda _done, _total: None,
) -> FieldFile:
    """The fields of a file as `read_fields` gives them, and what is to be told about it.

    Args:
        path: the file.
        layer: of a GeoPackage with several.
        columns: which columns tell what.
        skip_invalid: leave features that can't be taken; else one of them is an error.
        repair: mend polygons where that changes their area by 1 % at most.
        step: called as the work goes on.

    Raises:
        InputError: with everything that is wrong in the file, or because nothing in it can be taken.
    """
    roles = _Roles(path, columns, _FIELD_ROLES)
    features = read_features(path, roles.choose, layer=layer)
    problems = Problems()
    for number, reason in features.strays.items():
        problems.add(f"{path}: feature {number}: {reason}", number)
    fields: list[NewField] = []
    repaired: list[Problem] = []
    seen: dict[str, str] = {}
    total = len(features.numbers)
    for start in range(0, total, _PIECE):
        step(start, total)
        piece = range(start, min(start + _PIECE, total))
        found = _polygons(features, piece, repair=repair)
        for i in piece:
            polygon, wrong = found.polygons[i - start], found.wrong.get(i - start)
            feature = _Feature(features, roles, i)
            before = len(problems)
            named = problems.of(feature.number, _identity, feature)
            season = problems.of(feature.number, _season, feature)
            if wrong is not None:
                problems.add(f"{feature.where}: {wrong}", feature.number)
            crop = problems.of(feature.number, _text, feature, "crop", MAX_CROP)
            if named and named[0] in seen:
                problems.add(
                    f"{feature.where}: identity {shown(named[0])} is also that of {seen[named[0]]}; "
                    "give each field an external_id of its own",
                    feature.number,
                )
            elif named:
                seen[named[0]] = feature.where.removeprefix(f"{path}: ")
            if named and season and len(problems) == before:
                number = feature.number
                fields.append(
                    NewField(
                        *named,
                        polygon,
                        season.planting or columns.planted,
                        season.end,
                        crop or columns.crop_code,
                        feature.where,
                        number,
                        planting_assumed=season.planting is None,
                        crop_assumed=not crop,
                    )
                )
                if i - start in found.repaired:
                    repaired.append(Problem(number, f"{feature.where}: {found.repaired[i - start]}"))
    step(total, total)
    if not skip_invalid:
        problems.raise_if_any()
    if not fields:
        raise InputError(f"{path}: none of its features can be taken:\n{listed(problems.found)}")
    taken = {name for names in roles.of.values() for name in names}
    unused = [name for name in features.names if name not in taken]
    return FieldFile(fields, problems.found, repaired, [*_remarks(features), *_doubles(path, fields)], unused)


def _polygons(features: Features, positions: range, *, repair: bool) -> Checked:
    """The polygons at some positions, sound and in WGS 84; positions in what is given count from the first."""
    found = checked(features.geometries[positions.start : positions.stop], repair=repair)
    # Programs differ in whether they write one polygon as a MultiPolygon; it is the same field.
    for i in np.flatnonzero(
        (shapely.get_type_id(found.polygons) > 3) & (shapely.get_num_geometries(found.polygons) == 1)
    ):
        found.polygons[i] = shapely.get_geometry(found.polygons[i], 0)
    unread = {i - positions.start: reason for i, reason in features.broken.items() if i in positions}
    return replace(found, wrong=found.wrong | unread)


def _remarks(features: Features) -> list[str]:
    return [f"{features.path}: {remark}" for remark in features.remarks]


def _doubles(path: Path, fields: Sequence[NewField]) -> list[str]:
    """Fields of another identity with the very polygon of a field before."""
    first: dict[str, NewField] = {}
    found = []
    for field, name in zip(fields, digests([field.geometry for field in fields]), strict=True):
        same = first.setdefault(name, field)
        if same is not field:
            found.append(f"{field.where}: has the very polygon of {same.where.removeprefix(f'{path}: ')}")
    return found


def read_regions(path: Path, *, layer: str | None = None) -> list[NewRegion]:
    """The regions of a file: `name`, the rectangle, and `monitored_from` where the file has it.

    Args:
        path: the file, of a format of `features.reading`.
        layer: of a GeoPackage with several.

    Raises:
        InputError: with everything that is wrong in the file.
    """
    roles = _Roles(path, _OWN_NAMES, ("name", "monitored_from"))
    features = read_features(path, roles.choose, layer=layer)
    problems = Problems()
    for number, reason in features.strays.items():
        problems.add(f"{path}: feature {number}: {reason}", number)
    found = _polygons(features, range(len(features.numbers)), repair=False)
    regions: list[NewRegion] = []
    seen: dict[str, str] = {}
    for i, polygon in enumerate(found.polygons):
        feature = _Feature(features, roles, i)
        name = problems.of(feature.number, _region_name, feature)
        monitored_from = problems.of(feature.number, _day, feature, "monitored_from")
        if i in found.wrong:
            problems.add(f"{feature.where}: {found.wrong[i]}", feature.number)
        if name and name in seen:
            problems.add(f"{feature.where}: the name is also that of {seen[name]}; give each region its own")
        elif name:
            seen[name] = feature.where.removeprefix(f"{path}: ")
        if not name or i in found.wrong:
            continue
        bounds = Bounds(*polygon.bounds)
        if bounds.east - bounds.west > 180:
            problems.add(f"{feature.where}: crosses the antimeridian; a region across it is two regions")
            continue
        warning = None
        if not rectangle(bounds).equals(polygon):
            warning = f"{feature.where}: the polygon is no rectangle of longitudes and latitudes; its bounds were taken"
        regions.append(NewRegion(name, bounds, monitored_from, warning))
    problems.raise_if_any()
    return regions


def read_polygon(path: Path, *, layer: str | None = None) -> BaseGeometry:
    """The one polygon of a file, whatever its attributes.

    Raises:
        InputError: there are several, or what is wrong with it.
    """
    roles = _Roles(path, _OWN_NAMES, ("name", "external_id"))
    features = read_features(path, roles.choose, layer=layer, single=True)
    for number, reason in features.strays.items():
        raise InputError(f"{path}: feature {number}: {reason}")
    if len(features.numbers) != 1:
        raise InputError(f"{path}: the file has {len(features.numbers)} features; expected one, the polygon")
    found = _polygons(features, range(1), repair=False)
    for reason in found.wrong.values():
        raise InputError(f"{_Feature(features, roles, 0).where}: {reason}")
    polygon: BaseGeometry = found.polygons[0]
    return polygon


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


class _Roles:
    """Which columns of a file tell what."""

    def __init__(self, path: Path, columns: Columns, whats: Sequence[str]) -> None:
        self.path, self.columns, self._whats = path, columns, whats
        self.of: dict[str, list[str]] = {}

    def choose(self, names: Sequence[str]) -> list[str]:
        """The columns to be read, of all that there are."""
        self.of = {what: self.columns.found(what, names, self.path) for what in self._whats}
        return list(dict.fromkeys(name for found in self.of.values() for name in found))


class _Feature:
    """One feature's attributes."""

    def __init__(self, features: Features, roles: _Roles, position: int) -> None:
        self.features, self.roles, self.position = features, roles, position
        self.number = features.numbers[position]
        labels = (*roles.of.get("name", ()), *roles.of.get("external_id", ()))
        self.where = features.where(position, *labels)

    def value(self, what: str) -> Any:
        """What the first of the columns says that says something."""
        for column in self.roles.of[what]:
            value = self.features.columns[column][self.position]
            if value is not None and value != "":
                return value
        return None

    def has(self) -> str:
        """What it has, for a message about what it lacks."""
        return self.features.has(self.position)


class _Season(NamedTuple):
    planting: date | None
    end: date | None


def _identity(feature: _Feature) -> tuple[str, str]:
    """External id and name; each stands in for the other."""
    name = _text(feature, "name", MAX_NAME)
    external_id = _text(feature, "external_id", MAX_NAME) or _slug(name or "")
    if not external_id:
        raise InputError(
            f"{feature.where}: has neither an external_id nor a name with a letter or digit; {feature.has()}: "
            "give each field an external_id that stays the same, or name its column with --id-column"
        )
    return external_id, name or external_id


def _slug(name: str) -> str:
    """An identity made of a name: letters, digits and marks of any script, in lower case, hyphens between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "-".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split())


def _season(feature: _Feature) -> _Season:
    planting, end = _day(feature, "planting_date"), _day(feature, "season_end")
    if planting is not None:
        checked_season(planting, end, feature.where)
    return _Season(planting, end)


def _region_name(feature: _Feature) -> str:
    name = _text(feature, "name", MAX_NAME)
    if name is None:
        raise InputError(f"{feature.where}: has no name; {feature.has()}: give the region a name")
    try:
        return checked_region_name(name)
    except InputError as error:
        raise InputError(f"{feature.where}: {error}") from error


def _day(feature: _Feature, what: str) -> date | None:
    value = feature.value(what)
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.time() == time():
            return value.date()
    elif isinstance(value, date):
        return value
    elif isinstance(value, str) and (found := _DAY.fullmatch(value.strip())):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError as error:
            raise InputError(
                f"{feature.where}: {what} {shown(value)} is not in the calendar; expected a day as YYYY-MM-DD"
            ) from error
    raise InputError(f"{feature.where}: {what} {shown(value)} is no day; expected YYYY-MM-DD")


def _text(feature: _Feature, what: str, most: int) -> str | None:
    """A text, or a whole number as text; None where there is none."""
    value = feature.value(what)
    if isinstance(value, float) and value.is_integer() and abs(value) > _LAST_EXACT:
        raise InputError(
            f"{feature.where}: {what} is {value:.0f}, a float, which keeps whole numbers up to {_LAST_EXACT} alone: "
            "digits may be lost; write the column as text or whole numbers"
        )
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, float) and value.is_integer():  # dBase and JavaScript have no other numbers
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"{feature.where}: {what} is {shown(value)}; expected text or a whole number")
    return checked_text(value, what, feature.where, most)
