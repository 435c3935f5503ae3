"""The data dictionary: unit, meaning and range of each column of a row; docs/reference/columns.md says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from satcommon.raster.indices import INDICES


class Meaning(NamedTuple):
    """What a column is: its unit, None where it has none; and its least and greatest value, where there are such."""

    meaning: str
    unit: str | None = None
    range: tuple[float | None, float | None] | None = None


DICTIONARY: Mapping[str, Meaning] = {
    "region": Meaning("name of the region"),
    "day": Meaning("solar day at the region's centre"),
    "field": Meaning("external id of the field"),
    "status": Meaning("outcome of the day for the field: one of the statuses below"),
    "observed_fraction": Meaning(
        "covered by the swath with usable pixels; null where there is no scene, or no cell",
        "part of the field's cells",
        (0.0, 1.0),
    ),
    "clear_fraction": Meaning(
        "clear by the version's classes, and not near a cloud if masks are dilated; null where nothing is observed",
        "part of the observed cells",
        (0.0, 1.0),
    ),
    "cloud_fraction": Meaning(
        "cloud or thin cloud in the scene's classes; null likewise", "part of the observed cells", (0.0, 1.0)
    ),
    "shadow_fraction": Meaning(
        "shadow in the scene's classes; null likewise", "part of the observed cells", (0.0, 1.0)
    ),
    "cell_count": Meaning("that the polygon covers, each counted as one", "cells", (0.0, None)),
    "inside_fraction": Meaning("that lies in the region, on the ellipsoid", "part of the polygon's area", (0.0, 1.0)),
    "ndvi_mean": Meaning("mean of NDVI, (nir - red) / (nir + red)", "1", (-1.0, 1.0)),
    "ndvi_stdev": Meaning("standard deviation, of the population of NDVI, (nir - red) / (nir + red)", "1", (0.0, 1.0)),
    "ndvi_min": Meaning("least value of NDVI, (nir - red) / (nir + red)", "1", (-1.0, 1.0)),
    "ndvi_max": Meaning("greatest value of NDVI, (nir - red) / (nir + red)", "1", (-1.0, 1.0)),
    "ndmi_mean": Meaning("mean of NDMI, (nir - swir16) / (nir + swir16)", "1", (-1.0, 1.0)),
    "ndmi_stdev": Meaning(
        "standard deviation, of the population of NDMI, (nir - swir16) / (nir + swir16)", "1", (0.0, 1.0)
    ),
    "ndmi_min": Meaning("least value of NDMI, (nir - swir16) / (nir + swir16)", "1", (-1.0, 1.0)),
    "ndmi_max": Meaning("greatest value of NDMI, (nir - swir16) / (nir + swir16)", "1", (-1.0, 1.0)),
    "lst_c_mean": Meaning("mean of surface temperature, band lwir11", "degrees Celsius", (-273.15, None)),
    "lst_c_stdev": Meaning(
        "standard deviation, of the population of surface temperature, band lwir11", "degrees Celsius", (0.0, None)
    ),
    "lst_c_min": Meaning("least value of surface temperature, band lwir11", "degrees Celsius", (-273.15, None)),
    "lst_c_max": Meaning("greatest value of surface temperature, band lwir11", "degrees Celsius", (-273.15, None)),
    "ndvi_quantiles": Meaning(
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none", "1", (-1.0, 1.0)
    ),
    "ndmi_quantiles": Meaning(
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none", "1", (-1.0, 1.0)
    ),
    "lst_c_quantiles": Meaning(
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none",
        "degrees Celsius",
        (-273.15, None),
    ),
    "blue_mean": Meaning("mean of the band", "reflectance"),
    "green_mean": Meaning("mean of the band", "reflectance"),
    "red_mean": Meaning("mean of the band", "reflectance"),
    "nir_mean": Meaning("mean of the band", "reflectance"),
    "swir16_mean": Meaning("mean of the band", "reflectance"),
    "swir22_mean": Meaning("mean of the band", "reflectance"),
    "lwir11_mean": Meaning("mean of the thermal band", "kelvin", (0.0, None)),
    "planting_date": Meaning("planting day of the season"),
    "days_since_planting": Meaning("since that day", "days", (0.0, None)),
    "days_since_clear": Meaning("since the last day that fed the state; null before the first", "days", (0.0, None)),
    "ndvi_smoothed_e4": Meaning(
        "smoothed NDVI: mean of the last clear observations, weighted by age; null before the first",
        "1e-4",
        (-10000.0, 10000.0),
    ),
    "ndvi_integral_e4": Meaning("sum of smoothed NDVI over the season's days so far", "1e-4 days"),
    "state_days": Meaning(
        "days of the observations that smoothing remembers, newest first, padded with 0; "
        "exports list dates, without padding",
        "days since 0000-12-31",
    ),
    "state_ndvi_e4": Meaning("their NDVI, padded alike", "1e-4"),
    "item_ids": Meaning(
        "JSON list of the acquisitions that provide an observed cell of the field, in the order in which they "
        "were laid; exports give a list; null where no cell is observed"
    ),
    "sensed_at": Meaning(
        "sensing time of the acquisition that provides most of the field's observed cells; null likewise"
    ),
    "scene_digest": Meaning("digest of the scene; `no_overpass` or `no_scene` where there is none"),
    "geometry_digest": Meaning("digest of the polygon's normal form"),
    "algorithm_version": Meaning("the version whose rules made the row ([rules](algorithm-rules.md))"),
}


def meaning_of(name: str) -> Meaning:
    """What a column is, also one of a further index or band, which only rows of some algorithm versions have."""
    if name in DICTIONARY:
        return DICTIONARY[name]
    layer, _, what = name.rpartition("_")
    if layer in INDICES:
        return Meaning(f"{_STATISTICS[what]} of {INDICES[layer].long_name}", "1")
    return Meaning("mean of the band", "reflectance")


_STATISTICS = {
    "mean": "mean",
    "stdev": "standard deviation, of the population",
    "min": "least value",
    "max": "greatest value",
    "quantiles": "quantiles that the version asks for (`quantiles`), in its order",
}
