"""Which columns of a file hold which attribute: by our own names, or by those that the user gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from satcommon.errors import InputError

_DBASE = 10  # characters of a column's name in a Shapefile; GDAL writes `crop:code` as `crop_code` there
_SHOWN = 30  # columns that a message names

STANDARD = {
    "external_id": ("external_id",),
    "name": ("name",),
    "planting_date": ("planting_date",),
    "season_end": ("season_end",),
    "crop": ("crop:code", "crop_code", "crop"),
    "monitored_from": ("monitored_from",),
}


@dataclass(frozen=True)
class Columns:
    """The columns that a user named, None for our own names; and defaults for features without a value.

    Args:
        external_id: the column of the external id.
        name: the column of the name.
        planting_date: the column of the planting day.
        season_end: the column of the season's end.
        crop: the column of the crop's code.
        planted: the planting day of features without one.
        crop_code: the crop of features without one.
    """

    external_id: str | None = None
    name: str | None = None
    planting_date: str | None = None
    season_end: str | None = None
    crop: str | None = None
    planted: date | None = None
    crop_code: str | None = None

    def found(self, what: str, names: Sequence[str], path: Path) -> list[str]:
        """The columns of an attribute, the one that counts first; none where the file has none.

        Our own names match in upper and lower case, and cut to the ten characters of a Shapefile's columns.

        Args:
            what: the attribute, a key of `STANDARD`.
            names: the columns of the file.
            path: the file, for messages.

        Raises:
            InputError: a column that the user named is missing.
        """
        named = getattr(self, what, None)
        if named is None:
            own = [name for standard in STANDARD[what] for name in _named(standard, names)]
            return list(dict.fromkeys(own))
        if named not in names:
            shown = ", ".join(repr(name) for name in names[:_SHOWN]) or "none"
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            raise InputError(f"{path}: there is no column {named!r}; the file has {shown}{more}")
        return [named]


def _named(standard: str, names: Sequence[str]) -> list[str]:
    exact = [name for name in names if name == standard]
    return exact or [name for name in names if name.casefold() in (standard, standard[:_DBASE])]
