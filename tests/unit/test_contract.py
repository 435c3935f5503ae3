from datetime import date

from satcommon.contract import window_start
from satcommon.settings import Settings


def test_the_window_of_partitions_moves_in_whole_months_unless_its_start_is_set() -> None:
    moving, fixed = Settings(partitions_days=60), Settings(partitions_start=date(2026, 3, 1))

    starts = [window_start(moving, day) for day in (date(2026, 6, 1), date(2026, 6, 29), date(2026, 6, 30))]

    assert starts == [date(2026, 4, 1), date(2026, 4, 1), date(2026, 5, 1)]
    assert window_start(fixed, date(2026, 11, 1)) == date(2026, 3, 1)
