"""A run that asks a catalogue for a span of days, and is killed, goes on where it was: requests are counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from satcommon.db import ledger, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.sources import polite_requests
from satcommon.stats.algorithm import CURRENT
from sqlalchemy import Engine

from tests.unit.geotiffs import AOI, GRID
from tests.unit.stac_catalogue import COLUMNS, Answer, Files, Proxy, api, item

FIRST, LAST = date(2016, 1, 1), date(2016, 3, 8)
SCENES = [date(2016, 1, 7), date(2016, 2, 10), date(2016, 3, 5)]
NOW = datetime(2017, 1, 1, tzinfo=UTC)

RESCAN = """
import sys
from datetime import UTC, date, datetime
from satcommon.db.engine import open_engine
from satcommon.pipeline.rescan import ask_anew
from satcommon.sources.stac import StacSource
from satcommon.storage.object_store import ObjectStore

url, store, config, first, last = sys.argv[1:]
days = date.fromisoformat(first), date.fromisoformat(last)
source, clock = StacSource.named(config), lambda: datetime(2017, 1, 1, tzinfo=UTC)
for day, answer in ask_anew(open_engine(url), ObjectStore(store), source, 1, *days, clock, 30, only_never_asked=True):
    print(day, flush=True)
"""
BACKFILL = """
import sys
from datetime import UTC, date, datetime
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import open_engine
from satcommon.pipeline.close_region import Closer
from satcommon.sources.stac import StacSource
from satcommon.storage.object_store import ObjectStore

url, store, config, first, last = sys.argv[1:]
closer = Closer(open_engine(url), ObjectStore(store), 1, Deadlines(36.0, 30), "run", datetime(2017, 1, 1, tzinfo=UTC))
for closed in closer.backfill(StacSource.named(config), date.fromisoformat(last), lambda day, answer: None):
    print(closed.inputs.day, flush=True)
"""


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


class Counting(Proxy):
    """Notes the span of each search, and kills the process that makes one that begins late."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[tuple[date, date]] = []
        self.process: subprocess.Popen[str] | None = None
        self.kill_at: date | None = None

    def passed_on(self, method: str, path: str, body: bytes | None) -> Answer:
        asked = json.loads(body) if body else {}
        if "datetime" in asked:
            begin, end = (datetime.fromisoformat(text) for text in asked["datetime"].split("/"))
            # An hour of slack on both sides, and the last day's end; the region's solar time is an hour ahead of UTC.
            first, last = (begin + timedelta(hours=2)).date(), (end - timedelta(hours=2)).date()
            if not self.spans or self.spans[-1] != (first, last):  # further pages
                self.spans.append((first, last))
            if self.kill_at and first >= self.kill_at and self.process:
                self.kill_at = None
                os.kill(self.process.pid, signal.SIGKILL)
        return super().passed_on(method, path, body)


@pytest.fixture
def world(tmp_path: Path, sqlite_engine: Engine) -> Iterator[tuple[Counting, list[str]]]:
    files, counting = Files(tmp_path / "files"), Counting()
    with write_transaction(sqlite_engine) as connection:
        grid = replace(GRID, width=COLUMNS)
        registry.add_region(connection, "North", AOI.bounds, grid, FIRST, LAST, CURRENT, NOW - timedelta(days=9))
    with files.served() as base:
        names = {f"S2B_T33TVL_{day:%Y%m%d}_L2A": f"{day}T10:12:43Z" for day in SCENES}
        items = [item(files.folder, base, name, sensed=sensed) for name, sensed in names.items()]
        with api(tmp_path / "api", items, f"127.0.0.1:{counting.port}") as upstream, counting.served() as url:
            counting.upstream = upstream
            (tmp_path / "stac.toml").write_text(
                f'endpoint = "{url}"\n[[collections]]\nid = "s2"\nmask = {{asset = "SCL", kind = "scl"}}\n'
                '[collections.assets]\nB04 = "red"\nB08 = "nir"\nB11 = "swir16"\n[requests]\npage_size = 2\n'
            )
            database = sqlite_engine.url.render_as_string(hide_password=False)
            yield counting, [database, str(tmp_path / "store"), str(tmp_path / "stac.toml"), str(FIRST), str(LAST)]


def run(counting: Counting, script: str, arguments: list[str]) -> tuple[list[date], int]:
    """The days that a process of its own told, and how it ended."""
    counting.spans.clear()
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
    ) as counting.process:
        out, said = counting.process.communicate(timeout=120)
    assert counting.process.returncode in (0, -signal.SIGKILL), said
    return [date.fromisoformat(line) for line in out.split()], counting.process.returncode


def answered(engine: Engine) -> list[date]:
    with read_transaction(engine) as connection:
        days = ledger.region_days(connection, 1, FIRST, LAST)
    return sorted(day for day, row in days.items() if row.answered_at)


@pytest.mark.slow
@pytest.mark.parametrize("script", [RESCAN, BACKFILL], ids=["rescan", "backfill"])
def test_a_killed_run_asks_for_the_rest_only(
    script: str, world: tuple[Counting, list[str]], sqlite_engine: Engine
) -> None:
    counting, arguments = world
    counting.kill_at = date(2016, 2, 15)

    _, code = run(counting, script, arguments)
    before, spans_before = answered(sqlite_engine), list(counting.spans)
    told, ended = run(counting, script, arguments)

    assert (code, ended) == (-signal.SIGKILL, 0)
    assert before[0] == FIRST
    assert date(2016, 2, 10) <= before[-1] < LAST
    assert len(before) == (before[-1] - FIRST).days + 1  # in order, without gaps
    assert counting.spans, "the rest is asked for"
    assert min(first for first, _ in counting.spans) > before[-1]  # nothing that was answered is asked for again
    assert min(told) > before[-1] - timedelta(days=1)
    assert max(last for _, last in spans_before + counting.spans) == LAST
    assert len(answered(sqlite_engine)) == (LAST - FIRST).days + 1
    with read_transaction(sqlite_engine) as connection:
        assert sorted(ledger.current_scenes(connection, 1, FIRST, LAST)) == SCENES
