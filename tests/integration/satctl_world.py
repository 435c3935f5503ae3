"""A laptop's system to try `satctl` on: a SQLite file and a folder of objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner, Result
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.environment import Environment
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from satctl.main import main
from sqlalchemy import Engine

from tests.conftest import Fill

Satctl = Callable[..., Result]

BOUNDS = ["-94.3", "40.3", "-94.0", "40.6"]
FIRST, LAST = date(2025, 6, 1), date(2025, 6, 4)
INSIDE = "POLYGON ((-94.2 40.4, -94.1 40.4, -94.1 40.5, -94.2 40.4))"


def triangle(west: float, south: float, size: float = 0.05) -> list[list[float]]:
    return [[west, south], [west + size, south], [west + size, south + size], [west, south]]


@pytest.fixture
def satctl() -> Satctl:
    """Runs a command; gives exit code, stdout and stderr."""

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def system(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A migrated database, which `satctl` uses too."""
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", sqlite_engine.url.render_as_string(hide_password=False))
    return sqlite_engine


@pytest.fixture
def closed(system: Engine, satctl: Satctl, filled_once: Fill) -> Environment:
    """Region S with one field, `=1+1`, and four closed days."""
    env = Environment(settings(), system)

    def four_days() -> None:
        satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
        satctl("fields", "add", "=1+1", "--planted", "2025-05-01", "--wkt", INSIDE)
        assert close(env, LAST) == 4

    filled_once(system, env.settings.home, four_days)
    return env


def close(env: Environment, last: date) -> int:
    """Close region S through a day; gives how many days that were."""
    with read_transaction(env.engine) as connection:
        bbox_id = region(connection, "S").bbox_id
    closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run", datetime.now(UTC))
    return len(list(closer.backfill(env.source(), last, lambda _day, _answer: None)))
