"""Secrets that lie in files: read from there, never beside the environment, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from satcommon.errors import SettingError
from satcommon.secret_files import secret
from satcommon.settings import SECRETS, settings, unknown_variables
from satctl.checks.configuration import secrets_of, usable_settings

URL = "postgresql://satfields:hush@db/satfields"
NAME, FILE = "SATFIELDS_DATABASE_URL", "SATFIELDS_DATABASE_URL_FILE"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "url"
    path.write_text(f"{URL}\n")
    monkeypatch.setenv(FILE, str(path))
    return path


@pytest.mark.usefixtures("file")
def test_the_database_may_be_named_in_a_file() -> None:
    assert settings().database_url == URL


def test_every_secret_setting_may_come_from_a_file() -> None:
    variables = [f"SATFIELDS_{name.upper()}_FILE" for name in SECRETS]

    assert unknown_variables(dict.fromkeys(variables, "/x")) == {}
    assert unknown_variables({"SATFIELDS_LATENESS_DAYS_FILE": "/x"}) != {}


def test_a_file_is_read_anew_each_time(file: Path) -> None:
    file.write_text("another")

    assert secret(NAME) == "another"


def test_without_either_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUSH_FILE", "")  # as an unset one

    assert secret("HUSH") == ""


@pytest.mark.usefixtures("file")
def test_both_are_refused_and_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, URL)

    with pytest.raises(SettingError, match=f"{NAME} and {FILE} are both set") as caught:
        settings()

    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_by_its_name(file: Path) -> None:
    file.unlink()

    with pytest.raises(SettingError, match=f"{FILE}: {file} can't be read: No such file"):
        settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"hush\xff", "is no text in UTF-8")],
    ids=["none", "blank", "bytes"],
)
def test_a_file_without_a_secret_is_refused(content: bytes, said: str, file: Path) -> None:
    file.write_bytes(content)

    with pytest.raises(SettingError, match=f"{FILE}: {file} {said}") as caught:
        settings()

    assert "hush" not in str(caught.value)


@pytest.mark.usefixtures("file")
def test_doctor_keeps_the_file_where_another_setting_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "soon")

    chosen, (finding,) = usable_settings()

    assert chosen is not None
    assert chosen.database_url == URL
    assert "SATFIELDS_LATENESS_DAYS" in str(finding)
    assert secrets_of(chosen) == ["hush"]
