"""One served system for all tests that only read, of each kind of database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from satcommon.db.engine import open_engine
from satcommon.settings import PREFIX, settings

from tests.conftest import TIMEOUT_SECONDS, postgres_database
from tests.unit.satserve.serving import Served, make_world, served


@pytest.fixture(scope="session")
def on_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copyfile(sqlite_template, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(f"{PREFIX}SCENE_SOURCE", "simulated")
        settings.cache_clear()
        engine = open_engine(f"sqlite:///{folder / 'ledger.db'}", TIMEOUT_SECONDS)
        env, before = make_world(engine, folder / "store")
    with served(env, before) as found:
        yield found
    engine.dispose()


@pytest.fixture(scope="session")
def on_postgresql(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with postgres_database(postgres_url, postgres_template) as engine:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(f"{PREFIX}SCENE_SOURCE", "simulated")
            settings.cache_clear()
            env, before = make_world(engine, tmp_path_factory.mktemp("served") / "store")
        with served(env, before) as found:
            yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest) -> Served:
    """The served system; the test runs once on each kind of database."""
    found: Served = request.getfixturevalue(f"on_{request.param}")
    return found
