"""When a folder's scenes are due: a cycle of days, or a calendar file.

Each line of a calendar file holds a day, ``2026-03-02``, and after a comma whether a scene is due, ``yes`` or ``no``
(default: yes). From its first day to its last, a day that it does not list is not due; before and after, it is unknown.
Empty lines, comments after a ``#``, and a first line of ``day`` or ``day,due`` are skipped.
"""

from __future__ import annotations

from datetime import date

from satcommon.errors import SettingError
from satcommon.sources.folder_config import Cycle
from satcommon.sources.source import Due

_ANSWERS = {"": Due.DUE, "yes": Due.DUE, "no": Due.NOT_DUE}

Calendar = dict[date, Due]


def in_cycle(cycle: Cycle, day: date) -> Due:
    """Whether a scene is due by a cycle; unknown before its first day."""
    if day < cycle.first_day:
        return Due.UNKNOWN
    return Due.DUE if (day - cycle.first_day).days % cycle.cycle_days in cycle.offsets else Due.NOT_DUE


def in_calendar(calendar: Calendar, day: date) -> Due:
    """Whether a scene is due by a calendar file; unknown outside its span."""
    inside = min(calendar) <= day <= max(calendar)
    return calendar.get(day, Due.NOT_DUE if inside else Due.UNKNOWN)


def parse(content: bytes, where: str) -> Calendar:
    """The answers in the bytes of a calendar file; at least one.

    Raises:
        SettingError: naming file, line and value.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SettingError(f"{where}: is no text ({error}); write a day a line, as 2026-03-02") from error
    calendar: Calendar = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text or (not calendar and text.replace(" ", "").lower() in ("day", "day,due")):
            continue
        first, _, second = (part.strip() for part in text.partition(","))
        try:
            day, due = date.fromisoformat(first), _ANSWERS[second.lower()]
        except (ValueError, KeyError):
            raise SettingError(
                f"{where}: line {number}: {text!a:.60}: expected a day, as 2026-03-02, or a day and yes or no"
            ) from None
        if calendar.setdefault(day, due) is not due:
            raise SettingError(f"{where}: line {number}: {day} is both due and not due; keep one")
    if not calendar:
        raise SettingError(f"{where}: holds no day; write a day a line, as 2026-03-02")
    return calendar
