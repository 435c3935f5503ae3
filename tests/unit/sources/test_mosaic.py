# ruff: noqa: ARG002
# (a source of scenes has the signatures of its protocol)
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import BANDS, Layers, PixelClass
from satcommon.raster.product import Level, Tier
from satcommon.raster.scene import Acquisition, Scene
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day

SIZE = 4
AOI = AreaOfInterest("A", Bounds(14.5, 45.8, 14.6, 45.9), Grid("EPSG:32633", 465_000, 5_080_000, 10, 10, SIZE, 1))
MORNING = datetime(2026, 5, 1, 10, tzinfo=UTC)


@dataclass
class Shelf:
    """A source that holds acquisitions in memory; one without layers can't be read."""

    layers: dict[str, Layers] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    collection: str = "imagery"
    identity: str = "by hand"

    def put(self, cells: str, value: int = 1000, bands: Iterable[str] = ("red", "nir"), **told: object) -> Acquisition:
        """An item that covers the cells marked by a letter: c clear, x cloud; a dot is nodata."""
        item_id = str(told.get("item_id", f"item-{len(self.layers)}"))
        classes = np.array([[{".": PixelClass.NODATA, "c": PixelClass.CLEAR, "x": PixelClass.CLOUD}[c] for c in cells]])
        covered = classes != PixelClass.NODATA
        self.layers[item_id] = Layers(
            {band: np.where(covered, value, 0).astype(np.uint16) for band in bands}, classes.astype(np.uint8)
        )
        return acquisition(item_id=item_id, **{k: v for k, v in told.items() if k != "item_id"})

    def anchor_grid(self, bounds: Bounds) -> None:
        return None

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        return Due.UNKNOWN

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        return Listing({})

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        self.reads.append(acquisition.item_id)
        if acquisition.item_id not in self.layers:
            raise SceneError(f"{acquisition.item_id}: is damaged")
        return self.layers[acquisition.item_id]


def acquisition(item_id: str, minutes: int = 0, **told: object) -> Acquisition:
    usual = {"digest": f"of-{item_id}", "platform": "sentinel-2", "overpass": "pass-1", "tile": "", "baseline": ""}
    return Acquisition(
        item_id=item_id,
        sensed_at=MORNING + timedelta(minutes=minutes),
        published_at=MORNING + timedelta(hours=5),
        **(usual | told),  # type: ignore[arg-type]  # texts all
    )


def mosaic(shelf: Shelf, items: Iterable[Acquisition]) -> Scene:
    scene = mosaic_scene(shelf, AOI, items)
    assert scene is not None
    return scene


def ids(scene: Scene) -> list[str]:
    return [item.item_id for item in scene.items]


@st.composite
def shelves(draw: st.DrawFn) -> tuple[Shelf, list[Acquisition]]:
    shelf = Shelf()
    items = []
    for n in range(draw(st.integers(1, 5))):
        item = shelf.put(
            draw(st.text("c.x", min_size=SIZE, max_size=SIZE)),
            value=1000 + n,
            bands=draw(st.sampled_from([("red", "nir"), ("nir", "lwir11", "red"), BANDS])),
            minutes=draw(st.sampled_from([0, 0, 3, 100])),
            platform=draw(st.sampled_from(["sentinel-2", "sentinel-2", "landsat-8"])),
            overpass=draw(st.sampled_from(["pass-1", "pass-2"])),
            tile=draw(st.sampled_from(["", "T33TVL", "T33TWL"])),
            baseline=draw(st.sampled_from(["", "02.14", "04.00", "2.9", "beta"])),
            level=draw(st.sampled_from([Level.SURFACE, Level.SURFACE, Level.TOP_OF_ATMOSPHERE])),
            tier=draw(st.sampled_from([Tier.UNSTATED, Tier.REAL_TIME, Tier.TIER_1])),
            processed_at=draw(st.sampled_from([None, MORNING])),
        )
        if draw(st.integers(0, 4)) == 0:
            del shelf.layers[item.item_id]
        items.append(item)
    return shelf, items


@given(case=shelves(), data=st.data())
def test_the_order_of_arrival_never_matters(case: tuple[Shelf, list[Acquisition]], data: st.DataObject) -> None:
    shelf, items = case
    shuffled = data.draw(st.permutations(items)) + data.draw(st.lists(st.sampled_from(items)))

    if not shelf.layers.keys() & {item.item_id for item in items}:
        with pytest.raises(SceneError):
            mosaic_scene(shelf, AOI, shuffled)
        return
    one, other = mosaic(shelf, items), mosaic(shelf, shuffled)

    assert one.digest == other.digest
    assert one.items == other.items
    assert one.refused == other.refused
    np.testing.assert_array_equal(one.layers.classes, other.layers.classes)
    np.testing.assert_array_equal(one.providers, other.providers)
    assert list(one.layers.bands) == list(other.layers.bands) == [b for b in BANDS if b in one.layers.bands]


@given(case=shelves())
def test_what_can_not_be_read_counts_as_if_it_were_not_there(case: tuple[Shelf, list[Acquisition]]) -> None:
    shelf, items = case
    readable = [item for item in items if item.item_id in shelf.layers]
    if not readable:
        return

    scene = mosaic(shelf, items)

    assert scene.digest == mosaic(shelf, readable).digest
    assert scene.refused.keys() <= {item.item_id for item in items} - shelf.layers.keys()


@given(case=shelves())
def test_a_cell_s_provider_is_the_item_whose_values_it_has(case: tuple[Shelf, list[Acquisition]]) -> None:
    shelf, items = case
    if not shelf.layers:
        return

    scene = mosaic(shelf, [item for item in items if item.item_id in shelf.layers])

    if len(scene.items) == 1:
        assert scene.providers is None
        return
    assert scene.providers is not None
    np.testing.assert_array_equal(scene.providers == 0, scene.layers.classes == PixelClass.NODATA)
    for number, item in enumerate(scene.items, 1):
        theirs = scene.providers == number
        assert theirs.any()
        np.testing.assert_array_equal(
            scene.layers.bands["red"][theirs], shelf.layers[item.item_id].bands["red"][theirs]
        )


def test_of_no_acquisitions_there_is_no_scene() -> None:
    assert mosaic_scene(Shelf(), AOI, []) is None


def test_where_none_can_be_read_the_message_names_all() -> None:
    with pytest.raises(SceneError, match=r"a: is damaged; b: is damaged"):
        mosaic_scene(Shelf(), AOI, [acquisition("b"), acquisition("a")])


def test_an_item_that_can_not_be_read_is_named_and_its_older_baseline_counts() -> None:
    shelf = Shelf()
    old = shelf.put("cccc", baseline="04.00")

    scene = mosaic(shelf, [old, acquisition("new", baseline="05.00")])

    assert ids(scene) == [old.item_id]
    assert scene.refused == {"new": "new: is damaged"}


@pytest.mark.parametrize(
    "baselines", [("02.14", "04.00"), ("2.9", "2.14"), ("", "beta"), ("beta", "0.1"), ("04.00", "04.00.1")]
)
def test_of_one_pass_and_tile_the_highest_baseline_counts(baselines: tuple[str, str]) -> None:
    shelf = Shelf()
    low, high = (shelf.put("cccc", baseline=b, minutes=-n) for n, b in enumerate(baselines))

    scene = mosaic(shelf, [high, low])

    assert ids(scene) == [high.item_id]
    assert scene.digest == mosaic(shelf, [high]).digest


def test_of_one_baseline_the_one_sensed_later_counts_then_the_greater_name() -> None:
    shelf = Shelf()
    early, late, last = shelf.put("cccc"), shelf.put("cccc", minutes=7), shelf.put("cccc", minutes=7)

    assert ids(mosaic(shelf, [late, early])) == [late.item_id]
    assert ids(mosaic(shelf, [late, early, last])) == [last.item_id]


def test_split_granules_of_a_pass_and_tile_are_mosaicked() -> None:
    shelf = Shelf()
    north, south = shelf.put("cx..", 1111, tile="T33TVL"), shelf.put("..cc", 2222, tile="T33TVL", minutes=1)

    scene = mosaic(shelf, [north, south])

    assert scene.layers.bands["red"].tolist() == [[1111, 1111, 2222, 2222]]
    assert scene.layers.classes.tolist() == [[1, 2, 1, 1]]
    assert ids(scene) == [south.item_id, north.item_id]
    assert scene.providers is not None
    assert scene.providers.tolist() == [[2, 2, 1, 1]]


def test_an_older_baseline_shows_through_where_the_newer_one_has_no_data() -> None:
    shelf = Shelf()
    old = shelf.put("cccc", 1111, tile="a", baseline="04.00", minutes=5)
    new = shelf.put("xx..", 2222, tile="a", baseline="05.09")
    beside = shelf.put("..c.", 3333, tile="b", baseline="04.00")

    scene = mosaic(shelf, [old, new, beside])

    assert ids(scene) == [new.item_id, beside.item_id, old.item_id]
    assert scene.layers.bands["red"].tolist() == [[2222, 2222, 3333, 1111]]
    assert scene.layers.classes.tolist() == [[2, 2, 1, 1]]


@given(
    owners=st.lists(st.integers(0, 4), min_size=2 * SIZE, max_size=2 * SIZE),
    values=st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 7)), min_size=2 * SIZE, max_size=2 * SIZE),
    order=st.permutations(range(5)),
    tiles=st.lists(st.sampled_from(["", "T33TVL"]), min_size=5, max_size=5),
)
def test_a_file_cut_into_disjoint_parts_gives_the_pixels_of_the_whole(
    owners: list[int], values: list[tuple[int, int]], order: list[int], tiles: list[str]
) -> None:
    red, classes = (np.array(one).reshape(2, SIZE) for one in zip(*values, strict=True))
    owner = np.array(owners).reshape(2, SIZE)
    shelf = Shelf()
    parts = []
    for number in order:
        own = owner == number
        item = acquisition(f"part-{number}", minutes=number, tile=tiles[number])
        bands = {"red": np.where(own, red, 0).astype(np.uint16), "nir": np.where(own, red, 0).astype(np.uint16)}
        shelf.layers[item.item_id] = Layers(bands, np.where(own, classes, 0).astype(np.uint8))
        parts.append(item)

    scene = mosaic(shelf, parts)

    assert scene.layers.bands["red"].tobytes() == red.astype(np.uint16).tobytes()
    assert scene.layers.classes.tobytes() == classes.astype(np.uint8).tobytes()
    provides = np.ones_like(owner) if scene.providers is None else scene.providers
    assert [[ids(scene)[n - 1] for n in row] for row in provides] == [[f"part-{n}" for n in row] for row in owner]


def test_the_top_of_the_atmosphere_never_counts_beside_the_surface_whatever_the_baselines() -> None:
    shelf = Shelf()
    toa = shelf.put("cccc", 2000, baseline="05.11", level=Level.TOP_OF_ATMOSPHERE)
    other = shelf.put("cccc", 3000, baseline="05.11", overpass="pass-2", level=Level.TOP_OF_ATMOSPHERE)
    surface = shelf.put("..cc", 1000, baseline="02.09")

    scene = mosaic(shelf, [toa, other, surface])

    assert ids(scene) == [surface.item_id]
    assert scene.layers.bands["red"].tolist() == [[0, 0, 1000, 1000]]
    assert ids(mosaic(shelf, [toa])) == [toa.item_id]


def test_of_one_pass_and_tile_tier_then_baseline_then_processing_counts() -> None:
    shelf = Shelf()
    order = [
        {"tier": Tier.REAL_TIME, "baseline": "9", "processed_at": MORNING + timedelta(days=9)},
        {"tier": Tier.TIER_2, "baseline": "3", "processed_at": MORNING + timedelta(days=8)},
        {"tier": Tier.TIER_1, "baseline": "1", "processed_at": MORNING + timedelta(days=7)},
        {"tier": Tier.TIER_1, "baseline": "2", "minutes": 5},
        {"tier": Tier.TIER_1, "baseline": "2", "processed_at": MORNING + timedelta(days=5), "item_id": "z"},
        {"tier": Tier.TIER_1, "baseline": "2", "processed_at": MORNING + timedelta(days=6), "item_id": "a"},
    ]
    items = [shelf.put("cccc", 1000 + n, **told) for n, told in enumerate(order)]  # type: ignore[arg-type]  # as told

    for count in range(1, len(items) + 1):
        assert ids(mosaic(shelf, items[:count])) == [items[count - 1].item_id]


def test_tiles_of_a_pass_are_laid_side_by_side() -> None:
    shelf = Shelf()
    west, east = shelf.put("cx..", 1111, tile="T33TVL"), shelf.put(".ccc", 2222, tile="T33TWL")

    scene = mosaic(shelf, [east, west])

    assert ids(scene) == [west.item_id, east.item_id]
    assert scene.layers.bands["red"].tolist() == [[1111, 1111, 2222, 2222]]
    assert scene.layers.classes.tolist() == [[1, 2, 1, 1]]


def test_a_tile_of_a_higher_baseline_lies_on_top() -> None:
    shelf = Shelf()
    old, new = shelf.put("ccc.", tile="T33TVL", baseline="04.00"), shelf.put("..cc", tile="T33TWL", baseline="05.00")

    assert ids(mosaic(shelf, [old, new])) == [new.item_id, old.item_id]


def test_a_later_pass_fills_what_the_first_left_open() -> None:
    shelf = Shelf()
    second = shelf.put("cccc", 2222, overpass="a", minutes=100)
    first = shelf.put("cc..", 1111, overpass="b")

    scene = mosaic(shelf, [second, first])

    assert scene.layers.bands["nir"].tolist() == [[1111, 1111, 2222, 2222]]


def test_an_item_that_provides_no_cell_is_no_part_of_the_scene() -> None:
    shelf = Shelf()
    first, second = shelf.put("ccc.", tile="a"), shelf.put("cc..", tile="b", bands=BANDS)

    scene = mosaic(shelf, [first, second])

    assert ids(scene) == [first.item_id]
    assert scene.digest == mosaic(shelf, [first]).digest
    assert list(scene.layers.bands) == ["red", "nir"]


def test_a_scene_outside_of_every_swath_names_the_first_item() -> None:
    shelf = Shelf()
    empty = [shelf.put("....", tile=tile) for tile in "ab"]

    scene = mosaic(shelf, empty)

    assert ids(scene) == [empty[0].item_id]
    assert not scene.layers.classes.any()


def test_a_band_that_an_item_has_not_is_nodata_in_its_cells() -> None:
    shelf = Shelf()
    with_thermal = shelf.put("cc..", 1111, bands=("red", "nir", "lwir11"), tile="a")
    without = shelf.put("cccc", 2222, tile="b")

    scene = mosaic(shelf, [with_thermal, without])

    assert list(scene.layers.bands) == ["red", "nir", "lwir11"]
    assert scene.layers.bands["lwir11"].tolist() == [[1111, 1111, 0, 0]]
    assert scene.layers.bands["red"].tolist() == [[1111, 1111, 2222, 2222]]


def test_platforms_are_never_mixed_and_the_one_that_covers_more_is_the_scene() -> None:
    shelf = Shelf()
    landsat = shelf.put("ccc.", platform="landsat-8", overpass="l")
    sentinel = [shelf.put("c...", tile="a", minutes=30), shelf.put(".c..", tile="b", minutes=30)]

    scene = mosaic(shelf, [*sentinel, landsat])

    assert ids(scene) == [landsat.item_id]


def test_of_platforms_that_cover_the_same_the_first_to_sense_is_the_scene() -> None:
    shelf = Shelf()
    later = shelf.put("cccc", platform="landsat-8", overpass="l", minutes=30)
    first = shelf.put("xxxx")

    assert ids(mosaic(shelf, [later, first])) == [first.item_id]


def test_a_source_s_own_arrays_are_left_as_they_are() -> None:
    shelf = Shelf()
    items = [shelf.put("cc..", 1111, tile="a"), shelf.put("..cc", 2222, tile="b")]

    digests = {mosaic(shelf, order).digest for order in permutations(items)}

    assert len(digests) == 1
    assert shelf.layers[items[0].item_id].bands["red"].tolist() == [[1111, 1111, 0, 0]]


def test_the_digest_tells_grid_items_and_pixels_apart() -> None:
    shelf = Shelf()
    item = shelf.put("cc..")
    known = mosaic(shelf, [item]).digest

    moved = mosaic_scene(shelf, replace(AOI, grid=replace(AOI.grid, left=0)), [item])
    changed_item = mosaic(shelf, [replace(item, digest="of other bytes")])
    shelf.layers[item.item_id].bands["red"][0, 0] += 1
    other_value = mosaic(shelf, [item])
    shelf.layers[item.item_id].classes[0, 0] = PixelClass.SHADOW
    other_class = mosaic(shelf, [item])

    assert moved is not None
    assert len({known, moved.digest, changed_item.digest, other_value.digest, other_class.digest}) == 5
    assert all(len(digest) == 64 for digest in (known, moved.digest))


def test_the_digest_tells_who_provides_a_cell_where_values_are_the_same() -> None:
    shelf = Shelf()
    west, east = (shelf.put(cells, 1111, item_id=cells, tile=cells) for cells in ("cc..", "..cc"))
    known = mosaic(shelf, [west, east])
    shelf.layers["cc.."] = replace_cells(shelf.layers["cc.."], 1, 0, PixelClass.NODATA)
    shelf.layers["..cc"] = replace_cells(shelf.layers["..cc"], 1, 1111, PixelClass.CLEAR)

    other = mosaic(shelf, [west, east])

    np.testing.assert_array_equal(other.layers.classes, known.layers.classes)
    np.testing.assert_array_equal(other.layers.bands["red"], known.layers.bands["red"])
    assert other.digest != known.digest


def replace_cells(layers: Layers, column: int, value: int, is_now: PixelClass) -> Layers:
    bands, classes = {name: band.copy() for name, band in layers.bands.items()}, layers.classes.copy()
    classes[0, column] = is_now
    for band in bands.values():
        band[0, column] = value
    return Layers(bands, classes)
