"""Acquisition plans as ESA writes them for Sentinel-2: their elements, names, encoding and times without a zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from satcommon.geo.grid import Bounds

Ring = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Take:
    """A placemark: when, where, and in which mode."""

    start: str
    ring: Ring
    mode: str = "NOBS"
    timeliness: str = "NOMINAL"


def around(bounds: Bounds, degrees: float = 1.0) -> Ring:
    """A swath, slanted as a descending pass, over a rectangle."""
    (x, y), d = bounds.centre, degrees
    return [
        (x - d, y + 2 * d),
        (x - 1.3 * d, y - 2 * d),
        (x + d, y - 2 * d),
        (x + 1.3 * d, y + 2 * d),
        (x - d, y + 2 * d),
    ]


def kml(first: str, last: str, takes: Sequence[Take], satellite: str = "S2A") -> str:
    """A plan's document; `first` and `last` as 20241114T120000."""
    modes = "\n".join(
        f"""<Folder><name>{mode}</name><Folder><name>{timeliness}</name>
        {"".join(_placemark(n, t) for n, t in enumerate(takes) if (t.mode, t.timeliness) == (mode, timeliness))}
        </Folder></Folder>"""
        for mode, timeliness in dict.fromkeys((take.mode, take.timeliness) for take in takes)
    )
    return f"""<?xml version="1.0" encoding="iso-8859-1"?>
<kml xmlns="http://www.opengis.net/kml/2.2">
   <Document>
      <name>S2 Planned Observations from {first} to {last}</name>
      <Style id="S2A_NOBS_NOMINAL"><LineStyle><color>FF00FF00</color><width>2</width></LineStyle></Style>
      <Folder><name>{satellite}</name>{modes}</Folder>
   </Document>
</kml>
"""


def _placemark(number: int, take: Take) -> str:
    start = datetime.fromisoformat(take.start)
    stop = start + timedelta(seconds=90)
    facts = {
        "ID": f"49084-{number}",
        "Timeliness": take.timeliness,
        "Station": "SGS_",
        "Mode": take.mode,
        "ObservationTimeStart": f"{start:%Y-%m-%dT%H:%M:%S}.748",
        "ObservationTimeStop": f"{stop:%Y-%m-%dT%H:%M:%S}.788",
        "ObservationDuration": "90040",
        "OrbitAbsolute": "49084",
        "OrbitRelative": "38",
        "Scenes": "25",
    }
    data = "\n".join(f'<Data name="{name}">\n<value>{value}</value>\n</Data>' for name, value in facts.items())
    points = " ".join(f"{x},{y},0" for x, y in take.ring)
    return f"""<Placemark>
      <name>49084-{number}</name><visibility>0</visibility>
      <TimeSpan><begin>{start}</begin><end>{stop}</end></TimeSpan>
      <styleUrl>S2A_NOBS_NOMINAL</styleUrl>
      <ExtendedData>{data}</ExtendedData>
      <Polygon><outerBoundaryIs><LinearRing><coordinates>{points}</coordinates></LinearRing></outerBoundaryIs></Polygon>
   </Placemark>"""


def write_plan(folder: Path, first: str, last: str, takes: Sequence[Take], satellite: str = "S2A") -> Path:
    """A plan's file, named as ESA does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{satellite}_MP_ACQ__KML_{first}_{last}.kml"
    path.write_text(kml(first, last, takes, satellite), "iso-8859-1")
    return path
