"""Pictures of scenes: where they lie, what they show, how they are kept."""

from __future__ import annotations

import io
import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import satserve
import shapely
from PIL import Image
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import REFLECTIVE, Layers, PixelClass
from satcommon.views.field_picture import CLOUDY, NO_VALUE, VIRIDIS, coloured_fields, numbered_fields
from satcommon.views.scene_picture import Layer, scene_picture
from satserve.pictures import Pictures
from satserve.routes.pictures import SAMPLED_DAYS, sampled

from tests.unit.satserve.serving import BOUNDS, FIRST, LAST, SQUARES, Served

CLEAR = 2000  # reflectance 0.1


class Flat:
    """A scene that is read as it is."""

    def __init__(self, grid: Grid, layers: Layers) -> None:
        self.grid, self.layers = grid, layers

    def read_overview(self, max_size: int) -> Layers:
        assert max_size >= max(self.layers.classes.shape)
        return self.layers


def scene(grid: Grid) -> Flat:
    shape = (grid.height, grid.width)
    bands = {name: np.full(shape, CLEAR, np.uint16) for name in REFLECTIVE}
    return Flat(grid, Layers(bands, np.full(shape, PixelClass.CLEAR, np.uint8)))


def drawn(flat: Flat, bounds: Bounds, layer: Layer = Layer.TRUE_COLOUR, size: int = 512) -> np.ndarray:
    png = scene_picture(flat, bounds, layer, size)  # type: ignore[arg-type]  # as much of a reader as is used
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("west", [-94.3, 179.9])  # the latter crosses the antimeridian
def test_a_place_is_where_the_regions_rectangle_has_it_in_web_mercator(west: float) -> None:
    bounds = Bounds(west, 50.0, (west + 0.3 + 180) % 360 - 180, 50.4)
    at = (west + 0.2, 50.3)
    flat = scene(Grid.utm(bounds, 100.0))
    import pyproj

    x, y = pyproj.Transformer.from_crs("EPSG:4326", flat.grid.crs, always_xy=True).transform(
        (at[0] + 180) % 360 - 180, at[1]
    )
    row, column = int((flat.grid.top - y) / flat.grid.yres), int((x - flat.grid.left) / flat.grid.xres)
    flat.layers.bands["red"][row - 2 : row + 3, column - 2 : column + 3] = 4000

    picture = drawn(flat, bounds)

    red = np.argwhere(picture[..., 0] > picture[..., 1])
    mercator = [math.asinh(math.tan(math.radians(latitude))) for latitude in (bounds.north, at[1], bounds.south)]
    expected = ((mercator[0] - mercator[1]) / (mercator[0] - mercator[2]), 0.2 / 0.3)
    assert red.mean(axis=0) + 0.5 == pytest.approx(np.array(expected) * picture.shape[:2], abs=1.5)
    width_of_height = math.radians(0.3) / (mercator[0] - mercator[2])
    assert picture.shape[1] / picture.shape[0] == pytest.approx(width_of_height, rel=0.01)
    assert (picture[..., 3] == 255).all()


def test_what_a_scene_lacks_is_transparent() -> None:
    bounds = Bounds(-94.3, 40.3, -94.0, 40.6)
    flat = scene(Grid.utm(bounds, 200.0))
    flat.layers.classes[:, : flat.grid.width // 2] = PixelClass.NODATA

    for layer in Layer:
        alpha = drawn(flat, bounds, layer)[..., 3]
        assert (alpha[:, : alpha.shape[1] * 2 // 5] == 0).all()
        assert (alpha[:, alpha.shape[1] * 3 // 5 :] == 255).all()


def test_a_day_has_a_picture_of_each_layer(on_sqlite: Served) -> None:
    days = on_sqlite.json("/regions/S/pictures")["days"]
    path = f"/regions/S/days/{days[0]}/picture"
    colour, ndvi = on_sqlite.get(path), on_sqlite.get(path, layer="ndvi")

    assert colour.headers["content-type"] == ndvi.headers["content-type"] == "image/png"
    size = Image.open(io.BytesIO(colour.content)).size
    assert max(size) == 1024
    assert size == Image.open(io.BytesIO(ndvi.content)).size
    assert colour.content != ndvi.content
    assert "content-encoding" not in colour.headers
    assert on_sqlite.get(path, headers={"if-none-match": colour.headers["etag"]}).status_code == 304
    assert on_sqlite.get(path, layer="ndvi", headers={"if-none-match": colour.headers["etag"]}).status_code == 200


def test_what_has_no_picture_is_not_there(on_sqlite: Served) -> None:
    there = f"/regions/S/days/{on_sqlite.json('/regions/S/pictures')['days'][0]}/picture"

    assert on_sqlite.get("/regions/S/days/2020-01-01/picture").status_code == 404
    assert on_sqlite.get(there.replace("/S/", "/U/")).status_code == 404
    assert on_sqlite.get(there, on_sqlite.key("T")).status_code == 404
    assert on_sqlite.get("/regions/S/pictures", on_sqlite.key("T")).status_code == 404
    assert on_sqlite.get(there, layer="thermal").status_code == 400


def test_pictures_are_drawn_once_and_the_oldest_makes_room() -> None:
    drawn_names = []
    pictures = Pictures(most=250)

    def picture(name: str) -> bytes:
        def draw() -> bytes:
            drawn_names.append(name)
            return bytes(100)

        return pictures.get((name,), draw)

    for name in ("a", "b", "a", "c", "a", "b"):
        assert picture(name) == bytes(100)

    assert drawn_names == ["a", "b", "c", "b"]  # b made room for c, since a was asked for after it


def colours_of(png: bytes) -> np.ndarray:
    """RGBA of each pixel, shape (rows, columns, 4)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def at(picture: np.ndarray, longitude: float, latitude: float, bounds: Bounds) -> tuple[int, ...]:
    top, bottom, y = (math.asinh(math.tan(math.radians(each))) for each in (bounds.north, bounds.south, latitude))
    row = (top - y) / (top - bottom) * picture.shape[0]
    column = (longitude - bounds.west) / (bounds.east - bounds.west) * picture.shape[1]
    return tuple(picture[int(row), int(column)])


def viridis(share: float) -> np.ndarray:
    place = np.clip(share, 0, 1) * (len(VIRIDIS) - 1)
    return np.array([np.interp(place, range(len(VIRIDIS)), channel) for channel in zip(*VIRIDIS, strict=True)])


def test_each_field_of_a_column_has_the_colour_of_its_value_where_it_lies(service: Served) -> None:
    coloured = 0
    for n in range((LAST - FIRST).days + 1):
        path = f"/regions/S/days/{FIRST + timedelta(days=n)}/columns"
        told, status = (service.json(f"{path}/{column}") for column in ("ndvi_smoothed_e4", "status"))
        statuses = dict(zip(status["field"], status["value"], strict=True))
        answer = service.get(f"{path}/ndvi_smoothed_e4/picture", low=2000, high=9000)
        picture = colours_of(answer.content)
        for name, value in zip(told["field"], told["value"], strict=True):
            west, south = SQUARES[name]
            seen = at(picture, min(west + 0.01, -94.0025), south + 0.01, BOUNDS["S"])
            cloudy, missing = statuses[name] == "cloudy", value is None
            expected = CLOUDY[False] if cloudy else NO_VALUE[False] if missing else viridis((value - 2000) / 7000)
            assert np.abs(np.array(seen[:3], float) - expected).max() <= 3, (n, name)
            assert seen[3] == 255
            coloured += not cloudy and not missing
        assert at(picture, -94.25, 40.35, BOUNDS["S"])[3] == 0
    assert coloured > 0


def test_a_picture_is_as_of_an_instant_and_another_after_a_correction(service: Served) -> None:
    path = f"/regions/S/days/{LAST}/columns/ndvi_mean/picture"
    now = service.get(path, low=0, high=1)
    then = service.get(path, low=0, high=1, as_of=service.before.isoformat())

    assert now.headers["etag"] != then.headers["etag"]
    assert service.get(path, low=0, high=1, headers={"if-none-match": now.headers["etag"]}).status_code == 304


def test_a_scale_holds_most_values_of_days_with_a_scene_and_of_the_last(service: Served) -> None:
    told = service.json("/regions/S/columns/ndvi_smoothed_e4/scale")
    answers = [service.json(f"/regions/S/days/{day}/columns/ndvi_smoothed_e4") for day in told["days"]]
    values = [value for answer in answers for value in answer["value"] if value is not None]

    assert SAMPLED_DAYS <= len(told["days"]) <= SAMPLED_DAYS + 1
    assert {str(FIRST), str(LAST)} < set(told["days"]) <= {*service.json("/regions/S/pictures")["days"], str(LAST)}
    assert (told["low"], told["high"]) == tuple(np.percentile(values, [2, 98]))


def test_a_scale_is_as_of_an_instant_of_numeric_columns_and_for_keys_that_see_the_region(on_sqlite: Served) -> None:
    path = "/regions/S/columns/ndvi_integral_e4/scale"
    before = on_sqlite.json(path, as_of="2020-01-01T00:00:00Z")

    assert (before["low"], before["high"], before["days"]) == (None, None, [])
    assert on_sqlite.json(path)["days"][-1] == str(LAST)
    assert on_sqlite.get("/regions/S/columns/status/scale").status_code == 404
    assert on_sqlite.get(path, on_sqlite.key("T")).status_code == 404


@pytest.mark.parametrize("count", range(9))
def test_a_scale_is_of_five_days_that_are_evenly_spread_and_the_last(count: int) -> None:
    days, last = [FIRST + timedelta(days=n) for n in range(count)], FIRST + timedelta(days=99)

    found = sampled(days, [*days, last])

    assert found == sorted(set(found))
    assert len(found) == min(count, SAMPLED_DAYS) + 1
    assert {*days[:1], *days[-1:], last} <= set(found)


def test_a_region_without_a_closed_day_has_no_day_of_a_scale() -> None:
    assert sampled([], []) == []


@pytest.mark.parametrize(
    ("column", "given", "said"),
    [
        ("status", {}, "numeric column"),
        ("nothing", {}, "numeric column"),
        ("state_days", {}, "numeric column"),
        ("ndvi_mean", {"low": 1, "high": 1}, "more than low"),
        ("ndvi_mean", {"low": "nan"}, "low"),
        ("ndvi_mean", {"high": "1e300"}, "high"),
    ],
)
def test_a_picture_that_can_not_be_drawn_says_why(
    on_sqlite: Served, column: str, given: dict[str, Any], said: str
) -> None:
    given = {"low": 0, "high": 1} | given
    answer = on_sqlite.get(f"/regions/S/days/{LAST}/columns/{column}/picture", **given)

    assert answer.status_code in (400, 404)
    assert said in answer.json()["detail"]


def test_a_picture_of_a_region_needs_a_key_that_sees_it(on_sqlite: Served) -> None:
    key = on_sqlite.key("T")

    assert on_sqlite.get(f"/regions/S/days/{LAST}/columns/ndvi_mean/picture", key, low=0, high=1).status_code == 404


def test_fields_without_a_value_and_under_cloud_are_grey_and_ends_of_the_scale_hold_all_beyond() -> None:
    numbers = np.array([[0, 1, 2, 3, 4]], np.int32)
    values, cloudy = np.array([-5.0, 5.0, np.nan, 0.5]), np.array([False, False, False, True])

    for dark in (False, True):
        (row,) = colours_of(coloured_fields(numbers, values, cloudy, (0.0, 1.0), dark=dark))
        assert row[0, 3] == 0
        assert [tuple(each[:3]) for each in row[1:]] == [VIRIDIS[0], VIRIDIS[-1], NO_VALUE[dark], CLOUDY[dark]]


def test_a_field_in_the_hole_of_another_is_seen_and_one_smaller_than_a_pixel_too() -> None:
    bounds = Bounds(10.0, -1.0, 12.0, 1.0)
    ring = shapely.box(10.2, -0.8, 11.8, 0.8).difference(shapely.box(10.8, -0.2, 11.2, 0.2))
    polygons = np.array([shapely.box(10.9, -0.1, 11.1, 0.1), ring, shapely.box(10.05, 0.9, 10.0501, 0.9001)], object)

    numbers = numbered_fields(polygons, bounds, 200)

    assert numbers.shape == (200, 200)
    assert (numbers[100, 100], numbers[100, 40], numbers[100, 82]) == (1, 2, 0)
    assert 1 <= (numbers == 3).sum() <= 4


def test_fields_on_both_sides_of_the_antimeridian_are_where_the_region_has_them() -> None:
    polygons = np.array([shapely.box(179.0, -0.5, 179.5, 0.5), shapely.box(-179.5, -0.5, -179.0, 0.5)], object)

    numbers = numbered_fields(polygons, Bounds(178.0, -1.0, -178.0, 1.0), 400)

    assert (numbers[100, 125], numbers[100, 275], numbers[100, 200]) == (1, 2, 0)


def test_the_page_and_its_pictures_have_the_same_colours() -> None:
    page = Path(satserve.__file__).parent / "page" / "static"
    style, scale = (page / "page.css").read_text(), (page / "scale.js").read_text()

    def hexadecimal(colour: tuple[int, int, int]) -> str:
        return "#{:02x}{:02x}{:02x}".format(*colour)

    for name, colours in (("no-value", NO_VALUE), ("cloud", CLOUDY)):
        assert re.findall(rf"--{name}: (#\w+);", style)[:2] == [hexadecimal(colours[dark]) for dark in (False, True)]
    (stops,) = re.findall(r"VIRIDIS = \[([^]]*)\]", scale)
    assert re.findall(r"#\w+", stops) == [hexadecimal(each) for each in VIRIDIS]
