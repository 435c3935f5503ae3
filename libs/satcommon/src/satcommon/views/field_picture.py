"""A region's fields as a picture, each in the colour of its value, to be laid under a map.

A browser draws a picture of many fields as fast as one of a few; as polygons, 100,000 fields take it half a minute.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from satcommon.geo.grid import Bounds
from satcommon.views.mercator import Frame

Colour = tuple[int, int, int]

VIRIDIS: tuple[Colour, ...] = (
    (68, 1, 84),
    (72, 40, 120),
    (62, 74, 137),
    (49, 104, 142),
    (38, 130, 142),
    (31, 158, 137),
    (53, 183, 121),
    (110, 206, 88),
    (181, 222, 43),
    (253, 231, 37),
)
"""From the least value to the greatest: lightness rises evenly, and it is told apart with any colour vision."""

NO_VALUE: Mapping[bool, Colour] = {False: (223, 226, 223), True: (54, 60, 57)}
"""Of a field without a value, by whether the map is dark."""

CLOUDY: Mapping[bool, Colour] = {False: (164, 170, 178), True: (111, 119, 129)}

_NONE, _WITHOUT_VALUE, _CLOUD, _FIRST = 0, 1, 2, 3  # places in the palette; from the last on, those of values
_STEPS = 256 - _FIRST


def numbered_fields(polygons: NDArray[np.object_], bounds: Bounds, max_pixels: int) -> NDArray[np.int32]:
    """The field that each pixel shows: 1 for the first polygon, and so on; 0 where there is none.

    The corners are those of `bounds`; rows and columns are even in Web Mercator (EPSG:3857). The largest polygon is
    drawn first, so that one in another's hole is seen.

    Args:
        polygons: of the fields, in EPSG:4326.
        bounds: of the region.
        max_pixels: of the picture's longer side.

    Returns:
        Shape (rows, columns).
    """
    width, height, west, east, top, bottom = Frame.of(bounds, max_pixels)
    order = np.argsort(-shapely.area(polygons), kind="stable")
    parts, of_part = shapely.get_parts(polygons[order], return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    is_hole = np.concatenate([[False], of_ring[1:] == of_ring[:-1]]) if len(rings) else np.zeros(0, bool)
    numbers = np.where(is_hole, 0, order[of_part[of_ring]] + 1).tolist()
    xy, _ = shapely.get_coordinates(rings, return_index=True)
    x = xy[:, 0] + np.where((east > 180.0) & (xy[:, 0] < west - 180.0), 360.0, 0.0)
    y = np.arcsinh(np.tan(np.radians(np.clip(xy[:, 1], -89.0, 89.0))))
    at = np.column_stack([(x - west) / (east - west) * width, (top - y) / (top - bottom) * height])
    flat, ends = at.ravel().tolist(), (2 * np.cumsum(shapely.get_num_coordinates(rings))).tolist()
    picture = Image.new("I", (width, height))
    draw, begin = ImageDraw.Draw(picture), 0
    for number, end in zip(numbers, ends, strict=True):
        draw.polygon(flat[begin:end], fill=number)
        begin = end
    return np.array(picture, np.int32)


def coloured_fields(
    numbers: NDArray[np.int32],
    values: NDArray[np.float64],
    cloudy: NDArray[np.bool_],
    domain: tuple[float, float],
    *,
    dark: bool = False,
) -> bytes:
    """The fields of `numbered_fields` as a PNG, transparent where there is none.

    Args:
        numbers: as `numbered_fields` gives them.
        values: of each field; NaN where it has none.
        cloudy: of each field, whether it lay under cloud: it is grey, even where an older value is carried over.
        domain: the values of the scale's ends; those beyond have the colours of the ends.
        dark: for a dark map.
    """
    low, high = domain
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    places = np.full(len(values) + 1, _NONE, np.uint8)
    places[1:] = np.where(np.isnan(share), _WITHOUT_VALUE, _FIRST + np.nan_to_num(share) * (_STEPS - 1) + 0.5)
    places[1:][cloudy] = _CLOUD
    at = np.linspace(0, len(VIRIDIS) - 1, _STEPS)
    ramp = np.stack([np.interp(at, range(len(VIRIDIS)), channel) for channel in zip(*VIRIDIS, strict=True)], axis=1)
    picture = Image.fromarray(places[numbers])
    picture.putpalette(
        bytes(np.vstack([[(0, 0, 0), NO_VALUE[dark], CLOUDY[dark]], ramp]).round().astype(np.uint8).ravel())
    )
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=4, transparency=_NONE)
    return png.getvalue()
