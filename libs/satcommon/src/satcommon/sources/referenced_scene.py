"""A scene by reference: what its pixels were mosaicked from and how, while they stay where they are.

It is the recipe of a scene that was read whole, checked and mosaicked when it was ingested, and has that scene's
digest. So its cells are those of the copy that it replaces: each item that provides some is laid in the order of
`mosaic`, in the cells that are still free.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from satcommon.errors import SceneError, SettingError
from satcommon.geo.grid import Grid
from satcommon.raster.layers import CLASSES, ITEM, Layers, PixelClass
from satcommon.raster.product import Level, Tier
from satcommon.raster.scene import Acquisition, Scene
from satcommon.sources import mosaic
from satcommon.sources.source import ReferableSource

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from satcommon.raster.tile_layout import Layout
    from satcommon.sources.source import AreaOfInterest, OpenCells, SceneSource

VERSION = 1  # of the document
_ADVICE = "ask for the day again with ingest"
_TIMES = ("sensed_at", "published_at", "processed_at")


def encode(source: SceneSource, aoi: AreaOfInterest, scene: Scene, day: date) -> bytes | None:
    """The document of a scene; None where its pixels are to be copied.

    Args:
        source: that the scene was read from.
        aoi: the area.
        scene: of the day.
        day: the day.
    """
    if not isinstance(source, ReferableSource):
        return None
    items: list[dict[str, Any]] = []
    for item in scene.items:
        reference = source.reference(aoi, item)
        if reference is None:
            return None
        items.append({"acquisition": asdict(item), "reference": reference})
    content = {
        "version": VERSION,
        "reading": mosaic.VERSION,
        "day": day.isoformat(),
        "digest": scene.digest,
        "grid": json.loads(aoi.grid.to_json()),
        "bands": list(scene.layers.bands),
        "items": items,
    }
    return json.dumps(content, default=lambda time: time.isoformat()).encode()


class ReferencedScene:
    """Reads a scene by reference, as `raster.scene_reader.SceneReader` reads a copied one; a context manager.

    The files of all items are opened once, and each block under the cells that are asked for is read once a call.

    Args:
        path: of the document, for messages.
        content: the document.
        source: opens the source that the scene was read from.

    Attributes:
        bands: names of the bands.
        grid: of the region.
        digest: of the scene.
        items: id and sensed time of each item, in the order of their numbers.
        tile_shape: None: each file has tiles of its own.
    """

    tile_shape: tuple[int, int] | None = None

    def __init__(self, path: str, content: bytes, source: Callable[[], SceneSource]) -> None:
        self.path = path
        try:
            stated = json.loads(content)
            if stated["version"] != VERSION or stated["reading"] != mosaic.VERSION:
                raise SceneError(
                    f"{path}: is of version {stated['version']}, read by the rules {stated['reading']!r}; this release "
                    f"knows version {VERSION} and {mosaic.VERSION!r}; {_ADVICE}"
                )
            self.bands: tuple[str, ...] = tuple(stated["bands"])
            self.grid = Grid.from_json(json.dumps(stated["grid"]))
            self.digest: str = stated["digest"]
            self._items = [(_acquisition(each["acquisition"]), each["reference"]) for each in stated["items"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SceneError(f"{path}: is no scene by reference ({error!r}); {_ADVICE}") from error
        self.items = tuple((item.item_id, item.sensed_at) for item, _ in self._items)
        self._source = source
        self._stack = ExitStack()
        self._open: list[OpenCells] = []

    def __enter__(self) -> ReferencedScene:
        """Open the files.

        Raises:
            SceneError: a file is gone, or is not the one that was read.
            SettingError: the settings name no source that could have been read.
            CatalogueError, StoreError: the archive can't be reached; the methods that read raise it, too.
        """
        source = self._source()
        if not isinstance(source, ReferableSource):
            raise SettingError(
                f"{self.path}: is a scene by reference, whose pixels are in a catalogue's files, and the source is "
                f"{source.identity}; set SATFIELDS_SCENE_SOURCE=stac, and SATFIELDS_STAC to the catalogue"
            )
        with ExitStack() as stack:
            self._open = [
                stack.enter_context(source.open_cells(self.grid, item, reference)) for item, reference in self._items
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def tiles_read(self) -> int:
        """How many blocks of files were decoded."""
        return sum(item.blocks for item in self._open)

    @property
    def bytes_read(self) -> int:
        """Their size in the files."""
        return sum(item.bytes for item in self._open)

    def gather(
        self,
        cells: NDArray[np.integer],
        layout: Layout | None = None,  # noqa: ARG002 - as a copied scene's reader
    ) -> dict[str, NDArray[np.uint16]]:
        """As `SceneReader.gather`."""
        return self.gather_around(cells, np.empty(0, np.int64))[0]

    def gather_around(
        self,
        own: NDArray[np.integer],
        around: NDArray[np.int64],
        layout: Layout | None = None,  # noqa: ARG002 - as a copied scene's reader
    ) -> tuple[dict[str, NDArray[np.uint16]], NDArray[np.uint16]]:
        """As `SceneReader.gather_around`.

        Raises:
            SceneError: a file was changed or is gone, or a cell is not on the grid.
            StoreError: a file can't be reached.
        """
        cells = np.concatenate([own, around]) if around.size else own
        if cells.size and not 0 <= int(cells.min()) <= int(cells.max()) < self.grid.width * self.grid.height:
            raise SceneError(f"{self.path}: has no cell {cells.min()} or {cells.max()}; {_ADVICE}")
        laid = _Laid.nothing(self.bands, (cells.size,))
        for number, item in enumerate(self._open, start=1):
            free = np.flatnonzero(laid.classes == PixelClass.NODATA)
            if not free.size:
                break
            layers = item.read(cells if free.size == cells.size else cells[free])
            laid.lay(free, _flat(layers), number)
        values = {band: values[: own.size] for band, values in laid.bands.items()}
        if len(self.items) > 1:
            values[ITEM] = laid.providers[: own.size]
        classes = laid.classes.astype(np.uint16)
        return values | {CLASSES: classes[: own.size]}, classes[own.size :]

    def read_overview(self, max_size: int) -> Layers:
        """As `SceneReader.read_overview`, but of what overviews the files have; for pictures.

        Raises:
            SceneError, StoreError: as `gather_around`.
        """
        step = max(1, -(-max(self.grid.width, self.grid.height) // max_size))
        shape = (-(-self.grid.height // step), -(-self.grid.width // step))
        laid = _Laid.nothing(self.bands, (shape[0] * shape[1],))
        for number, item in enumerate(self._open, start=1):
            layers = _flat(item.read_thinned(step))
            free = np.flatnonzero(laid.classes == PixelClass.NODATA)
            laid.lay(free, Layers({b: v[free] for b, v in layers.bands.items()}, layers.classes[free]), number)
        bands = {band: values.reshape(shape) for band, values in laid.bands.items()}
        return Layers(bands, laid.classes.reshape(shape))


class _Laid:
    """Cells as far as items have provided them: `mosaic`'s layout, of cells alone."""

    def __init__(
        self, bands: dict[str, NDArray[np.uint16]], classes: NDArray[np.uint8], providers: NDArray[np.uint16]
    ) -> None:
        self.bands, self.classes, self.providers = bands, classes, providers

    @classmethod
    def nothing(cls, bands: tuple[str, ...], shape: tuple[int, ...]) -> _Laid:
        return cls(
            {band: np.zeros(shape, np.uint16) for band in bands}, np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
        )

    def lay(self, free: NDArray[np.intp], layers: Layers, number: int) -> None:
        """Let an item provide free cells; `layers` are of these."""
        if free.size == self.classes.size and number == 1:  # the first of them: nothing is copied
            self.bands = {band: layers.bands.get(band, nothing) for band, nothing in self.bands.items()}
            self.classes = layers.classes
            self.providers = (layers.classes != PixelClass.NODATA).astype(np.uint16)
            return
        provided = layers.classes != PixelClass.NODATA
        cells = free[provided]
        for band, values in layers.bands.items():
            self.bands[band][cells] = values[provided]
        self.classes[cells] = layers.classes[provided]
        self.providers[cells] = number


def _flat(layers: Layers) -> Layers:
    return replace(layers, bands={b: v.ravel() for b, v in layers.bands.items()}, classes=layers.classes.ravel())


def _acquisition(stated: Mapping[str, Any]) -> Acquisition:
    times = {key: datetime.fromisoformat(stated[key]) for key in _TIMES if stated[key] is not None}
    return Acquisition(**{**stated, **times, "level": Level(stated["level"]), "tier": Tier(stated["tier"])})
