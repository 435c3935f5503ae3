"""The small world of the protocol's tests, on each database; `world.py` and `truth.py` say what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests here share modules that are no tests

from truth import OTHER_VERSION, with_other_version
from world import Laboratory, World


@pytest.fixture(scope="session")
def other_version() -> Iterator[str]:
    """A second algorithm version, known while the tests of this folder run."""
    with with_other_version():
        yield OTHER_VERSION


@pytest.fixture(scope="session")
def laboratory(other_version: str, sqlite_template: Path) -> Iterator[Laboratory]:
    """Ledgers and a store that worlds on SQLite use one after the other."""
    with Laboratory.on_sqlite(sqlite_template) as found:
        yield found


@pytest.fixture(scope="session")
def postgres_laboratory(other_version: str, postgres_url: str, postgres_template: str) -> Iterator[Laboratory]:
    """The same on PostgreSQL."""
    with Laboratory.on_postgresql(postgres_url, postgres_template) as found:
        yield found


@pytest.fixture
def world(laboratory: Laboratory) -> World:
    """A new world with nothing but its two regions."""
    return laboratory.world()
