"""`satctl fields plot`: a picture of what is published."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from PIL import Image
from satcommon.environment import Environment
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.replay import replay
from satcommon.views.season import season_of
from satctl.output.sink import file_name
from sqlalchemy import Engine

from tests.integration.satctl_world import INSIDE, Satctl


def test_a_season_is_drawn_to_a_file_named_after_the_field(
    closed: Environment, satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    said = satctl("fields", "plot", "=1+1")

    assert (said.stdout, said.stderr) == ("", "drew 4 days of =1+1 to _1_1-season.png\n")
    with Image.open("_1_1-season.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 640)
    assert not list(tmp_path.glob(".satctl*"))


def test_a_picture_goes_to_stdout(closed: Environment, satctl: Satctl) -> None:
    whole, part = (satctl("fields", "plot", "=1+1", "--output", "-", *span) for span in ((), ("--to", "2025-06-02")))

    assert whole.stdout_bytes.startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(part.stdout_bytes)).size == Image.open(io.BytesIO(whole.stdout_bytes)).size
    assert "drew 2 days of =1+1 to -" in part.stderr


def test_the_picture_tells_what_is_not_final_yet_and_what_was_recomputed(closed: Environment, satctl: Satctl) -> None:
    def drawn() -> bytes:
        return satctl("fields", "plot", "=1+1", "--output", "-").stdout_bytes

    as_it_was = drawn()
    satctl("fields", "revise", "=1+1", "--from", "2025-06-03", "--wkt", INSIDE.replace("40.5", "40.55"))
    not_final = drawn()
    processor = Processor(closed.engine, closed.store())
    assert list(replay(processor, closed.engine, 1, closed.deadlines, "run", datetime.now(UTC)))
    recomputed = drawn()

    assert len({as_it_was, not_final, recomputed}) == 3


def test_a_season_knows_its_missing_days(closed: Environment, satctl: Satctl) -> None:
    satctl("fields", "add", "late", "--planted", "2025-06-02", "--wkt", INSIDE)

    late, in_time = (season_of(closed.engine, closed.store(), name) for name in ("late", "=1+1"))

    assert late.missing == [date(2025, 6, day) for day in (2, 3, 4)]
    assert in_time.missing == []


def test_a_picture_overwrites_nothing_unless_told_to(closed: Environment, satctl: Satctl, tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    file.write_text("mine")

    refused = satctl("fields", "plot", "=1+1", "--output", str(file), code=2).stderr
    kept = file.read_text()
    satctl("fields", "plot", "=1+1", "--output", str(file), "--force")

    assert "exists already; name another file, or overwrite it with --force" in refused
    assert kept == "mine"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_what_can_not_be_drawn_is_refused(system: Engine, satctl: Satctl) -> None:
    satctl("fields", "add", "away", "--planted", "2025-05-01", "--wkt", INSIDE)

    assert "there is no field 'nobody'" in satctl("fields", "plot", "nobody", "--output", "-", code=2).stderr
    assert "field 'away' is in no region" in satctl("fields", "plot", "away", "--output", "-", code=2).stderr


@pytest.mark.parametrize(
    ("external_id", "name"),
    [
        ("north-40", "north-40-season.png"),
        ("Düngeracker 4.1", "Düngeracker_4.1-season.png"),
        ("../../etc/passwd", "_.._etc_passwd-season.png"),
        ("-rf", "rf-season.png"),
        ("..", "unnamed-season.png"),
        ("ä" * 200, "ä" * 100 + "-season.png"),
    ],
)
def test_a_file_name_is_one_that_every_file_system_takes(external_id: str, name: str) -> None:
    assert file_name(external_id, "-season.png") == name
