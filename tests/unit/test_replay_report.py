from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from PIL import Image
from satcommon.db import fields, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import write_transaction
from satcommon.db.fields import NewField
from satcommon.geo.grid import Bounds, Grid
from satcommon.pipeline.close_day import Processor
from satcommon.pipeline.close_region import Closer
from satcommon.pipeline.replay import PICTURED_FIELDS, ReplayResult, replay
from satcommon.sources.simulated import SimulatedSource
from satcommon.storage.object_store import ObjectStore
from satfields_reprocessing.report import FIELDS, Changes
from shapely.geometry import box
from sqlalchemy import Engine

FIRST, NOW = date(2026, 5, 1), datetime(2026, 6, 1, tzinfo=UTC)
CHOSEN = "field in the picture"


def rows(ndvi_e4: dict[str, int | None]) -> pa.Table:
    columns = {"field": list(ndvi_e4), "ndvi_smoothed_e4": list(ndvi_e4.values())}
    return pa.table(columns, pa.schema([("field", pa.string()), ("ndvi_smoothed_e4", pa.int32())]))


def chunk(*days: tuple[dict[str, int | None], dict[str, int | None]]) -> ReplayResult:
    """Days from the first one on, each with the fields' values before and after."""
    kept = enumerate((rows(before), rows(after)) for before, after in days)
    return ReplayResult(pictured={FIRST + timedelta(days=n): both for n, both in kept})


def reported(*chunks: ReplayResult) -> dict[str, object]:
    changes = Changes()
    for one in chunks:
        changes.add(one)
    return changes.metadata("A")


def picture(metadata: dict[str, object]) -> Image.Image:
    markdown = metadata["before and after"].value  # type: ignore[attr-defined]
    start, _, encoded = markdown.partition(";base64,")
    assert start == "![NDVI before and after](data:image/png"
    return Image.open(BytesIO(b64decode(encoded.removesuffix(")"), validate=True)))


def test_the_field_with_the_most_changed_rows_is_shown_and_of_equals_the_first() -> None:
    one = chunk(({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}), ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2}))
    other = chunk(({"c": 2}, {"c": 3}), ({}, {"c": 4}))

    assert reported(one)[CHOSEN] == "b"
    assert reported(one, other)[CHOSEN] == "b"  # as many as of c
    assert picture(reported(one)).size == (640, 320)


def test_a_field_that_had_no_rows_is_shown_too() -> None:
    assert picture(reported(chunk(({}, {"late": None}), ({}, {"late": 4000})))).size == (640, 320)


def test_what_a_later_chunk_computes_again_is_compared_with_what_the_run_found() -> None:
    whole, parts = (
        reported(*chunks)
        for chunks in (
            [chunk(({"a": 1000}, {"a": 9000}))],
            [chunk(({"a": 1000}, {"a": 5})), chunk(({"a": 5}, {"a": 9000}))],
        )
    )

    assert picture(whole).tobytes() == picture(parts).tobytes()


def test_where_nothing_changed_there_is_no_picture() -> None:
    assert reported() == {}
    assert reported(chunk(({"a": 1}, {"a": 1}))) == {}


def test_a_picture_that_fails_says_so_in_its_place() -> None:
    broken = ReplayResult(pictured={FIRST: (rows({}), pa.table({"field": ["a"]}))})

    assert reported(broken, chunk(({"a": 1}, {"a": 2}))) == {
        "before and after": "no picture: KeyError: 'ndvi_smoothed_e4'"
    }


def test_memory_is_spared_where_a_replay_concerns_very_many_fields() -> None:
    many = [chunk(({}, {f"{n}-{i}": 1 for i in range(40)})) for n in range(3)]
    changes = Changes()

    for one in many:
        changes.add(one)

    assert len(changes._fields) == FIELDS


def test_a_replay_keeps_the_rows_before_and_after_of_its_first_fields_only(
    sqlite_engine: Engine, store_folder: Path
) -> None:
    bounds = Bounds(14.0, 45.0, 14.05, 45.05)
    store, parcel = ObjectStore(str(store_folder)), box(14.01, 45.01, 14.03, 45.03)
    names = [f"f{n:03}" for n in range(PICTURED_FIELDS + 5)]
    with write_transaction(sqlite_engine) as connection:
        registry.add_region(connection, "A", bounds, Grid.utm(bounds, 400.0), FIRST, None, "1", NOW)
        fields.register_fields(connection, [NewField(names[0], "", parcel, FIRST)], NOW)
    closer = Closer(sqlite_engine, store, 1, Deadlines(36.0, 30), "run", NOW)
    assert len(list(closer.backfill(SimulatedSource(cycle_days=1), FIRST, lambda *_: None))) == 1
    with write_transaction(sqlite_engine) as connection:
        fields.revise_geometry(connection, names[0], parcel.buffer(-0.001), FIRST, NOW)
        fields.register_fields(connection, [NewField(name, "", parcel, FIRST) for name in names[1:]], NOW)

    (done,) = replay(Processor(sqlite_engine, store), sqlite_engine, 1, Deadlines(36.0, 30), "run", NOW)

    before, after = done.computed.pictured[FIRST]
    assert len(done.computed.steps) == len(names)
    assert before["field"].to_pylist() == names[:1]
    assert after["field"].to_pylist() == names[:PICTURED_FIELDS]
    assert before["geometry_digest"][0] != after["geometry_digest"][0]
