import json
from pathlib import Path

import pytest
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.environment import Environment
from satcommon.sources.source import days_between

from tests.integration.satctl_world import FIRST, LAST, Satctl


def test_a_span_is_asked_for_anew_in_this_process(closed: Environment, satctl: Satctl) -> None:
    with write_transaction(closed.engine) as connection:
        for day in days_between(FIRST, LAST):
            ledger.set_day(connection, 1, day, answered_at=None)

    said = satctl("scenes", "rescan", "S", "--from", str(FIRST), "--to", str(LAST), "--here")

    assert "4 days asked for, of which 4 changed" in said.stdout
    with read_transaction(closed.engine) as connection:
        days = ledger.region_days(connection, 1, FIRST, LAST)
    assert all(day.answered_at is not None for day in days.values())
    again = satctl("scenes", "rescan", "S", "--from", str(FIRST), "--to", str(LAST), "--here")
    assert "0 days asked for" in again.stdout


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (("2025-06-03", "2025-06-01"), "--to 2025-06-01 is before --from 2025-06-03"),
        (("2025-06-03", "2100-01-01"), "the day is not over"),
        (("2024-06-01", "2024-06-30"), "region 'S' is monitored from 2025-06-01"),
    ],
)
def test_an_impossible_span_is_told(closed: Environment, satctl: Satctl, days: tuple[str, str], told: str) -> None:
    assert closed

    said = satctl("scenes", "rescan", "S", "--from", days[0], "--to", days[1], "--here", code=2)

    assert told in said.stderr


def test_the_profiles_of_catalogues_are_listed_with_what_each_needs(satctl: Satctl) -> None:
    listed = {profile["name"]: profile for profile in json.loads(satctl("scenes", "profiles", "--json").stdout)}

    assert listed["hls"]["needs"] == ["EARTHDATA_TOKEN"]
    assert listed["earth-search-c1"]["endpoint"] == "https://earth-search.aws.element84.com/v1"
    assert listed["planetary-computer-landsat"]["collections"] == ["landsat-c2-l2"]
    assert all(Path(profile["file"]).is_file() for profile in listed.values())
    assert "earth-search-c1" in satctl("scenes", "profiles").stdout
