"""A day's acquisitions mosaicked into one scene: a pure function of their set, whatever the order they arrived in.

1. Top-of-atmosphere reflectance counts only where a platform has no surface reflectance: the two are never mixed. The
   items of one pass and tile rank by tier, then by processing baseline, then by the time of processing, then by the
   time of sensing, then by item id; higher and later is better. The best lies on top, and the others fill its gaps: one
   pass may come as split granules or strips.
2. Passes are laid in the order of sensing; within a pass first the best item of each tile, those of the highest
   baseline first, then by tile; then the others, the better ones first. The first item that has a cell provides it, in
   all bands; later ones fill what is still nodata.
3. Platforms are never mixed: each is laid out alone, and the one that covers most cells is the scene; of equal ones,
   the one that sensed first.
4. An item that can't be read is left out, and named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from satcommon.errors import RadiometricError, SceneError
from satcommon.raster.layers import ALL_BANDS, CLASSES, ITEM, Layers, PixelClass
from satcommon.raster.product import Tier
from satcommon.raster.scene import Acquisition, Scene
from satcommon.sources.source import AreaOfInterest, SceneSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satcommon.geo.grid import Grid

_Baseline = tuple[int, tuple[int, ...], str]
_NEVER = datetime.min.replace(tzinfo=UTC)

VERSION = "scene-2"  # part of every digest; raise it when the same acquisitions give other content


def mosaic_scene(source: SceneSource, aoi: AreaOfInterest, acquisitions: Iterable[Acquisition]) -> Scene | None:
    """The scene of a day's acquisitions; None if there are none.

    Memory: one acquisition, the layout so far, and with a second platform the better layout before it.

    Args:
        source: that the acquisitions were listed by.
        aoi: the area.
        acquisitions: of one day.

    Raises:
        UnreadableDayError: there are acquisitions, and none can be read; the message says why for each.
    """
    candidates = set(acquisitions)
    refused: dict[str, str] = {}
    checks: dict[str, str] = {}
    while candidates:
        try:
            layout = _best_platform(source, aoi, candidates)
        except _UnreadableError as error:
            # Rare enough to start again: the rest then gives exactly what it would give alone.
            candidates.remove(error.acquisition)
            refused[error.acquisition.item_id] = str(error)
            if isinstance(error.__cause__, RadiometricError):
                checks[error.acquisition.item_id] = error.__cause__.check
            continue
        layers = Layers({band: layout.bands[band] for band in ALL_BANDS if band in layout.bands}, layout.classes)
        items = tuple(layout.items)
        digest = _digest(aoi.grid, items, layers, layout.providers)
        return Scene(layers, items, digest, dict(sorted(refused.items())), layout.providers, checks)
    if refused:
        raise UnreadableDayError(dict(sorted(refused.items())), checks)
    return None


class UnreadableDayError(SceneError):
    """None of a day's acquisitions can be read; `refused` says why, and `checks` by which check, by item id."""

    def __init__(self, refused: dict[str, str], checks: dict[str, str]) -> None:
        super().__init__("; ".join(refused.values()))
        self.refused, self.checks = refused, checks


class _UnreadableError(SceneError):
    def __init__(self, acquisition: Acquisition, message: str) -> None:
        super().__init__(message)
        self.acquisition = acquisition


@dataclass
class _Layout:
    """The cells laid so far; `items` are those that provided some, or a first item without any.

    `providers` is as in `Scene`.
    """

    bands: dict[str, NDArray[np.uint16]]
    classes: NDArray[np.uint8]
    items: list[Acquisition]
    providers: NDArray[np.uint16] | None = None

    @property
    def covered(self) -> int:
        return int(np.count_nonzero(self.classes))

    def fill(self, item: Acquisition, layers: Layers) -> None:
        """Let an item provide the cells that are still nodata."""
        free = (self.classes == PixelClass.NODATA) & (layers.classes != PixelClass.NODATA)
        if not free.any():
            return
        if not self.covered:
            self.bands, self.items = {}, []
        nothing = np.zeros_like(self.classes, np.uint16)
        for band in self.bands.keys() | layers.bands.keys():
            self.bands[band] = np.where(free, layers.bands.get(band, nothing), self.bands.get(band, nothing))
        self.items.append(item)
        if len(self.items) > 1:
            before = self.classes != PixelClass.NODATA if self.providers is None else self.providers
            self.providers = np.where(free, len(self.items), before).astype(np.uint16)
        self.classes = np.where(free, layers.classes, self.classes)


def _best_platform(source: SceneSource, aoi: AreaOfInterest, candidates: set[Acquisition]) -> _Layout:
    platforms = {item.platform for item in candidates}
    by_platform = [
        _ordered(_of_best_level([item for item in candidates if item.platform == platform])) for platform in platforms
    ]
    best: _Layout | None = None
    for items in sorted(by_platform, key=lambda items: (min(item.sensed_at for item in items), items[0].platform)):
        layout = _lay(source, aoi, items)
        if best is None or layout.covered > best.covered:
            best = layout
    assert best is not None
    return best


def piecewise(acquisitions: Iterable[Acquisition]) -> bool:
    """Whether several items are of one platform, pass and tile, so that one may fill another's gaps."""
    pieces = [(item.platform, *_piece(item)) for item in acquisitions]
    return len(set(pieces)) < len(pieces)


def _lay(source: SceneSource, aoi: AreaOfInterest, items: list[Acquisition]) -> _Layout:
    """Lay all items, even where the first ones cover everything: one that can't be read must not go unnoticed."""
    layout: _Layout | None = None
    for item in items:
        try:
            layers = source.read(aoi, item)
        except SceneError as error:
            raise _UnreadableError(item, str(error)) from error
        if layout is None:
            layout = _Layout(dict(layers.bands), layers.classes, [item])
        else:
            layout.fill(item, layers)
    assert layout is not None
    return layout


def _ordered(items: list[Acquisition]) -> list[Acquisition]:
    """A platform's items in the order in which they are laid (rules 1 and 2)."""
    best: list[Acquisition] = []
    others: list[Acquisition] = []
    for _, group in groupby(sorted(items, key=_piece), key=_piece):
        first, *rest = sorted(group, key=_rank, reverse=True)
        best.append(first)
        others += rest
    sensed = {item.overpass: item.sensed_at for item in sorted(best, key=lambda item: item.sensed_at, reverse=True)}
    best.sort(key=lambda item: item.tile)
    best.sort(key=_baseline, reverse=True)
    others.sort(key=lambda item: item.tile)
    others.sort(key=_rank, reverse=True)
    return sorted([*best, *others], key=lambda item: (sensed[item.overpass], item.overpass))


def _of_best_level(items: list[Acquisition]) -> list[Acquisition]:
    best = max(item.level for item in items)
    return [item for item in items if item.level == best]


def _rank(item: Acquisition) -> tuple[Tier, _Baseline, datetime, datetime, str]:
    """The sort key of the items of one pass and tile, the best one last."""
    return item.tier, _baseline(item), item.processed_at or _NEVER, item.sensed_at, item.item_id


def _piece(item: Acquisition) -> tuple[str, str]:
    return item.overpass, item.tile


def _baseline(item: Acquisition) -> _Baseline:
    """The sort key of baselines: none, then words, then dotted numbers by value, as 2.9 before 02.14."""
    parts = item.baseline.split(".")
    if all(part.isascii() and part.isdigit() for part in parts):
        return 2, tuple(map(int, parts)), ""
    return (1 if item.baseline else 0), (), item.baseline


def _digest(grid: Grid, items: tuple[Acquisition, ...], layers: Layers, providers: NDArray[np.uint16] | None) -> str:
    content: list[Any] = [VERSION, grid.to_json(), [[item.item_id, item.digest] for item in items], list(layers.bands)]
    digest = hashlib.sha256(json.dumps(content).encode())
    for band in layers.bands.values():
        digest.update(np.ascontiguousarray(band, "<u2").tobytes())
    digest.update(CLASSES.encode())
    digest.update(np.ascontiguousarray(layers.classes, np.uint8).tobytes())
    if providers is not None:
        digest.update(ITEM.encode())
        digest.update(np.ascontiguousarray(providers, "<u2").tobytes())
    return digest.hexdigest()
