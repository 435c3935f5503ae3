"""Acquisitions from a STAC catalogue, one for each item; their pixels stay where they are until a region needs them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from satcommon.errors import RadiometricError, SceneError, SettingError
from satcommon.geo.grid import Bounds
from satcommon.geo.solar import solar_day, solar_offset
from satcommon.raster.band_stack import BandStack
from satcommon.raster.harmonise import can_read_cells, read_layers, windows
from satcommon.raster.header import read_header
from satcommon.raster.pixel_checks import check_pixels
from satcommon.raster.threads import at_once
from satcommon.sources import calendar, folder_config, stac_config, stac_reference
from satcommon.sources.acquisition_plans import plans_at
from satcommon.sources.open_catalogue import open_catalogue
from satcommon.sources.polite_requests import PoliteRequests
from satcommon.sources.source import STAC, AreaOfInterest, Due, Listing, days_between
from satcommon.sources.stac_assets import Assets, DeniedError, GoneError, Link, PinnedRanges, changed, headers_for
from satcommon.sources.stac_cells import StacCells
from satcommon.sources.stac_items import KnownItem, acquisition_of, digest_of, name_of, stated_day, understood
from satcommon.sources.stac_signing import Signer

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from satcommon.geo.grid import Grid
    from satcommon.raster.header import Header
    from satcommon.raster.layers import Layers
    from satcommon.raster.scene import Acquisition
    from satcommon.sources.stac_config import StacConfig
    from satcommon.sources.stac_item import ItemFile
    from satcommon.sources.stac_search import Catalogue, Item

_SLACK = timedelta(hours=1)  # an item may be searched by another time than the one that it is told by
_GRIDS = 5  # items that are tried for a grid
_KEPT_ITEMS = 2000  # of those listed last, so that they need not be asked for again when they are read
_BAND = re.compile(r"\bband ([a-z]\w*)")  # in messages of the readers of files


class StacSource:
    """The items of a catalogue's collections.

    - Bands are assets, as the configuration names them. What an item states of their values counts before what the
      configuration does, and that before the file itself, as in a folder.
    - An item's digest covers what it declares, and of each file its checksum where the item states one, otherwise link,
      ETag (or time of modification) and size, which a HEAD request tells when the item is listed.
    - Pixels are read by ranges, those under the region only, and never of two versions of a file.

    Args:
        config: which catalogue, and how it is read.
        catalogue: to be searched in place of the one that `config` names.
    """

    collection = "imagery"

    def __init__(self, config: StacConfig, catalogue: Catalogue | None = None) -> None:
        names = ",".join(collection.id for collection in config.collections)
        self.identity = f"{STAC} {config.where} {names}"
        self.config = config
        asking = PoliteRequests(config.requests, lambda url: headers_for(url, config))
        self._catalogue = catalogue or open_catalogue(config, asking)
        local = config.endpoint is None and "://" not in config.where
        self._assets = Assets(config, Signer(config.signing, asking), local=local)
        self._collections = {collection.id: collection for collection in config.collections}
        self._items: dict[str, Item] = {}
        self._references: dict[tuple[Acquisition, Grid], dict[str, Any]] = {}  # of those read last
        plans = config.calendar.plans if config.calendar else None
        self._plans = plans_at(plans) if plans else None

    @staticmethod
    def named(stated: str) -> StacSource:
        """The source that SATFIELDS_STAC names.

        Raises:
            SettingError: there is no such file or profile, or it is wrong.
        """
        return StacSource(stac_config.load(stated))

    def anchor_grid(self, bounds: Bounds) -> Grid | None:
        """The raster of the first item, by id, over the rectangle that can be read.

        Raises:
            CatalogueError: the catalogue can't be searched.
            StoreError: an asset can't be reached.
        """
        items = sorted(self._catalogue.sample(bounds), key=lambda item: str(item.get("id")))
        for item in items[:_GRIDS]:
            with suppress(SceneError):
                known = understood(item, self._collections)
                with self._opened(known) as opened:
                    if opened.header.overlaps(bounds) and (grid := opened.header.grid_around(bounds)):
                        return grid
        return None

    def check(self) -> str:
        """What the catalogue has, in words.

        Raises:
            CatalogueError: it can't be searched.
            SettingError: an acquisition plan is damaged, or there is none where the configuration says.
        """
        if self._plans and (troubles := self._plans.troubles()):
            raise SettingError("; ".join(troubles))
        return "has items" if self._catalogue.sample(Bounds(-180, -90, 180, 90)) else "has no item of its collections"

    def due(self, aoi: AreaOfInterest, day: date) -> Due:
        """What the calendar of the configuration says; unknown without one.

        Raises:
            SettingError: there is no folder of plans as it names one.
        """
        return self.calendar(aoi, day, day)[day]

    def calendar(self, aoi: AreaOfInterest, first: date, last: date) -> dict[date, Due]:
        """As `due`, for each day from `first` to `last`; plans are read once."""
        days = days_between(first, last)
        if self.config.calendar is None:
            return dict.fromkeys(days, Due.UNKNOWN)
        return calendar.answers(self.config.calendar, self._plans, aoi, days)

    def list(self, aoi: AreaOfInterest, first: date, last: date, now: datetime) -> Listing:
        """The items over the area with solar day in first..last; a day without one is left out.

        An item that can't be understood, or whose files are gone, is refused under its name, on the day that it states.

        Args:
            aoi: the area.
            first: first solar day.
            last: last solar day.
            now: no item is published later.

        Raises:
            CatalogueError: the catalogue could not be searched to the end.
            StoreError: an asset can't be reached.
        """
        offset = solar_offset(aoi.bounds)
        begin = datetime.combine(first, time(), UTC) - offset - _SLACK
        end = datetime.combine(last + timedelta(days=1), time(), UTC) - offset + _SLACK
        acquisitions: dict[date, list[Acquisition]] = defaultdict(list)
        refused: dict[str, str] = {}
        refused_on: dict[date, dict[str, str]] = defaultdict(dict)
        wanted: list[KnownItem] = []
        items = self._catalogue.search(aoi.bounds, begin, end)

        def refuse(item: Item, why: str) -> None:
            name = name_of(item)
            day = stated_day(item, aoi.bounds)
            if day is None or first <= day <= last:
                refused[name] = why
            if day is not None and first <= day <= last:
                refused_on[day][name] = why

        for item in sorted(items, key=name_of):
            try:
                known = understood(item, self._collections, aoi.further)
                assert known.declared.sensed_at is not None
                if first <= solar_day(known.declared.sensed_at, aoi.bounds) <= last:
                    wanted.append(known)
            except (SceneError, OverflowError) as error:
                refuse(item, str(error))
        for known, digest in zip(wanted, at_once(self._listed_digest, wanted), strict=True):
            if isinstance(digest, SceneError):
                refuse(known.item, str(digest))
                continue
            acquisition = acquisition_of(known, digest, now)
            self._keep(known)
            acquisitions[solar_day(acquisition.sensed_at, aoi.bounds)].append(acquisition)
        return Listing(dict(acquisitions), refused, refused_on=dict(refused_on))

    def read(self, aoi: AreaOfInterest, acquisition: Acquisition) -> Layers:
        """The item's pixels on the area's grid; see `harmonise.read_layers`.

        Raises:
            SceneError: the item or a file of it is gone, is not what was listed, or was changed while it was read.
            RadiometricError: its pixels contradict what is declared of them, and it was not accepted all the same.
            CatalogueError, StoreError: the catalogue or a file can't be reached.
        """
        name = acquisition.item_id
        known = self._known(name, aoi.further, self._items.get(name))
        with _advising(known), self._opened(known) as opened:
            header = opened.header
            _require_same(known, opened, acquisition)
            opened.stack.prefetch(windows(header, aoi.grid), self.config.most_bytes)
            layers = read_layers(cast("DatasetReader", opened.stack), header, aoi.grid, name, self.config.most_bytes)
            if not acquisition.accepted:
                said = known.declared.cloud.as_seen_from(aoi.bounds) if known.declared.cloud else None
                check_pixels(layers, name, header.classes[0] if header.classes else "", said)
            if not self.config.copied and can_read_cells(header, aoi.grid):
                versions = [each.version.pin if each.version else "" for each in opened.ranges]
                while len(self._references) >= _KEPT_ITEMS:
                    self._references.pop(next(iter(self._references)))
                self._references[acquisition, aoi.grid] = stac_reference.encode(known, versions)
        return layers

    def reference(self, aoi: AreaOfInterest, acquisition: Acquisition) -> dict[str, Any] | None:
        """What `open_cells` needs of an item that was read by this process; None where its pixels are to be copied.

        They are where the configuration says so, where the item's cells do not align with the region's, so that they
        are warped, and where its mask is one that must be seen whole (`harmonise.can_read_cells`).
        """
        return self._references.get((acquisition, aoi.grid))

    @contextmanager
    def open_cells(self, grid: Grid, acquisition: Acquisition, reference: Mapping[str, Any]) -> Iterator[StacCells]:
        """Open an item that was read before; its files must be those of then.

        Where a file is not at its link any more, or may not be read there, the catalogue is asked for the item once.

        Args:
            grid: of the region.
            acquisition: as it was read.
            reference: of `reference`.

        Raises:
            SceneError: it is gone, or not what was read.
            CatalogueError, StoreError: the catalogue or a file can't be reached.
        """
        name = acquisition.item_id
        known, versions = stac_reference.decode(reference, self._collections)
        with ExitStack() as opened, _advising(known):
            try:
                reopened = opened.enter_context(self._opened(known))
            except (GoneError, DeniedError):
                known = self._known(name, known.further)
                reopened = opened.enter_context(self._opened(known))
            _require_same(known, reopened, acquisition)
            self._require_same_files(known, reopened, versions)
            yield StacCells(reopened.stack, reopened.ranges, reopened.header, grid, name)

    def _require_same_files(self, known: KnownItem, reopened: _Opened, versions: Sequence[str]) -> None:
        """Refuse files that are not those that were read; one at another place or time may be, by its checksum.

        Raises:
            SceneError: a file has changed.
        """
        for link, file, each, version in zip(known.links, known.files, reopened.ranges, versions, strict=True):
            if each.version is not None and each.version.pin != version:
                if not file.checksum:
                    raise changed(link)
                self._assets.verify(link, file.checksum)

    def _known(self, name: str, further: tuple[str, ...], item: Item | None = None) -> KnownItem:
        """An item, as it was listed or as the catalogue has it now.

        Raises:
            SceneError: it is gone.
        """
        if item is None:
            item = self._catalogue.item(*name.split("/", 1))
        if item is None:
            raise SceneError(f"{name}: can't be read: it is gone from the catalogue; list it again")
        return understood(item, self._collections, further)

    def _keep(self, known: KnownItem) -> None:
        self._items.pop(known.name, None)
        self._items[known.name] = known.item  # the latest last
        while len(self._items) > _KEPT_ITEMS:
            self._items.pop(next(iter(self._items)))

    def _listed_digest(self, known: KnownItem) -> str | SceneError:
        """The digest of an item whose files are there; the reason where they are not."""
        try:
            return digest_of(
                known, [self._pin(link, file) for link, file in zip(known.links, known.files, strict=True)]
            )
        except SceneError as error:
            return error

    def _pin(self, link: Link, file: ItemFile) -> str:
        return "" if file.checksum or self.config.pins == "item" else self._assets.version(link).pin

    @contextmanager
    def _opened(self, known: KnownItem) -> Iterator[_Opened]:
        """The stack of an item's files."""
        with ExitStack() as stack:
            ranges = at_once(self._assets.begin, known.links)
            labels = [link.name.removeprefix(f"{known.name}: ") for link in known.links]
            files = {label: stack.enter_context(each.opened()) for label, each in zip(labels, ranges, strict=True)}
            bands = BandStack(files, known.name)
            header = read_header(
                cast("DatasetReader", bands), known.name, known.declared, known.further, known.item["id"]
            )
            pins = [
                "" if file.checksum or self.config.pins == "item" or each.version is None else each.version.pin
                for file, each in zip(known.files, ranges, strict=True)
            ]
            yield _Opened(bands, header, pins, ranges)


class _Opened(NamedTuple):
    """The open files of an item, their header and pins, and what fetches each."""

    stack: BandStack
    header: Header
    pins: Sequence[str]
    ranges: Sequence[PinnedRanges]


def _require_same(known: KnownItem, opened: _Opened, acquisition: Acquisition) -> None:
    """Refuse an item that has changed.

    Raises:
        SceneError: it is not the one that was listed.
    """
    if digest_of(known, opened.pins) != acquisition.digest:
        raise SceneError(f"{known.name}: is not what was listed ({acquisition.digest[:12]}); list it again")


@contextmanager
def _advising(known: KnownItem) -> Iterator[None]:
    """Put the messages of the readers of files in a catalogue's words.

    They advise to state something in `satfields.toml`: here that is the file of SATFIELDS_STAC. And a band is an asset.
    """

    def named(found: re.Match[str]) -> str:
        key = known.asset_of(found[1])
        return f"{found[0]} (asset {key})" if key else found[0]

    try:
        yield
    except SceneError as error:
        advice = str(error).replace(folder_config.NAME, f"the file that {stac_config.VARIABLE} names")
        advice = _BAND.sub(named, advice)
        if isinstance(error, RadiometricError):
            raise RadiometricError(advice, error.check) from error
        raise SceneError(advice) from error
