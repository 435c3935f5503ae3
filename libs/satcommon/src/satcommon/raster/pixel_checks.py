"""Radiometric checks: what is declared of a file against what is found in its pixels, before a number is made of them.

Each check is a rule with limits that no surface, cloud or snow crosses, so that true scenes pass, masked or not: dark
water and shadows are slightly negative in all bands, cloud and snow brighter than 1 in all of them. Their false
alarms and misses are measured (docs/decisions/0025-radiometric-checks.md). What fails is refused, and waits in
quarantine until its item is corrected, or somebody decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from satcommon.errors import RadiometricError
from satcommon.raster import band_checks, mask_checks, value_checks
from satcommon.raster.layers import Layers
from satcommon.raster.region_pixels import RegionPixels, StatedCloud


@dataclass(frozen=True)
class Check:
    """A radiometric check. What is said of it in words is shown in the reference.

    Args:
        judge: gives None where the pixels may be what they are declared to be, and otherwise what was found, what was
            expected and what to do. Its name is the check's.
        found: what in the pixels counts against the file.
        means: what it is a sign of.
        limit: how much of it may be there.
    """

    judge: Callable[[RegionPixels], str | None]
    found: str
    means: str
    limit: str

    @property
    def name(self) -> str:
        """As shown in quarantine."""
        return self.judge.__name__


CHECKS: tuple[Check, ...] = (
    Check(
        value_checks.undeclared_fill,
        "one and the same value in all reflective bands, not above 0 or above 1.2",
        "fill that nothing declares as nodata",
        "5 % of clear cells",
    ),
    Check(
        value_checks.offset_applied_twice,
        "red below -0.005, near infrared above 0.1; or blue below -0.01, and red higher by 0.03",
        "an offset applied twice",
        "5 % of clear cells; 10 % for blue",
    ),
    Check(
        value_checks.below_zero,
        "red below -0.03, or near infrared",
        "an offset that is too low",
        "10 % of clear cells",
    ),
    Check(
        value_checks.too_bright,
        "near infrared above 1.2, and at least 1.35 times red; or red above 2 in clear cells, or in all",
        "a scale that is too large: cloud and snow are white",
        "10 % of clear cells; 50 % for red",
    ),
    Check(
        value_checks.too_dark,
        "99 % of clear cells below 0.07 (0.055 without short-wave infrared) in all bands, and near infrared above red",
        "a scale that is too small: land is brighter, and water reflects no infrared",
        "any region",
    ),
    Check(
        value_checks.offset_missing,
        "dense vegetation whose darkest tenth is above 0.09 in blue, red and short-wave infrared alike; or land with "
        "some green whose darkest hundredth is above 0.1 in them, and grey",
        "an offset that was not applied: haze brightens blue, but not short-wave infrared, and sand is red",
        "2 % of clear cells are dense vegetation, or green",
    ),
    Check(
        band_checks.red_and_nir_swapped,
        "near infrared far below red on land that is neither water nor snow, as short-wave infrared says",
        "red and near infrared swapped",
        "20 % of clear cells",
    ),
    Check(
        band_checks.blue_and_red_swapped,
        "blue above green above red, by a quarter at least, on soil, as short-wave infrared says",
        "blue and red swapped",
        "10 % of clear cells",
    ),
    Check(
        mask_checks.mask_inverted,
        "opaque cloud that is dark beside clear cells that are white; most of the region cloud, and none of it bright; "
        "or nothing but clear cells, and all of them cloud",
        "a mask whose meaning is inverted",
        "half of the cells of each class; 1 % of cloud; 95 % of clear cells",
    ),
    Check(
        mask_checks.cloud_contradicts_item,
        "more cloud, or more clear land, within the region than the item's `eo:cloud_cover` leaves for the whole of it",
        "an item of another acquisition, or a mask of another meaning",
        "half of the region too much",
    ),
    Check(
        value_checks.not_in_kelvin,
        "thermal below 170 K or above 375 K",
        "Celsius, Fahrenheit, a lost offset",
        "20 % of cells with a temperature",
    ),
)
"""The checks of pixels, in the order in which they are made. A check is added by a rule, and a row here."""


def check_pixels(layers: Layers, name: str, mask: str = "", said: StatedCloud | None = None) -> None:
    """Refuse harmonised pixels that can't be reflectance of what they show, or kelvin.

    Args:
        layers: of one file under a region.
        name: its path, for messages.
        mask: the kind of its class band, of `masks.CLASS_NAMES`; empty without one.
        said: what its item states of its cloud, if it does.

    Raises:
        RadiometricError: naming the band, what was found and expected, and what to do; of the first check that fails.
    """
    pixels = RegionPixels(layers, mask, said)
    for check in CHECKS:
        if contradiction := check.judge(pixels):
            raise RadiometricError(f"{name}: {contradiction}", check.name)
