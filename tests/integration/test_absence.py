"""A day without imagery is told as late, not planned or lost upstream, wherever it is shown."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.environment import Environment
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.ingest_day import register
from satcommon.settings import settings
from satcommon.sources.source import Due
from satcommon.views.day_report import day_report
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, INSIDE, Satctl

TODAY = datetime.now(UTC).date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


LOST, UNPLANNED, LATE = ago(38), ago(6), ago(5)
ANSWERS = {LOST: Due.DUE, UNPLANNED: Due.NOT_PLANNED, LATE: Due.DUE}


@pytest.fixture
def world(system: Engine, satctl: Satctl) -> Environment:
    """A region with one field and forty closed days, of which nobody had imagery."""
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(ago(40)), "--resolution", "500")
    satctl("fields", "add", "f", "--planted", str(ago(100)), "--wkt", INSIDE)
    with write_transaction(system) as connection:
        for days in range(3, 41):
            register(connection, 1, ago(days), ANSWERS.get(ago(days), Due.NOT_DUE), None, datetime.now(UTC))
    env = Environment(settings(), system)
    closer = Closer(system, env.store(), 1, env.deadlines, "run", datetime.now(UTC))
    assert len(list(closer.through(ago(3)))) == 38
    return env


def test_status_and_history_tell_why_a_day_has_no_imagery(
    world: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (region,) = json.loads(satctl("status", "--days", "40", "--json").stdout)["regions"]

    assert region["not_planned"] == [str(UNPLANNED)]
    assert region["lost_upstream"] == [str(LOST)]
    assert [late["day"] for late in region["source_late"]] == [str(LATE)]
    absences = {day["day"]: day["absence"] for day in region["closed_days"] if day["absence"]}
    assert absences == {str(LOST): "lost_upstream", str(UNPLANNED): "not_planned", str(LATE): "late"}
    monkeypatch.setenv("COLUMNS", "80")
    table = satctl("status").stdout
    assert max(len(line) for line in table.partition("runs: ")[0].splitlines()) <= 80
    assert f"S       not planned    1 day: {UNPLANNED}" in table
    assert f"S       lost upstream  1 day: {LOST}" in table
    for day, told in ((LOST, "lost upstream"), (UNPLANNED, "not planned"), (LATE, "late;")):
        assert f"no scene: {told}" in satctl("history", "f", str(day)).stdout
    assert json.loads(satctl("history", "f", str(LOST), "--json").stdout)["absence"] == "lost_upstream"
    assert json.loads(satctl("history", "f", str(ago(4)), "--json").stdout)["absence"] is None


def test_the_report_of_a_day_tells_it_too(world: Environment) -> None:
    with read_transaction(world.engine) as connection:
        region = ledger.region(connection, 1)
    now = datetime.now(UTC)
    days = (LOST, UNPLANNED, LATE, ago(4))
    reading = (world.engine, world.store(), world.scenes(), region)
    facts = [day_report(*reading, day, world.deadlines, now)[0] for day in days]

    assert [each.get("no scene") for each in facts] == ["lost upstream", "not planned", "late", None]
    # Not planned is not due: the row is there, and nothing is awaited.
    assert [each["statuses"] for each in facts] == [{"no_scene": 1}, {"no_overpass": 1}, {}, {"no_overpass": 1}]
    assert [each["missed"] for each in facts] == [0, 0, 1, 0]


def test_a_day_that_is_not_planned_closes_without_waiting_for_its_deadline(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(ago(1)), "--resolution", "500")
    early = datetime.now(UTC)
    with write_transaction(system) as connection:
        register(connection, 1, ago(1), Due.NOT_PLANNED, None, early)
    env = Environment(settings(), system)

    assert len(list(Closer(system, env.store(), 1, env.deadlines, "run", early).through(ago(1)))) == 1
