"""What every reader gives: a file's features in columns, so that checks run over all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from satcommon.problems import shown

Geometries = NDArray[np.object_]
Choose = Callable[
    [Sequence[str]], Collection[str]
]  # of a file's attributes those to be read; refuses what is not there


@dataclass(frozen=True)
class Features:
    """The features of a file, by position.

    Args:
        path: the file.
        numbers: of the features in the file, from 1.
        names: of all attributes that the file has.
        columns: values of the attributes that were asked for.
        geometries: in WGS 84, longitude first, otherwise as they came; None where there is none or it is broken.
        broken: what is wrong with a geometry that could not be read.
        strays: what is wrong with what is no feature at all, by number in the file.
        remarks: what the library that read the file had to say.
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
        """File, number and name of a feature: messages about it begin with that.

        Args:
            position: of the feature.
            labels: attributes; the first that the feature has names it.
        """
        said = (self.columns[label][position] for label in labels if label in self.columns)
        label = next((value for value in said if value is not None and value != ""), None)
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
        geometries = shapely.from_wkb(np.asarray(values, dtype=object), on_invalid="ignore")
        for i in np.flatnonzero(shapely.is_missing(geometries)).tolist():
            try:
                shapely.from_wkb(values[i])
            except (GEOSException, TypeError) as error:
                broken[i] = f"the geometry is broken: {error}; fix it and try again"
    return geometries, broken
