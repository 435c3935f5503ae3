"""A receiver of webhooks, and a log of corrections to tell it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pyarrow as pa
from satcommon.db import ledger, registry
from satcommon.db import webhooks as hooks
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import PublicationKind
from satcommon.db.publications import NewPublication, publish
from satcommon.geo.grid import Bounds, Grid
from satcommon.publication.changes import Selection, changes
from satcommon.publication.cursor import marks_of, newest
from satcommon.publication.objects import PATCH, ResultObjects
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.result_rows import SCHEMA
from satcommon.webhooks.event import _changes
from sqlalchemy import Engine

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DAYS = [date(2026, 5, 1), date(2026, 5, 2)]
FIELDS = ["f1", "f2", "f3"]
REGIONS = ["A", "B"]

Answer = int | None
"""Of a receiver: a status; or None, to hang up without a word."""


@dataclass
class Receiver:
    """What came, whether it was taken or not.

    Args:
        url: of the receiver.
        answer: decides by the number of the request.
        came: headers and body of each request.
        taken: events of those that were answered with 2xx, or hung up on after they were taken.
    """

    url: str
    answer: Callable[[int], Answer]
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> list[dict[str, Any]]:
        """The events that were taken, each the first time."""
        return list({event["id"]: event for event in reversed(self.taken)}.values())[::-1]

    def changes(self, region: str) -> list[dict[str, Any]]:
        """The changes of a region, in the order in which they were first taken."""
        first: dict[str, dict[str, Any]] = {}
        for event in self.taken:
            first.setdefault(event["id"], event)
        data = [event["data"] for event in first.values()]
        return [change for each in data if each["region"] == region for change in each.get("changes", [])]


@contextmanager
def receiving(answer: Callable[[int], Answer] = lambda _: 204) -> Iterator[Receiver]:
    """A receiver on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = len(receiver.came)
            receiver.came.append((dict(self.headers), body))
            status = receiver.answer(number)
            if status is None or 200 <= status < 300:
                receiver.taken.append(json.loads(body))
            if status is not None:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook?token=hidden", answer)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


class Log:
    """The ledger and store of two regions with two days of three fields, and patches to them."""

    def __init__(self, engine: Engine, store: Any) -> None:
        self.engine, self.objects, self.now, self.patches = engine, ResultObjects(store), NOW, 0

    def begin(self) -> None:
        with write_transaction(self.engine) as connection:
            for name in REGIONS:
                bounds = Bounds(14.0, 45.0, 14.1, 45.1)
                registry.add_region(
                    connection, name, bounds, Grid.utm(bounds, 500.0), DAYS[0], None, CURRENT, NOW - timedelta(days=40)
                )
        for bbox_id, name in enumerate(REGIONS, 1):
            for day in DAYS:
                stored = self.objects.put_day(bbox_id, day, self._rows(name, [day], 0.5, SCHEMA), self.now)
                with write_transaction(self.engine) as connection:
                    ledger.set_day(connection, bbox_id, day, closed_at=self.now)
                    new = NewPublication(PublicationKind.DAY, stored, {day: len(FIELDS)}, len(FIELDS), "", "closed")
                    publish(connection, bbox_id, new, self.now)

    def correct(self, region: str, value: float | None = None) -> int:
        """Publish a patch that changes every row; gives its sequence."""
        self.patches += 1
        bbox_id = REGIONS.index(region) + 1
        value = 0.5 + self.patches / 1000 if value is None else value
        patch = self._rows(region, DAYS, value, PATCH)
        stored = self.objects.put_patch(bbox_id, patch, self.now)
        counts = dict.fromkeys(DAYS, len(FIELDS))
        new = NewPublication(PublicationKind.PATCH, stored, counts, patch.num_rows, f"run {self.patches}", "some")
        with write_transaction(self.engine) as connection:
            return publish(connection, bbox_id, new, self.now)

    def add_hook(self, name: str, url: str, **more: Any) -> None:
        """A webhook of all regions, from now on."""
        given = {"regions": None, "columns": (), "threshold": None, "first_publications": False, **more}
        with write_transaction(self.engine) as connection:
            at = newest(connection)
            marks = marks_of(connection, at)
            hook = hooks.NewWebhook(name, url, SECRET, **given)
            hooks.add(connection, hook, {each: (at[each], marks[each]) for each in at}, self.now)

    def changes(self, region: str, since: int = len(DAYS)) -> list[dict[str, Any]]:
        """What `satctl changes` lists of a region after its first days."""
        with read_transaction(self.engine) as connection:
            of = registry.region(connection, region)
            until = newest(connection)[of.bbox_id]
        tables = changes(self.engine, self.objects, of, since, until, Selection())
        return [change for table in tables for change in _changes(table)]

    @staticmethod
    def _rows(region: str, days: list[date], value: float, schema: pa.Schema) -> pa.Table:
        same = {"region": region, "status": "clear", "cause": "revised_scene", "withdrawn": False}
        numbers = {"ndvi_mean": value, "ndmi_mean": value / 2, "cell_count": round(value * 1000)}
        rows = [{**same, **numbers, "day": day, "field": name} for day in days for name in FIELDS]
        return pa.Table.from_pylist(rows, schema=schema)
