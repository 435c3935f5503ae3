import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyproj import Transformer
from satcommon.errors import SceneError
from satcommon.geo.geometry import digest
from satcommon.geo.grid import Grid
from satcommon.raster import cog
from satcommon.raster.layers import Layers, PixelClass
from satcommon.raster.scene import Acquisition, Scene
from satcommon.raster.scene_reader import SceneReader
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.stats import observation
from satcommon.stats.algorithm import algorithm
from satcommon.stats.coverage import Coverage
from satcommon.stats.coverage_cache import CoverageCache
from satcommon.stats.observation import (
    NO_OVERPASS,
    NO_SCENE,
    NOT_ASKED,
    OBSERVED,
    ObservationCost,
    Observed,
    SceneInput,
    Subject,
    _seen_by,
    observe,
)
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import box

RULES, SECOND = algorithm("1"), algorithm("2")
GRID = Grid("EPSG:32633", 465_000.0, 5_080_000.0, 10.0, 10.0, 600, 40)  # three tiles of the scene's file
TO_DEGREES = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
SENSED = datetime(2026, 5, 1, 10, 12, tzinfo=UTC)
CLEAR, CLOUD, THIN, SHADOW, SNOW, NODATA = (
    PixelClass.CLEAR,
    PixelClass.CLOUD,
    PixelClass.THIN_CLOUD,
    PixelClass.SHADOW,
    PixelClass.SNOW,
    PixelClass.NODATA,
)


def placed(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape in cells (column, row from the top) in WGS 84."""
    metres = shapely.transform(shape, lambda xy: np.column_stack([GRID.left + xy[:, 0] * 10, GRID.top - xy[:, 1] * 10]))
    return shapely.transform(metres, TO_DEGREES.transform, interleaved=False)


def item(number: int) -> Acquisition:
    """Items are sensed a minute apart."""
    sensed = SENSED + timedelta(minutes=number - 1)
    return Acquisition(f"item-{number}", "d", "sentinel-2", "pass", f"{number}", "", sensed, sensed)


class World:
    """A store with one scene, and fields in cells of its grid."""

    def __init__(self, folder: Path, classes: np.ndarray, **bands: np.ndarray | int) -> None:
        self.store, self.rules, self.inside = ObjectStore(str(folder)), RULES, 0.75
        self.fields: dict[str, shapely.Geometry] = {}
        self.work = ObservationCost()
        bands = bands or {"red": 1500, "nir": 5000}
        filled = {name: np.broadcast_to(np.uint16(0) + values, classes.shape).copy() for name, values in bands.items()}
        for band in filled.values():
            band[classes == NODATA] = 0
        layers = Layers({n: b.astype(np.uint16) for n, b in filled.items()}, classes.astype(np.uint8))
        self.put(Scene(layers, (item(1),), "digest-of-scene"))

    def put(self, scene: Scene) -> None:
        """Lay a scene in the store, to be observed."""
        self.pixels = scene
        self.store.put(f"{scene.digest}.tif", cog.encode(scene, GRID, date(2026, 5, 1)))
        self.scene = SceneInput(scene.digest, f"{scene.digest}.tif")

    def observe(
        self,
        scene: SceneInput | None = None,
        *,
        opened: Callable[[str], SceneReader] | None = None,
        **cells: shapely.Geometry,
    ) -> dict[str, dict[str, Any]]:
        return {row["field"]: row for row in self.observed(scene, opened, **cells).table.to_pylist()}

    def observed(
        self,
        scene: SceneInput | None = None,
        opened: Callable[[str], SceneReader] | None = None,
        **cells: shapely.Geometry,
    ) -> Observed:
        shapes = {name: placed(shape) for name, shape in cells.items()}
        known = {digest(shape): shapely.to_wkb(shape) for shape in shapes.values()} | {"broken": b"\x01"}
        subjects = [
            Subject(name, "broken" if name == "broken" else digest(shape), self.inside)
            for name, shape in shapes.items()
        ]
        coverages = CoverageCache(self.store, GRID, self.rules)
        return observe(
            scene or self.scene,
            subjects,
            coverages,
            lambda d: {one: known[one] for one in d},
            opened or StoredScenes(self.store).open,
            self.rules,
            self.work,
        )


def classes(value: PixelClass = CLEAR) -> np.ndarray:
    return np.full((GRID.height, GRID.width), value, np.uint8)


FIELD = box(10.5, 10.5, 20.5, 20.5)  # a hundred cells


# --- statuses, each by example ---------------------------------------------------------------------------------------


def test_a_field_seen_whole_is_clear(store_folder: Path) -> None:
    row = World(store_folder, classes()).observe(f=FIELD)["f"]

    assert row["status"] == "clear"
    assert (row["observed_fraction"], row["clear_fraction"], row["cloud_fraction"]) == (1.0, 1.0, 0.0)
    assert row["ndvi_mean"] == pytest.approx((0.4 - 0.05) / (0.4 + 0.05))
    assert (row["red_mean"], row["nir_mean"]) == pytest.approx((0.05, 0.4))
    assert row["cell_count"] == 121  # cells that are touched
    assert (row["scene_digest"], row["item_ids"], row["sensed_at"]) == ("digest-of-scene", '["item-1"]', SENSED)
    assert (row["inside_fraction"], row["algorithm_version"]) == (0.75, RULES.version)


@pytest.mark.parametrize(
    ("clear_columns", "status"), [(10.0, "clear"), (9.1, "clear"), (8.9, "partial"), (3.1, "partial"), (2.9, "cloudy")]
)
def test_the_clear_part_decides_between_clear_partial_and_cloudy(
    store_folder: Path, clear_columns: float, status: str
) -> None:
    sky = classes()
    sky[:, 100:] = CLOUD
    field = box(100 - clear_columns, 10, 110 - clear_columns, 20)

    row = World(store_folder, sky).observe(f=field)["f"]

    assert row["status"] == status
    assert row["clear_fraction"] == pytest.approx(clear_columns / 10, abs=1e-4)
    assert row["cloud_fraction"] == pytest.approx(1 - clear_columns / 10, abs=1e-4)


def test_a_field_that_the_swath_leaves_out_is_not_cloudy(store_folder: Path) -> None:
    sky = classes()
    sky[:, :50] = NODATA

    rows = World(store_folder, sky).observe(f=FIELD, tiny=box(10, 10, 10.5, 10.5))

    for row in rows.values():
        assert row["status"] == "outside_swath"
        assert row["observed_fraction"] == 0.0
        assert row["clear_fraction"] is None
        assert row["ndvi_mean"] is None


def test_a_field_at_the_swaths_edge_tells_what_was_seen_and_how_much_of_that_was_clear(store_folder: Path) -> None:
    sky = classes()
    sky[:, 100:] = NODATA

    row = World(store_folder, sky).observe(f=box(95, 10, 105, 20))["f"]

    assert row["status"] == "partial"  # half of the field is clear
    assert row["observed_fraction"] == pytest.approx(0.5, abs=1e-4)
    assert row["clear_fraction"] == 1.0


@pytest.mark.parametrize(
    ("observed", "classes_seen", "inside", "status"),
    [
        (10, {}, 1.0, "clear"),
        (10, {CLOUD: 10}, 1.0, "cloudy"),
        (10, {CLOUD: 5, SHADOW: 3}, 1.0, "cloudy"),
        (10, {THIN: 8}, 1.0, "cloudy"),
        (10, {CLOUD: 5, SNOW: 4}, 1.0, "cloudy"),
        (10, {CLOUD: 6}, 1.0, "partial"),
        (10, {SNOW: 10}, 1.0, "hidden"),
        (10, {PixelClass.WATER: 5, CLOUD: 3}, 1.0, "hidden"),
        (10, {PixelClass.DEFECTIVE: 8}, 1.0, "hidden"),
        (10, {SNOW: 5}, 1.0, "partial"),
        (9, {}, 1.0, "clear"),
        (8, {}, 1.0, "swath_edge"),
        (5, {}, 1.0, "swath_edge"),
        (8, {CLOUD: 1}, 1.0, "partial"),
        (8, {CLOUD: 6}, 1.0, "cloudy"),
        (4, {}, 1.0, "outside_swath"),
        (3, {}, 1.0, "outside_swath"),  # clear, all of it: never "cloudy"
        (1, {CLOUD: 1}, 1.0, "outside_swath"),
        (0, {}, 1.0, "outside_swath"),
        (10, {}, 0.5, "clear"),
        (10, {}, 0.5 - 1e-12, "clear"),  # a half, whatever its last bits
        (10, {}, 0.499, "region_edge"),
        (10, {CLOUD: 10}, 0.008, "region_edge"),
        (0, {}, 0.008, "region_edge"),
    ],
)
def test_by_version_2_a_status_says_what_kept_the_field_from_being_seen(
    store_folder: Path, observed: int, classes_seen: dict[PixelClass, int], inside: float, status: str
) -> None:
    sky = classes(NODATA)
    seen = [kind for kind, columns in classes_seen.items() for _ in range(columns)]
    seen += [CLEAR] * (observed - len(seen))
    sky[:, 100 : 100 + observed] = seen
    world = World(store_folder, sky)
    world.rules, world.inside = SECOND, inside

    row = world.observe(f=box(100, 10, 109.9, 20))["f"]

    assert row["status"] == status
    assert row["inside_fraction"] == inside
    if status == "cloudy":
        assert row["cloud_fraction"] + row["shadow_fraction"] >= 0.3


def test_by_version_2_a_field_that_is_too_small_is_so_outside_of_the_swath_too(store_folder: Path) -> None:
    world = World(store_folder, classes(NODATA))
    world.rules = SECOND

    assert world.observe(f=box(10.2, 10.2, 11.5, 11.5))["f"]["status"] == "too_small"


def test_by_version_2_a_field_too_near_to_clouds_is_cloudy(store_folder: Path) -> None:
    sky = classes()
    sky[:, 100:] = CLOUD
    world = World(store_folder, sky)
    world.rules = replace(SECOND, dilate_cells=10)

    assert world.observe(f=box(91, 10, 99, 20))["f"]["status"] == "cloudy"


def test_a_batch_of_many_pieces_has_each_field_s_own_part_in_the_region(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observation, "_ENTRIES", 5000)
    world = World(store_folder, classes())
    world.rules = SECOND
    shapes = [placed(box(100 * i, 0, 100 * i + 99, 39)) for i in range(6)]
    subjects = [Subject(f"{i}", digest(shape), 0.3 + 0.1 * i) for i, shape in enumerate(shapes)]
    known = {digest(shape): shapely.to_wkb(shape) for shape in shapes}
    coverages = CoverageCache(world.store, GRID, SECOND)

    opened = StoredScenes(world.store).open
    seen = observe(world.scene, subjects, coverages, lambda _: known, opened, SECOND, world.work)

    assert seen.table["status"].to_pylist() == ["region_edge"] * 2 + ["clear"] * 4


def test_clouds_thin_clouds_and_shadow_are_told_apart_from_snow(store_folder: Path) -> None:
    sky = classes()
    sky[10, 10:12], sky[10, 12], sky[10, 13], sky[10, 14] = CLOUD, THIN, SHADOW, SNOW

    row = World(store_folder, sky).observe(f=box(10, 10, 20, 11))["f"]

    assert row["cloud_fraction"] == pytest.approx(0.3, abs=1e-3)
    assert row["shadow_fraction"] == pytest.approx(0.1, abs=1e-3)
    assert row["clear_fraction"] == pytest.approx(0.5, abs=1e-3)
    assert row["status"] == "partial"


def test_a_field_below_two_cells_is_too_small_and_has_its_numbers_all_the_same(store_folder: Path) -> None:
    row = World(store_folder, classes()).observe(f=box(10.2, 10.2, 11.5, 11.5))["f"]

    assert row["status"] == "too_small"
    assert row["cell_count"] == 4
    assert row["ndvi_mean"] == pytest.approx(0.777, abs=0.01)


def test_of_a_day_that_was_never_asked_for_nothing_is_said(mosaic: World) -> None:
    with pytest.raises(SceneError, match="has no rows yet: its scene is not asked"):
        mosaic.observe(SceneInput(NOT_ASKED), clear=ABOVE)


@pytest.mark.parametrize(("digest_", "status"), [(NO_OVERPASS, "no_overpass"), (NO_SCENE, "no_scene")])
def test_a_day_without_a_scene_is_a_row_without_numbers(store_folder: Path, digest_: str, status: str) -> None:
    world = World(store_folder, classes())

    row = world.observe(SceneInput(digest_), f=FIELD)["f"]

    assert (row["status"], row["scene_digest"], row["cell_count"]) == (status, digest_, 121)
    told = {name for name, value in row.items() if value is not None}
    assert told == {
        "field", "status", "cell_count", "inside_fraction", "scene_digest", "geometry_digest", "algorithm_version"
    }  # fmt: skip
    assert world.work == ObservationCost()


# --- items ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mosaic(store_folder: Path) -> World:
    """A scene of three items: the first up to column 100, the second up to 200, the third between rows of its own."""
    sky = classes()
    sky[:, 200:] = NODATA
    world = World(store_folder, sky)
    providers = np.where(np.arange(GRID.width) < 100, 1, 2) * (sky != NODATA)
    providers[30:35] = 3 * (sky[30:35] != NODATA)
    world.put(replace(world.pixels, items=(item(1), item(2), item(3)), digest="m", providers=providers.astype("u2")))
    return world


@pytest.mark.parametrize(
    ("columns", "rows", "items", "sensed"),
    [
        ((80, 90), (5, 15), [1], 1),
        ((110, 120), (5, 15), [2], 2),
        ((96, 106), (5, 15), [1, 2], 2),  # the second has the larger part
        ((94, 104), (5, 15), [1, 2], 1),
        ((190, 230), (5, 15), [2], 2),  # most of it outside of the swath
        ((97, 105), (28, 36), [1, 2, 3], 3),
    ],
)
def test_a_row_names_the_items_that_saw_its_field_and_when_most_of_it_was_seen(
    mosaic: World, columns: tuple[int, int], rows: tuple[int, int], items: list[int], sensed: int
) -> None:
    row = mosaic.observe(f=box(columns[0], rows[0] + 0.5, columns[1], rows[1]))["f"]

    assert json.loads(row["item_ids"]) == [f"item-{n}" for n in items]
    assert row["sensed_at"] == item(sensed).sensed_at


def test_a_row_whose_field_lies_outside_of_the_swath_names_no_item(mosaic: World) -> None:
    row = mosaic.observe(f=box(210, 5, 220, 15))["f"]

    assert (row["status"], row["item_ids"], row["sensed_at"]) == ("outside_swath", None, None)


def test_of_items_that_saw_the_same_part_the_one_laid_first_tells_the_time(mosaic: World) -> None:
    weights = np.ones(4)
    cells = {"item": np.array([2, 1, 1, 2], np.uint16)}

    told = _seen_by([("a", SENSED), ("b", item(2).sensed_at)], cells, Coverage(np.array([0, 4]), np.arange(4), weights))

    assert told == {"item_ids": ['["a", "b"]'], "sensed_at": [SENSED]}


def test_items_are_told_alike_alone_and_among_others(mosaic: World) -> None:
    many = {f"f{i}": box(3 + 17.3 * i, 2.1 + i, 14.7 + 17.3 * i, 9.9 + i) for i in range(20)}

    together = mosaic.observe(**many)

    assert len({row["item_ids"] for row in together.values()}) > 3
    for name, shape in many.items():
        assert mosaic.observe(**{name: shape})[name] == together[name]


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_cloudy_cells_and_cells_of_other_fields_have_no_part_in_a_number(store_folder: Path) -> None:
    red = np.random.default_rng(1).integers(1100, 3000, (GRID.height, GRID.width)).astype(np.uint16)
    sky = classes()
    sky[:, 15:] = CLOUD
    hot = red.copy()
    hot[:, 15:] = 60_000
    hot[25:] = 60_000

    one = World(store_folder / "1", sky, red=red, nir=5000).observe(f=FIELD)["f"]
    other = World(store_folder / "2", sky, red=hot, nir=5000).observe(f=FIELD, other=box(10, 30, 20, 35))["f"]

    assert one == other


def test_a_cell_without_a_value_in_one_band_has_no_part_in_that_bands_numbers_alone(store_folder: Path) -> None:
    swir = np.full((GRID.height, GRID.width), 3000, np.uint16)
    swir[:, :15] = 0

    row = World(store_folder, classes(), red=1500, nir=5000, swir16=swir).observe(f=FIELD)["f"]

    assert (row["status"], row["observed_fraction"], row["clear_fraction"]) == ("clear", 1, 1)
    assert row["ndmi_mean"] == pytest.approx((0.4 - 0.2) / (0.4 + 0.2))
    assert row["swir16_mean"] == pytest.approx(0.2)
    assert (row["ndvi_mean"], row["red_mean"]) == pytest.approx((0.35 / 0.45, 0.05))


def test_bands_and_layers_that_the_scene_lacks_are_null(store_folder: Path) -> None:
    row = World(store_folder, classes()).observe(f=FIELD)["f"]

    assert [row[name] for name in ("ndmi_mean", "lst_c_mean", "blue_mean", "lwir11_mean")] == [None] * 4


def test_temperatures_are_in_kelvin_by_band_and_in_celsius_by_layer(store_folder: Path) -> None:
    row = World(store_folder, classes(), red=1500, nir=5000, lwir11=29_815).observe(f=FIELD)["f"]

    assert row["lwir11_mean"] == pytest.approx(298.15)
    assert (row["lst_c_mean"], row["lst_c_min"], row["lst_c_max"]) == pytest.approx((25, 25, 25))
    assert row["lst_c_stdev"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("quantiles", [(), (0.0, 0.1, 0.5)])
def test_a_fields_numbers_are_the_same_bits_alone_and_among_others(
    store_folder: Path, quantiles: tuple[float, ...]
) -> None:
    red = np.random.default_rng(2).integers(1100, 3000, (GRID.height, GRID.width)).astype(np.uint16)
    world = World(store_folder, classes(), red=red, nir=5000)
    world.rules = replace(RULES, quantiles=quantiles)
    many = {f"f{i}": box(3 + 17.3 * i, 2.1 + i, 14.7 + 17.3 * i, 9.9 + i) for i in range(20)}
    many |= {f"wide{i}": box(3 + 7.3 * i, 0.4, 590, 39.1) for i in range(4)}  # more cells than are computed at once

    together = world.observe(**many)
    backwards = world.observe(**dict(reversed(many.items())))

    assert together == backwards
    for name, shape in many.items():
        assert world.observe(**{name: shape})[name] == together[name]


# --- quantiles -------------------------------------------------------------------------------------------------------

ABOVE, BELOW = box(10, 0.5, 20, 9.5), box(10, 20.5, 20, 29.5)


def speckled(folder: Path) -> World:
    """NDVI and temperature are nowhere the same twice; below row 20 all is cloud. It has no band for NDMI."""
    sky = classes()
    sky[20:] = CLOUD
    red = 1001 + np.random.default_rng(5).permutation(sky.size).reshape(sky.shape)
    return World(folder, sky, red=red, nir=5000, lwir11=30_000 + red)


def test_a_version_that_asks_for_quantiles_has_them_of_each_layer(store_folder: Path) -> None:
    world = speckled(store_folder)
    asked = (0.05, 0.5, 1.0)
    world.rules = replace(RULES, quantiles=asked, whole_cells=0.6)

    row = world.observe(f=ABOVE)["f"]

    cells = np.s_[1:9, 10:20]  # of the rows above and below them half is covered
    red = world.pixels.layers.bands["red"][cells].astype(float) * 1e-4 - 0.1
    ndvi = (0.4 - red) / (0.4 + red)
    celsius = world.pixels.layers.bands["lwir11"][cells].astype(float) * 0.01 - 273.15
    assert row["ndvi_quantiles"] == pytest.approx(np.quantile(ndvi, asked), rel=1e-9)
    assert row["lst_c_quantiles"] == pytest.approx(np.quantile(celsius, asked), rel=1e-9)
    assert row["ndvi_quantiles"][-1] == row["ndvi_max"]
    assert row["ndmi_quantiles"] is None


def test_a_cell_counts_in_quantiles_by_its_covered_part(store_folder: Path) -> None:
    world = speckled(store_folder)
    world.rules = replace(RULES, quantiles=(0.5,))

    [whole] = world.observe(f=ABOVE)["f"]["ndvi_quantiles"]
    [sliver] = world.observe(f=box(10, 0.999, 20, 9.001))["f"]["ndvi_quantiles"]
    [left_out] = world.observe(f=box(10, 1, 20, 9))["f"]["ndvi_quantiles"]

    assert abs(sliver - left_out) < abs(whole - left_out)


@pytest.mark.parametrize("quantiles", [(), (0.5,)])
def test_a_field_without_a_clear_cell_has_no_quantiles_nor_has_a_version_that_asks_for_none(
    store_folder: Path, quantiles: tuple[float, ...]
) -> None:
    world = speckled(store_folder)
    world.rules = replace(RULES, quantiles=quantiles)

    rows = world.observe(clear=ABOVE, cloudy=BELOW)
    nothing = world.observe(SceneInput(NO_OVERPASS), clear=ABOVE)["clear"]

    assert (rows["clear"]["ndvi_quantiles"] is None) == (not quantiles)
    assert rows["cloudy"]["ndvi_quantiles"] is rows["cloudy"]["lst_c_quantiles"] is nothing["ndvi_quantiles"] is None


def test_quantiles_are_the_only_difference_that_asking_for_them_makes(store_folder: Path) -> None:
    world = speckled(store_folder)
    without = world.observe(a=ABOVE, b=BELOW)
    world.rules = replace(RULES, quantiles=(0.25, 0.75))

    asked = world.observe(a=ABOVE, b=BELOW)

    for name, row in asked.items():
        assert {key for key in row if row[key] != without[name][key]} <= {"ndvi_quantiles", "lst_c_quantiles"}


# --- masks that are grown --------------------------------------------------------------------------------------------

KINDS = (CLEAR, CLEAR, CLEAR, CLEAR, CLOUD, THIN, SHADOW, SNOW, NODATA)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patch=arrays.arrays(np.uint8, (10, 14), elements=st.sampled_from(KINDS), fill=st.just(CLEAR)),
    radius=st.integers(1, 4),
    grown=st.sets(st.sampled_from([CLOUD, THIN, SHADOW, SNOW, NODATA]), min_size=1),
    corner=st.sampled_from([(0, 0), (0, 586), (30, 0), (30, 586), (15, 250)]),  # the last one across tiles
)
def test_a_grown_mask_is_that_of_the_whole_scene_alone_and_among_others(
    store_folder: Path, patch: np.ndarray, radius: int, grown: set[PixelClass], corner: tuple[int, int]
) -> None:
    top, left = corner
    sky = classes()
    sky[top : top + 10, left : left + 14] = patch
    masked = sky.copy()  # what is too near is defective, as a mask grown beforehand would have it
    rows, columns = np.mgrid[0 : GRID.height, 0 : GRID.width]
    for row, column in zip(*np.nonzero(np.isin(sky, list(grown))), strict=True):
        near = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        masked[near & (sky == CLEAR)] = PixelClass.DEFECTIVE
    red = np.random.default_rng(3).integers(1100, 3000, sky.shape).astype(np.uint16)
    bands = {"red": red, "nir": 5000}
    world, whole = World(store_folder / "a", sky, **bands), World(store_folder / "b", masked, **bands)
    world.rules = replace(RULES, dilate_cells=radius, dilate_classes=tuple(grown))
    shapes = {f"{n}": box(left + 2.3 * n, top + n, left + 2.3 * n + 5.2, top + n + 4.6) for n in range(4)}

    together = world.observe(**shapes)
    expected = whole.observe(**shapes)

    assert together == expected
    for name, shape in shapes.items():
        assert world.observe(**{name: shape})[name] == together[name]


def test_a_grown_cloud_takes_what_is_near_and_stays_a_cloud_of_its_own_size(store_folder: Path) -> None:
    sky = classes()
    sky[15, 15] = CLOUD
    world = World(store_folder, sky)
    world.rules = replace(RULES, dilate_cells=1)

    row = world.observe(f=box(10, 10, 20, 20))["f"]

    assert row["clear_fraction"] == pytest.approx(0.95, abs=1e-3)
    assert row["cloud_fraction"] == pytest.approx(0.01, abs=1e-4)
    assert row["status"] == "clear"


def test_a_cloud_beyond_a_fields_tile_is_seen(store_folder: Path) -> None:
    sky = classes()
    sky[:, 256] = CLOUD
    world = World(store_folder, sky)
    world.rules = replace(RULES, dilate_cells=2)

    row = world.observe(f=box(246, 10.5, 256, 20))["f"]

    assert row["clear_fraction"] == pytest.approx(0.8, abs=1e-3)
    assert world.work.tiles == 2


def test_the_cells_around_are_counted_once_for_all_fields(store_folder: Path) -> None:
    world = World(store_folder, classes())
    world.rules = replace(RULES, dilate_cells=1)

    world.observe(a=box(10.2, 10.2, 19.8, 19.8))
    assert world.work.cells == 100 + 4 * 10
    world.observe(a=box(10.2, 10.2, 19.8, 19.8), b=box(20.2, 10.2, 29.8, 19.8))
    assert world.work.cells == 140 + 200 + 2 * 10 + 2 * 20


# --- rules of coverage and status ------------------------------------------------------------------------------------


def test_a_field_of_which_the_swath_has_too_little_is_outside_of_it(store_folder: Path) -> None:
    sky = classes()
    sky[:, 100:] = NODATA
    world = World(store_folder, sky)
    field = box(95, 10, 105, 20)

    world.rules = replace(RULES, min_observed=0.51)
    below = world.observe(f=field)["f"]
    world.rules = replace(RULES, min_observed=0.49)
    above = world.observe(f=field)["f"]

    assert (below["status"], above["status"]) == ("outside_swath", "partial")
    assert below["observed_fraction"] == above["observed_fraction"]
    assert json.loads(below["item_ids"]) == ["item-1"]


def test_a_field_that_its_margin_leaves_nothing_of_is_too_small(store_folder: Path) -> None:
    world = World(store_folder, classes(NODATA))
    world.rules = replace(RULES, inward_buffer_m=20)

    rows = world.observe(gone=box(10, 10, 13.9, 30), left=box(30, 10, 40, 20))

    assert [rows[name]["status"] for name in ("gone", "left")] == ["too_small", "outside_swath"]
    assert (rows["gone"]["cell_count"], rows["gone"]["observed_fraction"]) == (0, None)


def test_cells_that_count_whole_have_one_weight(store_folder: Path) -> None:
    red = np.random.default_rng(4).integers(1100, 3000, (GRID.height, GRID.width)).astype(np.uint16)
    world = World(store_folder, classes(), red=red, nir=5000)
    world.rules = replace(RULES, whole_cells=0.4)

    row = world.observe(f=box(10.5, 10.7, 20.3, 20.9))["f"]

    surface = red[11:21, 10:20].astype(float) * 1e-4 - 0.1
    assert row["cell_count"] == 100  # column 20 and row 10 are covered less than to two fifths
    assert row["red_mean"] == pytest.approx(surface.mean(), rel=1e-12)


# --- work ------------------------------------------------------------------------------------------------------------


def test_only_tiles_that_fields_touch_are_read(store_folder: Path) -> None:
    world = World(store_folder, classes())

    near = world.observe(a=FIELD, b=box(30, 5, 40, 9))
    one = world.work.scene_bytes
    far = world.observe(a=FIELD, far=box(500, 5, 590, 30))

    assert (world.work.scenes, world.work.tiles) == (2, 1 + 3)  # the far field lies across the second tile's edge
    assert 0 < one < world.work.scene_bytes
    assert world.work.cells == sum(row["cell_count"] for row in [*near.values(), *far.values()])


def test_a_field_whose_coverage_fails_fails_alone(store_folder: Path) -> None:
    found = World(store_folder, classes()).observed(a=FIELD, broken=FIELD, b=box(30, 5, 40, 9))

    assert found.table["field"].to_pylist() == ["a", "b"]
    assert found.failed.keys() == {"broken"}
    assert "coverage" in found.failed["broken"]


def test_no_fields_give_no_rows(store_folder: Path) -> None:
    found = World(store_folder, classes()).observed()

    assert found.table.schema.equals(OBSERVED)
    assert found.table.num_rows == 0


def test_a_scene_that_is_no_scene_says_so(store_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0")

    with pytest.raises(SceneError):
        World(store_folder, classes()).observe(opened=lambda _: SceneReader(broken), f=FIELD)


def test_the_table_has_its_schema_whatever_was_seen(store_folder: Path) -> None:
    world = World(store_folder, classes())

    for scene in (world.scene, SceneInput(NO_OVERPASS)):
        assert isinstance(world.observed(scene, f=FIELD).table, pa.Table)
        assert world.observed(scene, f=FIELD).table.schema.equals(OBSERVED)
