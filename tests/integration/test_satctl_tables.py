"""What `satctl` prints for people: tables that fit the terminal, colours only where they are wanted."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from satcommon.environment import Environment
from satcommon.messages import command
from satctl.dagster_api import graphql
from satctl.dagster_api.graphql import Run
from satctl.main import main
from satctl.output.tables import print_table
from sqlalchemy import Engine

from tests.integration.satctl_world import FIRST, INSIDE, Satctl

NAME = "Landkreis Mecklenburgische Seenplatte"


@pytest.fixture
def much(closed: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields with long names and misses, and runs of them."""
    for number in range(3):
        external_id = f"DE-MV-0815-{number}"
        season = ["--planted", "2025-06-02", "--season-end", "2025-10-31", "--crop", "winter-wheat"]
        satctl("fields", "add", external_id, "--name", f"Acker {number} am alten Bahndamm", *season, "--wkt", INSIDE)
    created = datetime.fromisoformat("2025-06-05T10:00:00+00:00")
    run = Run(
        run_id="0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0",
        job="reprocessed_field_metrics",
        location="reprocessing",
        status="CANCELING",
        created_at=created,
        updated_at=created,
        started_at=created,
        ended_at=created + timedelta(seconds=1234.5),
        tags={"dagster/partition": f"{FIRST}|S", ".dagster/grpc_info": '{"host": "x"}'},
    )
    monkeypatch.setattr(graphql, "runs", lambda *_: [run])


TABLES = [
    ["status"],
    ["status", "--days", "30"],
    ["fields", "list"],
    ["fields", "show", "DE-MV-0815-1"],
    ["regions", "list"],
    ["runs", "list"],
    ["plan"],
    ["audit"],
]


def test_a_table_fits_the_terminal_and_breaks_no_day_and_no_word(
    much: None, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in TABLES:
        monkeypatch.setenv("COLUMNS", "400")
        words = set(re.split(r"\s+|\.\.", satctl(*arguments).stdout))
        for width in (80, 100):
            monkeypatch.setenv("COLUMNS", str(width))
            lines = [line for line in satctl(*arguments).stdout.splitlines() if line.startswith(" ")]

            assert lines, arguments
            assert [line for line in lines if len(line.rstrip()) > width] == []
            assert [w for line in lines for w in re.split(r"\s+|\.\.", line.strip(" ─")) if w not in words] == []


def test_wide_leaves_no_column_out(much: None, satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for arguments in TABLES:
        narrow, wide = satctl(*arguments), satctl(*arguments, "--wide")

        assert "see --wide" in narrow.stderr, arguments
        assert "left out" not in wide.stderr
        assert len(wide.stdout) > len(narrow.stdout)


def test_a_piped_table_has_every_column_in_one_line_each(much: None, satctl: Satctl) -> None:
    (line,) = [line for line in satctl("fields", "list").stdout.splitlines() if "DE-MV-0815-1" in line]

    assert line.split()[-1] == "3"
    assert "Acker 1 am alten Bahndamm" in line
    assert "winter-wheat" in line


def test_a_run_is_shown_with_json_of_one_style(much: None, satctl: Satctl) -> None:
    said = satctl("runs", "list", "--json").stdout

    assert '"seconds": 1234.5' in said
    assert '"created_at": "2025-06-05T10:00:00Z"' in said
    assert "grpc_info" not in said


def test_a_word_longer_than_any_is_folded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    print_table(("name", "address"), [("a", "https://example.org/" + "x" * 200)])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_the_status_says_by_whose_settings_a_deadline_is(
    closed: Environment, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = satctl("status")

    assert (
        "deadlines by this process's settings: 36 h (SATFIELDS_DEADLINE_HOURS), late scenes for 30 days" in said.stdout
    )
    assert '"deadline_hours": 36.0' in satctl("status", "--json").stdout


@pytest.mark.parametrize("arguments", [["status", "--region", "nowhere"], ["fields", "list", "--region", "nowhere"]])
def test_no_colour_is_written_where_none_is_wanted(
    arguments: list[str], system: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured = CliRunner().invoke(main, arguments, color=True).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(main, arguments, color=True).stderr

    assert "\x1b[" in coloured
    assert plain == re.sub(r"\x1b\[\d*m", "", coloured)


def test_a_command_that_is_suggested_can_be_typed() -> None:
    assert command("fields", "show", "north-40") == "`satctl fields show north-40`"
    assert command("regions", "show", NAME) == f"`satctl regions show '{NAME}'`"


@pytest.mark.parametrize(
    ("words", "begun", "offered"),
    [
        (["regions", "show"], "", ["S"]),
        (["export"], "S", ["S"]),
        (["status", "--region"], "", ["S"]),
        (["fields", "show"], "DE-", ["DE-MV-0815-0", "DE-MV-0815-1", "DE-MV-0815-2"]),
        (["history"], "%", []),
        (["fields", "plot"], "=1", ["=1+1"]),
        (["export", "--field"], "DE-MV-0815-2", ["DE-MV-0815-2"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_shell_completes_regions_and_fields(words: list[str], begun: str, offered: list[str], much: None) -> None:
    complete = ShellComplete(main, {}, "satctl", "_SATCTL_COMPLETE")

    assert [item.value for item in complete.get_completions(words, begun)] == offered


def test_the_shell_completes_nothing_where_there_is_no_database() -> None:
    complete = ShellComplete(main, {}, "satctl", "_SATCTL_COMPLETE")

    assert complete.get_completions(["regions", "show"], "") == []
