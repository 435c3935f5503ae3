import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from satcommon.errors import InputError
from satcommon.geo.geometry import area_ha, digest, overlaps, projected, rectangle, same_place
from satcommon.geo.grid import Bounds
from satcommon.geo.polygon_checks import validated
from shapely.affinity import translate
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

FIELD = Polygon([(14.50, 45.80), (14.51, 45.80), (14.512, 45.807), (14.505, 45.811), (14.50, 45.808)])
NAN, INFINITE = math.nan, math.inf


def star(radii: list[float], longitude: float = 14.5, latitude: float = 45.8) -> Polygon:
    """A polygon around a point, in steps of 0.001 degrees: never crossing itself."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    r = np.array(radii) * 0.001
    return Polygon(np.column_stack([longitude + r * np.cos(angles), latitude + r * np.sin(angles)]))


def with_vertex(x: float, y: float) -> Polygon:
    """The field with another second vertex; a constructor would warn of what is no number."""
    corners = np.array(FIELD.exterior.coords)
    corners[1] = x, y
    return shapely.set_coordinates(shapely.from_wkb(FIELD.wkb), corners)


stars = st.lists(st.floats(0.2, 1.0), min_size=4, max_size=12).map(star)


# --- what is accepted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("geometry", "complaint"),
    [
        (None, "empty"),
        (Polygon(), "empty"),
        (Point(14, 45), "Point"),
        (LineString([(14, 45), (15, 46)]), "LineString"),
        (shapely.GeometryCollection([FIELD]), "GeometryCollection"),
        (with_vertex(NAN, 45), "not a number"),
        (with_vertex(14, INFINITE), "not a number"),
        (Polygon([(14, 91), (15, 91), (15, 92)]), "off the globe"),
        (Polygon([(5e5, 5e6), (5e5 + 10, 5e6), (5e5, 5e6 + 10)]), "degrees of WGS 84"),
        (Polygon([(45, 120), (46, 120), (46, 121)]), "latitude and longitude look swapped"),
        (Polygon([(-120, 80), (0, 80), (120, 80)]), "goes around a pole, or around the globe; cut it"),
        (Polygon([(-179.9, 45), (179.9, 46), (179.9, 45), (-179.9, 46)]), "crosses the antimeridian and is not valid"),
        (box(14, 45, 15, 46).segmentize(1e-5 * 0.9), "vertices; expected at most 100,000; simplify"),
        (Polygon([(14, 45), (15, 46), (16, 47)]), "points lie on a line"),
        (Polygon([(14, 45), (14, 45), (14, 45)]), "points lie on a line"),
        (Polygon([(14, 45), (15, 46), (15, 45), (14, 46)]), "it crosses itself near (14.5, 45.5)"),
        (MultiPolygon([FIELD, FIELD]), "not valid"),
        (Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(5, 5), (6, 5), (6, 6)]]), "not valid"),
    ],
)
def test_a_bad_polygon_is_refused_with_its_place_and_what_is_wrong(
    geometry: shapely.Geometry | None, complaint: str
) -> None:
    with pytest.raises(InputError) as refused:
        validated(geometry, "fields.geojson: feature 17")

    assert str(refused.value).startswith("fields.geojson: feature 17: ")
    assert complaint in str(refused.value)


def test_a_good_polygon_is_kept_as_it_came_but_for_heights() -> None:
    high = Polygon([(x, y, 100.0) for x, y in FIELD.exterior.coords])

    kept = validated(high, "here")

    assert not kept.has_z
    assert list(kept.exterior.coords) == list(FIELD.exterior.coords)


def test_holes_and_several_parts_are_accepted() -> None:
    ring = Polygon(box(14, 45, 14.1, 45.1).exterior, [box(14.02, 45.02, 14.05, 45.05).exterior])
    parts = MultiPolygon([ring, box(14.2, 45, 14.3, 45.1)])

    assert validated(parts, "here").equals(parts)


# --- area ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latitude", [0.0, 45.0, -33.0, 70.0])
def test_the_area_of_a_degree_square_is_that_of_the_ellipsoid(latitude: float) -> None:
    # The authalic area between two parallels (Snyder 1987, eq. 3-11 and 3-12), with the edges along the parallels.
    e2 = 0.00669437999014
    e = math.sqrt(e2)

    def q(phi: float) -> float:
        s = math.sin(math.radians(phi))
        return (1 - e2) * (s / (1 - e2 * s * s) - math.log((1 - e * s) / (1 + e * s)) / (2 * e))

    expected = 6378137.0**2 / 2 * (q(latitude + 1) - q(latitude)) * math.radians(1) / 1e4
    edge = np.linspace(10, 11, 2001)
    along_parallels = Polygon([*((x, latitude) for x in edge), *((x, latitude + 1) for x in edge[::-1])])

    assert area_ha(along_parallels) == pytest.approx(expected, rel=1e-9)


def test_a_hole_is_not_area_and_direction_does_not_count() -> None:
    outer, inner = box(14, 45, 14.1, 45.1), box(14.02, 45.02, 14.05, 45.05)
    holed = Polygon(outer.exterior.coords[::-1], [inner.exterior.coords])

    assert area_ha(holed) == pytest.approx(area_ha(outer) - area_ha(inner), rel=1e-12)
    assert area_ha(MultiPolygon([outer, translate(outer, 1, 0)])) == pytest.approx(2 * area_ha(outer), rel=1e-12)


# --- identity --------------------------------------------------------------------------------------------------------


@given(polygon=stars, start=st.integers(0, 11), turned=st.booleans())
def test_the_digest_is_the_same_from_any_vertex_in_either_direction(polygon: Polygon, start: int, turned: bool) -> None:
    ring = list(polygon.exterior.coords)[:-1]
    start %= len(ring)
    ring = ring[start:] + ring[:start]

    again = Polygon(ring[::-1] if turned else ring)

    assert digest(again) == digest(polygon)
    assert same_place(again, polygon)


def test_the_digest_tells_polygons_apart_that_differ_by_a_tenth_of_a_millimetre_and_no_less() -> None:
    ring = list(FIELD.exterior.coords)[:-1]
    moved = [
        [(ring[1][0] + by, ring[1][1]) if i == 1 else point for i, point in enumerate(ring)] for by in (1e-9, 1e-11)
    ]

    assert [digest(Polygon(one)) == digest(FIELD) for one in moved] == [False, True]


@given(polygon=stars, noise=st.integers(0, 2**32 - 1))
def test_a_reprojection_there_and_back_is_the_same_place(polygon: Polygon, noise: int) -> None:
    random = np.random.default_rng(noise)

    moved = shapely.transform(polygon, lambda xy: xy + random.uniform(-4e-10, 4e-10, (1, 2)).repeat(len(xy), 0))

    assert same_place(moved, polygon)


def test_noise_that_makes_another_vertex_the_first_of_the_normal_form_is_still_the_same_place() -> None:
    # Both western corners have the least longitude: which of them leads the normal form hangs on the last bit.
    square = box(14, 45, 14.01, 45.01)
    corners = np.array(square.exterior.coords)
    corners[corners[:, 1] == 45.01, 0] -= 2e-10

    assert same_place(Polygon(corners), square)


def test_a_surveyors_edit_is_another_place() -> None:
    corners = np.array(FIELD.exterior.coords)
    corners[2, 0] += 1e-7  # a centimetre

    assert not same_place(Polygon(corners), FIELD)
    assert not same_place(FIELD, FIELD.convex_hull.buffer(1e-4))
    assert not same_place(FIELD, translate(FIELD, 1, 0))


# --- projection ------------------------------------------------------------------------------------------------------


def test_a_small_polygon_is_projected_vertex_by_vertex() -> None:
    moved = projected(FIELD, "EPSG:32633")

    assert shapely.get_num_coordinates(moved) == shapely.get_num_coordinates(FIELD)
    assert moved.area / 1e4 == pytest.approx(area_ha(FIELD), rel=2e-3)  # UTM's scale at the zone's edges


def test_long_edges_get_vertices_so_that_they_bend_as_the_parallel_does() -> None:
    wide = box(14.0, 60.0, 16.0, 60.1)

    moved = projected(wide, "EPSG:32633")

    straight = shapely.transform(wide, lambda xy: np.array(projected_points(xy)))
    bend_m = shapely.hausdorff_distance(straight.exterior, moved.exterior, densify=0.1)
    assert bend_m > 100
    assert shapely.length(shapely.LineString(wide.exterior.coords)) / 0.02 <= shapely.get_num_coordinates(moved)


def projected_points(points: np.ndarray) -> list[tuple[float, float]]:
    return [projected(Point(xy), "EPSG:32633").coords[0] for xy in points]


# --- membership ------------------------------------------------------------------------------------------------------

EAST, WEST, FAR = Bounds(14.0, 45.0, 14.1, 45.1), Bounds(13.9, 45.0, 14.0, 45.1), Bounds(100, 0, 101, 1)


def test_a_polygon_belongs_to_every_rectangle_that_it_shares_area_with() -> None:
    across = box(13.99, 45.02, 14.03, 45.04)  # a quarter in the west

    found = overlaps([across], [EAST, WEST, FAR])

    shared = {one.region: one.area_ha for one in found}
    assert shared.keys() == {0, 1}
    assert shared[0] == pytest.approx(3 * shared[1], rel=1e-6)
    assert sum(shared.values()) == pytest.approx(area_ha(across), rel=1e-6)


@pytest.mark.parametrize(
    "touching",
    [
        box(14.1, 45.02, 14.2, 45.04),  # along an edge
        box(14.1, 45.1, 14.2, 45.2),  # at a corner
        Polygon([(14.1, 45.05), (14.2, 45.0), (14.2, 45.1)]),  # with a vertex
        MultiPolygon([box(14.1, 45.02, 14.2, 45.04), box(13.8, 45.0, 13.9, 45.1)]),
    ],
)
def test_touching_only_is_no_membership(touching: shapely.Geometry) -> None:
    assert overlaps([touching], [EAST]) == []


def test_a_polygon_within_has_all_of_its_area_there_to_the_bit() -> None:
    inside = box(14.02, 45.02, 14.05, 45.05)

    [found] = overlaps([inside], [EAST])

    assert found.area_ha == area_ha(inside)


def test_a_polygon_that_shares_area_and_touches_elsewhere_counts_its_area_only() -> None:
    # The intersection is a polygon and a line.
    bracket = Polygon(
        [(14.08, 45.02), (14.15, 45.02), (14.15, 45.08), (14.1, 45.08), (14.1, 45.06), (14.12, 45.06), (14.12, 45.04),
         (14.08, 45.04)]
    )  # fmt: skip

    [found] = overlaps([bracket], [EAST])

    assert found.area_ha == pytest.approx(area_ha(box(14.08, 45.02, 14.1, 45.04)), rel=1e-6)


def test_without_polygons_or_rectangles_there_is_no_overlap() -> None:
    assert overlaps([], [EAST]) == []
    assert overlaps([FIELD], []) == []


@given(
    polygons=st.lists(st.tuples(st.floats(13.9, 14.1), st.floats(44.95, 45.15)), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_membership_does_not_depend_on_the_order_of_polygons(
    polygons: list[tuple[float, float]], order: object
) -> None:
    shapes = [star([0.9, 0.4, 0.8, 0.5, 1.0], x, y) for x, y in polygons]
    shuffled = list(range(len(shapes)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    straight = {(o.geometry, o.region, o.area_ha) for o in overlaps(shapes, [EAST, WEST])}
    mixed = {(shuffled[o.geometry], o.region, o.area_ha) for o in overlaps([shapes[i] for i in shuffled], [EAST, WEST])}

    assert straight == mixed


def test_a_rectangle_is_the_polygon_of_its_bounds() -> None:
    assert rectangle(EAST).bounds == tuple(EAST)
    assert area_ha(rectangle(EAST)) == pytest.approx(
        abs(Geod(ellps="WGS84").geometry_area_perimeter(box(*EAST))[0]) / 1e4
    )
