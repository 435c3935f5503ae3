"""Which field each pixel of a region's picture shows, kept in memory for the regions that were drawn last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from satcommon.geo.grid import Bounds
from satcommon.views.field_picture import numbered_fields

from satserve.features.field_index import FieldIndex

MAX_PIXELS = 2048
_KEPT = 8  # regions; of each four bytes a pixel


class FieldNumbers(NamedTuple):
    """The fields of a region and where they are drawn.

    Args:
        external_ids: of the fields that lie in the region now.
        numbers: of the field that each pixel shows, from 1; 0 where there is none. Shape (rows, columns).
    """

    external_ids: pa.ChunkedArray
    numbers: NDArray[np.int32]


class NumberedRegions:
    """The regions whose fields were drawn lately."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], FieldNumbers] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: FieldIndex, bbox_id: int, bounds: Bounds) -> FieldNumbers:
        """The fields of a region, by the registry's revision that the index is of."""
        key = index.revision, bbox_id
        with self._lock:  # one draws, the others wait for it
            if key not in self._kept:
                self._kept[key] = _numbered(index, bbox_id, bounds)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _numbered(index: FieldIndex, bbox_id: int, bounds: Bounds) -> FieldNumbers:
    fields = index.fields.filter(pa.array(index.seen(frozenset([bbox_id]))))
    polygons = shapely.from_wkb(fields["geometry"].to_numpy())
    return FieldNumbers(fields["external_id"], numbered_fields(polygons, bounds, MAX_PIXELS))
