import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from satcommon.errors import SceneError
from satcommon.sources.files import File, FolderFiles
from satcommon.sources.folder import FolderSource

from tests.unit.geotiffs import AOI, FIRST, LAST, NAME, PLAIN, full, write

WRITTEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def names(folder: Path, now: datetime) -> list[str]:
    listing = FolderSource(folder).list(AOI, FIRST, LAST, now)
    assert listing.refused == {}
    return [item.item_id for items in listing.acquisitions.values() for item in items]


def touch(path: Path, at: datetime = WRITTEN) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


@pytest.mark.parametrize(("seconds", "listed"), [(-11, True), (-2, False), (0, False), (9, False), (10, True)])
def test_a_file_is_left_alone_until_it_has_been_still(seconds: int, listed: bool, tmp_path: Path) -> None:
    touch(write(tmp_path / NAME))

    assert names(tmp_path, WRITTEN + timedelta(seconds=seconds)) == ([NAME] if listed else [])


def test_half_a_file_is_no_trouble_yet(tmp_path: Path) -> None:
    content = write(tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[:90])
    touch(tmp_path / NAME)

    assert names(tmp_path, WRITTEN + timedelta(seconds=1)) == []
    (tmp_path / NAME).write_bytes(content)
    touch(tmp_path / NAME)
    assert names(tmp_path, WRITTEN + timedelta(seconds=11)) == [NAME]


@pytest.mark.parametrize("beside", ["2016-01-07T101243.json", "satfields.toml"])
def test_a_file_waits_for_what_stands_beside_it(beside: str, tmp_path: Path) -> None:
    touch(write(tmp_path / NAME), WRITTEN - timedelta(days=1))
    (tmp_path / beside).write_text('{"properties": {}}' if beside.endswith("json") else "")
    touch(tmp_path / beside)

    assert names(tmp_path, WRITTEN + timedelta(seconds=9)) == []
    assert names(tmp_path, WRITTEN + timedelta(seconds=10)) == [NAME]


def test_the_time_of_stillness_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text("settle_seconds = 60\n")
    touch(tmp_path / "satfields.toml", WRITTEN - timedelta(days=1))
    touch(write(tmp_path / NAME))

    assert names(tmp_path, WRITTEN + timedelta(seconds=59)) == []
    assert names(tmp_path, WRITTEN + timedelta(seconds=60)) == [NAME]


def test_names_of_unfinished_files_are_passed_over(tmp_path: Path) -> None:
    for name in (f"{NAME}.part", f"{NAME}.tmp", f".{NAME}", f".hidden/{NAME}"):
        write(tmp_path / name)

    assert names(tmp_path, WRITTEN) == []


def rewritten(path: Path) -> None:
    write(path, PLAIN | {"red": full(501)})


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [rewritten, removed])
def test_a_file_that_changes_while_it_is_read_is_not_taken_now(change: Callable[[Path], None], tmp_path: Path) -> None:
    path = write(tmp_path / NAME)
    files = FolderFiles(tmp_path)
    file = files.find(NAME)
    assert isinstance(file, File)

    def read() -> None:
        with files.pixels(NAME, file, 10**9) as dataset:
            dataset.read()
            change(path)

    with pytest.raises(SceneError, match=f"{NAME}: was changed while it was read; it is listed again once it keeps"):
        read()
    with pytest.raises(SceneError, match=NAME):
        files.digest(NAME, file)


@pytest.mark.parametrize("seconds", [-(10**9), 10**11])
def test_a_time_of_modification_may_be_absurd(seconds: int, tmp_path: Path) -> None:
    os.utime(write(tmp_path / NAME), (seconds, seconds))

    assert names(tmp_path, WRITTEN) == [NAME]
