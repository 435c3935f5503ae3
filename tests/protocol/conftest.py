"""The small world of the protocol's tests, on each database; `world.py` and `truth.py` say what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests here share modules that are no tests

from farm import EAST, WEST
from truth import day, with_other_version
from world import Laboratory, World

from tests.conftest import bucket_variables, new_bucket


@pytest.fixture(scope="module", autouse=True)
def other_version() -> Iterator[None]:
    """A second algorithm version, known while the tests of this folder run; those of another know none."""
    with with_other_version():
        yield


@pytest.fixture(scope="session")
def laboratory(sqlite_template: Path) -> Iterator[Laboratory]:
    """Ledgers and a store that worlds on SQLite use one after the other."""
    with Laboratory.on_sqlite(sqlite_template) as found:
        yield found


@pytest.fixture(scope="session")
def cluster_laboratory(postgres_url: str, postgres_template: str, s3_endpoint: str) -> Iterator[Laboratory]:
    """The same on PostgreSQL and S3."""
    with (
        bucket_variables(s3_endpoint),
        Laboratory.on_a_cluster(postgres_url, postgres_template, new_bucket(s3_endpoint)) as found,
    ):
        yield found


@pytest.fixture
def world(laboratory: Laboratory) -> World:
    """A new world with nothing but its two regions."""
    return laboratory.world()


@pytest.fixture
def farm(world: World) -> World:
    """Two fields in the west, seen on four days, three of them closed; the east is hardly looked at."""
    world.monitor(EAST, day(1), day(1))
    world.register("f1", 0, day(1))
    world.register("f2", 4, day(1))
    for n in range(1, 5):
        world.arrives(WEST, day(n), "first")
    world.close(WEST, day(3))
    world.check()
    return world
