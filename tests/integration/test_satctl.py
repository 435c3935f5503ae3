"""`satctl` itself, its database, store and settings, on a SQLite file and a folder of objects, as on a laptop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from satcommon.db.engine import write_transaction
from satcommon.db.models import Region
from satctl.main import COMMANDS, main
from sqlalchemy import Engine, text, update

from tests.integration.satctl_world import BOUNDS, Satctl

# --- the command line itself ---------------------------------------------------------------------------------------


def all_commands() -> list[list[str]]:
    found = []
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        found += [[name, sub] for sub in command.commands] if isinstance(command, click.Group) else [[name]]
    return found


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str], satctl: Satctl) -> None:
    lines = satctl(*command, "--help").stdout.splitlines()

    assert any(f"satctl {' '.join(command)}" in line for line in lines[lines.index("  Examples:") + 1 :])
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_option_says_what_it_does(command: list[str]) -> None:
    node: click.Command = main
    for name in command:
        assert isinstance(node, click.Group)
        subcommand = node.get_command(click.Context(node), name)
        assert subcommand is not None
        node = subcommand

    assert [option.name for option in node.params if isinstance(option, click.Option) and not option.help] == []


def test_the_help_needs_none_of_the_heavy_libraries() -> None:
    code = "import sys; from satctl.main import main; main(['--help'], standalone_mode=False); "
    code += "print(*sys.modules, file=sys.stderr)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    assert not {"sqlalchemy", "shapely", "numpy", "pyarrow", "geopandas", "rasterio", "dagster"} & set(loaded)


@pytest.mark.parametrize(
    "arguments",
    [["regiones"], ["regions", "ad"], ["regions", "add"], ["status", "--regions", "A"], ["export", "A"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: list[str], satctl: Satctl) -> None:
    assert "Usage: " in satctl(*arguments, code=2).stderr


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_demand(system: Engine, satctl: Satctl) -> None:
    satctl("regions", "add", "A", "--bounds", *BOUNDS)
    with write_transaction(system) as connection:
        connection.execute(update(Region).values(grid="{"))

    said = satctl("regions", "list", code=1)
    shown = satctl("--debug", "regions", "list", code=1)

    assert said.stderr.startswith("error: JSONDecodeError: Expecting property name")
    assert "`satctl --debug ...` shows where it comes from" in said.stderr
    assert isinstance(shown.exception, json.JSONDecodeError)


# --- the database, the store, the settings -------------------------------------------------------------------------


def test_a_database_is_made_once_and_then_left_alone(tmp_path: Path, satctl: Satctl) -> None:
    assert "none: not migrated" in satctl("db", "current", code=1).stdout
    assert not (tmp_path / "home").exists()

    made = satctl("db", "upgrade").stdout
    again = satctl("db", "upgrade").stdout

    assert "went from nothing to revision" in made
    assert "already; nothing was changed" in again
    assert json.loads(satctl("db", "current", "--json").stdout)["fits"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        ["regions", "list"],
        ["fields", "list"],
        ["status"],
        ["audit"],
        ["regions", "seed"],
        ["export", "A", "--output", "-"],
    ],
    ids=" ".join,
)
def test_without_a_database_every_command_says_how_to_make_it(
    arguments: list[str], tmp_path: Path, satctl: Satctl
) -> None:
    said = satctl(*arguments, code=1).stderr

    assert "There is no database sqlite:///" in said
    assert "Run `satctl db upgrade`" in said
    assert not (tmp_path / "home").exists()


def test_a_database_that_was_not_migrated_is_told_so(tmp_path: Path, satctl: Satctl) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "satfields.db").touch()

    assert "is not migrated. Run `satctl db upgrade`" in satctl("regions", "list", code=1).stderr


def test_a_database_newer_than_the_code_is_left_alone(system: Engine, satctl: Satctl) -> None:
    with write_transaction(system) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for command in (["regions", "list"], ["db", "upgrade"], ["regions", "seed"]):
        assert "is at revision 9999, newer than this code's" in satctl(*command, code=1).stderr
    assert json.loads(satctl("db", "current", "--json", code=1).stdout)["revision"] == "9999"


def test_a_locked_database_is_waited_for_and_then_told(
    system: Engine, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_TIMEOUT_SECONDS", "0.05")

    with write_transaction(system):
        said = satctl("regions", "add", "A", "--bounds", *BOUNDS, code=1).stderr

    assert "could not be used: database is locked. Check SATFIELDS_DATABASE_URL" in said


def test_an_unreachable_database_is_named_without_its_password(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/satfields")

    said = satctl("status", code=1).stderr

    assert "The database postgresql+psycopg://me:***@127.0.0.1:1/satfields (SATFIELDS_DATABASE_URL) could" in said
    assert "secret" not in said


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path, satctl: Satctl) -> None:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / "satfields.db"
    file.write_text("a shopping list")

    for command in (["status"], ["db", "current"], ["db", "upgrade"]):
        assert "is not a SQLite database" in satctl(*command, code=2).stderr
    assert file.read_text() == "a shopping list"


@pytest.mark.parametrize("command", [["audit"], ["export", "A", "--output", "-"]], ids=" ".join)
def test_a_store_that_can_not_be_written_to_is_named(
    command: list[str], system: Engine, tmp_path: Path, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SATFIELDS_STORE", str(tmp_path / "file" / "store"))

    said = satctl(*command, code=1).stderr

    assert f"SATFIELDS_STORE='{tmp_path}/file/store' can't be made: Not a directory" in said


def test_a_wrong_setting_is_named(satctl: Satctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "a month")

    assert "SATFIELDS_LATENESS_DAYS='a month'" in satctl("status", code=2).stderr
