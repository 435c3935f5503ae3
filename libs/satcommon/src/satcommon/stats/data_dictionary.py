"""The data dictionary: unit, meaning and range of each column of a row, and since which algorithm version it is there.

The one source of what docs/reference/columns.md, `satctl columns`, the HTTP API and exported files say of columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from satcommon.raster.indices import INDICES


class Meaning(NamedTuple):
    """What a column is.

    Args:
        meaning: in words.
        unit: in words; None where it has none.
        range: least and greatest value, where there are such.
        since: the algorithm version that has it first, or the rule by which a version asks for it.
    """

    meaning: str
    unit: str | None = None
    range: tuple[float | None, float | None] | None = None
    since: str = "1"

    @property
    def units(self) -> str | None:
        """The unit as UDUNITS writes it, which CF conventions use: `1` where it is a number without unit."""
        if self.unit == "degrees Celsius" and self.range == (0.0, None):
            return "K"  # a difference: degC would be converted with its offset
        return _UDUNITS.get(self.unit) if self.unit else None

    @property
    def range_in_words(self) -> str | None:
        """As `0 to 1` or `from 0`."""
        least, greatest = (None if limit is None else f"{limit:g}" for limit in self.range or (None, None))
        if least is None:
            return None
        return f"from {least}" if greatest is None else f"{least} to {greatest}"


_QUANTILES, _INDICES = "rule `quantiles`", "rule `indices`"


DICTIONARY: Mapping[str, Meaning] = {
    "region": Meaning("name of the region"),
    "day": Meaning("solar day at the region's centre"),
    "field": Meaning("external id of the field"),
    "status": Meaning("outcome of the day for the field, such as `clear`, `cloudy` or `no_overpass`"),
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
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none",
        "1",
        (-1.0, 1.0),
        _QUANTILES,
    ),
    "ndmi_quantiles": Meaning(
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none",
        "1",
        (-1.0, 1.0),
        _QUANTILES,
    ),
    "lst_c_quantiles": Meaning(
        "quantiles that the version asks for (`quantiles`), in its order; null where it asks for none",
        "degrees Celsius",
        (-273.15, None),
        _QUANTILES,
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
        "days of the observations that smoothing remembers, newest first: a list of dates, "
        "stored as numbers padded with 0",
        "days since 0000-12-31",
    ),
    "state_ndvi_e4": Meaning("their NDVI, padded alike", "1e-4"),
    "item_ids": Meaning(
        "the acquisitions that provide an observed cell of the field, in the order in which they were laid: a list, "
        "stored as JSON text; null where no cell is observed"
    ),
    "sensed_at": Meaning(
        "sensing time of the acquisition that provides most of the field's observed cells; null likewise"
    ),
    "scene_digest": Meaning("digest of the scene; `no_overpass` or `no_scene` where there is none"),
    "geometry_digest": Meaning("digest of the polygon's normal form"),
    "algorithm_version": Meaning("the version whose rules made the row"),
}

DERIVED: Mapping[str, Meaning] = {
    "final": Meaning("whether no late data known now can still change the row"),
    "state_as_of": Meaning("day of the newest observation in the row's state; null before the season's first"),
}
OF_FIELD: Mapping[str, Meaning] = {
    "field_name": Meaning("name of the field, as it is registered now"),
    "crop_code": Meaning("crop of the row's season, as it is registered now; null where it is not known"),
    "area_ha": Meaning("area of the polygon that the row was computed with, on the ellipsoid", "hectares", (0.0, None)),
}
_UDUNITS = {
    "1": "1",
    "1e-4": "1e-4",
    "1e-4 days": "1e-4 day",
    "cells": "1",
    "days": "day",
    "days since 0000-12-31": "days since 0000-12-31",
    "degrees Celsius": "degC",
    "hectares": "hectare",
    "kelvin": "K",
    "part of the field's cells": "1",
    "part of the observed cells": "1",
    "part of the polygon's area": "1",
    "reflectance": "1",
}


def meaning_of(name: str) -> Meaning:
    """What a column is, also one of a further index or band, which only rows of some algorithm versions have."""
    for known in (DICTIONARY, DERIVED, OF_FIELD):
        if name in known:
            return known[name]
    layer, _, what = name.rpartition("_")
    if layer in INDICES:
        return Meaning(f"{_STATISTICS[what]} of {INDICES[layer].long_name}", "1", since=_INDICES)
    return Meaning("mean of the band", "reflectance", since=_INDICES)


_STATISTICS = {
    "mean": "mean",
    "stdev": "standard deviation, of the population",
    "min": "least value",
    "max": "greatest value",
    "quantiles": "quantiles that the version asks for (`quantiles`), in its order",
}
