"""What a simulated satellite sees: farmland of the US Midwest through a year, under clouds that cast shadows.

Every pixel is a pure function of the seed, the day and its absolute coordinate, so that a point looks the same on any
window of its grid, and on any machine: pixels are made by additions, products and comparisons only, which IEEE 754
rounds alike everywhere; exponentials, whose last bit depends on the CPU, are computed per parcel and rounded.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from satcommon.raster.layers import (
    ALL_BANDS,
    BANDS,
    REFLECTANCE_OFFSET,
    REFLECTANCE_SCALE,
    TEMPERATURE_SCALE,
    THERMAL,
    Layers,
    PixelClass,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.geo.grid import Grid

    FloatArray = NDArray[np.float32]

_PARCEL_M = 800  # a quarter section of the US land survey is half a mile wide
_PIVOT_M = 390  # reach of a centre pivot within it
_PIVOT_SHARE = 0.35
_SHADOW_M = 1500  # how far a shadow falls on either axis: from 2 km of height, with the sun at 45 degrees
_COVER_M = 300_000  # size of a weather system
_OCTAVES_M = (64_000, 32_000, 16_000, 8_000, 4_000, 2_000, 1_000)  # of a cloud field
_RIM = 0.03  # step of the cloud field from clear to opaque
_THIN, _OPAQUE = 0.05, 0.6  # least opacity of thin and of opaque cloud

# Day of the season of half green-up and half senescence, highest and lowest NDVI, days of a transition.
_CROPS = np.array(
    [
        [158, 262, 0.86, 0.16, 9],  # maize
        [170, 258, 0.84, 0.15, 8],  # soybean
        [88, 182, 0.78, 0.20, 11],  # winter wheat
        [108, 292, 0.62, 0.28, 16],  # pasture
        [140, 250, 0.30, 0.14, 20],  # fallow
    ],
    dtype=np.float32,
)
_PASTURE = 3

# Reflectance of bare soil, full canopy and cloud.
_SPECTRA = {
    "blue": (0.09, 0.025, 0.62),
    "green": (0.12, 0.060, 0.61),
    "red": (0.15, 0.030, 0.61),
    "nir": (0.20, 0.480, 0.63),
    "swir16": (0.32, 0.190, 0.45),
    "swir22": (0.27, 0.090, 0.36),
    "coastal": (0.07, 0.020, 0.62),
    "rededge071": (0.17, 0.110, 0.61),
    "rededge075": (0.18, 0.330, 0.62),
    "rededge078": (0.19, 0.430, 0.63),
    "nir08": (0.21, 0.480, 0.63),
}
_SNOW = {"blue": 0.86, "green": 0.84, "red": 0.82, "nir": 0.72, "swir16": 0.12, "swir22": 0.09}
_SNOW |= {"coastal": 0.87, "rededge071": 0.80, "rededge075": 0.77, "rededge078": 0.74, "nir08": 0.70}
_CLOUD_K, _SNOW_K = 258, 271  # temperatures
_SNOW_M, _SNOW_DAYS = 4_000, 8  # size of a patch of snow, and how long it lies as it fell


@dataclass(frozen=True)
class Farmland:
    """What can be seen on a day, anywhere. Axes `y` and `x` are absolute coordinates in whole millimetres.

    Args:
        seed: another text gives another world.
        day: solar day.
        latitude: degrees; it sets the temperature, and its sign the season and the side of the sun.
        snow: whether it ever snows.
    """

    seed: str
    day: date
    latitude: float
    snow: bool = False

    def layers(self, grid: Grid, further: tuple[str, ...] = ()) -> Layers:
        """Bands and the classes, shape (grid.height, grid.width); units of the grid's CRS count as metres.

        Args:
            grid: where.
            further: bands of `layers.FURTHER` that are wanted beside those of `layers.BANDS`, in their order.
        """
        y, x = _centres(grid.top, -grid.yres, 0, grid.height), _centres(grid.left, grid.xres, 0, grid.width)
        canopy, soil, moisture = self._land(y, x)
        opacity, shade = self._sky(grid)
        snow = self._snow(y, x)
        classes = np.full(opacity.shape, PixelClass.CLEAR, np.uint8)
        classes[snow] = PixelClass.SNOW
        classes[shade > _OPAQUE] = PixelClass.SHADOW
        classes[opacity > _THIN] = PixelClass.THIN_CLOUD
        classes[opacity > _OPAQUE] = PixelClass.CLOUD

        clear = np.float32(1) - opacity
        light = clear * (np.float32(1) - np.float32(0.6) * shade)
        grain = _hash(f"{self.seed}/{self.day}/grain", y, x)
        bands = {}
        for name in (*BANDS, *further):
            if name == THERMAL:
                value = self._kelvin(canopy)
                value[snow] = _SNOW_K
                value *= clear
                value += np.float32(_CLOUD_K) * opacity
                value /= np.float32(TEMPERATURE_SCALE)
            else:
                of_soil, of_canopy, of_cloud = (np.float32(part) for part in _SPECTRA[name])
                value = of_soil * soil
                value += of_canopy * canopy
                if name.startswith("swir"):
                    value *= moisture
                value[snow] = _SNOW[name]
                value *= light
                value += of_cloud * opacity
                value /= np.float32(REFLECTANCE_SCALE)
                value -= np.float32(REFLECTANCE_OFFSET / REFLECTANCE_SCALE)
            value += _grain(grain, ALL_BANDS.index(name))
            np.clip(value, 1, 65535, out=value)
            bands[name] = value.astype(np.uint16)
        return Layers(bands, classes)

    def _land(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Canopy cover, brightness of the soil that shows, and what moisture leaves of the short-wave infrared."""
        size = _PARCEL_M * 1000
        rows, columns = y // size, x // size
        p_rows, p_columns = np.arange(rows.min(), rows.max() + 1), np.arange(columns.min(), columns.max() + 1)

        def draw(what: str) -> FloatArray:
            return _uniform(_hash(f"{self.seed}/{what}", p_rows, p_columns))

        southern = self.latitude < 0
        year = self.day.year - (southern and self.day.month < 7)
        season_day = (self.day - date(year, 7 if southern else 1, 1)).days
        crop = (draw(f"crop/{year}") * len(_CROPS)).astype(np.intp)
        shift, vigour = draw(f"shift/{year}") * 24 - 12, 0.88 + 0.16 * draw(f"vigour/{year}")
        bright = 0.8 + 0.4 * draw("bright")
        wet = 1 - 0.25 * draw(f"wet/{self.day.toordinal() // 5}")
        pivot = draw("pivot") < _PIVOT_SHARE

        field = _cover(_ndvi(crop, season_day, shift, vigour), bright)
        pasture = _cover(_ndvi(np.full_like(crop, _PASTURE), season_day, shift, vigour), bright)
        corner = np.where(pivot, pasture, field)
        watered = np.where(pivot, wet * np.float32(0.85), wet)

        def spread(values: FloatArray) -> FloatArray:
            cells: FloatArray = values[:, columns - p_columns[0]][rows - p_rows[0]]
            return cells

        # The distance to the middle of the quarter section, in metres, axis by axis.
        across, along = ((axis % size) / 1000 - _PARCEL_M / 2 for axis in (x, y))
        circle = (along**2)[:, None] + (across**2)[None, :] <= _PIVOT_M**2
        canopy = np.where(circle, spread(field), spread(corner))
        canopy *= self._texture(y, x)
        np.clip(canopy, 0, 1, out=canopy)
        soil = spread(bright)
        soil *= np.float32(1) - canopy
        return canopy, soil, np.where(circle, spread(watered), spread(wet))

    def _texture(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> FloatArray:
        texture = _noise(f"{self.seed}/soil", y, x, 2_000)
        texture += _noise(f"{self.seed}/patch", y, x, 250)
        texture *= np.float32(0.1)
        texture += np.float32(0.9)
        return texture

    def _kelvin(self, canopy: FloatArray) -> FloatArray:
        """Temperature of the surface: bare soil heats up, a canopy cools itself by transpiration."""
        air, season = self._air()
        heating = 8 + 6 * season
        kelvin = canopy * np.float32(-heating - 1)
        kelvin += np.float32(air + heating)
        return kelvin

    def _air(self) -> tuple[float, float]:
        """Temperature of the air, and the season, from -1 in winter to 1 in summer."""
        turn = 2 * math.pi * (self.day.timetuple().tm_yday - 200) / 365.25
        season = round(math.cos(turn), 6) * (-1 if self.latitude < 0 else 1)
        distance = abs(self.latitude)
        weather = 8 * share(self.seed, "weather", self.day) - 4
        return 300 - 0.4 * max(distance - 10, 0) + 0.33 * distance * season + weather, season

    def _snow(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where snow lies: everywhere at 269 K, in patches up to 277 K, nowhere above."""
        if not self.snow:
            return np.zeros((len(y), len(x)), bool)
        depth = _noise(f"{self.seed}/snow/{self.day.toordinal() // _SNOW_DAYS}", y, x, _SNOW_M)
        snow: NDArray[np.bool_] = depth > np.float32((self._air()[0] - 269) / 8)
        return snow

    def _sky(self, grid: Grid) -> tuple[FloatArray, FloatArray]:
        """Opacity of the clouds and depth of their shadows, 0 to 1.

        One cloud field is made for the grid and a margin towards the sun, which stands in the south-east in the
        morning, or in the north-east on the southern hemisphere; the shadow of a cell is the cloud over there.
        """
        down, right = (max(1, round(_SHADOW_M / step)) for step in (grid.yres, grid.xres))
        first = -down if self.latitude < 0 else 0
        y = _centres(grid.top, -grid.yres, first, grid.height + down)
        x = _centres(grid.left, grid.xres, 0, grid.width + right)
        key = f"{self.seed}/{self.day}"

        total = sum(map(math.sqrt, _OCTAVES_M))
        opacity = np.zeros((len(y), len(x)), np.float32)
        for size in _OCTAVES_M:
            opacity += _noise(f"{key}/{size}", y, x, size, math.sqrt(size) / total)
        # Cloud is where the field is above a level that falls from 0.8 (clear sky) to 0.2 (overcast).
        cover = _noise(f"{key}/cover", y, x, _COVER_M)
        cover *= np.float32(2.6)
        cover -= np.float32(0.9)
        np.clip(cover, 0, 1, out=cover)
        cover *= np.float32(0.6)
        opacity += cover
        opacity -= np.float32(0.8)
        opacity /= np.float32(_RIM)
        np.clip(opacity, 0, 1, out=opacity)
        here = slice(-first, grid.height - first)
        towards_sun = slice(grid.height) if first else slice(down, None)
        return opacity[here, : grid.width], opacity[towards_sun, right:]


def hide_cloud(layers: Layers, where: NDArray[np.bool_]) -> None:
    """Put an opaque cloud where `where` is true, which the classes don't show."""
    for name, values in layers.bands.items():
        cloud = _CLOUD_K / TEMPERATURE_SCALE
        if name != THERMAL:
            cloud = (_SPECTRA[name][2] - REFLECTANCE_OFFSET) / REFLECTANCE_SCALE
        values[where] = round(cloud)
    layers.classes[where] = PixelClass.CLEAR


def _ndvi(crop: NDArray[np.intp], season_day: int, shift: FloatArray, vigour: FloatArray) -> FloatArray:
    """NDVI of a crop's day of the season: a double logistic (Beck et al. 2006, doi:10.1016/j.rse.2005.10.021)."""
    green_up, senescence, peak, base, days = (_CROPS[:, column][crop] for column in range(5))
    rise = 1 / (1 + np.exp((green_up + shift - season_day) / days))
    fall = 1 / (1 + np.exp((senescence + shift - season_day) / days))
    ndvi: FloatArray = np.round(base + (peak * vigour - base) * (rise - fall), 4)  # hides the last bits of exp
    return ndvi


def _cover(ndvi: FloatArray, bright: FloatArray) -> FloatArray:
    """The canopy cover whose mixture of soil and canopy has the NDVI: linear in red and near infrared, solved."""
    soil_red, canopy_red, _ = _SPECTRA["red"]
    soil_nir, canopy_nir, _ = _SPECTRA["nir"]
    red, nir = bright * np.float32(soil_red), bright * np.float32(soil_nir)
    d_red, d_nir = np.float32(canopy_red) - red, np.float32(canopy_nir) - nir
    cover: FloatArray = (nir - red - ndvi * (nir + red)) / (ndvi * (d_nir + d_red) - (d_nir - d_red))
    return cover.clip(0, 1)


def number(*parts: object) -> int:
    """A pseudo-random number below 2**32, determined by the parts."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4])


def share(*parts: object) -> float:
    """A pseudo-random number from 0 to below 1, determined by the parts."""
    return number(*parts) / 2**32


def _centres(edge: float, step: float, first: int, count: int) -> NDArray[np.int64]:
    """Centres of cells along an axis in whole millimetres, so that rounding differs on no window."""
    centres = edge + (np.arange(first, first + count, dtype=np.float64) + 0.5) * step
    return np.rint(centres * 1000).astype(np.int64)


def _mix(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scrambles in place (Ettinger's lowbias32)."""
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def _hash(key: str, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.uint32]:
    """A random number for each (y, x) of two axes, shape (len(y), len(x))."""
    rows = _mix(y.astype(np.uint32) + np.uint32(number(key, "y")))
    columns = _mix(x.astype(np.uint32) + np.uint32(number(key, "x")))
    return _mix(rows[:, None] + columns[None, :])


def _uniform(h: NDArray[np.uint32]) -> FloatArray:
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _grain(h: NDArray[np.uint32], number: int) -> FloatArray:
    """Noise of a band of `ALL_BANDS`, -6 to 6 of its units, plus the half that turns truncation into rounding."""
    noise: FloatArray = ((h * np.uint32(2 * number + 0x9E3779B1)) >> np.uint32(24)).astype(np.float32)
    noise *= np.float32(12 / 255)
    noise -= np.float32(5.5)
    return noise


def _noise(key: str, y: NDArray[np.int64], x: NDArray[np.int64], size_m: int, weight: float = 1.0) -> FloatArray:
    """Smooth noise from 0 to `weight`: random numbers on a lattice of `size_m`, interpolated between."""
    size = size_m * 1000
    rows, columns = y // size, x // size
    around = (np.arange(axis.min(), axis.max() + 2) for axis in (rows, columns))
    corners = _uniform(_hash(key, *around)) * np.float32(weight)
    down, right = (_fade((axis % size) / size) for axis in (y, x))
    rows, columns = rows - rows.min(), columns - columns.min()
    strips = corners[:, columns] * (1 - right) + corners[:, columns + 1] * right
    noise: FloatArray = strips[rows]
    noise *= (1 - down)[:, None]
    below = strips[rows + 1]
    below *= down[:, None]
    noise += below
    return noise


def _fade(t: NDArray[np.float64]) -> FloatArray:
    return (t * t * (3 - 2 * t)).astype(np.float32)
