import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from satcommon.geo.geometry import digest, projected
from satcommon.geo.grid import Grid
from satcommon.stats import coverage_cache as module
from satcommon.stats.algorithm import CURRENT, algorithm
from satcommon.stats.coverage import Coverage, Part, cover
from satcommon.stats.coverage_cache import CoverageCache
from satcommon.storage.object_store import ObjectStore
from shapely.geometry import Polygon, box

RULES = algorithm(CURRENT)
GRID = Grid("EPSG:32633", 465_000.0, 5_080_000.0, 9.5, 10.25, 40, 30)  # cells are not square
TO_DEGREES = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)


def placed(shape: shapely.Geometry) -> bytes:
    """A shape in cells (column, row from the top) as WKB in WGS 84."""
    metres = shapely.transform(
        shape, lambda xy: np.column_stack([GRID.left + xy[:, 0] * GRID.xres, GRID.top - xy[:, 1] * GRID.yres])
    )
    return shapely.to_wkb(shapely.transform(metres, TO_DEGREES.transform, interleaved=False))


def table(part: Part) -> dict[tuple[int, int], float]:
    """Covered part by (column, row)."""
    return {(int(c) % GRID.width, int(c) // GRID.width): f for c, f in zip(*part, strict=True)}


INSIDE = placed(Polygon([(3.2, 4.1), (9.7, 5.0), (8.8, 11.3), (4.0, 9.9)]))
ACROSS = placed(box(-5, 2, 2.5, 4))
OUTSIDE = placed(box(50, 2, 55, 4))
TINY = placed(box(7.25, 8.25, 7.75, 8.5))


# --- exact -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.3, 9), st.floats(0, 0.9)), min_size=5, max_size=12), st.integers(0, 9))
def test_coverage_is_exactextracts_of_a_raster_that_holds_data_everywhere(
    corners: list[tuple[float, float]], at: int
) -> None:
    angles = 2 * np.pi * (np.arange(len(corners)) + [jitter for _, jitter in corners]) / len(corners)
    reach = np.array([r for r, _ in corners])
    centre = (at * 5 - 2, 12)  # from outside the grid's left edge to its right one
    wkb = placed(Polygon(np.column_stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)])))

    [(cells, fractions)] = cover([wkb], GRID, RULES)

    frame = geopandas.GeoSeries.from_wkb([wkb], crs="EPSG:4326").to_crs(GRID.crs).to_frame("geometry")
    raster = NumPyRasterSource(np.ones((GRID.height, GRID.width)), *GRID.extent, srs_wkt=CRS(GRID.crs).to_wkt())
    theirs = exact_extract(raster, frame, ["cell_id", "coverage"], output="pandas")
    expected = {} if theirs.empty else dict(zip(theirs["cell_id"][0], theirs["coverage"][0], strict=True))
    assert dict(zip(cells.tolist(), fractions.tolist(), strict=True)) == {c: f for c, f in expected.items() if f > 0}
    assert (np.diff(cells) > 0).all()


def test_the_covered_parts_are_the_areas_that_a_ruler_gives() -> None:
    [part] = cover([placed(box(2.5, 3.0, 4.0, 4.25))], GRID, RULES)

    whole = {(2, 3): 0.5, (3, 3): 1.0, (2, 4): 0.125, (3, 4): 0.25}
    found = table(part)
    assert {cell: fraction for cell, fraction in found.items() if fraction > 1e-4} == pytest.approx(whole, abs=1e-4)


def test_a_template_without_nodata_covers_cells_that_hold_nodata_too() -> None:
    # exactextract drops the cells of a raster that hold nodata: clouds of the first day would stay baked in.
    cloudy = np.zeros((GRID.height, GRID.width), np.uint8)
    raster = NumPyRasterSource(cloudy, *GRID.extent, nodata=0, srs_wkt=CRS(GRID.crs).to_wkt())
    frame = geopandas.GeoSeries.from_wkb([INSIDE], crs="EPSG:4326").to_crs(GRID.crs).to_frame("geometry")
    dropped = exact_extract(raster, frame, ["cell_id"], output="pandas")["cell_id"][0]

    [(cells, _)] = cover([INSIDE], GRID, RULES)

    assert len(dropped) == 0
    assert len(cells) > 30


def test_a_polygon_partly_outside_is_covered_where_the_grid_is() -> None:
    [part] = cover([ACROSS], GRID, RULES)

    assert sum(table(part).values()) == pytest.approx(2.5 * 2, rel=1e-3)
    assert {column for column, _ in table(part)} == {0, 1, 2}


def test_a_polygon_outside_is_empty_in_its_place_among_others() -> None:
    parts = cover([OUTSIDE, INSIDE, OUTSIDE], GRID, RULES)

    assert [len(cells) > 0 for cells, _ in parts] == [False, True, False]
    assert cover([OUTSIDE], GRID, RULES)[0][0].dtype == np.int32
    assert cover([], GRID, RULES) == []


def test_a_polygon_that_only_touches_the_grid_covers_nothing() -> None:
    [(cells, fractions)] = cover([placed(box(-5, 0, -1e-7, 5))], GRID, RULES)

    assert len(cells) == len(fractions) == 0


def test_a_polygon_smaller_than_a_cell_covers_its_part_of_it() -> None:
    [part] = cover([TINY], GRID, RULES)

    assert table(part) == pytest.approx({(7, 8): 0.125}, rel=1e-3)


def test_a_polygon_with_a_hole_and_another_part() -> None:
    shape = shapely.MultiPolygon([box(1, 1, 5, 5).difference(box(2, 2, 4, 4)), box(10, 1, 11, 2)])

    [part] = cover([placed(shape)], GRID, RULES)

    assert sum(part[1]) == pytest.approx(16 - 4 + 1, rel=1e-3)


def test_slivers_below_the_rules_minimum_are_left_out() -> None:
    [everything] = cover([INSIDE], GRID, RULES)
    [kept] = cover([INSIDE], GRID, replace(RULES, min_cell_coverage=0.5))

    assert table(kept) == {cell: part for cell, part in table(everything).items() if part >= 0.5}
    assert 0 < len(kept[0]) < len(everything[0])


# --- rules -----------------------------------------------------------------------------------------------------------


@given(st.floats(0.05, 1), st.floats(0, 1))
def test_cells_count_whole_from_a_part_on_or_not_at_all(whole: float, least: float) -> None:
    [everything] = cover([INSIDE], GRID, RULES)
    [counted] = cover([INSIDE], GRID, replace(RULES, whole_cells=whole, min_cell_coverage=least))

    assert table(counted) == {cell: 1.0 for cell, part in table(everything).items() if part >= max(whole, least)}


@pytest.mark.parametrize("metres", [0.5, 7.0, 20.0])
def test_a_margin_is_left_out_as_geos_measures_it_in_the_grids_metres(metres: float) -> None:
    shape = shapely.difference(box(3, 3, 20, 20), Polygon([(8, 8), (15, 9), (9, 14)]))
    metric = shapely.transform(
        shape, lambda xy: np.column_stack([GRID.left + xy[:, 0] * GRID.xres, GRID.top - xy[:, 1] * GRID.yres])
    ).buffer(-metres)

    [(cells, fractions)] = cover([placed(shape)], GRID, replace(RULES, inward_buffer_m=metres))

    rows, columns = np.divmod(cells, GRID.width)
    left, top = GRID.left + columns * GRID.xres, GRID.top - rows * GRID.yres
    areas = shapely.area(shapely.intersection(metric, shapely.box(left, top - GRID.yres, left + GRID.xres, top)))
    scale = 0.0004 * metres * (GRID.xres + GRID.yres)  # of UTM: its metres are short ones near the zone's middle
    assert fractions * GRID.xres * GRID.yres == pytest.approx(areas, abs=scale + 0.01)
    assert areas.sum() == pytest.approx(metric.area)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "ESRI:54008"])
def test_a_margin_has_its_metres_whatever_the_crs_of_the_grid(crs: str) -> None:
    field = shapely.box(14.5, 60.0, 14.52, 60.01)  # 1116 m x 1114 m
    west, south, east, north = projected(field, crs).bounds
    size = (east - west) / 200
    grid = Grid(crs, west, north, size, size, 201, int((north - south) / size) + 1)

    [(_, whole)], [(_, inner)] = (
        cover([shapely.to_wkb(field)], grid, r) for r in (RULES, replace(RULES, inward_buffer_m=50))
    )

    assert inner.sum() / whole.sum() == pytest.approx((1116 - 100) * (1114 - 100) / (1116 * 1114), rel=2e-3)


def test_a_field_narrower_than_its_margins_covers_nothing() -> None:
    [(cells, _), (others, _)] = cover([TINY, INSIDE], GRID, replace(RULES, inward_buffer_m=5))

    assert len(cells) == 0
    assert len(others) > 0


# --- joined ----------------------------------------------------------------------------------------------------------


def test_polygons_are_joined_in_their_order_with_empty_ones_between() -> None:
    empty: Part = (np.empty(0, np.int64), np.empty(0))
    parts: list[Part] = [empty, (np.array([3, 4]), np.array([0.5, 1.0])), empty, (np.array([1]), np.array([0.25]))]

    joined = Coverage.of(parts)

    assert joined.offsets.tolist() == [0, 0, 2, 2, 3]
    assert joined.cells.tolist() == [3, 4, 1]
    assert joined.fractions.tolist() == [0.5, 1.0, 0.25]
    assert Coverage.of([]).offsets.tolist() == [0]


# --- the cache -------------------------------------------------------------------------------------------------------


class Registry:
    """Gives geometries by digest, and counts what it was asked for."""

    def __init__(self, *geometries: bytes) -> None:
        self.known = {digest(shapely.from_wkb(wkb)): wkb for wkb in geometries}
        self.asked: list[list[str]] = []

    @property
    def digests(self) -> list[str]:
        return list(self.known)

    def __call__(self, digests: list[str]) -> Mapping[str, bytes]:
        self.asked.append(digests)
        return {one: self.known[one] for one in digests}


@pytest.fixture
def store(store_folder: Path) -> ObjectStore:
    return ObjectStore(str(store_folder))


def cache_of(store: ObjectStore) -> CoverageCache:
    return CoverageCache(store, GRID, RULES)


def same(one: Coverage, other: Coverage) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("offsets", "cells", "fractions")
    )


def test_a_second_process_reads_the_packs_and_asks_for_nothing(store: ObjectStore) -> None:
    registry = Registry(INSIDE, OUTSIDE, ACROSS, TINY)
    first, _ = cache_of(store).get(registry.digests, registry)

    again, failed = cache_of(store).get(registry.digests, registry)

    assert same(first, again)
    assert failed == {}
    assert len(registry.asked) == 1
    assert same(first, Coverage.of(cover(list(registry.known.values()), GRID, RULES)))


def test_adding_a_geometry_computes_that_one_only(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(INSIDE, ACROSS)
    cache_of(store).get(registry.digests, registry)
    computed: list[int] = []
    monkeypatch.setattr(module, "cover", lambda g, *rest: computed.append(len(g)) or cover(g, *rest))
    grown = Registry(INSIDE, TINY, ACROSS)

    found, _ = cache_of(store).get(grown.digests, grown)

    assert computed == [1]
    assert grown.asked == [[digest(shapely.from_wkb(TINY))]]
    assert same(found, Coverage.of(cover([INSIDE, TINY, ACROSS], GRID, RULES)))


def test_what_is_known_touches_neither_store_nor_registry(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, cache = Registry(INSIDE, ACROSS), cache_of(store)
    cache.get(registry.digests, registry)
    monkeypatch.setattr(ObjectStore, "list", lambda *_: pytest.fail("the store was listed"))

    cache.get(registry.digests[::-1] * 2, registry)

    assert len(registry.asked) == 1


def test_a_geometry_asked_for_twice_is_computed_once_and_given_twice(store: ObjectStore) -> None:
    registry = Registry(TINY)

    found, _ = cache_of(store).get(registry.digests * 2, registry)

    assert registry.asked == [registry.digests]
    assert same(found, Coverage.of(cover([TINY, TINY], GRID, RULES)))


def test_writers_that_race_harm_nobody(store: ObjectStore) -> None:
    registry = Registry(INSIDE, ACROSS, TINY)
    caches = [cache_of(store) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda cache: cache.get(registry.digests, registry)[0], caches))

    late, _ = cache_of(store).get(registry.digests, lambda _: pytest.fail("all is in the packs"))
    assert all(same(one, late) for one in found)


def test_a_broken_geometry_fails_alone_with_its_reason(store: ObjectStore) -> None:
    registry = Registry(INSIDE, TINY)
    good = registry.digests
    registry.known["broken"] = b"\x01\x03\x00\x00\x00"

    cache = cache_of(store)
    found, failed = cache.get([good[0], "broken", good[1]], registry)

    assert list(failed) == ["broken"]
    assert failed["broken"].startswith("coverage: ")
    assert len(failed["broken"]) > len("coverage: ")
    empty: Part = (np.empty(0, np.int32), np.empty(0, np.float32))
    inside, tiny = cover([INSIDE, TINY], GRID, RULES)
    assert same(found, Coverage.of([inside, empty, tiny]))


def test_grids_and_rules_do_not_share_packs(store: ObjectStore) -> None:
    registry = Registry(INSIDE)
    shifted = Grid(GRID.crs, GRID.left + 4.75, GRID.top, GRID.xres, GRID.yres, GRID.width, GRID.height)
    plain, _ = cache_of(store).get(registry.digests, registry)

    elsewhere, _ = CoverageCache(store, shifted, RULES).get(registry.digests, registry)
    coarser, _ = CoverageCache(store, GRID, replace(RULES, min_cell_coverage=0.5)).get(registry.digests, registry)

    assert len(registry.asked) == 3
    assert not same(plain, elsewhere)
    assert not same(plain, coarser)


def test_each_rule_of_coverage_has_packs_of_its_own() -> None:
    rules = [
        RULES,
        *(replace(RULES, inward_buffer_m=metres) for metres in (1, 0.1234567, 0.1234568)),
        *(replace(RULES, whole_cells=part) for part in (0.1, 1)),
        replace(RULES, min_cell_coverage=0.1),
        replace(RULES, min_cell_coverage=0.1, inward_buffer_m=1, whole_cells=1),
    ]

    assert RULES.coverage_rule == "min0"
    assert len({one.coverage_rule for one in rules}) == len(rules)
    assert replace(RULES, dilate_cells=3, min_clear=0.1, kernel_size=2).coverage_rule == RULES.coverage_rule


def many_fields(count: int) -> Registry:
    return Registry(*(placed(box(n % 30 + 0.3, n // 30 + 0.2, n % 30 + 2.1, n // 30 + 1.7)) for n in range(count)))


def test_many_small_packs_are_joined_into_few_and_nothing_is_lost(store: ObjectStore) -> None:
    registry = many_fields(120)
    for start in range(40):  # each by a process of its own, as late fields come
        cache_of(store).get(registry.digests[start * 3 : start * 3 + 3], registry)

    found, _ = cache_of(store).get(registry.digests, lambda _: pytest.fail("all is in the packs"))

    assert len(store.list("coverage/" + GRID.digest + "/min0/")) < 2 * module._MANY_PACKS
    assert same(found, Coverage.of(cover(list(registry.known.values()), GRID, RULES)))
    assert sum(map(len, registry.asked)) == 120


def test_a_pack_that_outweighs_all_others_is_not_written_again(store: ObjectStore) -> None:
    registry = many_fields(200)
    cache_of(store).get(registry.digests[:150], registry)
    (large,) = store.list(f"coverage/{GRID.digest}/min0/")

    for n in range(150, 200):
        cache_of(store).get([registry.digests[n]], registry)

    assert large in store.list(f"coverage/{GRID.digest}/min0/")


def test_writers_that_join_packs_at_the_same_time_lose_nothing(store: ObjectStore) -> None:
    registry = many_fields(160)

    def add(start: int) -> None:
        for n in range(start, 160, 4):
            cache_of(store).get([registry.digests[n]], registry)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))

    found, failed = cache_of(store).get(registry.digests, lambda _: pytest.fail("all is in the packs"))
    assert failed == {}
    assert same(found, Coverage.of(cover(list(registry.known.values()), GRID, RULES)))


def beyond_the_grid(pack: bytes) -> bytes:
    """The pack with each cell of another number, that no raster of the grid has."""
    table = pa.ipc.open_file(pack).read_all()
    cells = pa.array([[GRID.width * GRID.height + 1, *steps[1:]] for steps in table["cells"].to_pylist()])
    moved = table.set_column(1, "cells", cells.cast(table["cells"].type))
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, moved.schema) as writer:
        writer.write_table(moved)
    return sink.getvalue()


@pytest.mark.parametrize("spoil", [lambda _: b"ARROW1 and nothing else", beyond_the_grid])
def test_a_spoilt_pack_is_computed_again(spoil: Callable[[bytes], bytes], store: ObjectStore) -> None:
    registry = Registry(INSIDE)
    first, _ = cache_of(store).get(registry.digests, registry)
    for key in store.list(f"coverage/{GRID.digest}/min0/"):
        spoilt = spoil(store.get(key))
        store.delete(key)
        store.put(key, spoilt)

    again, failed = cache_of(store).get(registry.digests, registry)

    assert failed == {}
    assert same(first, again)


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 30))
def test_pieces_are_the_whole_whatever_their_size(sizes: list[int], entries: int) -> None:
    whole = Coverage.of([(np.arange(n), np.full(n, 0.5, np.float32)) for n in sizes])

    pieces = list(whole.pieces(entries))

    assert sum(len(piece) for _, piece in pieces) == len(sizes)
    for chosen, piece in pieces:
        assert piece.cells.tolist() == whole.cells[chosen].tolist()
        assert len(piece.cells) <= max(entries, *np.diff(piece.offsets).tolist())


def test_a_pack_that_is_collected_while_it_is_listed_is_built_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(INSIDE)
    first, _ = cache_of(store).get(registry.digests, registry)
    listed = store.list("coverage/")
    for key in listed:
        store.delete(key)
    monkeypatch.setattr(store, "list", lambda _: listed)

    again, failed = cache_of(store).get(registry.digests, registry)

    assert failed == {}
    assert same(first, again)
