"""`satctl changes` and `--as-of`: what was published when, and what corrections changed."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from sqlalchemy import text

from tests.integration.satctl_world import INSIDE, LAST, Satctl

SHIFTED = "POLYGON ((-94.21 40.4, -94.1 40.4, -94.1 40.5, -94.21 40.4))"
FIELD = "=1+1"


def drain(env: Environment) -> None:
    with read_transaction(env.engine) as connection:
        bbox_id = region(connection, "S").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "replay-1", datetime.now(UTC)))


def shifted(env: Environment, satctl: Satctl) -> None:
    """The field's polygon is corrected, and its days are replayed."""
    satctl("fields", "revise", FIELD, "--wkt", SHIFTED, "--correct")
    drain(env)


def listed(satctl: Satctl, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    found = json.loads(satctl("changes", *arguments, "--json").stdout)
    return found["changes"], found["cursor"]


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


@pytest.fixture
def corrected(closed: Environment, satctl: Satctl) -> tuple[Environment, str]:
    """The system after a correction, and the instant before it."""
    before = now()
    shifted(closed, satctl)
    return closed, before


def test_changes_since_an_instant_have_values_before_and_after(
    corrected: tuple[Environment, str], satctl: Satctl
) -> None:
    changes, _ = listed(satctl, "--since", corrected[1], "--column", "geometry_digest", "--column", "cell_count")

    digests = [change for change in changes if change["column"] == "geometry_digest"]
    assert [change["day"] for change in digests] == [f"2025-06-0{n}" for n in (1, 2, 3, 4)]
    assert {(change["region"], change["field"], change["cause"], change["run"]) for change in changes} == {
        ("S", FIELD, "revised_field", "replay-1")
    }
    assert all(change["before"] != change["after"] for change in changes)
    assert all(isinstance(c["after"], int) for c in changes if c["column"] == "cell_count")


def test_a_cursor_goes_on_where_the_last_call_ended(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    first, cursor = listed(satctl, "--since", corrected[1])
    nothing, same = listed(satctl, "--since", cursor)
    satctl("fields", "revise", FIELD, "--season-end", "2025-06-03")
    drain(corrected[0])

    later, _ = listed(satctl, "--since", cursor)

    assert first
    assert (nothing, same) == ([], cursor)
    assert {(change["day"], change["cause"], change["after"]) for change in later} == {(str(LAST), "withdrawn", None)}


def test_first_publications_are_listed_only_if_asked_for(closed: Environment, satctl: Satctl) -> None:
    quiet, _ = listed(satctl, "--since", "2025-01-01T00:00:00Z")
    loud, _ = listed(satctl, "--since", "2025-01-01T00:00:00Z", "--new")

    assert quiet == []
    assert {change["day"] for change in loud} == {f"2025-06-0{n}" for n in (1, 2, 3, 4)}
    assert {(change["before"], change["cause"]) for change in loud} == {(None, "closed")}


def test_a_region_that_was_left_out_stays_where_it_was(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    satctl("regions", "add", "T", "--bounds", "10", "50", "10.2", "50.2", "--monitored-from", "2025-06-01")

    nothing, cursor = listed(satctl, "--since", corrected[1], "--region", "T")
    changes, _ = listed(satctl, "--since", cursor)

    assert nothing == []
    assert {change["region"] for change in changes} == {"S"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_have_the_same_changes(
    kind: str, corrected: tuple[Environment, str], satctl: Satctl, tmp_path: Path
) -> None:
    changes, cursor = listed(satctl, "--since", corrected[1])
    file = tmp_path / f"changes.{kind}"

    result = satctl("changes", "--since", corrected[1], "--output", str(file))

    rows = list(csv.DictReader(io.StringIO(file.read_text()))) if kind == "csv" else pq.read_table(file).to_pylist()
    told = [(row["field"].lstrip("'"), str(row["day"]), row["column"]) for row in rows]
    assert told == [(change["field"], change["day"], change["column"]) for change in changes]
    assert f"cursor: {cursor}" in result.stdout


def test_people_get_a_table_that_fits_and_the_cursor(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    said = satctl("changes", "--since", corrected[1], "--column", "ndvi_mean").stdout

    assert "revised_field" in said
    assert re.search(r"^cursor: c1\.\S+$", said, re.MULTILINE)
    assert "nothing changed" in satctl("changes", "--since", now()).stdout


@pytest.mark.parametrize(
    ("since", "why"),
    [
        ("2999-01-01T00:00:00Z", "in the future"),
        ("yesterday", "damaged or cut off"),
        ("2025-13-01", "not an instant"),
        ("c1.eJyLVkrKLFLSUcovzUkFAA", "damaged or cut off"),
    ],
)
def test_a_wrong_beginning_is_one_message(since: str, why: str, closed: Environment, satctl: Satctl) -> None:
    result = satctl("changes", "--since", since, code=2)

    assert why in result.output
    assert "Traceback" not in result.output


def test_a_cursor_of_another_installation_is_refused(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    _, cursor = listed(satctl, "--since", corrected[1])
    _execute(corrected[0], "UPDATE registry SET installation = 'another'")

    assert "of another installation" in satctl("changes", "--since", cursor, code=2).output


def test_a_cursor_ahead_of_a_restored_backup_is_refused(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    _, cursor = listed(satctl, "--since", corrected[1])
    _execute(corrected[0], "DELETE FROM publication_days WHERE sequence > 4")
    _execute(corrected[0], "DELETE FROM publications WHERE sequence > 4")

    assert "ahead of what is published here" in satctl("changes", "--since", cursor, code=2).output


def test_an_unknown_column_or_field_is_refused(closed: Environment, satctl: Satctl) -> None:
    for wrong in (["--column", "ndvi"], ["--field", "nobody"]):
        assert wrong[1] in satctl("changes", "--since", "2025-06-01", *wrong, code=2).output


def test_an_instant_without_a_zone_is_utc_and_said_so(closed: Environment, satctl: Satctl) -> None:
    assert "UTC is assumed: 2025-06-01T00:00:00Z" in satctl("changes", "--since", "2025-06-01").stderr


# --- as of ---------------------------------------------------------------------------------------------------------


def test_an_export_as_of_an_instant_is_the_one_of_then(
    corrected: tuple[Environment, str], satctl: Satctl, tmp_path: Path
) -> None:
    env, before = corrected
    satctl("fields", "add", "late", "--planted", "2025-06-03", "--wkt", SHIFTED)

    satctl("export", "S", "--as-of", before, "--output", str(tmp_path / "then.csv"))
    satctl("export", "S", "--output", str(tmp_path / "now.csv"))

    then, today = ((tmp_path / f"{name}.csv").read_text() for name in ("then", "now"))
    assert then != today
    assert {row["final"] for row in csv.DictReader(io.StringIO(then))} == {"true"}
    between = now()
    satctl("fields", "revise", FIELD, "--wkt", INSIDE, "--correct")
    drain(env)
    satctl("export", "S", "--as-of", before, "--output", str(tmp_path / "again.csv"))
    assert (tmp_path / "again.csv").read_text() == then
    satctl("export", "S", "--as-of", between, "--output", str(tmp_path / "between.csv"))
    assert (tmp_path / "between.csv").read_text() == today


def test_a_row_was_not_final_while_it_was_missed(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "revise", FIELD, "--wkt", SHIFTED, "--correct")
    while_missed = now()
    drain(closed)

    then = json.loads(satctl("history", FIELD, str(LAST), "--as-of", while_missed, "--json").stdout)
    today = json.loads(satctl("history", FIELD, str(LAST), "--as-of", now(), "--json").stdout)

    assert (then["row"]["final"], today["row"]["final"]) == (False, True)
    assert then["row"]["geometry_digest"] != today["row"]["geometry_digest"]


def test_history_lists_the_publications_of_a_number(corrected: tuple[Environment, str], satctl: Satctl) -> None:
    told = json.loads(satctl("history", FIELD, str(LAST), "--json").stdout)["publications"]

    assert [(each["cause"], each["run_id"]) for each in told] == [("closed", "run"), ("revised_field", "replay-1")]
    assert told[-1]["row"]["geometry_digest"] != told[0]["row"]["geometry_digest"]
    assert "revised_field" in satctl("history", FIELD, str(LAST)).stdout


def test_a_picture_as_of_an_instant_is_drawn(
    corrected: tuple[Environment, str], satctl: Satctl, tmp_path: Path
) -> None:
    pictures = [tmp_path / "then.png", tmp_path / "now.png"]

    satctl("fields", "plot", FIELD, "--as-of", corrected[1], "--output", str(pictures[0]))
    satctl("fields", "plot", FIELD, "--output", str(pictures[1]))

    assert pictures[0].read_bytes() != pictures[1].read_bytes()


def test_an_instant_before_the_first_publication_is_refused(
    closed: Environment, satctl: Satctl, tmp_path: Path
) -> None:
    result = satctl("export", "S", "--as-of", "2020-01-01", "--output", str(tmp_path / "none.csv"), code=2)

    assert "is before the first publication of region 'S'" in result.output


def test_what_gc_let_go_of_is_named_with_the_instant_from_which_all_is_whole(
    corrected: tuple[Environment, str], satctl: Satctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env, _ = corrected
    satctl("gc", "--patches", "0")
    long_ago = datetime.now(UTC) - timedelta(days=40)
    _execute(env, f"UPDATE publications SET committed_at = '{long_ago:%Y-%m-%d %H:%M:%S.%f}' WHERE sequence > 4")
    _execute(env, "UPDATE publications SET committed_at = '2025-07-01 00:00:00.000000' WHERE sequence <= 4")
    monkeypatch.setenv("SATFIELDS_SUPERSEDED_DAYS", "30")
    from satcommon.settings import settings

    settings.cache_clear()
    satctl("gc")

    result = satctl("export", "S", "--as-of", "2025-07-02T00:00:00Z", "--output", str(tmp_path / "x.csv"), code=2)
    assert f"{long_ago:%Y-%m-%dT%H:%M:%S}" in result.output
    assert "was removed at" in satctl("changes", "--since", "2025-07-02T00:00:00Z", code=2).output
    assert satctl("audit").exit_code == 0


def _execute(env: Environment, statement: str) -> None:
    assert isinstance(env.engine.url.database, str)
    with sqlite3.connect(env.engine.url.database) as connection:
        connection.execute(str(text(statement)))
