"""Rules that find bands under each other's names."""

from __future__ import annotations

import numpy as np

from satcommon.raster.region_pixels import RegionPixels, share

_DRY = 0.12  # short-wave infrared above: neither water nor snow
_BARE = -0.08, 0.1, 0.33  # NDVI of no soil; red of soil, darker than melting snow with soil between
_GREEN, _BRIGHT = -0.3, 0.2  # NDVI, and red above: near infrared of a canopy under the name of red
_GREEN_ALONE, _BRIGHT_ALONE = -0.4, 0.25  # likewise, where no short-wave infrared tells water, which is darker in red
_BLUER, _LEAST_BLUE = 1.25, 0.06
_MOST_REVERSED, _MOST_BLUE = 0.2, 0.1  # shares of clear cells


def red_and_nir_swapped(pixels: RegionPixels) -> str | None:
    """Near infrared below red, on dry land: they are swapped."""
    cells = pixels.landscape("red", "nir")
    if cells is None:
        return None
    three = pixels.landscape("red", "nir", "swir16")
    red, nir = (three or cells)[:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ndvi = np.where(red + nir > 0, (nir - red) / (nir + red), 0.0)
    if three:
        lowest, least, most = _BARE
        bare = (ndvi < lowest) & (red > least) & (red < most)
        reversed_ = (bare | ((ndvi < _GREEN) & (red > _BRIGHT))) & (three[2] > _DRY)
    else:
        reversed_ = (ndvi < _GREEN_ALONE) & (red > _BRIGHT_ALONE)
    found = share(reversed_, red)
    if found <= _MOST_REVERSED:
        return None
    return (
        f"{found:.0%} of clear cells are dry land with near infrared far below red (in the middle "
        f"{np.median(nir[reversed_]):.2f} and {np.median(red[reversed_]):.2f}); expected none, as of soil and "
        "vegetation; red and near infrared are swapped: correct the bands' names, or state them in satfields.toml"
    )


def blue_and_red_swapped(pixels: RegionPixels) -> str | None:
    """Soil that is bluer than it is red: they are swapped. Under dense vegetation the two hardly differ."""
    cells = pixels.landscape("blue", "green", "red", "nir", "swir16")
    if cells is None:
        return None
    blue, green, red, nir, short = cells
    soil = (short > nir) & (short > _DRY)
    bluer = soil & (blue > _BLUER * red) & (blue > green) & (green > red) & (blue > _LEAST_BLUE)
    found = share(bluer, red)
    if found <= _MOST_BLUE:
        return None
    return (
        f"{found:.0%} of clear cells are soil with blue far above red (in the middle {np.median(blue[bluer]):.2f} and "
        f"{np.median(red[bluer]):.2f}); expected none: soil is redder than blue; they are swapped: correct the bands' "
        "names, or state them in satfields.toml"
    )
