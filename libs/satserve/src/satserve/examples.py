"""An example of each answer, for the OpenAPI document; tests hold them to their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELD, _REGION, _DAY = "north-forty", "A", "2026-05-12"
_NOW = "2026-05-13T08:00:00Z"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_JSON, _GEOJSON, _COVERAGE = "application/json", "application/geo+json", "application/prs.coverage+json"
_RING = [[-94.2, 40.5], [-94.19, 40.5], [-94.19, 40.51], [-94.2, 40.51], [-94.2, 40.5]]
_POLYGON = {"type": "Polygon", "coordinates": [_RING]}


def _link(href: str, rel: str, media_type: str = _JSON) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media_type}


_ROW = {
    "region": _REGION,
    "day": _DAY,
    "field": _FIELD,
    "status": "clear",
    "ndvi_mean": 0.6214,
    "final": True,
    "state_as_of": _DAY,
}
_CORRECTION = {
    "sequence": 41,
    "committed_at": _NOW,
    "cause": "revised_field",
    "first_day": "2026-04-20",
    "last_day": _DAY,
    "rows": 23,
}
_SUMMARY = {
    "region": _REGION,
    "active": True,
    "monitored_from": "2026-04-01",
    "monitored_until": None,
    "algorithm_version": "2",
    "watermark": _DAY,
    "final_through": "2026-05-10",
    "lag_days": 0,
    "settled_rows": 4200,
    "missed_field_days": 42,
    "expected_field_days": 4200,
    "completeness": 0.99,
    "backlog": [
        {
            "cause": "late_scene",
            "field_days": 42,
            "first_day": "2026-05-11",
            "last_day": "2026-05-11",
            "oldest_age_seconds": 86400.0,
        }
    ],
    "newest_corrections": [_CORRECTION],
}
_COLLECTION = {
    "id": "fields",
    "title": "Fields",
    "description": "The fields, each with its latest polygon and its current season.",
    "extent": {
        "spatial": {"bbox": [[-94.3, 40.3, -94.0, 40.6]], "crs": _CRS84},
        "temporal": {"interval": [["2026-04-01T00:00:00Z", None]]},
    },
    "crs": [_CRS84],
    "links": [_link("/collections/fields", "self"), _link("/collections/fields/items", "items", _GEOJSON)],
    "itemType": "feature",
}
_FEATURE = {
    "type": "Feature",
    "id": _FIELD,
    "geometry": _POLYGON,
    "properties": {
        "external_id": _FIELD,
        "name": "North Forty",
        "crop_code": "maize",
        "planting_date": "2026-04-10",
        "area_ha": 94.2,
        "regions": [_REGION],
    },
}
_FEATURES = {
    "type": "FeatureCollection",
    "features": [_FEATURE],
    "links": [_link("/collections/fields/items", "self", _GEOJSON)],
    "numberReturned": 1,
    "numberMatched": 1,
}
_SERIES = {
    "type": "Coverage",
    "id": _FIELD,
    "domain": {
        "type": "Domain",
        "domainType": "PolygonSeries",
        "axes": {
            "t": {"values": ["2026-05-11", _DAY]},
            "composite": {"dataType": "polygon", "coordinates": ["x", "y"], "values": [[_RING]]},
        },
        "referencing": [
            {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": _CRS84}},
            {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}},
        ],
    },
    "parameters": {
        "ndvi_mean": {"type": "Parameter", "observedProperty": {"id": "ndvi_mean", "label": {"en": "ndvi_mean"}}}
    },
    "ranges": {
        "ndvi_mean": {
            "type": "NdArray",
            "dataType": "float",
            "axisNames": ["t"],
            "shape": [2],
            "values": [None, 0.6214],
        }
    },
    "satfields:region": _REGION,
}
_STORY = {
    "field": _FIELD,
    "region": _REGION,
    "day": _DAY,
    "state": "settled",
    "why": "nothing known now can still change it",
    "next_step": None,
    "row": _ROW,
    "publications": [{"sequence": 41, "committed_at": _NOW, "cause": "revised_field", "row": _ROW}],
    "misses": [],
    "attempts": [],
    "scenes": [],
}
_CHANGE = {
    "region": _REGION,
    "field": _FIELD,
    "day": _DAY,
    "column": "ndvi_mean",
    "before": 0.5903,
    "after": 0.6214,
    "cause": "revised_field",
    "run": "replay-17",
    "committed_at": _NOW,
    "sequence": 41,
}
_COLUMN = {
    "name": "ndvi_mean",
    "type": "double",
    "unit": "1",
    "units": "1",
    "meaning": "mean of NDVI over the clear cells of the field",
    "range": [-1.0, 1.0],
    "since": "1",
}
_MISS = {"field": _FIELD, "day": "2026-05-11", "cause": "late_scene", "opened_at": _NOW, "failed_attempts": 0}
_CLASS = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core"
_COLUMNS = {"field": [_FIELD], "value": [0.6214], "final": [True], "state_as_of": [_DAY]}
_QUERYABLES = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "/collections/fields/queryables",
    "type": "object",
    "properties": {"crop_code": {"type": "string"}},
}
_VALUES = {"day": [_DAY], "final": [True], "state_as_of": [_DAY], "values": {"ndvi_mean": [0.6214]}}

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "/": {
        _JSON: {"title": "Satfields", "description": "A row of numbers a field and day.", "links": [_link("/", "self")]}
    },
    "/conformance": {_JSON: {"conformsTo": [_CLASS]}},
    "/collections": {_JSON: {"collections": [_COLLECTION], "links": [_link("/collections", "self")]}},
    "/collections/{collection}": {_JSON: _COLLECTION},
    "/collections/fields/queryables": {"application/schema+json": _QUERYABLES},
    "/collections/{collection}/items": {_GEOJSON: _FEATURES},
    "/collections/{collection}/items/{item}": {_GEOJSON: _FEATURE},
    "/collections/field_metrics/locations": {_GEOJSON: _FEATURES},
    "/collections/field_metrics/locations/{external_id}": {
        _COVERAGE: _SERIES,
        _JSON: {"field": _FIELD, "region": _REGION, **_VALUES, "geometry": _POLYGON},
    },
    "/columns": {_JSON: {"columns": [_COLUMN]}},
    "/regions": {_JSON: {"regions": [_SUMMARY], "links": [_link("/regions", "self")]}},
    "/regions/{region}": {_JSON: _SUMMARY},
    "/regions/{region}/misses": {_JSON: {"misses": [_MISS], "links": [_link("/regions/A/misses", "self")]}},
    "/regions/{region}/pictures": {_JSON: {"region": _REGION, "days": [_DAY]}},
    "/regions/{region}/columns/{column}/scale": {
        _JSON: {"region": _REGION, "column": "ndvi_mean", "low": 0.18, "high": 0.83, "days": [_DAY]}
    },
    "/regions/{region}/days/{day}": {
        _JSON: {"region": _REGION, "day": _DAY, "as_of": None, "rows": [_ROW]},
        _GEOJSON: {
            "type": "FeatureCollection",
            "region": _REGION,
            "day": _DAY,
            "features": [{"type": "Feature", "id": _FIELD, "geometry": _POLYGON, "properties": _ROW}],
        },
    },
    "/regions/{region}/days/{day}/columns/{column}": {
        _JSON: {"region": _REGION, "day": _DAY, "column": "ndvi_mean", **_COLUMNS}
    },
    "/fields/{external_id}/history": {_JSON: _STORY},
    "/changes": {
        _JSON: {"changes": [_CHANGE], "cursor": "c1.eJyLVkpU0lGKjgUACHUB-Q", "links": [_link("/changes", "self")]}
    },
    "/health/live": {_JSON: {"status": "live"}},
    "/health/ready": {_JSON: {"status": "ready"}},
}
"""By path and media type."""
