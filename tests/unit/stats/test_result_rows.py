from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.stats import result_rows
from satcommon.stats.result_rows import SCHEMA

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
def test_changed_fields_are_those_whose_row_is_new_gone_or_another(
    before: set[int], after: set[int], edits: set[int], where: str
) -> None:
    values = {"ndvi_mean": (0.5, None), "ndvi_integral_e4": (1, 2), "state_days": ([1] * 8, [1] * 7 + [2])}[where]

    def table(fields: set[int], edited: set[int]) -> pa.Table:
        chosen = sorted(fields, reverse=bool(edited))
        return rows([f"f{i}" for i in chosen], **{where: [values[i in edited] for i in chosen]})

    found = result_rows.changed_fields(table(before, set()), table(after, edits))

    assert sorted(found) == sorted(f"f{i}" for i in (before ^ after) | (before & after & edits))
