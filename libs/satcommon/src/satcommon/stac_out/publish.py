"""Writing the catalogue: of each region the days that changed, then what links them, then the root.

An object is written whole, and before anything that links it; what is no longer linked is deleted last. So a reader
follows no link to nothing, and a run that was killed is gone on with: it repeats at most what it did not note.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine

from satcommon.db import registry
from satcommon.db.engine import read_transaction
from satcommon.db.models import Region, Scene
from satcommon.db.registry import aoi_of
from satcommon.errors import InputError, ObjectMissingError, SatfieldsError
from satcommon.publication.cursor import installation
from satcommon.publication.objects import ResultObjects
from satcommon.publication.row_columns import completed, readable
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.stac_out import documents
from satcommon.stac_out.items_file import encode_items
from satcommon.stac_out.options import (
    COLLECTION,
    ITEM,
    ITEMS,
    PICTURE,
    ROOT,
    ROWS,
    Options,
    collection_id,
    encoded,
    item_key,
)
from satcommon.stac_out.progress import CURSOR, DOUBT, Progress, Writer, doubtful_days, read_progress
from satcommon.stac_out.rows_file import encode, polygons_of, rows_with_polygons
from satcommon.stac_out.snapshot import PublishedDay, RegionSnapshot, content_of_collection, region_snapshot
from satcommon.storage.object_store import ObjectStore
from satcommon.views.scene_picture import Layer, scene_picture

PICTURE_PIXELS = 256
_SAVED_AFTER = 50  # days: what a killed run repeats at most
_READERS = 8  # items that are read at a time


@dataclass
class Written:
    """What was, or would be, written of a region.

    Args:
        region: its name.
        collection: the id of its collection.
        written: the days that changed.
        removed: the days whose items were taken out.
        unchanged: how many days stay as they were.
        without_picture: what kept a scene's picture from being drawn, by day; these days are tried again.
    """

    region: str
    collection: str
    written: list[date] = field(default_factory=list)
    removed: list[date] = field(default_factory=list)
    unchanged: int = 0
    without_picture: dict[date, str] = field(default_factory=dict)


class Catalogue:
    """A static catalogue.

    Args:
        target: the folder or bucket that it is in.
        engine: of the ledger.
        objects: of the store of results.
        scenes: the stored ones.
        options: what it says besides.

    Raises:
        InputError: there is somebody else's catalogue.
        StoreError: the target can't be reached.
    """

    def __init__(
        self, target: ObjectStore, engine: Engine, objects: ResultObjects, scenes: StoredScenes, options: Options
    ) -> None:
        self._target, self._engine, self._objects, self._scenes = target, engine, objects, scenes
        self._options = options
        self._emptied: set[str] = set()  # collections whose last item is gone
        root = self._document(ROOT, "remove it")
        if root is None:
            root = {"id": "satfields", "links": []}
        if root.get("id") != "satfields":
            raise InputError(f"{target.url}/{ROOT} is not of Satfields; publish to a place of its own")
        try:
            self._titles = {link["href"]: link.get("title") for link in root["links"]}
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{target.url}/{ROOT} has links that Satfields did not write; remove it") from error

    def plan(self, region: Region) -> Written:
        """What a run would write of a region.

        Raises:
            InputError: another installation wrote it.
            StoreError: the target can't be reached.
        """
        return self._region(region, None)

    def write(self, region: Region, moving: Callable[[int, int], None]) -> Written:
        """Write what changed of a region.

        Args:
            region: the region.
            moving: is told how many days are written, and of how many.

        Raises:
            InputError: another installation wrote it.
            OvertakenError: another run began to write it.
            RemovedError, ObjectMissingError, DamagedObjectError: the rows of a day can't be read.
            StoreError: the target or the store can't be reached.
        """
        return self._region(region, moving)

    def _region(self, region: Region, moving: Callable[[int, int], None] | None) -> Written:
        own = collection_id(region.name)
        told = Written(region.name, own)
        writer = None if moving is None else Writer(self._target, own)  # before the ledger is read: see `progress`
        with read_transaction(self._engine) as connection:
            snapshot = region_snapshot(connection, registry.region(connection, region.name), self._options)
        if snapshot is not None:
            work = _Work(snapshot, self._target, own)
            told.written, told.removed = work.changed, work.gone
            told.unchanged = len(work.progress.days)
            if writer is not None and moving is not None and work.is_needed(self._options):
                self._days(work, writer, told, moving)
                self._links(work, writer)
            if not work.progress.with_item and COLLECTION in work.names:
                self._emptied.add(own)
        if writer is not None:
            writer.end()
        return told

    def _days(self, work: _Work, writer: Writer, told: Written, moving: Callable[[int, int], None]) -> None:
        work.progress.collection = ""
        writer.save(work.progress)
        for done, day in enumerate(work.changed):
            moving(done, len(work.changed))
            failure = self._day(work, work.snapshot.days[day])
            writer.check(day)
            if day in work.doubtful:
                self._target.delete(f"{work.collection}/{DOUBT}{day}.json")
            if failure is not None:
                told.without_picture[day] = failure
            if (done + 1) % _SAVED_AFTER == 0:
                writer.save(work.progress)

    def _day(self, work: _Work, day: PublishedDay) -> str | None:
        """Write a day; tells what kept its picture from being drawn."""
        rows = self._rows(work, day.day)
        work.progress.forget(day.day)
        if not rows.num_rows:
            work.progress.days[day.day] = day.content
            work.progress.empty.add(day.day)
            return None
        picture, failure = self._picture(work.snapshot.region, day.scene)
        self._target.replace(item_key(work.collection, day.day, ROWS), encode(rows, work.collection))
        if picture is not None:
            self._target.replace(item_key(work.collection, day.day, PICTURE), picture)
        item = documents.item(work.snapshot, day, rows, self._options, picture=picture is not None)
        self._target.replace(item_key(work.collection, day.day), encoded(item))
        work.progress.days[day.day] = day.content if failure is None else "without picture"
        return failure

    def _rows(self, work: _Work, day: date) -> pa.Table:
        told = work.snapshot.told
        rows = readable(completed(told.rows(self._objects, day), day, told))
        with read_transaction(self._engine) as connection:
            polygons = polygons_of(connection, rows)
        return rows_with_polygons(rows, work.collection, polygons)

    def _picture(self, region: Region, scene: Scene | None) -> tuple[bytes | None, str | None]:
        if scene is None or not self._options.pictures:
            return None, None
        try:
            with self._scenes.open(scene.object_key) as reader:
                if any(band not in reader.bands for band in Layer.NDVI.bands):
                    return None, None
                return scene_picture(reader, aoi_of(region).bounds, Layer.NDVI, PICTURE_PIXELS), None
        except SatfieldsError as error:  # the rows are published whatever the picture
            return None, str(error)

    def _links(self, work: _Work, writer: Writer) -> None:
        """Write what links the items, and delete what is no longer linked."""
        days = work.progress.with_item
        with ThreadPoolExecutor(_READERS) as pool:
            items = list(pool.map(lambda day: self._item(work.collection, day), days))
        writer.check()
        if items:
            collection = documents.collection(work.snapshot, items, self._options)
            self._replace(f"{work.collection}/{ITEMS}", encode_items(items, collection))
            self._replace(f"{work.collection}/{COLLECTION}", encoded(collection))
            linked = {item_key(work.collection, day, name) for day in days for name in (ITEM, ROWS)}
            pictured = [day for day, item in zip(days, items, strict=True) if "thumbnail" in item["assets"]]
            linked |= {item_key(work.collection, day, PICTURE) for day in pictured}
            for name in work.names:
                key = f"{work.collection}/{name}"
                if name.endswith((f"/{ITEM}", f"/{ROWS}", f"/{PICTURE}")) and key not in linked:
                    self._target.delete(key)
        writer.check(days[-1] if days else None)  # what links the items may have replaced something newer, too
        for day in work.doubtful.intersection(work.gone):
            self._target.delete(f"{work.collection}/{DOUBT}{day}.json")
        work.progress.collection = content_of_collection(work.snapshot, self._options)
        writer.save(work.progress)

    def finish(self, regions: Collection[str] | None) -> list[str]:
        """Write the root, and remove collections of regions that are no longer registered or have no item.

        Args:
            regions: the names of all registered ones; None to remove nothing.

        Returns:
            The ids of the collections that were removed.

        Raises:
            StoreError: the target can't be reached.
        """
        known = None if regions is None else {collection_id(name) for name in regions}
        while True:  # another run may add a collection meanwhile
            there, removed = self._collections(known)
            titles = {own: self._title(own) for own in there}
            self._replace(ROOT, encoded(documents.root(titles, self._options)))
            if self._collections(known)[0] == there:
                break
        for own in removed:
            keys = self._target.list(f"{own}/")
            for key in sorted(keys, key=lambda key: key.endswith(f"/{CURSOR}")):  # last: what tells whose it is
                self._target.delete(key)
        return removed

    def _collections(self, known: Collection[str] | None) -> tuple[list[str], list[str]]:
        """The collections that are linked, and those that are not to be any more."""
        there, removed = [], []
        for own in self._target.folders():
            if not self._target.exists(f"{own}/{CURSOR}"):
                continue  # not of ours
            has_items = self._target.exists(f"{own}/{COLLECTION}")
            if own in self._emptied or (known is not None and own not in known and self._is_ours(own)):
                removed.append(own)
            elif has_items:
                there.append(own)
        return there, removed

    def _is_ours(self, own: str) -> bool:
        """Whether this installation wrote a collection; not where that can't be told."""
        with read_transaction(self._engine) as connection:
            ours = installation(connection)
        try:
            progress = read_progress(self._target, own, ours)
        except InputError:
            return False
        return bool(progress.days or progress.collection)

    def _title(self, own: str) -> str:
        if title := self._titles.get(f"./{own}/{COLLECTION}"):
            return str(title)
        remedy = f"remove {own}/{CURSOR} there to have the collection written anew"
        return str(self._required(f"{own}/{COLLECTION}", remedy).get("title", own))

    def _item(self, own: str, day: date) -> dict[str, Any]:
        key, remedy = item_key(own, day), "remove it to have the day written anew"
        item = self._required(key, remedy)
        if not documents.is_item(item):
            raise InputError(
                f"{self._target.url}/{key} is damaged: expected an item as Satfields writes it, with `properties`; "
                f"{remedy}"
            )
        return item

    def _required(self, key: str, remedy: str) -> dict[str, Any]:
        """A document that must be there."""
        document = self._document(key, remedy)
        if document is None:
            raise ObjectMissingError(f"there is no object {key!r} in {self._target.url}")
        return document

    def _document(self, key: str, remedy: str) -> dict[str, Any] | None:
        """A document; None where it is missing."""
        try:
            document = json.loads(self._target.get(key))
        except ObjectMissingError:
            return None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise InputError(f"{self._target.url}/{key} is damaged: expected a JSON object; {remedy}")
        return document

    def _replace(self, key: str, data: bytes) -> None:
        """Write an object unless it is there as it should be."""
        try:
            if self._target.get(key) == data:
                return
        except ObjectMissingError:
            pass
        self._target.replace(key, data)


class _Work:
    """What there is to write of a region."""

    def __init__(self, snapshot: RegionSnapshot, target: ObjectStore, collection: str) -> None:
        self.snapshot, self.collection = snapshot, collection
        self.progress: Progress = read_progress(target, collection, snapshot.installation)
        self.names = [key.removeprefix(f"{collection}/") for key in target.list(f"{collection}/")]
        self.doubtful = doubtful_days(self.names)
        self.changed = self._changed(frozenset(self.names))
        self.gone = sorted((self.progress.days.keys() | self.doubtful) - snapshot.days.keys())
        for day in [*self.changed, *self.gone]:
            self.progress.forget(day)

    def _changed(self, names: Collection[str]) -> list[date]:
        return [
            day
            for day, published in self.snapshot.days.items()
            if self.progress.days.get(day) != published.content
            or day in self.doubtful
            or (day not in self.progress.empty and not {f"{day}/{ITEM}", f"{day}/{ROWS}"}.issubset(names))
        ]

    def is_needed(self, options: Options) -> bool:
        """Whether anything is to be written."""
        return (
            bool(self.changed or self.gone)
            or self.progress.collection != content_of_collection(self.snapshot, options)
            or bool(self.progress.with_item and not {COLLECTION, ITEMS}.issubset(self.names))
        )
