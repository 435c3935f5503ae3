"""The algorithm: every rule that changes a number, under a version that is pinned per region.

An image that does not know a region's version refuses, so that rolling out one location never mixes numbers. Changing
a rule means adding a version, never editing one.
"""

from __future__ import annotations

from dataclasses import dataclass

from satcommon.errors import AlgorithmError
from satcommon.scenes.layers import PixelClass


@dataclass(frozen=True)
class Algorithm:
    """The rules of one version.

    Args:
        version: its name.
        clear_classes: what counts as a clear view of the field.
        min_cell_coverage: cells covered less than this part are left out; at 0 the statistics are exactextract's.
        min_cells: a field with less covered cells in all is too small: its numbers are mixed pixels' and feed no state.
        min_clear: clear part of the field from which an observation feeds the state (and is at least "partial").
        min_clear_full: clear part of the field from which a row is "clear".
        kernel_size: K, the clear observations that smoothed NDVI remembers.
        kernel_tau_days: tau of the kernel's weights exp(-age / tau).
    """

    version: str
    clear_classes: tuple[PixelClass, ...]
    min_cell_coverage: float
    min_cells: float
    min_clear: float
    min_clear_full: float
    kernel_size: int
    kernel_tau_days: float

    @property
    def coverage_rule(self) -> str:
        """Names what coverage depends on besides geometry and grid."""
        return f"min{self.min_cell_coverage:g}"


CURRENT = "1"  # what new regions are pinned to

_ALGORITHMS = {
    "1": Algorithm(
        version="1",
        clear_classes=(PixelClass.CLEAR,),
        min_cell_coverage=0.0,
        min_cells=2.0,
        min_clear=0.3,
        min_clear_full=0.9,
        kernel_size=8,
        kernel_tau_days=16.0,
    )
}


def algorithm(version: str) -> Algorithm:
    """The rules of a version.

    Raises:
        AlgorithmError: this image does not support it.
    """
    if version not in _ALGORITHMS:
        known = ", ".join(sorted(_ALGORITHMS))
        raise AlgorithmError(
            f"algorithm version {version!r} is not supported here (known: {known}); upgrade this location's image"
        )
    return _ALGORITHMS[version]
