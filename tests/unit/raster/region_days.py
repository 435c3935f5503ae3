"""True region-days of many kinds, and lies about them: what radiometric checks must let pass, and what they must not.

The land is the simulated satellite's. What it lacks is laid over it here: water, haze, sand, salt, burnt land, and snow
that no mask tells. A lie is told as archives tell it: on stored values, with true pixels behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

import numpy as np
from numpy.typing import NDArray
from satcommon.geo.grid import Grid
from satcommon.raster.layers import BANDS, NODATA, REFLECTIVE, THERMAL, Layers, PixelClass
from satcommon.sources.farmland import Farmland

Spectrum = dict[str, float]

UNIT, ZERO = 10_000, 1_000  # reflectance * UNIT + ZERO is stored

# Reflectance by band, as libraries of spectra have it for such surfaces.
_WATER = {"blue": 0.04, "green": 0.035, "red": 0.02, "nir": 0.008, "swir16": 0.003, "swir22": 0.002}
_TURBID = {"blue": 0.07, "green": 0.11, "red": 0.13, "nir": 0.07, "swir16": 0.005, "swir22": 0.003}
_SHALLOW = {"blue": 0.22, "green": 0.24, "red": 0.13, "nir": 0.02, "swir16": 0.004, "swir22": 0.003}
_OVERCORRECTED = {"blue": -0.012, "green": -0.002, "red": -0.012, "nir": -0.016, "swir16": -0.004, "swir22": -0.003}
_BLOOM = {"blue": 0.02, "green": 0.05, "red": 0.025, "nir": 0.06, "swir16": 0.004, "swir22": 0.003}
_SAND = {"blue": 0.16, "green": 0.26, "red": 0.38, "nir": 0.46, "swir16": 0.58, "swir22": 0.52}
_PALE_SAND = {"blue": 0.24, "green": 0.31, "red": 0.38, "nir": 0.43, "swir16": 0.52, "swir22": 0.46}
_SALT = {"blue": 0.56, "green": 0.63, "red": 0.68, "nir": 0.71, "swir16": 0.52, "swir22": 0.36}
_BURNT = {"blue": 0.032, "green": 0.04, "red": 0.052, "nir": 0.085, "swir16": 0.16, "swir22": 0.17}
_PEAT = {"blue": 0.03, "green": 0.04, "red": 0.055, "nir": 0.09, "swir16": 0.14, "swir22": 0.12}
_SNOW = {"blue": 0.88, "green": 0.87, "red": 0.85, "nir": 0.76, "swir16": 0.1, "swir22": 0.08}
_OLD_SNOW = {"blue": 0.74, "green": 0.72, "red": 0.68, "nir": 0.5, "swir16": 0.07, "swir22": 0.06}
_LOW_SUN = {"blue": 1.12, "green": 1.1, "red": 1.08, "nir": 0.96, "swir16": 0.14, "swir22": 0.1}
_AIR = {"blue": 0.36, "green": 0.3, "red": 0.25, "nir": 0.2, "swir16": 0.09, "swir22": 0.05}  # a thick layer of haze
_CIRRUS = {"blue": 0.5, "green": 0.5, "red": 0.5, "nir": 0.52, "swir16": 0.38, "swir22": 0.3}

_COVERS = {
    "water": (_WATER, _TURBID, _SHALLOW, _OVERCORRECTED, _BLOOM),
    "bare soil": (_SAND, _PALE_SAND, _SALT, _BURNT, _PEAT),
    "snow": (_SNOW, _OLD_SNOW, _LOW_SUN),
}
KINDS = ("as it is", "snow", "water", "bare soil", "haze", "clouds")


@dataclass(frozen=True)
class RegionDay:
    """A true region-day.

    Args:
        name: what it shows, for messages.
        layers: as a file without a lie gives them.
        mask: the kind of the file's class band; empty without one.
    """

    name: str
    layers: Layers
    mask: str


def region_day(number: int, kind: str, bands: tuple[str, ...] = BANDS, mask: str | None = None) -> RegionDay:
    """A region-day, determined by number and kind.

    Args:
        number: another one gives another place, day, size and weather.
        kind: of `KINDS`.
        bands: that the file has.
        mask: the kind of its class band; None: a Sentinel-2's, one of two values, or none at all.
    """
    chance = Random(f"{kind}/{number}")
    day = date(2025, 1, 1) + timedelta(days=chance.randrange(365))
    latitude = chance.choice([-38.0, -25.0, -10.0, 12.0, 28.0, 42.0, 50.0, 60.0])
    metres = chance.choice([10.0, 10.0, 20.0, 30.0])
    width, height = chance.randint(40, 260), chance.randint(40, 260)
    left, top = chance.randrange(200_000, 700_000, 10), chance.randrange(1_000_000, 6_000_000, 10)
    grid = Grid("EPSG:32615", float(left), float(top), metres, metres, width, height)
    layers = Farmland(f"{number}", day, latitude, snow=kind == "snow").layers(grid)
    mask = chance.choice(["scl", "scl", "clear", ""]) if mask is None else mask
    what = f"{kind} {number}: {day}, latitude {latitude:g}, {width} x {height} of {metres:g} m, mask {mask!r}"
    if kind in _COVERS:
        cover = chance.choice(_COVERS[kind])
        cover_share = chance.choice([0.05, 0.3, 0.6, 0.95, 1.0])
        told = kind != "bare soil" and chance.random() < 0.5
        of_class = {"water": PixelClass.WATER, "snow": PixelClass.SNOW}[kind] if told else PixelClass.CLEAR
        _cover(layers, chance, cover, cover_share, of_class)
        what += f", {cover_share:.0%} of {cover}, told {told}"
    if kind == "haze":
        opacity, air = chance.uniform(0.05, 0.45), chance.choice([_AIR, _CIRRUS])
        _over(layers, dict.fromkeys(REFLECTIVE, opacity), air)
        what += f", opacity {opacity:.2f} of {air}"
    if kind == "clouds" and chance.random() < 0.5:  # clouds that the mask has missed, or has too many of
        flagged = np.isin(layers.classes, (PixelClass.CLOUD, PixelClass.THIN_CLOUD, PixelClass.SHADOW))
        if chance.random() < 0.5:
            layers.classes[flagged & (_noise(chance, layers) < 0.5)] = PixelClass.CLEAR
        else:
            layers.classes[_grown(flagged, 12)] = PixelClass.CLOUD
    covered = layers.classes != PixelClass.NODATA
    if not mask:
        layers.classes[covered] = PixelClass.CLEAR
    elif mask == "clear":
        layers.classes[covered & (layers.classes != PixelClass.CLEAR)] = PixelClass.CLOUD
    return RegionDay(what, Layers({band: layers.bands[band] for band in BANDS if band in bands}, layers.classes), mask)


def _cover(layers: Layers, chance: Random, cover: Spectrum, cover_share: float, of_class: PixelClass) -> None:
    field = _noise(chance, layers)
    where = field <= np.quantile(field, cover_share)
    where &= layers.classes != PixelClass.CLOUD
    grain = 1 + 0.12 * (_noise(chance, layers) - 0.5)
    for band, value in cover.items():
        here = np.rint(value * grain * UNIT + ZERO)
        layers.bands[band][where] = np.clip(here, 1, 65535).astype(np.uint16)[where]
    layers.classes[where] = of_class


def _over(layers: Layers, opacity: dict[str, float], air: Spectrum) -> None:
    for band in REFLECTIVE:
        stored = layers.bands[band]
        value = (stored.astype(np.float64) - ZERO) / UNIT
        value = value * (1 - opacity[band]) + air[band] * opacity[band]
        layers.bands[band] = np.where(stored == NODATA, NODATA, np.clip(np.rint(value * UNIT + ZERO), 1, 65535)).astype(
            np.uint16
        )


def _noise(chance: Random, layers: Layers) -> NDArray[np.float64]:
    """Smooth patches and some grain, 0 to 1."""
    rows, columns = layers.classes.shape
    random = np.random.default_rng(chance.randrange(2**32))
    coarse = random.random((rows // 16 + 2, columns // 16 + 2))
    patches = np.kron(coarse, np.ones((16, 16)))[:rows, :columns]
    noise: NDArray[np.float64] = 0.8 * patches + 0.2 * random.random((rows, columns))
    return noise


def _grown(where: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    grown = where.copy()
    for axis in (0, 1):
        for step in range(1, cells + 1):
            for way in (step, -step):
                grown |= np.roll(where, way, axis)
    return grown


Lie = Callable[[Layers], Layers]


def _restated(scale: float, offset: float) -> Lie:
    """The values are read as reflectance * scale + offset."""

    def tell(layers: Layers) -> Layers:
        bands = dict(layers.bands)
        for band in REFLECTIVE:
            if band in bands:
                value = (bands[band].astype(np.float64) - ZERO) / UNIT * scale + offset
                stored = np.rint(value * UNIT + ZERO)
                stored = np.where((stored < 1) | (stored > 65535), NODATA, stored)
                bands[band] = np.where(bands[band] == NODATA, NODATA, stored).astype(np.uint16)
        lost = np.logical_and.reduce([bands[band] == NODATA for band in REFLECTIVE if band in bands])
        return Layers(bands, np.where(lost, np.uint8(PixelClass.NODATA), layers.classes))

    return tell


def _swapped(first: str, second: str) -> Lie:
    return lambda layers: replace(
        layers, bands=layers.bands | {first: layers.bands[second], second: layers.bands[first]}
    )


def _inverted(layers: Layers) -> Layers:
    """Clear is cloud, and the reverse; shadow and snow count as cloud in a mask of two values."""
    clear = layers.classes == PixelClass.CLEAR
    classes = np.where(clear, np.uint8(PixelClass.CLOUD), np.uint8(PixelClass.CLEAR))
    return replace(layers, classes=np.where(layers.classes == PixelClass.NODATA, layers.classes, classes))


def _filled(value: int) -> Lie:
    """A third of the raster lies outside the swath, and holds a value that nothing declares."""

    def tell(layers: Layers) -> Layers:
        bands = {band: values.copy() for band, values in layers.bands.items()}
        classes = layers.classes.copy()
        width = classes.shape[1] // 3
        for band in REFLECTIVE:
            if band in bands:
                bands[band][:, :width] = value
        if THERMAL in bands:
            bands[THERMAL][:, :width] = NODATA
        classes[:, :width] = PixelClass.CLEAR
        return Layers(bands, classes)

    return tell


LIES: dict[str, Lie] = {
    "offset forgotten": _restated(1, 0.1),
    "offset applied twice": _restated(1, -0.1),
    "scale ten times too large": _restated(10, 0),
    "scale ten times too small": _restated(0.1, 0),
    "red and nir swapped": _swapped("red", "nir"),
    "blue and red swapped": _swapped("blue", "red"),
    "mask inverted": _inverted,
    "fill undeclared, 65535": _filled(65535),
    "fill undeclared, 1": _filled(1),
}
