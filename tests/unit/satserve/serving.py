"""A real server over a small system: two regions, five fields, four closed days, a correction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from click.testing import CliRunner
from satcommon.db import api_keys
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField, Update, register_fields
from satcommon.db.registry import add_region, region
from satcommon.environment import Environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.settings import PREFIX, Settings, settings
from satcommon.sources.source import SIMULATED
from satcommon.stats.algorithm import CURRENT
from satctl.main import main
from satserve.app import make_app
from satserve.guards import BoundedProtocol
from shapely import box
from sqlalchemy import Engine

FIRST, LAST = date(2025, 6, 28), date(2025, 7, 3)  # over the end of a half year
FORMULA = "=1+1"
SLASHED = "a/b ü"
SQUARES = {
    FORMULA: (-94.2, 40.4),
    SLASHED: (-94.15, 40.4),
    "north": (-94.2, 40.5),
    "border": (-94.005, 40.4),  # in both regions, most of it in T
    "far": (-93.8, 40.4),
}
BOUNDS = {"S": Bounds(-94.3, 40.3, -94.0, 40.6), "T": Bounds(-94.0, 40.3, -93.7, 40.6)}


class Served:
    """A server, and what it serves.

    Args:
        environment: settings, ledger and store.
        url: of the server.
        before: an instant before the correction, and after all that came before it.
    """

    def __init__(self, environment: Environment, url: str, before: datetime) -> None:
        self.environment, self.url, self.before = environment, url, before
        self._session = requests.Session()

    def get(self, path: str, key: str = "", **parameters: Any) -> requests.Response:
        """A request; underscores of parameters are hyphens."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        headers |= parameters.pop("headers", {})
        given = {name.replace("_", "-"): value for name, value in parameters.items()}
        return self._session.get(self.url + path, params=given, headers=headers, timeout=30)

    def json(self, path: str, key: str = "", **parameters: Any) -> Any:
        """The document of a request that is answered."""
        response = self.get(path, key, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def key(self, *regions: str, expires_at: datetime | None = None) -> str:
        """A new key of some regions; of all, where none is named."""
        with write_transaction(self.environment.engine) as connection:
            _, key = api_keys.add_key(connection, "test", regions or None, expires_at, datetime.now(UTC))
        return key


def satctl(service: Served, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What a command prints that works on the same ledger and store."""
    env = service.environment
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", env.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv(f"{PREFIX}STORE", env.settings.store)
    settings.cache_clear()
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def make_world(engine: Engine, store: Path) -> tuple[Environment, datetime]:
    """Close the days, then correct one field; gives the instant between."""
    chosen = Settings(**(settings().model_dump() | {"store": str(store), "home": store.parent / "home"}))
    env = Environment(chosen, engine)
    now = datetime.now(UTC)
    with write_transaction(engine) as connection:
        for name, bounds in BOUNDS.items():
            add_region(connection, name, bounds, Grid.utm(bounds, 500.0), FIRST, None, CURRENT, now, SIMULATED)
        squares = [
            NewField(name, f"field {name}", box(x, y, x + 0.02, y + 0.02), date(2025, 5, 1), crop_code="maize")
            for name, (x, y) in SQUARES.items()
        ]
        register_fields(connection, squares, now)
    for name in BOUNDS:
        with read_transaction(engine) as connection:
            bbox_id = region(connection, name).bbox_id
        for n in range((LAST - FIRST).days + 1):  # each by a run of its own, so that each has an instant of its own
            closer = Closer(engine, env.store(), bbox_id, env.deadlines, f"run-{n}", datetime.now(UTC))
            until = FIRST + timedelta(days=n)
            assert len(list(closer.backfill(env.source(), until, lambda _day, _answer: None))) == 1
    before = datetime.now(UTC)
    correct(env, 0.021)
    return env, before


def correct(env: Environment, size: float) -> None:
    """The polygon of `north` is corrected, and its days are replayed."""
    x, y = SQUARES["north"]
    with write_transaction(env.engine) as connection:
        shifted = NewField("north", "field north", box(x, y, x + size, y + 0.02), date(2025, 5, 1), crop_code="maize")
        register_fields(connection, [shifted], datetime.now(UTC), Update())
        bbox_id = region(connection, "S").bbox_id
    list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "replay-1", datetime.now(UTC)))


@contextmanager
def served(env: Environment, before: datetime) -> Iterator[Served]:
    """A server on a free port, in a thread of its own."""
    config = uvicorn.Config(
        make_app(env),
        port=0,
        http=BoundedProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(env, f"http://127.0.0.1:{port}", before)
    finally:
        server.should_exit = True
        thread.join(10)
