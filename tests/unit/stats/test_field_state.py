import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.errors import AlgorithmError
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.stats.field_state import NO_NDVI, State, advance, smooth

RULES = algorithm(CURRENT)
K = RULES.kernel_size
PLANTED = date(2026, 4, 1)
NAN = math.nan

# What a day gave: NDVI of a clear observation, or none.
series = st.lists(st.one_of(st.just(NAN), st.floats(-1, 1)), min_size=1, max_size=60)


def run(days: list[float], state: State | None = None, first: date = PLANTED) -> list[tuple[State, int]]:
    """One field's state and smoothed NDVI after each day."""
    state = state or State.initial(1, K)
    planting = np.array([PLANTED.toordinal()], np.int32)
    found = []
    for n, ndvi in enumerate(days):
        state, smoothed = advance(state, first + timedelta(days=n), planting, np.array([ndvi]), RULES)
        found.append((state, int(smoothed[0])))
    return found


def kernel(state: State) -> tuple[bytes, bytes]:
    return state.days.tobytes(), state.ndvi.tobytes()


# --- memory ----------------------------------------------------------------------------------------------------------


@given(
    first=st.floats(-1, 1),
    other=st.floats(-1, 1),
    after=st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 20)), min_size=K, max_size=K),
)
def test_a_changed_observation_is_forgotten_after_exactly_k_clear_ones(
    first: float, other: float, after: list[tuple[float, int]]
) -> None:
    days = [value for ndvi, cloudy in after for value in [NAN] * cloudy + [ndvi]]
    one, two = run([first, *days]), run([other, *days])
    clear = np.cumsum([not math.isnan(ndvi) for ndvi in days])

    for n, ((a, smoothed_a), (b, smoothed_b)) in enumerate(zip(one[1:], two[1:], strict=True)):
        if clear[n] >= K:
            assert kernel(a) == kernel(b)
            assert smoothed_a == smoothed_b
        else:
            same = round(first * 1e4) == round(other * 1e4)
            assert (kernel(a) == kernel(b)) == same


def test_the_integral_never_forgets() -> None:
    days = [0.5] * 100

    one, two = run([0.2, *days])[-1][0], run([0.3, *days])[-1][0]

    assert kernel(one) == kernel(two)
    assert not one.equals(two)[0]
    assert one.integral[0] < two.integral[0]


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(series)
def test_everything_is_kept_in_integers(days: list[float]) -> None:
    for state, smoothed in run(days):
        assert [part.dtype for part in (state.planting, state.days, state.ndvi)] == [np.int32] * 3
        assert state.integral.dtype == np.int64
        assert isinstance(smoothed, int)


@given(series)
def test_smoothed_ndvi_is_the_kernels_mean_to_a_ten_thousandth(days: list[float]) -> None:
    seen: list[tuple[int, float]] = []
    for n, ((_, smoothed), ndvi) in enumerate(zip(run(days), days, strict=True)):
        if not math.isnan(ndvi):
            seen.append((n, ndvi))
        if not seen:
            assert smoothed == NO_NDVI
            continue
        weighted = [(math.exp(-(n - day) / RULES.kernel_tau_days), value) for day, value in seen[-K:]]
        mean = sum(w * v for w, v in weighted) / sum(w for w, _ in weighted)
        assert smoothed / 1e4 == pytest.approx(mean, abs=1.1e-4)
        lowest, highest = min(v for _, v in weighted), max(v for _, v in weighted)
        assert round(lowest * 1e4) <= smoothed <= round(highest * 1e4)


@given(series)
def test_the_integral_adds_smoothed_ndvi_once_a_day(days: list[float]) -> None:
    found = run(days)

    total = 0
    for state, smoothed in found:
        total += 0 if smoothed == NO_NDVI else smoothed
        assert int(state.integral[0]) == total


def test_a_season_of_dense_crop_integrates_to_the_known_order_of_magnitude() -> None:
    # A maize season: NDVI 0.2 at sowing, 0.85 at its peak after 75 days, 0.3 after 150, seen every fifth day.
    truth = [0.2 + 0.65 * math.sin(math.pi * n / 150) ** 2 for n in range(150)]
    days = [value if n % 5 == 0 else NAN for n, value in enumerate(truth)]

    state, smoothed = run(days)[-1]

    assert state.integral[0] / 1e4 == pytest.approx(sum(truth), rel=0.05)  # about 79 NDVI days
    assert 2000 < smoothed < 5000
    assert run(days)[75][1] / 1e4 == pytest.approx(0.8, abs=0.05)


def test_half_a_ten_thousandth_is_rounded_up() -> None:
    state = State.initial(1, K)
    state.days[0, :2], state.ndvi[0, :2] = 100, [1, 2]  # two of one weight: 1.5
    assert smooth(state, RULES)[0] == 2

    state.ndvi[0, :2] = [-1, -2]
    assert smooth(state, RULES)[0] == -1


def test_a_day_without_a_clear_view_leaves_the_kernel_and_adds_the_last_value() -> None:
    (one, seen), (two, unseen) = run([0.5, NAN])

    assert kernel(one) == kernel(two)
    assert seen == unseen == 5000
    assert two.integral[0] == 10_000


def test_before_the_first_clear_view_there_is_neither_ndvi_nor_integral() -> None:
    state, smoothed = run([NAN, NAN])[-1]

    assert smoothed == NO_NDVI
    assert state.integral[0] == 0
    assert not state.days.any()


def test_the_newest_observation_stands_first_with_its_day() -> None:
    state, _ = run([0.1, NAN, 0.3])[-1]

    assert state.days[0, :3].tolist() == [(PLANTED + timedelta(days=2)).toordinal(), PLANTED.toordinal(), 0]
    assert state.ndvi[0, :3].tolist() == [3000, 1000, 0]


# --- seasons ---------------------------------------------------------------------------------------------------------


@given(before=series, after=series)
def test_a_new_season_starts_at_the_initial_state(before: list[float], after: list[float]) -> None:
    old, _ = run(before)[-1]
    planting = np.array([(PLANTED + timedelta(days=200)).toordinal()], np.int32)
    carried, fresh = old, State.initial(1, K)

    for n, ndvi in enumerate(after):
        day = PLANTED + timedelta(days=200 + n)
        carried, one = advance(carried, day, planting, np.array([ndvi]), RULES)
        fresh, two = advance(fresh, day, planting, np.array([ndvi]), RULES)
        assert carried.equals(fresh)[0]
        assert one[0] == two[0]


def test_advancing_changes_no_state_that_was_given() -> None:
    [(before, _)] = run([0.4])
    copied = before.take(np.array([0]))

    run([0.8, 0.9], before, PLANTED + timedelta(days=1))

    assert before.equals(copied)[0]


# --- batches ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.one_of(st.just(NAN), st.floats(-1, 1)), min_size=20, max_size=20), min_size=1, max_size=9))
def test_a_field_has_the_same_bits_alone_and_in_a_batch(fields: list[list[float]]) -> None:
    count = len(fields)
    plantings = np.array([(PLANTED + timedelta(days=i % 3)).toordinal() for i in range(count)], np.int32)
    batch, alone = State.initial(count, K), [State.initial(1, K) for _ in fields]

    for n in range(20):
        day, ndvi = PLANTED + timedelta(days=n), np.array([days[n] for days in fields])
        batch, together = advance(batch, day, plantings, ndvi, RULES)
        for i in range(count):
            at = np.array([i])
            alone[i], single = advance(alone[i], day, plantings[at], ndvi[at], RULES)
            assert alone[i].equals(batch.take(at))[0]
            assert single[0] == together[i]


def test_states_are_put_taken_and_joined_by_position() -> None:
    states = [run([ndvi])[0][0] for ndvi in (0.1, 0.2, 0.3)]
    joined = states[0].join(states[1]).join(states[2])
    target = State.initial(4, K)

    target.put(np.array([3, 1]), joined.take(np.array([2, 0])))

    assert target.ndvi[:, 0].tolist() == [0, 1000, 0, 3000]
    assert joined.equals(states[0].join(states[1]).join(states[2])).all()
    assert target.equals(State.initial(4, K)).tolist() == [True, False, True, False]


@pytest.mark.parametrize("component", ["planting", "days", "ndvi", "integral"])
def test_states_that_differ_in_any_component_are_not_equal(component: str) -> None:
    one, two = State.initial(1, K), State.initial(1, K)

    getattr(two, component).reshape(-1)[-1] = 1

    assert not one.equals(two)[0]


def test_a_version_that_is_not_known_is_refused_with_what_to_do() -> None:
    with pytest.raises(AlgorithmError, match=r"'99' is not supported here \(known: 1, 2\); .*upgrade"):
        algorithm("99")
