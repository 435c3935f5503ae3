"""Which band of a GeoTIFF is which, and what its values mean."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import MaskFlags

from satcommon.errors import SceneError
from satcommon.raster.band_names import NARROW_NIR, known_name
from satcommon.raster.declared import DeclaredBand, DeclaredMetadata
from satcommon.raster.layers import ALL_BANDS, BANDS, FURTHER, THERMAL
from satcommon.raster.masks import CLASS_NAMES, DATA_MASK, looks_like_classes

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class Band:
    """A band of a file; value * scale + offset is reflectance or kelvin.

    Args:
        index: number of the band, from 1.
        scale: see above.
        offset: see above.
        nodata: replaces the file's nodata value, if given.
        masked: whether the file's own nodata value or mask counts.
        zero_is_nothing: whether 0 is nodata: where the file has neither nodata value nor mask, or only NaN.
    """

    index: int
    scale: float
    offset: float
    nodata: float | None = None
    masked: bool = False
    zero_is_nothing: bool = True


def read_bands(
    dataset: DatasetReader, name: str, declared: DeclaredMetadata, platform: str, further: Collection[str] = ()
) -> tuple[dict[str, Band], tuple[str, int] | None, int | None]:
    """The bands of an open file by name, the kind and number of the class band, and the number of the data mask.

    Args:
        dataset: the file.
        name: its path, for messages.
        declared: what is declared beside it.
        platform: of the file; a band's number means different bands to different sensors.
        further: bands of `FURTHER` that are wanted; others are passed over, as bands without a name are.

    Raises:
        SceneError: red or near infrared is missing, a band comes twice, or its values can't be reflectance.
    """
    bands: dict[str, Band] = {}
    classes: dict[str, int] = {}
    if declared.bands and max(declared.bands) > dataset.count:
        raise SceneError(f"{name}: has {dataset.count} bands; {max(declared.bands)} are stated beside it; correct that")
    found = _descriptions(dataset, name, declared)
    stated = [declared.of_band(index).name for index in range(1, len(found) + 1)]
    named = [
        band if known_name(band) else None if declared.names_all else known_name(text, platform)
        for band, text in zip(stated, found, strict=True)
    ]
    named = ["nir" if band == NARROW_NIR and "nir" not in named else band for band in named]
    named = [None if band in FURTHER and band not in further else band for band in named]
    for index, (band, dtype, scale, offset) in enumerate(
        zip(named, dataset.dtypes, dataset.scales, dataset.offsets, strict=True), start=1
    ):
        declared_band = declared.of_band(index)
        if band == "fmask" and PurePosixPath(name).name.upper().startswith("HLS."):
            band = "hls_fmask"
        if band in (*CLASS_NAMES, DATA_MASK):
            classes.setdefault(band, index)
        elif band is not None:
            if band in bands:
                raise SceneError(
                    f"{name}: bands {bands[band].index} and {index} are both {band}; describe one otherwise"
                )
            usual = DeclaredBand(None, scale, offset)
            every = declared.every if band != THERMAL else DeclaredBand(nodata=declared.every.nodata)
            declared_band = declared_band.over(every)
            declared_band = declared_band.over(usual)
            bands[band] = _band(dataset, index, declared_band)
            _check_values(bands[band], band, dtype, name)
    if missing := {"red", "nir"} - bands.keys():
        raise SceneError(
            f"{name}: no band is described as {' or '.join(sorted(missing))}; "
            f"found {', '.join(map(repr, found)) or 'none'}; {_what_to_do(dataset, name, found, platform)}"
        )
    kind = next((kind for kind in CLASS_NAMES if kind in classes), None)
    unnamed = [] if kind or declared.names_all else [n for n, band in enumerate(named) if band is None]
    unknown = [text.strip().lower() for n in unnamed for text in (found[n], stated[n] or "")]
    if unlike := [text for text in unknown if looks_like_classes(text)]:
        raise SceneError(
            f"{name}: band {unlike[0]!a} may tell clouds or missing data, and is of no known kind; describe it as one "
            f"of {', '.join((*CLASS_NAMES, DATA_MASK))}, or name the bands in satfields.toml, without this one where "
            "it tells neither"
        )
    named_bands = {band: bands[band] for band in ALL_BANDS if band in bands}
    return named_bands, (kind, classes[kind]) if kind else None, classes.get(DATA_MASK)


def _band(dataset: DatasetReader, index: int, declared_band: DeclaredBand) -> Band:
    """A band with everything declared of it. An alpha band is no mask: four bands of bytes have one by default."""
    assert declared_band.scale is not None
    assert declared_band.offset is not None
    ignored = {MaskFlags.all_valid, MaskFlags.alpha} | (
        {MaskFlags.nodata} if declared_band.nodata is not None else set()
    )
    kept = set(dataset.mask_flag_enums[index - 1]) - ignored
    stated = dataset.nodatavals[index - 1]
    # NaN is never a value, and many writers state it by default.
    says_nothing = MaskFlags.nodata in kept and stated is not None and math.isnan(stated)
    zero_is_nothing = declared_band.nodata is None and (not kept or says_nothing)
    return Band(index, declared_band.scale, declared_band.offset, declared_band.nodata, bool(kept), zero_is_nothing)


def _check_values(band: Band, which: str, dtype: str, name: str) -> None:
    """Refuse a scale and an offset that make a reflectance or temperature of no value, or of any."""
    has = f"{name}: band {which} is {dtype} with scale {band.scale:g} and offset {band.offset:g}"
    if not math.isfinite(band.scale * band.offset) or band.scale <= 0 or "complex" in dtype:
        raise SceneError(f"{has}; expected numbers, the scale above 0")
    reflective, whole = which != THERMAL, "float" not in dtype
    means = f"value * scale + offset = {'reflectance' if reflective else 'kelvin'}"
    if whole and band.scale == 1:
        raise SceneError(f"{has}; set its scale and offset, so that {means}")
    coarsest, least, shift = (0.1, 0.1, 1.0) if reflective else (10.0, 150.0, 1000.0)
    if abs(band.offset) > shift:
        hint = "; an offset of -1000 before scaling is -0.1" if reflective else ""
        raise SceneError(f"{has}, which is far off; set them so that {means}{hint}")
    if whole and (band.scale > coarsest or np.iinfo(dtype).max * band.scale + band.offset < least):
        raise SceneError(f"{has}, too {'coarse' if band.scale > coarsest else 'small'}; set them so that {means}")


def _descriptions(dataset: DatasetReader, name: str, declared: DeclaredMetadata) -> list[str]:
    try:
        return [(text or "").strip().lower() for text in dataset.descriptions]
    except UnicodeDecodeError as error:
        if declared.names_all:
            return [""] * dataset.count
        raise SceneError(
            f"{name}: its bands' descriptions are not written in UTF-8 ({error}); write them anew, or name the bands "
            "by their numbers under [files.bands] in satfields.toml"
        ) from error


def _what_to_do(dataset: DatasetReader, name: str, found: list[str], platform: str) -> str:
    stem = PurePosixPath(name).stem
    endings = [stem[cut:] for cut in range(len(stem)) if cut == 0 or stem[cut - 1] in "._-"]
    if dataset.count == 1 and any(known_name(text, platform) for text in [*found, *endings]):
        return (
            "the file holds one band, as archives keep them; put the bands of a pass and tile into one file, as "
            "`gdalbuildvrt -separate all.vrt RED.tif NIR.tif` and `gdal_translate all.vrt 2016-01-07T101243.tif`, and "
            "state the bands' names, scale and offset in satfields.toml"
        )
    return f"set the bands' descriptions to some of {', '.join(BANDS)}, or name the bands in satfields.toml"
