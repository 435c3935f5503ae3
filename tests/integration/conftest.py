"""The code servers of the three locations: started once per session, since each start costs seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.conftest import postgres_database
from tests.integration.dagster_world import World, set_environment, world
from tests.integration.guarded_s3 import guarded_s3
from tests.integration.satctl_world import closed, satctl, system  # noqa: F401  # fixtures for all

PASSWORD = "s3cret-word"  # of the role that the tests make
VARIABLES = {
    "RETRY_PAUSE_SECONDS": "1",
    "DEADLINE_HOURS": "60",  # after solar noon at Greenwich: the day before yesterday still waits, whatever the hour
}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three code servers on one ledger."""
    with world(tmp_path_factory.mktemp("served"), VARIABLES) as found:
        yield found


@pytest.fixture(name="world")
def fresh_world(served: World, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> World:
    """The served world, with nothing in it."""
    set_environment(monkeypatch, served.env.settings.home, VARIABLES)
    served.reset()
    return served


@pytest.fixture(scope="session")
def s3_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """The AWS variables of each user of an endpoint that checks keys; see `guarded_s3`."""
    with guarded_s3(tmp_path_factory.mktemp("s3") / "log") as users:
        yield users


@pytest.fixture
def role(postgres_engine: Engine) -> Iterator[str]:
    """A user with a password, whom the server asks for it; it may read."""
    name = f"reader_{postgres_engine.url.database}"[:60]
    rule = f"local all {name} scram-sha-256"
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = connection.exec_driver_sql
        run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        hba = run("SHOW hba_file").scalar_one()
        before = Path(hba).read_text()
        Path(hba).write_text(f"{rule}\n{before}")
        run("SELECT pg_reload_conf()")
        yield name
        Path(hba).write_text(before)
        run("SELECT pg_reload_conf()")
        run(f"DROP OWNED BY {name}")
        run(f"DROP ROLE {name}")


@pytest.fixture
def blank_postgres(postgres_url: str) -> Iterator[Engine]:
    """A PostgreSQL database with nothing in it."""
    with postgres_database(postgres_url) as engine:
        yield engine
