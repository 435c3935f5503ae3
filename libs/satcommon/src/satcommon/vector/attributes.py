"""What the attributes of a feature say: its identity, name, season, crop and days."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from satcommon.db.registry import checked_region_name
from satcommon.db.revising import checked_season
from satcommon.errors import InputError
from satcommon.problems import shown
from satcommon.vector.columns import Columns
from satcommon.vector.names import MAX_CROP, MAX_NAME, checked_text
from satcommon.vector.table import Features

_LAST_EXACT = 2**53 - 1  # from the next whole number on, a float may stand for several
# An instant at midnight is a day, whatever its time zone: the day as its writer saw it. GDAL writes
# `2016/03/01 00:00:00` where a format has no days; the year comes first.
_DAY = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?")


class Roles:
    """Which columns of a file hold which attribute.

    Args:
        path: the file.
        columns: the names that the user gave.
        attributes: those that are read, as keys of `columns.STANDARD`.
    """

    def __init__(self, path: Path, columns: Columns, attributes: Sequence[str]) -> None:
        self.path, self.columns, self._attributes = path, columns, attributes
        self.of: dict[str, list[str]] = {}

    def choose(self, names: Sequence[str]) -> list[str]:
        """The columns to be read, of all that the file has.

        Raises:
            InputError: a column that the user named is missing.
        """
        self.of = {attribute: self.columns.found(attribute, names, self.path) for attribute in self._attributes}
        return list(dict.fromkeys(name for columns in self.of.values() for name in columns))


class Feature:
    """One feature's attributes. Methods raise InputError, naming file, feature and value, where a value can't be used.

    Args:
        features: of the file.
        roles: which columns hold what.
        position: of the feature in `features`.
    """

    def __init__(self, features: Features, roles: Roles, position: int) -> None:
        self.features, self.roles, self.position = features, roles, position
        self.number = features.numbers[position]
        labels = (*roles.of.get("name", ()), *roles.of.get("external_id", ()))
        self.where = features.where(position, *labels)

    def identity(self) -> tuple[str, str]:
        """External id and name; each stands in for the other."""
        name = self.text("name", MAX_NAME)
        external_id = self.text("external_id", MAX_NAME) or _slug(name or "")
        if not external_id:
            raise InputError(
                f"{self.where}: has neither an external_id nor a name with a letter or digit; {self._has()}: "
                "give each field an external_id that stays the same, or name its column with --id-column"
            )
        return external_id, name or external_id

    def region_name(self) -> str:
        """The name of a region."""
        name = self.text("name", MAX_NAME)
        if name is None:
            raise InputError(f"{self.where}: has no name; {self._has()}: give the region a name")
        try:
            return checked_region_name(name)
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from error

    def season(self) -> Season:
        """Planting day and end of the season."""
        planting, end = self.day("planting_date"), self.day("season_end")
        if planting is not None:
            checked_season(planting, end, self.where)
        return Season(planting, end)

    def crop(self) -> str | None:
        """The crop's code."""
        return self.text("crop", MAX_CROP)

    def day(self, attribute: str) -> date | None:
        """A day; None where there is none."""
        value = self._value(attribute)
        if value is None:
            return None
        if isinstance(value, datetime):
            if value.time() == time():
                return value.date()
        elif isinstance(value, date):
            return value
        elif isinstance(value, str) and (match := _DAY.fullmatch(value.strip())):
            try:
                return date(int(match[1]), int(match[3]), int(match[4]))
            except ValueError as error:
                raise InputError(
                    f"{self.where}: {attribute} {shown(value)} is not in the calendar; expected a day as YYYY-MM-DD"
                ) from error
        raise InputError(f"{self.where}: {attribute} {shown(value)} is no day; expected YYYY-MM-DD")

    def text(self, attribute: str, most: int) -> str | None:
        """A text of at most so many characters, or a whole number as text; None where there is none."""
        value = self._value(attribute)
        if isinstance(value, float) and value.is_integer() and abs(value) > _LAST_EXACT:
            raise InputError(
                f"{self.where}: {attribute} is {value:.0f}, a float, which keeps whole numbers up to {_LAST_EXACT} "
                "alone: digits may be lost; write the column as text or whole numbers"
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
            raise InputError(f"{self.where}: {attribute} is {shown(value)}; expected text or a whole number")
        return checked_text(value, attribute, self.where, most)

    def _value(self, attribute: str) -> Any:
        """The value of the first of the attribute's columns that is not empty."""
        for column in self.roles.of[attribute]:
            value = self.features.columns[column][self.position]
            if value is not None and value != "":
                return value
        return None

    def _has(self) -> str:
        return self.features.has(self.position)


class Season(NamedTuple):
    """The days of planting and end that a feature states."""

    planting: date | None
    end: date | None


def _slug(name: str) -> str:
    """An identity made of a name: letters, digits and marks of any script, in lower case, hyphens between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "-".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split())
