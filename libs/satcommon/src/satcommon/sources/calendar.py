"""When scenes are due: a cycle of days, passes of satellites, acquisition plans, or a calendar file.

Each line of a calendar file holds a day, ``2026-03-02``, and after a comma whether a scene is due, ``yes`` or ``no``
(default: yes). From its first day to its last, a day that it does not list is not due; before and after, it is unknown.
Empty lines, comments after a ``#``, and a first line of ``day`` or ``day,due`` are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from satcommon.errors import SettingError
from satcommon.sources.acquisition_plans import PlanFolder, PlannedDays
from satcommon.sources.calendar_config import REPEATS, CalendarConfig, Passes
from satcommon.sources.source import AreaOfInterest, Due

_ANSWERS = {"": Due.DUE, "yes": Due.DUE, "no": Due.NOT_DUE}

Calendar = dict[date, Due]


def answers(
    config: CalendarConfig, plans: PlanFolder | None, aoi: AreaOfInterest, days: Sequence[date]
) -> dict[date, Due]:
    """Whether imagery of an area is due, for each of some solar days.

    Each satellite answers for itself: by its plans where they cover the day, else by its passes or the cycle. One that
    is due makes the day due; if none is, one of which nothing is known makes it unknown.

    Args:
        config: of the calendar.
        plans: that it names.
        aoi: the area.
        days: in question.

    Raises:
        SettingError: the plans' folder does not exist.
        StoreError: the bucket of the plans can't be reached.
    """
    planned = plans.over(aoi.bounds) if plans else None
    return {day: _combined(_by_satellite(config, planned, aoi.name, day)) for day in days}


def _by_satellite(config: CalendarConfig, planned: PlannedDays | None, region: str, day: date) -> list[Due]:
    told: dict[str, list[Due]] = {}
    for passes in config.passes:
        if passes.of_region(region):
            told.setdefault(passes.platform, []).append(_in_passes(passes, day))
    expected = {platform: _combined(answers) for platform, answers in told.items()}
    otherwise = _in_cycle(config, day)
    if planned is None or not planned.platforms:
        return list(expected.values()) or [otherwise]
    found = []
    for platform in sorted(planned.platforms | expected.keys()):
        usual, plan = expected.get(platform, otherwise), planned.answer(platform, day)
        found.append(Due.NOT_PLANNED if (plan, usual) == (Due.NOT_DUE, Due.DUE) else plan or usual)
    return found


def _combined(answers: Sequence[Due]) -> Due:
    return next((due for due in (Due.DUE, Due.UNKNOWN, Due.NOT_PLANNED) if due in answers), Due.NOT_DUE)


def _in_passes(passes: Passes, day: date) -> Due:
    """Whether a satellite passes over; unknown before its anchor day, not due after its last."""
    if day < passes.anchor_day:
        return Due.UNKNOWN
    over = (day - passes.anchor_day).days % REPEATS[passes.platform].days in passes.offsets()
    return Due.DUE if over and (passes.last_day is None or day <= passes.last_day) else Due.NOT_DUE


def _in_cycle(config: CalendarConfig, day: date) -> Due:
    """Whether a scene is due by a cycle; unknown before its first day, and without one."""
    if config.cycle_days is None or config.first_day is None or day < config.first_day:
        return Due.UNKNOWN
    return Due.DUE if (day - config.first_day).days % config.cycle_days in config.offsets else Due.NOT_DUE


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
