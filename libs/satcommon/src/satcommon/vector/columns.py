"""Which columns of a file tell what: by our own names, or by those that the user gave."""

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
    """The columns that a user named, and what holds for features without one.

    Args:
        external_id: the column of it; None for our own name. So are the next four.
        name: likewise.
        planting_date: likewise.
        season_end: likewise.
        crop: likewise.
        planted: the planting day where a feature has none.
        crop_code: the crop where a feature has none.
    """

    external_id: str | None = None
    name: str | None = None
    planting_date: str | None = None
    season_end: str | None = None
    crop: str | None = None
    planted: date | None = None
    crop_code: str | None = None

    def found(self, what: str, names: Sequence[str], path: Path) -> list[str]:
        """The columns that tell something, the one that counts first; none where the file has none.

        Our own names are found in any case, and cut to the ten characters that a Shapefile has.

        Raises:
            InputError: a column that the user named is not there.
        """
        named = getattr(self, what, None)
        if named is None:
            own = [name for standard in STANDARD[what] for name in _named(standard, names)]
            return list(dict.fromkeys(own))
        if named not in names:
            there = ", ".join(repr(name) for name in names[:_SHOWN]) or "none"
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            raise InputError(f"{path}: there is no column {named!r}; the file has {there}{more}")
        return [named]


def _named(standard: str, names: Sequence[str]) -> list[str]:
    exact = [name for name in names if name == standard]
    return exact or [name for name in names if name.casefold() in (standard, standard[:_DBASE])]
