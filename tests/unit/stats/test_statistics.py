from collections.abc import Sequence

import geopandas
import numpy as np
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS
from satcommon.stats.coverage import Coverage
from satcommon.stats.statistics import Statistics, quantiles, sums, weighted

UTM = CRS("EPSG:32633")  # exactextract compares the CRS of both
NAMES = ("mean", "stdev", "min", "max")
FRACTIONS = (0.0, 0.02, 0.25, 0.5, 0.9, 1.0)
Entries = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]  # values, valid, fractions


@st.composite
def polygons(draw: st.DrawFn) -> list[Entries]:
    """Covered cells of some polygons: some have none, some no valid one, some equal values or slivers for weights.

    Lengths go beyond one SIMD block.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 2, 7, 8, 9, 127, 128, 129, 1000]), min_size=1, max_size=8))
    clear = draw(st.sampled_from([0.0, 0.5, 1.0]))
    offset, spread = draw(st.sampled_from([(0.0, 1.0), (300.0, 5.0), (-1e6, 1e-3)]))
    digits = draw(st.sampled_from([15, 1]))
    least = draw(st.sampled_from([0, 20]))  # weights go down to 1e-20, and are rounded away
    return [
        (
            np.round(offset + spread * random.standard_normal(n), digits),
            random.random(n) < clear,
            (1 - random.random(n)) * 10.0 ** -random.integers(0, least, n, endpoint=True),
        )
        for n in sizes
    ]


def statistics(values: NDArray[np.float64], valid: NDArray[np.bool_], coverage: Coverage) -> Statistics:
    return weighted(values[valid], coverage.weights.where(valid))


def joined(parts: list[Entries]) -> tuple[NDArray[np.float64], NDArray[np.bool_], Coverage]:
    coverage = Coverage.of([(np.arange(len(values)), fractions) for values, _, fractions in parts])
    values, valid = (np.concatenate([part[i] for part in parts] or [np.empty(0)]) for i in (0, 1))
    return values, valid.astype(bool), coverage


def together(parts: list[Entries]) -> Statistics:
    return statistics(*joined(parts))


def quantiles_together(parts: list[Entries], fractions: Sequence[float] = FRACTIONS) -> NDArray[np.float64]:
    values, valid, coverage = joined(parts)
    return quantiles(values[valid], coverage.weights.where(valid), fractions)


def bits(found: Statistics, at: int) -> list[bytes]:
    return [getattr(found, name)[at].tobytes() for name in NAMES]


@given(parts=polygons(), order=st.randoms(use_true_random=False))
def test_a_polygons_numbers_are_the_same_bits_alone_and_anywhere_in_any_batch(
    parts: list[Entries], order: object
) -> None:
    shuffled = list(range(len(parts)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    straight = together(parts)
    mixed = together([parts[i] for i in shuffled])

    for place, i in enumerate(shuffled):
        assert bits(straight, i) == bits(mixed, place) == bits(together([parts[i]]), 0)


@given(parts=polygons())
def test_the_numbers_are_the_textbooks(parts: list[Entries]) -> None:
    found = together(parts)

    for i, (values, valid, fractions) in enumerate(parts):
        seen, weights = values[valid], fractions[valid]
        if not len(seen):
            assert all(np.isnan(getattr(found, name)[i]) for name in NAMES)
            continue
        mean = np.average(seen, weights=weights)
        assert found.mean[i] == pytest.approx(mean, rel=1e-12)
        deviation = np.sqrt(np.average((seen - mean) ** 2, weights=weights))  # the population's
        assert found.stdev[i] == pytest.approx(deviation, rel=1e-9, abs=1e-12 * abs(mean))
        assert (found.min[i], found.max[i]) == (seen.min(), seen.max())


@given(parts=polygons())
def test_what_is_not_valid_never_counts_whatever_it_and_its_weight_are(parts: list[Entries]) -> None:
    poisoned = [
        (np.where(valid, values, np.nan), valid, np.where(valid, fractions, np.nan))
        for values, valid, fractions in parts
    ]

    clean, found = together(parts), together(poisoned)

    assert all(bits(clean, i) == bits(found, i) for i in range(len(parts)))


@given(parts=polygons())
def test_a_weight_that_is_no_number_is_its_own_polygons_matter(parts: list[Entries]) -> None:
    # exactextract's weighted mean takes one for all; a coverage holds none, since none is above 0.
    poison = (np.array([1.0, 2.0]), np.ones(2, bool), np.array([0.5, np.nan]))

    clean, found = together(parts), together([poison, *parts, poison])

    assert all(bits(clean, i) == bits(found, i + 1) for i in range(len(parts)))
    assert np.isnan(found.mean[[0, -1]]).all()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 12), columns=st.integers(3, 12))
def test_equals_exactextract_on_random_polygons_and_values(seed: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    raster = random.uniform(-0.2, 1.0, (rows, columns))
    raster[random.random(raster.shape) < 0.2] = -9
    angles = np.sort(random.uniform(0, 2 * np.pi, 8))
    reach = random.uniform(0.5, max(rows, columns) / 2, 8)
    shape = shapely.Polygon(np.column_stack([columns / 2 + reach * np.cos(angles), rows / 2 + reach * np.sin(angles)]))
    source = NumPyRasterSource(raster, 0, 0, columns, rows, nodata=-9, srs_wkt=UTM.to_wkt())
    frame = geopandas.GeoDataFrame(geometry=[shape.buffer(0)], crs=UTM)
    theirs = exact_extract(source, frame, [*NAMES, "values", "coverage"], output="pandas").iloc[0]
    seen = np.asarray(theirs["values"], dtype=np.float64)
    fractions = np.asarray(theirs["coverage"], dtype=np.float64)

    ours = statistics(seen, np.ones(len(seen), bool), Coverage.of([(np.arange(len(seen)), fractions)]))

    for name in NAMES:
        theirs_value = np.nan if theirs[name] is None else float(theirs[name])
        assert getattr(ours, name)[0] == pytest.approx(theirs_value, rel=1e-12, abs=1e-14, nan_ok=True)


@pytest.mark.parametrize("level", [273.15 + 20, 1e8, -1e12])
def test_a_constant_far_from_zero_loses_no_digits(level: float) -> None:
    fractions = np.random.default_rng(3).uniform(0.1, 1, 5000)
    values = np.full(5000, level)

    found = statistics(values, np.ones(5000, bool), Coverage.of([(np.arange(5000), fractions)]))

    assert found.mean[0] == pytest.approx(level, rel=1e-15)
    assert found.stdev[0] <= abs(level) * 1e-15
    assert (found.min[0], found.max[0]) == (level, level)


def test_a_small_spread_on_a_large_level_is_seen() -> None:
    values = 1e9 + np.tile([-0.5, 0.5], 500)

    found = statistics(values, np.ones(1000, bool), Coverage.of([(np.arange(1000), np.ones(1000))]))

    assert found.stdev[0] == pytest.approx(0.5, rel=1e-9)


def test_an_empty_polygon_takes_nothing_of_its_neighbour() -> None:
    # numpy's reduceat gives the next segment's first value for an empty one, and fails on an empty last one.
    offsets = np.array([0, 0, 2, 2, 3, 3])

    assert sums(np.array([1.0, 2.0, 4.0]), offsets).tolist() == [0, 3, 0, 4, 0]
    assert sums(np.empty(0), np.zeros(3, np.int64)).tolist() == [0, 0]
    assert sums(np.empty(0), np.zeros(1, np.int64)).tolist() == []


def test_no_warning_and_nan_where_nothing_is_valid() -> None:
    coverage = Coverage.of([(np.arange(2), np.ones(2)), (np.empty(0, np.int64), np.empty(0))])

    found = statistics(np.array([np.nan, 1.0]), np.zeros(2, bool), coverage)

    assert all(np.isnan(getattr(found, name)).all() for name in NAMES)


def test_the_covered_cells_that_are_chosen_are_counted_by_their_covered_part() -> None:
    coverage = Coverage.of([(np.arange(3), np.array([0.25, 0.5, 1.0])), (np.arange(1), np.array([0.125]))])

    assert coverage.weights.sum_where(np.array([True, False, True, False])).tolist() == [1.25, 0.0]


# --- quantiles -------------------------------------------------------------------------------------------------------


@given(parts=polygons(), order=st.randoms(use_true_random=False))
def test_a_polygons_quantiles_are_the_same_bits_alone_and_anywhere_in_any_batch(
    parts: list[Entries], order: object
) -> None:
    shuffled = list(range(len(parts)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    straight = quantiles_together(parts)
    mixed = quantiles_together([parts[i] for i in shuffled])

    for place, i in enumerate(shuffled):
        alone = quantiles_together([parts[i]])[0].tobytes()
        assert straight[i].tobytes() == mixed[place].tobytes() == alone


@given(parts=polygons(), wanted=st.lists(st.integers(0, 999), max_size=9))
def test_quantiles_ascend_from_the_least_to_the_greatest_value(parts: list[Entries], wanted: list[int]) -> None:
    # Where values lie, and as near to it as can be: there the rounding of sliver weights may put them out of order.
    values, valid, weights = max(parts, key=lambda part: part[1].sum())
    ordered = weights[valid][np.argsort(values[valid])]
    places = np.arange(len(ordered)) * ordered + (len(ordered) - 1) * (np.cumsum(ordered) - ordered)
    hits = [places[i % len(places)] / places[-1] for i in wanted if len(places) > 1]
    near = [np.nextafter(hit, towards) for hit in hits for towards in (0, 1)]
    fractions = np.unique(np.clip([0, 1, *hits, *near], 0, 1))

    found, extremes = quantiles_together(parts, fractions.tolist()), together(parts)

    filled = ~np.isnan(extremes.min)
    assert np.isnan(found[~filled]).all()
    assert (np.diff(found[filled], axis=1) >= 0).all()
    np.testing.assert_array_equal(found[:, 0], extremes.min)
    np.testing.assert_array_equal(found[:, -1], extremes.max)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
    digits=st.sampled_from([15, 2, 1]),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_quantiles_equal_exactextracts_on_random_polygons_and_values(
    seed: int, rows: int, columns: int, digits: int, fractions: list[float]
) -> None:
    random = np.random.default_rng(seed)
    raster = random.uniform(-0.2, 1.0, (rows, columns)).round(digits)
    raster[random.random(raster.shape) < 0.2] = -9
    angles = np.sort(random.uniform(0, 2 * np.pi, 8))
    reach = random.uniform(0.5, max(rows, columns) / 2, 8)
    shape = shapely.Polygon(np.column_stack([columns / 2 + reach * np.cos(angles), rows / 2 + reach * np.sin(angles)]))
    source = NumPyRasterSource(raster, 0, 0, columns, rows, nodata=-9, srs_wkt=UTM.to_wkt())
    frame = geopandas.GeoDataFrame(geometry=[shape.buffer(0)], crs=UTM)
    asked = [f"q{i}=quantile(q={fraction})" for i, fraction in enumerate(fractions)]
    theirs = exact_extract(source, frame, [*asked, "values", "coverage"], output="pandas").iloc[0]
    seen, covered = (np.asarray(theirs[name], dtype=np.float64) for name in ("values", "coverage"))

    ours = quantiles(seen, Coverage.of([(np.arange(len(seen)), covered)]).weights, fractions)

    # It appends the percentage to the names.
    by_number = {int(name[1:].partition("_")[0]): value for name, value in theirs.items() if name.startswith("q")}
    expected = [np.nan if by_number[i] is None else float(by_number[i]) for i in range(len(fractions))]
    np.testing.assert_allclose(ours, [expected], rtol=1e-9, atol=1e-12)


def test_quantiles_by_example() -> None:
    values = np.array([3.0, 1.0, 2.0, 2.0, 7.0, 10.0, 20.0])
    weights = np.array([1.0, 1.0, 0.5, 0.5, 0.25, 1.0, 3.0])
    coverage = Coverage(np.array([0, 4, 4, 5, 7]), np.arange(7), weights)

    found = quantiles(values, coverage.weights, (0.0, 0.25, 0.5, 1.0))

    np.testing.assert_allclose(
        found,
        [
            [1.0, 1.5, 2.0, 3.0],  # of 1, 2 (its two halves are one) and 3
            [np.nan] * 4,
            [7.0] * 4,
            [10.0, 12.5, 15.0, 20.0],  # of two values it is the line from one to the other, whatever their weights
        ],
    )


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 300), weight=st.sampled_from([1.0, 0.3]))
def test_with_equal_weights_quantiles_are_numpys(seed: int, count: int, weight: float) -> None:
    values = np.random.default_rng(seed).standard_normal(count)
    coverage = Coverage.of([(np.arange(count), np.full(count, weight))])

    found = quantiles(values, coverage.weights, FRACTIONS)

    np.testing.assert_allclose(found[0], np.quantile(values, FRACTIONS), rtol=1e-9, atol=1e-12)


def test_quantiles_of_no_polygon_and_of_no_cell_are_none() -> None:
    assert quantiles(np.empty(0), Coverage.of([]).weights, FRACTIONS).shape == (0, len(FRACTIONS))
    assert np.isnan(quantiles(np.empty(0), Coverage(np.zeros(3, np.int64), *[np.empty(0)] * 2).weights, (0.5,))).all()
