"""One acquisition plan, as ESA publishes them for Sentinel-2: a KML file of planned datatakes.

A document states its span in its name ("S2 Planned Observations from 20241114T120000 to 20241130T150000"), or the
file's name does (``S2A_MP_ACQ__KML_20241114T120000_20241130T150000.kml``). A folder for each satellite (``S2A``) holds
folders of modes and placemarks with ``ObservationTimeStart``, ``ObservationTimeStop``, ``Mode``, ``Timeliness`` and the
polygon of a simplified swath. Times are UTC, with or without saying so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.parsers import expat

import numpy as np
import shapely

from satcommon.errors import SettingError
from satcommon.geo.antimeridian import PoleError, cut, jumps, unwrapped

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

ENDING = ".kml"
MOST_BYTES = 32_000_000  # a plan of sixteen days has two million
_MOST_TAKES = 100_000
_LONGEST = timedelta(days=100)  # of a plan
_DELIVERED = "NOBS"  # nominal observation: the only mode whose images are given to users
_NOT_RECORDED = "NOT_RECORDING"
_SPAN = re.compile(r"(\d{8}T\d{6})\D+(\d{8}T\d{6})", re.IGNORECASE)
_SATELLITE = re.compile(r"S2([A-D])", re.IGNORECASE)


@dataclass(frozen=True)
class Datatake:
    """A planned datatake whose images are given to users.

    Args:
        platform: as ``sentinel-2a``.
        start: of sensing, UTC.
        stop: likewise.
        footprint: in WGS 84, in pieces within -180 to 180.
    """

    platform: str
    start: datetime
    stop: datetime
    footprint: BaseGeometry


@dataclass(frozen=True)
class Plan:
    """A plan.

    Args:
        first: instant from which it holds, UTC.
        last: until which it holds.
        platforms: whose datatakes it has.
        takes: by time.
    """

    first: datetime
    last: datetime
    platforms: frozenset[str]
    takes: tuple[Datatake, ...]


def parse(content: bytes, where: str) -> Plan:
    """The plan in the bytes of a file.

    Args:
        content: KML. Document types and entities are refused, nothing else is fetched or expanded.
        where: its path, for messages.

    Raises:
        SettingError: it is no plan, or one of its placemarks is damaged; nothing of it counts.
    """
    reader = _Reader(where)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(content, True)  # noqa: FBT003  # its signature
    except (expat.ExpatError, LookupError, ValueError) as error:  # no XML; an unknown or wrong encoding
        raise SettingError(f"{where}: is no KML ({error}); fetch the plan again") from error
    return reader.plan()


class _Reader:
    """Gathers placemarks while a document is parsed; keeps nothing else."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._path: list[str] = []
        self._names: list[str] = []  # of the enclosing folders
        self._text: list[str] = []
        self._document = ""
        self._key = ""
        self._data: dict[str, str] = {}
        self._rings: list[str] = []
        self._takes: list[Datatake] = []
        self._platforms: set[str] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition(" ")[2]
        self._path.append(name)
        self._text.clear()
        if name == "Folder":
            self._names.append("")
        elif name == "Placemark":
            self._data, self._rings = {}, []
        elif name in ("Data", "SimpleData"):
            self._key = attributes.get("name", "")

    def text(self, part: str) -> None:
        """Text within an element."""
        self._text.append(part)

    def end(self, _tag: str) -> None:
        """An element ends."""
        name = self._path.pop()
        parent = self._path[-1] if self._path else ""
        text = "".join(self._text).strip()
        self._text.clear()
        if name == "name" and parent == "Document":
            self._document = text
        elif name == "name" and parent == "Folder":
            self._names[-1] = text
            if satellite := _SATELLITE.fullmatch(text):
                self._platforms.add(_platform(satellite))
        elif name == "Folder":
            self._names.pop()
        elif (name == "value" and parent == "Data") or name == "SimpleData":
            self._data[self._key] = text
        elif name == "coordinates" and "innerBoundaryIs" not in self._path:
            self._rings.append(text)
        elif name == "Placemark":
            self._placemark()

    def doctype(self, *_: object) -> None:
        """A document type, which could declare entities."""
        raise SettingError(f"{self._where}: declares a document type, as no plan does; nothing of it is read")

    def plan(self) -> Plan:
        """What was gathered.

        Raises:
            SettingError: it states no span, or no satellite.
        """
        name = self._where.rpartition("/")[2]
        span = _SPAN.search(self._document) or _SPAN.search(name)
        if span is None:
            raise self._refused("states no span in its document's name or its own, as 20241114T120000_20241130T150000")
        first, last = (self._time("the span", text) for text in span.groups())
        if not first < last <= first + _LONGEST:
            raise self._refused(f"holds from {first} to {last}; expected some days")
        if not self._platforms:
            raise self._refused("has no folder of a satellite, as S2A")
        return Plan(first, last, frozenset(self._platforms), tuple(sorted(self._takes, key=lambda take: take.start)))

    def _placemark(self) -> None:
        satellite = next((found for name in self._names if (found := _SATELLITE.fullmatch(name))), None)
        mode = self._data.get("Mode", "")
        if not satellite or not mode:
            raise self._refused(f"its placemark {self._data.get('ID', '')!r:.40} has no satellite's folder or no Mode")
        if mode.upper() != _DELIVERED or self._data.get("Timeliness", "").upper() == _NOT_RECORDED:
            return
        if len(self._takes) >= _MOST_TAKES:
            raise self._refused(f"has more than {_MOST_TAKES:,} datatakes")
        keys = ("ObservationTimeStart", "ObservationTimeStop")
        start, stop = (self._time(key, self._data.get(key, "")) for key in keys)
        if stop < start:
            raise self._refused(f"a datatake stops at {stop}, before its start, {start}")
        self._takes.append(Datatake(_platform(satellite), start, stop, self._footprint()))

    def _time(self, what: str, text: str) -> datetime:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise self._refused(f"{what} is {text!a:.40}; expected a time, as 2024-11-14T13:04:02.748") from None
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

    def _footprint(self) -> BaseGeometry:
        if not self._rings:
            raise self._refused(f"datatake {self._data.get('ID', '')!r:.40} has no polygon")
        return shapely.union_all([piece for ring in self._rings for piece in _pieces(self._points(ring))])

    def _points(self, ring: str) -> NDArray[np.float64]:
        try:
            points = np.array([[float(part) for part in point.split(",")[:2]] for point in ring.split()])
        except ValueError:
            points = np.empty((0, 2))
        inside = points.shape[1:] == (2,) and len(points) > 3 and bool(np.isfinite(points).all())
        if not inside or (np.abs(points) > (180, 90)).any() or (points[0] != points[-1]).any():
            raise self._refused(f"a polygon is {ring!a:.60}; expected a closed ring of longitude,latitude")
        return points

    def _refused(self, why: str) -> SettingError:
        return SettingError(f"{self._where}: {why}; fetch the plan again, or remove it")


def _pieces(points: NDArray[np.float64]) -> Iterator[BaseGeometry]:
    """A ring in pieces within -180 to 180; one around a pole is all that lies poleward of it."""
    polygon = shapely.Polygon(points)
    try:
        whole = unwrapped(polygon) if jumps(polygon) else polygon
    except PoleError:
        south, north = points[:, 1].min(), points[:, 1].max()
        yield shapely.box(-180, south, 180, 90) if north > 0 else shapely.box(-180, -90, 180, north)
        return
    yield from cut(shapely.make_valid(whole))


def _platform(satellite: re.Match[str]) -> str:
    return f"sentinel-2{satellite[1].lower()}"
