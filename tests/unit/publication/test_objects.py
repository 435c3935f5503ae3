"""Result objects: what is put is read, whole or in parts, and nothing that is not what was put is ever read."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError
from satcommon.db.models import PublicationKind
from satcommon.db.publications import Layer, StoredObject
from satcommon.errors import DamagedObjectError, ObjectMissingError, StoreError
from satcommon.publication import objects
from satcommon.publication.objects import CAUSE, PATCH, WITHDRAWN, ResultObjects
from satcommon.stats import result_rows
from satcommon.stats.result_rows import OPTIONAL, QUANTILES, SCHEMA, completed
from satcommon.storage.object_store import ObjectStore

NOW = datetime(2026, 6, 1, 8, 30, tzinfo=UTC)
MANY = 12_000  # three row groups
DAY = date(2026, 5, 1)


def rows(names: list[str], **columns: list[object]) -> pa.Table:
    """Rows of fields; what is not told is null."""
    told = {"field": names, "region": ["A"] * len(names), "day": [DAY] * len(names)} | columns
    return pa.table(
        [
            pa.array(told[column.name], column.type) if column.name in told else pa.nulls(len(names), column.type)
            for column in SCHEMA
        ],
        schema=SCHEMA,
    )


def some_rows(count: int) -> pa.Table:
    random = np.random.default_rng(count)
    return rows(
        [f"f{i:03}" for i in range(count)],
        ndvi_mean=[None if i % 3 == 0 else float(random.random()) for i in range(count)],
        state_days=[[738000 + i] * 8 for i in range(count)],
        state_ndvi_e4=[list(range(8)) for _ in range(count)],
        ndvi_integral_e4=list(range(count)),
        sensed_at=[datetime(2026, 5, 1, 10, 30, 0, 123_000, UTC)] * count,
    )


def day_layer(stored: StoredObject, sequence: int = 3) -> Layer:
    told = (stored.key, stored.digest, "closed", "run", NOW, None)
    return Layer(7, DAY, sequence, PublicationKind.DAY, *told)


def patch_layer(stored: StoredObject, day: date = DAY) -> Layer:
    return Layer(7, day, 4, PublicationKind.PATCH, stored.key, stored.digest, "late_field", "run", NOW, None)


def a_patch(days: int, fields: int) -> pa.Table:
    """Rows and marks of some days, in no order."""
    parts = []
    for n in range(days):
        table = some_rows(fields)
        at = SCHEMA.get_field_index("day")
        on = pa.array([DAY + timedelta(days=n)] * fields, pa.date32())
        table = table.set_column(at, SCHEMA.field(at), on)
        causes = pa.array([("late_field", "carry")[(i + n) % 2] for i in range(fields)])
        marks = pa.array([(i + n) % 5 == 4 for i in range(fields)])
        parts.append(table.append_column(CAUSE, causes).append_column(WITHDRAWN, marks))
    joined = pa.concat_tables(parts)
    return joined.take(pa.array(np.random.default_rng(1).permutation(joined.num_rows)))


def whole(rows: pa.Table) -> pa.Table:
    """Rows with the optional columns that none has."""
    return completed(rows, PATCH.names if CAUSE in rows.column_names else SCHEMA.names)


def replaced(store: ObjectStore, key: str, data: bytes) -> None:
    """Other bytes under a key; the store itself overwrites nothing."""
    store.delete(key)
    store.put(key, data)


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


@cache
def many_rows() -> pa.Table:
    return some_rows(MANY).set_column(
        SCHEMA.get_field_index("field"), SCHEMA.field("field"), pa.array([f"f{i:05}" for i in range(MANY)])
    )


@pytest.fixture
def store(store_url: str) -> ObjectStore:
    return ObjectStore(store_url)


# --- canonical bytes -------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(count=st.integers(0, 30), order=st.randoms(use_true_random=False), cut=st.integers(0, 30))
def test_the_bytes_do_not_depend_on_the_order_of_rows_nor_on_their_chunks(count: int, order: object, cut: int) -> None:
    table = some_rows(count)
    shuffled = list(range(count))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    mixed = table.take(pa.array(shuffled, pa.int64()))
    chunked = pa.concat_tables([mixed.slice(0, cut), mixed.slice(cut)])

    assert objects.encode(chunked) == objects.encode(table)


def test_names_of_any_script_are_sorted_the_same_everywhere() -> None:
    names = ["z", "Z", "é", "e", "10", "9", "日", "", "a b"]

    back = objects.decode(objects.encode(rows(names)))["field"].to_pylist()

    assert back == sorted(names, key=str.encode)


def test_an_object_without_rows_has_the_schema() -> None:
    assert objects.decode(objects.encode(result_rows.empty())).schema.equals(SCHEMA)


# --- a day's object --------------------------------------------------------------------------------------------------


def test_rows_are_read_as_they_were_written_sorted_by_field(store: ObjectStore) -> None:
    table, stored = some_rows(12), ResultObjects(store)

    layer = day_layer(stored.put_day(7, DAY, table.take(pa.array(range(11, -1, -1))), NOW))

    assert whole(stored.read_day(layer)).equals(table)
    assert whole(stored.read_day(layer)).schema.equals(SCHEMA)
    assert stored.read_day(layer).schema.metadata is None
    assert stored.read_day(layer, ["field", "state_days"]).equals(table.select(["field", "state_days"]))
    assert whole(stored.read_day(layer, None, ["f007", "f001", "nobody"])).equals(
        result_rows.only(table, ["f001", "f007"])
    )
    assert stored.read_day(layer, ["field", "ndvi_mean"], ["f001"]).column_names == ["field", "ndvi_mean"]
    assert stored.read_day(layer, None, []).num_rows == 0


def test_a_day_without_rows_is_read_with_an_object_and_without(store: ObjectStore) -> None:
    stored = ResultObjects(store)
    empty = stored.put_day(7, DAY, result_rows.empty(), NOW)

    for layer in (day_layer(empty), day_layer(empty)._replace(object_key=None, object_digest=None)):
        assert whole(stored.read_day(layer)).schema.equals(SCHEMA)
        assert stored.read_day(layer).num_rows == stored.read_day(layer, ["field"], ["f001"]).num_rows == 0
        assert stored.read_day(layer, ["field", "status"]).column_names == ["field", "status"]
        stored.check(layer)


def test_what_is_stored_is_told_with_its_time_under_a_key_of_region_day_and_content(store: ObjectStore) -> None:
    stored = ResultObjects(store)

    put = [stored.put_day(7, DAY, some_rows(3), NOW) for _ in range(5)]

    assert len({one.key for one in put}) == 5
    assert {(one.digest, one.at) for one in put} == {(objects.digest(store.get(put[0].key)), NOW)}
    for one in put:
        assert one.key.startswith("results/7/2026/05/01-")
        assert one.key.endswith(".parquet")
        assert one.digest[:16] in one.key


def test_a_digest_names_content() -> None:
    one, other = objects.encode(some_rows(3)), objects.encode(some_rows(4))

    assert objects.digest(one) == objects.digest(bytes(one))
    assert objects.digest(one) != objects.digest(other)


@pytest.mark.parametrize("name", ["f00000", "f04999", "f05000", "f07311", "f11999", "f12000", "e", "g"])
def test_one_field_of_many_is_read_without_the_other_row_groups(
    name: str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = ResultObjects(store)
    layer = day_layer(stored.put_day(7, DAY, many_rows(), NOW))
    groups: list[int] = []
    read = pq.ParquetFile.read_row_groups
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_groups", lambda file, some, **how: groups.extend(some) or read(file, some, **how)
    )

    found = stored.read_day(layer, None, [name])

    assert found.equals(result_rows.only(stored.read_day(layer), [name]))
    assert whole(found).equals(result_rows.only(many_rows(), [name]))
    here = name <= f"f{MANY - 1:05}" and name[0] == "f"
    assert groups == ([int(name[1:]) // 5000] if here else [])
    assert found.num_rows == here


def test_one_field_of_many_in_a_bucket_is_fetched_without_the_other_row_groups(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    names = ["ndvi_mean", "ndvi_stdev", "ndvi_min", "ndvi_max", "ndmi_mean"]
    table = rows([f"f{i:05}" for i in range(MANY)], **{name: list(random.random(MANY)) for name in names})
    stored = ResultObjects(ObjectStore(s3_url))
    layer = day_layer(stored.put_day(7, DAY, table, NOW))
    size, fetched = len(stored.store.get(str(layer.object_key))), []
    get, get_ranges = obstore.get, obstore.get_ranges

    def got(store: object, key: str, **how: Any) -> Any:
        start, end = how["options"]["range"]
        fetched.append(end - start)
        return get(store, key, **how)

    def got_ranges(store: object, key: str, **how: Any) -> Any:
        fetched.append(sum(how["ends"]) - sum(how["starts"]))
        return get_ranges(store, key, **how)

    monkeypatch.setattr(obstore, "get", got)
    monkeypatch.setattr(obstore, "get_ranges", got_ranges)

    found = stored.read_day(layer, None, ["f11000"])

    assert whole(found).equals(result_rows.only(table, ["f11000"]))
    assert sum(fetched) < size / 2


@settings(max_examples=25)
@given(
    names=st.lists(
        st.sampled_from([f"f{i:05}" for i in (0, 1, 4999, 5000, 9999, 10_000, 11_999)]) | st.text(max_size=3)
    ),
    more=st.integers(0, 200),
)
def test_some_fields_of_many_are_those_of_the_whole(
    names: list[str], more: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored = ResultObjects(ObjectStore(str(tmp_path_factory.mktemp("store"))))
    layer = day_layer(stored.put_day(7, DAY, many_rows(), NOW))
    names += [f"f{5000 + 7 * i:05}" for i in range(more)]

    found = stored.read_day(layer, ["field", "ndvi_mean"], names)

    assert found.equals(result_rows.only(many_rows().select(["field", "ndvi_mean"]), names))


def test_an_object_under_a_key_that_tells_no_footer_is_read(store: ObjectStore) -> None:
    stored = ResultObjects(store)
    data = objects.encode(some_rows(12))
    for key in (f"results/7/2026/05/01-{'0' * 32}.parquet", f"results/7/2026/05/01-{'0' * 32}-{'1' * 16}.parquet"):
        store.put(key, data)  # as they were
        layer = day_layer(StoredObject(key, objects.digest(data), NOW))

        assert whole(stored.read_day(layer)).equals(some_rows(12))
        assert whole(stored.read_day(layer, None, ["f003"])).equals(result_rows.only(some_rows(12), ["f003"]))
        replaced(store, key, flipped(data, len(data) // 2))
        for fields in (None, ["f003"]):
            with pytest.raises(DamagedObjectError):
                stored.read_day(layer, None, fields)


# --- what is not what was put ----------------------------------------------------------------------------------------


def assert_damaged(read: Callable[[], object], store: ObjectStore, layer: Layer) -> None:
    with pytest.raises(DamagedObjectError) as error:
        read()
    assert str(error.value) == (
        f"{layer.day}: the object {layer.object_key} of {layer.name} in {store.url} (SATFIELDS_STORE) is not the one "
        "that was put there; run `satctl audit --repair`, which puts its days on the list"
    )


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a byte less": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "a byte more": lambda data: data + b"\0",
    "eight bytes": lambda data: data[-8:],
    "three bytes": lambda data: data[-3:],
    "empty": lambda _: b"",
    "its mark": lambda data: flipped(data, len(data) - 1),
    "its footer's length": lambda data: flipped(data, len(data) - 6),
    "its footer": lambda data: flipped(data, len(data) - 100),
    "a page": lambda data: flipped(data, 300),
    "another object": lambda _: objects.encode(some_rows(4)),
    "no Parquet": lambda _: b"no Parquet, but of some length",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_day_s_object_that_is_not_what_was_put_is_never_read(
    spoil: Callable[[bytes], bytes], store: ObjectStore
) -> None:
    stored = ResultObjects(store)
    layer = day_layer(stored.put_day(7, DAY, some_rows(3), NOW))
    assert stored.read_day(layer).num_rows == 3

    replaced(store, str(layer.object_key), spoil(store.get(str(layer.object_key))))

    assert_damaged(lambda: stored.read_day(layer), store, layer)
    assert_damaged(lambda: stored.read_day(layer, ["field"], ["f001"]), store, layer)
    assert_damaged(lambda: stored.check(layer), store, layer)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_flipped_anywhere_in_a_day_s_object_is_seen(
    at: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored = ResultObjects(ObjectStore(str(tmp_path_factory.mktemp("store"))))
    layer = day_layer(stored.put_day(7, DAY, some_rows(60), NOW))
    data = stored.store.get(str(layer.object_key))
    position = int(at * len(data))

    replaced(stored.store, str(layer.object_key), flipped(data, position, bit))

    assert_damaged(lambda: stored.read_day(layer), stored.store, layer)
    if position >= len("PAR1"):  # the first bytes belong to no row group
        assert_damaged(lambda: stored.read_day(layer, None, ["f007"]), stored.store, layer)


def test_headers_of_pages_are_checked_like_pages(store_folder: Path) -> None:
    """Parquet's own checksums leave them out: a bit of one names another encoding, and the field has no row."""
    stored = ResultObjects(ObjectStore(str(store_folder)))
    layer = day_layer(stored.put_day(7, DAY, some_rows(60), NOW))
    data = stored.store.get(str(layer.object_key))
    column = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(SCHEMA.get_field_index("field"))

    for position in range(column.data_page_offset, column.data_page_offset + 40):
        for bit in range(8):
            replaced(stored.store, str(layer.object_key), flipped(data, position, bit))
            assert_damaged(lambda: stored.read_day(layer, None, ["f007"]), stored.store, layer)


def test_an_object_that_is_gone_names_its_publication(store: ObjectStore) -> None:
    stored = ResultObjects(store)
    day = day_layer(stored.put_day(7, DAY, some_rows(3), NOW))
    patch = patch_layer(stored.put_patch(7, a_patch(2, 3), NOW))
    for layer in (day, patch):
        store.delete(str(layer.object_key))

    reads: list[tuple[Layer, Callable[[], object]]] = [
        (day, lambda: stored.read_day(day)),
        (day, lambda: stored.read_day(day, None, ["f001"])),
        (day, lambda: stored.check(day)),
        (patch, lambda: stored.read_patch(patch)),
        (patch, lambda: stored.check(patch)),
    ]
    for layer, read in reads:
        with pytest.raises(ObjectMissingError) as error:
            read()
        assert str(error.value) == (
            f"2026-05-01: the object {layer.object_key} of publication {layer.sequence} ({layer.kind.value}, "
            f"2026-06-01 08:30:00 UTC) is not in {store.url} (SATFIELDS_STORE); run `satctl audit --repair`, which "
            "puts its days on the list"
        )


def test_a_bucket_out_of_reach_is_no_damaged_object(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = ResultObjects(ObjectStore(s3_url))
    layer = day_layer(stored.put_day(7, DAY, many_rows(), NOW))

    def breaks(*_: object, **__: object) -> None:
        raise GenericError("HTTP error: timed out")

    monkeypatch.setattr(obstore, "get_ranges", breaks)

    with pytest.raises(StoreError, match=r"SATFIELDS_STORE.*timed out"):
        stored.read_day(layer, None, ["f06000"])


# --- patches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [None, ["f001"]])
def test_a_file_that_the_system_can_t_open_is_no_damaged_object(store_folder: Path, fields: list[str] | None) -> None:
    stored = ResultObjects(ObjectStore(str(store_folder)))
    layer = day_layer(stored.put_day(7, DAY, some_rows(3), NOW))
    file = store_folder / str(layer.object_key)
    file.unlink()
    file.symlink_to(file)  # a loop, which no user may open

    with pytest.raises(StoreError, match="could not be"):
        stored.read_day(layer, None, fields)


@pytest.mark.parametrize("fields", [1, 12])
def test_a_patch_is_read_as_it_was_written_day_by_day(fields: int, store: ObjectStore) -> None:
    stored, table = ResultObjects(store), a_patch(4, fields)

    put = stored.put_patch(7, table, NOW)

    assert put.key.startswith("results/7/2026/05/01-")
    assert put.key.endswith(".arrow.zst")
    ordered = table.sort_by([("day", "ascending"), ("field", "ascending")])
    for reader in (stored, ResultObjects(store)):  # of what is kept, and of the object
        for n in range(4):
            day = DAY + timedelta(days=n)
            found = whole(reader.read_patch(patch_layer(put, day)))
            assert found.schema.equals(PATCH)
            assert found.equals(ordered.filter(pc.equal(ordered["day"], pa.scalar(day))))
            assert found["field"].to_pylist() == [f"f{i:03}" for i in range(fields)]
            assert found[CAUSE].to_pylist() == [("late_field", "carry")[(i + n) % 2] for i in range(fields)]
            assert found[WITHDRAWN].to_pylist() == [(i + n) % 5 == 4 for i in range(fields)]
        for other in (DAY - timedelta(days=1), DAY + timedelta(days=4)):
            assert reader.read_patch(patch_layer(put, other)).num_rows == 0


def test_a_patch_leaves_out_optional_columns_that_no_row_has_and_is_read_with_nulls_in_them(store: ObjectStore) -> None:
    stored, table = ResultObjects(store), a_patch(2, 3)

    def columns(put: StoredObject) -> set[str]:
        with pa.CompressedInputStream(pa.BufferReader(store.get(put.key)), "zstd") as stream:
            return set(pa.ipc.open_stream(stream.read()).schema.names)

    without = stored.put_patch(7, table, NOW)
    at = PATCH.get_field_index("ndvi_quantiles")
    lists = pa.array([[0.1, 0.2], *[None] * 5], PATCH.field(at).type)
    having = stored.put_patch(7, table.set_column(at, PATCH.field(at), lists), NOW)

    assert columns(without) == set(PATCH.names) - set(OPTIONAL)
    assert columns(having) == set(PATCH.names) - set(OPTIONAL) | {"ndvi_quantiles"}
    second = DAY + timedelta(days=1)
    for name in QUANTILES:
        of_days = [
            (whole(stored.read_patch(patch_layer(put, on)))[name]) for put in (without, having) for on in (DAY, second)
        ]
        found = [value for column in of_days for value in column.to_pylist() if value is not None]
        assert found == ([[0.1, 0.2]] if name == "ndvi_quantiles" else [])
    assert not set(OPTIONAL) & set(stored.read_patch(patch_layer(without)).column_names)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_patch_that_is_not_what_was_put_is_never_read(spoil: Callable[[bytes], bytes], store: ObjectStore) -> None:
    stored = ResultObjects(store)
    layer = patch_layer(stored.put_patch(7, a_patch(3, 5), NOW))

    replaced(store, str(layer.object_key), spoil(store.get(str(layer.object_key))))

    assert_damaged(lambda: stored.read_patch(layer), store, layer)
    assert_damaged(lambda: stored.check(layer), store, layer)


@settings(max_examples=50)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_flipped_anywhere_in_a_patch_is_seen(
    at: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored = ResultObjects(ObjectStore(str(tmp_path_factory.mktemp("store"))))
    layer = patch_layer(stored.put_patch(7, a_patch(3, 5), NOW))
    data = stored.store.get(str(layer.object_key))

    replaced(stored.store, str(layer.object_key), flipped(data, int(at * len(data)), bit))

    assert_damaged(lambda: stored.read_patch(layer), stored.store, layer)


def test_patches_are_kept_up_to_a_size_and_the_latest_always(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = ResultObjects(ObjectStore(str(store_folder)))
    layers = [patch_layer(stored.put_patch(7, a_patch(2, 3), NOW)) for _ in range(3)]
    for layer in layers:
        stored.read_patch(layer)
        stored.store.delete(str(layer.object_key))
    assert [stored.read_patch(layer).num_rows for layer in layers] == [3, 3, 3]

    monkeypatch.setattr(objects, "_KEPT_PATCHES", 1)
    last = patch_layer(stored.put_patch(7, a_patch(2, 3), NOW))
    stored.read_patch(last)
    stored.store.delete(str(last.object_key))

    assert stored.read_patch(last).num_rows == 3
    with pytest.raises(ObjectMissingError):
        stored.read_patch(layers[0])


# --- quantiles, which only some versions have ------------------------------------------------------------------------


def as_once(table: pa.Table) -> bytes:
    """An object as it was written before there were quantiles."""
    sink = io.BytesIO()
    pq.write_table(table.drop_columns(list(QUANTILES)), sink, compression="zstd")
    return sink.getvalue()


def with_quantiles(count: int) -> pa.Table:
    """Rows of which some have quantiles of some layers."""
    lists = [None if i % 2 else [i / 10, i / 5] for i in range(count)]
    at = SCHEMA.get_field_index("ndvi_quantiles")
    return some_rows(count).set_column(at, SCHEMA.field(at), pa.array(lists, pa.list_(pa.float64())))


@pytest.mark.parametrize("count", [0, 12])
def test_without_quantiles_an_object_has_the_bytes_that_it_had_before_there_were_any(count: int) -> None:
    assert objects.encode(some_rows(count)) == as_once(some_rows(count))


@pytest.mark.parametrize("count", [0, 12])
def test_an_object_without_the_columns_is_read_with_nulls_in_them(count: int) -> None:
    old = as_once(some_rows(count))

    assert objects.decode(old).schema.equals(SCHEMA)
    assert objects.decode(old).equals(some_rows(count))
    assert objects.decode(old, ["field", "lst_c_quantiles"]).to_pydict() == {
        "field": [f"f{i:03}" for i in range(count)],
        "lst_c_quantiles": [None] * count,
    }
    assert objects.decode(old, ["field"]).column_names == ["field"]


def test_rows_with_quantiles_and_without_are_read_as_they_were_written() -> None:
    table = with_quantiles(12)

    back = objects.decode(objects.encode(table))

    assert back.schema.equals(SCHEMA)
    assert back.equals(table)
    assert back["ndvi_quantiles"].null_count == 6


def test_rows_of_old_and_new_objects_are_compared_and_joined() -> None:
    old, new = objects.decode(as_once(some_rows(12))), objects.decode(objects.encode(with_quantiles(12)))

    assert result_rows.changed_fields(old, some_rows(12)) == []
    with_lists = [f"f{i:03}" for i in range(0, 12, 2)]
    assert result_rows.changed_fields(old, new) == result_rows.changed_fields(new, old) == with_lists
    joined = pa.concat_tables([result_rows.only(old, ["f000"]), result_rows.without(new, ["f000"])])
    assert objects.decode(objects.encode(joined))["ndvi_quantiles"].null_count == 7
