import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.errors import ObjectMissingError
from satcommon.publication import objects
from satcommon.stats import result_rows
from satcommon.stats.result_rows import QUANTILES, SCHEMA
from satcommon.storage.object_store import ObjectStore

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


# --- objects ---------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(count=st.integers(0, 30), order=st.randoms(use_true_random=False), cut=st.integers(0, 30))
def test_the_bytes_do_not_depend_on_the_order_of_rows_nor_on_their_chunks(count: int, order: object, cut: int) -> None:
    table = some_rows(count)
    shuffled = list(range(count))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    mixed = table.take(pa.array(shuffled, pa.int64()))
    chunked = pa.concat_tables([mixed.slice(0, cut), mixed.slice(cut)])

    assert objects.encode(chunked) == objects.encode(table)


def test_rows_are_read_as_they_were_written_sorted_by_field(store_folder: Path) -> None:
    store = ObjectStore(str(store_folder))
    table = some_rows(12)

    store.put("key", objects.encode(table.take(pa.array(range(11, -1, -1)))))

    assert result_rows.read(store, "key").equals(table)
    assert result_rows.read(store, "key", ["field", "state_days"]).column_names == ["field", "state_days"]


def test_names_of_any_script_are_sorted_the_same_everywhere() -> None:
    names = ["z", "Z", "é", "e", "10", "9", "日", "", "a b"]

    back = objects.decode(objects.encode(rows(names)))["field"].to_pylist()

    assert back == sorted(names, key=str.encode)


def test_an_object_that_is_gone_says_so(store_folder: Path) -> None:
    with pytest.raises(ObjectMissingError):
        result_rows.read(ObjectStore(str(store_folder)), "results/1/2026/05/01-gone.parquet")


def test_an_object_without_rows_has_the_schema() -> None:
    assert objects.decode(objects.encode(result_rows.empty())).schema.equals(SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        lambda _: objects.encode(some_rows(4)),  # whole, and another's
        lambda _: b"",
    ],
    ids=["truncated", "a bit flipped", "another object", "empty"],
)
def test_an_object_that_is_not_what_was_put_is_never_read(spoil: Callable[[bytes], bytes], store_folder: Path) -> None:
    store, data = ObjectStore(str(store_folder)), objects.encode(some_rows(3))
    key = result_rows.new_key(7, DAY, data)
    store.put(key, data)
    assert result_rows.read(store, key).num_rows == 3

    (store_folder / key).write_bytes(spoil(data))

    with pytest.raises(pa.ArrowInvalid, match=r"\(SATFIELDS_STORE\) is not the one that was put there"):
        result_rows.read(store, key)


def test_an_object_under_a_key_that_tells_no_digest_is_read(store_folder: Path) -> None:
    store = ObjectStore(str(store_folder))
    key = f"results/7/2026/05/01-{'0' * 32}.parquet"  # as they were
    store.put(key, objects.encode(some_rows(3)))

    assert result_rows.read(store, key).num_rows == 3


def test_a_digest_names_content_and_a_key_region_day_and_content() -> None:
    one, other = objects.encode(some_rows(3)), objects.encode(some_rows(4))

    assert objects.digest(one) == objects.digest(bytes(one))
    assert objects.digest(one) != objects.digest(other)
    keys = {result_rows.new_key(7, DAY, b"") for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("results/7/2026/05/01-") and key.endswith(".parquet") for key in keys)


def test_rows_hold_no_clock_run_or_sequence_number() -> None:
    forbidden = ("run", "created", "attempt", "processed", "_id", "time", "count")

    found = {name for name in SCHEMA.names for word in forbidden if word in name}

    assert found == {"cell_count", "item_ids"}  # of the scene and the geometry


# --- picking and comparing -------------------------------------------------------------------------------------------


def test_rows_of_some_fields_and_the_rest_are_the_whole() -> None:
    table = some_rows(10)
    some = ["f001", "f007", "nobody"]

    assert result_rows.only(table, some)["field"].to_pylist() == ["f001", "f007"]
    assert result_rows.without(table, some).num_rows == 8
    assert result_rows.only(table, []).num_rows == 0
    assert result_rows.without(table, []).equals(table)


@settings(max_examples=40)
@given(
    before=st.sets(st.integers(0, 400), max_size=200),
    after=st.sets(st.integers(0, 400), max_size=200),
    edits=st.sets(st.integers(0, 400), max_size=9),
    where=st.sampled_from(["ndvi_mean", "ndvi_integral_e4", "state_days"]),
)
def test_changed_rows_are_those_that_are_new_gone_or_another(
    before: set[int], after: set[int], edits: set[int], where: str
) -> None:
    values = {"ndvi_mean": (0.5, None), "ndvi_integral_e4": (1, 2), "state_days": ([1] * 8, [1] * 7 + [2])}[where]

    def table(fields: set[int], edited: set[int]) -> pa.Table:
        chosen = sorted(fields, reverse=bool(edited))
        return rows([f"f{i}" for i in chosen], **{where: [values[i in edited] for i in chosen]})

    found = result_rows.changed_rows(table(before, set()), table(after, edits))

    assert found == len(before ^ after) + len(before & after & edits)


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

    assert result_rows.changed_rows(old, some_rows(12)) == 0
    assert result_rows.changed_rows(old, new) == result_rows.changed_rows(new, old) == 6
    joined = pa.concat_tables([result_rows.only(old, ["f000"]), result_rows.without(new, ["f000"])])
    assert objects.decode(objects.encode(joined))["ndvi_quantiles"].null_count == 7
