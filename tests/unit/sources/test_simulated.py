import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import solar_day
from satcommon.raster.layers import BANDS, CLASSES, Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.settings import Scenario, Settings
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest, Due

LATER = datetime(2030, 1, 1, tzinfo=UTC)
IOWA = Bounds(-94.0, 42.0, -93.9, 42.1)
SMALL = AreaOfInterest("Iowa", IOWA, Grid.utm(IOWA, 200))
WIDE = replace(SMALL, grid=Grid.utm(Bounds(-94.5, 41.5, -93.5, 42.5), 1000))
SOUTH = replace(SMALL, bounds=Bounds(-61.0, -34.1, -60.9, -34.0))
DAYS = st.dates(date(2020, 1, 1), date(2029, 12, 31))


def acquire(source: SimulatedSource, aoi: AreaOfInterest, day: date) -> Acquisition:
    (acquisition,) = source.list(aoi, day, day, LATER).acquisitions[day]
    return acquisition


def look(day: date, aoi: AreaOfInterest = SMALL, source: SimulatedSource | None = None) -> Layers:
    source = source or SimulatedSource()
    return source.read(aoi, acquire(source, aoi, day))


def stacked(layers: Layers) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint16]]]:
    return layers.bands | {CLASSES: layers.classes.astype(np.uint16)}


def median_ndvi(layers: Layers) -> float:
    red, nir = (layers.bands[band] * 1e-4 - 0.1 for band in ("red", "nir"))
    return float(np.median(((nir - red) / (nir + red))[layers.classes == PixelClass.CLEAR]))


def clear_day(month: int, aoi: AreaOfInterest) -> Layers:
    """A scene of the month that is clear, for the most part."""
    days = (look(date(2026, month, n), aoi) for n in range(1, 29))
    return next(layers for layers in days if (layers.classes == PixelClass.CLEAR).mean() > 0.5)


@pytest.mark.parametrize(
    ("day", "digest", "pixels"),
    [
        (date(2026, 1, 20), "8cf94d58c8995472", "628d8cca3073e35e"),
        (date(2026, 7, 1), "d1a0312603a27157", "e433cb1445bce5b1"),
    ],
)
def test_without_scenarios_digests_and_pixels_are_those_of_format_1(day: date, digest: str, pixels: str) -> None:
    item, layers = acquire(SimulatedSource(), SMALL, day), look(day)

    assert item.digest.startswith(digest)
    assert hashlib.sha256(b"".join([*layers.bands.values(), layers.classes])).hexdigest().startswith(pixels)


@settings(max_examples=20)
@given(day=DAYS, seed=st.integers(0, 2**31))
def test_two_sources_of_one_seed_see_the_same(day: date, seed: int) -> None:
    first, second = SimulatedSource(seed=seed), SimulatedSource(seed=seed)

    one, other = acquire(first, SMALL, day), acquire(second, SMALL, day)

    assert one == other
    for a, b in zip(stacked(first.read(SMALL, one)).values(), stacked(second.read(SMALL, other)).values(), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=25)
@given(day=DAYS, row=st.integers(0, 30), column=st.integers(0, 20), height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_place_looks_the_same_on_any_window_of_its_grid(
    day: date, row: int, column: int, height: int, width: int
) -> None:
    grid = replace(SMALL.grid, left=465181.0522318204, xres=9.99479222007154, yres=99.97448467363668)
    window = replace(
        grid, left=grid.left + column * grid.xres, top=grid.top - row * grid.yres, width=width, height=height
    )

    whole, part = stacked(look(day, replace(SMALL, grid=grid))), stacked(look(day, replace(SMALL, grid=window)))

    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][row : row + height, column : column + width])


@settings(max_examples=20)
@given(day=DAYS)
def test_a_scene_has_every_band_and_no_gaps(day: date) -> None:
    layers = look(day)

    assert tuple(layers.bands) == BANDS
    for values in layers.bands.values():
        assert values.dtype == np.uint16
        assert values.shape == (SMALL.grid.height, SMALL.grid.width)
        assert values.min() >= 1
    assert layers.classes.dtype == np.uint8
    assert PixelClass.NODATA not in layers.classes


@pytest.mark.parametrize(("aoi", "green", "bare"), [(SMALL, 7, 1), (SOUTH, 1, 7)])
def test_crops_grow_in_the_summer_of_their_hemisphere(aoi: AreaOfInterest, green: int, bare: int) -> None:
    assert median_ndvi(clear_day(green, aoi)) > 0.5
    assert median_ndvi(clear_day(bare, aoi)) < 0.3


def test_fields_lie_side_by_side_with_seasons_of_their_own() -> None:
    layers = clear_day(7, SMALL)

    clear = layers.classes == PixelClass.CLEAR
    red, nir = layers.bands["red"][clear] * 1e-4 - 0.1, layers.bands["nir"][clear] * 1e-4 - 0.1
    low, high = np.quantile((nir - red) / (nir + red), (0.05, 0.95))

    assert high - low > 0.3


def test_some_days_are_clear_and_some_are_overcast() -> None:
    clear = [(look(date(2026, 5, 1) + timedelta(n), WIDE).classes == PixelClass.CLEAR).mean() for n in range(60)]

    assert max(clear) > 0.98
    assert min(clear) < 0.02
    assert any(0.3 < share < 0.7 for share in clear)


def test_clouds_are_bright_and_cold_and_their_shadows_dark() -> None:
    scenes = [look(date(2026, 7, n), replace(WIDE, grid=replace(WIDE.grid, xres=300, yres=300))) for n in range(1, 15)]

    def mean(band: str, shows: PixelClass) -> float:
        return float(np.mean(np.concatenate([s.bands[band][s.classes == shows] for s in scenes])))

    assert mean("blue", PixelClass.CLOUD) > mean("blue", PixelClass.THIN_CLOUD) > mean("blue", PixelClass.CLEAR)
    assert mean("lwir11", PixelClass.CLOUD) < 27_300 < mean("lwir11", PixelClass.CLEAR)
    assert mean("nir", PixelClass.SHADOW) < 0.7 * mean("nir", PixelClass.CLEAR)


@given(cycle_days=st.integers(1, 20), first=DAYS, name=st.text(max_size=8))
def test_a_place_is_due_once_in_every_cycle(cycle_days: int, first: date, name: str) -> None:
    source, aoi = SimulatedSource(cycle_days=cycle_days), replace(SMALL, name=name)

    answers = [source.due(aoi, first + timedelta(n)) for n in range(cycle_days)]

    assert answers.count(Due.DUE) == 1
    assert answers.count(Due.NOT_DUE) == cycle_days - 1


def test_only_due_days_have_an_acquisition() -> None:
    source, first, last = SimulatedSource(cycle_days=5), date(2026, 5, 1), date(2026, 5, 30)

    listing = source.list(SMALL, first, last, LATER)

    assert sorted(listing.acquisitions) == [
        day for n in range(30) if source.due(SMALL, day := first + timedelta(n)) is Due.DUE
    ]
    assert all(len(items) == 1 for items in listing.acquisitions.values())
    assert listing.refused == {}


@given(day=DAYS, west=st.floats(-180, 179), south=st.floats(-60, 59))
def test_the_overpass_is_in_the_morning_of_the_solar_day(day: date, west: float, south: float) -> None:
    aoi = replace(SMALL, bounds=Bounds(west, south, west + 1, south + 1))

    acquisition = acquire(SimulatedSource(), aoi, day)

    assert solar_day(acquisition.sensed_at, aoi.bounds) == day
    solar = acquisition.sensed_at + timedelta(hours=(west + 0.5) / 15)
    assert abs(solar - datetime(day.year, day.month, day.day, 10, 30, tzinfo=UTC)) < timedelta(seconds=1)


def test_a_scene_is_listed_from_its_publication_on() -> None:
    source, day = SimulatedSource(delay_hours=5), date(2026, 5, 1)
    published_at = acquire(source, SMALL, day).published_at

    before = source.list(SMALL, day, day, published_at - timedelta(seconds=1))
    then = source.list(SMALL, day, day, published_at)

    assert before.acquisitions == {}
    assert list(then.acquisitions) == [day]
    assert published_at - then.acquisitions[day][0].sensed_at == timedelta(hours=5)


def test_the_given_share_of_scenes_comes_late() -> None:
    source = SimulatedSource(delay_hours=3, late_share=0.3, late_hours=48)

    items = source.list(SMALL, date(2025, 1, 1), date(2026, 12, 31), LATER).acquisitions.values()

    delays = [(item.published_at - item.sensed_at) / timedelta(hours=1) for (item,) in items]
    assert set(delays) == {3, 51}
    assert 0.25 < delays.count(51) / len(delays) < 0.35


def test_the_given_share_of_scenes_never_comes_though_it_is_due() -> None:
    source = SimulatedSource(gap_share=0.3)

    there = source.list(SMALL, date(2025, 1, 1), date(2026, 12, 31), LATER).acquisitions

    assert 0.65 < len(there) / 730 < 0.75
    assert all(source.due(SMALL, date(2025, 1, 1) + timedelta(n)) is Due.DUE for n in range(730))


def test_a_delay_given_for_one_scene_stands_above_the_shares() -> None:
    day = date(2026, 5, 1)
    source = SimulatedSource(gap_share=1, delays={f"Iowa/{day}": 70})

    listing = source.list(SMALL, day - timedelta(10), day + timedelta(10), LATER)

    (item,) = listing.acquisitions.pop(day)
    assert item.published_at - item.sensed_at == timedelta(hours=70)
    assert listing.acquisitions == {}


def test_the_digest_tells_what_the_pixels_depend_on_and_nothing_else() -> None:
    source, day = SimulatedSource(), date(2026, 5, 1)
    known = acquire(source, SMALL, day).digest

    others = [
        acquire(replace(source, seed=8), SMALL, day),
        acquire(source, replace(SMALL, name="Ohio"), day),
        acquire(source, replace(SMALL, grid=Grid.utm(IOWA, 100)), day),
        acquire(source, SMALL, day + timedelta(1)),
    ]

    assert len({known, *(item.digest for item in others)}) == 5
    assert acquire(replace(source, delay_hours=50), SMALL, day).digest == known


def test_an_acquisition_of_another_seed_is_refused() -> None:
    acquisition = acquire(SimulatedSource(seed=1), SMALL, date(2026, 5, 1))

    with pytest.raises(SceneError, match=r"SIM_Iowa_20260501: listed as .* seed 2 .* list the day again"):
        SimulatedSource(seed=2).read(SMALL, acquisition)


def test_the_settings_make_the_source() -> None:
    settings = Settings(
        simulated_seed=3,
        simulated_cycle_days=5,
        simulated_delay_hours=1,
        simulated_late_share=0.1,
        simulated_late_hours=24,
        simulated_gap_share=0.2,
        simulated_delays={"Iowa/2026-05-01": 70},
        simulated_overpass=time(10, 8),
        simulated_scenarios={"*/*": frozenset({Scenario.SNOW})},
    )

    source = SimulatedSource.from_settings(settings)

    delays, scenarios = {"Iowa/2026-05-01": 70.0}, {"*/*": frozenset({Scenario.SNOW})}
    assert source == SimulatedSource(3, 5, 1, 0.1, 24, 0.2, delays, None, time(10, 8), scenarios)
    assert source.collection == "imagery"
    assert source.anchor_grid(IOWA) is None
