"""`satctl history`: why a field-day has its row, or has none, and what will happen when."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Miss
from satcommon.environment import Environment
from satcommon.publication.objects import ResultObjects
from satcommon.publication.reader import published_days
from satcommon.settings import settings
from sqlalchemy import Engine, update

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def told(satctl: Satctl, field: str, day: object, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(satctl("history", field, str(day), *more, "--json").stdout)
    return found


def test_a_row_that_stands_is_settled(closed: Environment, satctl: Satctl) -> None:
    found = told(satctl, "=1+1", LAST)

    assert (found["state"], found["reason"], found["next_step"], found["at"]) == (
        "settled",
        "row_is_current",
        None,
        None,
    )
    assert "=1+1 in region S on 2025-06-04: settled" in satctl("history", "=1+1", str(LAST)).stdout


# --- no row, and none will come ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "day", "reason", "why"),
    [
        ([], "2025-05-31", "not_monitored", "region 'S' is monitored from 2025-06-01 on"),
        (
            [["regions", "monitor", "S", "--until", "2025-06-10"]],
            "2025-06-11",
            "not_monitored",
            "2025-06-01 to 2025-06",
        ),
        ([["fields", "revise", "=1+1", "--planted", "2025-06-03"]], "2025-06-02", "not_planted_yet", "2025-06-03"),
        ([["fields", "revise", "=1+1", "--season-end", "2025-06-02"]], "2025-06-09", "season_is_over", "was over"),
        ([["fields", "deactivate", "=1+1", "--on", "2025-06-05"]], "2025-06-07", "deactivated", "from 2025-06-05 on"),
    ],
    ids=["before", "after", "planted", "over", "deactivated"],
)
def test_a_field_day_that_nobody_expects_is_told_why(
    change: list[list[str]], day: str, reason: str, why: str, closed: Environment, satctl: Satctl
) -> None:
    for command in change:
        satctl(*command)

    found = told(satctl, "=1+1", day)
    said = satctl("history", "=1+1", day).stdout

    if found["state"] != "to_be_withdrawn":
        assert (found["state"], found["row"]) == ("not_expected", None)
    assert found["reason"] == reason
    assert why in found["why"]
    assert f"why: {found['why']}" in said


def test_a_season_that_is_over_tells_when_the_next_one_begins(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", "=1+1", "--season-end", "2025-06-10")
    over = told(satctl, "=1+1", "2025-06-20")
    satctl("fields", "plant", "=1+1", "--planted", "2025-07-01")
    between = told(satctl, "=1+1", "2025-06-20")

    assert over["next_step"] == "`satctl fields plant =1+1` begins the next one"
    assert between["next_step"] == "the next one begins on 2025-07-01"


def test_a_region_that_the_field_does_not_touch_is_told_so(closed: Environment, satctl: Satctl) -> None:
    satctl("regions", "add", "far away", "--bounds", "10", "50", "10.2", "50.2", "--monitored-from", str(FIRST))

    found = told(satctl, "=1+1", LAST, "--region", "far away")

    assert (found["state"], found["reason"]) == ("not_expected", "outside_region")
    assert "does not lie in region 'far away'" in found["why"]


def test_a_row_that_nobody_expects_any_more_is_to_be_withdrawn(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", "=1+1", "--season-end", "2025-06-03")

    found = told(satctl, "=1+1", LAST)

    assert (found["state"], found["reason"]) == ("to_be_withdrawn", "season_is_over")
    assert found["row"] is not None


# --- missed --------------------------------------------------------------------------------------------------------


def test_a_missed_field_day_waits_for_the_replay_which_is_named(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    found = told(satctl, "late", "2025-06-03")

    assert (found["state"], found["reason"], found["row"]) == ("missed", "waits_for_replay", None)
    assert found["why"].startswith("missed as late_field since ")
    assert "`satctl reprocess S` asks for that now" in found["next_step"]


def test_a_field_day_that_failed_tells_when_it_is_tried_again_or_how(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "north 40", "--planted", "2025-06-03", "--wkt", INSIDE)
    now = datetime.now(UTC)

    def failed(times: int) -> dict[str, Any]:
        with write_transaction(closed.engine) as connection:
            connection.execute(update(Miss).values(attempts=times, tried_at=now))
        return told(satctl, "north 40", "2025-06-03")

    once, for_good = failed(1), failed(3)

    assert once["reason"] == "pauses_after_failure"
    assert datetime.fromisoformat(once["at"]) == now + timedelta(minutes=10)
    assert (for_good["reason"], for_good["at"]) == ("failed_for_good", None)
    assert (
        "`satctl reprocess S --field 'north 40' --from 2025-06-03 --to 2025-06-03` tries it again"
        in for_good["next_step"]
    )


def test_a_missed_field_day_waits_for_the_asking_or_for_a_due_scene(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    def with_answer(**values: Any) -> dict[str, Any]:
        with write_transaction(closed.engine) as connection:
            ledger.set_day(connection, 1, date(2025, 6, 3), scene_digest=None, **values)
        return told(satctl, "late", "2025-06-03")

    never_asked = with_answer(due="unknown", answered_at=None)
    given_up = with_answer(due="due", answered_at=datetime.now(UTC))  # the allowed lateness is over

    assert (never_asked["state"], never_asked["reason"]) == ("missed", "never_asked")
    assert "the source was never asked for 2025-06-03" in never_asked["why"]
    assert given_up["reason"] == "waits_for_replay"


def test_a_row_with_an_open_miss_is_to_be_redone(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", INSIDE.replace("40.5", "40.55"))

    found = told(satctl, "=1+1", "2025-06-03")

    assert (found["state"], found["reason"]) == ("to_be_redone", "waits_for_replay")
    assert "revised_field" in found["why"]


def test_an_expected_field_day_without_row_and_miss_is_lost(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)
    with write_transaction(closed.engine) as connection:
        connection.execute(Miss.__table__.delete())

    found = told(satctl, "late", "2025-06-03")

    assert (found["state"], found["reason"]) == ("lost", "not_on_record")
    assert "`satctl audit --repair`" in found["next_step"]


# --- not closed yet ------------------------------------------------------------------------------------------------


TODAY = datetime.now(UTC).date()


@pytest.fixture
def recent(system: Engine, satctl: Satctl) -> int:
    """Region R, monitored for three days before today, with a field `a`; gives its id."""
    first = TODAY - timedelta(days=3)
    satctl("regions", "add", "R", "--bounds", *BOUNDS, "--monitored-from", str(first), "--resolution", "500")
    satctl("fields", "add", "a", "--planted", str(first - timedelta(days=9)), "--wkt", INSIDE)
    with read_transaction(system) as connection:
        return ledger.region(connection, 1).bbox_id


def answered(engine: Engine, bbox_id: int, day: date, due: str) -> None:
    with write_transaction(engine) as connection:
        ledger.set_day(connection, bbox_id, day, due=due, answered_at=datetime.now(UTC))


def test_a_day_that_waits_tells_for_what_and_until_when(recent: int, system: Engine, satctl: Satctl) -> None:
    first = TODAY - timedelta(days=3)
    never_asked = told(satctl, "a", first)
    answered(system, recent, first, "due")
    can_be_closed = told(satctl, "a", first)  # its deadline has passed
    yesterday = told(satctl, "a", TODAY + timedelta(days=2))

    assert (never_asked["state"], never_asked["reason"]) == ("waiting", "never_asked")
    assert "the source was never asked for" in never_asked["why"]
    assert datetime.fromisoformat(never_asked["at"]) > datetime.now(UTC) + timedelta(hours=30)
    assert can_be_closed["reason"] == "can_be_closed"
    assert f"`satctl runs launch close_days --region R --day {first}`" in can_be_closed["next_step"]
    assert yesterday["reason"] == "day_is_not_over"
    assert datetime.fromisoformat(yesterday["at"]).date() > TODAY + timedelta(days=2)


def test_a_day_waits_for_its_scene_and_later_days_for_it(
    recent: int, system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_DEADLINE_HOURS", "1000")
    settings.cache_clear()
    first = TODAY - timedelta(days=3)
    answered(system, recent, first, "due")

    waits = told(satctl, "a", first)
    behind = told(satctl, "a", first + timedelta(days=1))
    satctl("regions", "deactivate", "R")
    paused = told(satctl, "a", first)

    assert waits["reason"] == "waits_for_scene"
    assert f"the scene of {first} is due" in waits["why"]
    assert datetime.fromisoformat(waits["at"]) > datetime.now(UTC)
    assert (behind["reason"], f"and {first} is still open" in behind["why"]) == ("earlier_day_is_open", True)
    assert (paused["reason"], paused["next_step"]) == ("region_is_paused", "`satctl regions activate R` resumes it")


def test_a_day_that_fails_tells_the_error(recent: int, system: Engine, satctl: Satctl) -> None:
    with write_transaction(system) as connection:
        ledger.record_failure(connection, recent, TODAY - timedelta(days=3), "the disk is gone")

    found = told(satctl, "a", TODAY - timedelta(days=3))

    assert (found["reason"], "failed 1 time: the disk is gone" in found["why"]) == ("day_failed", True)


# --- one style -----------------------------------------------------------------------------------------------------


def keys_and_texts(value: Any) -> tuple[list[str], list[str]]:
    if isinstance(value, dict):
        parts = [keys_and_texts(each) for each in value.values()]
        return [*value, *(k for keys, _ in parts for k in keys)], [t for _, texts in parts for t in texts]
    if isinstance(value, list):
        parts = [keys_and_texts(each) for each in value]
        return [k for keys, _ in parts for k in keys], [t for _, texts in parts for t in texts]
    return [], [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    "command",
    [
        ["history", "=1+1", "2025-06-03"],
        ["status"],
        ["fields", "show", "=1+1"],
        ["fields", "list"],
        ["regions", "list"],
        ["plan"],
        ["audit"],
    ],
    ids=" ".join,
)
def test_json_has_one_style(command: list[str], closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", INSIDE.replace("40.5", "40.55"))

    keys, texts = keys_and_texts(json.loads(satctl(*command, "--json").stdout))

    assert [key for key in keys if not re.fullmatch(r"[a-z][a-z0-9_]*", key)] == []
    times = [text for text in texts if re.match(r"\d{4}-\d\d-\d\d.", text) and ".." not in text]
    assert [text for text in times if not INSTANT.fullmatch(text)] == []
    assert [text for text in texts if text[:1] in "[{"] == []


def test_numbers_are_those_of_the_published_row(closed: Environment, satctl: Satctl) -> None:
    with read_transaction(closed.engine) as connection:
        days, objects = published_days(connection, 1, FIRST, LAST), ResultObjects(closed.store())
    rows = [days.rows(objects, day).to_pylist()[0] for day in days.layers]
    row = next(row for row in rows if row["ndvi_mean"] is not None)

    found = told(satctl, "=1+1", row["day"])["row"]
    said = satctl("history", "=1+1", str(row["day"])).stdout

    assert found["ndvi_mean"] == row["ndvi_mean"]
    assert found["item_ids"] == json.loads(row["item_ids"])
    assert found["state_days"] == [str(date.fromordinal(day)) for day in row["state_days"] if day]
    assert repr(row["ndvi_mean"]) in said
