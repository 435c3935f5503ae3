"""Reconciling: the acquisitions that are registered of a region, held against what another catalogue lists.

One acquisition may be called differently in each, so they are matched by platform, tile and time of sensing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from satcommon.db import answers, ledger
from satcommon.db.answers import Absence
from satcommon.db.engine import read_transaction
from satcommon.db.expected import ONE_DAY
from satcommon.db.models import Acquisition as AcquisitionRow
from satcommon.db.models import Region, Verdict
from satcommon.db.quarantine import decisions
from satcommon.db.registry import aoi_of
from satcommon.geo.solar import solar_day, solar_noon
from satcommon.pipeline.rescan import LISTED_DAYS
from satcommon.raster.product import Tier, comparable, same_satellite
from satcommon.raster.product import read as read_product
from satcommon.sources.source import Listing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from satcommon.db.deadlines import Deadlines
    from satcommon.geo.grid import Bounds
    from satcommon.raster.scene import Acquisition
    from satcommon.sources.source import AreaOfInterest, SceneSource

# Catalogues tell a tile by its own time or by the start of its datatake, up to twenty minutes before; the next pass of
# one satellite over a place is at least an orbit, a hundred minutes, away.
TOLERANCE = timedelta(minutes=30)
_SAME_PIECE = timedelta(seconds=10)  # where nothing names a tile: neighbours along a pass lie about 24 s apart
_UNNAMED = ("bbox-", "raster-")  # what stands for a tile where none is stated
_LANDSAT_SCENE = re.compile(r"(?<![A-Z0-9])L[COTEM]0[1-9]_L\w{3}_(\d{6})_\d{8}_", re.IGNORECASE)


class Standing(StrEnum):
    """In what way here and there differ."""

    LACKING_HERE = "lacking_here"
    """It is listed there, and not registered here."""
    LACKING_THERE = "lacking_there"
    """It is registered here, and not listed there."""
    NEWER_THERE = "newer_there"
    """Here it has a lower baseline or tier."""
    REFUSED_HERE = "refused_here"
    """It is listed there; here it is in quarantine, or somebody rejected it."""
    UNCLEAR_THERE = "unclear_there"
    """An item there can't be understood, and nothing here is certainly the same."""

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


LACKING = (Standing.LACKING_HERE, Standing.UNCLEAR_THERE)  # what is lacking here, or may be


@dataclass(frozen=True)
class Difference:
    """An acquisition in which here and there differ.

    Args:
        region: name of the region.
        day: solar day.
        platform: as the side that has it states it.
        tile: likewise; empty where none is named.
        item: its id there; for `LACKING_THERE`, here.
        standing: in what way.
        detail: the baselines or tiers of both, or why it was refused; may be empty.
    """

    region: str
    day: date
    platform: str
    tile: str
    item: str
    standing: Standing
    detail: str = ""


@dataclass(frozen=True)
class Reconciliation:
    """A region's span, here and there.

    Args:
        region: name of the region.
        first: first day that was compared.
        last: last day.
        here: acquisitions registered here; several versions of one count once.
        there: acquisitions listed there, likewise.
        differences: by day, tile and item.
        late: days that neither side has, and whose imagery is awaited within the lateness.
        lost_upstream: days that neither side has, and whose imagery did not come within the lateness.
        unplaced: what the other refuses without knowing its day, and why, by name.
    """

    region: str
    first: date
    last: date
    here: int
    there: int
    differences: list[Difference]
    late: list[date]
    lost_upstream: list[date]
    unplaced: dict[str, str]

    @property
    def lacking(self) -> int:
        """How many acquisitions are lacking here, or may be."""
        return sum(each.standing in LACKING for each in self.differences)


@dataclass(frozen=True)
class _Known:
    """An acquisition as one side tells it; `baseline` and `tier` rank its versions."""

    day: date
    platform: str
    tile: str
    sensed_at: datetime
    item: str
    baseline: str
    tier: Tier
    detail: str = ""

    @property
    def rank(self) -> tuple[int, tuple[int, ...]]:
        return int(self.tier), comparable(self.baseline) or ()

    @property
    def named(self) -> bool:
        return bool(self.tile) and not self.tile.startswith(_UNNAMED)

    @property
    def shown_tile(self) -> str:
        return self.tile if self.named else ""


def span_of(region: Region, first: date, last: date) -> tuple[date, date]:
    """The monitored days among first..last; the first is after the last where there is none."""
    return max(first, region.monitored_from), min(last, region.monitored_until or last)


def reconcile(
    engine: Engine, other: SceneSource, region: Region, first: date, last: date, deadlines: Deadlines, now: datetime
) -> Reconciliation:
    """Compare what is registered of a region's days with what another catalogue lists; changes nothing.

    Args:
        engine: of the ledger.
        other: the other catalogue.
        region: the region.
        first: first solar day.
        last: last solar day.
        deadlines: the waiting times.
        now: the present; later publications there don't count.

    Raises:
        CatalogueError, StoreError: the other could not be listed to the end; that is never "nothing lacking".
        SettingError: its configuration is wrong.
    """
    aoi = aoi_of(region)
    listing = _listing(other, aoi, first, last, now)
    with read_transaction(engine) as connection:
        registered = _registered(connection, region, first, last)
        refused = _refused(connection, region, first, last, registered, aoi.bounds)
        without = ledger.days_without_scene(connection, region.bbox_id)
    taken = [each for item, each in registered.items() if (each.day, item) not in refused]
    there = [_listed(day, each) for day, listed in listing.acquisitions.items() for each in listed]
    here, there, doubtful = _newest(taken), _newest(there), list(refused.values())
    differences = [*_of_there(region.name, here, doubtful, there), *_of_here(region.name, here, there)]
    differences += _unclear(region.name, here, doubtful, listing, aoi.bounds)
    differences.sort(key=lambda each: (each.day, each.tile, each.item, each.standing))
    placed = {name for names in listing.refused_on.values() for name in names}
    unplaced = {name: why for name, why in listing.refused.items() if name not in placed}
    unplaced |= {name: f"{name}: is being written" for name in listing.unsettled}
    some = {each.day for each in [*here, *there, *doubtful]} | listing.refused_on.keys()
    absent = {
        day: answers.absence(row, day, aoi.bounds, deadlines, now)
        for day, row in without.items()
        if first <= day <= last and day not in some
    }
    late, lost = ([day for day, why in absent.items() if why is sort] for sort in (Absence.LATE, Absence.LOST_UPSTREAM))
    return Reconciliation(region.name, first, last, len(here), len(there), differences, late, lost, unplaced)


def _listing(other: SceneSource, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
    """What the other lists, searched a month at a time."""
    whole = Listing({})
    while first <= last:
        end = min(last, first + timedelta(days=LISTED_DAYS - 1))
        part = other.list(aoi, first, end, now)
        whole.acquisitions.update(part.acquisitions)
        whole.refused.update(part.refused)
        whole.refused_on.update(part.refused_on)
        whole = replace(whole, unsettled=(*whole.unsettled, *part.unsettled))
        first = end + ONE_DAY
    return whole


def _registered(connection: Connection, region: Region, first: date, last: date) -> dict[str, _Known]:
    """The registered acquisitions of a span by item, each as it was seen last."""
    row = AcquisitionRow
    columns = (row.item_id, row.day, row.platform, row.tile, row.baseline, row.sensed_at)
    statement = (
        select(*columns).where(row.bbox_id == region.bbox_id, row.day.between(first, last)).order_by(row.seen_at)
    )
    return {
        found.item_id: _Known(
            found.day,
            found.platform,
            _tile(found.tile, found.item_id),
            found.sensed_at,
            found.item_id,
            found.baseline,
            read_product(found.item_id).tier,
        )
        for found in connection.execute(statement)
    }


def _refused(
    connection: Connection,
    region: Region,
    first: date,
    last: date,
    registered: Mapping[str, _Known],
    bounds: Bounds,
) -> dict[tuple[date, str], _Known]:
    """What is refused or rejected here, by day and item: as it was registered, else by what its name says."""
    reasons = answers.refusals(connection, region.bbox_id, first, last)
    for day, decided in decisions(connection, region.bbox_id, first, last).items():
        for version, verdict in decided.items():
            if verdict is Verdict.REJECTED:
                reasons.setdefault(day, {}).setdefault(version.item_id, "it was rejected")
    found = {}
    for day, items in reasons.items():
        for item, why in items.items():
            known = registered.get(item) or _by_name(item, day, bounds)
            found[day, item] = replace(known, detail=why)
    return found


def _by_name(item: str, day: date, bounds: Bounds) -> _Known:
    """What the name of an item says; without a time, that of noon."""
    product = read_product(item)
    stated = product.sensed_at
    sensed = stated if stated and solar_day(stated, bounds) == day else solar_noon(day, bounds)
    return _Known(day, product.platform, _tile(product.tile, item), sensed, item, "", product.tier)


def _listed(day: date, each: Acquisition) -> _Known:
    tier = each.tier if each.tier is not Tier.UNSTATED else read_product(each.item_id).tier
    tile = _tile(each.tile, each.item_id)
    return _Known(day, each.platform, tile, each.sensed_at, each.item_id, each.baseline, tier)


def _tile(stated: str, item: str) -> str:
    """A tile as all catalogues can be compared by: MGRS with T, path and row of Landsat."""
    if not stated or stated.startswith(_UNNAMED):
        scene = _LANDSAT_SCENE.search(item)
        return scene[1] if scene else stated
    return stated.upper().removeprefix("WRS2-")


def _same(acquisition: _Known, other: _Known) -> bool:
    """Whether both may be one acquisition; one that names no tile may be a whole pass, with all of its tiles."""
    if _file(acquisition.item) == _file(other.item):
        return True
    if not same_satellite(acquisition.platform, other.platform):
        return False
    if acquisition.named and other.named and acquisition.tile != other.tile:
        return False
    apart = abs(acquisition.sensed_at - other.sensed_at)
    if acquisition.named or other.named or acquisition.tile == other.tile:
        return apart <= TOLERANCE
    return apart <= _SAME_PIECE


def _file(item: str) -> str:
    """An item's id without its collection or folder, and without the ending of a file."""
    return item.rpartition("/")[2].removesuffix(".tif").removesuffix(".tiff")


def _near(of_days: Mapping[date, list[_Known]], acquisition: _Known) -> Iterator[_Known]:
    """Those that are the same as one, of its day and of those beside it."""
    for day in (acquisition.day - ONE_DAY, acquisition.day, acquisition.day + ONE_DAY):
        yield from (each for each in of_days.get(day, ()) if _same(each, acquisition))


def _newest(known: Iterable[_Known]) -> list[_Known]:
    """The newest version of each acquisition."""
    kept: dict[date, list[_Known]] = defaultdict(list)
    for acquisition in sorted(known, key=lambda each: (each.rank, each.item), reverse=True):
        if all(each.named is not acquisition.named for each in _near(kept, acquisition)):
            kept[acquisition.day].append(acquisition)
    return [each for of_day in kept.values() for each in of_day]


def _by_day(known: Iterable[_Known]) -> dict[date, list[_Known]]:
    days = defaultdict(list)
    for each in known:
        days[each.day].append(each)
    return days


def _of_there(
    region: str, here: Iterable[_Known], refused: Iterable[_Known], there: Iterable[_Known]
) -> Iterator[Difference]:
    """What the other lists, and is lacking, refused or older here."""
    ours, doubtful = _by_day(here), _by_day(refused)
    for acquisition in there:
        same = list(_near(ours, acquisition))
        if same:
            if newer := _newer(acquisition, same):
                yield _difference(region, acquisition, Standing.NEWER_THERE, newer)
        elif doubt := next(_near(doubtful, acquisition), None):
            yield _difference(region, acquisition, Standing.REFUSED_HERE, doubt.detail)
        else:
            yield _difference(region, acquisition, Standing.LACKING_HERE)


def _newer(there: _Known, here: Iterable[_Known]) -> str:
    """How the other's version is better than all here, as far as both state it; empty where it is not."""
    tiers = [each.tier for each in here if each.tier is not Tier.UNSTATED]
    if there.tier is not Tier.UNSTATED and tiers and there.tier > max(tiers):
        return f"{_words(there.tier)} there, {_words(max(tiers))} here"
    known = [(numbers, each.baseline) for each in here if (numbers := comparable(each.baseline))]
    stated = comparable(there.baseline)
    if stated and known and stated > max(known)[0]:
        return f"baseline {there.baseline} there, {max(known)[1]} here"
    return ""


def _words(tier: Tier) -> str:
    return tier.name.lower().replace("_", " ")


def _of_here(region: str, here: Iterable[_Known], there: Iterable[_Known]) -> Iterator[Difference]:
    theirs = _by_day(there)
    for acquisition in here:
        if next(_near(theirs, acquisition), None) is None:
            yield _difference(region, acquisition, Standing.LACKING_THERE)


def _unclear(
    region: str, here: Iterable[_Known], refused: Iterable[_Known], listing: Listing, bounds: Bounds
) -> Iterator[Difference]:
    """Items there that can't be understood, and whose names are not those of something here."""
    known = _by_day([*here, *refused])
    for day, items in listing.refused_on.items():
        for item, why in items.items():
            acquisition = _by_name(item, day, bounds)
            certain = acquisition.platform and acquisition.named
            if not certain or next(_near(known, acquisition), None) is None:
                yield _difference(
                    region, replace(acquisition, tile=acquisition.shown_tile), Standing.UNCLEAR_THERE, why
                )


def _difference(region: str, acquisition: _Known, standing: Standing, detail: str = "") -> Difference:
    return Difference(
        region, acquisition.day, acquisition.platform, acquisition.shown_tile, acquisition.item, standing, detail
    )
