"""What the names of products say: when and by what sensed, which tile, level, tier and processing baseline.

Each archive has a naming convention. A name is read by the convention that it follows, and word by word only if it
follows none, so that a day of processing or download is not read as the day of sensing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from pathlib import PurePosixPath

_TIME = r"(\d\d)[:-]?(\d\d)[:-]?(\d\d)(?!\d)"
_DATE = r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)"
_DAY_OF_YEAR = r"((?:19|20)\d\d)-?([0-3]\d\d)"

#: A date, with or without a time, anywhere; a day of the year only with a time, or any number would match.
_WHEN = re.compile(rf"{_DATE}(?:[T_ -]?{_TIME}|(?!\d))|(?<!\d){_DAY_OF_YEAR}T{_TIME}", re.IGNORECASE)

# The end of a match is where the time of sensing begins.
_SENTINEL_2 = re.compile(r"(?<![A-Z0-9])S2([A-D])_(?:MSIL(1C|2A)_)?(?=\d)", re.IGNORECASE)
_SENTINEL_2_COG = re.compile(r"(?<![A-Z0-9])S2([A-D])_T?\d{1,2}[C-X][A-Z]{2}_(?=(?:19|20)\d{6})", re.IGNORECASE)
_HLS = re.compile(r"(?<![A-Z0-9])HLS\.([LS]30)\.T\d\d[A-Z]{3}\.", re.IGNORECASE)
_LANDSAT = re.compile(
    r"(?<![A-Z0-9])L([COTEM])0([1-9])_(L1TP|L1GT|L1GS|L2SP|L2SR)_\d{6}_(?=\d{8}_(\d{8})_\d\d_(RT|T1|T2)(?![A-Z0-9]))",
    re.IGNORECASE,
)
_LANDSAT_BEFORE_2017 = re.compile(r"(?<![A-Z0-9])L([COTEM])([1-9])\d{6}(?=((?:19|20)\d{5})[A-Z]{3}\d\d)", re.IGNORECASE)
_MODIS = re.compile(r"(?<![A-Z0-9])(?:M[OYC]D|V[NJ][P1])\w*\.A(?=((?:19|20)\d{5})\.)", re.IGNORECASE)

_LEVEL = re.compile(r"(?<![A-Z0-9])(?:MSI)?L(1C|2A)(?![A-Z0-9])", re.IGNORECASE)
_TILE = re.compile(r"(?:^|[_.])(T\d\d[A-Z]{3})(?=[_.]|$)")  # Sentinel-2's and HLS's: UTM zone and MGRS square
_BASELINE = re.compile(r"(?<![A-Z0-9])N([01]\d|99)\.?(\d\d)(?![A-Z0-9])", re.IGNORECASE)
_PROCESSED = re.compile(r"_((?:19|20)\d{6}T\d{6})(?=[_.]|$)", re.IGNORECASE)
_SATELLITE = re.compile(r"(sentinel[-_ ]?2|landsat[-_ ]?)([a-d]|\d)?", re.IGNORECASE)


class Level(IntEnum):
    """What reflectance is of. Of one pass the higher level counts, whatever the baselines. Default: the surface."""

    TOP_OF_ATMOSPHERE = 0
    SURFACE = 1


class Tier(IntEnum):
    """Landsat's tiers, the best last."""

    REAL_TIME = 0
    UNSTATED = 1
    TIER_2 = 2
    TIER_1 = 3


_TIERS = {"RT": Tier.REAL_TIME, "T2": Tier.TIER_2, "T1": Tier.TIER_1}


@dataclass(frozen=True)
class Product:
    """What a path says of its product; empty or None where it does not.

    Args:
        platform: as ``sentinel-2b``, ``landsat-8`` or ``hls-s30``.
        sensed_at: date and time, UTC.
        day: of sensing, UTC.
        tile: as ``T33TVL``.
        levels: of the file's name and its folders'.
        tier: of Landsat.
        baselines: of Sentinel-2, as ``05.09``, of the file's name and its folders'.
        processed_at: UTC.
    """

    platform: str = ""
    sensed_at: datetime | None = None
    day: date | None = None
    tile: str = ""
    levels: tuple[Level, ...] = ()
    tier: Tier = Tier.UNSTATED
    baselines: tuple[str, ...] = ()
    processed_at: datetime | None = None


def read(path: str) -> Product:
    """What the path of a file, from the folder of scenes on, says of its product."""
    whole = PurePosixPath(path)
    stem = whole.stem
    names = (stem, *whole.parts[-2::-1])  # the file's own name first
    sensed_at, day = _when(stem)
    tile = _TILE.search(stem)
    landsat = next(filter(None, map(_LANDSAT.search, names)), None)
    processed = next(filter(None, map(_processed, names)), None) or (_moment(landsat[4]) if landsat else None)
    return Product(
        platform=next(filter(None, map(_platform, names)), ""),
        sensed_at=sensed_at,
        day=day,
        tile=tile[1] if tile else "",
        levels=tuple(dict.fromkeys(level for name in names for level in _levels(name))),
        tier=_TIERS[landsat[5].upper()] if landsat else Tier.UNSTATED,
        baselines=tuple(dict.fromkeys(".".join(found) for name in names for found in _BASELINE.findall(name))),
        processed_at=processed,
    )


def level_of(text: str) -> Level | None:
    """The level in an item's text, as ``L2A``, ``S2MSI1C`` or ``L1TP``, if any."""
    match = re.search(r"(?:L|MSI)-?([12])(?:[AC]|[A-Z]{2})?(?![A-Z0-9])", text.upper())
    return None if match is None else Level.SURFACE if match[1] == "2" else Level.TOP_OF_ATMOSPHERE


def tier_of(text: str) -> Tier:
    """The tier in an item's text, as ``T1`` or ``RT``."""
    return _TIERS.get(text.strip().upper(), Tier.UNSTATED)


def same_satellite(platform: str, other: str) -> bool:
    """Whether two platform names may mean one satellite; an unknown name may mean any."""
    a, b = _SATELLITE.search(platform), _SATELLITE.search(other)
    if not a or not b:
        return True
    families = {found[1].lower().strip("-_ 2") for found in (a, b)}
    numbers = {found[2].lower() for found in (a, b) if found[2]}
    return len(families) == 1 and len(numbers) < 2


def comparable(baseline: str) -> tuple[int, ...] | None:
    """A baseline as numbers, so that 5.09 equals 05.09; None where it has other parts."""
    parts = baseline.split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else None


def _when(stem: str) -> tuple[datetime | None, date | None]:
    """Time and day of sensing: after the head of a known product, otherwise the first in the name that has a time."""
    older = _LANDSAT_BEFORE_2017.search(stem)
    by_day = older[3] if older else ""
    modis = _MODIS.search(stem)
    by_day = by_day or (modis[1] if modis else "")
    if by_day:
        return None, _date(by_day[:4], by_day[4:])
    heads = (head.search(stem) for head in (_SENTINEL_2, _SENTINEL_2_COG, _HLS, _LANDSAT))
    head = next((found for found in heads if found and _WHEN.match(stem, found.end())), None)
    if head:
        match = _WHEN.match(stem, head.end())
        assert match is not None
        return _moment_of(match), _date_of(match)
    found = [match for match in _WHEN.finditer(stem) if _date_of(match)]
    timed = [moment for match in found if (moment := _moment_of(match))]
    if timed:
        return timed[0], timed[0].date()
    return None, _date_of(found[0]) if found else None


def _date_of(match: re.Match[str]) -> date | None:
    return _date(match[7], match[8]) if match[7] else _date(match[1], match[2], match[3])


def _moment_of(match: re.Match[str]) -> datetime | None:
    day = _date_of(match)
    hour, minute, second = match.group(9, 10, 11) if match[7] else match.group(4, 5, 6)
    if day is None or hour is None:
        return None
    try:
        return datetime(day.year, day.month, day.day, int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None


def _date(year: str, month_or_day: str, day: str = "") -> date | None:
    try:
        if day:
            return date(int(year), int(month_or_day), int(day))
        found = date(int(year), 1, 1) + timedelta(days=int(month_or_day) - 1)
    except ValueError:
        return None
    return found if found.year == int(year) else None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.upper(), "%Y%m%dT%H%M%S" if "T" in text.upper() else "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _processed(stem: str) -> datetime | None:
    """The second time in a name of Sentinel-2's products."""
    head = _SENTINEL_2.search(stem)
    times = _PROCESSED.findall(stem, head.end()) if head and head[2] else []
    return _moment(times[-1]) if times else None


def _platform(name: str) -> str:
    found = _SENTINEL_2.search(name)
    if found := found if found and found[2] else _SENTINEL_2_COG.search(name):
        return f"sentinel-2{found[1].lower()}"
    if found := _LANDSAT.search(name):
        return f"landsat-{found[2]}"
    if found := _LANDSAT_BEFORE_2017.search(name):
        return f"landsat-{found[2]}"
    if found := _HLS.search(name):
        return f"hls-{found[1].lower()}"
    return ""


def _levels(name: str) -> list[Level]:
    found = [Level.SURFACE if text.upper() == "2A" else Level.TOP_OF_ATMOSPHERE for text in _LEVEL.findall(name)]
    if landsat := _LANDSAT.search(name):
        found.append(Level.SURFACE if landsat[3].upper().startswith("L2") else Level.TOP_OF_ATMOSPHERE)
    return found
