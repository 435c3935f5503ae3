from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.solar import solar_day
from satcommon.raster.layers import Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.settings import Scenario
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest

LATER = datetime(2030, 1, 1, tzinfo=UTC)
DAY = date(2026, 7, 1)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def at(west: float, south: float, side: float = 0.1, resolution_m: float = 200) -> AreaOfInterest:
    bounds = Bounds(west, south, west + side, south + side)
    return AreaOfInterest("A", bounds, Grid.utm(bounds, resolution_m))


IOWA = at(-94.0, 42.0)
BORDER = at(-96.06, 42.0, resolution_m=100)  # its middle is in zone 14, its eastern tile's in zone 15
PLAIN = SimulatedSource()


def scenarioy(*scenarios: Scenario) -> SimulatedSource:
    return SimulatedSource(scenarios={"*/*": frozenset(scenarios)})


def items(
    source: SimulatedSource, aoi: AreaOfInterest = IOWA, day: date = DAY, now: datetime = LATER
) -> list[Acquisition]:
    return source.list(aoi, day, day, now).acquisitions.get(day, [])


def look(source: SimulatedSource, aoi: AreaOfInterest = IOWA, day: date = DAY) -> list[Layers]:
    return [source.read(aoi, item) for item in items(source, aoi, day)]


def truth(aoi: AreaOfInterest = IOWA, day: date = DAY) -> Layers:
    [layers] = look(PLAIN, aoi, day)
    return layers


def covered(layers: Layers) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return layers.classes != PixelClass.NODATA


def assert_same(one: Layers, other: Layers, where: object = ...) -> None:
    for name, band in one.bands.items():
        np.testing.assert_array_equal(band[where], other.bands[name][where])
    np.testing.assert_array_equal(one.classes[where], other.classes[where])


def ndvi(layers: Layers) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    red, nir = (layers.bands[band] * 1e-4 - 0.1 for band in ("red", "nir"))
    return (nir - red) / (nir + red)


def test_the_swath_ends_at_a_slanted_line_within_the_region_that_is_another_each_day() -> None:
    widths = []
    for n in range(10):
        day = DAY + timedelta(n)
        [layers] = look(scenarioy(Scenario.SWATH_EDGE), day=day)
        seen = covered(layers)
        columns = seen.sum(axis=1)
        assert all((np.flatnonzero(row) == np.arange(row.sum())).all() for row in seen)  # from the west, without gaps
        assert 0.1 < seen.mean() < 0.9
        assert (np.diff(columns) >= 0).all()
        assert columns[-1] - columns[0] > 0.2 * IOWA.grid.width
        assert_same(layers, truth(day=day), seen)
        assert not any(band[~seen].any() for band in layers.bands.values())
        widths.append(columns[0])
    assert len(set(widths)) > 5


def test_two_tiles_of_a_pass_overlap_and_unite_to_the_whole() -> None:
    source = scenarioy(Scenario.TILES)
    east, west = items(source)

    layers = [source.read(IOWA, item) for item in (east, west)]
    scene = mosaic_scene(source, IOWA, [east, west])

    assert (east.tile, west.tile, west.sensed_at - east.sensed_at) == ("E", "W", 4 * MINUTE)
    assert (east.platform, east.overpass, east.baseline) == (west.platform, west.overpass, west.baseline)
    assert all(0.5 < covered(one).mean() < 0.6 for one in layers)
    assert scene is not None
    assert_same(scene.layers, truth())


def test_a_late_tile_is_the_same_tile_a_set_time_later() -> None:
    on_time, late = scenarioy(Scenario.TILES), replace(scenarioy(Scenario.LATE_TILE), late_hours=50)

    east, west = items(late)

    assert [west, replace(east, published_at=east.published_at - 50 * HOUR)] == items(on_time)[::-1]
    assert items(late, now=west.published_at) == [west]
    assert items(late, now=east.published_at) == [east, west]


def test_a_newer_baseline_of_another_offset_replaces_the_older_in_either_order() -> None:
    source = scenarioy(Scenario.REPROCESSED)
    older, newer = items(source)

    first, second = (source.read(IOWA, item) for item in (older, newer))

    assert (older.baseline, newer.baseline, newer.published_at - older.published_at) == ("1", "2", 72 * HOUR)
    assert (older.overpass, older.tile, older.sensed_at) == (newer.overpass, newer.tile, newer.sensed_at)
    assert_same(second, truth())
    for name, band in first.bands.items():  # the offsets differ by 1000
        np.testing.assert_array_equal(band, second.bands[name] + (0 if name == "lwir11" else 8))
    scenes = [mosaic_scene(source, IOWA, order) for order in ([older, newer], [newer, older], [newer])]
    assert {scene and (scene.digest, scene.items) for scene in scenes} == {(scenes[2] and scenes[2].digest, (newer,))}


def test_a_tile_of_the_next_utm_zone_is_warped_to_where_it_belongs() -> None:
    source, straight = scenarioy(Scenario.TILES), truth(BORDER)

    east, west = look(source, BORDER)

    assert BORDER.grid.crs == "EPSG:32614"
    assert_same(west, straight, covered(west))
    # Each cell of the eastern half is there, up to the region's edge, and shows nearly the same though resampled twice.
    assert covered(east)[:, BORDER.grid.width // 2 :].all()
    assert (east.bands["nir"] != straight.bands["nir"])[covered(east)].mean() > 0.5
    assert (east.classes == straight.classes)[covered(east)].mean() > 0.98
    inner = (slice(2, -2), slice(BORDER.grid.width // 2, -2))
    apart = {
        (down, right): np.abs(np.roll(ndvi(straight), (down, right), (0, 1)) - ndvi(east))[inner].mean()
        for down, right in product((-1, 0, 1), repeat=2)
    }
    assert min(apart, key=lambda shift: apart[shift]) == (0, 0)
    assert apart[0, 0] < 0.02


def test_a_region_across_zones_is_whole_once_both_tiles_are_there() -> None:
    source = scenarioy(Scenario.TILES)

    scene = mosaic_scene(source, BORDER, items(source, BORDER))

    assert scene is not None
    assert covered(scene.layers).all()
    assert [item.tile for item in scene.items] == ["E", "W"]


def test_snow_lies_in_winter_bright_and_of_low_ndvi() -> None:
    days = [date(2026, 1, 1) + timedelta(n) for n in range(40)]
    found = {day: look(scenarioy(Scenario.SNOW), day=day)[0] for day in days}

    shares = [(layers.classes == PixelClass.SNOW).mean() for layers in found.values()]
    assert max(shares) > 0.9
    assert any(0.1 < share < 0.9 for share in shares)
    for day, layers in found.items():
        snow, clear = layers.classes == PixelClass.SNOW, truth(day=day).classes == PixelClass.CLEAR
        assert clear[snow].all()  # clouds and their shadows hide it
        assert_same(layers, truth(day=day), layers.classes == PixelClass.CLEAR)
        if snow.any():
            assert ndvi(layers)[snow].max() < 0
            assert layers.bands["green"][snow].min() > 6000
            assert layers.bands["lwir11"][snow].max() < 27_315


def test_no_snow_lies_in_summer_nor_near_the_equator() -> None:
    source = scenarioy(Scenario.SNOW)
    for aoi, day in ((IOWA, DAY), (at(-94.0, 3.0), date(2026, 1, 15)), (at(-61.0, -34.0), date(2026, 1, 15))):
        [layers] = look(source, aoi, day)
        assert_same(layers, truth(aoi, day))


def test_an_undetected_cloud_is_bright_and_of_class_clear_over_the_middle_alone() -> None:
    clear, overcast = DAY, DAY + timedelta(10)
    [layers], [behind_another] = (look(scenarioy(Scenario.UNDETECTED_CLOUD), day=day) for day in (clear, overcast))

    height, width = layers.classes.shape
    spot = layers.bands["blue"] == 7200
    assert spot[height // 2, width // 2]
    assert 0.05 < spot.mean() < 0.2
    assert (truth(day=overcast).classes[spot] == PixelClass.CLOUD).all()
    for day, found in ((clear, layers), (overcast, behind_another)):
        assert (found.classes[spot] == PixelClass.CLEAR).all()
        assert np.abs(ndvi(found)[spot]).max() < 0.05
        assert_same(found, truth(day=day), ~spot)


def test_two_passes_an_orbit_apart_are_laid_in_their_order() -> None:
    source = scenarioy(Scenario.TWO_PASSES)
    first, second = items(source)

    scene = mosaic_scene(source, IOWA, [second, first])

    assert (first.platform, second.sensed_at - first.sensed_at) == (second.platform, 100 * MINUTE)
    assert first.overpass != second.overpass
    assert scene is not None
    assert scene.items == (first, second)
    assert scene.providers is not None
    by_first = covered(source.read(IOWA, first))
    assert 0.4 < by_first.mean() < 0.6
    np.testing.assert_array_equal(scene.providers, np.where(by_first, 1, 2))
    assert_same(scene.layers, truth())


def test_sensings_on_either_side_of_midnight_utc_are_one_pass_of_one_solar_day() -> None:
    source, aoi = replace(scenarioy(Scenario.TILES), overpass=time(10, 8)), at(151.95, -32.0)
    day = date(2026, 5, 2)

    east, west = items(source, aoi, day)

    assert east.sensed_at == datetime(2026, 5, 1, 23, 58, tzinfo=UTC)
    assert west.sensed_at == datetime(2026, 5, 2, 0, 2, tzinfo=UTC)
    assert {solar_day(item.sensed_at, aoi.bounds) for item in (east, west)} == {day}
    assert east.overpass == west.overpass
    around = source.list(aoi, day - timedelta(1), day + timedelta(1), LATER).acquisitions
    assert {on: len(found) for on, found in around.items()} == {day + timedelta(n): 2 for n in (-1, 0, 1)}
    scene = mosaic_scene(source, aoi, [east, west])
    assert scene is not None
    assert covered(scene.layers).all()


def test_of_two_platforms_the_one_that_covers_more_is_the_scene_alone() -> None:
    source = scenarioy(Scenario.TWO_PLATFORMS)
    first, second = items(source)

    scene = mosaic_scene(source, IOWA, [first, second])

    assert first.platform != second.platform
    assert scene is not None
    assert scene.items == (second,)
    assert_same(scene.layers, source.read(IOWA, second))
    both = covered(source.read(IOWA, first)) & covered(scene.layers)
    assert 0.2 < both.mean() < 0.4
    np.testing.assert_array_equal(scene.layers.bands["red"][both], truth().bands["red"][both] + 40)


def test_scenarios_are_of_the_days_that_their_patterns_match() -> None:
    source = SimulatedSource(
        scenarios={"A/2026-07-0?": frozenset({Scenario.TILES}), "*/2026-07-09": frozenset({Scenario.TWO_PASSES})}
    )

    def count(aoi: AreaOfInterest, day: date) -> int:
        return len(items(source, aoi, day))

    assert [count(IOWA, date(2026, 7, n)) for n in (8, 9, 10)] == [2, 4, 1]
    assert [count(replace(IOWA, name="B"), date(2026, 7, n)) for n in (8, 9, 10)] == [1, 2, 1]
    assert items(source, IOWA, date(2026, 7, 10)) == items(PLAIN, IOWA, date(2026, 7, 10))


TINY = at(-96.03, 42.0, side=0.05, resolution_m=500)
SETS = st.frozensets(st.sampled_from(Scenario))


@pytest.mark.slow
@settings(max_examples=20)
@given(scenarios=SETS, day=st.dates(date(2025, 1, 1), date(2026, 12, 31)))
def test_however_untidy_a_day_its_items_differ_and_each_can_be_read(scenarios: frozenset[Scenario], day: date) -> None:
    source = scenarioy(*scenarios)

    found = items(source, TINY, day)

    assert len({item.item_id for item in found}) == len({item.digest for item in found}) == len(found)
    assert {solar_day(item.sensed_at, TINY.bounds) for item in found} == {day}
    pieces = [(item.overpass, item.tile, item.baseline) for item in found]
    assert len(set(pieces)) == len(pieces)
    for layers in look(source, TINY, day):
        for band in layers.bands.values():
            np.testing.assert_array_equal(band == 0, ~covered(layers))


@pytest.mark.slow
@settings(max_examples=20)
@given(scenarios=SETS, data=st.data())
def test_whatever_of_a_days_items_is_there_in_whatever_order_the_scene_is_that_of_their_set(
    scenarios: frozenset[Scenario], data: st.DataObject
) -> None:
    source = scenarioy(*scenarios)
    everything = items(source, TINY)
    there = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    arrived = data.draw(st.permutations(there))

    scene, same = mosaic_scene(source, TINY, arrived), mosaic_scene(source, TINY, sorted(there))

    assert scene is not None
    assert same is not None
    assert (scene.digest, scene.items) == (same.digest, same.items)
