"""An archive's files on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stac_catalogue import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def base(files: Files) -> Iterator[str]:
    """The address of the files."""
    with files.served() as url:
        yield url
