"""Whether the declared offset of reflectance can be that of the product; where it can't, the file is not read.

ESA and USGS changed how integers are stored, and copies often lose the offset or apply it twice: all values are then
wrong by 0.1, and NDVI still looks like NDVI. `satfields.toml` has the last word, as its owner's decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from satcommon.errors import SceneError
from satcommon.raster.layers import THERMAL
from satcommon.raster.product import comparable

if TYPE_CHECKING:
    from satcommon.raster.bands import Band
    from satcommon.raster.declared import DeclaredMetadata
    from satcommon.raster.product import Product

_SENTINEL_2 = re.compile(r"sentinel[-_ ]?2|^s2[a-d]?$", re.IGNORECASE)
_OF_SENTINEL_2 = re.compile(r"\d\d\.\d\d")  # the form of its baselines
_SINCE = (4, 0)  # the baseline whose integers have an offset
_OFFSET, _SCALE = -0.1, 1e-4
_LANDSAT_OFFSET, _LANDSAT_SCALE = -0.2, 2.75e-5  # of Collection 2, Level 2
_NEAR = 1e-9
_COARSE = 0.1  # a larger scale is not one of integers: floats are reflectance already


def baseline_of(declared: DeclaredMetadata, product: Product, tag: str, name: str) -> str:
    """The processing baseline, from item, file name, folders' names and tag.

    Args:
        declared: what is declared beside the file.
        product: what its path says.
        tag: of the file, PROCESSING_BASELINE.
        name: the file's path, for messages.

    Returns:
        As the first of them writes it; empty where none has one.

    Raises:
        SceneError: two of them differ.
    """
    sources = [
        ("the STAC item beside it", declared.baseline),
        ("the STAC item's id or product name", declared.other_baselines),
    ]
    sources += [("the name", product.baselines), ("tag PROCESSING_BASELINE", tag)]
    each = [
        (who, baseline) for who, some in sources for baseline in ([some] if isinstance(some, str) else some) if baseline
    ]
    for who, baseline in each[1:]:
        first_who, first = each[0]
        numbers = comparable(first), comparable(baseline)
        if first != baseline and (None in numbers or numbers[0] != numbers[1]):
            raise SceneError(
                f"{name}: {who} says baseline {baseline}, {first_who} {first}; "
                "correct the one that is wrong, or put the item of this file there"
            )
    return each[0][1] if each else ""


def check_offsets(
    bands: Mapping[str, Band],
    dtypes: Iterable[str],
    declared: DeclaredMetadata,
    product: Product,
    origin: tuple[str, str],
    name: str,
) -> None:
    """Refuse offsets of reflectance that can't be those of the product that the file is declared to be.

    Args:
        bands: as they would be read, by name.
        dtypes: of all bands of the file.
        declared: what is declared beside it.
        product: what its path says.
        origin: its platform and baseline.
        name: its path, for messages.

    Raises:
        SceneError: naming band, offset, what was expected and what to do.
    """
    types = list(dtypes)
    for band, where in bands.items():
        counts = "float" not in types[where.index - 1] or where.scale < _COARSE
        if band == THERMAL or not counts or declared.ruled(where.index, where.offset):
            continue
        why = _contradiction(where, declared, product, origin)
        if why:
            raise SceneError(
                f"{name}: band {band} has offset {where.offset:g} and scale {where.scale:g}, but {why}, or state "
                "`offset` in satfields.toml as the values have it"
            )


def _contradiction(band: Band, declared: DeclaredMetadata, product: Product, origin: tuple[str, str]) -> str:
    platform, baseline = origin
    numbers = comparable(baseline) if baseline else None
    if abs(band.scale - _LANDSAT_SCALE) < _NEAR and abs(band.offset - _LANDSAT_OFFSET) > _NEAR:
        return "Landsat Collection 2 has offset -0.2 with this scale; set it"
    if declared.offset_applied:
        return (
            "the STAC item says that boa_offset_applied is true, so expected is 0; correct one" if band.offset else ""
        )
    usual = abs(band.scale - _SCALE) < _NEAR
    if _is_sentinel_2(declared, product, platform, baseline) and numbers is not None:
        if numbers >= _SINCE and (band.offset == 0 or (usual and abs(band.offset - _OFFSET) > _NEAR)):
            return (
                f"baseline {baseline} has a reflectance offset of -0.1; set it; where it was taken out of the values, "
                "state `offset = 0` in satfields.toml or `boa_offset_applied: true` in the STAC item"
            )
        if numbers < _SINCE and usual and band.offset:
            return f"baseline {baseline} has none, since Sentinel-2 has one from 04.00 on; set 0"
    elif declared.offset_applied is False and band.offset == 0:
        return "the STAC item says that boa_offset_applied is false, and no baseline tells that there is none; set -0.1"
    return ""


def _is_sentinel_2(declared: DeclaredMetadata, product: Product, platform: str, baseline: str) -> bool:
    if product.baselines or declared.other_baselines or declared.offset_applied is not None:
        return True
    if any(_SENTINEL_2.search(name) for name in (platform, product.platform, declared.platform)):
        return True
    return platform == "unknown" and _OF_SENTINEL_2.fullmatch(baseline) is not None
