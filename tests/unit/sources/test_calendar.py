import os
from datetime import date, timedelta
from pathlib import Path

import pytest
from satcommon.errors import SettingError
from satcommon.sources.calendar import parse
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import Due

from tests.unit.geotiffs import AOI

DUE, NOT_DUE, UNKNOWN, NOT_PLANNED = Due


def answers(folder: Path, first: date, count: int) -> list[Due]:
    source = FolderSource(folder)
    return [source.due(AOI, first + timedelta(days=n)) for n in range(count)]


def test_without_a_calendar_no_day_is_known(tmp_path: Path) -> None:
    assert answers(tmp_path, date(2026, 3, 1), 2) == [UNKNOWN, UNKNOWN]


def test_a_cycle_repeats_from_its_first_day(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text("[calendar]\ncycle_days = 3\nfirst_day = 2026-03-02\n")

    assert answers(tmp_path, date(2026, 3, 1), 6) == [UNKNOWN, DUE, NOT_DUE, NOT_DUE, DUE, NOT_DUE]
    assert answers(tmp_path, date(2030, 3, 2), 3).count(DUE) == 1


def test_each_relative_orbit_has_its_day_of_the_cycle(tmp_path: Path) -> None:
    toml = "[calendar]\ncycle_days = 5\nfirst_day = 2026-03-02\noffsets = [0, 3]\n"
    (tmp_path / "satfields.toml").write_text(toml)

    assert answers(tmp_path, date(2026, 3, 2), 6) == [DUE, NOT_DUE, NOT_DUE, DUE, NOT_DUE, DUE]


def test_a_calendar_file_answers_within_its_span(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text('calendar_file = "days/calendar.csv"\n')
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "calendar.csv").write_text("day, due\n2026-03-03,yes\n2026-03-02,no # a test\n\n2026-03-05\n")

    assert answers(tmp_path, date(2026, 3, 1), 6) == [UNKNOWN, NOT_DUE, DUE, NOT_DUE, DUE, UNKNOWN]


def test_a_changed_calendar_is_seen_at_the_next_question(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text('calendar_file = "calendar.csv"\n')
    calendar, source, day = tmp_path / "calendar.csv", FolderSource(tmp_path), date(2026, 3, 3)
    calendar.write_text("2026-03-03,yes")
    before = source.due(AOI, day)
    calendar.write_text("2026-03-03,no")
    after = source.due(AOI, day)
    (tmp_path / "satfields.toml").write_text("")

    assert (before, after, source.due(AOI, day)) == (DUE, NOT_DUE, UNKNOWN)


def test_an_unchanged_calendar_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text('calendar_file = "calendar.csv"\n')
    calendar, source, day = tmp_path / "calendar.csv", FolderSource(tmp_path), date(2026, 3, 3)
    calendar.write_text("2026-03-03,yes")
    before, stat = source.due(AOI, day), calendar.stat()
    calendar.write_text("2026-03-03,no ")
    os.utime(calendar, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert source.due(AOI, day) is before


def test_a_calendar_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text('calendar_file = "calendar.csv"\n')

    with pytest.raises(SettingError, match=r"satfields.toml: calendar_file = 'calendar.csv': there is no such file"):
        answers(tmp_path, date(2026, 3, 1), 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"2026-03-02\n2026-13-02", "calendar.csv: line 2: '2026-13-02': expected a day, as 2026-03-02"),
        (b"2026-03-02,maybe", "line 1: '2026-03-02,maybe': expected a day"),
        (b"2026-03-02,yes,no", "line 1: "),
        (b"2026-03-02\n2026-03-02,no", "line 2: 2026-03-02 is both due and not due; keep one"),
        (b"day,due\n# none", "calendar.csv: holds no day"),
        (b"\xff\xfe", "calendar.csv: is no text"),
    ],
)
def test_a_mistake_names_file_line_and_value(content: bytes, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(content, "calendar.csv")

    assert told in str(caught.value)
