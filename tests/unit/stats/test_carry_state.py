from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.publication import objects
from satcommon.stats import result_rows
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.stats.carry_state import STATE_INPUTS, States, carry, states_before
from satcommon.stats.field_state import State
from satcommon.stats.observation import OBSERVED

RULES = algorithm(CURRENT)
K = RULES.kernel_size
PLANTED = date(2026, 4, 1)


def day(n: int) -> date:
    return PLANTED + timedelta(days=n)


def observed(statuses: dict[str, str], ndvi: float | None = 0.5) -> pa.Table:
    told = {"field": list(statuses), "status": list(statuses.values()), "ndvi_mean": [ndvi] * len(statuses)}
    return pa.table(
        [pa.array(told[c.name], c.type) if c.name in told else pa.nulls(len(statuses), c.type) for c in OBSERVED],
        schema=OBSERVED,
    )


def clear(*names: str) -> pa.Table:
    return observed(dict.fromkeys(names, "clear"))


def grown(days: int, *names: str) -> tuple[pa.Table, States]:
    """Rows and states of fields that were seen every day since planting."""
    before = State.initial(len(names), K)
    for n in range(days):
        table, states = carry("A", day(n), clear(*names), [PLANTED] * len(names), before, RULES)
        before = states.state
    return table, states


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_is_the_observation_and_the_state_after_the_day() -> None:
    table, states = carry("A", day(3), clear("f"), [PLANTED], State.initial(1, K), RULES)

    [row] = table.to_pylist()
    assert table.schema.equals(result_rows.SCHEMA)
    assert (row["region"], row["day"], row["field"], row["status"]) == ("A", day(3), "f", "clear")
    assert (row["planting_date"], row["days_since_planting"], row["days_since_clear"]) == (PLANTED, 3, 0)
    assert (row["ndvi_smoothed_e4"], row["ndvi_integral_e4"]) == (5000, 5000)
    assert row["state_days"] == [day(3).toordinal()] + [0] * (K - 1)
    assert row["state_ndvi_e4"] == [5000] + [0] * (K - 1)
    assert states.fields == {"f": 0}


@pytest.mark.parametrize(
    ("status", "feeds"),
    [
        ("clear", True),
        ("partial", True),
        ("swath_edge", True),
        ("hidden", False),
        ("region_edge", False),
        ("cloudy", False),
        ("too_small", False),
        ("outside_swath", False),
        ("no_overpass", False),
        ("no_scene", False),
    ],
)
def test_only_a_clear_or_partial_view_feeds_the_state(status: str, feeds: bool) -> None:
    table, _ = carry("A", day(3), observed({"f": status}), [PLANTED], State.initial(1, K), RULES)

    [row] = table.to_pylist()
    assert row["days_since_clear"] == (0 if feeds else None)
    assert row["ndvi_smoothed_e4"] == (5000 if feeds else None)
    assert row["ndvi_integral_e4"] == (5000 if feeds else 0)


def test_a_clear_view_without_ndvi_feeds_nothing() -> None:
    table, _ = carry("A", day(3), observed({"f": "clear"}, ndvi=None), [PLANTED], State.initial(1, K), RULES)

    assert table["days_since_clear"].to_pylist() == [None]


def test_days_are_counted_from_the_last_clear_view() -> None:
    _, states = grown(1, "f")

    table, _ = carry("A", day(6), observed({"f": "cloudy"}), [PLANTED], states.state, RULES)

    assert table["days_since_clear"].to_pylist() == [6]


def test_a_day_without_fields_has_no_rows() -> None:
    table, states = carry("A", day(0), clear(), [], State.initial(0, K), RULES)

    assert table.num_rows == 0
    assert table.schema.equals(result_rows.SCHEMA)
    assert states.fields == {}


# --- states ----------------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(days=st.integers(1, 14), order=st.permutations(["a", "b", "c", "d"]))
def test_a_state_written_to_a_row_is_read_back_whole(days: int, order: list[str]) -> None:
    table, states = grown(days, *order)

    stored = objects.decode(objects.encode(table), STATE_INPUTS)
    again = States.of(stored, RULES)

    assert list(again.fields) == sorted(order)
    assert again.gather(order, RULES).equals(states.state).all()


def test_the_state_of_a_field_without_a_row_is_the_initial_one() -> None:
    _, states = grown(2, "a")

    gathered = states.gather(["b", "a", "c"], RULES)

    assert gathered.equals(State.initial(3, K)).tolist() == [True, False, True]
    assert States.of(result_rows.empty(), RULES).gather(["a"], RULES).equals(State.initial(1, K)).all()


def test_a_row_of_a_version_with_another_kernel_holds_no_state_and_hides_no_other() -> None:
    table, states = grown(3, "a", "b")
    short = table.slice(0, 1).set_column(
        table.schema.get_field_index("state_days"), "state_days", pa.array([[1, 2]], pa.list_(pa.int32()))
    )

    found = States.of(pa.concat_tables([short, table.slice(1)]), RULES)

    assert list(found.fields) == ["b"]
    assert found.gather(["b"], RULES).equals(states.state.take(np.array([1]))).all()


def test_these_states_stand_over_anothers() -> None:
    _, young = grown(1, "a", "b")
    _, old = grown(5, "b", "c")

    both = young.over(old)

    assert set(both.fields) == {"a", "b", "c"}
    assert both.gather(["b"], RULES).equals(young.gather(["b"], RULES)).all()
    assert both.gather(["c"], RULES).equals(old.gather(["c"], RULES)).all()


# --- the state before a day ------------------------------------------------------------------------------------------


class Published:
    """Rows of days, as objects would have them; counts what is asked."""

    def __init__(self, days: dict[int, States]) -> None:
        self.days = days
        self.asked: list[tuple[date, list[str]]] = []

    def __call__(self, when: date, names: list[str]) -> States | None:
        self.asked.append((when, sorted(names)))
        n = (when - PLANTED).days
        return None if n < 0 else self.days.get(n, States({}, State.initial(0, K)))


def before(wanted: dict[str, int], n: int, published: Published) -> State:
    return states_before([(name, day(first)) for name, first in wanted.items()], day(n), published, RULES)


def test_the_state_before_a_day_is_that_of_the_day_before() -> None:
    _, states = grown(5, "a")
    published = Published({4: states})

    found = before({"a": 0}, 5, published)

    assert found.equals(states.state).all()
    assert published.asked == [(day(4), ["a"])]


def test_over_days_without_a_row_the_last_row_present_counts_each_fields_own() -> None:
    _, old = grown(2, "a", "b")
    _, young = grown(4, "b")
    published = Published({1: old, 3: young})

    found = before({"a": 0, "b": 0}, 6, published)

    assert found.take(np.array([0])).equals(old.gather(["a"], RULES)).all()
    assert found.take(np.array([1])).equals(young.gather(["b"], RULES)).all()
    assert published.asked == [(day(5), ["a", "b"]), (day(4), ["a", "b"]), (day(3), ["a", "b"]), (day(2), ["a"]),
                               (day(1), ["a"])]  # fmt: skip


def test_a_row_before_the_first_day_that_reaches_this_one_does_not_count() -> None:
    _, old = grown(3, "a")
    published = Published({2: old})

    found = before({"a": 4}, 6, published)

    assert found.equals(State.initial(1, K)).all()
    assert [when for when, _ in published.asked] == [day(5), day(4)]


def test_a_field_that_begins_on_the_day_asks_for_nothing() -> None:
    published = Published({})

    found = before({"a": 6}, 6, published)

    assert found.equals(State.initial(1, K)).all()
    assert published.asked == []


def test_before_the_first_published_day_the_search_ends() -> None:
    published = Published({})

    found = before({"a": -400}, 3, published)

    assert found.equals(State.initial(1, K)).all()
    assert published.asked[-1][0] == day(-1)
    assert len(published.asked) == 4


# --- which state is carried on ---------------------------------------------------------------------------------------


def test_of_two_sources_the_states_laid_over_the_others_are_taken() -> None:
    _, newer = grown(3, "both", "new")
    _, older = grown(2, "both", "old")

    over = newer.over(older)

    names = ["both", "new", "old"]
    assert over.gather(names, RULES).days[:, 0].tolist() == [day(n).toordinal() for n in (2, 2, 1)]


def test_rows_of_another_kernel_hold_no_state_that_could_be_carried_on() -> None:
    table, _ = grown(3, "f")

    assert States.of(table, replace(RULES, kernel_size=K + 1)).fields == {}
    assert States.of(table, RULES).fields == {"f": 0}
