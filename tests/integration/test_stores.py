"""The same code on the stores of a laptop and of a cluster, chosen by settings alone, gives the same rows."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from satcommon.db.engine import read_transaction
from satcommon.db.registry import region
from satcommon.errors import InputError
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.settings import settings
from satctl.local.servers import cluster_stores
from satctl.opening import opened
from sqlalchemy import Engine

from tests.integration.satctl_world import BOUNDS, FIRST, INSIDE, LAST, Satctl

LATE = INSIDE.replace("-94.2 ", "-94.15 ")


def week(satctl: Satctl, output: Path) -> pa.Table:
    """Ingest and realtime, a late field and its replay, the audit of every state, garbage collection, export."""
    satctl("db", "upgrade")
    satctl("regions", "add", "S", "--bounds", *BOUNDS, "--monitored-from", str(FIRST), "--resolution", "500")
    satctl("fields", "add", "on-time", "--planted", "2025-05-01", "--wkt", INSIDE)
    now = datetime.now(UTC)
    with opened() as env:
        with read_transaction(env.engine) as connection:
            bbox_id = region(connection, "S").bbox_id
        closer = Closer(env.engine, env.store(), bbox_id, env.deadlines, "run", now)
        assert len(list(closer.backfill(env.source(), LAST, lambda *_: None))) == 4
        satctl("fields", "add", "late", "--planted", "2025-05-01", "--wkt", LATE)
        assert '"missed": 4' in satctl("audit", "--json").stdout
        assert list(replay(Processor(env.engine, env.store()), env.engine, bbox_id, env.deadlines, "run", now))
    satctl("audit", "--deep")
    satctl("gc")
    satctl("export", "S", "--output", str(output))
    return pq.read_table(output)


def test_all_that_happens_to_a_region_is_the_same_on_postgresql_and_s3(
    satctl: Satctl, postgres_engine: Engine, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = week(satctl, tmp_path / "laptop.parquet")
    monkeypatch.setenv("SATFIELDS_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", postgres_engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SATFIELDS_STORE", s3_url)
    settings.cache_clear()

    rows = week(satctl, tmp_path / "cluster.parquet")

    assert rows.num_rows == 8
    assert rows.equals(expected)
    assert not (tmp_path / "other").exists(), "a cluster keeps nothing in files"


def test_the_demo_s_servers_tell_where_they_come_from_if_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "moto.server", None)

    with (
        pytest.raises(InputError, match=r"moto.server is not installed.*`make demo STORES=cluster` in a checkout"),
        cluster_stores(tmp_path / "s3.log"),
    ):
        pass
