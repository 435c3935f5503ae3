"""Pictures of scenes: where they lie, what they show, how they are kept."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import REFLECTIVE, Layers, PixelClass
from satcommon.views.scene_picture import Layer, scene_picture
from satserve.pictures import Pictures

from tests.unit.satserve.serving import Served

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
