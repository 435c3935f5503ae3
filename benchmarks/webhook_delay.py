"""From the commit of a publication to the answer of a webhook's receiver, through the whole of Dagster.

    python benchmarks/webhook_delay.py [--commits 40] [--gap 6] [--quick]

`dagster dev` runs as `satctl up` starts it, with sensors at their default interval; a receiver on this machine notes
when it answered. Publications of made-up rows are committed here, at random times, each with the event that tells
Dagster of the asset, as a run's last step does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import shapely
from dagster import AssetMaterialization, DagsterInstance
from satcommon.contract import FIELD_METRICS
from satcommon.db import ledger
from satcommon.db.engine import engine_of, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.db.models import PublicationKind
from satcommon.db.publications import NewPublication, publish
from satcommon.db.registry import add_region
from satcommon.db.webhooks import NewWebhook, add
from satcommon.environment import environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.objects import ResultObjects
from satcommon.settings import settings
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.result_rows import OPTIONAL, SCHEMA
from satcommon.webhooks.signature import new_secret
from satctl.local.laptop import free_port, running
from satctl.local.migrations import upgrade

FIRST = date(2026, 1, 1)
UNWATCHED = date(2150, 1, 1)  # the regions' first monitored day: nothing but deliveries is asked of Dagster
REGIONS = 4
LONGEST_SECONDS = 400.0  # a schedule tells every five minutes what no sensor saw


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=40)
    parser.add_argument("--gap", type=float, default=6.0, help="mean seconds between two commits")
    parser.add_argument("--quick", action="store_true", help="that it runs; its figures tell nothing")
    options = parser.parse_args()
    if options.quick:
        options.commits, options.gap = 3, 1.0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name, "home")
        home.mkdir()
        os.environ.update(
            SATFIELDS_HOME=str(home), SATFIELDS_SCENE_SOURCE="simulated", SATFIELDS_WEBHOOK_PRIVATE="true"
        )
        settings.cache_clear()
        delays = _measured(home, options.commits, options.gap)
    if len(delays) < options.commits:
        raise SystemExit(f"{len(delays)} of {options.commits} publications were told in {LONGEST_SECONDS:.0f} s")
    print(f"sensors every {settings().sensor_seconds} s, {len(delays)} commits, load {os.getloadavg()[0]:.1f}\n")
    print("| commit to the receiver's answer | s |\n|---|---|")
    for label, share in (("p50", 0.5), ("p95", 0.95), ("longest", 1.0)):
        print(f"| {label} | {sorted(delays)[min(len(delays) - 1, int(len(delays) * share))]:.1f} |")


class _Receiver(ThreadingHTTPServer):
    """Notes how long after its commit each publication came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.delays: dict[tuple[str, int], float] = {}


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        assert isinstance(self.server, _Receiver)
        told = event["data"]["region"], event["data"]["publication"]
        delay = datetime.now(UTC) - datetime.fromisoformat(event["time"])
        self.server.delays.setdefault(told, delay.total_seconds())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """Nothing."""


def _measured(home: Path, commits: int, gap: float) -> Sequence[float]:
    engine = engine_of(settings())
    upgrade(engine)
    objects = ResultObjects(environment().store())
    receiver = _Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with write_transaction(engine) as connection:
        for number in range(REGIONS):
            bounds = Bounds(number, 50.0, number + 0.1, 50.1)
            add_region(connection, f"R{number}", bounds, Grid.utm(bounds, 100.0), UNWATCHED, None, CURRENT, _now())
        url = f"http://127.0.0.1:{receiver.server_port}/"
        new = NewWebhook("delay", url, new_secret(), None, ["ndvi_mean"], None, first_publications=True)
        fields = [NewField(f"f{n}", f"f{n}", shapely.box(n, 50.02, n + 0.001, 50.021), FIRST) for n in range(REGIONS)]
        register_fields(connection, fields, _now())
        add(connection, new, {}, _now())
    chance = random.Random(1)
    with running(home, free_port(), home / "dagster.log", {}):
        with DagsterInstance.from_config(str(home / "dagster")) as instance:
            for n in range(commits):
                number, day = n % REGIONS, FIRST + timedelta(days=n // REGIONS)
                stored = objects.put_day(number + 1, day, _rows(number, day), _now())
                with write_transaction(engine) as connection:
                    ledger.lock_region(connection, number + 1)
                    ledger.set_day(connection, number + 1, day, closed_at=_now())
                    new_one = NewPublication(PublicationKind.DAY, stored, {day: 1}, 1, "benchmark", "closed")
                    publish(connection, number + 1, new_one, _now())
                instance.report_runless_asset_event(AssetMaterialization(FIELD_METRICS))
                time.sleep(chance.expovariate(1 / gap))
        end = time.monotonic() + LONGEST_SECONDS
        while len(receiver.delays) < commits and time.monotonic() < end:
            time.sleep(0.5)
    engine.dispose()
    return list(receiver.delays.values())


def _rows(number: int, day: date) -> pa.Table:
    row = {"field": f"f{number}", "region": f"R{number}", "day": day, "planting_date": FIRST, "status": "clear"}
    values = {"item_ids": "[]"} | row
    columns = [_column(each, values.get(each.name)) for each in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def _column(field: pa.Field, value: object) -> pa.Array:
    if value is not None or field.name in OPTIONAL:
        return pa.array([value], field.type)
    if pa.types.is_list(field.type):
        return pa.array([[]], field.type)
    if pa.types.is_string(field.type):
        return pa.array([""], field.type)
    return pa.array([0.5 if pa.types.is_floating(field.type) else 0]).cast(field.type)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
