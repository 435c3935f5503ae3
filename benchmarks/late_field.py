"""One late field against reprocessing its region: time, scene bytes and changed rows, as ratios of one run.

    python benchmarks/late_field.py [--fields 10000] [--days 90 365] [--size 10980]

A region of a whole tile is closed day by day (that is what reprocessing it costs, fetching aside), with fields all over
it; then one field is entered for the first time, and replayed. Of four scenes each day has one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import world as worlds
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.fields import NewField, register_fields
from satcommon.db.models import PublicationKind
from satcommon.db.publications import publications
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import replay
from satcommon.stats.observation import ObservationCost

SCENES = 4  # of six bands, each of 770 MB for a whole tile


def main() -> None:
    """Measure, and print a table in Markdown for each number of days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=10_000)
    parser.add_argument("--days", type=int, nargs="+", default=[90, 365])
    parser.add_argument("--size", type=int, default=10_980, help="cells of a side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        world = worlds.make(Path(room) / "world", options.size, options.fields, 1.0, 6, max(options.days), SCENES)
        _measure(world, sorted(options.days))


def _measure(world: worlds.World, spans: list[int]) -> None:
    engine, store = world.engine(), world.store
    shapes = world.degrees(worlds.fields_of(len(spans), world.grid.width, 1.0, seed=2))
    closer = Closer(engine, store, 1, worlds.DEADLINES, "benchmark", worlds.NOW)
    whole, rows, whole_seconds = ObservationCost(), 0, 0.0
    for number, days in enumerate(spans):
        last = worlds.FIRST + timedelta(days=days - 1)
        started = time.perf_counter()
        for closed in closer.through(last):
            whole.add(closed.computed.work)
            rows += closed.computed.rows.num_rows
        whole_seconds += time.perf_counter() - started

        late = NewField(f"late-{number}", f"Late {number}", shapes[number], worlds.FIRST)
        with write_transaction(engine) as connection:
            register_fields(connection, [late], worlds.NOW)
        one, changed = ObservationCost(), 0
        started = time.perf_counter()
        for chunk in replay(Processor(engine, store), engine, 1, worlds.DEADLINES, "benchmark", worlds.NOW):
            one.add(chunk.computed.work)
            changed += chunk.computed.changed_rows
        one_seconds = time.perf_counter() - started
        put, whole_put = (_bytes_put(world, kind) for kind in (PublicationKind.PATCH, PublicationKind.DAY))

        print(
            f"\none late field x {days} days, in a region of {len(world.shapes):,} ({put / changed:,.0f} bytes a day)\n"
        )
        print("| | the region | the late field | ratio |\n|---|---|---|---|")
        for name, a, b in (
            ("seconds", whole_seconds, one_seconds),
            ("scene bytes read", whole.scene_bytes, one.scene_bytes),
            ("cells gathered", whole.cells, one.cells),
            ("changed rows", rows, changed),
            ("bytes put", whole_put, put),
        ):
            print(f"| {name} | {a:,.1f} | {b:,.1f} | {a / b:,.0f} |", flush=True)


def _bytes_put(world: worlds.World, kind: PublicationKind) -> int:
    """The size of all objects of a kind of publication."""
    with read_transaction(world.engine()) as connection:
        keys = {p.object_key for p in publications(connection, 1) if p.kind is kind and p.object_key}
    return sum((world.folder / "store" / key).stat().st_size for key in keys)


if __name__ == "__main__":
    main()
