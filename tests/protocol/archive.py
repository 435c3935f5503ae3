"""What was published at each moment, kept in the test's own hands, to be read again from the publication log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from satcommon.audit.garbage import collect_garbage, remove_superseded, stored_objects, unreferenced_objects
from satcommon.db import answers
from satcommon.db.engine import read_transaction
from satcommon.db.publications import position_at
from satcommon.errors import InputError
from satcommon.publication.changes import Selection, changes, value_of
from satcommon.publication.cursor import decode, newest
from satcommon.publication.cursor import encode as encode_cursor
from satcommon.publication.objects import ResultObjects, digest, encode
from satcommon.publication.reader import first_misses, published_days
from satcommon.stats.result_rows import SCHEMA, VALUES
from truth import REGIONS, Row
from world import World


@dataclass(frozen=True)
class Moment:
    """What was published of a region, and what was missed and refused of it."""

    rows: dict[date, dict[str, Row]]
    misses: dict[str, date]
    refused: set[date]


@dataclass
class Archive:
    """A world's moments: of several at one instant, the last."""

    world: World
    moments: dict[tuple[str, datetime], Moment] = field(default_factory=dict)
    horizon: datetime | None = None  # what was superseded before it may be gone

    def keep(self) -> None:
        """Keep what is published now."""
        for region in REGIONS:
            misses: dict[str, date] = {}
            for name, on in self.world.misses(region):
                misses[name] = min(on, misses.get(name, date.max))
            refused = set(self.world.regions[region].refused)
            self.moments[region, self.world.now] = Moment(self.world.published(region), misses, refused)

    def collect(self, horizon: datetime) -> None:
        """Collect garbage as if a day had passed, while no run is under way; give up what was superseded before."""
        self.horizon = max(horizon, self.horizon or horizon)
        remove_superseded(self.world.engine, horizon, self.world.now, dry_run=False)
        later = datetime.now(UTC) + timedelta(days=2)
        collect_garbage(
            self.world.store,
            unreferenced_objects(self.world.engine, stored_objects(self.world.store), later),
            lambda: None,
        )

    def check(self, most: int) -> None:
        """Each of some moments is read from the log as it was, byte for byte, with its finality."""
        moments = sorted(self.moments.items(), key=lambda each: each[0][1])
        for (region, instant), moment in moments[:: max(1, len(moments) // most)]:
            self._check(region, instant, moment)

    def _check(self, region: str, instant: datetime, moment: Moment) -> None:
        where, bbox_id = f"{region} as of {instant}", self.world.bbox_id(region)
        objects, oracle = ResultObjects(self.world.store), self.world.laboratory.oracle
        with read_transaction(self.world.engine) as connection:
            row = self.world.region_row(region)
            assert first_misses(connection, row, None, instant) == moment.misses, f"{where}: other misses"
            refused = set(answers.refusals(connection, bbox_id, date.min, date.max, instant))
            assert refused == moment.refused, f"{where}: other refusals"
            try:
                days = published_days(
                    connection, bbox_id, date.min, date.max, position_at(connection, bbox_id, instant)
                )
            except InputError:
                assert self.horizon is not None, f"{where}: a publication is gone"
                assert instant < self.horizon, f"{where}: a publication is gone that is needed since {self.horizon}"
                return
        assert set(days.layers) == set(moment.rows), f"{where}: other days"
        for on, rows in moment.rows.items():
            read = days.rows(objects, on)
            assert {r["field"]: r for r in read.to_pylist()} == rows, f"{where} {on}: other rows"
            assert oracle.digest(rows) == digest(encode(read)), f"{where} {on}: other bytes"

    def check_changes(self) -> None:
        """Folding all changes from the empty state gives what is published now."""
        if self.horizon is not None:
            return
        reader = Reader(self.world)
        reader.reads()
        for region in REGIONS:
            reader.follower.agrees(region, self.world.published(region))


@dataclass
class Follower:
    """A reader of changes, who folds them into rows."""

    rows: dict[tuple[str, date, str], dict[str, Any]] = field(default_factory=dict)

    def take(self, changed: list[dict[str, Any]]) -> None:
        """Fold changes; each one's value before is the one that is known."""
        for each in changed:
            row = self.rows.setdefault((each["region"], each["day"], each["field"]), {})
            before, after = (value_of(each["column"], each[name]) for name in ("before", "after"))
            assert row.get(each["column"]) == before, f"another value before: {row.get(each['column'])}, {each}"
            if after is None:
                del row[each["column"]]
            else:
                row[each["column"]] = after

    def agrees(self, region: str, published: dict[date, dict[str, Row]]) -> None:
        """The folded rows are the published ones."""
        folded = {key[1:]: row for key, row in self.rows.items() if key[0] == region and row}
        true = {
            (on, name): {c: _plain(c, row[c]) for c in VALUES if row[c] is not None}
            for on, rows in published.items()
            for name, row in rows.items()
        }
        assert folded == true, f"{region}: folded changes are not what is published"


@dataclass
class Reader:
    """One who reads changes from cursor to cursor, while others commit."""

    world: World
    cursor: str = ""
    times: int = 0
    follower: Follower = field(default_factory=Follower)

    def reads(self) -> None:
        """Read what came since the last time."""
        with read_transaction(self.world.engine) as connection:
            since = decode(connection, self.cursor) if self.cursor else {}
            until = newest(connection)
            self.cursor = encode_cursor(connection, until)
        for region in REGIONS:
            row = self.world.region_row(region)
            span = since.get(row.bbox_id, 0), until.get(row.bbox_id, 0)
            objects = ResultObjects(self.world.store)
            for table in changes(self.world.engine, objects, row, *span, Selection(new=True)):
                self.follower.take(table.to_pylist())
        self.times += 1


def _plain(column: str, value: Any) -> Any:
    """A value in the form of a change's."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    if SCHEMA.field(column).type == "string":
        return value
    return json.loads(json.dumps(value))
