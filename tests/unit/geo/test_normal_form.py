import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from satcommon.geo.geometry import digest, overlaps, same_place
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.normal_form import DECIMALS, in_order, normal
from satcommon.stats.algorithm import algorithm
from satcommon.stats.coverage import cover
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

REGIONS = [Bounds(14.490, 45.790, 14.5003, 45.810), Bounds(14.5003, 45.790, 14.510, 45.810)]
GRID = Grid.utm(Bounds(14.498, 45.798, 14.503, 45.803), 20.0)
WHOLE = algorithm("1")
SHRUNK = replace(WHOLE, inward_buffer_m=15.0)


def star(radii: list[float], longitude: float, latitude: float, size: float) -> Polygon:
    """A polygon around a point: never crossing itself."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) + 0.1
    r = np.array(radii) * size
    return Polygon(np.column_stack([longitude + 1.4 * r * np.cos(angles), latitude + r * np.sin(angles)]))


def holed(radii: list[float]) -> BaseGeometry:
    """Two parts, one of them with two holes."""
    outer = star(radii, 14.5, 45.8, 0.001)
    holes = [star(radii, 14.5 + east, 45.8, 0.00003).exterior.coords for east in (-0.0001, 0.0001)]
    return MultiPolygon([Polygon(outer.exterior.coords, holes), star(radii[::-1], 14.5045, 45.8, 0.001)])


radii = st.lists(st.floats(0.3, 1.0), min_size=4, max_size=9)
shapes = st.one_of(radii.map(lambda r: star(r, 14.5, 45.8, 0.001)), radii.map(holed))


@st.composite
def forms(draw: st.DrawFn, polygon: BaseGeometry) -> BaseGeometry:
    """The same polygon in another form."""

    def another(ring: BaseGeometry) -> list[tuple[float, float]]:
        points = list(ring.coords)[:-1]
        first = draw(st.integers(0, len(points) - 1))
        points = points[first:] + points[:first]
        for at in draw(st.lists(st.integers(0, len(points) - 1), max_size=3)):
            points.insert(at, points[at])
        return points[:: draw(st.sampled_from([1, -1]))]

    parts = [
        Polygon(another(part.exterior), draw(st.permutations([another(ring) for ring in part.interiors])))
        for part in shapely.get_parts(polygon)
    ]
    multi = len(parts) > 1 or draw(st.booleans())
    return MultiPolygon(draw(st.permutations(parts))) if multi else parts[0]


def told(polygon: BaseGeometry) -> list[object]:
    """Everything that is computed of a polygon."""
    covered = [part for rules in (WHOLE, SHRUNK) for part in cover([shapely.to_wkb(polygon)], GRID, rules)]
    return [overlaps([polygon], REGIONS), [(cells.tobytes(), fractions.tobytes()) for cells, fractions in covered]]


@settings(max_examples=40)
@given(data=st.data(), polygon=shapes)
def test_a_polygon_has_one_form_one_digest_and_one_of_each_number_whatever_form_it_came_in(
    data: st.DataObject, polygon: BaseGeometry
) -> None:
    other = data.draw(forms(polygon))

    assert shapely.to_wkb(normal([other])[0]) == shapely.to_wkb(normal([polygon])[0])
    assert digest(other) == digest(polygon)
    assert same_place(other, polygon)
    assert told(other) == told(polygon)  # as in ledgers that keep polygons as they came
    assert told(normal([other])[0]) == told(normal([polygon])[0])


@given(polygon=shapes)
def test_the_normal_form_is_the_same_place_valid_and_its_own_normal_form(polygon: BaseGeometry) -> None:
    [found] = normal([polygon])

    assert found.is_valid
    assert found.equals_exact(in_order([polygon])[0], 10.0**-DECIMALS) or same_place(found, polygon)
    assert shapely.to_wkb(normal([found])[0]) == shapely.to_wkb(found)
    assert digest(found) == digest(polygon)


@given(polygon=shapes, phase=st.floats(0, 6))
def test_the_noise_of_a_reprojection_is_gone_from_coordinates_that_were_written_with_nine_digits(
    polygon: BaseGeometry, phase: float
) -> None:
    [clean] = normal([polygon])
    noisy = shapely.transform(clean, lambda points: points + 1e-13 * np.sin(points * 1e9 + phase))

    assert told(normal([noisy])[0]) == told(clean)


def test_minus_zero_is_zero() -> None:
    assert digest(box(-0.0, -0.0, 1, 1)) == digest(box(0, 0, 1, 1))


def test_a_vertex_that_rounding_lays_onto_its_neighbour_is_gone() -> None:
    ring = [(14.0, 45.0), (14.01, 45.0), (14.01 + 1e-10, 45.0), (14.01, 45.01), (14.0, 45.01)]

    assert digest(Polygon(ring)) == digest(box(14.0, 45.0, 14.01, 45.01))


@pytest.mark.parametrize(
    "polygon",
    [
        # A notch whose tip is 3e-10 degrees from the opposite edge, and crosses or touches it when rounded.
        Polygon([(14, 45), (14.01, 45), (14.01, 45.01), (14.005, 45 + 3e-10), (14, 45.01)]),
        # A hole nearer to the edge than that.
        Polygon(
            box(14, 45, 14.01, 45.01).exterior.coords,
            [[(14.002, 45 + 2e-10), (14.008, 45 + 2e-10), (14.005, 45.005)]],
        ),
        # Nothing of it is left on the grid.
        Polygon([(14, 45), (14.01, 45), (14.01, 45 + 4e-10), (14, 45 + 4e-10)]),
        box(14, 45, 14 + 3e-10, 45 + 3e-10),
    ],
)
def test_a_valid_polygon_stays_valid(polygon: Polygon) -> None:
    [found] = normal([polygon])

    assert polygon.is_valid
    assert found.is_valid
    assert not found.is_empty
    assert math.isclose(found.area, polygon.area, abs_tol=1e-10)
    assert shapely.to_wkb(normal([found])[0]) == shapely.to_wkb(found)
