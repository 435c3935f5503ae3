"""What is true in the small world: its places, what its satellite sees, which field-days are expected, and the rows.

Everything is told again without the library, so that the library is compared with it: expected days are decided day by
day, the state is plain integers. Only single observations are the library's, of one field at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from satcommon.db.deadlines import Deadlines
from satcommon.errors import SceneError
from satcommon.geo.geometry import area_ha, digest, overlaps
from satcommon.geo.grid import Bounds, Grid
from satcommon.geo.normal_form import normal
from satcommon.publication import objects
from satcommon.raster import cog
from satcommon.raster.layers import BANDS, Layers, PixelClass
from satcommon.raster.scene import Acquisition
from satcommon.sources.mosaic import UnreadableDayError, mosaic_scene
from satcommon.sources.source import AreaOfInterest, Due, Listing, calendar_by_day
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.stats import algorithm as algorithms
from satcommon.stats import result_rows
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.coverage_cache import CoverageCache
from satcommon.stats.observation import (
    NO_OVERPASS,
    NO_SCENE,
    NOT_ASKED,
    NOT_TAKEN,
    ObservationCost,
    SceneInput,
    Subject,
    observe,
)
from satcommon.storage.object_store import ObjectStore

FIRST_DAY = date(2026, 4, 1)
DAYS = 8
DEADLINES = Deadlines(deadline_hours=36, lateness_days=3)
START = datetime(2026, 4, 1, 6, tzinfo=UTC)
THE_END = datetime(2026, 4, 20, tzinfo=UTC)  # all deadlines and all allowed lateness are over


def day(number: int) -> date:
    """The day of a number; 1 is the first that regions are monitored on by default."""
    return FIRST_DAY + timedelta(days=number - 1)


# --- the algorithm -------------------------------------------------------------------------------------------------

OTHER_VERSION = "other"


@contextmanager
def with_other_version() -> Iterator[None]:
    """It differs in every kind of rule; its kernel is shorter, so its rows hold states of another shape.

    Based on version 1, so that statuses are told by both definitions.
    """
    first = algorithms._ALGORITHMS["1"]
    clear = (PixelClass.CLEAR, PixelClass.THIN_CLOUD)
    second = replace(
        first,
        version=OTHER_VERSION,
        clear_classes=clear,
        dilate_cells=2,
        dilate_classes=(PixelClass.CLOUD,),
        inward_buffer_m=20.0,
        whole_cells=0.4,
        min_observed=0.6,
        kernel_size=2,
        quantiles=(0.1, 0.5, 0.9),
    )
    algorithms._ALGORITHMS[OTHER_VERSION] = second
    try:
        yield
    finally:
        del algorithms._ALGORITHMS[OTHER_VERSION]


# --- places --------------------------------------------------------------------------------------------------------

CELL_M = 100.0
_WEST, _SOUTH, _WIDTH, _HEIGHT = -94.62, 40.50, 0.0141, 0.0108  # 12 x 12 cells
_BOUNDS = {
    "west": Bounds(_WEST, _SOUTH, _WEST + _WIDTH, _SOUTH + _HEIGHT),
    "east": Bounds(_WEST + _WIDTH, _SOUTH, _WEST + 2 * _WIDTH, _SOUTH + _HEIGHT),
}
AOIS = {name: AreaOfInterest(name, bounds, Grid.utm(bounds, CELL_M)) for name, bounds in _BOUNDS.items()}
REGIONS = tuple(AOIS)


def rectangle(left: float, right: float, bottom: float, top: float) -> shapely.Polygon:
    """A polygon, in widths of the western region from its south-west corner."""
    return shapely.box(_WEST + left * _WIDTH, _SOUTH + bottom * _HEIGHT, _WEST + right * _WIDTH, _SOUTH + top * _HEIGHT)


POLYGONS = tuple(
    normal(
        [
            rectangle(0.10, 0.40, 0.10, 0.40),  # in the west
            rectangle(0.15, 0.45, 0.10, 0.40),  # a correction of it
            rectangle(0.80, 1.20, 0.50, 0.80),  # in both
            rectangle(1.30, 1.60, 0.10, 0.40),  # in the east
            rectangle(0.60, 0.90, 0.50, 0.85),  # in the west, another half
        ]
    )
)


def another_form(polygon: shapely.Polygon, number: int) -> shapely.Polygon:
    """The same polygon from another first vertex, in the other direction, and with a vertex twice."""
    ring = list(polygon.exterior.coords)[:-1]
    first = number % len(ring)
    ring = [ring[first], *ring[first:], *ring[:first]]
    return shapely.Polygon(ring[:: -1 if number % 2 else 1])


FIELDS = ("f1", "f2", "f3")


def _inside_fractions() -> dict[tuple[int, str], float]:
    found = overlaps(POLYGONS, [AOIS[name].bounds for name in REGIONS])
    return {(o.geometry, REGIONS[o.region]): min(1.0, o.area_ha / area_ha(POLYGONS[o.geometry])) for o in found}


INSIDE = _inside_fractions()
DIGESTS = [digest(polygon) for polygon in POLYGONS]


# --- the satellite -------------------------------------------------------------------------------------------------

DELIVERIES = {
    "none": (),
    "first": (("1", "a"),),
    "other": (("1", "b"),),  # the same item with other content, in a part of the region
    "cloudy": (("1", "c"),),
    "reprocessed": (("1", "a"), ("2", "a")),  # a newer baseline beside the old one, of the same pixels
    "replaced": (("2", "b"),),  # a newer baseline instead of the old one
    "western tile": (("1", "w"),),
    "both tiles": (("1", "w"), ("1", "e")),
    "damaged": (("1", "x"),),
    "a damaged tile": (("1", "w"), ("1", "ex")),
}
"""What a source has for a day: items as (baseline, version of the pixels); versions w and e are tiles of a pass.

Those of versions x and ex are there, and can't be read.
"""

REPAIRED = {"damaged": "first", "a damaged tile": "both tiles"}
READABLE = tuple(name for name in DELIVERIES if name not in ("none", *REPAIRED))

_layers: dict[tuple[str, date, str], Layers] = {}


def pixels(aoi: AreaOfInterest, on: date, version: str) -> Layers:
    """Made-up fields: a pattern of its own each day; version b differs in the eastern half, c is all cloud.

    Versions w and e hold the western and the eastern two thirds alone.
    """
    key = (aoi.name, on, version)
    if key not in _layers:
        rows, columns = np.mgrid[0 : aoi.grid.height, 0 : aoi.grid.width]
        seed = on.toordinal() * 7 + len(aoi.name)
        changed = (columns >= aoi.grid.width // 2) & (version == "b")
        bands = {
            band: (2000 + 37 * i + (rows * 53 + columns * 29 + seed * 61) % (700 + 90 * i) + 400 * changed).astype(
                np.uint16
            )
            for i, band in enumerate(BANDS)
        }
        classes = np.full(rows.shape, PixelClass.CLEAR, np.uint8)
        classes[(rows + columns + seed) % 5 == 0] = PixelClass.THIN_CLOUD
        if seed % 3 == 0:
            classes[:, : aoi.grid.width // 3] = PixelClass.CLOUD
        if version == "c":
            classes[:] = PixelClass.CLOUD
        third = aoi.grid.width // 3
        outside = {"w": columns >= 2 * third, "e": columns < third}.get(version, np.zeros(rows.shape, bool))
        for band in (*bands.values(), classes):
            band[outside] = 0
        _layers[key] = Layers(bands, classes)
    return _layers[key]


class Satellite:
    """A source whose calendar and deliveries are set by hand."""

    collection = "imagery"
    identity = "by hand"

    def __init__(self) -> None:
        self.calendar: dict[tuple[str, date], Due] = {}
        self.deliveries: dict[tuple[str, date], str] = {}
        self.strays: set[tuple[str, date]] = set()  # files that are no imagery, and tell a region's day

    def anchor_grid(self, bounds: Bounds) -> Grid | None:  # noqa: ARG002  # the protocol's signature
        return None

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        return self.calendar.get((aoi.name, day), Due.DUE)

    calendar = calendar_by_day

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:  # noqa: ARG002  # likewise
        days = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
        strays = {d: {"stray.tif": f"stray.tif: is none, {d}"} for d in days if (aoi.name, d) in self.strays}
        return Listing({d: items for d in days if (items := self._items(aoi, d))}, refused_on=strays)

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        on, version = acquisition.digest.split("/")
        if version.endswith("x"):
            raise SceneError(f"{acquisition.item_id}: is damaged")
        return pixels(aoi, date.fromisoformat(on), version)

    def refuses(self, region: str, on: date) -> bool:
        """Whether something of a day is there and can't be taken."""
        return self.deliveries.get((region, on)) in REPAIRED or (region, on) in self.strays

    def _items(self, aoi: AreaOfInterest, on: date) -> list[Acquisition]:
        items = []
        for baseline, version in DELIVERIES[self.deliveries.get((aoi.name, on), "none")]:
            tile = version[0] if version[0] in ("w", "e") else ""
            sensed = datetime.combine(on, time(16, 48 + (tile == "e")), UTC)
            name = f"{aoi.name}-{on}-{baseline}{tile}"
            items.append(Acquisition(name, f"{on}/{version}", "test", f"{on}", tile, baseline, sensed, sensed))
        return items


# --- what is true --------------------------------------------------------------------------------------------------


@dataclass
class FieldFacts:
    """What was said of a field, in the order in which it was said."""

    planting: date
    end: date | None
    said: list[tuple[str, date, int | None]]  # (kind, from the day on, polygon)

    def expected(self, region: str, on: date) -> int | None:
        """The polygon with which the field is expected; None where it is not."""
        if on < self.planting or (self.end is not None and on > self.end):
            return None
        polygons = [p for kind, since, p in self.said if self._since(kind, since) <= on and p is not None]
        activity = [kind for kind, since, p in self.said if since <= on and kind in ("on", "off")]
        if not polygons or (polygons[-1], region) not in INSIDE or activity[-1:] != ["on"]:
            return None
        return polygons[-1]

    def _since(self, kind: str, since: date) -> date:
        """A correction is of a whole season, also when its planting is moved to an earlier day afterwards."""
        of_season = kind == "corrected" and self.planting < since <= (self.end or date.max)
        return self.planting if of_season else since


@dataclass
class RegionFacts:
    """What is monitored, and by which algorithm."""

    first: date = FIRST_DAY
    last: date | None = FIRST_DAY + timedelta(days=DAYS - 1)
    version: str = CURRENT
    scenes: dict[date, SceneInput] = field(default_factory=dict)  # as the ledger was told
    due: dict[date, Due] = field(default_factory=dict)
    refused: set[date] = field(default_factory=set)

    def scene(self, on: date) -> SceneInput:
        if on not in self.due:
            return SceneInput(NOT_ASKED)
        nothing = NO_SCENE if self.due[on] is Due.DUE else NO_OVERPASS
        nothing = NOT_TAKEN if on in self.refused else nothing
        return self.scenes.get(on, SceneInput(nothing))


Row = dict[str, Any]


class Oracle:
    """Tells the true rows. Observations are the library's, of one field at a time, remembered for all worlds."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._observations: dict[tuple[Any, ...], Row] = {}
        self._rows: dict[str, dict[date, dict[str, Row | None]]] = {}  # by key, day and field
        self._digests: dict[str, str] = {}  # of the bytes of rows
        self._scenes: dict[tuple[str, date, str], SceneInput | None] = {}
        self.coverages: dict[str, CoverageCache] = {}  # by grid and rule
        for name in REGIONS:
            self._coverage(name, CURRENT)

    def _coverage(self, region: str, version: str) -> CoverageCache:
        """The coverage of all polygons."""
        grid, rules = AOIS[region].grid, algorithms.algorithm(version)
        key = f"{grid.digest}/{rules.coverage_rule}"
        if key not in self.coverages:
            wkb = dict(zip(DIGESTS, shapely.to_wkb(list(POLYGONS)), strict=True))
            self.coverages[key] = CoverageCache(self._store, grid, rules)
            self.coverages[key].get(DIGESTS, lambda digests: {d: wkb[d] for d in digests})
        return self.coverages[key]

    def scene(self, satellite: Satellite, region: str, on: date) -> SceneInput | None:
        """The scene that a source's delivery makes, in a file of its own."""
        key = (region, on, satellite.deliveries.get((region, on), "none"))
        if key not in self._scenes:
            aoi, mosaic = AOIS[region], None
            with suppress(UnreadableDayError):
                mosaic = mosaic_scene(satellite, aoi, satellite._items(aoi, on))
            if mosaic is None:
                self._scenes[key] = None
            else:
                name = f"truth/{mosaic.digest}.tif"
                self._store.put(name, cog.encode(mosaic, aoi.grid, on))
                self._scenes[key] = SceneInput(mosaic.digest, name)
        return self._scenes[key]

    def observation(self, region: str, scene: SceneInput, name: str, polygon: int, version: str) -> Row:
        """What a scene says of a field."""
        key = (region, scene.digest, name, polygon, version)
        if key not in self._observations:
            rules = algorithms.algorithm(version)
            subject = Subject(name, DIGESTS[polygon], INSIDE[polygon, region])
            cache = self._coverage(region, version)
            seen = observe(scene, [subject], cache, dict, StoredScenes(self._store).open, rules, ObservationCost())
            [self._observations[key]] = seen.table.to_pylist()
        return self._observations[key]

    def held(self, key: str) -> dict[date, dict[str, Row | None]]:
        """The rows of an object, by day and field, None where a patch takes one out; each object is read once."""
        if key not in self._rows:
            data = self._store.get(key)
            if key.endswith(".parquet"):
                rows = objects.decode(data).to_pylist()
            else:
                stream = pa.CompressedInputStream(pa.BufferReader(data), "zstd")
                rows = pa.ipc.open_stream(stream.read()).read_all().to_pylist()
            found: dict[date, dict[str, Row | None]] = {}
            for row in rows:
                kept = {name: row.get(name) for name in result_rows.SCHEMA.names}
                found.setdefault(row["day"], {})[row["field"]] = None if row.get("withdrawn") else kept
            self._rows[key] = found
        return self._rows[key]

    def digest(self, rows: dict[str, Row]) -> str:
        """The digest of the canonical bytes of these rows; the same rows are encoded once."""
        told = repr(sorted(rows.items()))
        if told not in self._digests:
            table = pa.Table.from_pylist([rows[name] for name in sorted(rows)], schema=result_rows.SCHEMA)
            self._digests[told] = objects.digest(objects.encode(table))
        return self._digests[told]

    def forget(self) -> None:
        """Let go of the objects of worlds that ended."""
        self._rows.clear()
        self._digests.clear()


class TrueState:
    """The state in plain integers, written anew from the design's words."""

    def __init__(self, version: str) -> None:
        self._rules = algorithms.algorithm(version)
        self._planting: date | None = None
        self._clear: list[tuple[int, int]] = []  # day number, NDVI in 1e-4; newest first
        self._integral = 0

    def advance(self, on: date, planting: date, observation: Row) -> Row:
        """The columns of the day's row that come of the state."""
        if self._planting != planting:
            self._planting, self._clear, self._integral = planting, [], 0
        size = self._rules.kernel_size
        if observation["status"] in ("clear", "partial", "swath_edge") and observation["ndvi_mean"] is not None:
            self._clear = [(on.toordinal(), round(observation["ndvi_mean"] * 10_000)), *self._clear][:size]
        smoothed = None
        if self._clear:
            newest = self._clear[0][0]
            weights = [round((1 << 20) * math.exp(-(newest - d) / self._rules.kernel_tau_days)) for d, _ in self._clear]
            total = sum(weights)
            smoothed = (2 * sum(w * n for w, (_, n) in zip(weights, self._clear, strict=True)) + total) // (2 * total)
            self._integral += smoothed
        padding = [0] * (size - len(self._clear))
        return {
            "planting_date": planting,
            "days_since_planting": (on - planting).days,
            "days_since_clear": on.toordinal() - self._clear[0][0] if self._clear else None,
            "ndvi_smoothed_e4": smoothed,
            "ndvi_integral_e4": self._integral,
            "state_days": [d for d, _ in self._clear] + padding,
            "state_ndvi_e4": [n for _, n in self._clear] + padding,
        }
