"""The code servers of the three locations: started once per session, since each start costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.dagster_world import World, set_environment, world
from tests.integration.satctl_world import closed, satctl, system  # noqa: F401  # fixtures for all

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
