"""A scene as a picture: NDVI of a region, and a closer look at the neighbourhood of its smaller fields.

Drawn with Pillow alone: a run that attaches the picture to its report shouldn't wait for a plotting library to load.
The ramp's lightness falls from bare ground to dense canopy, so that it reads in greyscale and with any colour vision.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyproj
import shapely
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from satcommon.geo.grid import Grid
from satcommon.raster.layers import NODATA, REFLECTANCE_OFFSET, REFLECTANCE_SCALE, PixelClass

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Colour = tuple[int, int, int]
Bands = Mapping[str, NDArray[np.uint16]]
Detail = tuple[Bands, NDArray[np.uint8], Grid]
"""Bands, classes and the grid (`Window.of`) of a window."""

NDVI_STOPS: dict[float, Colour] = {  # lightness (CIE L*) 79, 75, 65, 52, 36, 21
    0.0: (222, 189, 156),
    0.25: (208, 183, 92),
    0.45: (150, 166, 64),
    0.65: (76, 139, 56),
    0.85: (20, 98, 50),
    1.0: (3, 58, 34),
}
CLASS_COLOURS: dict[PixelClass, Colour] = {  # of what hides the ground; clear cells have the ramp
    PixelClass.CLOUD: (192, 193, 196),
    PixelClass.THIN_CLOUD: (224, 225, 227),
    PixelClass.SHADOW: (88, 88, 94),
    PixelClass.SNOW: (206, 230, 255),
    PixelClass.WATER: (66, 128, 196),
    PixelClass.DEFECTIVE: (158, 112, 158),
    PixelClass.NODATA: (50, 53, 59),
}
NODATA_CHECKER: Colour = (60, 63, 70)
BACKGROUND, INK, CASING, FRAME = (24, 26, 30), (236, 237, 239), (18, 20, 22), (255, 98, 40)

MARGIN, TITLE_HEIGHT, LINE_HEIGHT = 12, 30, 26  # pixels
SUPERSAMPLING = 2  # Pillow's lines are not antialiased: they are drawn at twice the size and reduced
CASED_PIXELS = 12  # smaller outlines are hair lines: a thousand of them would hide the ground
NEIGHBOURHOOD_M = 2000.0  # side of the squares in which fields are counted; a neighbourhood is three by three
MIN_DETAIL_M = 3000.0
EARTH_RADIUS_M = 6371008.8


class Window(NamedTuple):
    """A rectangle of a grid's cells."""

    row: int
    column: int
    height: int
    width: int

    def of(self, grid: Grid) -> Grid:
        """The grid of the window alone."""
        left, top = grid.left + self.column * grid.xres, grid.top - self.row * grid.yres
        return Grid(grid.crs, left, top, grid.xres, grid.yres, self.width, self.height)


def detail_window(grid: Grid, outlines: Sequence[BaseGeometry]) -> Window | None:
    """The square window, 3 km wide or more, around the densest neighbourhood of the region's smaller fields.

    A field counts as smaller up to four times the median area, so that one huge field doesn't hide all others.

    Args:
        grid: of the region.
        outlines: the fields' polygons in EPSG:4326.

    Returns:
        The window, or None where there's no closer look: no field on the grid, or fields as wide as half the region.
    """
    polygons = _projected(outlines, grid.crs)
    left, bottom, right, top = grid.extent
    bounds = shapely.bounds(polygons)
    on_grid = (bounds[:, 0] < right) & (bounds[:, 2] > left) & (bounds[:, 1] < top) & (bounds[:, 3] > bottom)
    area, bounds = shapely.area(polygons[on_grid]), bounds[on_grid]
    if not len(area):
        return None

    bounds = bounds[area <= 4 * np.sort(area)[(len(area) - 1) // 2]]
    bounds = np.clip(bounds, (left, bottom) * 2, (right, top) * 2)
    unit = _metres_per_unit(grid)
    square = (((bounds[:, :2] + bounds[:, 2:]) / 2 - (left, bottom)) * unit / NEIGHBOURHOOD_M).astype(np.intp)
    counts = np.zeros(square.max(axis=0) + 3, dtype=np.intp)
    np.add.at(counts, tuple(square.T + 1), 1)
    around = sliding_window_view(counts, (3, 3)).sum(axis=(2, 3))
    densest = np.unravel_index(around.argmax(), around.shape)
    bounds = bounds[np.abs(square - densest).max(axis=1) <= 1]

    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    side_m = max(MIN_DETAIL_M, 1.15 * ((high - low) * unit).max())
    if 2 * side_m > max((right - left) * unit[0], (top - bottom) * unit[1]):
        return None
    width = min(grid.width, math.ceil(side_m / unit[0] / grid.xres))
    height = min(grid.height, math.ceil(side_m / unit[1] / grid.yres))
    x, y = (low + high) / 2
    row, column = round((top - y) / grid.yres - height / 2), round((x - left) / grid.xres - width / 2)
    return Window(min(max(row, 0), grid.height - height), min(max(column, 0), grid.width - width), height, width)


def ndvi_map(
    bands: Bands,
    classes: NDArray[np.uint8],
    grid: Grid,
    outlines: Sequence[BaseGeometry],
    title: str,
    *,
    detail: Detail | None = None,
    max_pixels: int = 640,
) -> bytes:
    """NDVI of a scene as a PNG: the region at the left, the neighbourhood of its smaller fields at the right.

    Args:
        bands: at least ``red`` and ``nir``, harmonised, shape (rows, columns); may be decimated.
        classes: `PixelClass` values of the same shape.
        grid: of the whole region; with the arrays' shape it gives the size of their cells.
        outlines: the fields' polygons in EPSG:4326, drawn with their holes; those off the grid are left out.
        title: one line, cut where the picture ends.
        detail: what was read of `detail_window`, decimated or not; without it there is no closer look.
        max_pixels: the longest side of each of the two maps.
    """
    rings = shapely.get_rings(shapely.get_parts(_projected(outlines, grid.crs)))
    maps = [_map(bands, classes, grid, rings, max_pixels)]
    if detail is not None:
        maps.append(_map(*detail, rings, max_pixels))
        left, bottom, right, top = detail[2].extent
        corners = _pixels(np.array([(left, top), (right, bottom)]), grid, maps[0].size)
        ImageDraw.Draw(maps[0]).rectangle(corners.round().ravel().tolist(), outline=FRAME, width=2)
        ImageDraw.Draw(maps[1]).rectangle((0, 0, maps[1].width - 1, maps[1].height - 1), outline=FRAME, width=2)

    width = MARGIN + sum(each.width + MARGIN for each in maps)
    height = max(each.height for each in maps)
    legend = _legend(width - 2 * MARGIN)
    picture = Image.new("RGB", (width, TITLE_HEIGHT + height + MARGIN + legend.height), BACKGROUND)
    font = ImageFont.load_default(size=17)
    ImageDraw.Draw(picture).text((MARGIN, TITLE_HEIGHT / 2), title, INK, font, anchor="lm")
    x = MARGIN
    for each in maps:
        picture.paste(each, (x, TITLE_HEIGHT + (height - each.height) // 2))
        x += each.width + MARGIN
    picture.paste(legend, (MARGIN, TITLE_HEIGHT + height + MARGIN))
    png = io.BytesIO()
    picture.quantize(palette=_palette(), dither=Image.Dither.NONE).save(png, "PNG")
    return png.getvalue()


@cache
def _to_crs(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def _projected(outlines: Sequence[BaseGeometry], crs: str) -> NDArray[np.object_]:
    """The outlines in a CRS, without those that have no finite coordinates there.

    RFC 7946 has edges straight in longitude and latitude: long ones get vertices, to bend as the projection bends them.
    """
    dense = shapely.segmentize(np.array(outlines, dtype=np.object_), 0.02)
    projected: NDArray[np.object_] = shapely.transform(dense, _to_crs(crs).transform, interleaved=False)
    finite: NDArray[np.bool_] = np.isfinite(shapely.bounds(projected)).all(axis=-1)
    return projected[finite]


def _metres_per_unit(grid: Grid) -> NDArray[np.float64]:
    """Ground metres in a unit of the CRS, along x and y."""
    crs = pyproj.CRS(grid.crs)
    factor = crs.axis_info[0].unit_conversion_factor
    if crs.is_geographic:
        _, bottom, _, top = grid.extent
        return EARTH_RADIUS_M * factor * np.array((math.cos((bottom + top) / 2 * factor), 1.0))
    return np.array((factor, factor))


def _pixels(xy: NDArray[np.float64], grid: Grid, size: tuple[int, int]) -> NDArray[np.float64]:
    """Where coordinates of the grid's CRS lie in a picture of the whole grid."""
    left, bottom, right, top = grid.extent
    return (xy - (left, top)) / (right - left, bottom - top) * size


def _map(
    bands: Bands, classes: NDArray[np.uint8], grid: Grid, rings: NDArray[np.object_], max_pixels: int
) -> Image.Image:
    """The raster, coloured, with outlines and a scale bar."""
    left, bottom, right, top = grid.extent
    extent_m = np.array((right - left, top - bottom)) * _metres_per_unit(grid)
    metres_per_pixel = float(extent_m.max()) / max_pixels
    width, height = (max(1, round(side)) for side in (extent_m / metres_per_pixel).tolist())
    shown = np.ix_(*(np.arange(n) * m // n for n, m in zip((height, width), classes.shape, strict=True)))
    image = Image.fromarray(coloured(bands["red"][shown], bands["nir"][shown], classes[shown]))
    _draw_outlines(image, grid, rings)
    _draw_scale(image, metres_per_pixel)
    return image


def coloured(red: NDArray[np.uint16], nir: NDArray[np.uint16], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """NDVI in the ramp's colours and what hides the ground in its own: RGB, shape (rows, columns, 3).

    Args:
        red: harmonised, shape (rows, columns).
        nir: likewise.
        classes: `PixelClass` values, likewise.
    """
    red_r, nir_r = (REFLECTANCE_SCALE * band.astype(np.float32) + REFLECTANCE_OFFSET for band in (red, nir))
    ndvi = (nir_r - red_r) / np.maximum(nir_r + red_r, 1e-6)
    hidden = np.where((red == NODATA) | (nir == NODATA), PixelClass.NODATA, classes)
    colours = _ramp(64)[np.clip(64 * ndvi, 0, 63).astype(np.intp)]
    for pixel_class, colour in CLASS_COLOURS.items():
        colours[hidden == pixel_class] = colour
    row, column = np.ogrid[: classes.shape[0], : classes.shape[1]]
    colours[(hidden == PixelClass.NODATA) & ((row // 8 + column // 8) % 2 == 1)] = NODATA_CHECKER
    return colours


def _ramp(steps: int) -> NDArray[np.uint8]:
    """The colours of NDVI from 0 to 1, shape (steps, 3)."""
    at = np.linspace(0, 1, steps)
    channels = np.array(list(NDVI_STOPS.values())).T
    return np.stack([np.interp(at, list(NDVI_STOPS), channel) for channel in channels], axis=1).astype(np.uint8)


def _palette() -> Image.Image:
    """Every colour that is meant, and greys for soft edges: as a palette, a picture takes a third of the bytes."""
    named = [*CLASS_COLOURS.values(), NODATA_CHECKER, BACKGROUND, FRAME]
    colours = np.vstack([_ramp(64), named, np.linspace(CASING, INK, 256 - 64 - len(named))]).astype(np.uint8)
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image


def _draw_outlines(image: Image.Image, grid: Grid, rings: NDArray[np.object_]) -> None:
    """Light lines in a dark casing, so that they stand out from canopy, bare ground and cloud alike."""
    left, bottom, right, top = grid.extent
    edge_x, edge_y = (right - left) / 20, (top - bottom) / 20  # clipped outside the map: no line runs along its edge
    inside = shapely.clip_by_rect(rings, left - edge_x, bottom - edge_y, right + edge_x, top + edge_y)
    size = (image.width * SUPERSAMPLING, image.height * SUPERSAMPLING)
    xy, line = shapely.get_coordinates(shapely.get_parts(inside), return_index=True)
    lines = np.split(_pixels(xy, grid, size), np.flatnonzero(np.diff(line)) + 1) if len(xy) else []
    casing, ink = Image.new("L", size), Image.new("L", size)
    draw_casing, draw_ink = ImageDraw.Draw(casing), ImageDraw.Draw(ink)
    for each in lines:
        flat = each.ravel().tolist()
        if np.ptp(each, axis=0).max() > CASED_PIXELS * SUPERSAMPLING:
            draw_casing.line(flat, fill=200, width=3 * SUPERSAMPLING, joint="curve")
            draw_ink.line(flat, fill=255, width=3, joint="curve")
        else:
            draw_ink.line(flat, fill=130, width=1)
    image.paste(CASING, mask=casing.reduce(SUPERSAMPLING))
    image.paste(INK, mask=ink.reduce(SUPERSAMPLING))


def _draw_scale(image: Image.Image, metres_per_pixel: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten, at most a third of the map's width."""
    longest_km = image.width * metres_per_pixel / 3000
    power = 10.0 ** math.floor(math.log10(longest_km))
    length_km = power * max((step for step in (2, 5) if step * power <= longest_km), default=1)
    draw, y, end = ImageDraw.Draw(image), image.height - 14, 12 + round(length_km * 1000 / metres_per_pixel)
    draw.rectangle((11, y - 1, end + 1, y + 4), CASING)
    draw.rectangle((12, y, end, y + 3), INK)
    font = ImageFont.load_default(size=14)
    draw.text((12, y - 5), f"{length_km:g} km", INK, font, anchor="ls", stroke_width=2, stroke_fill=CASING)


def _legend(width: int) -> Image.Image:
    """The ramp and what the classes' colours mean, in as many lines as the width takes."""
    font = ImageFont.load_default(size=13)
    keys = [("NDVI", _ramp(150)[np.newaxis])]
    keys += [
        (pixel_class.name.lower().replace("_", " "), np.full((1, 18, 3), colour, np.uint8))
        for pixel_class, colour in CLASS_COLOURS.items()
    ]
    image = Image.new("RGB", (width, LINE_HEIGHT * len(keys)), BACKGROUND)
    draw, x, y = ImageDraw.Draw(image), 0, 0
    for label, swatch in keys:
        text_x = x + swatch.shape[1] + 6
        right = text_x + math.ceil(font.getlength(label))
        if x and right > width:
            text_x, right, x, y = text_x - x, right - x, 0, y + LINE_HEIGHT
        image.paste(Image.fromarray(swatch.repeat(15, axis=0)), (x, y))
        draw.text((text_x, y + 7), label, INK, font, anchor="lm")
        x = right + 18
    draw.text((4, 7), "0", CASING, font, anchor="lm")
    draw.text((146, 7), "1", INK, font, anchor="rm")
    return image.crop((0, 0, width, y + LINE_HEIGHT))
