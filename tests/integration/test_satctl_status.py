"""`satctl status` and `satctl audit` from end to end."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
from satcommon.db import ledger
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl


def test_an_empty_system_is_nothing_to_report_and_nothing_lost(system: Engine, satctl: Satctl) -> None:
    assert "there are no regions" in satctl("status").stdout
    assert json.loads(satctl("status", "--json").stdout)["regions"] == []
    assert "there is nothing to audit" in satctl("audit").stdout
    assert json.loads(satctl("audit", "--json").stdout) == {"clean": True, "regions": []}
    assert "there is no region 'A' (known: none yet)" in satctl("export", "A", "--output", "-", code=2).stderr
    assert "there is no region 'A'" in satctl("status", "--region", "A", code=2).stderr


def test_a_region_without_a_closed_day_tells_what_it_waits_for(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--monitored-until", str(LAST))

    said = satctl("status")
    (found,) = json.loads(satctl("status", "--json").stdout)["regions"]

    assert (found["watermark"], found["lag_days"], found["expected_fields"]) == (None, 4, 0)
    assert found["never_asked"] == [str(date(2025, 6, day)) for day in (1, 2, 3, 4)]
    assert (found["us_late"], found["source_late"]) == ([], [])
    assert "the source was never asked for 4 days: 2025-06-01 to 2025-06-04; is ingest running?" in said.stderr
    assert "has no closed day yet" in satctl("export", "S", "--output", "-", code=2).stderr
    assert json.loads(satctl("audit", "--json").stdout)["clean"] is True


def test_the_status_tells_the_source_late_from_us_late(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "100000")
    satctl(
        "regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", "2025-06-01", "--monitored-until", "2025-06-04"
    )
    satctl("fields", "add", "a", "--planted", "2025-05-01", "--wkt", INSIDE)
    env = Environment(settings(), system)
    with read_transaction(system) as connection:
        bbox_id = region(connection, "S").bbox_id
    with write_transaction(system) as connection:
        for day in (1, 2, 3, 4):
            values: dict[str, Any] = {"due": "due", "answered_at": datetime.now(UTC)}
            ledger.set_day(connection, bbox_id, date(2025, 6, day), **values)
    closer = Closer(system, env.store(), bbox_id, env.deadlines, "run", datetime.now(UTC))
    assert len(list(closer.through(date(2025, 6, 2)))) == 2

    (found,) = json.loads(satctl("status", "--json").stdout)["regions"]

    assert (found["watermark"], found["lag_days"]) == ("2025-06-02", 2)
    assert [(one["day"], one["closed"]) for one in found["source_late"]] == [("2025-06-01", True), ("2025-06-02", True)]
    assert found["us_late"] == ["2025-06-03", "2025-06-04"]
    (missed,) = found["backlog"]
    assert (missed["cause"], missed["field_days"], missed["waiting_for_scene"]) == ("late_scene", 2, 2)
    assert "2 days: 2025-06-01 to 2025-06-02" in satctl("status").stdout


def test_the_status_lists_the_last_closed_days_and_the_backlog(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    (found,) = json.loads(satctl("status", "--days", "2", "--json").stdout)["regions"]
    said = satctl("status").stdout

    assert (found["watermark"], found["expected_fields"]) == ("2025-06-04", 2)
    assert [(d["day"], d["rows"], d["missed"], d["scene"]) for d in found["closed_days"]] == [
        ("2025-06-03", 1, 1, True),
        ("2025-06-04", 1, 1, True),
    ]
    (missed,) = found["backlog"]
    assert (missed["cause"], missed["field_days"], missed["waiting_for_scene"]) == ("late_field", 2, 0)
    assert (missed["first_day"], missed["last_day"]) == ("2025-06-03", "2025-06-04")
    assert 0 <= missed["oldest_age_seconds"] < 600
    assert "late_field" in said


def test_it_is_watched_until_it_is_interrupted_and_through_an_outage(
    closed: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, looks = settings().database_url, []

    def sleep(seconds: float) -> None:
        """The database is away for the second of three looks."""
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt
        away = "postgresql://u@127.0.0.1:1/x"
        monkeypatch.setenv("SATFIELDS_DATABASE_URL", away if len(looks) == 1 else database)
        settings.cache_clear()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setenv("COLUMNS", "80")
    settings.cache_clear()

    said = satctl("status", "--watch", "7", "--days", "1")

    assert looks == [7.0, 7.0, 7.0]
    assert said.stdout.count("every 7 s; Ctrl-C ends it") == 3
    assert said.stdout.count("last closed days") == 2
    assert said.stderr.count("could not be used") == 1
    tables = [line for line in said.stdout.splitlines() if line.startswith(" ")]
    assert 0 < max(map(len, tables)) <= 80
    assert said.stdout.endswith("ended\n")
    assert "--watch shows tables" in satctl("status", "--watch", "--json", code=2).stderr


def test_the_audit_counts_and_says_what_is_wrong(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", INSIDE)

    clean = json.loads(satctl("audit", "--json").stdout)["regions"][0]
    last = closed.store().list("results/")[-1]
    closed.store().delete(last)
    broken = satctl("audit", "--region", "S", code=1).stdout

    assert (clean["expected"], clean["settled"], clean["missed"]) == (6, 4, 2)
    assert f"S 2025-06-04..2025-06-04: the object {last} of publication 4 (day) is gone" in broken
    assert "NOT CLEAN" in broken
    assert json.loads(satctl("audit", "--json", code=1).stdout)["clean"] is False
