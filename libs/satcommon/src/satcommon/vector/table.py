"""What every reader gives: a file's features in columns, so that a check runs over all of them in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from satcommon.problems import shown

Geometries = NDArray[np.object_]
# Gets the names of a file's attributes, gives those to be read; raises InputError where one that is wanted is missing.
Choose = Callable[[Sequence[str]], Collection[str]]


class Reader(Protocol):
    """Reads the features of a file format; each format's module has one, and `formats` lists them by suffix."""

    def __call__(self, path: Path, choose: Choose, layer: str | None, single: bool) -> Features:
        """The features of a file, in its order.

        Args:
            path: of the file, which can be opened.
            choose: chooses the attributes to be read.
            layer: the layer, by name; None for the only one.
            single: whether one feature or geometry will do in place of a collection.

        Raises:
            InputError: the file as a whole can't be read, or has no such layer.
        """


@dataclass(frozen=True)
class Features:
    """The features of a file, by position.

    Args:
        path: the file.
        numbers: of the features in the file, from 1.
        names: of all attributes that the file has.
        columns: values of the attributes that were asked for.
        geometries: in WGS 84, longitude first, otherwise as they came; None where there is none or it is broken.
        broken: what is wrong with geometries that could not be read, by position.
        strays: what is wrong with entries that are no features at all, by number in the file.
        remarks: warnings of the library that read the file.
    """

    path: Path
    numbers: Sequence[int]
    names: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    geometries: Geometries
    broken: Mapping[int, str] = field(default_factory=dict)
    strays: Mapping[int, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    def where(self, position: int, *labels: str) -> str:
        """File, number and name of a feature, with which messages about it begin.

        Args:
            position: of the feature.
            labels: attributes; the first that the feature has names it.
        """
        values = (self.columns[label][position] for label in labels if label in self.columns)
        label = next((value for value in values if value is not None and value != ""), None)
        where = f"{self.path}: feature {self.numbers[position]}"
        return where if label is None else f"{where} ({shown(label)})"

    def has(self, position: int) -> str:
        """What a feature has, for a message about what it lacks."""
        names = [n for n in self.names if n not in self.columns or self.columns[n][position] is not None]
        return f"it has {', '.join(names[:10])}" if names else "it has no attributes"


def from_wkb(values: Sequence[bytes | None] | NDArray[np.object_]) -> tuple[Geometries, dict[int, str]]:
    """Geometries, and what is wrong with those that can't be read, by position."""
    from shapely.errors import GEOSException

    broken = {}
    with np.errstate(invalid="ignore"):  # a signalling NaN among the coordinates
        whole = np.asarray(values, dtype=object)
        if has_curves(values):
            whole = np.array([None if _is_curve(value) else value for value in values], dtype=object)
        geometries = shapely.from_wkb(whole, on_invalid="ignore")
        for i in np.flatnonzero(shapely.is_missing(geometries)).tolist():
            try:
                shapely.from_wkb(values[i])
            except NotImplementedError:
                broken[i] = "the geometry has curves; draw them as lines (ogr2ogr -nlt CONVERT_TO_LINEAR)"
            except (GEOSException, TypeError) as error:
                broken[i] = f"the geometry is broken: {error}; fix it and try again"
    return geometries, broken


def has_curves(values: Iterable[bytes | None]) -> bool:
    """Whether any geometry, as WKB, is of a kind that GEOS can't read: with arcs, or a surface of patches."""
    return any(_is_curve(value) for value in values)


def _is_curve(wkb: bytes | None) -> bool:
    if wkb is None or len(wkb) < _WKB_HEAD:
        return False
    kind = int.from_bytes(wkb[1:_WKB_HEAD], "little" if wkb[0] == 1 else "big") & ~_EWKB_FLAGS
    return kind % 1000 in _CURVES  # with heights or measures it is a thousand and some more


_WKB_HEAD = 5  # bytes: the order of bytes, and the kind
_EWKB_FLAGS = 0xE0000000
_CURVES = range(8, 18)  # CIRCULARSTRING to TRIANGLE, of ISO 19125-2
